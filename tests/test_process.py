"""The process by itself: what it does where something of its surroundings is missing or wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox
from tests.tap import RUNS, TAP, environment, run_command, run_tap, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(runs=300, seed=3) as running:
        yield running


@pytest.mark.parametrize("variable", ["TAP_TALLYFY_LOGLEVEL", "LOGLEVEL"])
def test_a_log_level_that_there_is_not_is_a_sentence(sandbox: Sandbox, variable: str) -> None:
    result = run_tap(sandbox, command=TAP, env={variable: "nonsense"})
    assert result.code == 78
    assert result.requests == []
    assert "Traceback" not in result.stderr
    (line,) = result.stderr.splitlines()
    assert variable in line
    assert "nonsense" in line


@pytest.mark.parametrize("level", ["", " ", "debug", "WARNING"])
def test_a_log_level_is_taken(level: str) -> None:
    assert run_command("--about", env={"TAP_TALLYFY_LOGLEVEL": level}).code == 0


@pytest.mark.parametrize("closed", [1, 2])
def test_an_output_that_is_closed_from_the_start(sandbox: Sandbox, tmp_path: Path, closed: int) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings_for(sandbox)), encoding="utf-8")
    command = ["sh", "-c", f'exec "$@" {closed}>&-', "sh", *RUNS, "--config", str(config)]
    done = subprocess.run(
        command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if closed == 1:
        assert done.returncode == 74
        (error,) = [line for line in done.stderr.splitlines() if "| ERROR" in line]
        assert "standard output is closed" in error
    else:
        assert done.returncode == 0
        assert json.loads(done.stdout.splitlines()[-1])["type"] == "STATE"


def test_without_a_thread_to_be_had_pages_are_read_one_after_the_other(sandbox: Sandbox) -> None:
    code = """
import threading
from tap_tallyfy.streams import RunsStream
from tap_tallyfy.tap import TapTallyfy
def start(_):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
TapTallyfy.stream_types = (RunsStream,)
TapTallyfy.cli()
"""
    result = run_tap(sandbox, command=(sys.executable, "-c", code), page_size=20)
    assert result.code == 0, result.stderr
    assert result.ids == sandbox.runs.keys()


def test_another_working_directory_that_is_gone(sandbox: Sandbox, tmp_path: Path) -> None:
    gone, config = tmp_path / "gone", tmp_path / "config.json"
    gone.mkdir()
    config.write_text(json.dumps(settings_for(sandbox)), encoding="utf-8")
    command = ["sh", "-c", f'cd "{gone}" && rmdir "{gone}" && exec "$@"', "sh", *RUNS, "--config", str(config)]
    env = {**environment(), "PWD": os.sep}
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
