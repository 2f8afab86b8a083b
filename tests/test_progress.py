"""What a sync says while it goes on."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

from sandbox import Sandbox
from tests.tap import run_tap

if TYPE_CHECKING:
    from sandbox.behaviour import Request

# The tap itself, but for the five seconds that pass before it says a word.
TALKATIVE = (
    sys.executable,
    "-c",
    """
from tap_tallyfy import progress, streams, tap
progress._SECONDS_BETWEEN_LINES = 0
tap.TapTallyfy.stream_types = (streams.RunsStream,)
tap.TapTallyfy.cli()
""",
)
LINE = re.compile(r"runs: (\d+) of (\d+) read in (\d+) pages")


def test_progress_never_passes_its_goal() -> None:
    """Pages overlap, records change and vanish while they are read, and archived ones are a list of their own."""
    with Sandbox(runs=800, seed=4) as sandbox:
        everything = len(sandbox.runs)
        archived = sum(bool(run["archived_at"]) for run in sandbox.runs.values())
        oldest = iter(sorted(sandbox.runs, key=lambda identity: str(sandbox.runs[identity]["created_at"])))

        def live(_: Request) -> None:
            sandbox.touch(next(oldest))
            sandbox.delete(next(oldest))

        sandbox.after_list = live
        result = run_tap(sandbox, command=TALKATIVE)
    assert result.code == 0, result.stderr
    told = [tuple(map(int, match)) for match in LINE.findall(result.stderr)]
    assert len(told) == len(result.lists)
    assert all(before[0] <= after[0] and before[2] < after[2] for before, after in pairwise(told))
    assert all(done <= total for done, total, _ in told)
    assert told[0][1] == everything - archived
    # A page is counted as read once its records are.
    assert everything - archived - 2 * len(told) <= told[-1][0] <= told[-1][1] <= everything
    (read,) = map(int, re.findall(r"runs: (\d+) read; ", result.stderr))
    assert read == len(result.ids)
