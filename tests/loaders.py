"""Real loaders, into PostgreSQL and DuckDB, that the real tap is piped into."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.lists import JSON_TEXTS, STREAMS, by_key, catalog, has_no_misfit, key_of
from tests.meltano import PLUGINS
from tests.tap import ROOT, TAP, environment, require, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox import Sandbox
    from tests.lists import Key, Row, Tables
    from tests.postgres import Postgres

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
    require(path.exists(), f"The loader {loader} is not installed: run `make test`, which installs it")
    return path


@dataclass(frozen=True)
class Piped:
    """What a sync into a loader left behind: the tap's exit code and log, its messages, and what the loader wrote."""

    code: int
    log: str
    messages: list[bytes]
    state: Row | None


def pipe(
    loader: str,
    folder: Path,
    *,
    target: Row,
    started: Callable[[subprocess.Popen[bytes]], object],
    command: Sequence[str] = TAP,
    **given: Row | None,
) -> Piped:
    """Pipe the tap, given files such as config and state, into a loader with these settings beside its default ones."""
    paths = {name: folder / f"{name}.json" for name in (*given, "target")}
    for name, content in {**given, "target": {**defaults(loader), **target}}.items():
        paths[name].write_text(json.dumps(content), encoding="utf-8")
    tap = [*command, *(part for name in given if given[name] for part in (f"--{name}", str(paths[name])))]
    messages, logs = folder / "messages.jsonl", [folder / "tap.log", folder / "target.log"]
    with (
        logs[0].open("wb") as tap_log,
        logs[1].open("wb") as target_log,
        subprocess.Popen(
            tap, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=tap_log
        ) as source,
        subprocess.Popen(["tee", str(messages)], stdin=source.stdout, stdout=subprocess.PIPE) as tee,
        subprocess.Popen(
            [str(program(loader)), "--config", str(paths["target"])],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if not name.startswith("TARGET_")},
            stdin=tee.stdout,
            stdout=subprocess.PIPE,
            stderr=target_log,
        ) as sink,
    ):
        started(source)
        for output in (source.stdout, tee.stdout):
            assert output
            output.close()  # the processes hold their own ends
        try:
            states = sink.communicate(timeout=SECONDS)[0].decode().splitlines()
        except subprocess.TimeoutExpired:
            for process in (source, tee, sink):
                process.kill()
            raise
    log, loaders_log = (each.read_text(encoding="utf-8") for each in logs)
    assert (tee.returncode, sink.returncode) == (0, 0), (log + loaders_log)[-5000:]
    state = json.loads(states[-1]) if states else None
    return Piped(source.returncode, log, messages.read_bytes().splitlines(), state)


@dataclass
class Warehouse:
    """What an account is synced into, and the state kept between syncs."""

    sandbox: Sandbox
    folder: Path
    loader: str
    place: Row
    read: Callable[[], dict[str, list[Row]]]
    states: dict[bool, Row] = field(default_factory=dict)
    log: str = ""
    codes: list[int] = field(default_factory=list)
    running: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """Stop the tap in the middle of a sync."""
        assert self.running
        self.running.terminate()

    def sync(self, *, full: bool = False, **settings: Any) -> None:
        """Pipe the tap, with the state the loader wrote last, into the loader; reading everything has its own state."""
        done = pipe(
            self.loader,
            self.folder,
            target=self.place,
            started=self._started,
            config=settings_for(self.sandbox, **settings),
            catalog=catalog(full=full),
            state=self.states.get(full),
        )
        self.log = done.log
        if done.state is not None:
            self.states[full] = done.state
        self.codes.append(done.code)

    def _started(self, tap: subprocess.Popen[bytes]) -> None:
        self.running = tap

    def deleted(self) -> dict[str, set[Key]]:
        """The keys of the rows that are marked as deleted."""
        return {
            name: {key_of(name, row) for row in rows if row["_sdc_deleted_at"] is not None}
            for name, rows in self.read().items()
        }

    def tables(self) -> Tables:
        """What it holds, as `expected` has it."""
        found = self.read()
        for name, rows in found.items():
            assert len({key_of(name, row) for row in rows}) == len(rows), f"{name} has rows of one key"
        return {name: by_key(name, (sent(name, row) for row in rows)) for name, rows in found.items()}


def defaults(loader: str) -> Row:
    """The settings of a loader in the project file."""
    plugins = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]["loaders"]
    (found,) = (plugin for plugin in plugins if plugin["name"] == loader)
    return {setting["name"]: setting["value"] for setting in found["settings"] if "value" in setting}


def sent(name: str, row: Row) -> Row:
    """What a row of a table says: without the loader's own columns, and JSON read where it is kept as text."""
    row = {column: value for column, value in row.items() if not column.startswith("_sdc_")}
    extra = row.pop("_extra", None)
    assert has_no_misfit(name, json.loads(extra) if isinstance(extra, str) else extra)
    nested = {*json_columns()[name], *JSON_TEXTS}
    return {
        column: json.loads(value) if column in nested and isinstance(value, str) else value
        for column, value in row.items()
    }


def filled(tables: Tables) -> Tables:
    """The columns that hold anything, by lower-case name: DuckDB's loader knows no other, and writes "" as null."""
    return {
        name: {
            key: {
                field.lower(): value
                for field, value in row.items()
                if value not in _EMPTY and (name, field) not in _MAY_BE_STALE
            }
            for key, row in rows.items()
        }
        for name, rows in tables.items()
    }


_EMPTY: tuple[Any, ...] = (None, "")
#: A process that changes its status changes this of all its tasks, and nothing in them says so.
_MAY_BE_STALE = {("tasks", "run_status")}


def rows_in_postgres(server: Postgres, schema: str) -> dict[str, list[Row]]:
    return {name: [row for (row,) in server.query(f"SELECT to_jsonb({name}) FROM {schema}.{name}")] for name in STREAMS}


def rows_in_duckdb(file: Path) -> dict[str, list[Row]]:
    command = [str(program("target-duckdb").with_name("python")), "-c", READ_DUCKDB, str(file), *STREAMS]
    found: dict[str, list[Row]] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


@pytest.fixture
def in_postgres(sandbox: Sandbox, tmp_path: Path, postgres: Postgres) -> Warehouse:
    schema = re.sub(r"\W", "_", tmp_path.name).lower()  # the server is that of all tests
    place = {**postgres.loader_settings, "default_target_schema": schema}
    return Warehouse(sandbox, tmp_path, "target-postgres", place, lambda: rows_in_postgres(postgres, schema))


@pytest.fixture
def in_duckdb(sandbox: Sandbox, tmp_path: Path) -> Warehouse:
    file = tmp_path / "tallyfy.duckdb"
    return Warehouse(sandbox, tmp_path, "target-duckdb", {"filepath": str(file)}, lambda: rows_in_duckdb(file))


@pytest.fixture(params=["in_postgres", "in_duckdb"])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    """A warehouse of either kind, filled from the test's own sandbox."""
    made: Warehouse = request.getfixturevalue(request.param)
    return made
