"""The guarantees of the README over the wire: the real tap, piped into a real loader, into a real PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import Behaviour, Fault, Request, Sandbox
from sandbox.order import DATE_FIELDS
from sandbox.render import OBJECT_FIELDS
from tests.loaders import pipe
from tests.tap import RUNS, settings_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.postgres import Postgres

    Row = dict[str, Any]
    Hook = Callable[[Request], object]

NOW = datetime(2026, 2, 1, 9, tzinfo=timezone.utc)


@dataclass
class Warehouse:
    """A schema of its own in PostgreSQL that an account is synced into, and the state kept between syncs."""

    postgres: Postgres
    sandbox: Sandbox
    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    schema: str = field(default_factory=lambda: f"s{uuid.uuid4().hex}")
    state: Row | None = None
    #: The ids of the records the tap wrote in each sync.
    written: list[set[str]] = field(default_factory=list)
    #: What the tap logged in the last sync.
    log: str = ""
    tap_pid: int = 0

    @property
    def bookmark(self) -> str | None:
        bookmarks = (self.state or {}).get("bookmarks", {})
        value: str | None = bookmarks.get("runs", {}).get("replication_key_value")
        return value

    @property
    def rows(self) -> dict[str, Row]:
        """What the table holds, by id and without the loader's own columns."""
        rows = [row for (row,) in self.postgres.query(f"SELECT to_jsonb(runs) FROM {self.schema}.runs")]
        assert len({row["id"] for row in rows}) == len(rows)
        assert {row["org_id"] for row in rows} <= {self.sandbox.org_id}
        own = ("_sdc_", "org_id")
        return {row["id"]: {name: row[name] for name in row if not name.startswith(own)} for row in rows}

    def sync(self, before_list: Hook | None = None) -> int:
        """Pipe the tap, with the state the loader wrote last, into the loader; returns the tap's exit code."""
        self.sandbox.before_list = before_list
        done = pipe(
            "target-postgres",
            self.folder,
            target={**self.postgres.loader_settings, "default_target_schema": self.schema},
            started=self._started,
            command=RUNS,
            config=settings_for(self.sandbox, **self.settings),
            state=self.state,
        )
        self.sandbox.before_list = None
        self.log = done.log
        self.state = done.state or self.state
        parsed = map(json.loads, done.messages)
        self.written.append({message["record"]["id"] for message in parsed if message["type"] == "RECORD"})
        return done.code

    def _started(self, tap: subprocess.Popen[bytes]) -> None:
        self.tap_pid = tap.pid


class People:
    """People who work in the account between any two requests, up to so many changes a sync."""

    def __init__(self, sandbox: Sandbox, seed: int) -> None:
        self._sandbox = sandbox
        self._random = Random(seed)
        self.touched: set[str] = set()

    def work(self, changes: int) -> None:
        """Make changes, some of them within one second of each other."""
        for _ in range(changes):
            self._sandbox.advance(self._random.choice((0, 0, 1, 40)))
            self.touched |= set(self._sandbox.mutate(self._random))

    def meanwhile(self, changes: int) -> Hook:
        left = [changes]

        def work(_: Request) -> None:
            now = min(left[0], self._random.randrange(4))
            left[0] -= now
            self.work(now)

        return work


def as_stored(run: Row) -> Row:
    """What a run, as the API sends it, is to look like in the table."""
    empty: Row = {name: {} for name in OBJECT_FIELDS if run[name] == []}
    return {**run, **empty, "_extra": None}


def comparable(rows: Mapping[str, Row]) -> dict[str, dict[str, str]]:
    """The rows with every value as JSON, so that true is not 1, and date-times in one form."""
    return {
        row_id: {
            name: instant(value) if name in DATE_FIELDS and value else json.dumps(value, sort_keys=True)
            for name, value in row.items()
        }
        for row_id, row in rows.items()
    }


def instant(text: str) -> str:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).astimezone(timezone.utc).isoformat()


