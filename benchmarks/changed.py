"""Command line: `python -m benchmarks.changed` measures syncs of tasks, and writes changed.md.

A full sync, and syncs after nothing, a few and many processes have changed, beside a plain tap that reads all tasks.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from benchmarks.contenders import PLAIN
from benchmarks.measure import run
from sandbox import Sandbox
from tests.lists import catalog
from tests.tap import TAP, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LATENCY: Final = 0.15
_HOUR: Final = 3600
#: Each sync, and how many processes have changed before it.
_SYNCS: Final = (("full", 0), ("nothing new", 0), ("nothing new", 0), ("10 changed", 10), ("1,000 changed", 1000))
_HERE: Final = Path(__file__).resolve().parent


class Account:
    """An account whose tasks are synced again and again.

    Attributes:
        sandbox: The API.
    """

    def __init__(self, runs: int, folder: Path) -> None:
        """Make an account of processes with eight tasks each, and 200 one-off tasks.

        Args:
            runs: How many processes.
            folder: For files, and a home for the taps.
        """
        gc.disable()  # nothing here is garbage
        self.sandbox = Sandbox(runs=runs, seed=2, one_offs=200, template="Stocktaking", latency=LATENCY)
        self._folder = folder
        self._random = Random(1)  # noqa: S311 - made-up changes need a seed, not a secret
        self._with_tasks = [run for run in self.sandbox.runs if self.sandbox.account.tasks_of(run)]

    def change(self, runs: int) -> None:
        """Let an hour pass, and change a task of each of some processes in it."""
        for run_id in self._random.sample(self._with_tasks, runs):
            task = self.sandbox.account.tasks_of(run_id)[0]
            self.sandbox.account.edit("tasks", task.id, deadline="2026-03-01T00:00:00.000Z")
        self.sandbox.advance(_HOUR)

    def sync(self, command: Sequence[str], files: Mapping[str, Any]) -> tuple[int, float, int, Any]:
        """Sync once; returns requests, seconds, rows and the state.

        Args:
            command: What starts the tap.
            files: What it is given, by the names of its options.
        """
        given = [*command]
        for name, content in files.items():
            if content is not None:
                (self._folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
                given += [f"--{name}", str(self._folder / f"{name}.json")]
        before, output = len(self.sandbox.requests), self._folder / "output"
        cost = run(given, output, self._folder)
        if cost.code:
            raise SystemExit(output.with_suffix(".log").read_text(encoding="utf-8").splitlines()[-1])
        rows, state = 0, None
        with output.open(encoding="utf-8") as lines:
            for line in lines:
                rows += line.startswith('{"type":"RECORD","stream":"tasks"')
                state = json.loads(line)["value"] if line.startswith('{"type":"STATE"') else state
        return len(self.sandbox.requests) - before, cost.wall, rows, state


def table(account: Account) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "|  | sync | requests | seconds | rows of tasks |"
    yield "|---|---|---:|---:|---:|"
    config = settings_for(account.sandbox)
    given = {"config": config, "catalog": catalog(["tasks"]), "state": None}
    for what, changes in _SYNCS:
        if given["state"]:
            account.change(changes)
        requests, seconds, rows, given["state"] = account.sync(TAP, given)
        yield f"| tap-tallyfy | {what} | {requests:,} | {seconds:.1f} | {rows:,} |"
    plain = [PLAIN.python, str(_HERE / "peers" / str(PLAIN.script))]
    requests, seconds, rows, _ = account.sync(plain, {"config": {**config, "list": "tasks"}})
    yield f"| plain singer-sdk tap | each | {requests:,} | {seconds:.1f} | {rows:,} |"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.changed", description=main.__doc__)
    parser.add_argument("--runs", type=int, default=20_000, help="processes of the account, with eight tasks each")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        account = Account(arguments.runs, Path(folder))
        tasks = len(account.sandbox.collections["tasks"].records)
        load, cores = os.getloadavg()[0], os.cpu_count()
        lines = [
            "# Syncs of tasks",
            "",
            (
                f"Written by `python -m benchmarks.changed`: {arguments.runs:,} processes, {tasks:,} tasks,"
                f" {LATENCY * 1000:.0f} ms per answer, pages of 100. The sandbox runs on the same machine, of {cores}"
                f" cores with a load average of {load:.0f} at the start. A plain singer-sdk tap reads the default list"
                " of tasks, without archived ones, whole each time, page after page."
            ),
            "",
        ]
        with account.sandbox:
            for line in table(account):
                sys.stderr.write(f"{line}\n")
                lines.append(line)
    (_HERE / "changed.md").write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
