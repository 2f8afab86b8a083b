"""A copy of `orchestrate/` with a real database, Meltano, loader, and sandboxes for organizations."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml

from sandbox import Sandbox
from tests import meltano
from tests.lists import INCREMENTAL, as_expected, by_key, differences, expected
from tests.loaders import filled, sent
from tests.tap import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lists import Row
    from tests.postgres import Postgres

UNIT = ROOT / "orchestrate"
PASSWORD = "database-password-4711"
PATIENCE = 180
#: In place of Meltano: the real tap without a loader, in a process that ends as Meltano would.
TAP_ALONE = f'{sys.executable} -m tap_tallyfy --config=ENV > "${{OUTPUT:-/dev/null}}" || exit 1'
#: In place of Meltano: a report that all tags were read, and none was there.
ALL_COMPLETE = """printf %s '{"outcome": "done", "code": 0, "message": "", "streams": {},
    "complete": {"tags": {"began": "2100-01-01T00:00:00Z", "rows": 0}}}' > "$TAP_TALLYFY_REPORT\""""
PROJECT = yaml.safe_load((UNIT / "meltano.yml").read_text(encoding="utf-8"))
SELECTED = tuple(rule.removesuffix(".*") for rule in PROJECT["plugins"]["extractors"][0]["select"])


Make = Callable[..., "Platform"]


@dataclass
class Synced:
    """How a sync ended: its exit code, its line on standard output, and all that it logged."""

    code: int
    line: dict[str, Any]
    log: str


