"""No access link and no code of a guest is left in a record, and nothing else is touched."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_tallyfy.records.contract import CONTRACT
from tap_tallyfy.records.parser import RecordParser
from tap_tallyfy.records.redact import redact

SECRET = "https://go.tallyfy.com/secret"
CODE = "c0de" * 10
RUNS, TASKS, GUESTS, FEED = (
    f"/organizations/{{org_id}}/{name}" for name in ("runs", "tasks", "guests", "activity-feeds")
)
#: Names that are credentials in any object, and those that are where one of others is there too.
ALWAYS = {"taskUrls", "webhook", "guest_link", "guest_code", "public_link"}
BESIDE = {
    "link": {"email"},
    "code": {"email"},
    "guest_id": {"object_type", "user_id", "email"},
}
OF_A_GUEST = {"id", "link", "code", "guest_code", "guest_id"}
FILE_MARKS = {"filename", "full_url", "uploaded_from", "uploaded_at"}
NAMES = sorted(
    {*ALWAYS, *BESIDE, *set().union(*BESIDE.values()), *FILE_MARKS, "id", "data", "guests", "url", "source", "name"}
)


def credentials(value: Any, *, of_guests: bool = False, in_file: bool = False) -> int:
    """Count the credentials in a parsed value."""
    if isinstance(value, list):
        return sum(credentials(item, of_guests=of_guests, in_file=in_file) for item in value)
    if isinstance(value, str):
        return in_file and value.lower().startswith(("http://", "https://"))
    if not isinstance(value, dict):
        return 0
    in_file = in_file or bool(FILE_MARKS & value.keys()) or {"url", "source"} <= value.keys()
    found = [name for name in value if name in ALWAYS or BESIDE.get(name, set()) & value.keys()]
    found += [name for name in value if name == "guest_id" and type(value[name]) is not int]
    found += OF_A_GUEST & value.keys() if of_guests else []
    found += {"url", "link", "full_url"} & value.keys() if in_file else []
    return len(found) + sum(
        credentials(part, of_guests=name == "guests" or (of_guests and name == "data"), in_file=in_file)
        for name, part in value.items()
    )


def redacted(value: Any, kind: str = RUNS, field: str = "prerun") -> Any:
    """Return a value that stands in a field of a record, without its credentials."""
    return redact({"id": "r", field: copy.deepcopy(value)}, kind)[field]


FILE = {"id": 1, "filename": "a.pdf", "version": 2, "subject": {"id": "t", "type": "Task"}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # whatever the object
        ({"users": [1], "taskUrls": [SECRET]}, {"users": [1]}),
        ({"taskUrls": None}, {}),
        ({"id": 1, "webhook": SECRET}, {"id": 1}),
        ({"guest_link": SECRET, "a": {"guest_link": SECRET}}, {"a": {}}),
        ([[{"a": [{"webhook": SECRET, "b": 1}]}]], [[{"a": [{"b": 1}]}]]),
        # beside something else
        ({"email": "a@b.c", "link": SECRET}, {"email": "a@b.c"}),
        ({"email": None, "link": SECRET}, {"email": None}),
        ({"email": "a@b.c", "guest_code": CODE, "code": CODE}, {"email": "a@b.c"}),
        ({"guest_id": CODE, "object_type": "run"}, {"object_type": "run"}),
        ({"guest_id": CODE, "user_id": None}, {"user_id": None}),
        ({"guest_id": 7, "user_id": None}, {"user_id": None}),
        (
            {"guest_watchers": [{"id": 1, "guest_id": CODE}, {"id": 2, "guest_id": 7}]},
            {"guest_watchers": [{"id": 1}, {"id": 2, "guest_id": 7}]},
        ),
        ({"id": 1, "guest_code": CODE}, {"id": 1}),
        ({"email": "a", "x": {"email": "b", "link": SECRET}}, {"email": "a", "x": {"email": "b"}}),
        # guests
        ({"guests": [{"id": CODE, "name": "a"}, "b@c.d"]}, {"guests": [{"name": "a"}, "b@c.d"]}),
        (
            {"guests": {"id": CODE, "data": [{"name": "a"}, {"id": CODE}]}},
            {"guests": {"data": [{"name": "a"}, {}]}},
        ),
        ({"guests": {"data": [{"code": CODE, "id": 1, "link": SECRET}]}}, {"guests": {"data": [{}]}}),
        ({"a": {"guests": [{"guest_id": CODE, "x": {"id": 1}}]}}, {"a": {"guests": [{"x": {"id": 1}}]}}),
        ({"guests": {"0": {"id": CODE, "name": "a"}}}, {"guests": {"0": {"name": "a"}}}),
        ({"completer_guest": {"id": CODE, "name": "a"}}, {"completer_guest": {"name": "a"}}),
        ({"guest": {"id": CODE, "details": {"id": CODE}}}, {"guest": {"details": {}}}),
        # the author of a comment
        ({"author_type": "guest", "author_id": CODE}, {"author_type": "guest"}),
        ({"author_type": "App\\Guest", "author_id": [CODE]}, {"author_type": "App\\Guest"}),
        ({"author_type": "guest", "author_id": 7}, {"author_type": "guest", "author_id": 7}),
        ({"author_type": "member", "author_id": "8"}, {"author_type": "member", "author_id": "8"}),
        # files
        ({**FILE, "url": SECRET, "public_link": SECRET, "full_url": SECRET, "link": SECRET}, FILE),
        ({**FILE, "download_url": "uploads/a.pdf?key=1", "href": "/a"}, FILE),
        ({**FILE, "anything": SECRET, "other": "HTTP://x", "text": f"see {SECRET}"}, FILE),
        ({**FILE, "versions": [{"at": 1, "src": SECRET}, SECRET]}, {**FILE, "versions": [{"at": 1}]}),
        ({**FILE, SECRET: 1}, FILE),
        ([[FILE, {**FILE, "thumb": SECRET}]], [[FILE, FILE]]),
        ({"full_url": SECRET, "name": "a", "src": SECRET}, {"name": "a"}),
        ({"uploaded_from": "f", "src": SECRET}, {"uploaded_from": "f"}),
        ({"uploaded_at": None, "public_link": SECRET}, {"uploaded_at": None}),
        ({"url": "uploads/a", "source": "local", "src": SECRET, "name": "a"}, {"source": "local", "name": "a"}),
        ({"filename": None, "url": SECRET}, {"filename": None}),
        (
            {"assets": {"data": [{"id": 1, "title": "a", "src": SECRET}]}},
            {"assets": {"data": [{"id": 1, "title": "a"}]}},
        ),
        # an answer to a field of type file or image
        (
            {"field_type": "file", "value": {"id": 1, "name": "a", "src": SECRET}},
            {"field_type": "file", "value": {"id": 1, "name": "a"}},
        ),
        (
            {"field_type": "Image", "field_value": {"data": [{"id": 1, "x": {"y": SECRET}}]}, "guidance": SECRET},
            {"field_type": "Image", "field_value": {"data": [{"id": 1, "x": {}}]}, "guidance": SECRET},
        ),
        ({"field_type": "file", "value": SECRET}, {"field_type": "file", "value": SECRET}),
    ],
)
def test_credentials_are_removed(value: Any, expected: Any) -> None:
    assert redacted(value) == expected


@pytest.mark.parametrize("name", ["form_fields", "ko_form_fields"])
@pytest.mark.parametrize("shape", [list, lambda fields: {"data": fields}, lambda fields: {"3": fields[0]}])
def test_an_answer_by_field_id_is_a_file_where_a_definition_says_so(name: str, shape: Any) -> None:
    fields = shape([{"id": "f", "field_type": "file"}])
    answers = {"f": {"id": 1, "name": "a", "text": SECRET}, "g": {"text": SECRET}}
    expected = {"f": {"id": 1, "name": "a"}, "g": {"text": SECRET}}
    assert redact({name: fields, "taskdata": answers}, TASKS)["taskdata"] == expected
    nested = {"tasks": [{name: fields, "prerun": copy.deepcopy(answers)}]}
    assert redact(nested, RUNS)["tasks"][0]["prerun"] == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        # a text that a person entered, alone, as a choice, or in a table
        *((kept, kept) for kept in (SECRET, [SECRET], {"0": SECRET, "2": SECRET}, [[SECRET], [{"label": SECRET}]])),
        ([{"id": 1, "text": SECRET, "value": SECRET, "selected": True}],) * 2,
        ({"id": 1, "value": SECRET},) * 2,
        ({"id": "f", "field_value": SECRET},) * 2,
        ({"users": [{"id": 1, "avatar": SECRET}], "guests": [], "groups": []},) * 2,
        ({"field_type": "text", "value": {"src": SECRET}},) * 2,
        # what may be a file, although nothing says so
        ([{"id": 1, "name": "a", "src": SECRET}], [{"id": 1, "name": "a"}]),
        ({"title": "a", "Preview": f"see {SECRET}", "more": {"x": SECRET}}, {"title": "a", "more": {}}),
        ({"id": 1, "label": "a", "href": "uploads/a", "urls": [SECRET]}, {"id": 1, "label": "a"}),
        ({"data": [{"id": 1, "s3": SECRET}]}, {"data": [{"id": 1}]}),
        ({"5": {"id": 1, "s3": SECRET}}, {"5": {"id": 1}}),
    ],
    ids=str,
)
@pytest.mark.parametrize(("kind", "name"), [(RUNS, "prerun"), (TASKS, "taskdata"), (RUNS, "tasks")])
def test_an_answer_by_field_id_shows_only_addresses_that_a_person_entered(
    kind: str, name: str, answer: Any, expected: Any
) -> None:
    def holding(value: Any) -> Any:
        return [{"taskdata": {"f" * 32: value}}] if name == "tasks" else {"f" * 32: value}

    assert redacted(holding(answer), kind, name) == holding(expected)


@pytest.mark.parametrize(
    "name", ["filename", "Filename", "file_name", "fileName", "FILE-NAME", "mime_type", "mimeType"]
)
def test_the_marks_of_a_file_may_be_written_in_any_way(name: str) -> None:
    assert redacted([{name: "a", "SRC": SECRET, "x": [SECRET]}], field="custom") == [{name: "a", "x": []}]


@pytest.mark.parametrize("beside", ["size", "Size", "extension", "bytes"])
@pytest.mark.parametrize("address", ["url", "Link", "signed_url", "hrefs"])
def test_an_address_beside_what_files_have_is_one_of_a_file(beside: str, address: str) -> None:
    assert redacted([{beside: "1", address: SECRET, "src": SECRET}], field="custom") == [{beside: "1"}]


@pytest.mark.parametrize("name", ["attachments", "files", "assets", "File"])
def test_what_is_called_files_holds_files(name: str) -> None:
    assert redacted({name: [{"id": 1, "src": SECRET}, SECRET]}, field="custom") == {name: [{"id": 1}]}
    assert redacted({name: SECRET, "n": 1}, field="custom") == {"n": 1}


@pytest.mark.parametrize(
    "name",
    [
        *("password", "api_key", "apiKey", "token", "secret", "client_secret", "Access-Token", "refresh_tokens"),
        *("private_key", "slack_webhook_url", "invitation_link", "magicLink", "shared_url", "db_password"),
    ],
)
@pytest.mark.parametrize("value", ["a", ["a"], {"b": "a"}], ids=repr)
def test_names_that_say_that_they_are_secrets_are_believed(name: str, value: Any) -> None:
    assert redact({"id": "r", name: value, "x": [{"y": {name: value}}]}, RUNS) == {"id": "r", "x": [{"y": {}}]}
    assert redact({"id": 1, "field": name, "old_value": value}, FEED)["old_value"] is None


@pytest.mark.parametrize(
    "row",
    [
        {
            "top_secret": "1",
            "has_password": True,
            "tokens": 5,
            "token": None,
            "password_changed_at": "2026",
            "key": "a",
        },
        {"tokenizer": "a", "author": "a", "secretary": "a", "url": SECRET, "share": "a", "linked_step_id": "a"},
    ],
    ids=str,
)
def test_what_only_sounds_like_a_secret_is_kept(row: Any) -> None:
    assert redacted([row], field="custom") == [row]


@pytest.mark.parametrize(
    "value",
    [
        {"text": SECRET, "url": SECRET, "link": SECRET},
        {"id": 1, "name": "x", "source": "local", "src": SECRET},
        {"field_type": "text", "value": {"src": SECRET}},
        {"email": "a@b.c", "details": {"link": "kept"}},
        [SECRET, {"url": SECRET}],
        {"profile_pic": SECRET, "guest_watchers": [{"id": 1}]},
        {"id": CODE, "guests": ["a@b.c"], "n": [Decimal("1.10"), 10**30]},
    ],
)
def test_nothing_else_is_touched(value: Any) -> None:
    assert redacted(value, field="custom") == value


# Records


@pytest.mark.parametrize(
    "kind", [*(path for path in CONTRACT.spec["paths"]), "Step", "TaskComment", "TemplateField", "Stage"]
)
def test_what_the_contract_marks_is_in_no_record_and_no_column(kind: str) -> None:
    marked = CONTRACT.credentials(kind)
    record = RecordParser(kind)({**dict.fromkeys(marked, SECRET), "name": "n"})
    assert SECRET not in json.dumps(record)
    assert marked.isdisjoint(record)
    assert marked.isdisjoint(CONTRACT.columns(kind))


def test_unknown_fields_and_misfits_are_looked_through_too() -> None:
    row = {
        "id": "r",
        "users": [{"id": 1, "webhook": SECRET}, None],
        "new": {"guest_link": SECRET},
        "guest_link": SECRET,
    }
    parser = RecordParser(RUNS)
    assert parser(row) == {"id": "r", "users": [1], "_extra": {"users": [{"id": 1}, None], "new": {}}}
    assert parser.unknown == {"new"}


@pytest.mark.parametrize("name", ["details", "data"])
def test_a_part_of_a_guest_is_looked_through_as_the_guest_is(name: str) -> None:
    part = {"id": CODE, "link": SECRET, "code": CODE, "first_name": "A"}
    row = {"email": "a@b.c", "id": CODE, "link": [SECRET], "guest_code": CODE, name: part, "stats": {"id": 1}}
    record = RecordParser(GUESTS)(row)
    extra = record.pop("_extra") or {}
    assert {**record, **extra} == {"email": "a@b.c", name: {"first_name": "A"}, "stats": {"id": 1}}


@pytest.mark.parametrize(
    "entry",
    [
        {"actor_type": "guest", "actor_id": CODE, "actor": {"data": {"id": CODE}}},
        {"actor_type": ["guest", "x"], "actor_id": [CODE]},
        {"source": "Guest", "actor_id": CODE, "actor": [{"id": CODE}, {"id": CODE}]},
        {"auditable_type": "App\\Models\\Guest", "auditable_id": {"id": CODE}, "audit": CODE, "audit_state": [CODE]},
        {"parentable_type": {"x": "Guest"}, "parentable_id": CODE, "parent": {"id": CODE}},
        {"origin_type": "Guest", "origin_id": CODE, "origin": {"data": {"id": CODE}}},
        {"references": [{"type": "guest", "id": CODE}]},
        {"field": "guests", "old_value": CODE},
        *({"field": [name], "old_value": CODE} for name in ("webhook", "link", "full_url", "download_url")),
    ],
    ids=str,
)
def test_an_entry_does_not_tell_of_guests_nor_of_what_a_credential_was(entry: Any) -> None:
    record = RecordParser(FEED)({"id": 1, **entry})
    assert CODE not in str(record)
    told = {*record, *(record["_extra"] or ())}
    assert told == {"id", "_extra", *entry}


def test_an_entry_tells_of_all_else() -> None:
    entry = {"actor_type": "user", "actor_id": 7, "auditable_id": "t", "field": "name", "old_value": "x"}
    assert RecordParser(FEED)({"id": 1, **entry}) == {"id": 1, **entry, "_extra": None}


# Any depth, any JSON


@pytest.mark.parametrize("depth", [2_000, 100_000])
def test_what_is_too_deep_to_be_looked_through_is_null(depth: int) -> None:
    value: Any = {"webhook": SECRET}
    for _ in range(depth):
        value = [value]
    assert redact({"id": "r", "new": value, "name": "n"}, RUNS) == {"id": "r", "new": None, "name": "n"}


def test_what_is_as_deep_as_php_nests_is_looked_through() -> None:
    value: Any = {"webhook": SECRET, "kept": 1}
    for _ in range(250):
        value = {"a": [value]}
    text = json.dumps(redact({"id": "r", "new": value}, RUNS))
    assert SECRET not in text
    assert "kept" in text


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**20, 10**30)
    | st.text(max_size=5)
    | st.sampled_from([*NAMES, SECRET]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
def test_any_json(value: Any) -> None:
    found = redacted(value, field="custom")
    assert credentials(found) == 0
    if credentials(value) == 0:
        assert found == value
    assert redacted(found, field="custom") == found
