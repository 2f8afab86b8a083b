"""What the parser makes of values: valid against the schema, and nothing lost."""

from __future__ import annotations

import copy
import json
import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from tap_tallyfy.dates import ConversionError, date_time
from tap_tallyfy.records.contract import CONTRACT, EXTRA, table_schema
from tap_tallyfy.records.parser import RecordParser
from tap_tallyfy.records.redact import redact
from tap_tallyfy.records.shapes import as_list, inside, is_list_in_disguise, json_type

RUNS = "/organizations/{org_id}/runs"
SCHEMA: dict[str, Any] = table_schema(RUNS, ("org_id", "id"), CONTRACT.with_words(RUNS))
PROPERTIES: dict[str, Any] = {name: each for name, each in SCHEMA["properties"].items() if name != "org_id"}
CHECKER = FormatChecker(["date-time"])
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=CHECKER)

ENCODER = msgspec.json.Encoder(decimal_format="number")
MISFIT = object()


def parse(kind: str = RUNS, **fields: Any) -> tuple[dict[str, Any], RecordParser]:
    parser = RecordParser(kind)
    return parser({"id": "a", **fields}), parser


def check(name: str, value: Any, expected: Any) -> None:
    """Check what becomes of one field's value; MISFIT means that it goes to `_extra` as it is."""
    before = repr(value)
    record, parser = parse(**{name: value})
    assert repr(value) == before
    if expected is MISFIT:
        assert record == {"id": "a", name: None, EXTRA: {name: value}}
        assert type(record[EXTRA][name]) is type(value)
        assert parser.misfits == {name: json_type(value)}
    else:
        assert record == {"id": "a", name: expected, EXTRA: None}
        assert type(record[name]) is type(expected)
        assert parser.misfits == {}
    assert parser.unknown == set()
    assert VALIDATOR.is_valid(as_written(record))


def check_part(name: str, value: Any, expected: Any, *, lost: bool = False, kind: str = RUNS) -> None:
    """Check what a column gets of a value that it cannot hold as a whole, which `_extra` has as well."""
    record, parser = parse(kind, **{name: value})
    assert record == {"id": "a", name: expected, EXTRA: {name: value}}
    assert parser.misfits == ({name: json_type(value)} if lost else {})


def as_written(record: dict[str, Any]) -> Any:
    """Return a record as it is read back from the line it is written to."""
    return json.loads(ENCODER.encode({"org_id": "o", **record}), parse_float=Decimal)


