"""Every list of an account, from the sandbox through the real tap: whole, and each read once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from sandbox import Behaviour, Fault, Sandbox
from sandbox.lists import LISTS
from sandbox.processes import generate
from tests.lists import (
    EVERYTHING,
    FAMILIES,
    INCREMENTAL,
    KEYS,
    PATHS,
    STREAMS,
    catalog,
    differences,
    emitted,
    expected,
    list_in,
    records_of,
    sync,
    written,
)
from tests.tap import TAP, environment, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sandbox.wire import Request
    from tests.lists import Key, Row
    from tests.tap import Result

NOON = datetime(2026, 2, 1, 12, tzinfo=timezone.utc)
#: What `with` has to ask for.
NEEDS = {
    "comments": "threads",
    "steps": "steps",
    "form_fields": "steps",
    "folders": "children",
    "run_tags": "tags",
    "stages": "stages",
}
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(scope="module")
def company() -> Iterator[Sandbox]:
    """An account that no test changes."""
    with Sandbox(runs=90, seed=3) as running:
        yield running


@pytest.fixture(scope="module")
def everything(company: Sandbox) -> Result:
    """What the tap makes of it, one request after the other."""
    return sync(company, concurrency=1, page_size=50, full_task_sync_hours=0)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(runs=60, seed=3) as running:
        running.set_clock(NOON)
        yield running


def names_of(request: Any) -> str:
    """The list that a request was for: archived records and each type of folder have one of their own."""
    path = list_in(request.path)
    return f"{path} {request.query.get('archived') or request.query.get('folder_type') or ''}".strip()


def asked(result: Result, head: str) -> Counter[tuple[tuple[str, str], ...]]:
    """The requests for a family's list, whatever they asked for besides."""
    of_list = [request.query for request in result.lists if request.path.endswith(f"/{head}")]
    return Counter(tuple(sorted((name, text) for name, text in query.items() if name != "with")) for query in of_list)


def related(result: Result, head: str) -> set[str | None]:
    return {request.query.get("with") for request in result.lists if request.path.endswith(f"/{head}")}


def check_schemas(result: Result, org_id: str) -> None:
    """Every record is valid against the schema that came before it, and says whose it is."""
    validators: dict[str, Draft202012Validator] = {}
    columns: dict[str, Row] = {}
    for message in result.messages:
        stream = message.get("stream", "")
        if message["type"] == "SCHEMA":
            assert tuple(message["key_properties"]) == KEYS[stream]
            properties = columns[stream] = message["schema"]["properties"]
            assert next(iter(properties)) == "org_id"
            assert all(properties[name]["type"] in {"string", "integer"} for name in KEYS[stream]), stream
            checker = Draft202012Validator.FORMAT_CHECKER
            validators[stream] = Draft202012Validator(message["schema"], format_checker=checker)
        elif message["type"] == "RECORD":
            record = message["record"]
            validators[stream].validate(record)
            assert record["org_id"] == org_id
            assert record.keys() <= columns[stream].keys()
            for name, column in columns[stream].items():
                if column.get("format") == "date-time" and record.get(name) is not None:
                    assert DATE.fullmatch(record[name]), (stream, name, record[name])


# Whole, whatever the server is like


SERVERS: dict[str, dict[str, Any]] = {
    "as documented": {},
    "other names and shapes": {
        "guest_id": "code",
        "guest_names": "details",
        "changed_name": "updated_at",
        "active_name": "active",
        "owner_users": "objects",
        "folders": "flat",
        "date_format": "no_zone",
        "wrapped": False,
    },
    "older": {
        "guest_id": "absent",
        "meta": "capital",
        "empty_object_as_list": False,
        "date_format": "microseconds",
        "archived": "param",
        "task_sort": "created_at",
    },
    "small pages only": {
        "per_page_cap": 10,
        "without_pagination": False,
        "always_paged": frozenset(LISTS),
        "date_format": "z",
    },
    "pages of one size": {"per_page_fixed": 10, "always_paged": frozenset({"groups", "tags", "checklists"})},
    "no order": {
        "task_sort": "ignored",
        "sort": "ignored",
        "default_order": "name",
        "shuffle_ties": True,
        "date_format": "offset",
    },
    "completed hidden": {"hide_completed_tasks": True, "owner_users": "objects", "shuffle_ties": True},
    "completed hidden, the other word": {
        "hide_completed_tasks": True,
        "completed_word": "completed",
        "archived": "status",
        "task_sort": "ignored",
        "without_pagination": False,
    },
    "completed hidden, both words": {
        "hide_completed_tasks": True,
        "completed_word": "both",
        "task_sort": "last_updated",
        "total": "low",
        "numbers_as_strings": True,
    },
}


