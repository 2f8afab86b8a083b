"""Accounts in both databases, and the tables and views that dbt makes of them there."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from sandbox.made import tokens_in
from tests.loaders import defaults, program
from tests.meltano import PLUGINS
from tests.postgres import PASSWORD
from tests.tap import ROOT, environment, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pytest

    from tests.postgres import Postgres

TRANSFORM = ROOT / "transform"
DBT = Path(os.environ.get("TAP_TALLYFY_DBT", PLUGINS / "utilities/dbt/venv/bin/dbt"))
SECONDS = 300
#: What a file .env may hold beside what dbt needs.
SECRETS = {
    "TAP_TALLYFY_ACCESS_TOKEN": "an-access-token-in-the-environment",
    "TAP_TALLYFY_CLIENT_SECRET": "a-client-secret-in-the-environment",
    "TARGET_POSTGRES_PASSWORD": PASSWORD,
}
_COLUMNS = """
SELECT table_name, column_name, data_type FROM information_schema.columns
WHERE table_schema = 'analytics' ORDER BY table_name, ordinal_position
"""
_READ = """
import duckdb, json, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
print(json.dumps([connection.execute(sql).fetchall() for sql in sys.argv[2:]], default=str))
"""
#: The names that PostgreSQL has for what DuckDB calls otherwise.
_TYPES = {
    "VARCHAR": "text",
    "DOUBLE": "double precision",
    "TIMESTAMP": "timestamp",
    "timestamp without time zone": "timestamp",
}


@dataclass(frozen=True)
class Table:
    """A table or a view: its columns with their types, and its rows."""

    types: dict[str, str]
    rows: list[list[Any]]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [dict(zip(self.types, row, strict=True)) for row in self.rows]

    @property
    def in_order(self) -> list[list[Any]]:
        return sorted(self.rows, key=repr)


Tables = dict[str, Table]


@dataclass(frozen=True)
class DuckDB:
    """A file."""

    folder: Path
    file: Path

    def load(self, messages: Path, **settings: Any) -> None:
        _load("target-duckdb", self.folder, messages, {"filepath": str(self.file), **settings})

    def query(self, *queries: str) -> list[list[list[Any]]]:
        command = [str(DBT.with_name("python")), "-c", _READ, str(self.file), *queries]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        rows: list[list[list[Any]]] = json.loads(done.stdout)
        return rows

    def dbt(self, *args: str, **variables: Any) -> str:
        return _dbt(self.folder, args, variables, DBT_TARGET="duckdb", TARGET_DUCKDB_FILEPATH=str(self.file))


@dataclass(frozen=True)
class PostgreSQL:
    """A database of its own in the server of the tests."""

    folder: Path
    server: Postgres

    def load(self, messages: Path, **settings: Any) -> None:
        settings.pop("add_metadata_columns", None)  # it is DuckDB's name; PostgreSQL's loader adds them anyway
        _load("target-postgres", self.folder, messages, {**self.server.loader_settings, **settings})

    def query(self, *queries: str) -> list[list[list[Any]]]:
        rows: list[list[list[Any]]] = json.loads(json.dumps([self.server.query(sql) for sql in queries], default=str))
        return rows

    def dbt(self, *args: str, **variables: Any) -> str:
        server = {f"TARGET_POSTGRES_{name.upper()}": str(value) for name, value in self.server.loader_settings.items()}
        return _dbt(self.folder, args, variables, DBT_TARGET="postgres", **server)


Warehouse = DuckDB | PostgreSQL


def warehouses(folder: Path, server: Postgres, holidays: str = "") -> tuple[DuckDB, PostgreSQL]:
    """An empty one of each kind, each with a copy of the project and these lines of holidays."""
    name = folder.name.replace("-", "_")
    with psycopg.connect(
        host=server.host, port=server.port, user=server.user, dbname=server.database, autocommit=True
    ) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    in_postgres = PostgreSQL(folder / "postgres", replace(server, database=name))
    _copy_project(in_postgres.folder, holidays)
    in_duckdb = DuckDB(folder / "duckdb", folder / "duckdb/tallyfy.duckdb")
    _copy_project(in_duckdb.folder, holidays)
    return in_duckdb, in_postgres


def secrets_in(*files: Path) -> set[str]:
    """The secrets that stand in these files, or in the files of these folders."""
    texts = [
        file.read_bytes().decode(errors="replace")
        for each in files
        for file in ([each] if each.is_file() else each.rglob("*"))
        if file.is_file()
    ]
    return {secret for text in texts for secret in (*tokens_in(text), *(s for s in SECRETS.values() if s in text))}


def side_by_side(made: Iterable[Warehouse], act: Callable[[Warehouse], object]) -> None:
    """Do the same in all warehouses at once."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(act, made))


def tables(warehouse: Warehouse) -> Tables:
    """All that dbt made for reports."""
    types: dict[str, dict[str, str]] = {}
    for table, column, kind in warehouse.query(_COLUMNS)[0]:
        types.setdefault(table, {})[column] = _TYPES.get(kind, kind.lower())
    quoted = [", ".join(f'"{column}"' for column in columns) for columns in types.values()]
    rows = warehouse.query(
        *(f'SELECT {names} FROM analytics."{name}"' for name, names in zip(types, quoted, strict=True))
    )
    return {name: Table(columns, found) for (name, columns), found in zip(types.items(), rows, strict=True)}


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], list[Tables]]) -> list[Tables]:
    """What a scenario gives, made by the first process of a test run that asks for it."""
    folder = shared(factory, name)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = folder / "tables.json"
        if not file.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            made = make(folder)
            written = [{name: [table.types, table.rows] for name, table in each.items()} for each in made]
            partly = file.with_suffix(".part")
            partly.write_text(json.dumps(written), encoding="utf-8")
            partly.rename(file)
        return [
            {name: Table(*table) for name, table in each.items()}
            for each in json.loads(file.read_text(encoding="utf-8"))
        ]


def shared(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that all processes of a test run know."""
    base = factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name


def _copy_project(folder: Path, holidays: str) -> None:
    require(DBT.exists(), "dbt is not installed: run `make test`, which installs it")
    shutil.copytree(TRANSFORM, folder / "transform", ignore=shutil.ignore_patterns("target", "logs"))
    with (folder / "transform/seeds/holidays.csv").open("a", encoding="utf-8") as seed:
        seed.write(holidays)


def _load(loader: str, folder: Path, messages: Path, settings: Mapping[str, Any]) -> None:
    config = folder / f"{loader}.json"
    config.write_text(json.dumps({**defaults(loader), **settings}), encoding="utf-8")
    with messages.open("rb") as lines:
        done = subprocess.run(
            [str(program(loader)), "--config", str(config)],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if not name.startswith("TARGET_")},
            stdin=lines,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-5000:]


def _dbt(folder: Path, args: Sequence[str], variables: Mapping[str, Any], **given: str) -> str:
    kept = {name: value for name, value in environment().items() if not name.startswith(("TARGET_", "DBT_"))}
    project = str(folder / "transform")
    command = [str(DBT), "--no-use-colors", *args]
    if variables:
        command += ["--vars", json.dumps(variables)]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**kept, **SECRETS, "DBT_PROJECT_DIR": project, "DBT_PROFILES_DIR": project, **given},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return done.stdout
