"""What the normaliser makes of values: valid against the schema, and nothing lost."""

from __future__ import annotations

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
from tap_tallyfy.records.contract import EXTRA
from tap_tallyfy.records.normalise import Normaliser, json_type
from tap_tallyfy.streams import RunsStream
from tap_tallyfy.tap import TapTallyfy

SCHEMA: dict[str, Any] = (
    TapTallyfy(config={"org_id": "o", "access_token": "t", "runs": {"with": ["tags", "checklist"]}})
    .streams[RunsStream.name]
    .schema
)
PROPERTIES: dict[str, Any] = {name: each for name, each in SCHEMA["properties"].items() if name != "org_id"}
CHECKER = FormatChecker(["date-time"])
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=CHECKER)

ENCODER = msgspec.json.Encoder(decimal_format="number")
MISFIT = object()


def normalise(**fields: Any) -> tuple[dict[str, Any], Normaliser]:
    normaliser = Normaliser(SCHEMA)
    record = normaliser({"id": "a", "org_id": "o", **fields})
    assert record.pop("org_id") == "o"
    return record, normaliser


def check(name: str, value: Any, expected: Any) -> None:
    """Check what becomes of one field's value; MISFIT means that it goes to `_extra` as it is."""
    before = repr(value)
    record, normaliser = normalise(**{name: value})
    assert repr(value) == before
    if expected is MISFIT:
        assert record == {"id": "a", name: None, EXTRA: {name: value}}
        assert type(record[EXTRA][name]) is type(value)
        assert normaliser.misfits == {name: json_type(value)}
    else:
        assert record == {"id": "a", name: expected, EXTRA: None}
        assert type(record[name]) is type(expected)
        assert normaliser.misfits == {}
    assert normaliser.unknown == set()
    assert VALIDATOR.is_valid(as_written(record))


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
        ("", None),
        ([], []),
        ({}, []),
        ([1, "2", Decimal("3.0")], [1, 2, 3]),
        ([1, None], MISFIT),
        ([1, ""], MISFIT),
        ([1, "x"], MISFIT),
        ([{"id": 1}], MISFIT),
        ([2**63], MISFIT),
        ({"0": 1}, MISFIT),
        ("1,2", MISFIT),
        (0, MISFIT),
    ],
)
def test_lists_of_integers(value: Any, expected: Any) -> None:
    check("users", value, expected)


def test_lists_of_strings() -> None:
    check("groups", ["a", 7, Decimal("1.50")], ["a", "7", "1.50"])
    check("groups", ["a", {"group_id": "b"}, None], ["a", {"group_id": "b"}, None])
    check("groups", ["a", ["b"]], MISFIT)


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
    assert normalise(id=5012)[0] == {"id": "5012", EXTRA: None}
    record, normaliser = normalise(id=None)
    assert record == {"id": None, EXTRA: {"id": None}}
    assert normaliser.misfits == {"id": "null"}
    record, normaliser = normalise(id={"x": 1})
    assert record == {"id": None, EXTRA: {"id": {"x": 1}}}
    assert normaliser.misfits == {"id": "object"}


def test_unknown_fields_are_kept_as_they_are() -> None:
    value = {"deep": [1, None, {"x": Decimal("0.1234567890123456789")}]}
    record, normaliser = normalise(brand_new=value, late_tasks="many")
    assert record == {"id": "a", "late_tasks": None, EXTRA: {"brand_new": value, "late_tasks": "many"}}
    assert normaliser.unknown == {"brand_new"}
    assert normaliser.misfits == {"late_tasks": "string"}


@pytest.mark.parametrize("value", [None, {}, {"id": "b"}, "text", [1]])
def test_a_field_that_is_called_like_the_taps_own(value: Any) -> None:
    record, normaliser = normalise(**{EXTRA: value})
    assert record == {"id": "a", EXTRA: {EXTRA: value}}
    assert normaliser.unknown == {EXTRA}


def test_absent_fields_stay_absent() -> None:
    assert normalise()[0] == {"id": "a", EXTRA: None}


def test_a_schema_without_room_for_more() -> None:
    normaliser = Normaliser(
        {"properties": {"id": {"type": "string"}, "any": {}, "either": {"type": ["string", "integer"]}}}
    )
    assert normaliser({"id": "a", "new": 1, "any": [1], "either": 7}) == {"id": "a", "any": [1], "either": 7}
    assert normaliser.unknown == {"new"}


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


def recovered(schema: dict[str, Any], value: Any, out: Any) -> bool:  # noqa: C901, PLR0911 - one for each type
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
        case "array" if value == {}:
            return bool(out == [])
        case "array":
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


@settings(max_examples=120, deadline=None)
@given(RECORDS)
@example({name: "" for name in PROPERTIES if name != "id"})
@example({name: [] for name in PROPERTIES if name != "id"})
@example({name: {} for name in PROPERTIES if name != "id"})
@example({name: None for name in PROPERTIES if name != "id"})
@example({name: 10**400 for name in PROPERTIES if name != "id"})
def test_any_record_becomes_valid_and_loses_nothing(fields: dict[str, Any]) -> None:
    raw = {"id": "a", **fields}
    normaliser = Normaliser(SCHEMA)
    record = normaliser(raw)
    assert list(VALIDATOR.iter_errors(as_written(record))) == []
    extra = record[EXTRA] or {}
    for name, value in raw.items():
        if name not in PROPERTIES or name == EXTRA:
            assert extra[name] is value
            assert name in normaliser.unknown
        elif name in extra:
            assert extra[name] is value
            assert record[name] is None
            assert normaliser.misfits[name] == json_type(value)
        else:
            assert recovered(PROPERTIES[name], value, record[name]), (name, value, record[name])
    assert record.keys() == {name for name in raw if name in PROPERTIES} | {EXTRA}
    assert extra.keys() <= raw.keys()


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([name for name in PROPERTIES if name != EXTRA]), ANYTHING)
def test_a_field_depends_on_no_other(name: str, value: Any) -> None:
    alone = Normaliser({"properties": {name: PROPERTIES[name], EXTRA: {}}})({name: value})
    among = Normaliser(SCHEMA)({"id": "a", "name": "n", "brand_new": 1, name: value})
    assert among[name] == alone[name]
    assert (among[EXTRA] or {}).get(name) == (alone[EXTRA] or {}).get(name)


# Date-times

ONE_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,}Z", re.ASCII)
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
SAFE = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=OFFSETS)  # noqa: DTZ001 - the time zone is drawn


@settings(deadline=None)
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


@settings(max_examples=150, deadline=None)
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
