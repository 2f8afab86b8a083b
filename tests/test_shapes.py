"""Odd answers, through the whole process: what leaves it is valid, complete, and says what was odd."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from sandbox import Behaviour, Fault, Sandbox
from tests.tap import Result, run_tap

MARKER = "WHAT-THE-API-SENT"
ID = "0123456789abcdef0123456789abcdef"


def sync(sandbox: Sandbox, **settings: Any) -> Result:
    """Sync with success, and check that every record is valid against the schema that went before it."""
    result = run_tap(sandbox, **settings)
    assert "Traceback" not in result.stderr
    assert result.code == 0, result.stderr
    (schema,) = [message["schema"] for message in result.schemas]
    validator = Draft202012Validator(schema, format_checker=FormatChecker(["date-time"]))
    for line in result.lines:
        message = json.loads(line, parse_float=Decimal)
        if message["type"] == "RECORD":
            assert list(validator.iter_errors(message["record"])) == []
    return result


def sync_rows(*rows: dict[str, Any], **settings: Any) -> Result:
    with Sandbox(data=[{"id": f"{number:032x}", **row} for number, row in enumerate(rows)]) as sandbox:
        return sync(sandbox, **settings)


def run_body(body: bytes) -> Result:
    """Sync an account whose list is answered with this body."""
    with Sandbox(runs=0) as sandbox:
        sandbox.faults = [Fault("body", body)]
        return run_tap(sandbox, runs={"archived": "exclude"})


def sync_body(body: bytes) -> Result:
    with Sandbox(runs=0) as sandbox:
        sandbox.faults = [Fault("body", body)]
        return sync(sandbox, runs={"archived": "exclude"})


def warnings(result: Result) -> list[str]:
    """Return all warnings, and check that the SDK's remark on streams that are not sorted frightens nobody."""
    assert "assumed to be unsorted" not in result.stderr
    return [line.split(" | ", 3)[3] for line in result.stderr.splitlines() if "| WARNING" in line]


MIXED: list[dict[str, Any]] = [
    {
        "increment_id": "5012",
        "checklist_id": 77,
        "started_by": "1001",
        "late_tasks": "",
        "starred": "false",
        "due_soon": 1,
        "is_public": "TRUE",
        "progress": [],
        "custom_fields": [],
        "users": {},
        "groups": None,
        "collaborators": ["1", 2],
        "created_at": "2025-01-15 10:00:00",
        "last_updated": "2025-01-15T10:00:00+05:00",
        "due_date": "",
        "max_task_deadline": "2025-01-15",
    },
    {
        "increment_id": MARKER,
        "name": [MARKER],
        "starred": MARKER,
        "users": MARKER,
        "groups": MARKER,
        "progress": {"complete": MARKER},
        "custom_fields": [MARKER],
        "due_date": "0000-00-00 00:00:00",
        "completed_at": "-0001-11-30T00:00:00.000Z",
        "last_updated": "2025-01-16T10:00:00.000Z",
        "brand_new": {MARKER: [MARKER, None, {}]},
        "_extra": {"id": MARKER},
    },
    {"last_updated": None},
    {
        "last_updated": "2025-01-14T10:00:00Z",
        "summary": 12,
        "status": 3,
        "type": None,
        "prerun": {"f": [MARKER, {"a": 1}]},
    },
]


def test_what_can_be_converted_is() -> None:
    result = sync_rows(*MIXED)
    records = {record["id"]: record for record in result.records}
    assert len(records) == len(MIXED) == len(result.records)
    first = records[f"{0:032x}"]
    assert first.pop("org_id")
    assert first.pop("status") is None
    sent = {name: value for name, value in first.items() if name in MIXED[0] or value is not None}
    assert sent == {
        "id": f"{0:032x}",
        "increment_id": 5012,
        "checklist_id": "77",
        "started_by": 1001,
        "late_tasks": None,
        "starred": False,
        "due_soon": True,
        "is_public": True,
        "progress": {},
        "custom_fields": {},
        "users": [],
        "groups": None,
        "collaborators": [1, 2],
        "created_at": "2025-01-15T10:00:00.000Z",
        "last_updated": "2025-01-15T05:00:00.000Z",
        "due_date": None,
        "max_task_deadline": "2025-01-15T00:00:00.000Z",
    }
    assert records[f"{3:032x}"]["summary"] == "12"
    assert records[f"{3:032x}"]["prerun"] == {"f": [MARKER, {"a": 1}]}


