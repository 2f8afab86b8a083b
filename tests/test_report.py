"""The report of a sync: whatever ends the process writes one that `schemas/report.json` describes."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from sandbox import Fault, Sandbox
from tests.lists import sync
from tests.tap import ROOT, RUNS, environment, run_tap, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA = json.loads((ROOT / "schemas/report.json").read_text(encoding="utf-8"))


def valid(path: Path, account: Sandbox) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    jsonschema.validate(report := json.loads(text), SCHEMA, format_checker=jsonschema.FormatChecker())
    assert account.access_token not in text
    assert [file.name for file in path.parent.iterdir() if file.name.startswith(path.name)] == [path.name]
    return dict(report)


def test_a_sync_that_is_done_says_what_each_stream_took(account: Sandbox, tmp_path: Path) -> None:
    done = sync(account, report=str(tmp_path / "report.json"), emit_activate_version_messages=False)
    report = valid(tmp_path / "report.json", account)
    assert (done.code, report["code"], report["outcome"], report["retry"], report["message"]) == (
        0,
        0,
        "done",
        False,
        "",
    )
    rows = {message["stream"] for message in done.messages if message["type"] == "RECORD"}
    assert {name for name, stream in report["streams"].items() if stream["rows"]} == rows
    assert all(stream["done"] for stream in report["streams"].values())
    assert sum(stream["requests"] for stream in report["streams"].values()) == len(done.requests)
    assert report["complete"]["runs"]["rows"] == len(account.runs)
    assert report["complete"]["runs"]["began"] >= report["started"]


def revoke(account: Sandbox) -> None:
    account.revoke_tokens()


def forbid(account: Sandbox) -> None:
    account.behaviour.forbidden = frozenset({"runs"})


def misspell(account: Sandbox) -> None:
    account.faults = [Fault("status", 422)] * 50


@pytest.mark.parametrize(("breakage", "code"), [(revoke, 77), (forbid, 77), (misspell, 78)])
def test_a_sync_that_failed_says_why(
    account: Sandbox, tmp_path: Path, breakage: Callable[[Sandbox], None], code: int
) -> None:
    breakage(account)
    failed = run_tap(account, report=str(tmp_path / "report.json"))
    report = valid(tmp_path / "report.json", account)
    assert (failed.code, report["code"], report["outcome"], report["retry"]) == (code, code, "failed", False)
    assert report["message"]
    assert report["complete"] == {}


def test_wrong_settings_are_reported(account: Sandbox, tmp_path: Path) -> None:
    failed = run_tap(account, report=str(tmp_path / "report.json"), page_size=0)
    report = valid(tmp_path / "report.json", account)
    assert (failed.code, report["code"], report["streams"]) == (78, 78, {})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_sync_that_was_stopped_says_so(account: Sandbox, tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "config.json").write_text(json.dumps(settings_for(account, report="report.json")))
    running: list[subprocess.Popen[bytes]] = []

    def stop(_: object) -> None:
        if running and len(account.requests) == 2:
            running[0].send_signal(number)

    account.before_list = stop
    running.append(
        subprocess.Popen(
            [*RUNS, "--config", "config.json"],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    )
    assert running[0].wait(120) == 128 + number
    report = valid(tmp_path / "report.json", account)
    assert (report["code"], report["outcome"], report["retry"]) == (128 + number, "stopped", True)


def test_discovery_reports_nothing(account: Sandbox, tmp_path: Path) -> None:
    found = run_tap(account, report=str(tmp_path / "report.json"), args=["--discover"])
    assert found.code == 0
    assert not (tmp_path / "report.json").exists()