@pytest.mark.parametrize("server", SERVERS)
def test_every_stream_equals_the_account(server: str) -> None:
    with Sandbox(runs=60, seed=3, behaviour=Behaviour(**SERVERS[server])) as sandbox:
        result = sync(sandbox)
        assert result.code == 0, result.stderr
        assert result.errors == []
        right = expected(sandbox)
        assert all(right.values())
        assert differences(written(result), right) == {}
        # At rest nothing is written twice.
        assert {name: len(keys) for name, keys in emitted(result).items()} == {
            name: len(rows) for name, rows in right.items()
        }
        check_schemas(result, sandbox.org_id)
        assert any("archived_at" in task and "completed_at" in task for task in right["tasks"].values())
        assert any("parent_id" in folder for folder in right["folders"].values())


# One walk per family


@pytest.mark.parametrize("related", [{}, EVERYTHING], ids=["as it comes", "all related data"])
def test_an_account_as_documented_gives_no_line_that_frightens(company: Sandbox, related: Any) -> None:
    result = sync(company, **related)
    assert result.code == 0, result.stderr
    frightening = ("departs from its contract", "assumed to be unsorted", "| WARNING", "| ERROR")
    assert [line for line in result.stderr.splitlines() if any(words in line for words in frightening)] == []


def test_a_catalog_may_leave_out_the_list_that_a_stream_is_made_from(company: Sandbox) -> None:
    known = catalog(["task_answers"])
    known["streams"] = [each for each in known["streams"] if each["tap_stream_id"] == "task_answers"]
    result = sync(company, catalog=known)
    assert result.code == 0, result.stderr
    assert written(result) == written(sync(company, ["task_answers"]))


@pytest.mark.parametrize("head", ["runs", "tasks", "checklists"])
def test_each_of_a_family_alone_reads_the_list_as_all_together_do(
    company: Sandbox, everything: Result, head: str
) -> None:
    for stream in FAMILIES[head]:
        alone = sync(company, [stream], concurrency=1, page_size=50, full_task_sync_hours=0)
        assert alone.code == 0, alone.stderr
        assert alone.lists
        assert asked(alone, head) == asked(everything, head), stream
        assert len(alone.lists) == asked(alone, head).total(), "no other list is asked for"
        assert written(alone) == {stream: written(everything)[stream]}
        assert related(alone, head) == {NEEDS.get(stream)}
    needed = sorted({NEEDS[name] for name in FAMILIES[head] if name in NEEDS})
    assert related(everything, head) == {",".join(needed)}


def test_comments_are_asked_for_only_where_they_are_selected(company: Sandbox) -> None:
    unselected = {stream["tap_stream_id"] for stream in catalog([])["streams"]}
    assert unselected == set(STREAMS)
    result = sync(company, catalog=None)
    assert result.code == 0, result.stderr
    assert related(result, "tasks") == {None}
    assert emitted(result).keys() == set(STREAMS) - {"comments", "activity_feed", "run_tags", "stages"}


def test_what_is_wrapped_inside_of_related_data_is_unwrapped(company: Sandbox) -> None:
    result = sync(company, ["checklists"], catalog=None, checklists={"with": ["steps"]})
    assert result.code == 0, result.stderr
    messages = [message for message in result.messages if message.get("stream") == "checklists"]
    records = [message["record"] for message in messages if message["type"] == "RECORD"]
    assert all(record["_extra"] is None for record in records)
    captures = [step["captures"] for record in records for step in record["steps"]]
    assert any(captures)
    assert all(isinstance(each, list) for each in captures)