def test_the_format_checker_checks() -> None:
    assert "date-time" in CHECKER.checkers
    assert not VALIDATOR.is_valid({"org_id": "o", "id": "a", "created_at": "yesterday"})
    assert VALIDATOR.is_valid({"org_id": "o", "id": "a", "created_at": "2025-01-15T10:00:00.000Z"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", ""),
        ("text", "text"),
        (5012, "5012"),
        (-1, "-1"),
        (2**80, str(2**80)),
        (Decimal("1.50"), "1.50"),
        (Decimal("1E+400"), "1E+400"),
        (True, MISFIT),
        (False, MISFIT),
        ([], MISFIT),
        ({}, MISFIT),
        (["text"], MISFIT),
        ({"text": "x"}, MISFIT),
    ],
)
def test_strings(value: Any, expected: Any) -> None:
    check("name", value, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        (0, 0),
        (-7, -7),
        ("7", 7),
        ("-7", -7),
        ("0", 0),
        (Decimal("7.0"), 7),
        (Decimal("7E+2"), 700),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, MISFIT),
        (-(2**63) - 1, MISFIT),
        (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63)), -(2**63)),
        (str(2**63), MISFIT),
        (str(-(2**63) - 1), MISFIT),
        (Decimal(2**63 - 1), 2**63 - 1),
        (Decimal(2**63), MISFIT),
        (12345678901234567890123, MISFIT),
        ("9" * 5000, MISFIT),
        (Decimal("1E+999999999999999999"), MISFIT),
        (Decimal("1E-999999999999999999"), MISFIT),
        (Decimal("7.5"), MISFIT),
        ("7.0", MISFIT),
        ("007", MISFIT),
        ("+7", MISFIT),
        ("-0", MISFIT),
        (" 7", MISFIT),
        ("7\n", MISFIT),
        ("1_000", MISFIT),
        ("٣", MISFIT),
        ("seven", MISFIT),
        (True, MISFIT),
        (False, MISFIT),
        ([], MISFIT),
        ([7], MISFIT),
        ({}, MISFIT),
    ],
)
def test_integers(value: Any, expected: Any) -> None:
    check("late_tasks", value, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        ("1", True),
        ("0", False),
        ("true", True),
        ("false", False),
        ("TRUE", True),
        ("False", False),
        (2, MISFIT),
        (-1, MISFIT),
        ("yes", MISFIT),
        ("no", MISFIT),
        (" true", MISFIT),
        (Decimal("1.0"), MISFIT),
        ([], MISFIT),
        ({}, MISFIT),
    ],
)
def test_booleans(value: Any, expected: Any) -> None:
    check("starred", value, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, {}),
        ([], {}),
        (None, None),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        ([1], MISFIT),
        ("", MISFIT),
        ("{}", MISFIT),
        (0, MISFIT),
        (False, MISFIT),
    ],
)
def test_free_objects(value: Any, expected: Any) -> None:
    check("custom_fields", value, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, {}),
        ([], {}),
        (None, None),
        ({"complete": 5, "total": 10, "percent": 50}, {"complete": 5, "total": 10, "percent": 50}),
        ({"complete": "5", "total": "", "percent": "50.0"}, {"complete": 5, "total": None, "percent": Decimal("50.0")}),
        ({"percent": Decimal("33.333333333333333333")}, {"percent": Decimal("33.333333333333333333")}),
        ({"percent": 2**80}, {"percent": 2**80}),
        ({"percent": "1e-3"}, {"percent": Decimal("0.001")}),
        ({"percent": "1e99999999999999999999"}, MISFIT),
        ({"percent": "1e400"}, MISFIT),
        ({"percent": Decimal("1E+400")}, MISFIT),
        ({"percent": Decimal("-1E+999999999999999999")}, MISFIT),
        ({"percent": 10**400}, MISFIT),
        ({"percent": "NaN"}, MISFIT),
        ({"percent": "Infinity"}, MISFIT),
        ({"percent": "1_0"}, MISFIT),
        ({"percent": True}, MISFIT),
        ({"percent": ""}, {"percent": None}),
        ({"percent": []}, MISFIT),
        ({"complete": 5, "new": {"kept": [1]}}, {"complete": 5, "new": {"kept": [1]}}),
        ({"complete": 5, "total": "ten"}, MISFIT),
        ({"complete": [5]}, MISFIT),
        ([{"complete": 5}], MISFIT),
        ("50%", MISFIT),
        (50, MISFIT),
    ],
)
def test_nested_objects_fit_as_a_whole_or_not(value: Any, expected: Any) -> None:
    check("progress", value, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ([], []),
        ({}, []),
        ([1, 2], [1, 2]),
        ([1, "2", Decimal("3.0")], [1, 2, 3]),
        ({"0": 1, "2": "3"}, [1, 3]),
        ({"data": [1, 2]}, [1, 2]),
        ({"data": {"1": 1}, "meta": {}}, [1]),
        ({"data": None}, []),
        ("", MISFIT),
        ({"a": 1}, MISFIT),
        ({"1": 1, "a": 2}, MISFIT),
        ({"-1": 1}, MISFIT),
        ({"²": 1}, MISFIT),
        ("1,2", MISFIT),
        (0, MISFIT),
        (False, MISFIT),
    ],
)
def test_lists_of_integers(value: Any, expected: Any) -> None:
    check("users", value, expected)