def stored(warehouse: Warehouse, ids: set[str] | None = None) -> dict[str, dict[str, str]]:
    rows = warehouse.rows
    return comparable({row_id: row for row_id, row in rows.items() if ids is None or row_id in ids})


def true(sandbox: Sandbox, ids: set[str] | None = None) -> dict[str, dict[str, str]]:
    runs = sandbox.runs
    return comparable({run_id: as_stored(run) for run_id, run in runs.items() if ids is None or run_id in ids})


def account(behaviour: Behaviour | None = None, runs: int = 300, seed: int = 5) -> Sandbox:
    sandbox = Sandbox(runs=runs, seed=seed, behaviour=behaviour or Behaviour())
    sandbox.set_clock(NOW)
    return sandbox


@pytest.mark.parametrize(
    ("behaviour", "settings"),
    [
        pytest.param({}, {"concurrency": 1}, id="by-last-change"),
        pytest.param({"sort": "created_at", "shuffle_ties": True}, {"concurrency": 4}, id="by-creation-side-by-side"),
    ],
)
def test_the_table_equals_the_account_although_people_work_in_it_between_any_two_requests(
    postgres: Postgres, tmp_path: Path, behaviour: dict[str, Any], settings: dict[str, Any]
) -> None:
    with account(Behaviour(**behaviour)) as sandbox:
        warehouse = Warehouse(postgres, sandbox, tmp_path, {"page_size": 20, **settings})
        people = People(sandbox, seed=11)
        loaded, complete = set(), 0
        for changes in (60, 40):
            people.touched.clear()
            there, bookmark = set(sandbox.runs), warehouse.bookmark
            if warehouse.sync(people.meanwhile(changes)) == 0:
                complete += 1
                untouched = there - people.touched
                assert len(untouched) > 200
                assert stored(warehouse, untouched) == true(sandbox, untouched)
            else:
                assert warehouse.bookmark == bookmark
            loaded |= set(warehouse.rows)
            people.work(20)
        assert complete

        assert warehouse.sync() == 0, warehouse.log
        assert warehouse.bookmark
        assert stored(warehouse, set(sandbox.runs)) == true(sandbox)
        kept = set(warehouse.rows) - set(sandbox.runs)
        assert kept == set().union(*warehouse.written) - set(sandbox.runs)
        assert kept == loaded - set(sandbox.runs), "only runs that were deleted stay behind, and all of those"
        assert kept


def fail(sandbox: Sandbox, _: Warehouse) -> None:
    sandbox.faults = [Fault("status", 403)]


def stop(_: Sandbox, warehouse: Warehouse) -> None:
    os.kill(warehouse.tap_pid, signal.SIGTERM)


@pytest.mark.parametrize(("breakage", "code"), [(fail, 77), (stop, 128 + signal.SIGTERM)], ids=["403", "SIGTERM"])
def test_a_sync_that_breaks_off_moves_no_bookmark_and_the_next_one_repairs_what_it_left(
    postgres: Postgres, tmp_path: Path, breakage: Callable[[Sandbox, Warehouse], None], code: int
) -> None:
    with account(Behaviour(sort="created_at"), runs=150) as sandbox:
        warehouse = Warehouse(postgres, sandbox, tmp_path, {"page_size": 20, "concurrency": 1})
        people = People(sandbox, seed=12)
        assert warehouse.sync() == 0, warehouse.log
        assert stored(warehouse) == true(sandbox)
        bookmark = warehouse.bookmark
        people.work(60)
        first, work = len(sandbox.requests), people.meanwhile(20)

        def before_list(request: Request) -> None:
            work(request)
            if len(sandbox.requests) - first == 4:
                breakage(sandbox, warehouse)

        assert warehouse.sync(before_list) == code, warehouse.log
        assert bool(warehouse.written[-1]) is (code == 77), "what it has goes to the target unless it is stopped"
        assert stored(warehouse, set(sandbox.runs)) != true(sandbox)
        assert warehouse.bookmark == bookmark

        assert warehouse.sync() == 0, warehouse.log
        assert stored(warehouse, set(sandbox.runs)) == true(sandbox)
        assert warehouse.bookmark != bookmark


