"""Runs a process and says what it cost; runs the sandbox it reads from."""
# ruff: noqa: S603 - all commands are its own

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.contenders import Contender

_ROOT: Final = Path(__file__).resolve().parent.parent
_LIMIT: Final = 600.0


@dataclass(frozen=True)
class Cost:
    """What one process cost.

    Attributes:
        wall: Seconds from start to end.
        cpu: Seconds of user and system time.
        peak: Peak resident memory in MB (1,000,000 bytes).
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
        state: The last Singer state written, or None.
        failure: What is wrong with it, or an empty string.
    """

    cost: Cost
    rows: int
    distinct: int
    requests: int
    refused: int
    state: Any
    failure: str


def run(command: Sequence[str], output: Path, folder: Path) -> Cost:
    """Run a command to its end; it is killed after ten minutes.

    Args:
        command: The command.
        output: Where its standard output goes; its standard error goes beside.
        folder: Its working directory and home.
    """
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    with output.open("wb") as out, output.with_suffix(".log").open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=out, stderr=log, stdin=subprocess.DEVNULL, cwd=folder, env=environment
        )
        limit = threading.Timer(_LIMIT, process.kill)
        limit.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        limit.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6, process.returncode)


@dataclass
class Bench:
    """A sandbox that is running, and what reads from it.

    Attributes:
        api: Where it is, and what opens it.
        expected: Records of its default list, which has no archived ones.
        folder: For files, and a home for the processes.
    """

    api: dict[str, str]
    expected: int
    folder: Path
    _asked: int = field(default=0, init=False)
    _refused: int = field(default=0, init=False)

    def read(
        self,
        contender: Contender,
        settings: Mapping[str, Any] | None = None,
        state: object = None,
        *,
        complete: bool = True,
    ) -> Reading:
        """Run a contender once.

        Args:
            contender: Who.
            settings: Further settings of the tap itself.
            state: The Singer state to start from, or None.
            complete: Whether it has to write every record of the list, once.
        """
        output = self.folder / "output"
        command = contender.command(self.api, self.folder, settings or {}, state)
        cost = run(command, output, self.folder)
        counted = subprocess.run(
            [sys.executable, "-m", "benchmarks.check", str(output), self.api["api_url"]],
            capture_output=True,
            text=True,
            check=False,
            cwd=_ROOT,
        )
        log = output.with_suffix(".log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        failure = ""
        counts: dict[str, Any] = {
            "rows": 0,
            "distinct": 0,
            "requests": self._asked,
            "refused": self._refused,
            "state": None,
        }
        if cost.code:
            failure = f"exit code {cost.code}: {log[-1] if log else 'no reason given'}"
        elif counted.returncode:
            failure = f"its output cannot be read: {(counted.stderr.strip() or 'no reason given').splitlines()[-1]}"
        if not counted.returncode:
            counts = json.loads(counted.stdout)
        if not failure and complete and not counts["rows"] == counts["distinct"] == self.expected:
            failure = f"wrote {counts['rows']:,} rows, {counts['distinct']:,} distinct, of {self.expected:,}"
        asked, refused = counts["requests"] - self._asked, counts["refused"] - self._refused
        self._asked, self._refused = counts["requests"], counts["refused"]
        output.unlink()
        return Reading(cost, counts["rows"], counts["distinct"], asked, refused, counts["state"], failure)


@contextlib.contextmanager
def sandbox(runs: int, latency: float) -> Iterator[Bench]:
    """Run a sandbox in a process of its own.

    Args:
        runs: Runs it holds, archived ones included.
        latency: Seconds before each answer.
    """
    command = [sys.executable, "-m", "sandbox", "--runs", str(runs), "--seed", "1", "--latency", str(latency)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process,
    ):
        try:
            said = json.loads(process.stdout.readline() if process.stdout else "")
            api = {name: said[name] for name in ("api_url", "org_id", "access_token")}
            bench = Bench(api, _live(api), Path(folder))
            bench._asked = 1  # noqa: SLF001 - the one request for the number of records
            yield bench
        finally:
            process.terminate()


def _live(api: dict[str, str]) -> int:
    # http.client, because what this process holds in memory counts towards the peak of those it starts.
    url = urlsplit(api["api_url"])
    connection = http.client.HTTPConnection(url.netloc, timeout=600)
    headers = {"Authorization": f"Bearer {api['access_token']}", "X-Tallyfy-Client": "APIClient"}
    connection.request("GET", f"{url.path}/organizations/{api['org_id']}/runs?page=1&per_page=1", headers=headers)
    total = json.loads(connection.getresponse().read())["meta"]["pagination"]["total"]
    connection.close()
    return int(total)