@pytest.mark.parametrize(
    ("value", "expected", "lost"),
    [
        ([{"id": 1}], [1], False),
        ([1, {"id": "2", "full_name": "Ann"}], [1, 2], False),
        ([{"user_id": 3}], [3], False),
        ([1, None], [1], True),
        ([1, ""], [1], True),
        ([1, "x"], [1], True),
        ([1, True], [1], True),
        ([2**63], [], True),
        ([[1]], [], True),
        ([{"name": "Ann"}, {"id": 1}], [1], True),
        ([{"id": {"x": 1}}], [], True),
        ({"1": {"id": 1}, "2": {"id": None}}, [1], True),
    ],
)
def test_what_a_list_of_integers_cannot_hold_is_kept_beside_it(value: Any, expected: Any, lost: bool) -> None:
    check_part("users", value, expected, lost=lost)


def test_lists_of_strings() -> None:
    check("groups", ["a", 7, Decimal("1.50")], ["a", "7", "1.50"])
    check_part("groups", ["a", {"group_id": "b"}], ["a", "b"])
    check_part("groups", ["a", ["b"], None], ["a"], lost=True)


GROUPS = "/organizations/{org_id}/groups"
TASKS = "/organizations/{org_id}/tasks"
CHECKLISTS = "/organizations/{org_id}/checklists"


def test_guests_are_told_by_their_address() -> None:
    guests = [{"email": "a@b.c", "id": "code", "link": "https://secret"}, "d@e.f"]
    record, parser = parse(GROUPS, guests=guests)
    assert record["guests"] == ["a@b.c", "d@e.f"]
    assert record[EXTRA] == {"guests": [{"email": "a@b.c"}, "d@e.f"]}
    assert parser.misfits == {}


def test_an_array_inside_of_an_object_has_one_type_too() -> None:
    owners = {"users": [1, {"id": 2, "email": "a@b.c"}], "guests": {"1": "a@b.c"}, "groups": [7]}
    check_part("owners", owners, {"users": [1, 2], "guests": ["a@b.c"], "groups": ["7"]}, kind=TASKS)


@pytest.mark.parametrize("name", ["options", "columns"])
def test_an_empty_list_or_a_text_among_objects_is_an_object(name: str) -> None:
    field = {"id": "f", name: [{"id": 1}, [], "Yes", 7]}
    record, parser = parse(TASKS, form_fields={"data": [field]})
    text = {"options": "text", "columns": "label"}[name]
    assert record["form_fields"] == [{"id": "f", name: [{"id": 1}, {}, {text: "Yes"}, {text: 7}]}]
    assert record[EXTRA] is None
    assert parser.misfits == {}


def test_a_list_with_gaps_is_a_list_at_every_depth_and_a_map_stays_one() -> None:
    step = {"id": "s", "captures": {"0": {"id": "f", "options": {"0": {"id": 1}, "5": "No"}}}, "assignees": {"3": 1}}
    record, _ = parse(CHECKLISTS, steps={"data": {"0": step, "2": {"id": "t"}}}, custom_fields={"1": "x"})
    assert record == {
        "id": "a",
        "steps": [
            {"id": "s", "captures": [{"id": "f", "options": [{"id": 1}, {"text": "No"}]}], "assignees": [1]},
            {"id": "t"},
        ],
        "custom_fields": {"1": "x"},
        EXTRA: None,
    }
    check("prerun", {"1": {"2": "x"}}, {"1": {"2": "x"}})
    assert parse(TASKS, taskdata={"1": "x"})[0]["taskdata"] == {"1": "x"}


