"""Runs the real tap as a process of its own against a sandbox, and reads what it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import forked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox import Sandbox
    from sandbox.wire import Request

ROOT = Path(__file__).resolve().parent.parent
TAP = (sys.executable, "-m", "tap_tallyfy")
#: The same with the stream of processes alone.
RUNS = (sys.executable, "-m", "tests.runs")


@dataclass(frozen=True)
class Result:
    """What a run of the tap left behind."""

    code: int
    lines: list[str]
    stderr: str
    requests: list[Request]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [message["record"] for message in self.messages if message["type"] == "RECORD"]

    @property
    def states(self) -> list[dict[str, Any]]:
        return [message["value"] for message in self.messages if message["type"] == "STATE"]

    @property
    def schemas(self) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == "SCHEMA"]

    @property
    def catalog(self) -> dict[str, Any]:
        catalog: dict[str, Any] = json.loads("\n".join(self.lines))
        return catalog

    @property
    def ids(self) -> set[str]:
        return {record["id"] for record in self.records}

    @property
    def lists(self) -> list[Request]:
        """The requests for a page of a list, so not those for a token."""
        return [request for request in self.requests if request.method == "GET"]

    @property
    def errors(self) -> list[str]:
        """The sentences logged as errors."""
        logged = [line for line in self.stderr.splitlines() if "| ERROR" in line or "| CRITICAL" in line]
        return [line.split(" | ", 3)[3] for line in logged]

    @property
    def everything(self) -> str:
        """All that anybody may come to read: both outputs."""
        return "\n".join((*self.lines, self.stderr))


def require(there: object, missing: str) -> None:
    """Skip a test without what it needs, or fail it where CI is set."""
    if not there:
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without any setting of the tap, and with these variables."""
    ours = ("TAP_TALLYFY_", "LOGLEVEL", "SINGER_SDK_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path, "NO_PROXY": "127.0.0.1", **variables}


def settings_for(sandbox: Sandbox, **settings: Any) -> dict[str, Any]:
    """Return what lets the tap into a sandbox, and these settings; None takes one out."""
    account = {"api_url": sandbox.api_url, "org_id": sandbox.org_id, "access_token": sandbox.access_token}
    return {name: value for name, value in {**account, **settings}.items() if value is not None}


def run_command(
    *args: str,
    sandbox: Sandbox | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
    command: Sequence[str] = TAP,
) -> Result:
    """Run the tap with this command line, in an empty folder."""
    before = len(sandbox.requests) if sandbox else 0
    start = forked.run if tuple(command) in {TAP, RUNS} and "PYTHONPATH" not in (env or {}) else _run
    with tempfile.TemporaryDirectory() as folder:
        code, out, err = start([*command, *args], folder, environment(**(env or {})), timeout)
    # Only a line feed ends a message: other signs that Python takes for line ends may be part of a text.
    lines = out.removesuffix("\n").split("\n") if out else []
    return Result(code, lines, err, sandbox.requests[before:] if sandbox else [])


def _run(command: Sequence[str], cwd: str, env: Mapping[str, str], timeout: float) -> tuple[int, str, str]:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def run_tap(
    sandbox: Sandbox,
    *,
    state: Mapping[str, Any] | None = None,
    catalog: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    args: Sequence[str] = (),
    timeout: float = 300,
    command: Sequence[str] = RUNS,
    **settings: Any,
) -> Result:
    """Sync once; settings are added to those that let the tap into the sandbox, and None takes one out."""
    files = {"config": settings_for(sandbox, **settings), "state": state, "catalog": catalog}
    with tempfile.TemporaryDirectory() as folder:
        given: list[str] = []
        for name, content in files.items():
            if content is not None:
                file = Path(folder, f"{name}.json")
                file.write_text(json.dumps(content), encoding="utf-8")
                given += [f"--{name}", str(file)]
        return run_command(*given, *args, sandbox=sandbox, env=env, timeout=timeout, command=command)
