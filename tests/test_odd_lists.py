"""One odd row, one odd list or one odd catalog does not cost the account; what SCHEMA says is what is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from sandbox import Fault, Sandbox
from sandbox.store import Record
from tests.lists import FAMILIES, PATHS, STREAMS, catalog, differences, emitted, expected, list_in, sync, written
from tests.tap import TAP, run_tap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.wire import Request
    from tests.lists import Row
    from tests.tap import Result

#: Entries of the feed are history, and the organization is always there.
NEVER_MARKED = {"activity_feed", "organization"}
#: What nobody may call an ID.
NO_KEYS: tuple[Any, ...] = (None, "")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(runs=30, seed=3) as running:
        running.set_clock(running.now())
        yield running


def marked(result: Result) -> set[str]:
    return {message["stream"] for message in result.messages if message["type"] == "ACTIVATE_VERSION"}


def warnings(result: Result) -> list[str]:
    return [line.split(" | ", 3)[3] for line in result.stderr.splitlines() if "| WARNING" in line]


# Rows without a key


def put(sandbox: Sandbox, name: str, row: Row) -> None:
    """Add a record of a list, copied from one that is there."""
    records = sandbox.collections[name].records
    some = next(iter(records.values()))
    sandbox.collections[name].put(Record(f"odd {len(records)}", {**some.sent, **row}, dict(some.hidden)))


@pytest.mark.parametrize("no_key", NO_KEYS, ids=repr)
@pytest.mark.parametrize(("name", "key"), [("guests", "email"), ("tags", "id"), ("users", "id"), ("runs", "id")])
def test_a_row_without_its_key_is_left_out_counted_and_named(
    sandbox: Sandbox, name: str, key: str, no_key: object
) -> None:
    right = {stream: rows for stream, rows in expected(sandbox).items() if stream != "organization"}
    put(sandbox, name, {key: no_key})
    result = sync(sandbox)
    assert result.code == 0, result.stderr
    assert differences(written(result), right) == {}
    (warning,) = [warning for warning in warnings(result) if f"no '{key}'" in warning]
    assert f"1 rows of '{name}'" in warning
    # Rows made from that list may be made from the one that was left out.
    assert set(STREAMS) - marked(result) == {*FAMILIES[name], *NEVER_MARKED}


def test_a_row_made_from_another_without_its_key_is_left_out_too(sandbox: Sandbox) -> None:
    task = next(iter(sandbox.account.collections["tasks"].records))
    sandbox.account.comment(task, "with an ID")
    comments = sandbox.account.collections["tasks"].records[task].hidden["threads"]
    comments.append({**comments[0], "id": None})
    template = next(each for each in sandbox.account.collections["checklists"].records.values() if each.hidden["steps"])
    template.hidden["steps"].append({**template.hidden["steps"][0], "id": None})
    result = sync(sandbox)
    assert result.code == 0, result.stderr
    for name in ("comments", "steps"):
        assert [warning for warning in warnings(result) if f"1 rows of '{name}' have no 'id'" in warning]
    assert marked(result).isdisjoint({"comments", "steps"})
    assert {"tasks", "checklists", "runs"} <= marked(result)


def test_a_list_of_rows_without_keys_counts_as_not_read(sandbox: Sandbox) -> None:
    tags = sandbox.collections["tags"].records
    for _ in range(max(20, 2 * len(tags))):
        put(sandbox, "tags", {"id": None})
    result = sync(sandbox)
    assert result.code not in {0, 70}
    (sentence,) = result.errors
    assert "'tags'" in sentence
    assert "no key" in sentence
    assert {*FAMILIES} - {"tags"} <= emitted(result).keys()
    assert "tags" not in marked(result)


# Lists that cannot be read


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault("status", 403), 77),
        (Fault("status", 404), 77),
        (Fault("status", 405), 78),
        (Fault("body", b'{"data": "none"}'), 78),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["runs", "checklists", "guests"])
def test_the_others_go_on_where_a_list_cannot_be_read(sandbox: Sandbox, name: str, fault: Fault, code: int) -> None:
    sandbox.fault_for = lambda request: fault if list_in(request.path) == name else None
    result = sync(sandbox, full_task_sync_hours=0)
    assert result.code == code, result.stderr
    assert "Traceback" not in result.stderr
    (sentence,) = result.errors
    assert f"/{name}" in sentence
    right = {stream: rows for stream, rows in expected(sandbox).items() if stream not in FAMILIES[name]}
    assert differences(written(result), right) == {}
    assert marked(result).isdisjoint(FAMILIES[name])
    assert result.messages[-1]["type"] == "STATE"


def test_a_server_that_never_answers_costs_two_lists(sandbox: Sandbox) -> None:
    """Nobody waits for the back-off of ten lists."""
    code = """
