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

from tap_tallyfy.records import forms
from tap_tallyfy.records.body import loads
from tap_tallyfy.records.contract import EXTRA
from tap_tallyfy.records.parser import RecordParser

if TYPE_CHECKING:
    from tap_tallyfy.records.nested import Misfit

FIELD = "0" * 32
OTHER = "1" * 32
SECRET = "https://go.tallyfy.com/secret"


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def read(text: bytes | str) -> Any:
    return msgspec.json.Decoder(float_hook=Decimal).decode(text)


PARSERS = {kind: RecordParser(f"/organizations/{{org_id}}/{kind}") for kind in ("runs", "tasks", "checklists")}


def task_answers(task: dict[str, Any], misfits: set[Misfit] | None = None) -> list[dict[str, Any]]:
    return list(forms.task_answers(task, set() if misfits is None else misfits))


def kickoff_answers(run: dict[str, Any], misfits: set[Misfit] | None = None) -> list[dict[str, Any]]:
    return list(forms.kickoff_answers(run, set() if misfits is None else misfits))


def form_fields(checklist: dict[str, Any], misfits: set[Misfit] | None = None) -> list[dict[str, Any]]:
    return list(forms.form_fields(checklist, set() if misfits is None else misfits))


def answer(sent: bytes | str) -> tuple[str | None, str | None]:
    """Return both columns of an answer, on its way from the body of a response."""
    text = sent.encode() if isinstance(sent, str) else sent
    record = PARSERS["tasks"](loads(b'{"id":"t","taskdata":{"%s":%s}}' % (FIELD.encode(), text)).value)
    (row,) = task_answers(record)
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
        ('[{"text":"a","selected":null},{"text":"b","selected":""},{"text":"c"}]', "c"),
        ('[{"text":"a","selected":[]},{"text":"b","selected":{}},{"text":"c","selected":"False"}]', None),
        ('{"id":1,"text":"a","selected":null}', None),
        ('{"id":1,"text":"a","selected":true}', "a"),
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
        ('{"id":1,"filename":"a.pdf","version":1}', "a.pdf"),
        ('{"data":[{"filename":"a.pdf"}]}', "a.pdf"),
        # a list of texts
        ('["a","b"]', "a, b"),
        ('["a",null,"",7,1.50]', "a, 7, 1.50"),
        # a stray value
        ('{"label":"Large","value":"L"}', "L"),
        ('{"label":"Sizes","value":["L","M"]}', "L, M"),
        ('{"value":"x"}', "x"),
        ('{"value":1.50}', "1.50"),
        ('{"value":{"value":[{"text":"a"}]}}', "a"),
        ('{"value":""}', None),
        # a table, and what nobody knows
        ('[["a","b"],["c"]]', None),
        ('[{"id":1,"label":"Column","rows":["a"]},{"id":2}]', None),
        ('["a",["b"]]', None),
        ('["a",{"x":1}]', None),
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
        ('{"id":"f","label":"L","value":["x"]}', "x", '["x"]'),
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
        (f'{{"field_type":"image","value":{{"0":{{"id":1,"src":"{SECRET}"}}}},"id":"f"}}', '[{"id":1}]'),
        (f'{{"guests":[{{"email":"a@b.com","link":"{SECRET}"}}]}}', '{"guests":[{"email":"a@b.com"}]}'),
        (f'[["{SECRET}"],{{"label":"{SECRET}","x":"{SECRET}"}}]', f'[["{SECRET}"],{{"label":"{SECRET}"}}]'),
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
        ('{"0":{"text":"A","selected":true},"2":{"text":"C"}}', "A, C", '[{"text":"A","selected":true},{"text":"C"}]'),
        ('{"1":"A","3":"B"}', "A, B", '["A","B"]'),
        ('{"users":{"1":{"id":5},"4":6}}', "5, 6", '{"users":[{"id":5},6]}'),
        ('[{"label":"Column","rows":{"0":"a","2":{"5":"b"}}}]', None, '[{"label":"Column","rows":["a",["b"]]}]'),
    ],
)
def test_a_list_with_gaps_in_an_answer(sent: str, value: str | None, value_json: str) -> None:
    assert answer(sent) == (value, value_json)