def test_an_item_that_does_not_fit_costs_no_other() -> None:
    threads = [{"id": "1", "created_at": "soon"}, {"id": 2, "sent_to": [1, {"id": 2}]}, None]
    check_part("threads", threads, [{"id": "2", "sent_to": [1, 2]}], lost=True, kind=TASKS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"id": "t"}, {"id": "t"}),
        ({"data": {"id": "t"}}, {"id": "t"}),
        ([{"id": "t"}], {"id": "t"}),
        ({"data": [{"id": "t"}]}, {"id": "t"}),
        ({"data": {"0": {"id": "t"}}}, {"id": "t"}),
        ({"data": []}, {}),
        ([], {}),
        ({"data": None}, None),
        (None, None),
        ("t", MISFIT),
    ],
)
def test_the_next_task_may_stand_in_a_list(value: Any, expected: Any) -> None:
    check("next_task", value, expected)


def test_of_several_next_tasks_the_first_is_the_next() -> None:
    check_part("next_task", [{"id": "t"}, {"id": "u"}], {"id": "t"}, lost=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("required", "required"),
        ("", ""),
        (None, None),
        ({"min": Decimal("1.50")}, '{"min":1.50}'),
        ([], "[]"),
        (7, "7"),
    ],
)
def test_what_may_be_anything_is_kept_as_json(value: Any, expected: Any) -> None:
    assert parse("TemplateField", default_value=value)[0] == {"id": "a", "default_value": expected, EXTRA: None}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("tags", [{"id": "a"}, {"id": "b"}], [{"id": "a"}, {"id": "b"}]),
        ("tags", [], []),
        ("checklist", {"id": "a", "data": 1}, {"id": "a", "data": 1}),
        ("checklist", [], {}),
        ("checklist", None, None),
    ],
)
def test_related_data_is_unwrapped(name: str, value: Any, expected: Any, wrapped: bool) -> None:
    check(name, {"data": value} if wrapped else value, expected)


def test_a_map_called_data_is_not_unwrapped() -> None:
    check("custom_fields", {"data": "x"}, {"data": "x"})


USERS = "/organizations/{org_id}/users"


@pytest.mark.parametrize(
    ("sent", "name", "expected"),
    [
        ({"updated_at": "2025-01-15T10:00:00Z"}, "last_updated", "2025-01-15T10:00:00.000Z"),
        (
            {"updated_at": "2025-01-16", "last_updated": "2025-01-16T00:00:00Z"},
            "last_updated",
            "2025-01-16T00:00:00.000Z",
        ),
        ({"updated_at": "2025-01-15", "last_updated": None}, "last_updated", "2025-01-15T00:00:00.000Z"),
        ({"active": "1"}, "is_active", True),
        ({"UTC_offset": "+01:00"}, "utc_offset", "+01:00"),
    ],
)
def test_a_second_name_is_settled(sent: Any, name: str, expected: Any) -> None:
    assert parse(USERS, **sent)[0] == {"id": None, EXTRA: {"id": "a"}, name: expected}


def test_another_value_under_a_second_name_is_kept() -> None:
    record = parse(USERS, updated_at="2025-01-15", last_updated="2025-01-16", active="0", is_active=True)[0]
    assert (record["last_updated"], record["is_active"]) == ("2025-01-16T00:00:00.000Z", True)
    assert record[EXTRA] == {"id": "a", "updated_at": "2025-01-15", "active": "0"}


def test_of_an_organization_only_what_is_described_is_kept() -> None:
    row = {"id": "o", "name": "N", "working_days": [1, 2], "users_count": "5", "mixpanel_token": "secret"}
    parser = RecordParser("/organizations/{org_id}")
    assert parser(row) == {"name": "N", "working_days": "[1,2]", "users_count": 5}
    assert parser.unknown == set()
    columns = table_schema("/organizations/{org_id}", ("org_id",))["properties"]
    assert list(columns) == [
        "org_id",
        "name",
        "timezone",
        "working_days",
        "default_deadline",
        "created_on",
        "last_updated",
        "plan_code",
        "users_count",
    ]


