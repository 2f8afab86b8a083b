"""What the models are built of in the tests; the first process of a test run that asks for one builds it."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from datetime import timedelta
from io import StringIO
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import Sandbox, demo, organization
from sandbox.data import AS_OF
from tests.lists import catalog
from tests.meltano import PLUGINS, Project, installed, without_an_account
from tests.models import DBT, DuckDB, Tables, once, side_by_side, tables, warehouses
from tests.tap import TAP, require, run_tap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.models import Warehouse
    from tests.postgres import Postgres

    Scenario = Callable[[], list[Tables]]

#: How many processes the accounts have, by seed.
ACCOUNTS = {3: 300, 5: 60}
DEMONSTRATED = 60
OFF_BY_DEFAULT = {"comments", "activity_feed", "run_tags", "stages"}
BERLIN = "Europe/Berlin"
#: The models' own tests take half of a build; those of the first scenario will do.
WITHOUT_TESTS = ("--exclude-resource-type", "test")


def account(seed: int) -> Sandbox:
    """The account of this seed, as it is at the start."""
    return Sandbox(runs=ACCOUNTS[seed], seed=seed)


def tags_of(sandbox: Sandbox) -> dict[str, list[str]]:
    """The titles of the tags of each process."""
    titles = {tag_id: tag["title"] for tag_id, tag in sandbox.records("tags").items()}
    return {run_id: sorted(titles[tag] for tag in run["tag_ids"]) for run_id, run in sandbox.hidden("runs").items()}


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """What `make demo` makes of its account with 60 processes in UTC; `said` in its folder is what it printed."""
    is_there = installed() and DBT.exists() and demo.ANALYZE_PYTHON.exists()
    require(is_there, "Meltano, a plugin, dbt or what draws the charts is not installed: run `make test`")

    def make(folder: Path) -> list[Tables]:
        project = Project.make(folder)
        (folder / ".meltano/utilities").symlink_to(PLUGINS / "utilities")
        own = "TAP_TALLYFY_ORG_ID=mine\nTAP_TALLYFY_RUNS_STATUS=active\nTAP_TALLYFY_START_DATE=2999-01-01\n"
        (folder / ".env").write_text(own, encoding="utf-8")
        with pytest.MonkeyPatch.context() as patched, redirect_stdout(StringIO()) as said:
            without_an_account(patched)
            patched.setattr(organization, "ZONE", "UTC")
            assert demo.main(project.folder, DEMONSTRATED) == 0, said.getvalue()
        (folder / "said").write_text(said.getvalue(), encoding="utf-8")
        return [tables(DuckDB(folder, folder / "output/sandbox.duckdb"))]

    return lambda: once(tmp_path_factory, "demonstration", make)


@pytest.fixture(scope="session")
def two_organizations(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Scenario:
    """All streams of two accounts in one schema, in UTC since their zones differ; in DuckDB, then in PostgreSQL."""

    def make(folder: Path) -> list[Tables]:
        made = warehouses(folder, postgres, demo.HOLIDAYS)
        for seed, zone in zip(ACCOUNTS, (BERLIN, "Asia/Tokyo"), strict=True):
            with account(seed) as sandbox:
                # What the one sync did not send is not gone: it may be the other account's.
                messages = read(sandbox, folder, emit_activate_version_messages=False)
                lines = messages.read_text(encoding="utf-8")
                messages.write_text(lines.replace(f'"timezone":"{BERLIN}"', f'"timezone":"{zone}"'), encoding="utf-8")
                load(made, messages, add_metadata_columns=True)
        return built(made, analytics_csv=True)

    return lambda: once(tmp_path_factory, "two-organizations", make)


@pytest.fixture(scope="session")
def deleted_rows(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Scenario:
    """An account in Berlin of which much was deleted before it was last read in full."""

    def make(folder: Path) -> list[Tables]:
        made = warehouses(folder, postgres, demo.HOLIDAYS)
        with account(5) as sandbox:
            messages = read(sandbox, folder)
            load(made, messages, add_metadata_columns=True)
            delete_some(sandbox)
            again = read(sandbox, folder, full=True, report=str(folder / "report.json"))
            load(made, again, add_metadata_columns=True)
            report = (folder / "report.json").read_text(encoding="utf-8")
            arguments = f"{{org_id: '{sandbox.org_id}', report: {report}}}"
            made[0].dbt("run-operation", "mark_deleted", "--args", arguments)
        return built(made)

    return lambda: once(tmp_path_factory, "deleted-rows", make)


@pytest.fixture(scope="session")
def default_selection(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Scenario:
    """The streams that are read by default and no dates of the loader's, after an incremental sync."""

    def make(folder: Path) -> list[Tables]:
        made = warehouses(folder, postgres)
        selected = all_streams() - OFF_BY_DEFAULT - {"organization"}
        with account(5) as sandbox:
            sandbox.set_clock(AS_OF)
            first = read(sandbox, folder, streams=selected)
            load(made, first, add_metadata_columns=False)
            sandbox.set_clock(AS_OF + timedelta(hours=1))
            sandbox.mutate(Random(1), 40, everything=True)
            second = read(sandbox, folder, streams=selected, state=last_state(first))
            load(made, second, add_metadata_columns=False)
        return built(made, *WITHOUT_TESTS, as_of="2026-01-16 12:00:00")

    return lambda: once(tmp_path_factory, "default-selection", make)


def read(sandbox: Sandbox, folder: Path, *, full: bool = False, streams: set[str] | None = None, **given: Any) -> Path:
    """Sync an account, all of its streams unless some are named, into a file of messages."""
    wanted = catalog(streams or all_streams(), full=full)
    result = run_tap(sandbox, command=TAP, timeout=300, catalog=wanted, **given)
    assert result.code == 0, result.stderr
    file = folder / f"{len(list(folder.glob('*.jsonl')))}.jsonl"
    file.write_text("".join(f"{line}\n" for line in result.lines), encoding="utf-8")
    return file


def load(made: Iterable[Warehouse], messages: Path, **settings: Any) -> None:
    """Load what the tap wrote into all warehouses."""
    side_by_side(made, lambda each: each.load(messages, **settings))


def all_streams() -> set[str]:
    """The streams of the tap, also those that are off by default."""
    return {stream["tap_stream_id"] for stream in catalog()["streams"]}


def delete_some(sandbox: Sandbox) -> None:
    """Delete processes, tasks, a template, a member, a group and a guest for good."""
    for run_id in sorted(sandbox.runs)[:6]:
        sandbox.delete(run_id)
    of_processes = sorted(task_id for task_id, task in sandbox.records("tasks").items() if task["run_id"])
    for task_id in of_processes[:6]:
        sandbox.account.delete("tasks", task_id)
    for name in ("checklists", "users", "groups", "guests"):
        sandbox.account.delete(name, min(sandbox.records(name), key=str))


def last_state(messages: Path) -> dict[str, Any]:
    """The last state that was written."""
    lines = map(json.loads, messages.read_text(encoding="utf-8").removesuffix("\n").split("\n"))
    state: dict[str, Any] = [line["value"] for line in lines if line["type"] == "STATE"][-1]
    return state


def built(made: Iterable[Warehouse], *args: str, **variables: Any) -> list[Tables]:
    """What dbt makes of each, measured at the end of the sandbox's account unless the variables say otherwise."""
    wanted = {"as_of": AS_OF.isoformat(), **variables}
    side_by_side(made, lambda each: each.dbt("build", *args, **wanted))
    return [tables(each) for each in made]
