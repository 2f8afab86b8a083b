"""A real PostgreSQL server of its own for the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.tap import require

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The server lets everyone in, but the loader wants a password.
PASSWORD = "a-password-that-nobody-may-read"
_NO_SERVER = "PostgreSQL's initdb and postgres were not found: install PostgreSQL (Debian: apt-get install postgresql)"


@dataclass(frozen=True)
class Postgres:
    """A running server that lets everyone in."""

    host: str
    port: int
    user: str
    database: str

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows a query gives."""
        with psycopg.connect(host=self.host, port=self.port, user=self.user, dbname=self.database) as connection:
            return connection.execute(sql).fetchall()

    @property
    def loader_settings(self) -> dict[str, Any]:
        """What lets a loader in; it wants a password."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": PASSWORD,
            "database": self.database,
        }


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server on a free port; without its programs the test is skipped, or fails where CI is set."""
    require(installed(), _NO_SERVER)
    with serve() as running:
        yield running


def installed() -> bool:
    """Whether the server's programs are there."""
    return None not in {_find("initdb"), _find("postgres")}


@contextmanager
def serve() -> Iterator[Postgres]:
    """Run a server on a free port."""
    with (
        tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder,
        _serve(str(_find("initdb")), str(_find("postgres")), Path(folder)) as running,
    ):
        yield running


def _find(program: str) -> str | None:
    debian = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[4].split(".")[0])
    )
    return shutil.which(program) or (str(debian[-1]) if debian else None)


@contextmanager
def _serve(initdb: str, server: str, folder: Path) -> Iterator[Postgres]:
    # Neither program runs as root.
    account = _unprivileged() if os.geteuid() == 0 else None
    user: dict[str, Any] = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"
    command = [initdb, "-D", str(data), "-A", "trust", "-U", "tallyfy", "-E", "UTF8", "--locale=C", "--no-sync"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, **user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = ("listen_addresses=127.0.0.1", "fsync=off", "synchronous_commit=off", "full_page_writes=off")
    command = [
        server,
        "-D",
        str(data),
        "-p",
        str(port),
        "-k",
        str(folder),
        *(part for s in settings for part in ("-c", s)),
    ]
    with (folder / "log").open("w") as log:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **user
        )
    running = Postgres("127.0.0.1", port, "tallyfy", "postgres")
    try:
        _wait(running, process, folder / "log")
        yield running
    finally:
        # SIGINT is the fast shutdown, which does not wait for clients.
        process.send_signal(2)
        process.wait(60)


def _unprivileged() -> pwd.struct_passwd:
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _wait(running: Postgres, process: subprocess.Popen[bytes], log: Path) -> None:
    while process.poll() is None:
        try:
            running.query("SELECT 1")
        except psycopg.OperationalError:  # not up yet
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        else:
            return
    pytest.fail(f"PostgreSQL did not start:\n{log.read_text()}")
