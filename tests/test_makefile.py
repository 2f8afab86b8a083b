"""What `make` tells the programs that it starts."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.tap import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path


def make(*args: str, **variables: str) -> str:
    env = {name: value for name, value in environment().items() if name not in {"SEED", "SOAK", "UV_SYSTEM_CERTS"}}
    return subprocess.run(
        ["make", "--no-print-directory", *args],
        cwd=ROOT,
        env=env | variables,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def soak(tmp_path: Path, **variables: str) -> list[str]:
    """What `make soak` prints: its own first line, then how it starts the tests."""
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\ncase "$1" in -c) exec python3 "$@";; esac\necho "SEED=$SEED SOAK=$SOAK $*"\n', encoding="utf-8"
    )
    python.chmod(0o755)
    return make("--old-file=.venv/ready", "soak", f"BIN={tmp_path}", **variables).splitlines()


def test_a_search_begins_with_the_seed_that_repeats_it(tmp_path: Path) -> None:
    first, started = soak(tmp_path)
    command = first.removeprefix("To repeat this search: ")
    assignment, *rest = command.split()
    assert rest == ["make", "soak"]
    seed = assignment.removeprefix("SEED=")
    assert seed.isdecimal()
    assert soak(tmp_path, SEED=seed) == [first, started]
    assert f"--hypothesis-seed={seed}" in started
    assert f"SEED={seed} SOAK=20 " in started
    assert soak(tmp_path)[0] != first
    assert soak(tmp_path, SEED="7", SOAK="3")[0] == "To repeat this search: SEED=7 make soak SOAK=3"


@pytest.mark.parametrize(("given", "there"), [({}, "true"), ({"UV_SYSTEM_CERTS": "false"}, "false")])
def test_uv_trusts_what_the_system_trusts_unless_told_otherwise(
    given: dict[str, str], there: str, tmp_path: Path
) -> None:
    if not os.path.exists("/etc/ssl/certs/ca-certificates.crt"):  # noqa: PTH110 - as make looks for it
        pytest.skip("the system keeps its certificates elsewhere")
    shown = tmp_path / "show.mk"
    shown.write_text(f"include {ROOT}/Makefile\nshow:\n\t@echo $$UV_SYSTEM_CERTS\n", encoding="utf-8")
    assert make("-f", str(shown), "show", **given) == f"{there}\n"


@pytest.mark.usefixtures("unmeasured")
def test_a_demo_that_is_interrupted_before_it_has_begun_shows_no_traceback(tmp_path: Path) -> None:
    """The demo imports a module in which Ctrl-C reaches it."""
    (tmp_path / "textwrap.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)", encoding="utf-8")
    there = [f"--old-file={name}/ready" for name in (".venv", ".venv-analyze")]
    command = ["make", *there, "--old-file=.venv-meltano/demo", "demo"]
    env = environment(PYTHONPATH=str(tmp_path))
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "Interrupt" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