DATE_TIMES: list[tuple[Any, Any]] = [
    (None, None),
    ("", None),
    ("2025-01-15T10:00:00.000Z", "2025-01-15T10:00:00.000Z"),
    ("2025-01-15T10:00:00Z", "2025-01-15T10:00:00.000Z"),
    ("2025-01-15T10:00:00+00:00", "2025-01-15T10:00:00.000Z"),
    ("2025-01-15T10:00:00-00:00", "2025-01-15T10:00:00.000Z"),
    ("2025-01-15T10:00:00+0000", "2025-01-15T10:00:00.000Z"),
    ("2025-01-15T10:00:00", "2025-01-15T10:00:00.000Z"),
    ("2025-01-15 10:00:00", "2025-01-15T10:00:00.000Z"),
    ("2025-01-15 10:00:00 +00:00", "2025-01-15T10:00:00.000Z"),
    ("2025-01-15t10:00:00z", "2025-01-15T10:00:00.000Z"),
    ("2025-01-15T10:00", "2025-01-15T10:00:00.000Z"),
    ("2025-01-15", "2025-01-15T00:00:00.000Z"),
    ("2025-01-15T10:00:00+05:30", "2025-01-15T04:30:00.000Z"),
    ("2025-01-15T23:30:00-01:00", "2025-01-16T00:30:00.000Z"),
    ("2025-01-15T10:00:00.5Z", "2025-01-15T10:00:00.500Z"),
    ("2025-01-15T10:00:00.123456Z", "2025-01-15T10:00:00.123456Z"),
    ("2025-01-15T10:00:00.123000Z", "2025-01-15T10:00:00.123Z"),
    ("2025-01-15T10:00:00.123456789012+01:00", "2025-01-15T09:00:00.123456789012Z"),
    ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
    ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ("0001-01-01T00:00:00.000Z", "0001-01-01T00:00:00.000Z"),
    ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
    ("0001-01-01T00:00:00+01:00", MISFIT),
    ("9999-12-31T23:59:59-01:00", MISFIT),
    ("0000-00-00", MISFIT),
    ("0000-00-00 00:00:00", MISFIT),
    ("0000-00-00T00:00:00.000Z", MISFIT),
    ("-0001-11-30T00:00:00Z", MISFIT),
    ("-0001-11-30T00:00:00.000Z", MISFIT),
    ("2025-02-30T00:00:00Z", MISFIT),
    ("2025-02-30T00:00:00.000Z", MISFIT),
    ("2025-13-01", MISFIT),
    ("2025-01-15T24:00:00.000Z", MISFIT),
    ("2025-01-15T25:00:00Z", MISFIT),
    ("2025-01-15T23:59:60Z", MISFIT),
    ("2025-01-15T10:00:00+25:00", MISFIT),
    ("2025-01-15T10:00:00,5Z", MISFIT),
    ("2025-W03-3", MISFIT),
    ("20250115", MISFIT),
    ("٢٠٢٥-01-15", MISFIT),
    ("2025-01-15T10:00:00Z\n", MISFIT),
    ("15/01/2025", MISFIT),
    ("tomorrow", MISFIT),
    (1736935200, MISFIT),
    (Decimal("1736935200.0"), MISFIT),
    (True, MISFIT),
    ([], MISFIT),
    ({"date": "2025-01-15"}, MISFIT),
]


@pytest.mark.parametrize(("value", "expected"), DATE_TIMES)
def test_date_times(value: Any, expected: Any) -> None:
    check("due_date", value, expected)


def test_ids() -> None:
    assert parse(id=5012)[0] == {"id": "5012", EXTRA: None}
    record, parser = parse(id=None)
    assert record == {"id": None, EXTRA: None}
    assert parser.misfits == {}
    record, parser = parse(id={"x": 1})
    assert record == {"id": None, EXTRA: {"id": {"x": 1}}}
    assert parser.misfits == {"id": "object"}


def test_unknown_fields_are_kept_as_they_are() -> None:
    value = {"deep": [1, None, {"x": Decimal("0.1234567890123456789")}]}
    record, parser = parse(brand_new=value, late_tasks="many")
    assert record == {"id": "a", "late_tasks": None, EXTRA: {"brand_new": value, "late_tasks": "many"}}
    assert parser.unknown == {"brand_new"}
    assert parser.misfits == {"late_tasks": "string"}


