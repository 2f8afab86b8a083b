"""`make demo`, from a made-up account to the page, and how it is stopped."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox, demo
from sandbox.data import AS_OF
from tests.meltano import Project, variables, without_an_account
from tests.models import shared
from tests.scenarios import DEMONSTRATED
from tests.tap import ROOT, settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios import Scenario


@pytest.fixture
def alone(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project for the demo, without settings in the environment."""
    without_an_account(monkeypatch)
    return project


@pytest.fixture
def without_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first demo shows that the tables and the page are made; to the others they would add half a minute each."""
    monkeypatch.setattr(demo, "build", lambda *_: None)
    monkeypatch.setattr(demo, "write_page", lambda database, _: database.with_suffix(".html"))


def execute(database: Path, *statements: str) -> None:
    """Write into a DuckDB file with the loader's own version of duckdb."""
    program = "import duckdb, sys; [duckdb.connect(sys.argv[1]).execute(sql) for sql in sys.argv[2:]]"
    subprocess.run([str(demo.LOADER_PYTHON), "-c", program, str(database), *statements], check=True)


def test_the_demo_goes_from_a_made_up_account_to_the_page(
    demonstration: Scenario, tmp_path_factory: pytest.TempPathFactory
) -> None:
    demonstration()
    folder = shared(tmp_path_factory, "demonstration")
    said = (folder / "said").read_text(encoding="utf-8")
    *doing, nothing, where, sql, page = said.splitlines()
    assert [line.split()[0] for line in doing[:2]] == ["Making", "Syncing"]
    assert re.search(r"^OK: 12 tables hold all [\d,]+ rows of the account", said, re.MULTILINE)
    assert re.search(r"^Statuses and dates are equal too: 60 processes; [\d,]+ tasks\.$", said, re.MULTILINE)
    assert re.search(r"^Building \d\d tables and views with dbt.*\nWriting the page, some seconds$", said, re.MULTILINE)
    assert nothing == ""
    assert [line.split()[-1] for line in (where, page)] == ["output/sandbox.duckdb", "output/sandbox.html"]
    assert sql.endswith("make sql FILE=output/sandbox.duckdb")
    assert (folder / "output/sandbox.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    # What is open is measured when the account was read, by the sandbox's clock and not by ours.
    as_of, stages, holidays = demo.query(
        folder / "output/sandbox.duckdb",
        "SELECT as_of::DATE FROM analytics.organization",
        "SELECT count(*) > 0 FROM stages",
        "SELECT count(*) FROM analytics_staging.holidays",
    )
    assert as_of == [[AS_OF.date().isoformat()]]
    assert (stages, holidays) == ([[True]], [[3]])


@pytest.mark.usefixtures("without_page")
def test_a_demo_goes_on_where_the_last_one_was_unless_that_was_stopped(
    demonstration: Scenario,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    demonstration()
    folder = tmp_path_factory.mktemp("again") / "project"
    shutil.copytree(shared(tmp_path_factory, "demonstration"), folder, symlinks=True)
    database = folder / "output/sandbox.duckdb"
    without_an_account(monkeypatch)

    # Another sync is incremental, and leaves the account of the environment alone.
    with Sandbox(runs=DEMONSTRATED, seed=demo.SEED) as own, monkeypatch.context() as patched:
        for name, value in variables("tap-tallyfy", **settings_for(own)).items():
            patched.setenv(name, value)
        assert demo.main(folder, DEMONSTRATED) == 0
        assert own.requests == []
    said = capsys.readouterr().out
    assert "for your account: make report" in said
    changed = re.search(r"Incremental since 20.*, new or changed: ([\d,]+) rows", said)
    assert changed
    assert int(changed[1].replace(",", "")) < 700, "rows that were only sent again are not counted"
    assert re.search(r" \d+ processes, and [1-9]\d* deleted;", said)

    # The state goes with the database, so that one which was stopped before it had all rows starts over.
    away = database.rename(database.with_name("away.duckdb"))
    assert "Stopped" in stopped_by(signal.SIGINT, folder)
    away.rename(database)
    execute(database, "DELETE FROM tasks", "CREATE VIEW mine AS SELECT id FROM runs")
    assert demo.main(folder, DEMONSTRATED) == 0, capsys.readouterr().out
    assert "Full sync, new or changed: " in capsys.readouterr().out
    # A database without its state is kept.
    assert demo.query(database, "SELECT count(*) >= 60 FROM mine") == [[[True]]]


@pytest.mark.parametrize("content", ["not a database", None], ids=["other file", "folder"])
def test_the_demo_leaves_a_file_that_it_cannot_read(
    alone: Project, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    database = alone.folder / "output/sandbox.duckdb"
    if content:
        database.write_text(content, encoding="utf-8")
    else:
        (database / "inside").mkdir(parents=True)
    assert demo.main(alone.folder, processes=60) == 1
    *_, said = capsys.readouterr().out.splitlines()
    assert said.startswith(f"FAIL: {database} cannot be read: ")
    assert database.exists()


def wait_for(text: str, file: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a file holds a text; a process that ends without it is a failure."""
    while not (file.exists() and text in file.read_text(encoding="utf-8")):
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"it ended with exit code {process.wait(timeout=0.1)}")


#: The demo with an account that never answers, so that its sync is still under way whenever it is stopped.
ENDLESS_DEMO = """
import sys, threading
from pathlib import Path
from sandbox import api, demo
api.Api.answer = lambda *_: threading.Event().wait()
demo.cli(Path(sys.argv[1]), 60)
"""


def stopped_by(number: signal.Signals, folder: Path) -> str:
    """Start the demo in a folder, send a signal to it and all it has started while it syncs, and return its output."""
    log = folder / "output/demo.log"
    log.unlink(missing_ok=True)  # that of the demo before
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS_DEMO, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        wait_for("Running job", log, process)
        os.killpg(process.pid, number)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    assert "Run completed" in log.read_text(encoding="utf-8"), "Meltano had the time to note that it was stopped"
    return said


def test_a_demo_is_stopped_by_sigterm_as_by_ctrl_c(alone: Project) -> None:
    stopped_by(signal.SIGTERM, alone.folder)


def test_a_demo_whose_terminal_is_closed_ends_as_by_sigterm() -> None:
    program = (
        "import signal, sys; from sandbox import demo;"
        "demo.main = lambda *_: print('began', flush=True) or signal.pause(); demo.cli()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "began\n"
        process.send_signal(signal.SIGHUP)
        said, _ = process.communicate(timeout=120)
    assert (process.returncode, said) == (128 + signal.SIGHUP, "")


@pytest.mark.parametrize("path", ["output", "output/demo.log"])
def test_a_demo_that_may_not_write_says_so(alone: Project, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = alone.folder / path  # what is no folder cannot be written into, nor a folder as a file, even by root
    if path == "output":
        place.rmdir()
        place.touch()
    else:
        place.mkdir()
    assert demo.main(alone.folder, processes=60) == 1
    *_, said = capsys.readouterr().out.splitlines()
    assert said.startswith("FAIL: ")
    assert str(place) in said


@pytest.mark.parametrize(
    ("stored", "exit_code", "said"),
    [
        ({"a", "new"}, 0, "OK"),
        ({"a", "new", "deleted"}, 0, "1 tables hold all 2 rows of the account, and 1 that were deleted"),
        ({"a"}, 1, "1 rows of the account are missing"),
        ({"a", "new", "foreign"}, 1, "1 rows of the warehouse never were in the account"),
    ],
)
def test_the_demo_lets_the_warehouse_keep_only_what_was_deleted(
    stored: set[str], exit_code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{("runs", each, "active", None) for each in ids} for ids in (stored, {"a", "new"}, {"a", "deleted"})]
    assert demo.compare(*rows) == exit_code
    assert said in capsys.readouterr().out
