"""Every list of an account in a warehouse: the real tap, piped into real loaders, into PostgreSQL and DuckDB."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sandbox import Behaviour, Sandbox
from tests.lists import INCREMENTAL, STREAMS, by_key, catalog, differences, expected
from tests.meltano import PLUGINS
from tests.tap import ROOT, TAP, environment, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.behaviour import Request
    from tests.lists import Row, Tables
    from tests.postgres import Postgres

pytest_plugins = ["tests.postgres"]

READ_DUCKDB = """
import duckdb, json, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
def rows(table):
    result = connection.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in result.description]
    return [dict(zip(names, row)) for row in result.fetchall()]
print(json.dumps({table: rows(table) for table in sys.argv[2:]}, default=str))
"""
SECONDS = 120


@cache
def json_columns() -> dict[str, set[str]]:
    """The columns of each stream that hold objects or arrays."""
    return {
        stream["tap_stream_id"]: {
            name
            for name, column in stream["schema"]["properties"].items()
            if {"object", "array"}.intersection(column.get("type", ()))
        }
        for stream in catalog()["streams"]
    }


def program(loader: str) -> Path:
    """Where a loader is; without it the test is skipped, or fails where CI is set."""
    given = os.environ.get(f"TAP_TALLYFY_{loader.replace('-', '_').upper()}")
    path = Path(given or PLUGINS / "loaders" / loader / "venv/bin" / loader)
    if not path.exists():
        missing = f"The loader {loader} is not installed: run `make test`, which installs it"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path


@dataclass
class Warehouse:
    """What an account is synced into, and the state kept between syncs."""

    sandbox: Sandbox
    folder: Path
    loader: str
    place: Row
    read: Callable[[], dict[str, list[Row]]]
    state: Row | None = None
    log: str = ""
    codes: list[int] = field(default_factory=list)

    def sync(self, **settings: Any) -> None:
        """Pipe the tap, with the state the loader wrote last, into the loader."""
        given = {
            "config": settings_for(self.sandbox, **settings),
            "catalog": catalog(),
            "state": self.state,
            "target": {**defaults(self.loader), **self.place},
        }
        paths = {name: self.folder / f"{name}.json" for name in given}
        for name, content in given.items():
            paths[name].write_text(json.dumps(content), encoding="utf-8")
        wanted = ("config", "catalog", *(["state"] if self.state else []))
        tap = [*TAP, *(part for name in wanted for part in (f"--{name}", str(paths[name])))]
        with (
            (self.folder / "log").open("wb") as log,
            subprocess.Popen(
                tap,
                cwd=self.folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            ) as source,
            subprocess.Popen(
                [str(program(self.loader)), "--config", str(paths["target"])],
                cwd=self.folder,
                env={name: value for name, value in os.environ.items() if not name.startswith("TARGET_")},
                stdin=source.stdout,
                stdout=subprocess.PIPE,
                stderr=log,
            ) as target,
        ):
            assert source.stdout
            source.stdout.close()  # the loader holds its own end
            try:
                states = target.communicate(timeout=SECONDS)[0].decode().splitlines()
            except subprocess.TimeoutExpired:
                source.kill()
                target.kill()
                raise
        self.log = (self.folder / "log").read_text(encoding="utf-8")
        assert target.returncode == 0, self.log[-5000:]
        self.state = json.loads(states[-1]) if states else self.state
        self.codes.append(source.returncode)

    def tables(self) -> Tables:
        """What it holds, as `expected` has it."""
        found = self.read()
        for name, rows in found.items():
            keys = [tuple(row) for row in by_key(name, rows)]
            assert len(keys) == len(rows), f"{name} has rows of one key"
        return {name: by_key(name, (sent(name, row) for row in rows)) for name, rows in found.items()}


def defaults(loader: str) -> Row:
    """The settings of a loader in the project file."""
    plugins = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]["loaders"]
    (found,) = (plugin for plugin in plugins if plugin["name"] == loader)
    return {setting["name"]: setting["value"] for setting in found["settings"] if "value" in setting}


def sent(name: str, row: Row) -> Row:
    """What a row of a table says: without the loader's own columns, and JSON read where it is kept as text."""
    row = {column: value for column, value in row.items() if not column.startswith("_sdc_")}
    assert row.pop("_extra", None) is None
    nested = {*json_columns()[name], *(["value_json"] if name.endswith("_answers") else [])}
    return {
        column: json.loads(value) if column in nested and isinstance(value, str) else value
        for column, value in row.items()
    }


def filled(tables: Tables) -> Tables:
    """The columns that hold anything, by lower-case name: DuckDB's loader knows no other, and writes "" as null."""
    return {
        name: {
            key: {
                field.lower(): as_loaded(name, field, value)
                for field, value in row.items()
                if value not in _EMPTY and (name, field) not in _MAY_BE_STALE
            }
            for key, row in rows.items()
        }
        for name, rows in tables.items()
    }


def as_loaded(name: str, column: str, value: Any) -> Any:
    """A value; PostgreSQL's loader writes the numbers in an array that may hold texts as texts."""
    return [str(item) for item in value] if (name, column) == ("groups", "members") else value


_EMPTY: tuple[Any, ...] = (None, "")
#: A process that changes its status changes this of all its tasks, and nothing in them says so.
_MAY_BE_STALE = {("tasks", "run_status")}


def in_postgres(server: Postgres, schema: str) -> dict[str, list[Row]]:
    return {name: [row for (row,) in server.query(f"SELECT to_jsonb({name}) FROM {schema}.{name}")] for name in STREAMS}


def in_duckdb(file: Path) -> dict[str, list[Row]]:
    command = [str(program("target-duckdb").with_name("python")), "-c", READ_DUCKDB, str(file), *STREAMS]
    found: dict[str, list[Row]] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


@pytest.fixture(params=["target-postgres", "target-duckdb"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    loader: str = request.param
    program(loader)
    sandbox = request.getfixturevalue("sandbox")
    if loader == "target-duckdb":
        file = tmp_path / "tallyfy.duckdb"
        return Warehouse(sandbox, tmp_path, loader, {"filepath": str(file)}, lambda: in_duckdb(file))
    server: Postgres = request.getfixturevalue("postgres")
    place = {**server.loader_settings, "default_target_schema": "lists"}
    return Warehouse(sandbox, tmp_path, loader, place, lambda: in_postgres(server, "lists"))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A small account that people work in."""
    with Sandbox(runs=30, seed=3, behaviour=Behaviour(task_sort="created_at")) as running:
        yield running


def test_every_table_equals_the_account_after_people_have_worked_in_it(warehouse: Warehouse) -> None:
    sandbox, random = warehouse.sandbox, Random(11)

    def work(_: Request) -> None:
        sandbox.mutate(random, random.randrange(3), everything=True)

    for hook in (work, work, None):
        sandbox.before_list = hook
        warehouse.sync()
        sandbox.mutate(random, 0 if hook is None else 20, everything=True)
    assert warehouse.codes[-1] == 0, warehouse.log
    found, right = warehouse.tables(), expected(sandbox)
    # What was deleted for good stays in the tables, since nothing says that it was.
    still_there = {name: {key: row for key, row in rows.items() if key in right[name]} for name, rows in found.items()}
    wrong = differences(filled(still_there), filled(right))
    assert wrong == {}, wrong
    assert all(len(right[name]) > 10 for name in INCREMENTAL)
