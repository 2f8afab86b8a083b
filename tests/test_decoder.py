"""The short way and the long way lead to the same records, and which one is taken is decided record by record."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sandbox import Behaviour, Sandbox
from sandbox.lists import rendered
from tap_tallyfy.records.decoder import RecordDecoder
from tap_tallyfy.tap import TapTallyfy

if TYPE_CHECKING:
    from collections.abc import Mapping

Row = dict[str, Any]

#: As the SDK's writer encodes.
MESSAGES = msgspec.json.Encoder(decimal_format="number")

#: The vendor's own example of a record.
EXAMPLE = b"""{"id":"run_id_abc","increment_id":5012,"checklist_id":"template_id_123",
"checklist_title":"Customer Onboarding","name":"Onboarding - ACME Corp","summary":"","status":"active",
"progress":{"complete":5,"total":10,"percent":50},"whole_progress":{"complete":5,"total":10,"percent":50},
"started_by":1001,"owner_id":1001,"prerun":{"f":"x"},"prerun_status":"complete","starred":false,
"created_at":"2025-01-15T10:00:00.000Z","started_at":"2025-01-15T10:00:00.000Z",
"last_updated":"2025-01-17T15:30:00.000Z","archived_at":null,"completed_at":null,
"due_date":"2025-02-15T10:00:00.000Z","due_date_passed":false,"due_soon":false,"late_tasks":0,"collaborators":[],
"type":"procedure","is_public":false,"users":[],"groups":[],"parent_id":null,"can_add_oot":true}""".replace(b"\n", b"")


def schema(*related: str) -> Mapping[str, Any]:
    stream = TapTallyfy(config={"org_id": "o", "access_token": "t", "runs": {"with": list(related)}}).streams["runs"]
    return stream.effective_schema


class Counting(RecordDecoder):
    """Counts the records that go the long way."""

    def record(self, row: Row) -> Row:
        self.long = getattr(self, "long", 0) + 1
        return super().record(row)


def decoder(*related: str) -> Counting:
    return Counting(schema(*related), wrapped=related, as_sent=True)


def body(*rows: bytes) -> bytes:
    return b'{"data":[' + b",".join(rows) + b'],"meta":{"pagination":{"total":1}}}'


def written(records: object) -> Any:
    """Return records as a target reads them."""
    return json.loads(MESSAGES.encode(records), parse_float=Decimal)


def both(short: Counting, row: bytes) -> tuple[Row, int]:
    """Parse a record the short way if it goes, check it against the long one, return it and how many went that."""
    before = getattr(short, "long", 0)
    parsed = short.records(body(row))
    assert parsed is not None
    taken = getattr(short, "long", 0) - before
    (record,), meta = parsed
    assert meta == {"pagination": {"total": 1}}
    assert MESSAGES.encode(record).count(b"\n") == 0
    long_way = short.record(msgspec.json.Decoder(float_hook=Decimal).decode(row))
    assert written(record) == written(long_way)
    assert record.keys() == long_way.keys()
    return written(record), taken


@pytest.mark.parametrize("date_format", ["ms", "z", "offset"])
@pytest.mark.parametrize("empty_as_list", [False, True])
def test_records_of_the_sandbox_go_the_short_way(date_format: str, empty_as_list: bool) -> None:
    behaviour = Behaviour(date_format=date_format, empty_object_as_list=empty_as_list)
    short = decoder()
    for record in Sandbox(runs=200, seed=5).collections["runs"].records.values():
        _, long = both(short, msgspec.json.encode(rendered(record, behaviour)))
        assert long == 0


def test_the_example_of_the_vendor_goes_the_short_way() -> None:
    record, long = both(decoder(), EXAMPLE)
    assert long == 0
    assert record["progress"] == {"complete": 5, "total": 10, "percent": 50}
    assert record["prerun"] == {"f": "x"}
    assert "custom_fields" not in record


def with_field(name: str, value: str) -> bytes:
    """Return the vendor's example with another value for one field, as JSON."""
    row = {**json.loads(EXAMPLE), name: msgspec.Raw(value.encode())}
    return msgspec.json.encode(row)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("custom_fields", '{"a":[{"b":null},1.10,-0.0,1e3,123456789012345678901234567890]}'),
        ("custom_fields", '{"same":1,"same":2}'),
        ("custom_fields", '{ "\\u00e9\\n" : "\\u0000 \u2028 \U0001f600" , "\u00e9": true }'),
        ("custom_fields", "[]"),
        ("custom_fields", "null"),
        ("progress", "[]"),
        ("progress", "{}"),
        ("progress", "null"),
        ("progress", '{"complete":1,"total":2,"percent":0.1234567890123456789,"skipped":{"a":[]}}'),
        ("due_date", '"2025-02-15 10:00:00"'),
        ("due_date", '"2025-02-15T10:00:00.123456+05:30"'),
        ("due_date", '""'),
        ("users", "null"),
    ],
)
def test_what_needs_no_conversion_goes_the_short_way(name: str, value: str) -> None:
    assert both(decoder(), with_field(name, value))[1] == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("custom_fields", '"a text"'),
        ("custom_fields", "7"),
        ("custom_fields", '["a"]'),
        ("late_tasks", '"3"'),
        ("late_tasks", str(2**63)),
        ("starred", "1"),
        ("due_date", '"0000-00-00 00:00:00"'),
        ("due_date", "1736935200"),
        ("prerun", '["a"]'),
        ("progress", '{"complete":"1","total":2}'),
        ("progress", "50"),
        ("users", '[1,"x"]'),
        ("users", "{}"),
        ("id", "7"),
    ],
)
def test_a_record_with_anything_else_goes_the_long_way_alone(name: str, value: str) -> None:
    short = decoder()
    assert both(short, with_field(name, value))[1] == 1
    parsed = short.records(body(EXAMPLE, with_field(name, value), EXAMPLE))
    assert parsed is not None
    assert len(parsed[0]) == 3
    assert short.long == 1 + 1 + 1  # this one twice, and once more to compare