@pytest.mark.parametrize("behaviour", [{}, {"hide_completed_tasks": True}], ids=["all shown", "completed hidden"])
def test_a_full_sync_costs_hardly_more_than_its_pages(behaviour: dict[str, Any]) -> None:
    with Sandbox(data=apart(600), behaviour=Behaviour(**behaviour)) as sandbox:
        result = sync(sandbox, full_task_sync_hours=0)
        assert result.code == 0, result.stderr
        sizes = list_sizes(sandbox)
        assert sizes["tasks"] + sizes["tasks only"] > 2700
        assert {name: len(rows) for name, rows in written(result).items()} == {
            name: len(rows) for name, rows in expected(sandbox).items()
        }
        requests = Counter(names_of(request) for request in result.lists)
        assert requests.keys() == sizes.keys()
        # Two more ask whether a list of tasks leaves anything out, and tasks of one process share a second; tasks that
        # it leaves out are a list of their own.
        more = 3 + 6 * bool(behaviour)
        most = {name: 1.16 * ceil(size / 100) + 6 + more * name.startswith("tasks") for name, size in sizes.items()}
        dear = {name: (count, most[name]) for name, count in requests.items() if count > most[name]}
        assert dear == {}


def apart(runs: int) -> list[Row]:
    """Processes no more of which than a few were launched in one second."""
    made = []
    for number, run in enumerate(generate(runs, 1)):
        created = datetime.fromisoformat(run.sent["created_at"].replace("Z", "+00:00"))
        moved = (created - timedelta(seconds=number % 600)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        made.append({**run.sent, **run.hidden, "created_at": moved})
    return made


def list_sizes(sandbox: Sandbox) -> dict[str, int]:
    """How many records each list of the API holds; the folders of each type on all levels."""
    sizes: dict[str, int] = defaultdict(int)
    for name in FAMILIES:
        for record in records_of(sandbox, name):
            part = "only" if record.get("archived_at") else record.get("folder_type") or ""
            sizes[f"{PATHS.get(name, name)} {part}".strip()] += 1
    return sizes


# Memory


#: Prints the peak memory of a command in KiB. Linux counts the memory of whoever starts a process towards its peak, so
#: the tests, which hold the sandbox, must not start the tap themselves.
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[2:], stdout=open(sys.argv[1], "w")).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // (1024 if sys.platform == "darwin" else 1))
sys.exit(code)
"""


def test_memory_does_not_grow_with_the_account(tmp_path: Path) -> None:
    peaks = []
    for runs in (180, 2200):
        with Sandbox(data=apart(runs)) as sandbox:
            peak, counts = measured(sandbox, tmp_path)
            assert counts == {name: len(sandbox.records(name)) for name in ("runs", "tasks")}
            peaks.append(peak)
    assert counts["tasks"] > 10_000
    assert peaks[1] - peaks[0] < 25 * 1024


def measured(sandbox: Sandbox, folder: Path) -> tuple[int, dict[str, int]]:
    """The peak memory of a sync of everything in KiB, and how many processes and tasks it wrote."""
    given = {"config": settings_for(sandbox), "catalog": catalog()}
    files = {name: folder / f"{name}.json" for name in given}
    for name, content in given.items():
        files[name].write_text(json.dumps(content), encoding="utf-8")
    messages = folder / "messages"
    arguments = [part for name, file in files.items() for part in (f"--{name}", str(file))]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(messages), *TAP, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts: Counter[str] = Counter()
    with messages.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith('{"type":"RECORD"'):
                counts[json.loads(line)["stream"]] += 1
    return int(done.stdout), {name: counts[name] for name in ("runs", "tasks")}


# Only what changed


@pytest.mark.parametrize("hidden", [False, True], ids=["all shown", "completed hidden"])
def test_what_changed_is_written_and_nothing_else(sandbox: Sandbox, hidden: bool) -> None:
    sandbox.behaviour = Behaviour(
        comment_moves_task=False, archive_moves_tasks=False, hide_completed_tasks=hidden, task_sort="created_at"
    )
    newest = sandbox.create()["id"]
    sandbox.advance(60)
    settings: dict[str, Any] = {"lookback_seconds": 0, "full_task_sync_hours": 0}
    first = sync(sandbox, **settings)
    assert first.code == 0, first.stderr
    before = expected(sandbox)

    sandbox.advance(3600)
    change(sandbox)
    second = sync(sandbox, state=first.states[-1], **settings)
    assert second.code == 0, second.stderr
    after = expected(sandbox)

    changed = {name: {key for key, row in after[name].items() if row != before[name].get(key)} for name in STREAMS}
    assert all(changed[name] for name in (*INCREMENTAL, "users", "guests"))
    of_comments = {(sandbox.org_id, after["comments"][key]["task_id"]) for key in changed["comments"]}
    # What changed last before the first sync may have changed once more in that second, where the bookmark is.
    last = {key for key, task in after["tasks"].items() if task.get("run_id") == newest}
    told = emitted(second)
    assert set(told["tasks"]) == changed["tasks"] | of_comments | last
    assert set(told["runs"]) == changed["runs"] | {(sandbox.org_id, newest)}
    for name in INCREMENTAL:
        assert changed[name] <= set(told[name])
        assert len(told[name]) < len(after[name]) / 3
    for name in set(STREAMS) - INCREMENTAL:
        assert set(told[name]) == after[name].keys()
    assert differences(merged(first, second), after) == {}


@pytest.mark.parametrize("total", ["right", "absent"])
def test_completed_tasks_that_a_list_hides_are_read_although_more_are_completed_meanwhile(total: str) -> None:
    """Then those fill the first page of completed tasks, and have been read as open ones."""
    with Sandbox(data=[], behaviour=Behaviour(hide_completed_tasks=True, total=total)) as sandbox:
        sandbox.set_clock(NOON)
        older = [sandbox.account.create("tasks", title=f"older {number}")["id"] for number in range(20)]
        sandbox.advance(60)
        newer = [sandbox.account.create("tasks", title=f"newer {number}")["id"] for number in range(30)]
        sandbox.advance(600)
        first = sync(sandbox, ["tasks"], page_size=10)
        for task in older[:10]:
            sandbox.account.complete(task)
        sandbox.advance(600)

        def meanwhile(request: Request) -> None:
            if request.path.endswith("/tasks") and request.query.get("page") == "2":
                for task in newer[-10:]:
                    sandbox.account.complete(task)

        sandbox.before_list = meanwhile
        second = sync(sandbox, ["tasks"], state=first.states[-1], page_size=10)
        sandbox.before_list = None
        assert second.code == 0, second.stderr
        assert {*older[:10]} <= second.ids


def going_on(sandbox: Sandbox) -> list[Row]:
    """A task of each process that is going on and not yet at its last one, with a form first."""
    tasks = [task for task in sandbox.records("tasks").values() if task["run_id"] and not task["archived_at"]]
    left = Counter(task["run_id"] for task in tasks if task["status"] in {"not-started", "in-progress"})
    found = [task for task in tasks if task["status"] == "in-progress" and left[task["run_id"]] > 1]
    asking = {row.get("step_id") for row in expected(sandbox)["form_fields"].values()}
    return sorted(found, key=lambda task: task["step_id"] not in asking)


def change(sandbox: Sandbox) -> None:
    """Change something in many lists, much of it without moving the date of the last change."""
    account = sandbox.account
    doing, commented, archived = going_on(sandbox)[:3]
    account.complete(doing["id"])
    account.comment(commented["id"], "Only a comment")
    sandbox.archive(archived["run_id"])
    single = next(task for task in sandbox.records("tasks").values() if is_open_alone(task))
    at = "2026-02-01T13:00:00.000Z"
    account.edit("tasks", single["id"], status="completed", completed_at=at, last_updated=single["last_updated"])
    account.create("tasks", title="Made meanwhile")
    sandbox.create(name="Launched meanwhile")
    account.edit("users", 1001, job_title="Changed")
    account.edit("guests", next(iter(sandbox.records("guests"))), last_name="Changed")


def is_open_alone(task: Row) -> bool:
    return task["is_oneoff_task"] and not task["completed_at"] and not task["archived_at"]


def merged(*results: Result) -> dict[str, dict[Key, Row]]:
    """What a target holds that merges by key."""
    tables: dict[str, dict[Key, Row]] = defaultdict(dict)
    for result in results:
        for name, rows in written(result).items():
            tables[name] |= rows
    return tables


# Lists that may not be read


def bookmarks(result: Result) -> dict[str, Any]:
    found: Mapping[str, Row] = result.states[-1]["bookmarks"]
    return {name: state.get("replication_key_value") for name, state in found.items()}


def check_refused(result: Result, lists: set[str]) -> None:
    """The tap failed, and said of each of these lists once what to do; of one alone where none can be read."""
    assert result.code == 77
    assert "Traceback" not in result.stderr
    named = [name for sentence in result.errors for name in re.findall(r"deselect '(\w+)'", sentence)]
    assert sorted(named) == (sorted(lists) if lists < FAMILIES.keys() else ["runs"])
    assert len(result.errors) == len(named)
    assert all("403" in sentence and "token" in sentence for sentence in result.errors)


@pytest.mark.parametrize(
    "lists",
    [{"users"}, {"tasks"}, {"checklists"}, {"runs", "guests", "folders"}, set(FAMILIES) - {"tags"}, set(FAMILIES)],
    ids=["one", "a family", "the first that is read", "several", "all but one", "all"],
)
def test_the_other_streams_are_synced_if_a_list_may_not_be_read(company: Sandbox, lists: set[str]) -> None:
    company.behaviour.forbidden = frozenset(PATHS.get(name, name) for name in lists)
    try:
        result = sync(company)
    finally:
        company.behaviour.forbidden = frozenset()
    refused = {stream for head in lists for stream in FAMILIES[head]}
    check_refused(result, lists)
    right = {name: rows for name, rows in expected(company).items() if name not in refused}
    assert differences(written(result), right) == {}
    assert not emitted(result).keys() & refused
    found = bookmarks(result)
    assert not any(found[name] for name in refused)
    assert all(found[name] for name in INCREMENTAL - refused)
    # Each list was asked for once, whatever is made from it.
    refusals = Counter(list_in(request.path) for request in result.lists if request.status == 403)
    assert refusals == {PATHS.get(name, name): 1 for name in lists}


def test_a_refusal_half_way_leaves_the_bookmark_where_it_was(sandbox: Sandbox) -> None:
    selected = ("tasks", "users")
    first = sync(sandbox, selected, full_task_sync_hours=0)
    assert first.code == 0, first.stderr
    sandbox.advance(3600)
    change(sandbox)
    sandbox.faults = [None, None, None, Fault("status", 403)]
    broken = sync(sandbox, selected, state=first.states[-1], page_size=20, concurrency=1, full_task_sync_hours=0)
    check_refused(broken, {"tasks"})
    assert emitted(broken)["tasks"], "it broke off half way"
    assert set(emitted(broken)["users"]) == expected(sandbox)["users"].keys()
    assert bookmarks(broken) == bookmarks(first)
    third = sync(sandbox, selected, state=broken.states[-1])
    assert third.code == 0, third.stderr
    right = {name: rows for name, rows in expected(sandbox).items() if name in selected}
    assert differences(merged(first, third), right) == {}


def test_a_refused_token_ends_everything_at_once(company: Sandbox) -> None:
    result = sync(company, access_token="another")
    assert result.code == 77
    assert len(result.lists) == 1
    (sentence,) = result.errors
    assert "'access_token'" in sentence
    assert "Traceback" not in result.stderr
    assert result.records == []


def test_a_mistyped_organization_costs_a_request_a_list_and_one_sentence(company: Sandbox) -> None:
    """The first list may be missing where others are not."""
    result = sync(company, org_id="another")
    assert result.code == 77
    assert len(result.lists) == len(FAMILIES)
    (sentence,) = result.errors
    assert "'org_id'" in sentence
    assert "Traceback" not in result.stderr
    assert result.records == []


def test_a_token_that_dies_on_the_way_ends_everything_at_once(sandbox: Sandbox) -> None:
    sandbox.faults = [None, None, None, Fault("status", 401)]
    result = sync(sandbox, concurrency=1)
    assert result.code == 77
    assert len(result.lists) == 4
    (sentence,) = result.errors
    assert "'access_token'" in sentence
    assert "Traceback" not in result.stderr
