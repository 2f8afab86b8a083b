"""What is deleted for good is marked in the warehouse, and nothing else ever is."""

from __future__ import annotations

import json
import signal
import time
from datetime import datetime, timezone
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import Behaviour, Sandbox
from tap_tallyfy.singer.deletions import Tally
from tests.lists import FAMILIES, INCREMENTAL, KEYS, catalog, expected, key_of, sync
from tests.tap import RUNS, run_tap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.wire import Request
    from tests.loaders import Warehouse
    from tests.tap import Result

#: All but the feed, whose entries nobody can delete.
STREAMS = {stream for family in FAMILIES.values() for stream in family} - {"activity_feed", "organization"}

FULL_TABLE = STREAMS - INCREMENTAL


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(runs=30, seed=3) as running:
        yield running


def marked(result: Result) -> set[str]:
    """The streams whose deleted rows the tap has had marked."""
    return {message["stream"] for message in result.messages if message["type"] == "ACTIVATE_VERSION"}


def full(sandbox: Sandbox, state: Any = None, **settings: Any) -> Result:
    """Read everything, as once a night."""
    return sync(sandbox, catalog=catalog(full=True), state=state, **settings)


def test_a_stream_is_marked_behind_its_last_row(sandbox: Sandbox) -> None:
    result = full(sandbox)
    assert result.code == 0, result.stderr
    assert marked(result) == STREAMS
    done: set[str] = set()
    (version,) = {message["version"] for message in result.messages if "version" in message}
    for message in result.messages:
        if message["type"] == "RECORD":
            assert message["stream"] not in done
            assert message.get("version") == (version if message["stream"] in STREAMS else None)
        elif message["type"] == "ACTIVATE_VERSION":
            done.add(message["stream"])
    assert result.messages[-1]["type"] == "STATE"
    assert abs(version - time.time()) < 300


def test_a_version_is_higher_than_any_before_although_the_clock_is_not(sandbox: Sandbox) -> None:
    tomorrow = int(time.time()) + 86_400
    state = {"bookmarks": {"tags": {"version": tomorrow}, "runs": {"version": "odd"}}}
    result = full(sandbox, state)
    assert {message["version"] for message in result.messages if "version" in message} == {tomorrow + 1}
    assert result.states[-1]["bookmarks"]["runs"]["version"] == tomorrow + 1


def test_an_incremental_sync_marks_only_what_it_reads_in_full(sandbox: Sandbox) -> None:
    first = sync(sandbox)
    assert marked(first) == STREAMS, "nothing is left out where there is no bookmark yet"
    second = sync(sandbox, state=first.states[-1])
    assert marked(second) == FULL_TABLE
    assert {"runs", "tasks"} <= {message["stream"] for message in second.messages if message["type"] == "RECORD"}
    # A bookmark that the stream has from before it was to be read in full leaves nothing out.
    after = full(sandbox, second.states[-1])
    assert marked(after) == STREAMS
    assert len(after.records) == len(first.records)