@pytest.mark.parametrize("value", [None, {}, {"id": "b"}, "text", [1]])
def test_a_field_that_is_called_like_the_taps_own(value: Any) -> None:
    record, parser = parse(**{EXTRA: value})
    assert record == {"id": "a", EXTRA: {EXTRA: value}}
    assert parser.unknown == {EXTRA}


def test_absent_fields_stay_absent() -> None:
    assert parse()[0] == {"id": "a", EXTRA: None}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "boolean"),
        (1, "integer"),
        (Decimal(1), "number"),
        (1.0, "number"),
        ("", "string"),
        ([], "array"),
        ({}, "object"),
    ],
)
def test_json_types(value: Any, name: str) -> None:
    assert json_type(value) == name


# Any values in any fields

NUMBERS = st.one_of(
    st.integers(),
    st.integers(-(2**66), 2**66),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**22, 10**400]),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        [Decimal(text) for text in ("0.1234567890123456789", "1E+400", "-1E-400", "0E+30", "-0.0", "1E+18")]
    ),
)
MOMENTS = st.datetimes(timezones=st.just(timezone.utc))
FORMS = st.sampled_from(
    [
        lambda moment: moment.isoformat(),
        lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S.000Z").rjust(24, "0"),
        lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S").rjust(19, "0"),
        lambda moment: moment.date().isoformat(),
    ]
)
TEXTS = st.one_of(
    st.text(),
    NUMBERS.map(str),
    st.sampled_from(["", "true", "FALSE", "0", "1", "-0", "007", "1e5", "1e400", "0000-00-00 00:00:00", "-0001-11-30"]),
    st.builds(lambda moment, form: form(moment), MOMENTS, FORMS),
    st.from_regex(r"\A\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?\Z"),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
NAMES = st.sampled_from([*PROPERTIES, "complete", "percent", "unknown"])
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)
RECORDS = st.dictionaries(NAMES.filter("id".__ne__) | st.text(max_size=3).filter("id".__ne__), ANYTHING, max_size=12)


def recovered(schema: dict[str, Any], value: Any, out: Any) -> bool:  # noqa: PLR0911 - one for each type
    """Return whether what the tap wrote still tells what the API sent."""
    if type(value) is type(out) and value == out:
        return True
    kind = schema.get("type", "")
    kind = kind if isinstance(kind, str) else kind[0]
    if out is None:
        return value is None or (value == "" and (kind != "string" or "format" in schema))
    if "format" in schema:
        return isinstance(value, str) and second_of(value) == second_of(out)
    match kind:
        case "string":
            return bool(out == (value if isinstance(value, str) else str(value))) and not isinstance(value, bool)
        case "integer" | "number":
            return not isinstance(value, bool) and Decimal(value) == Decimal(out)
        case "boolean":
            return str(value).lower() in ({"true", "1"} if out else {"false", "0"})
        case "array":
            value = as_list(inside(value))
            return len(value) == len(out) and all(
                recovered(schema.get("items", {}), *pair) for pair in zip(value, out, strict=True)
            )
        case "object" if value == []:
            return bool(out == {})
        case "object":
            parts = schema.get("properties", {})
            return value.keys() == out.keys() and all(
                recovered(parts.get(name, {}), part, out[name]) for name, part in value.items()
            )
    return type(value) is type(out) and bool(value == out)


def second_of(text: str) -> datetime:
    """Return a date-time to the second, read in another way than the tap does."""
    text = text.upper().replace(" ", "T", 1).replace(" ", "")
    day, _, rest = text.partition("T")
    time, sign, offset = re.fullmatch(r"([\d:]*)(?:\.\d*)?Z?(?:([+-])(.*))?", rest).groups()  # type: ignore[union-attr]
    hour, minute, at_second = (*map(int, filter(None, time.split(":"))), 0, 0, 0)[:3]
    year, month, date = map(int, day.split("-"))
    moment = datetime(year, month, date, hour, minute, at_second, tzinfo=timezone.utc)
    if not sign:
        return moment
    digits = offset.replace(":", "")
    shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return moment - shift if sign == "+" else moment + shift