def test_what_fits_no_column_is_kept_and_reported_once_without_its_value() -> None:
    result = sync_rows(*MIXED, *MIXED[1:2] * 3)
    row = MIXED[1]
    odd = [record for record in result.records if record["_extra"]]
    assert len(odd) == 4
    for record in odd:
        assert record["_extra"] == {name: value for name, value in row.items() if name != "last_updated"}
        assert {
            name: record[name] for name in row if name not in {"last_updated", "brand_new", "_extra"}
        } == dict.fromkeys(row.keys() - {"last_updated", "brand_new", "_extra"})
    (unknown,) = [text for text in warnings(result) if "the schema does not know" in text]
    assert "'brand_new'" in unknown
    assert "'_extra'" in unknown
    (misfits,) = [text for text in warnings(result) if "fit no column" in text]
    for name in (
        "'increment_id' (string)",
        "'name' (array)",
        "'users' (string)",
        "'progress' (object)",
        "'due_date' (string)",
    ):
        assert name in misfits
    assert MARKER not in result.stderr


def test_a_departure_from_the_contract_is_reported_by_place_and_type() -> None:
    result = sync_rows(*MIXED)
    (drift,) = [line for line in result.stderr.splitlines() if "departs from its contract" in line]
    assert drift.count("(") <= 10
    for place in ("checklist_id (integer against type)", "progress.complete (string against type)"):
        assert place in drift
    assert MARKER not in result.stderr


@pytest.mark.parametrize("date_format", ["ms", "z", "offset"])
def test_an_api_that_keeps_its_contract_gives_no_warning(date_format: str) -> None:
    with Sandbox(runs=150, seed=11, behaviour=Behaviour(date_format=date_format)) as sandbox:
        result = sync(sandbox)
        assert result.ids == sandbox.runs.keys()
    assert warnings(result) == []
    assert result.errors == []
    assert all(record["_extra"] is None for record in result.records)


def test_an_unknown_field_costs_one_warning_whatever_the_number_of_rows() -> None:
    result = sync_rows(
        *({"brand_new": number, "last_updated": "2025-01-15T10:00:00Z"} for number in range(30)), page_size=10
    )
    assert sorted(record["_extra"]["brand_new"] for record in result.records) == list(range(30))
    (warning,) = warnings(result)
    assert "'brand_new'" in warning


def test_no_digit_is_lost() -> None:
    numbers = b"12345678901234567890123", b"0.1234567890123456789", b"1e400", b"-0.10", b"9223372036854775807"
    fields = b'"late_tasks": %b, "progress": {"percent": %b}, "new": [%b, %b], "increment_id": %b' % numbers
    result = sync_body(b'{"data": [{"id": "a", "starred": 1, %b}]}' % fields)
    (line,) = [line for line in result.lines if '"RECORD"' in line]
    record = json.loads(line, parse_float=str)["record"]
    assert record["late_tasks"] is None
    assert record["_extra"] == {"late_tasks": 12345678901234567890123, "new": ["1E+400", "-0.10"]}
    assert record["progress"] == {"percent": "0.1234567890123456789"}
    assert record["increment_id"] == 9223372036854775807


def test_a_large_number_in_an_object_is_kept() -> None:
    result = sync_body(b'{"data": [{"id": "a", "prerun": {"x": 123456789012345678901234567890}}]}')
    (record,) = result.records
    assert record["prerun"] == {"x": 123456789012345678901234567890}


ROWS = b'{"id": "a", "last_updated": "2025-01-15T10:00:00Z"}, {"id": 7, "last_updated": "2025-01-14T10:00:00Z"}'


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b'{"data": [%b], "meta": {"pagination": {"total": 2}}}' % ROWS, {"a", "7"}),
        (b'{"data": [%b]}' % ROWS, {"a", "7"}),
        (b'{"data": [%b], "meta": null}' % ROWS, {"a", "7"}),
        (b'{"data": [%b], "meta": []}' % ROWS, {"a", "7"}),
        (b'{"data": [%b], "meta": {"pagination": []}}' % ROWS, {"a", "7"}),
        (b'{"data": [%b], "new": {"at": ["the top"]}}' % ROWS, {"a", "7"}),
        (b"[%b]" % ROWS, {"a", "7"}),
        (b'{"data": {"0": {"id": "a"}, "2": {"id": "b"}}}', {"a", "b"}),
        (b'{"data": []}', set()),
        (b'{"data": {}}', set()),
        (b"[]", set()),
        (b' \n{"data" : [ %b ] }\r\n' % ROWS, {"a", "7"}),
        (b'{"data": [{"id": "a", "name": "first", "name": "last"}]}', {"a"}),
        (b'{"data": [{"id": "\\u00fc\\ud83d\\ude00 \\u2028", "name": "a\\nb"}]}', {"ü😀 \u2028"}),
        (b'{"data": [{"id": "a", "new": %b1%b}]}' % (b"[" * 500, b"]" * 500), {"a"}),
        (b'{"data": [{"id": "a"}, {"name": "b"}, {}, {"id": null}, {"id": ""}, {"id": {}}, {"id": true}]}', {"a"}),
        (b'{"data": [{"id": "a", "name": "cut \\ud83d"}, {"id": "b", "\\u0000": 1}]}', {"a", "b"}),
        (b'{"data": [{"id": "a", "name": "cut \xf0\x9f"}, {"id": "b"}]}', {"a", "b"}),
        (b'{"data": [{"id": "a"}, null, 1, "a", [[]]]}', {"a"}),
        (b'{"data": [null]}', set()),
    ],
)
def test_envelopes(body: bytes, ids: set[str]) -> None:
    assert sync_body(body).ids == ids


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b'{"data": null}', "'data'"),
        (b"{}", "'data'"),
        (b"null", "'data'"),
        (b'"text"', "'data'"),
        (b"7", "'data'"),
        (b'{"data": "text"}', "'data'"),
        (b'{"data": {"id": "a"}}', "'data'"),
        (b'{"data": {"0": {"id": "a"}, "x": {"id": "b"}}}', "'data'"),
    ],
)
def test_an_answer_without_records_is_an_error_of_one_sentence(body: bytes, word: str) -> None:
    result = run_body(body)
    assert result.code == 78
    assert "Traceback" not in result.stderr
    (sentence,) = result.errors
    assert word in sentence
    assert "replication_key_value" not in json.dumps(result.states)