@pytest.mark.parametrize(
    ("settings", "unmarked"),
    [
        ({"emit_activate_version_messages": False}, STREAMS),
        ({"start_date": "2020-01-01"}, STREAMS & INCREMENTAL),
        ({"runs": {"archived": "exclude"}}, {*FAMILIES["runs"]}),
        ({"runs": {"status": "active"}}, {*FAMILIES["runs"]}),
        ({"tasks": {"archived": "only"}}, {*FAMILIES["tasks"]}),
        ({"runs": {"with": ["tags"], "without_pagination": True}}, set()),
        ({"stream_maps": {"tags": {"__filter__": "True"}}}, STREAMS),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_what_a_filter_leaves_out_is_not_taken_for_deleted(
    sandbox: Sandbox, settings: dict[str, Any], unmarked: set[str]
) -> None:
    result = full(sandbox, **settings)
    assert result.code == 0, result.stderr
    assert STREAMS - marked(result) == unmarked


def test_tables_that_streams_share_are_left_alone(sandbox: Sandbox) -> None:
    maps = {"tags": {"__alias__": "things"}, "groups": {"__alias__": "things"}, "guests": {"__alias__": "people"}}
    result = full(sandbox, stream_maps=maps)
    assert result.code == 0, result.stderr
    assert marked(result) == STREAMS - {"tags", "groups", "guests"} | {"people"}


def test_a_list_that_announces_more_than_it_shows_marks_nothing(sandbox: Sandbox) -> None:
    sandbox.behaviour = Behaviour(total="high")
    result = full(sandbox, page_size=20)
    assert marked(result).isdisjoint({"runs", "kickoff_answers"})


@pytest.mark.parametrize("moment", ["2024-01-01T00:00:00Z", None], ids=["long ago", "at that moment"])
def test_completed_tasks_that_a_list_hides_are_not_taken_for_deleted(sandbox: Sandbox, moment: str | None) -> None:
    tasks = sandbox.account.collections["tasks"].records
    for task in list(tasks)[:5]:
        sandbox.account.complete(task)
    sandbox.behaviour = Behaviour(hide_completed_tasks=True)
    if moment is None:
        now = sandbox.now().strftime("%Y-%m-%dT%H:%M:%S.000Z")
        for task in list(tasks):
            if tasks[task].sent["completed_at"]:
                sandbox.account.edit("tasks", task, last_updated=now, created_at=now)
    result = full(sandbox)
    assert result.code == 0, result.stderr
    written = {
        message["record"]["id"]
        for message in result.messages
        if message.get("stream") == "tasks" and message["type"] == "RECORD"
    }
    assert written == set(tasks)


def test_rows_are_counted_once(sandbox: Sandbox) -> None:
    """Lists without dates are read twice, and what is read again is no further row."""
    for template in sandbox.account.collections["checklists"].records:
        sandbox.account.edit("checklists", template, created_at=None, last_updated=None)
    bookmarks = full(sandbox).states[-1]["bookmarks"]
    noted = bookmarks["checklists"]["rows"][sandbox.org_id].values()
    assert sum(of_list["most"] for of_list in noted) == len(sandbox.records("checklists"))


def test_batch_files_hold_no_versions_so_nothing_is_marked(sandbox: Sandbox, tmp_path: Path) -> None:
    storage = {"root": f"file://{tmp_path}", "prefix": "batch-"}
    batches = {"encoding": {"format": "jsonl", "compression": "none"}, "storage": storage}
    result = full(sandbox, batch_config=batches)
    assert result.code == 0, result.stderr
    assert any(message["type"] == "BATCH" for message in result.messages)
    assert marked(result) == set()


def test_a_connection_test_marks_nothing(sandbox: Sandbox) -> None:
    for guest in list(sandbox.account.collections["guests"].records):
        sandbox.account.delete("guests", guest)
    assert marked(full(sandbox, args=["--test"])) == set()


def test_a_list_that_is_refused_marks_nothing(sandbox: Sandbox) -> None:
    sandbox.behaviour = Behaviour(forbidden=frozenset({"tasks"}))
    result = full(sandbox)
    assert result.code == 77
    assert STREAMS - marked(result) == {*FAMILIES["tasks"]}


def test_a_refusal_half_way_marks_nothing(sandbox: Sandbox) -> None:
    asked = 0

    def forbid(request: Request) -> None:
        nonlocal asked
        asked += request.path.endswith("/tasks")
        if asked > 4:
            sandbox.behaviour = Behaviour(forbidden=frozenset({"tasks"}))

    sandbox.before_list = forbid
    result = full(sandbox, page_size=10, concurrency=1)
    assert result.code == 77
    assert asked > 4
    assert STREAMS - marked(result) == {*FAMILIES["tasks"]}


def test_a_list_that_has_shrunk_to_less_than_half_marks_nothing_until_that_is_accepted(sandbox: Sandbox) -> None:
    state = full(sandbox).states[-1]
    runs = sorted(sandbox.runs)
    for run in runs[len(runs) // 3 :]:
        sandbox.delete(run)
    result = full(sandbox, state)
    assert result.code == 65
    assert marked(result).isdisjoint({"runs", "kickoff_answers"})
    assert {"users", "checklists", "steps"} <= marked(result)
    (sentence,) = (line for line in result.errors if "'runs'" in line)
    assert f"'runs' has shrunk from {len(runs)} to {len(runs) // 3} rows" in sentence
    assert "--full-refresh" in sentence
    # It stays so, since the state keeps what the last complete reading found.
    again = full(sandbox, result.states[-1])
    assert again.code == 65
    assert marked(again).isdisjoint({"runs", "kickoff_answers"})
    accepted = full(sandbox)
    assert accepted.code == 0
    assert marked(accepted) == STREAMS


def test_a_token_that_sees_a_third_of_the_account_marks_nothing_and_fails(sandbox: Sandbox) -> None:
    state = full(sandbox).states[-1]
    seen_less = {name: collection for name, collection in sandbox.collections.items() if name != "activity-feeds"}
    for name, collection in seen_less.items():
        for record in sorted(collection.records)[len(collection.records) // 3 :]:
            sandbox.delete(record) if name == "runs" else sandbox.account.delete(name, record)
    result = full(sandbox, state)
    assert result.code == 65
    assert marked(result) == {"folders", "groups", "tags"}, "lists of up to 20 rows may lose all of them"


def test_what_a_template_lost_is_told_of_with_all_that_is_made_of_templates(sandbox: Sandbox) -> None:
    """As for a server that no longer sends steps along."""
    state = full(sandbox).states[-1]
    for template in sandbox.account.collections["checklists"].records:
        sandbox.account.edit("checklists", template, steps=[])
    result = full(sandbox, state)
    assert result.code == 65
    assert marked(result).isdisjoint(FAMILIES["checklists"])
    assert "'steps' has shrunk" in result.stderr
    assert "Traceback" not in result.stderr


def test_another_organization_is_not_compared_with_the_last_one(sandbox: Sandbox) -> None:
    state = full(sandbox).states[-1]
    with Sandbox(runs=5, seed=4) as other:
        result = full(other, state)
    assert result.code == 0, result.stderr
    assert marked(result) == STREAMS


# In the warehouse


def test_deleted_rows_are_marked_in_postgres_and_no_others(in_postgres: Warehouse) -> None:
    """Incremental syncs and full ones into one schema, in any order, while people work."""
    warehouse, sandbox, random = in_postgres, in_postgres.sandbox, Random(5)

    def work(_: Request) -> None:
        sandbox.mutate(random, random.randrange(2), everything=True)

    sandbox.before_list = work
    warehouse.sync(full=True)
    sandbox.before_list = None
    # Changed, read incrementally and then deleted.
    gone = min(sandbox.runs)
    sandbox.touch(gone, name="changed, then deleted")
    warehouse.sync()
    sandbox.delete(gone)
    answered = next(task["id"] for task in sandbox.records("tasks").values() if task["taskdata"])
    sandbox.account.delete("tasks", answered)
    sandbox.mutate(random, 20, everything=True)
    warehouse.sync(full=True)
    assert warehouse.codes[-1] == 0, warehouse.log
    right, found = expected(sandbox), warehouse.tables()
    deleted = warehouse.deleted()
    assert {name: found[name].keys() - deleted[name] for name in found} == {name: {*right[name]} for name in right}
    assert all(deleted[name].isdisjoint(right[name]) for name in right)
    assert (sandbox.org_id, gone) in deleted["runs"]
    assert deleted["tasks"]
    assert deleted["task_answers"]


def test_neither_a_filter_nor_a_kill_marks_a_row_and_one_that_comes_back_is_unmarked(in_postgres: Warehouse) -> None:
    warehouse, sandbox = in_postgres, in_postgres.sandbox
    warehouse.sync(full=True)
    run = min(sandbox.runs)
    tag = next(iter(sandbox.account.collections["tags"].records))
    kept = sandbox.account.collections["tags"].records[tag].sent
    sandbox.delete(run)
    warehouse.sync(full=True, runs={"status": "active"}, tasks={"status": "active"})
    assert not any(warehouse.deleted().values())
    sandbox.account.delete("tags", tag)

    def kill(request: Request) -> None:
        if request.path.endswith("/tags"):
            warehouse.stop()

    sandbox.before_list = kill
    warehouse.sync(full=True)
    sandbox.before_list = None
    assert warehouse.codes[-1] == 128 + signal.SIGTERM
    deleted = warehouse.deleted()
    assert deleted["tags"] == set()
    assert deleted["runs"] == {(sandbox.org_id, run)}  # that list had been read to its end
    warehouse.sync()
    assert warehouse.deleted()["tags"] == {(sandbox.org_id, kept["id"])}
    sandbox.account.create("tags", **kept)
    warehouse.sync()
    assert warehouse.deleted()["tags"] == set()


def test_duckdb_keeps_deleted_rows_and_the_query_of_the_docs_finds_them(in_duckdb: Warehouse) -> None:
    """Its loader passes over the message."""
    warehouse, sandbox = in_duckdb, in_duckdb.sandbox
    warehouse.place["add_metadata_columns"] = True
    warehouse.sync()
    gone = sorted(sandbox.runs)[:3]
    for run in gone:
        sandbox.delete(run)
    began = datetime.now(timezone.utc)
    warehouse.sync(full=True)
    assert not any(warehouse.deleted().values())
    found = {
        name: {
            key_of(name, row)
            for row in rows
            if datetime.fromisoformat(row["_sdc_extracted_at"]).astimezone(timezone.utc) < began
        }
        for name, rows in warehouse.read().items()
    }
    assert found["runs"] == {(sandbox.org_id, run) for run in gone}
    assert {name: warehouse.tables()[name].keys() - found[name] for name in found} == {
        name: {*rows} for name, rows in expected(sandbox).items()
    }


# The guard against marking what exists


def guarded(sandbox: Sandbox, state: Any = None, **settings: Any) -> Result:
    """Read the processes alone, in full."""
    return run_tap(sandbox, catalog=catalog(["runs"], full=True), state=state, command=RUNS, **settings)


def refused(result: Result) -> str:
    """Check that nothing was marked, and return the sentence that says why."""
    assert result.code == 65, result.stderr
    assert marked(result) == set()
    (sentence,) = result.errors
    assert "--full-refresh" in sentence
    return sentence


def in_archive(sandbox: Sandbox) -> list[str]:
    return sorted(identity for identity, run in sandbox.runs.items() if run["archived_at"])


def test_each_list_of_a_stream_is_guarded_by_itself() -> None:
    """The rows of the archive are fewer than half of all, and all of them would be marked."""
    with Sandbox(runs=400, seed=3) as sandbox:
        state = guarded(sandbox).states[-1]
        archived = in_archive(sandbox)
        assert 20 < len(archived) < len(sandbox.runs) / 2
        for run in archived:
            sandbox.delete(run)
        result = guarded(sandbox, state)
        assert f"from {len(archived)} to 0" in refused(result)
        refused(guarded(sandbox, result.states[-1]))
        assert guarded(sandbox).code == 0


@pytest.mark.parametrize("stream", ["runs", "kickoff_answers"])
def test_as_many_rows_of_others_stand_in_for_none(sandbox: Sandbox, stream: str) -> None:
    """As where a token is swapped for that of another user, who sees as many processes and half of them others."""

    def read(state: Any = None) -> Result:
        return sync(sandbox, catalog=catalog([stream], full=True), state=state)

    for _ in range(120):
        sandbox.create()
    state = read().states[-1]
    runs = sorted(sandbox.runs)
    for run in runs[::2]:
        sandbox.delete(run)
        sandbox.create()
    assert len(sandbox.runs) == len(runs)
    assert "of the records that it showed before" in refused(read(state))


@pytest.mark.parametrize(("fewer", "seed"), [(fewer, seed) for fewer in (1, 5, 30) for seed in range(5)])
def test_fewer_rows_of_others_stand_in_for_none_either(fewer: int, seed: int) -> None:
    names = [f"{seed} {number}" for number in range(400)]
    first = Tally(None)
    for name in names[:200]:
        first.add(name)
    second = Tally(first.note())
    for name in names[100 : 300 - fewer]:
        second.add(name)
    assert "of the records that it showed before" in second.loss


def test_a_loss_a_night_adds_up(sandbox: Sandbox) -> None:
    for _ in range(270):
        sandbox.create()
    state, random = None, Random(1)
    for code in (0, 0, 65, 65):
        result = guarded(sandbox, state)
        assert result.code == code, result.stderr
        state = result.states[-1]
        shown = sorted(sandbox.runs.keys() - set(in_archive(sandbox)))
        for run in random.sample(shown, len(shown) * 2 // 5):
            sandbox.delete(run)


def test_ordinary_work_is_believed(sandbox: Sandbox) -> None:
    for _ in range(120):
        sandbox.create()
    state, random = None, Random(2)
    for _ in range(5):
        result = guarded(sandbox, state)
        assert result.code == 0, result.stderr
        assert marked(result) == {"runs"}
        state = result.states[-1]
        for run in random.sample(sorted(sandbox.runs), 12):
            sandbox.delete(run)
        for _ in range(12):
            sandbox.create()


@pytest.mark.parametrize("left", [0, 1])
def test_a_small_list_may_lose_all_of_it(sandbox: Sandbox, left: int) -> None:
    tags = sandbox.account.collections["tags"].records
    assert len(tags) <= 20
    state = sync(sandbox, ["tags"]).states[-1]
    for tag in list(tags)[left:]:
        sandbox.account.delete("tags", tag)
    result = sync(sandbox, ["tags"], state=state)
    assert result.code == 0, result.stderr
    assert marked(result) == {"tags"}


def test_the_guard_holds_where_nothing_is_marked(sandbox: Sandbox) -> None:
    """Where organizations share tables, whoever marks goes by what the tap says of complete readings."""
    settings = {"emit_activate_version_messages": False}
    state = guarded(sandbox, **settings).states[-1]
    for run in sorted(sandbox.runs)[10:]:
        sandbox.delete(run)
    refused(guarded(sandbox, state, **settings))
    assert guarded(sandbox, **settings).code == 0


@pytest.mark.parametrize(
    "rows", [None, 7, [], {"default": 3}, {"default": {"most": "many", "ids": 5}}, {"default": {"ids": "?"}}]
)
def test_a_state_may_hold_anything_for_the_guard(sandbox: Sandbox, rows: Any) -> None:
    state = guarded(sandbox).states[-1]
    state["bookmarks"]["runs"]["rows"] = {sandbox.org_id: rows} if rows != 7 else rows
    result = guarded(sandbox, state)
    assert result.code == 0, result.stderr
    assert marked(result) == {"runs"}


# Targets that keep a table for each version


class VersionedTable:
    """A stream in a target such as singer-target-postgres: rows of a new version are seen once it is activated."""

    def __init__(self) -> None:
        self.current: int | None = None
        self.rows: dict[int | None, dict[Any, Any]] = {}

    def record(self, key: Any, record: Any, version: int | None) -> None:
        if self.current is None and version is not None:
            self.current = version
        if version is not None and self.current is not None and version < self.current:
            return
        self.rows.setdefault(self.current if version is None else version, {})[key] = record

    def activate(self, version: int) -> None:
        self.current = version
        self.rows = {version: self.rows.get(version, {})}

    @property
    def seen(self) -> dict[Any, Any]:
        return self.rows.get(self.current, {})


def load(tables: dict[str, VersionedTable], result: Result) -> None:
    for message in result.messages:
        table = tables.setdefault(message.get("stream", ""), VersionedTable())
        if message["type"] == "RECORD":
            key = tuple(message["record"][column] for column in KEYS[message["stream"]])
            table.record(key, message["record"], message.get("version"))
        elif message["type"] == "ACTIVATE_VERSION":
            table.activate(message["version"])


def test_incremental_rows_are_seen_in_a_table_of_their_version(sandbox: Sandbox) -> None:
    selected = sorted(STREAMS)
    sandbox.set_clock(sandbox.now())
    tables: dict[str, VersionedTable] = {}
    random, state = Random(4), None
    for night in range(7):
        is_full = night in {3, 6}
        result = sync(sandbox, catalog=catalog(selected, full=is_full), state=state)
        assert result.code == 0, result.stderr
        state = result.states[-1]
        load(tables, result)
        right = expected(sandbox)
        for name in selected:
            assert right[name].keys() <= tables[name].seen.keys(), (night, name)
            assert not is_full or right[name].keys() == tables[name].seen.keys(), (night, name)
        assert all(tables["runs"].seen[key]["name"] == run["name"] for key, run in right["runs"].items()), night
        sandbox.advance(3600)
        sandbox.mutate(random, 15, everything=True)


def test_where_marks_are_off_every_row_is_seen_in_such_a_table(sandbox: Sandbox) -> None:
    tables: dict[str, VersionedTable] = {}
    state = None
    for _ in range(3):
        result = full(sandbox, state, emit_activate_version_messages=False)
        assert result.code == 0, result.stderr
        state = result.states[-1]
        load(tables, result)
        right = expected(sandbox)
        assert all(right[name].keys() <= tables[name].seen.keys() for name in STREAMS)
        sandbox.mutate(Random(4), 15, everything=True)