@settings(max_examples=120)
@given(RECORDS)
@example({name: "" for name in PROPERTIES if name != "id"})
@example({name: [] for name in PROPERTIES if name != "id"})
@example({name: {} for name in PROPERTIES if name != "id"})
@example({name: None for name in PROPERTIES if name != "id"})
@example({name: 10**400 for name in PROPERTIES if name != "id"})
def test_any_record_becomes_valid_and_loses_nothing(fields: dict[str, Any]) -> None:
    parser = RecordParser(RUNS)
    raw = redact({"id": "a", **fields}, RUNS)
    record = parser(dict(raw))
    assert list(VALIDATOR.iter_errors(as_written(record))) == []
    extra = record[EXTRA] or {}
    for name, value in raw.items():
        if name not in PROPERTIES or name == EXTRA:
            assert extra[name] is value
            assert name in parser.unknown
        elif name in extra:
            assert extra[name] is value
            assert parser.misfits.get(name, json_type(value)) == json_type(value)
            if record[name] is None:
                assert name in parser.misfits
        else:
            assert recovered(PROPERTIES[name], related(name, value), record[name]), (name, value, record[name])
    assert record.keys() == {name for name in raw if name in PROPERTIES} | {EXTRA}
    assert extra.keys() <= raw.keys()


def related(name: str, value: Any) -> Any:
    """Return related data without its wrapping, and the next task without its list."""
    value = inside(value) if name in CONTRACT.related(RUNS) else value
    if name == "next_task" and is_list_in_disguise(value):
        value = list(value.values())
    return value[0] if name == "next_task" and isinstance(value, list) and value else value


@settings(max_examples=150)
@given(st.sampled_from([name for name in PROPERTIES if name != EXTRA]), ANYTHING)
def test_a_field_depends_on_no_other(name: str, value: Any) -> None:
    alone = RecordParser(RUNS)({name: copy.deepcopy(value)})
    among = RecordParser(RUNS)({"id": "a", "name": "n", "brand_new": 1, name: value})
    assert among[name] == alone[name]
    assert (among[EXTRA] or {}).get(name) == (alone[EXTRA] or {}).get(name)


# Date-times

ONE_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,}Z", re.ASCII)
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
SAFE = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=OFFSETS)  # noqa: DTZ001 - the time zone is drawn


@given(
    SAFE, SAFE, st.sampled_from(["T", " ", "t"]), st.sampled_from(["auto", "seconds", "milliseconds", "microseconds"])
)
def test_date_times_compare_as_text(first: datetime, other: datetime, separator: str, precision: str) -> None:
    written = [moment.isoformat(separator.upper(), precision) for moment in (first, other)]
    one, two = (date_time(text.replace("T", separator)) or "" for text in written)
    assert ONE_FORM.fullmatch(one)
    assert ONE_FORM.fullmatch(two)
    earlier = first.replace(microsecond=0) < other.replace(microsecond=0)
    assert (one[:19] < two[:19]) is earlier
    assert date_time(one) == one
    assert datetime.fromisoformat(one[:19] + "+00:00") == first.replace(microsecond=0)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, 23), st.sampled_from(list("0123456789-:.,TtZzWw+ ٣\n"))), min_size=1, max_size=4)
)
def test_what_only_looks_like_a_date_time_is_refused(changes: list[tuple[int, str]]) -> None:
    text = list("2025-01-15T10:00:00.000Z")
    for position, character in changes:
        text[position] = character
    try:
        written = date_time("".join(text))
    except ConversionError:
        return
    assert written is not None
    assert ONE_FORM.fullmatch(written)
    assert CHECKER.conforms(written, "date-time")
    assert date_time(written) == written
