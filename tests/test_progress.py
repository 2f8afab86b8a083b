"""What a sync says while it goes on, and what each stream has taken in the end."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections import Counter
from itertools import count, pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sandbox import Fault, Sandbox
from tap_tallyfy.reading.page import Page, Pagination, Window
from tap_tallyfy.singer import progress
from tests.lists import PATHS, sync
from tests.served import asking
from tests.tap import TAP, environment, run_tap, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from sandbox.wire import Request
    from tests.tap import Result

# The tap itself, but for the seconds that pass before it says a word.
TALKATIVE = (
    sys.executable,
    "-c",
    """
from tap_tallyfy.singer import progress
from tap_tallyfy import streams, tap
progress._SECONDS_BETWEEN_LINES = 0
tap.TapTallyfy.stream_types = (streams.RunsStream,)
tap.TapTallyfy.cli()
""",
)
LINE = re.compile(r"runs: ([\d,]+) of ([\d,]+) read; (\d+) requests\.")
SUMMARY = re.compile(
    r"([\w ]+): (\d+) rows written; (\d+) requests, (\d+) refused for the rate limit,"
    r" ([\d.]+) s waited, ([\d.]+) s in all\."
)
LOGGED = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ +\| [A-Z]+ +\| [\w.-]+ +\| .+")
#: What the SDK logs of every stream, whatever we do.
OF_THE_SDK = re.compile(r"METRIC: |Skipping |Beginning |Starting |tap-tallyfy v")


def summed_up(result: Result) -> dict[str, tuple[int, int]]:
    """The rows and the requests of each stream, by the log."""
    said = (line.split(" | ", 3)[-1] for line in result.stderr.splitlines())
    found = [match for line in said if (match := SUMMARY.fullmatch(line))]
    assert len({match[1] for match in found}) == len(found), "a stream has one line"
    return {match[1]: (int(match[2]), int(match[3])) for match in found}


def metrics(result: Result, name: str) -> Iterator[dict[str, Any]]:
    for line in result.stderr.splitlines():
        _, is_metric, text = line.partition("METRIC: ")
        if is_metric and json.loads(text)["metric"] == name:
            yield json.loads(text)


def written(result: Result) -> Counter[str]:
    return Counter(message["stream"] for message in result.messages if message["type"] == "RECORD")


def asked(sandbox: Sandbox, result: Result) -> Counter[str]:
    """The requests for each list, by the name of its stream."""
    names = {sandbox.org_id: "organization", **{path: name for name, path in PATHS.items()}}
    paths = (request.path.rsplit("/", 1)[-1] for request in result.lists)
    return Counter(names.get(path, path) for path in paths)


# While it goes on


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
    told = [tuple(int(text.replace(",", "")) for text in match) for match in LINE.findall(result.stderr)]
    assert len(told) == len(result.lists)
    assert all(before[0] <= after[0] and before[2] <= after[2] for before, after in pairwise(told))
    assert all(done <= total for done, total, _ in told)
    # A page is counted as read once its records are.
    assert told[0][:2] == (0, everything - archived)
    assert told[-1][0] > everything / 2
    assert summed_up(result)["runs"] == (len(result.records), len(result.lists))


def test_a_line_follows_every_ten_seconds(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    seconds = count()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    log = logging.getLogger("test_progress")
    told = progress.Progress(asking("http://127.0.0.1").client, log)
    page = Page(Window(1, 100), [], Pagination(total=1200), None)
    with caplog.at_level(logging.INFO, log.name):
        for number in range(35):
            told.page("runs", page, 100 * number)
    assert [record.getMessage() for record in caplog.records] == [
        "runs: 900 of 1,200 read; 0 requests.",
        "runs: 1,900 of 1,900 read; 0 requests.",
        "runs: 2,900 of 2,900 read; 0 requests.",
    ]


def test_a_terminal_that_goes_away_ends_no_sync(account: Sandbox, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    config, out = tmp_path / "config.json", tmp_path / "out"
    config.write_text(json.dumps(settings_for(account)), encoding="utf-8")
    account.before_list = lambda _: os.close(ours) if len(account.requests) == 3 else None
    command = [*TAP, "--config", str(config)]
    with out.open("wb") as messages:
        subprocess.run(command, env=environment(), stdout=messages, stderr=theirs, check=False, timeout=300)
    os.close(theirs)
    *_, last = out.read_text(encoding="utf-8").splitlines()
    assert json.loads(last)["value"]["bookmarks"].keys() >= {"runs", "tasks", "users"}
    assert json.loads(last)["value"]["bookmarks"]["tasks"]["replication_key_value"]


# In the end


def test_each_stream_that_wrote_rows_has_a_line_and_all_of_them_one(account: Sandbox) -> None:
    result = run_tap(account, command=TAP)
    assert result.code == 0, result.stderr
    told = summed_up(result)
    rows = written(result)
    assert told.pop("All streams") == (sum(rows.values()), len(result.lists))
    assert {name: of_stream for name, (of_stream, _) in told.items()} == rows


def test_requests_are_booked_on_the_stream_whose_list_it_is(account: Sandbox) -> None:
    """Whatever comes first in the alphabet, and which of a list's streams are selected."""
    result = run_tap(account, command=TAP, full_task_sync_hours=0)
    assert result.code == 0, result.stderr
    by_list = asked(account, result)
    assert {name: requests for name, (_, requests) in summed_up(result).items() if requests} == {
        **by_list,
        "All streams": by_list.total(),
    }


def test_the_sdks_metrics_count_the_requests_of_each_list(account: Sandbox) -> None:
    account.faults = [None, Fault("status", 503)]
    result = run_tap(account, command=TAP, full_task_sync_hours=0)
    assert result.code == 0, result.stderr
    counted: Counter[str] = Counter()
    for metric in metrics(result, "http_request_count"):
        counted[metric["tags"]["stream"]] += metric["value"]
    by_list = asked(account, result)
    assert counted == by_list
    timed = list(metrics(result, "http_request_duration"))
    assert Counter(metric["tags"]["stream"] for metric in timed) == by_list
    assert [metric["tags"]["status"] for metric in timed if metric["tags"]["http_status_code"] == 503] == ["failed"]
    assert all(metric["value"] >= 0 for metric in timed)


def test_a_sync_with_nothing_new_says_little() -> None:
    selected = ["runs", "kickoff_answers", "tasks", "task_answers"]
    with Sandbox(runs=120, seed=3) as sandbox:
        first = sync(sandbox, selected)
        sandbox.advance(3600)
        second = sync(sandbox, selected, state=first.states[-1])
    assert second.code == 0, second.stderr
    lines = [line.split(" | ", 3)[3] for line in second.stderr.splitlines()]
    ours = [line for line in lines if not OF_THE_SDK.match(line)]
    did_something = {name for name, (rows, _) in summed_up(second).items() if rows and name != "All streams"}
    assert did_something == written(second).keys()
    assert len([line for line in ours if SUMMARY.fullmatch(line)]) == len(did_something) + 1
    assert len(ours) <= len(did_something) + 1 + 3, ours


def test_an_error_stands_in_the_end(account: Sandbox) -> None:
    account.faults = [*[None] * 5, Fault("status", 401)]
    result = run_tap(account, command=TAP)
    assert result.code == 77
    lines = result.stderr.splitlines()
    assert all(LOGGED.fullmatch(line) for line in lines)
    assert "| ERROR" in lines[-1]
    assert [line for line in lines if "| ERROR" in line] == lines[-1:]
