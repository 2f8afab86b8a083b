"""Runs a process and says what it cost; runs the sandbox it reads from."""
# ruff: noqa: S603 - all commands are its own

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.contenders import Contender

#: Kinds of records: like the one in the vendor's documentation, as the sandbox makes them up, and these with a field
#: that the schema does not know.
DOCUMENTED: Final = "documented"
SANDBOX: Final = "sandbox"
UNKNOWN: Final = "unknown"

_ROOT: Final = Path(__file__).resolve().parent.parent
_LIMIT: Final = 600.0
_MIB: Final = 2**20


@dataclass(frozen=True)
class Cost:
    """What one process cost.

    Attributes:
        wall: Seconds from start to end.
        cpu: Seconds of user and system time.
        peak: Peak resident memory in MiB.
        code: Exit code.
    """

    wall: float
    cpu: float
    peak: float
    code: int


@dataclass(frozen=True)
class Reading:
    """One run of a contender.

    Attributes:
        cost: What it cost.
        rows: Records written.
        distinct: Different records among them.
        requests: Requests the sandbox received.
        refused: Those of them answered 429.
        span: Seconds from the first of them to the last.
        state: The last Singer state written, or None.
        failure: What is wrong with it, or an empty string.
    """

    cost: Cost
    rows: int
    distinct: int
    requests: int
    refused: int
    span: float
    state: Any
    failure: str


def run(command: Sequence[str], output: Path, folder: Path, limit: float = _LIMIT) -> Cost:
    """Run a command to its end, or kill it.

    Args:
        command: The command.
        output: Where its standard output goes; its standard error goes beside.
        folder: Its working directory and home.
        limit: Seconds after which it is killed; ten minutes by default.
    """
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(_ROOT),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    with output.open("wb") as out, output.with_suffix(".log").open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=out, stderr=log, stdin=subprocess.DEVNULL, cwd=folder, env=environment
        )
        end = threading.Timer(limit, process.kill)
        end.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        end.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / _MIB, process.returncode)


@dataclass
class Bench:
    """A sandbox that is running, and what reads from it.

    Attributes:
        api: Where it is, and what opens it.
        all: Records it holds.
        live: Those of them that are not archived, which is what its default list shows.
        folder: For files, and a home for the processes.
    """

    api: dict[str, str]
    all: int
    live: int
    folder: Path
    _asked: int = 0

    def read(
        self,
        contender: Contender,
        expected: int | None,
        settings: Mapping[str, Any] | None = None,
        state: object = None,
    ) -> Reading:
        """Run a contender once.

        Args:
            contender: Who.
            expected: Records it has to write, each once, or None for any number.
            settings: Further settings.
            state: The Singer state to start from, or None.
        """
        output = self.folder / "output"
        cost = run(contender.command(self.api, self.folder, settings or {}, state), output, self.folder)
        counted = subprocess.run(
            [sys.executable, "-m", "benchmarks.check", str(output), self.api["api_url"], str(self._asked)],
            capture_output=True,
            text=True,
            check=False,
            cwd=_ROOT,
        )
        log = output.with_suffix(".log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        output.unlink()
        if counted.returncode:
            why = (counted.stderr.strip() or "no reason given").splitlines()[-1]
            return Reading(cost, 0, 0, 0, 0, 0.0, None, f"its output cannot be read: {why}")
        reading = Reading(cost, failure="", **json.loads(counted.stdout))
        self._asked += reading.requests
        if cost.code:
            return replace(reading, failure=f"exit code {cost.code}: {log[-1] if log else 'no reason given'}")
        if expected is not None and not reading.rows == reading.distinct == expected:
            why = f"wrote {reading.rows:,} rows, {reading.distinct:,} distinct, of {expected:,}"
            return replace(reading, failure=why)
        return reading


@contextlib.contextmanager
def sandbox(runs: int, latency: float, kind: str = SANDBOX) -> Iterator[Bench]:
    """Run a sandbox in a process of its own.

    Args:
        runs: Runs it holds, archived ones included.
        latency: Seconds before each answer.
        kind: What its records look like.
    """
    command = [sys.executable, "-m", "benchmarks.serve", kind, str(runs), str(latency)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process,
    ):
        try:
            said = json.loads(process.stdout.readline() if process.stdout else "")
            api = {name: said[name] for name in ("api_url", "org_id", "access_token")}
            yield Bench(api, said["all"], said["live"], Path(folder))
        finally:
            process.terminate()