#: What the API might send instead, and what is to be stored then: a value per column, and what is kept beside.
ODD: dict[str, tuple[Row, Row]] = {
    "unknown field": (
        {"mood": {"level": 3, "notes": ["gut", None, 1.5]}},
        {"_extra": {"mood": {"level": 3, "notes": ["gut", None, 1.5]}}},
    ),
    "wrong types": (
        {"late_tasks": "many", "starred": "perhaps", "due_date": "soon", "users": "all", "progress": 50, "name": ["a"]},
        {
            **dict.fromkeys(("late_tasks", "starred", "due_date", "users", "progress", "name")),
            "_extra": {
                "late_tasks": "many",
                "starred": "perhaps",
                "due_date": "soon",
                "users": "all",
                "progress": 50,
                "name": ["a"],
            },
        },
    ),
    "integers at the edge": (
        {"increment_id": 2**63, "late_tasks": -(2**63) - 1, "prerun_length": 2**63 - 1, "owner_id": -(2**63)},
        {"increment_id": None, "late_tasks": None, "_extra": {"increment_id": 2**63, "late_tasks": -(2**63) - 1}},
    ),
    "lists for objects": (
        {**{name: [] for name in OBJECT_FIELDS}, "users": {}},
        {**{name: {} for name in OBJECT_FIELDS}, "users": []},
    ),
    "other spellings": (
        {"late_tasks": "7", "starred": 1, "is_public": "false", "owner_id": 1003.0, "summary": 12, "due_date": ""},
        {"late_tasks": 7, "starred": True, "is_public": False, "owner_id": 1003, "summary": "12", "due_date": None},
    ),
    "another zone": ({"due_date": "2026-03-01T01:30:00+05:30"}, {"due_date": "2026-02-28T20:00:00Z"}),
    "text": (
        {"name": 'tab\t, "quotes", \\N, a\u2028b, \u0000 and 🎯', "custom_fields": {"é": "\\u0041 ' \n"}},
        {"name": 'tab\t, "quotes", \\N, a\u2028b, \ufffd and 🎯'},
    ),
    "NUL at any depth": (
        {"custom_fields": {"a\0": [{"b": ["\0"]}]}, "mood": {"a": {"b": "\0"}}},
        {"custom_fields": {"a\ufffd": [{"b": ["\ufffd"]}]}, "_extra": {"mood": {"a": {"b": "\ufffd"}}}},
    ),
}


def test_odd_values_reach_the_table_and_what_fits_no_column_is_kept_beside(postgres: Postgres, tmp_path: Path) -> None:
    runs = sorted(account(runs=40).runs.values(), key=lambda run: str(run["id"]))
    expected = {run["id"]: as_stored(run) for run in runs}
    for run, (sent, kept) in zip(runs, ODD.values(), strict=False):
        expected[run["id"]] |= {name: value for name, value in sent.items() if name != "mood"} | kept
        run.update(sent)
    bare = {"id": "b" * 32}
    expected[bare["id"]] = {**dict.fromkeys(expected[runs[0]["id"]]), **bare}
    with Sandbox(data=[*runs, bare], behaviour=Behaviour(sort="ignored", shuffle_ties=True)) as sandbox:
        warehouse = Warehouse(postgres, sandbox, tmp_path, {"page_size": 10})
        assert warehouse.sync() == 0, warehouse.log
        assert stored(warehouse) == comparable(expected)
        times = ", ".join(f"pg_typeof({name})::text" for name in DATE_FIELDS)
        (types,) = postgres.query(f"SELECT DISTINCT {times} FROM {warehouse.schema}.runs")
        assert set(types) == {"timestamp without time zone"}