def test_half_a_character_and_nul_are_replaced() -> None:
    body = b'{"data": [{"id": "a", "name": "cut \\ud83d", "custom_fields": {"x\\u0000": "\\ude00"}, "n\\u0000": 1}]}'
    (record,) = sync_body(body).records
    assert record["name"] == "cut \ufffd"
    assert record["custom_fields"] == {"x\ufffd": "\ufffd"}
    assert record["_extra"] == {"n\ufffd": 1}


def test_every_array_has_one_type_of_items() -> None:
    rows: list[dict[str, Any]] = [
        {"users": [1, "2", {"id": 3}], "collaborators": {"0": 1, "2": "2"}, "groups": ["a", {"group_id": 7}, 8]},
        {"users": [1, None, "x"]},
    ]
    result = sync_rows(*({**row, "last_updated": "2025-01-15T10:00:00Z"} for row in rows))
    first, second = sorted(result.records, key=lambda record: str(record["id"]))
    assert (first["users"], first["collaborators"], first["groups"]) == ([1, 2, 3], [1, 2], ["a", "7", "8"])
    assert first["_extra"] == {name: rows[0][name] for name in ("users", "groups")}
    assert (second["users"], second["_extra"]) == ([1], {"users": [1, None, "x"]})
    (misfits,) = [text for text in warnings(result) if "fit no column" in text]
    assert "'users' (array)" in misfits
    assert "groups" not in misfits


@pytest.mark.parametrize("body", ['[{"id": "t"}]', '{"data": [{"id": "t"}]}', '{"data": {"id": "t"}}'])
def test_the_next_task_may_come_in_a_list(body: str) -> None:
    with Sandbox(runs=0) as sandbox:
        sandbox.faults = [Fault("body", b'{"data": [{"id": "a", "next_task": %b}]}' % body.encode())]
        (record,) = sync(sandbox, runs={"archived": "exclude", "with": ["next_task"]}).records
    assert record["next_task"] == {"id": "t"}
    assert record["_extra"] is None


def test_rows_that_do_not_say_when_they_changed() -> None:
    body = b'{"data": [%b], "meta": {"pagination": {"total": 3}}}' % b", ".join(
        b'{"id": "%d", "name": "x"}' % number for number in (1, 2, 3)
    )
    result = sync_body(body)
    assert result.ids == {"1", "2", "3"}
    assert {record["last_updated"] for record in result.records} == {None}


def test_a_byte_order_mark_is_no_part_of_an_answer() -> None:
    assert sync_body(b'\xef\xbb\xbf{"data": [{"id": "a"}]}').ids == {"a"}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("empty_as_list", [False, True])
def test_related_data_arrives_in_one_shape(*, wrapped: bool, empty_as_list: bool) -> None:
    behaviour = Behaviour(wrapped=wrapped, empty_object_as_list=empty_as_list)
    with Sandbox(runs=40, seed=2, behaviour=behaviour) as sandbox:
        result = sync(sandbox, runs={"with": ["tags", "checklist", "tasks"]})
        assert result.ids == sandbox.runs.keys()
    assert any(record["tags"] for record in result.records)
    assert all(isinstance(record["tags"], list) for record in result.records)
    assert all(record["checklist"] is None or "data" not in record["checklist"] for record in result.records)
    assert all(record["_extra"] is None for record in result.records)