@dataclass
class Platform:
    """A copy of `orchestrate/` with a database of its own, and some organizations."""

    folder: Path
    database: Postgres
    accounts: dict[str, Sandbox]
    variables: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, server: Postgres, accounts: dict[str, Sandbox]) -> Platform:
        for name in ("sync_organization.py", "meltano.yml", "dagster/definitions.py"):
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(UNIT / name, folder / name)
        (folder / ".meltano").mkdir()
        for kind in ("extractors", "loaders"):
            (folder / ".meltano" / kind).symlink_to(meltano.PLUGINS / kind)
        database = f"d{uuid.uuid4().hex}"
        execute(server, f"CREATE DATABASE {database}")
        made = cls(folder, dataclasses.replace(server, database=database), accounts)
        made.execute(f"ALTER DATABASE {database} SET timezone TO 'Pacific/Auckland'")
        made.execute((UNIT / "tables.sql").read_text(encoding="utf-8"))
        made.execute((UNIT / "tables.sql").read_text(encoding="utf-8"))
        made.write_organizations()
        return made

    def write_organizations(self) -> None:
        rows = [
            f"{name},{account.org_id},TOKEN_{name.upper()},hourly,{account.api_url}"
            for name, account in self.accounts.items()
        ]
        header = "organization,org_id,secret,tier,api_url"
        (self.folder / "organizations.csv").write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")

    def execute(self, sql: str) -> None:
        execute(self.database, sql)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.database.query(sql)

    @property
    def url(self) -> str:
        server = self.database
        return f"postgresql://{server.user}:{PASSWORD}@{server.host}:{server.port}/{server.database}"

    def weaken(self, strong: str, weak: str) -> None:
        """Take something out of the unit that a test is about."""
        unit = self.folder / "sync_organization.py"
        text = unit.read_text(encoding="utf-8")
        assert text.count(strong) == 1
        unit.write_text(text.replace(strong, weak), encoding="utf-8")

    def instead_of_meltano(self, script: str) -> None:
        """Have the unit start a shell script as if it were Meltano."""
        program = self.folder / "instead-of-meltano"
        program.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        program.chmod(0o755)
        self.variables["MELTANO"] = str(program)

    def limit_loader(self, connections: int) -> str:
        """Give the loader a user of its own with so many connections to the database; return its name."""
        server, user = self.database, f"loader_{self.database.database}"
        self.execute(f"CREATE ROLE {user} LOGIN CONNECTION LIMIT {connections}")
        self.execute(f"GRANT CREATE ON DATABASE {server.database} TO {user}")
        url = f"postgresql+psycopg://{user}:{PASSWORD}@{server.host}:{server.port}/{server.database}"
        self.variables["TARGET_POSTGRES_SQLALCHEMY_URL"] = url
        return user

    def make_tables(self) -> None:
        """Make tables as a loader would, with one old row of each organization."""
        self.execute("CREATE SCHEMA tallyfy")
        ids = ", ".join(f"('{account.org_id}')" for account in self.accounts.values())
        row = "org_id, now() - interval '1 day' AS _sdc_extracted_at, NULL::timestamptz AS _sdc_deleted_at"
        for stream in SELECTED:
            self.execute(f"CREATE TABLE tallyfy.{stream} AS SELECT {row} FROM (VALUES {ids}) AS t (org_id)")

    def environment(self) -> dict[str, str]:
        """The variables of whoever starts the unit."""
        ours = ("TAP_TALLYFY_", "TARGET_", "MELTANO_", "DATABASE_URL", "ORGANIZATIONS")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        tokens = {f"TOKEN_{name.upper()}": account.access_token for name, account in self.accounts.items()}
        given = {"DATABASE_URL": self.url, "MELTANO": str(meltano.MELTANO), "NO_PROXY": "127.0.0.1", **tokens}
        return {**kept, "PYTHONPATH": str(ROOT), **given, **self.variables}

    def start(self, name: str, *args: str, **more: Any) -> subprocess.Popen[str]:
        variables = self.environment() | more.pop("variables", {})
        with (self.folder / "log").open("a", encoding="utf-8") as log:
            return subprocess.Popen(
                [sys.executable, str(self.folder / "sync_organization.py"), name, *args],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                **more,
            )

    def end(self, unit: subprocess.Popen[str]) -> Synced:
        out = unit.communicate(timeout=PATIENCE)[0]
        (line,) = out.splitlines() or ["{}"]
        return Synced(unit.returncode, json.loads(line), (self.folder / "log").read_text(encoding="utf-8"))

    def sync(self, name: str, *args: str, **more: Any) -> Synced:
        return self.end(self.start(name, *args, **more))

    def syncs(self, columns: str = "kind, outcome, code") -> list[tuple[Any, ...]]:
        return self.query(f"SELECT {columns} FROM ops.syncs ORDER BY began")

    def wrong(self, name: str, *, deleted: bool = True) -> dict[str, Any]:
        """How the tables of an organization differ from its account; rows marked as deleted are left out.

        Without `deleted`, records that were deleted may still be there: no reading has shown that they are gone.
        """
        account = self.accounts[name]
        alive = f"org_id = '{account.org_id}' AND _sdc_deleted_at IS NULL"
        rows = {
            stream: [row for (row,) in self.query(f"SELECT to_jsonb(t) FROM tallyfy.{stream} t WHERE {alive}")]
            for stream in SELECTED
        }
        found = {stream: by_key(stream, (_read(stream, row) for row in of_it)) for stream, of_it in rows.items()}
        right = {stream: table for stream, table in expected(account).items() if stream in SELECTED}
        if not deleted:
            found |= {
                stream: {key: row for key, row in found[stream].items() if key in right[stream]}
                for stream in INCREMENTAL.intersection(SELECTED)
            }
        return differences(filled(found), filled(right))

    def tables_with(self, *secrets: str, database: str = "") -> list[str]:
        """The tables of a database, by default that of the organizations, that hold a secret."""
        server = dataclasses.replace(self.database, database=database or self.database.database)
        tables = server.query(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE tableowner = 'tallyfy'"
        )
        pattern = "|".join(map(re.escape, secrets))
        return [
            name for (name,) in tables if server.query(f"SELECT 1 FROM {name} t WHERE t::text ~ '{pattern}' LIMIT 1")
        ]

    def files_with(self, *secrets: str) -> list[str]:
        """The files of the project that hold a secret."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink()]
        return [str(path) for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]


def _read(stream: str, row: Row) -> Row:
    """What a row says; the organization has JSON in columns of text."""
    read = sent(stream, row)
    return as_expected(stream, read) if stream == "organization" else read


def execute(server: Postgres, sql: str) -> None:
    with psycopg.connect(
        host=server.host, port=server.port, user=server.user, dbname=server.database, autocommit=True
    ) as connection:
        connection.execute(sql.encode())


def processes(group: int) -> dict[int, str]:
    """The processes of a group that have not ended, and their command lines."""
    rows = (line.split(None, 3) for line in listed("pid,pgid,stat,args"))
    return {int(pid): args for pid, of, stat, args in rows if int(of) == group and not stat.startswith("Z")}


def child(process: int) -> int:
    """The one child of a process."""
    (found,) = (int(pid) for pid, parent in map(str.split, listed("pid,ppid")) if int(parent) == process)
    return found


def listed(columns: str) -> list[str]:
    """Columns of all processes of this machine, a line each."""
    command = ["ps", "-eww", "-o", columns]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]


@contextmanager
def held(account: Sandbox, request: int) -> Iterator[threading.Event]:
    """Hold back an answer of the API, so that all processes of a sync are there; sets the event once that is so."""
    reached, released = threading.Event(), threading.Event()
    first = len(account.requests)

    def hold(_: object) -> None:
        if len(account.requests) - first >= request:
            reached.set()
            released.wait(PATIENCE)

    account.before_list = hold
    try:
        yield reached
    finally:
        account.before_list = None
        released.set()


def marked(platform: Platform, table: str) -> int:
    """How many rows of a table are marked as deleted."""
    ((count,),) = platform.query(f"SELECT count(*) FROM tallyfy.{table} WHERE _sdc_deleted_at IS NOT NULL")
    return int(count)


def wait_for_end(group: int) -> None:
    """Wait until no process of a group is left."""
    for _ in range(PATIENCE * 10):
        if not processes(group):
            return
        threading.Event().wait(0.1)
    pytest.fail(f"still running: {processes(group)}")


def wait_for_lock(platform: Platform) -> None:
    """Wait until nobody holds the lock of an organization."""
    held = (
        "SELECT 1 FROM pg_locks JOIN pg_database d ON d.oid = database"
        " WHERE locktype = 'advisory' AND datname = current_database()"
    )
    for _ in range(PATIENCE * 10):
        if not platform.query(held):
            return
        threading.Event().wait(0.1)
    pytest.fail("the lock was not given up")


@pytest.fixture
def make(tmp_path: Path, postgres: Postgres) -> Iterator[Make]:
    """Makes platforms with an account for each seed."""
    with ExitStack() as stack:

        def made(*, seeds: tuple[int, ...] = (3,), runs: int = 25) -> Platform:
            names = ("acme", "globex")
            accounts = {
                name: stack.enter_context(Sandbox(runs=runs, seed=seed))
                for name, seed in zip(names, seeds, strict=False)
            }
            folder = tmp_path / f"platform{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            return Platform.make(folder, postgres, accounts)

        yield made
