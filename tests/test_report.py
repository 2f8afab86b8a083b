"""The report of a sync: whatever ends the process writes one that `schemas/report.json` describes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from sandbox import Fault, Sandbox
from tests.lists import sync
from tests.tap import ROOT, RUNS, TAP, environment, run_tap, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATH = "TAP_TALLYFY_REPORT"
PARQUET = {"encoding": {"format": "parquet"}, "storage": {"root": "file:///tmp"}}
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


def test_a_code_that_needs_somebody_is_the_one_that_is_reported(account: Sandbox, tmp_path: Path) -> None:
    account.behaviour.forbidden = frozenset({"tags"})
    account.fault_for = lambda request: Fault("status", 403, b"<html>") if "groups" in request.path else None
    failed = sync(account, ["groups", "tags", "users"], report=str(tmp_path / "report.json"))
    report = valid(tmp_path / "report.json", account)
    assert (failed.code, report["code"], report["retry"]) == (77, 77, False)
    assert "groups" in report["message"]
    assert "403" in report["message"]
    assert set(report["complete"]) == {"users"}
    assert report["streams"]["users"]["done"]


WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...], dict[str, str], int, str]] = {
    "a setting": ({"page_size": 0}, (), {}, 78, "0"),
    "no credentials": ({"access_token": None}, (), {}, 78, "'access_token' is not set"),
    "an option": ({}, ("--nonsense",), {}, 2, "--nonsense"),
    "a state that is not there": ({}, ("--state", "nowhere.json"), {}, 2, "nowhere.json"),
    "a second file of settings": ({}, ("--config", "nowhere.json"), {}, 78, "nowhere.json"),
    "a level of the log": ({}, (), {"LOGLEVEL": "nonsense"}, 78, "'nonsense'"),
    "a batch without its package": ({"batch_config": PARQUET}, (), {}, 78, "package"),
}


@pytest.mark.parametrize(("settings", "args", "env", "code", "said"), WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("way", ["file", "environment"])
def test_what_is_wrong_before_a_sync_is_reported(
    account: Sandbox,
    tmp_path: Path,
    settings: dict[str, Any],
    args: tuple[str, ...],
    env: dict[str, str],
    code: int,
    said: str,
    way: str,
) -> None:
    path = str(tmp_path / "report.json")
    given, more, variables = (
        (path, args, env) if way == "file" else (None, ("--config=ENV", *args), {**env, PATH: path})
    )
    failed = run_tap(account, report=given, args=more, env=variables, command=TAP, **settings)
    report = valid(tmp_path / "report.json", account)
    assert (failed.code, report["code"], report["outcome"], report["retry"]) == (code, code, "failed", False)
    assert report["streams"] == report["complete"] == {}
    assert said in report["message"]
    assert account.requests == []


def test_the_environment_says_where_before_a_file_does(account: Sandbox, tmp_path: Path) -> None:
    """As with every other setting, whether the sync begins or not."""
    for number, page_size in enumerate((0, 100)):
        path = tmp_path / f"{number}.json"
        run_tap(
            account,
            report=str(tmp_path / "of the file"),
            page_size=page_size,
            args=("--config=ENV",),
            env={PATH: str(path)},
        )
        assert valid(path, account)["code"] == (0 if page_size else 78)
    assert not (tmp_path / "of the file").exists()


def test_an_env_file_says_where(account: Sandbox, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"{PATH}={tmp_path}/report.json\nTAP_TALLYFY_PAGE_SIZE=0\n")
    (tmp_path / "config.json").write_text(json.dumps(settings_for(account)))
    command = [sys.executable, "-c", "from tests.runs import TapTallyfy; TapTallyfy.cli()"]  # looks here for `.env`
    command += ["--config=config.json", "--config=ENV"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, check=False, timeout=300)
    assert done.returncode == 78
    assert valid(tmp_path / "report.json", account)["code"] == 78


def test_a_bug_is_reported_without_what_it_was_about(account: Sandbox, tmp_path: Path) -> None:
    name = next(iter(account.runs.values()))["name"]
    code = """
from tests.runs import RunsStream, TapTallyfy
def fail(self, record, context=None):
    raise LookupError(record["name"])
RunsStream.post_process = fail
TapTallyfy.cli()
"""
    failed = run_tap(account, report=str(tmp_path / "report.json"), command=(sys.executable, "-c", code))
    report = valid(tmp_path / "report.json", account)
    assert (failed.code, report["code"], report["retry"]) == (70, 70, False), failed.stderr
    assert "LookupError" in report["message"]
    assert not any(run["name"] in report["message"] for run in account.runs.values()), name


@pytest.mark.parametrize("place", ["folder", "taken/report.json"])
def test_a_report_that_cannot_be_written_fails_the_sync(account: Sandbox, tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "taken").write_text("")
    failed = run_tap(account, report=str(tmp_path / place))
    assert failed.code == (74 if place == "folder" else 78)
    (sentence,) = failed.errors
    assert "'report'" in sentence
    assert [file.name for file in tmp_path.iterdir() if file.name not in {"folder", "taken"}] == []


def test_a_sync_that_failed_keeps_its_code_if_it_cannot_be_reported(account: Sandbox, tmp_path: Path) -> None:
    revoke(account)
    failed = run_tap(account, report=str(tmp_path))
    assert failed.code == 77
    assert len(failed.errors) == 1


def test_a_target_that_is_gone_is_reported(account: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(settings_for(account, report="report.json")))
    piped = 'set -o pipefail; "$@" --config config.json | true'
    done = subprocess.run(
        ["bash", "-c", piped, "bash", *RUNS],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=False,
        timeout=300,
    )
    report = valid(tmp_path / "report.json", account)
    assert (done.returncode, report["code"], report["retry"]) == (74, 74, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("times", [1, 3])
def test_a_sync_that_was_stopped_says_so(account: Sandbox, tmp_path: Path, number: signal.Signals, times: int) -> None:
    (tmp_path / "config.json").write_text(json.dumps(settings_for(account, report="report.json")))
    running: list[subprocess.Popen[bytes]] = []

    def stop(_: object) -> None:
        if running and len(account.requests) >= 2:
            for _ in range(times):
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
    # A signal that comes once the report is written ends the process by itself.
    assert running[0].wait(120) in {128 + number, -number if times > 1 else 128 + number}
    report = valid(tmp_path / "report.json", account)
    assert (report["code"], report["outcome"], report["retry"]) == (128 + number, "stopped", True)


def test_a_sync_that_is_stopped_before_it_has_begun_says_so(account: Sandbox, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state")  # the tap waits for somebody to write it
    (tmp_path / "config.json").write_text(json.dumps(settings_for(account, report="report.json")))
    with (
        subprocess.Popen(
            [*RUNS, "--config", "config.json", "--state", "state"],
            cwd=tmp_path,
            env=environment(),
            stderr=subprocess.PIPE,
        ) as process,
        (tmp_path / "state").open("w"),
    ):  # which opens once the tap reads
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 143
    assert valid(tmp_path / "report.json", account)["outcome"] == "stopped"


@pytest.mark.parametrize("option", ["--discover", "--about", "--test", "--version", "--help"])
def test_what_is_no_sync_reports_nothing(account: Sandbox, tmp_path: Path, option: str) -> None:
    wrong: dict[str, Any] = {"page_size": 0}
    for settings in ({}, wrong):
        run_tap(account, report=str(tmp_path / "report.json"), args=[option], **settings)
        assert list(tmp_path.iterdir()) == []