from tap_tallyfy.api import client
from tap_tallyfy.tap import TapTallyfy
client.Client.__init__.__kwdefaults__["sleep"] = lambda _: None
TapTallyfy.cli()
"""
    sandbox.fault_for = lambda _: Fault("status", 503)
    result = run_tap(sandbox, command=(TAP[0], "-c", code))
    assert result.code == 75
    assert {list_in(request.path) for request in result.lists} == {"runs", "tasks"}
    assert len(result.errors) == 1
    assert "Traceback" not in result.stderr


# Catalogs


def without_columns(known: Row, stream: str, *names: str) -> Row:
    """The catalog as it was saved by a version of the tap that did not know these columns."""
    (entry,) = [each for each in known["streams"] if each["tap_stream_id"] == stream]
    for name in names:
        del entry["schema"]["properties"][name]
    entry["metadata"] = [each for each in entry["metadata"] if not set(names).intersection(each["breadcrumb"])]
    return known


def deselect(known: Row, stream: str, *names: str) -> Row:
    (entry,) = [each for each in known["streams"] if each["tap_stream_id"] == stream]
    for each in entry["metadata"]:
        if each["breadcrumb"] and each["breadcrumb"][-1] in names:
            each["metadata"]["selected"] = False
    return known


def records_of(result: Result, stream: str) -> list[Row]:
    return [
        message["record"] for message in result.messages if message["type"] == "RECORD" and message["stream"] == stream
    ]


def check_columns(result: Result) -> None:
    """Every record has exactly the columns of its SCHEMA."""
    columns = {message["stream"]: message["schema"]["properties"].keys() for message in result.schemas}
    for message in result.messages:
        if message["type"] == "RECORD":
            assert message["record"].keys() == columns[message["stream"]], message["stream"]


@pytest.mark.parametrize("stream", ["runs", "tasks", "comments", "form_fields"])
def test_a_record_has_exactly_the_columns_of_its_schema(sandbox: Sandbox, stream: str) -> None:
    """Also where the API leaves out what is null."""
    for name in ("runs", "tasks"):
        for record in sandbox.collections[name].records.values():
            record.sent.pop("name" if name == "runs" else "title", None)
    result = sync(sandbox, [stream])
    assert records_of(result, stream)
    check_columns(result)


@pytest.mark.parametrize("keeps_extra", [True, False])
def test_what_an_older_catalog_does_not_know_goes_to_extra_or_nowhere(sandbox: Sandbox, keeps_extra: bool) -> None:
    known = without_columns(catalog(["runs"]), "runs", "whole_progress")
    known = known if keeps_extra else deselect(known, "runs", "_extra")
    for run in sandbox.collections["runs"].records.values():
        run.sent.update(new=1, late_tasks="many")
    result = sync(sandbox, catalog=known)
    assert result.code == 0, result.stderr
    check_columns(result)
    records = records_of(result, "runs")
    if keeps_extra:
        assert all("whole_progress" in record["_extra"] for record in records)
    else:
        assert "whole_progress" not in json.dumps(records)
        for name in ("whole_progress", "new", "late_tasks"):
            (warning,) = [warning for warning in warnings(result) if f"'{name}'" in warning]
            assert "left out" in warning


def test_related_data_that_a_catalog_does_not_know_goes_to_extra(sandbox: Sandbox) -> None:
    result = sync(sandbox, ["runs"], runs={"with": ["tags"]})
    assert result.code == 0, result.stderr
    check_columns(result)
    assert all("tags" in record["_extra"] for record in records_of(result, "runs"))


def test_what_is_asked_for_another_stream_is_not_sent(sandbox: Sandbox) -> None:
    result = sync(sandbox, ["checklists", "steps"])
    check_columns(result)
    assert all(record["_extra"] is None for record in records_of(result, "checklists"))


@pytest.mark.parametrize("name", ["custom_fields", "name"])
def test_what_is_deselected_goes_nowhere(sandbox: Sandbox, name: str) -> None:
    for run in sandbox.collections["runs"].records.values():
        run.sent[name] = ["5ecretive"] if name == "custom_fields" else {"5ecretive": 1}  # neither fits its column
    result = sync(sandbox, catalog=deselect(catalog(["runs"]), "runs", name))
    assert result.code == 0, result.stderr
    check_columns(result)
    assert "5ecretive" not in "\n".join(result.lines)


def test_a_second_name_of_a_deselected_column_goes_nowhere_either(sandbox: Sandbox) -> None:
    for group in sandbox.collections["groups"].records.values():
        group.sent["updated_at"] = {"5ecretive": 1}
    result = sync(sandbox, catalog=deselect(catalog(["groups"]), "groups", "last_updated"))
    assert records_of(result, "groups")
    assert "5ecretive" not in "\n".join(result.lines)


@pytest.mark.parametrize("shape", [lambda part: part, lambda part: [part]], ids=["object", "list"])
def test_a_deselected_part_of_a_column_goes_nowhere(sandbox: Sandbox, shape: Callable[[Row], Any]) -> None:
    for run in sandbox.collections["runs"].records.values():
        run.sent["progress"] = shape({"complete": "no number", "total": "5ecretive"})
    result = sync(sandbox, catalog=deselect(catalog(["runs"]), "runs", "total"))
    assert "no number" in json.dumps(records_of(result, "runs")[0]["_extra"])
    assert "5ecretive" not in "\n".join(result.lines)


def test_the_types_of_an_older_catalog_give_way_to_those_of_records(sandbox: Sandbox) -> None:
    known = catalog(["groups"])
    (entry,) = [each for each in known["streams"] if each["tap_stream_id"] == "groups"]
    wider = {"type": ["string", "null"], "maxLength": 9_000}
    entry["schema"]["properties"] |= {
        "members": {"type": ["array", "null"], "items": {"type": "string"}},
        "logo": {"type": ["string", "null"], "format": "date-time"},
        "name": {"type": "string"},
        "description": wider,
        "gone": {"type": "string"},
    }
    result = sync(sandbox, catalog=known)
    (schema,) = [message["schema"] for message in result.schemas]
    validator = Draft202012Validator(schema)
    assert [error.message for record in records_of(result, "groups") for error in validator.iter_errors(record)] == []
    assert schema["properties"]["members"]["items"] == {"type": "integer"}
    assert "format" not in schema["properties"]["logo"]
    assert schema["properties"]["description"] == wider
    (warning,) = [warning for warning in warnings(result) if "types of 'groups'" in warning]
    assert warning.endswith("'logo', 'members', 'name'.")


@pytest.mark.parametrize("place", ["key_properties", "table-key-properties"])
@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (["name"], "name"),
        (["id"], "id"),
        (["id", "name", "org_id"], "id, name, org_id"),
        ("id", "id"),
        (["id", "org_id", None], "id, org_id, None"),
        ({"id": 1}, "{'id': 1}"),
        (5, "5"),
    ],
    ids=str,
)
def test_a_catalog_with_another_key_is_refused_in_a_sentence(
    sandbox: Sandbox, keys: Any, named: str, place: str
) -> None:
    known = catalog(["runs"])
    for entry in known["streams"]:
        if entry["tap_stream_id"] == "runs":
            about = next(each["metadata"] for each in entry["metadata"] if not each["breadcrumb"])
            (entry if place == "key_properties" else about)[place] = keys
    result = sync(sandbox, catalog=known)
    assert result.code == 78
    (sentence,) = result.errors
    assert "'runs'" in sentence
    assert f"its key is {named}, but" in sentence
    assert "--discover" in sentence
    assert result.lines == []
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda entry: entry.update(replication_key="created_at"), "its replication key is created_at"),
        (lambda entry: entry.update(replication_key=["last_updated"]), "its replication key is ['last_updated']"),
        (lambda entry: entry["schema"]["properties"].pop("id"), "lacks id"),
        (lambda entry: entry["schema"]["properties"].pop("last_updated"), "lacks last_updated"),
    ],
    ids=["another replication key", "a list of them", "no key", "no replication key"],
)
def test_a_catalog_that_does_not_fit_is_refused_in_a_sentence(
    sandbox: Sandbox, change: Callable[[Row], object], said: str
) -> None:
    known = catalog(["runs"])
    change(next(entry for entry in known["streams"] if entry["tap_stream_id"] == "runs"))
    result = sync(sandbox, catalog=known)
    assert result.code == 78
    (sentence,) = result.errors
    assert said in sentence
    assert "--discover" in sentence


@pytest.mark.parametrize("keys", [None, [], "", "absent", ["id", "org_id"], ["id", "org_id", "id"]], ids=str)
def test_a_catalog_without_a_key_has_the_streams_own(sandbox: Sandbox, keys: Any) -> None:
    known = catalog(["runs"])
    for entry in known["streams"]:
        if keys == "absent":
            del entry["key_properties"]
        elif entry["tap_stream_id"] == "runs" or not keys:
            entry["key_properties"] = keys
    result = sync(sandbox, catalog=known)
    assert result.code == 0, result.stderr
    assert result.schemas[0]["key_properties"] == ["org_id", "id"]
    assert len(result.records) == len(sandbox.runs)


# What is inside of a row


@pytest.mark.parametrize(
    ("children", "said"),
    [
        ([{"id": "inner", "name": "x"}, {"name": "nameless"}], "1 rows of 'folders' have no 'id' and are left out"),
        ("a text", "lists inside of 'folders' came as something else: 'children' (object)"),
    ],
    ids=["no key", "no list"],
)
def test_what_is_odd_inside_of_a_row_marks_nothing_as_deleted(sandbox: Sandbox, children: object, said: str) -> None:
    body = json.dumps({"data": [{"id": "outer", "children": {"data": children}}]}).encode()
    sandbox.fault_for = lambda _: Fault("body", body)
    result = sync(sandbox, ["folders"])
    assert result.code == 0, result.stderr
    assert {key[1] for key in emitted(result)["folders"]} >= {"outer"}
    assert any(said in warning for warning in warnings(result)), warnings(result)
    assert marked(result) == set()


# Filters


@pytest.mark.parametrize("name", ["tasks", "checklists"])
def test_a_status_is_asked_for_in_both_lists(sandbox: Sandbox, name: str) -> None:
    """An archived task keeps its status."""
    asked: set[tuple[str | None, str | None]] = set()

    def note(request: Request) -> None:
        if list_in(request.path) == PATHS.get(name, name):
            asked.add((request.query.get("status"), request.query.get("archived")))

    sandbox.before_list = note
    status = {"tasks": "complete", "checklists": "published"}[name]
    result = sync(sandbox, [name], **{name: {"status": status}})
    assert result.code == 0, result.stderr
    assert {(status, None), (status, "only")} <= asked
    assert not [each for each in asked if each[0] is None]


# The log


def test_a_line_of_the_log_names_a_few_of_thousands(sandbox: Sandbox) -> None:
    run = min(sandbox.runs)
    sandbox.collections["runs"].records[run].sent.update({f"unknown_{number}": 1 for number in range(40_000)})
    result = run_tap(sandbox)
    assert result.code == 0, result.stderr
    assert max(map(len, result.stderr.splitlines())) < 2_000
    (warning,) = [warning for warning in warnings(result) if "'unknown_" in warning]
    assert "more" in warning