@pytest.mark.parametrize(
    ("sent", "value", "value_json"),
    [
        ("1e999999999999999999999", "1e999999999999999999999", '"1e999999999999999999999"'),
        ("[1e999999999999999999999]", "1e999999999999999999999", '["1e999999999999999999999"]'),
        ("9" * 5000, "9" * 5000, f'"{"9" * 5000}"'),
        (r'"cut \ud83d"', "cut \ufffd", '"cut \ufffd"'),
    ],
    ids=["exponent", "exponent inside", "digits", "half an emoji"],
)
def test_what_goes_beyond_what_can_be_read_does_no_harm(sent: str, value: str | None, value_json: str | None) -> None:
    assert answer(sent) == (value, value_json)


def test_an_answer_as_deep_as_php_nests() -> None:
    sent = '{"a":' * 500 + "[1.50]" + "}" * 500
    assert answer(sent) == (None, sent)


# The rows of a form


TASK = {"id": "t", "run_id": "r", "checklist_id": "c", "step_id": "s", "last_updated": "2025-01-15T10:00:00.000Z"}
RUN = {"id": "r", "checklist_id": "c", "last_updated": "2025-01-15T10:00:00.000Z"}


def test_rows_of_a_task() -> None:
    taskdata = {OTHER: "x", FIELD: None}
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
        {FIELD: "x", OTHER: [{"text": "a"}]},
        [
            {"id": FIELD, "label": "Name", "field_type": "text", "value": "x"},
            {"id": OTHER, "field_value": [{"text": "a"}], "value": None},
        ],
    ],
)
def test_rows_of_a_kickoff_form(prerun: Any) -> None:
    last = {"last_updated": "2025-01-15T10:00:00.000Z"}
    assert list(kickoff_answers({**RUN, "prerun": prerun})) == [
        {"run_id": "r", "checklist_id": "c", "field_id": FIELD, "value": "x", "value_json": '"x"', **last},
        {"run_id": "r", "checklist_id": "c", "field_id": OTHER, "value": "a", "value_json": '[{"text":"a"}]', **last},
    ]


@pytest.mark.parametrize(
    ("field", "row"),
    [
        ({"id": FIELD}, (FIELD, None)),
        ({"id": 5, "value": "x"}, (5, "x")),
        ({"id": FIELD, "text": "no choice", "value": "x"}, (FIELD, "x")),
        ({"id": FIELD, "value": {"id": 1, "text": "One"}}, (FIELD, "One")),
        ({"value": "x"}, (None, "x")),
        (FIELD, (None, None)),
        (None, (None, None)),
    ],
)
def test_a_field_in_an_array_has_a_row_even_without_a_key(field: Any, row: Any) -> None:
    misfits: set[Misfit] = set()
    rows = kickoff_answers({**RUN, "prerun": [field]}, misfits)
    assert [(row["field_id"], row["value"]) for row in rows] == [row]
    assert misfits == set()


@pytest.mark.parametrize("form", [None, [], {}])
def test_no_answers(form: Any) -> None:
    misfits: set[Misfit] = set()
    assert task_answers({"id": "t", "taskdata": form}, misfits) == []
    assert kickoff_answers({"id": "r", "prerun": form}, misfits) == []
    assert form_fields({"id": "c", "prerun": form, "steps": form}, misfits) == []
    assert misfits == set()


@pytest.mark.parametrize(("form", "kind"), [("text", "string"), ("", "string"), (5, "integer"), (False, "boolean")])
def test_a_form_that_is_none_is_a_misfit(form: Any, kind: str) -> None:
    misfits: set[Misfit] = set()
    assert task_answers(PARSERS["tasks"]({"id": "t", "taskdata": form}), misfits) == []
    assert kickoff_answers(PARSERS["runs"]({"id": "r", "prerun": form}), misfits) == []
    steps = [{"id": "s", "captures": form}]
    assert form_fields(PARSERS["checklists"]({"id": "c", "prerun": form, "steps": steps}), misfits) == []
    assert misfits == {(name, kind) for name in ("taskdata", "prerun", "steps.captures")}


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
    "field_validation": "required",
    "default_value": "One",
    "default_value_enabled": True,
    "replaced_default_value": {"id": 1},
    "use_wysiwyg_editor": False,
    "collect_time": False,
    "created_at": "2025-01-15T10:00:00.000Z",
    "last_updated": "2025-01-16T10:00:00.000Z",
}
AS_A_ROW = {**DEFINITION, "replaced_default_value": '{"id":1}', EXTRA: None}
FIELDS = RecordParser("TemplateField")


def wrapped(items: list[Any]) -> Any:
    return {"data": items}