def test_a_field_nobody_has_heard_of_costs_one_record_the_long_way() -> None:
    short = decoder()
    for number, value in enumerate(('{"a":1.10}', "null", "[1]", '"x"', "7")):
        record, long = both(short, with_field("brand new", value))
        assert long == (number == 0)
        assert record["_extra"] == {"brand new": json.loads(value, parse_float=Decimal)}
    record, long = both(short, EXAMPLE)
    assert long == 0
    assert record["_extra"] is None
    assert short.normalise.unknown == {"brand new"}


def test_no_end_of_new_fields_is_borne() -> None:
    short = decoder()
    for number in range(150):
        assert both(short, with_field(f"new {number}", "1"))[0]["_extra"] == {f"new {number}": 1}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("tags", '[{"id":"a"},{"id":"b"}]', [{"id": "a"}, {"id": "b"}]),
        ("tags", "[]", []),
        ("tags", "null", None),
        ("checklist", '{"id":"a","data":1}', {"id": "a", "data": 1}),
        ("checklist", "[]", {}),
        ("checklist", "null", None),
    ],
)
def test_related_data_is_unwrapped_the_short_way(name: str, value: str, expected: Any, wrapped: bool) -> None:
    short = decoder("tags", "checklist")
    record, long = both(short, with_field(name, f'{{"data":{value}}}' if wrapped else value))
    assert record[name] == expected
    assert long == 0


NESTED = {
    "properties": {
        "id": {"type": "string"},
        "typed": {
            "type": ["object", "null"],
            "properties": {
                "free": {"type": ["object", "null"]},
                "at": {"type": ["string", "null"], "format": "date-time"},
                "numbers": {"type": ["array", "null"], "items": {"type": "number"}},
            },
        },
        "either": {"type": ["object", "array", "null"]},
    }
}


@pytest.mark.parametrize(
    ("typed", "long"),
    [
        ('{"free":{"a":1.10,"b":0.1234567890123456789},"at":"2025-01-15T10:00:00.000Z","numbers":[1,2.50]}', 0),
        ('{"at":"2025-01-15T10:00:00Z"}', 1),
        ('{"free":[]}', 1),
        ('{"numbers":["1"]}', 1),
    ],
)
def test_nested_values_are_looked_at_too(typed: str, long: int) -> None:
    short = Counting(NESTED, as_sent=True)
    assert both(short, f'{{"id":"a","typed":{typed},"either":[{{"x":1.10}}]}}'.encode())[1] == long


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'{"data": {}}',
        b"{" * 100_000,
        b'{"data": [1]}',
        b"\xff",
        b'{"data": [{"id": "a", "custom_fields": {"a":\n1}}]}',
        b'{"data": [{"id": "a", "custom_fields": {"a":\r1}}]}',
        b'{"data": [{"id": "a", "custom_fields": {"a": "\xff"}}]}',
        b'{"data": [{"id": "a", "custom_fields": {"a": "\xed\xa0\x80"}}]}',
        b'{"data": [{"id": "a", "custom_fields": {"a": 01}}]}',
        b'{"data": [{"id": "a", "custom_fields": {"a": NaN}}]}',
        b'{"data": [{"id": "a", "custom_fields": {"a": 1,}}]}',
        b'{"data": [{"id": "a", "custom_fields": {"a": "\\q"}}]}',
        b'{"data": [{"id": "a", "custom_fields": {"a": "\\ud800 "}}]}',
        b'{"data": [{"id": "a", "late_tasks": 1e99999999999999999999}]}',
    ],
)
def test_what_is_no_page_of_one_line_is_left_to_others(content: bytes) -> None:
    assert decoder().records(content) is None


def test_where_somebody_looks_inside_nothing_stays_as_it_was_sent() -> None:
    assert RecordDecoder(schema()).records(body(EXAMPLE)) is None
