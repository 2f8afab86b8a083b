"""What becomes of the answers to a form, and of the fields of a template."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_tallyfy.records.contract import CONTRACT, EXTRA
from tap_tallyfy.records.decoder import RecordDecoder
from tap_tallyfy.records.forms import form_fields, kickoff_answers, task_answers

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELD = "0" * 32
OTHER = "1" * 32
SECRET = "https://go.tallyfy.com/secret"


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def read(text: bytes | str) -> Any:
    return msgspec.json.Decoder(float_hook=Decimal).decode(text)


def answer(sent: bytes | str) -> tuple[str | None, str | None]:
    """Return both columns of an answer, which are the same whether or not it was parsed before."""
    text = sent.encode() if isinstance(sent, str) else sent
    taskdata = b'{"%s":%s}' % (FIELD.encode(), text)
    (row,) = task_answers({"id": "t", "taskdata": msgspec.Raw(taskdata)})
    assert list(task_answers({"id": "t", "taskdata": read(taskdata)})) == [row]
    return row["value"], row["value_json"]


# The columns of an answer


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        # text, textarea, email, date, radio
        ('"text"', "text"),
        ('" "', " "),
        (r'"two\nlines, é \"quoted\""', 'two\nlines, é "quoted"'),
        ('"a@b.com"', "a@b.com"),
        ('"2025-01-15T10:00:00.000Z"', "2025-01-15T10:00:00.000Z"),
        ('"[]"', "[]"),
        ("0", "0"),
        ("-5", "-5"),
        ("1.10", "1.10"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("0.1234567890123456789", "0.1234567890123456789"),
        ("1E+400", "1E+400"),
        ("true", "true"),
        ("false", "false"),
        # dropdown
        ('{"id":1,"text":"One","value":"1"}', "One"),
        ('{"id":1,"text":null,"value":"1"}', "1"),
        ('{"id":1,"text":"","value":2.50}', "2.50"),
        ('{"id":1,"text":0,"value":"x"}', "0"),
        ('{"id":1,"text":null,"value":null}', None),
        ('{"id":1,"text":["x"],"value":{}}', None),
        # multiselect
        ('[{"id":1,"text":"One","value":"1","selected":true},{"id":2,"text":"Two","value":null}]', "One, Two"),
        ('[{"id":1,"text":"","value":"1","selected":1},{"id":2,"text":null,"value":2}]', "1, 2"),
        ('[{"text":"a","selected":false},{"text":"b","selected":0}]', None),
        ('[{"text":"a","selected":"0"},{"text":"b","selected":"false"},{"text":"c","selected":"1"}]', "c"),
        ('[{"text":"a","selected":null}]', "a"),
        ('[{"value":"a","selected":true}]', "a"),
        ('[{"text":null,"selected":true}]', None),
        # assignees_form
        ('{"users":[1001,1002],"guests":["a@b.com"],"groups":["g"]}', "1001, 1002, a@b.com, g"),
        (
            '{"users":[{"id":1,"full_name":"Ann"},{"id":2,"full_name":null,"email":"b@b.com"},{"id":3}]}',
            "Ann, b@b.com, 3",
        ),
        ('{"users":{"data":[{"id":5}]},"guests":null,"groups":[null,{"id":6}]}', "5, 6"),
        ('{"users":[],"guests":[],"groups":[]}', None),
        ('{"users":7}', None),
        # file
        ('[{"id":1,"filename":"a.pdf","version":1},{"id":2,"filename":"b é.png"}]', "a.pdf, b é.png"),
        ('[{"filename":null},{"filename":"b"}]', "b"),
        # a stray value
        ('{"value":"x"}', "x"),
        ('{"value":1.50}', "1.50"),
        ('{"value":{"value":[{"text":"a"}]}}', "a"),
        ('{"value":""}', None),
        # a table, and what nobody knows
        ('[["a","b"],["c"]]', None),
        ('[{"id":1,"label":"Column","rows":["a"]},{"id":2}]', None),
        ('["a","b"]', None),
        ('[{"filename":"a"},{"text":"b"}]', None),
        ('[{"filename":"a"},"b"]', None),
        ("[null]", None),
        ('{"unknown":{"nested":1}}', None),
        ('{"value":1,"other":2}', None),
    ],
)
def test_an_answer(sent: str, value: str | None) -> None:
    assert answer(sent) == (value, sent)


def test_the_id_of_a_guest_is_left_out_of_an_answer() -> None:
    guests = '"guests":[{"id":"code","email":"a@b.com"},{"id":"code"}]'
    value, whole = answer('{"users":[],' + guests + ',"groups":[{"id":"g","name":"G"}]}')
    assert value == "a@b.com, G"
    assert whole == '{"users":[],"guests":[{"email":"a@b.com"},{}],"groups":[{"id":"g","name":"G"}]}'


@pytest.mark.parametrize(
    "sent", ["null", '""', "[]", "{}", '{"id":"f","label":"L","value":null}', '{"field_value":[]}']
)
def test_an_empty_answer(sent: str) -> None:
    assert answer(sent) == (None, None)


@pytest.mark.parametrize(
    ("sent", "value", "value_json"),
    [
        ('{"id":"f","value":"x"}', "x", '"x"'),
        ('{"label":"L","value":["x"]}', None, '["x"]'),
        ('{"field_type":"date","field_value":"2025-01-15"}', "2025-01-15", '"2025-01-15"'),
        ('{"id":"f","field_value":null,"value":1.10}', "1.10", "1.10"),
        ('{"id":"f","field_value":0,"value":"x"}', "0", "0"),
        ('{"field_value":{"id":1,"text":"One","value":"1"}}', "One", '{"id":1,"text":"One","value":"1"}'),
        ('{"id":"f","field_type":"file","value":[{"filename":"a","url":"s"}]}', "a", '[{"filename":"a"}]'),
    ],
)
def test_an_answer_inside_of_its_field(sent: str, value: str | None, value_json: str) -> None:
    assert answer(sent) == (value, value_json)


@pytest.mark.parametrize(
    ("sent", "value_json"),
    [
        (
            f'[{{"id":1,"filename":"a.pdf","version":2,"url":"{SECRET}","uploaded_from":"f","subject":{{"id":"t"}}}}]',
            '[{"id":1,"filename":"a.pdf","version":2,"uploaded_from":"f","subject":{"id":"t"}}]',
        ),
        (f'[{{"filename":"a","public_link":"{SECRET}"}}]', '[{"filename":"a"}]'),
        (f'{{"guests":[{{"email":"a@b.com","link":"{SECRET}"}}]}}', '{"guests":[{"email":"a@b.com"}]}'),
        (f'[["{SECRET}"],{{"url":"{SECRET}"}}]', f'[["{SECRET}"],{{"url":"{SECRET}"}}]'),
        (f'{{"webhook":"{SECRET}","a":1}}', '{"a":1}'),
    ],
)
def test_the_links_of_files_are_left_out(sent: str, value_json: str) -> None:
    assert answer(sent)[1] == value_json


@pytest.mark.parametrize(
    ("sent", "value_json"),
    [
        ('{ "b" : 1.10,\t"a" : [ 1 , 100000000000000000000 ] }', '{"b":1.10,"a":[1,100000000000000000000]}'),
        (r'["\u00e9\/"]', '["é/"]'),
        ("[1.50e3]", "[1.50E+3]"),
    ],
)
def test_the_text_is_compact_in_the_order_sent(sent: str, value_json: str) -> None:
    assert answer(sent)[1] == value_json


@pytest.mark.parametrize(
    ("sent", "value", "value_json"),
    [
        ("1e999999999999999999999", *["1e999999999999999999999"] * 2),
        ("[1e999999999999999999999]", None, "[1e999999999999999999999]"),
        ("9" * 5000, *["9" * 5000] * 2),
        (f"[{'9' * 5000}]", None, f"[{'9' * 5000}]"),
    ],
    ids=["exponent", "exponent inside", "digits", "digits inside"],
)
def test_what_goes_beyond_what_can_be_read_does_no_harm(sent: str, value: str | None, value_json: str | None) -> None:
    taskdata = msgspec.Raw(f'{{"{FIELD}":{sent},"{OTHER}":"x"}}'.encode())
    rows = list(task_answers({"id": "t", "taskdata": taskdata}))
    assert [(row["value"], row["value_json"]) for row in rows] == [(value, value_json), ("x", '"x"')]


@pytest.mark.parametrize(
    "sent",
    [r'"\ud800"', "[" * 5_000 + "]" * 5_000, "[" * 5_000 + '{"webhook":1}' + "]" * 5_000, "{", ""],
    ids=["half a surrogate", "deep", "deep with a credential", "cut off", "nothing"],
)
def test_a_form_that_cannot_be_read_has_no_rows(sent: str) -> None:
    for form in (msgspec.Raw(f'{{"{FIELD}":{sent}'.encode()), msgspec.Raw(f'{{"{FIELD}":{sent}}}'.encode())):
        assert list(task_answers({"id": "t", "taskdata": form})) == []
        assert list(form_fields({"id": "c", "prerun": form, "steps": form})) == []


@pytest.mark.parametrize(
    "parsed",
    [10**5000, "\ud800", {"\ud800": 1}, ["\ud800"]],
    ids=["thousands of digits", "half a surrogate", "half a surrogate as a key", "half a surrogate inside"],
)
def test_what_cannot_be_written_is_null(parsed: Any) -> None:
    (row,) = task_answers({"id": "t", "taskdata": {FIELD: parsed}})
    assert (row["value"], row["value_json"]) == (None, None)


def test_a_parsed_answer_too_deep_to_be_written_is_null() -> None:
    deep: Any = "x"
    for _ in range(20_000):
        deep = {"value": deep}
    (row,) = task_answers({"id": "t", "taskdata": {FIELD: deep}})
    assert (row["value"], row["value_json"]) == (None, None)


# The rows of a form


TASK = {"id": "t", "run_id": "r", "checklist_id": "c", "step_id": "s", "last_updated": "2025-01-15T10:00:00.000Z"}
RUN = {"id": "r", "checklist_id": "c", "last_updated": "2025-01-15T10:00:00.000Z"}


def both(sent: Any) -> list[Any]:
    """Return a nested value parsed and as it was sent."""
    return [sent, msgspec.Raw(compact(sent).encode())]


@pytest.mark.parametrize("taskdata", both({OTHER: "x", FIELD: None}))
def test_rows_of_a_task(taskdata: Any) -> None:
    of_task = {"run_id": "r", "task_id": "t", "checklist_id": "c", "step_id": "s"}
    last = {"last_updated": "2025-01-15T10:00:00.000Z"}
    assert list(task_answers({**TASK, "taskdata": taskdata})) == [
        {**of_task, "field_id": OTHER, "value": "x", "value_json": '"x"', **last},
        {**of_task, "field_id": FIELD, "value": None, "value_json": None, **last},
    ]


def test_a_one_off_task_has_rows_too() -> None:
    (row,) = task_answers({"id": "t", "taskdata": {FIELD: "x"}})
    assert (row["run_id"], row["checklist_id"], row["step_id"], row["last_updated"]) == (None, None, None, None)


@pytest.mark.parametrize(
    "prerun",
    [
        *both({FIELD: "x", OTHER: [{"text": "a"}]}),
        *both(
            [
                {"id": FIELD, "label": "Name", "field_type": "text", "value": "x"},
                {"id": OTHER, "field_value": [{"text": "a"}], "value": None},
            ]
        ),
    ],
)
def test_rows_of_a_kickoff_form(prerun: Any) -> None:
    last = {"last_updated": "2025-01-15T10:00:00.000Z"}
    assert list(kickoff_answers({**RUN, "prerun": prerun})) == [
        {"run_id": "r", "checklist_id": "c", "field_id": FIELD, "value": "x", "value_json": '"x"', **last},
        {"run_id": "r", "checklist_id": "c", "field_id": OTHER, "value": "a", "value_json": '[{"text":"a"}]', **last},
    ]


@pytest.mark.parametrize(
    ("field", "rows"),
    [
        ({"id": FIELD}, [(FIELD, None)]),
        ({"id": 5, "value": "x"}, [("5", "x")]),
        ({"id": FIELD, "text": "no choice", "value": "x"}, [(FIELD, "x")]),
        ({"id": FIELD, "value": {"id": 1, "text": "One"}}, [(FIELD, "One")]),
        ({"id": "", "value": "x"}, []),
        ({"id": None, "value": "x"}, []),
        ({"id": [1], "value": "x"}, []),
        ({"value": "x"}, []),
        (FIELD, []),
        (None, []),
    ],
)
def test_a_field_in_an_array(field: Any, rows: list[Any]) -> None:
    for prerun in both([field]):
        assert [(row["field_id"], row["value"]) for row in kickoff_answers({**RUN, "prerun": prerun})] == rows


@pytest.mark.parametrize("form", [None, *both([]), *both({}), *both("text"), *both(5), *both([[]])])
def test_no_answers(form: Any) -> None:
    assert list(task_answers({"id": "t", "taskdata": form})) == []
    assert list(kickoff_answers({"id": "r", "prerun": form})) == []
    assert list(form_fields({"id": "c", "prerun": form, "steps": form})) == []


def test_a_record_without_a_form() -> None:
    assert [*task_answers({}), *kickoff_answers({}), *form_fields({}), *form_fields({EXTRA: None})] == []


# The fields of a template


DEFINITION = {
    "id": FIELD,
    "alias": "name-1",
    "label": "Name",
    "field_type": "dropdown",
    "guidance": "",
    "position": 1,
    "required": True,
    "options": [{"id": 1, "text": "One", "value": None}],
    "columns": [],
    "created_at": "2025-01-15T10:00:00.000Z",
    "last_updated": "2025-01-16T10:00:00.000Z",
}


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("wrap_inside", [False, True])
def test_rows_of_a_template(wrap: bool, wrap_inside: bool) -> None:
    def maybe(items: list[Any], wrapped: bool) -> Any:
        return {"data": items} if wrapped else items

    steps = [
        {"id": "s", "captures": maybe([{**DEFINITION, "id": OTHER, "checklist_id": "x", "more": 1}], wrap_inside)},
        {"id": 5, "captures": maybe([{"id": 7}], wrap_inside)},
        {"id": "no fields"},
        None,
    ]
    nothing = dict.fromkeys(DEFINITION)
    for prerun in both([DEFINITION]):
        for sent in both(maybe(steps, wrap)):
            assert list(form_fields({"id": "c", "prerun": prerun, "steps": sent})) == [
                {**DEFINITION, "checklist_id": "c", "step_id": None},
                {**DEFINITION, "id": OTHER, "checklist_id": "c", "step_id": "s"},
                {**nothing, "id": "7", "checklist_id": "c", "step_id": "5"},
            ]


@pytest.mark.parametrize("definition", [None, 5, "text", [], {}, {"id": None}, {"id": ""}, {"id": {}}, {"label": "L"}])
def test_no_definition(definition: Any) -> None:
    for sent in both([definition, DEFINITION]):
        assert [row["id"] for row in form_fields({"id": "c", "prerun": sent})] == [FIELD]


def test_the_digits_of_options_are_kept() -> None:
    prerun = msgspec.Raw(b'[{"id":"f","options":[1.10],"columns":[{"width":1e999999999999999999999}]}]')
    (row,) = form_fields({"id": "c", "prerun": prerun})
    columns = msgspec.json.Encoder(decimal_format="number").encode([row["options"], row["columns"]])
    assert columns == b'[[1.10],[{"width":1e999999999999999999999}]]'


# What the decoder hands on


PATHS = {"Task": task_answers, "Run": kickoff_answers, "Checklist": form_fields}


@pytest.mark.parametrize(
    ("schema", "row", "fields"),
    [
        ("Task", {"id": "t", "taskdata": {FIELD: "x"}}, [FIELD]),
        ("Task", {"id": "t", "taskdata": []}, []),
        ("Task", {"id": "t", "created_at": "2024-02-29", "taskdata": {FIELD: "x"}}, [FIELD]),
        ("Run", {"id": "r", "prerun": {FIELD: "x"}}, [FIELD]),
        ("Run", {"id": "r", "prerun": [{"id": FIELD, "value": "x"}]}, [FIELD]),
        ("Checklist", {"id": "c", "prerun": [{"id": FIELD}], "steps": {"data": []}}, [FIELD]),
        ("Checklist", {"id": "c", "steps": {"data": [{"id": "s", "captures": [{"id": FIELD}]}]}}, [FIELD]),
        ("Checklist", {"id": "c", "steps": [{"id": "s", "captures": {"data": [{"id": FIELD}]}}]}, [FIELD]),
        (
            "Checklist",
            {"id": "c", "steps": [{"id": "s", "max_assignable": "a few", "captures": [{"id": FIELD}]}]},
            [FIELD],
        ),
    ],
)
def test_no_way_through_the_decoder_hides_a_field(schema: str, row: Any, fields: list[str]) -> None:
    for as_sent in (False, True):
        decoder = RecordDecoder(record_schema(schema), wrapped=["steps"], as_sent=as_sent)
        records = decoder.records(b'{"data":[' + compact(row).encode() + b"]}")
        (record,) = records[0] if records else [decoder.record(copy.deepcopy(row))]
        assert [found.get("field_id", found.get("id")) for found in PATHS[schema](record)] == fields


def record_schema(name: str) -> Any:
    """Return a schema of the contract as streams have it."""

    def resolved(schema: Any) -> Any:
        if isinstance(schema, list):
            return [resolved(item) for item in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            return resolved(CONTRACT.spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]])
        return {key: resolved(part) for key, part in schema.items()}

    schema = resolved(CONTRACT.spec["components"]["schemas"][name])
    return {**schema, "properties": {**schema["properties"], EXTRA: {"type": ["object", "null"]}}}


# Any JSON


NAMES = ["id", "text", "value", "selected", "users", "guests", "groups", "filename", "url", "field_value", "label"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**20, 10**30)
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: Decimal(repr(number)))
    | st.text(max_size=5)
    | st.sampled_from(["0", "false", "email", FIELD]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*NAMES, "data", "captures", "email", "link"]) | st.text(max_size=3), inner, max_size=4
        )
    ),
    max_leaves=15,
)
RECORDS = st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "taskdata", "prerun", "steps", EXTRA), JSON))
ENCODER = msgspec.json.Encoder(decimal_format="number")


def all_rows(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for make in (task_answers, kickoff_answers, form_fields):
        yield from make(record)


def files_with_links(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(files_with_links, value))
    return isinstance(value, dict) and (
        {"filename", "url"} <= value.keys() or any(map(files_with_links, value.values()))
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS)
def test_any_json_becomes_rows(record: dict[str, Any]) -> None:
    before = copy.deepcopy(record)
    parsed = list(all_rows(record))
    assert record == before
    as_sent = {
        name: msgspec.Raw(ENCODER.encode(value))
        if name in {"taskdata", "prerun", "steps"} and value is not None
        else value
        for name, value in record.items()
    }
    assert ENCODER.encode(list(all_rows(as_sent))) == ENCODER.encode(parsed)
    for row in parsed:
        if "field_id" in row:
            assert isinstance(row["value"], str | None)
            assert row["value"] != ""
            assert row["value"] is None or row["value_json"] is not None
            if row["value_json"] is not None:
                whole = read(row["value_json"])
                assert not files_with_links(whole)
                assert ENCODER.encode(whole).decode() == row["value_json"]
        else:
            assert row["id"]