def bare(items: list[Any]) -> Any:
    return items


def with_gaps(items: list[Any]) -> Any:
    return {str(2 * number): item for number, item in enumerate(items)}


@pytest.mark.parametrize("shape", [wrapped, bare, with_gaps])
@pytest.mark.parametrize("shape_inside", [wrapped, bare, with_gaps])
def test_rows_of_a_template(shape: Any, shape_inside: Any) -> None:
    steps = [
        {"id": "s", "captures": shape_inside([{**DEFINITION, "id": OTHER, "checklist_id": "x", "more": 1}])},
        {"id": 5, "captures": shape_inside([{"id": 7}])},
        {"id": "no fields"},
    ]
    checklist = {"id": "c", "prerun": shape([copy.deepcopy(DEFINITION)]), "steps": shape(steps)}
    misfits: set[Misfit] = set()
    rows = [FIELDS(row) for row in form_fields(PARSERS["checklists"](checklist), misfits)]
    assert rows == [
        {**AS_A_ROW, "checklist_id": "c", "step_id": None},
        {**AS_A_ROW, "id": OTHER, "checklist_id": "c", "step_id": "s", EXTRA: {"more": 1}},
        {"id": "7", "checklist_id": "c", "step_id": "5", EXTRA: None},
    ]
    assert misfits == set()


@pytest.mark.parametrize("definition", [None, 5, "text", [], {}, {"id": None}, {"id": ""}, {"id": {}}, {"label": "L"}])
def test_a_definition_without_an_id_is_a_row_without_a_key(definition: Any) -> None:
    checklist = PARSERS["checklists"]({"id": "c", "prerun": [definition, copy.deepcopy(DEFINITION)], "steps": []})
    assert [FIELDS(row).get("id") or None for row in form_fields(checklist)] == [None, FIELD]


def test_steps_that_were_asked_for_and_are_absent_are_a_misfit() -> None:
    misfits: set[Misfit] = set()
    checklist = {"id": "c", "prerun": [{"id": FIELD}]}
    assert [row["id"] for row in form_fields(PARSERS["checklists"](checklist), misfits)] == [FIELD]
    assert misfits == {("steps", "absent")}


@pytest.mark.parametrize(
    ("kind", "row", "fields"),
    [
        ("tasks", {"id": "t", "taskdata": []}, []),
        ("tasks", {"id": "t", "created_at": "2024-02-29", "taskdata": {FIELD: "x"}}, [FIELD]),
        ("runs", {"id": "r", "prerun": [{"id": FIELD, "value": "x"}]}, [FIELD]),
        ("checklists", {"id": "c", "prerun": [{"id": FIELD, "position": "first"}], "steps": None}, [FIELD]),
        (
            "checklists",
            {"id": "c", "steps": [{"id": "s", "max_assignable": "a few", "captures": [{"id": FIELD}]}]},
            [FIELD],
        ),
    ],
)
def test_what_does_not_fit_elsewhere_hides_no_field(kind: str, row: Any, fields: list[str]) -> None:
    make = {"tasks": task_answers, "runs": kickoff_answers, "checklists": form_fields}[kind]
    assert [found.get("field_id", found.get("id")) for found in make(PARSERS[kind](row))] == fields


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
            st.sampled_from([*NAMES, "data", "captures", "email", "link", "0", "5"]) | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)
RECORDS = st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "taskdata", "prerun", "steps"), JSON))
ENCODER = msgspec.json.Encoder(decimal_format="number")


def files_with_links(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(files_with_links, value))
    return isinstance(value, dict) and (
        {"filename", "url"} <= value.keys() or any(map(files_with_links, value.values()))
    )


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS, st.sampled_from(list(PARSERS)))
def test_any_json_becomes_rows(sent: dict[str, Any], kind: str) -> None:
    record = PARSERS[kind](sent)
    before = copy.deepcopy(record)
    rows = [*task_answers(record), *kickoff_answers(record), *form_fields(record)]
    assert record == before
    for row in rows:
        if "field_id" in row:
            assert isinstance(row["value"], str | None)
            assert row["value"] != ""
            assert row["value"] is None or row["value_json"] is not None
            if row["value_json"] is not None:
                whole = read(row["value_json"])
                assert not files_with_links(whole)
                assert ENCODER.encode(whole).decode() == row["value_json"]
        else:
            assert FIELDS(row)["checklist_id"] == record.get("id")
