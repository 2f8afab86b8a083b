"""No access link is left in a nested value, and nothing else is touched."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_tallyfy.records.nested import comments_of
from tap_tallyfy.records.redact import may_hold_credentials, record_without_credentials, without_credentials
from tap_tallyfy.streams import GuestsStream
from tap_tallyfy.tap import TapTallyfy

SECRET = "https://go.tallyfy.com/secret"
#: Names that are credentials in any object, and those that are where one of others is there too.
ALWAYS = {"taskUrls", "webhook", "guest_link"}
BESIDE = {
    "link": {"email"},
    "guest_code": {"email"},
    "code": {"email"},
    "guest_id": {"object_type", "user_id", "email"},
    "url": {"filename", "uploaded_from", "uploaded_at"},
    "public_link": {"filename", "uploaded_from", "uploaded_at"},
}
OF_A_GUEST = {"id", "link", "code", "guest_code", "guest_id"}
NAMES = sorted(ALWAYS | BESIDE.keys() | set().union(*BESIDE.values()) | {"id", "data", "guests"})


def credentials(value: Any, *, of_guests: bool = False) -> int:
    """Count the credentials in a parsed value."""
    if isinstance(value, list):
        return sum(credentials(item, of_guests=of_guests) for item in value)
    if not isinstance(value, dict):
        return 0
    found = [name for name in value if name in ALWAYS or BESIDE.get(name, set()) & value.keys()]
    found += OF_A_GUEST & value.keys() if of_guests else []
    return len(found) + sum(
        credentials(part, of_guests=name == "guests" or (of_guests and name == "data")) for name, part in value.items()
    )


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def parsed(value: Any) -> Any:
    """Return a value as a target reads it; what goes beyond Python's own numbers stays text."""
    return json.loads(msgspec.json.encode(value), parse_float=str, parse_int=str)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"users": [1], "taskUrls": [SECRET]}, {"users": [1]}),
        ({"taskUrls": None}, {}),
        ({"id": 1, "webhook": SECRET}, {"id": 1}),
        ({"guest_link": SECRET, "a": {"guest_link": SECRET}}, {"a": {}}),
        ({"email": "a@b.c", "link": SECRET}, {"email": "a@b.c"}),
        ({"email": None, "link": SECRET}, {"email": None}),
        ({"email": "a@b.c", "guest_code": SECRET, "code": SECRET}, {"email": "a@b.c"}),
        ({"guest_id": SECRET, "object_type": "run"}, {"object_type": "run"}),
        ({"guest_id": SECRET, "user_id": None}, {"user_id": None}),
        ({"filename": "a.pdf", "url": SECRET, "public_link": SECRET}, {"filename": "a.pdf"}),
        ({"uploaded_from": "f", "url": SECRET}, {"uploaded_from": "f"}),
        ({"uploaded_at": None, "public_link": SECRET}, {"uploaded_at": None}),
        ([[{"a": [{"webhook": SECRET, "b": 1}]}]], [[{"a": [{"b": 1}]}]]),
        ({"data": [{"email": "é", "details": {"link": "kept"}, "link": SECRET}]}, None),
        ({"email": "a", "x": {"email": "b", "link": SECRET}}, {"email": "a", "x": {"email": "b"}}),
        ({"guests": [{"id": SECRET, "name": "a"}, "b@c.d"]}, {"guests": [{"name": "a"}, "b@c.d"]}),
        (
            {"guests": {"id": SECRET, "data": [{"name": "a"}, {"id": SECRET}]}},
            {"guests": {"data": [{"name": "a"}, {}]}},
        ),
        ({"guests": {"data": [{"code": SECRET, "id": 1, "link": SECRET}]}}, {"guests": {"data": [{}]}}),
        ({"a": {"guests": [{"guest_id": SECRET, "x": {"id": 1}}]}}, {"a": {"guests": [{"x": {"id": 1}}]}}),
    ],
)
def test_credentials_are_removed(value: Any, expected: Any) -> None:
    if expected is None:
        expected = {"data": [{"email": "é", "details": {"link": "kept"}}]}
    before = copy.deepcopy(value)
    assert without_credentials(value) == expected
    assert value == before
    stripped = without_credentials(raw(value))
    assert isinstance(stripped, msgspec.Raw)
    assert bytes(stripped) == bytes(raw(expected))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        Decimal("1.50"),
        "",
        "webhook",
        '{"webhook": "in a text"}',
        [],
        {},
        ["webhook", "url"],
        {"url": "u", "link": "l", "code": "c", "guest_id": "g", "guest_code": "k", "public_link": "p"},
        {"email": "a", "url": "no file's"},
        {"filename": "a", "link": "no guest's"},
        {"object_type": "run", "link": "l", "code": 1},
        {"email": {"link": "beside no e-mail"}},
        {"guests": ["a@b.c"], "id": "1", "users": [{"id": 1, "code": "c"}]},
        {"guests": None, "x": {"guests": []}},
        {"Webhook": 1, "webhooks": 2, "a webhook": 3, 'a"webhook': 4, "webhook\\": 5},
    ],
)
def test_all_else_is_kept(value: Any) -> None:
    assert without_credentials(value) == value
    if not isinstance(value, Decimal):
        sent = raw(value)
        assert without_credentials(sent) is sent


@pytest.mark.parametrize(
    "sent",
    [
        rb'{"a" : "\u00e9\/", "b":[1.10, 1E5], "a": 2}',
        rb'{"link" : 1.10, "\u00e9": "\u0075rl"}',
        rb'{"\\u0075rl": 1, "filename": 2}',
        b'{"a":1e999999999999999999999,"b":' + b"9" * 5000 + b"}",
        rb'["\ud800"]',
        b"[" * 100_000 + b"]" * 100_000,
    ],
    ids=["as it comes", "no guest's", "no escape", "numbers", "half a surrogate", "deep"],
)
def test_json_without_credentials_is_the_very_same(sent: bytes) -> None:
    value = msgspec.Raw(sent)
    assert without_credentials(value) is value


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (rb'{"\u0075rl":"s","filename":"a"}', b'{"filename":"a"}'),
        (rb'{"ur\u006C":"s","filename":"a"}', b'{"filename":"a"}'),
        (rb'{"guest\u005flink":"s"}', b"{}"),
        (rb'{"link":"s","\u0065mail":"a"}', b'{"email":"a"}'),
        (rb'{"\u0074\u0061\u0073\u006b\u0055\u0072\u006c\u0073":"s","b":[1]}', b'{"b":[1]}'),
        (b'{"webhook"\t\r\n :"s","b":1}', b'{"b":1}'),
        (b'{"webhook":"s","webhook":"s"}', b"{}"),
        (b'{"a":{"webhook":"s"},"a":1}', b'{"a":1}'),
        (b'{"a":[{"webhook":"s"}],"a":[{"link":1}]}', b'{"a":[{"link":1}]}'),
        (rb'{"a\u0022link":1,"webhook":"s"}', rb'{"a\"link":1}'),
        (b'{"email":"a","link":"s","n":[1.10,-0,1E+400]}', b'{"email":"a","n":[1.10,-0,1E+400]}'),
        (b'{"webhook":"s","n":1e999999999999999999999}', b'{"n":1e999999999999999999999}'),
        (b'{"webhook":"s","n":' + b"9" * 50 + b"}", b'{"n":' + b"9" * 50 + b"}"),
        (rb'{"webhook":"s","t":"\u00e9\/"}', rb'{"t":"\u00e9\/"}'),
    ],
)
def test_whatever_way_it_is_written(sent: bytes, expected: bytes) -> None:
    stripped = without_credentials(msgspec.Raw(sent))
    assert isinstance(stripped, msgspec.Raw)
    assert bytes(stripped) == expected


@pytest.mark.parametrize(
    "sent", [rb'{"webhook":"s","t":"\ud800"}', rb'{"\ud800":{"webhook":"s"}}', b'{"webhook":"s"', b'{"webhook":"s",}']
)
def test_what_cannot_be_read_is_null_where_it_may_hold_a_credential(sent: bytes) -> None:
    assert without_credentials(msgspec.Raw(sent)) is None
    assert without_credentials([msgspec.Raw(sent)]) == [None]


def test_a_record_is_judged_as_a_whole() -> None:
    """What the schema does not know has been put aside by then."""
    extra = {"code": SECRET, "link": msgspec.Raw(b'"s"'), "guests": [{"id": SECRET}], "mood": 1, "hidden": SECRET}
    record = {"email": "a@b.c", "hidden": SECRET, "guests": [{"id": SECRET, "name": "a"}], "_extra": extra}
    assert record_without_credentials(record, {"hidden"}) == {
        "email": "a@b.c",
        "guests": [{"name": "a"}],
        "_extra": {"guests": [{}], "mood": 1},
    }
    assert record_without_credentials({"email": "a", "_extra": {"code": SECRET}}, ()) == {"email": "a", "_extra": None}
    assert record_without_credentials({"name": "a", "_extra": None}, ()) == {"name": "a", "_extra": None}


def test_a_part_of_a_guest_is_looked_through_as_the_guest_is() -> None:
    guests = TapTallyfy(config={"org_id": "o", "access_token": "t"}).streams["guests"]
    assert isinstance(guests, GuestsStream)
    row = {"email": "a@b.c", "details": {"id": SECRET, "link": SECRET, "code": SECRET, "first_name": "A"}}
    assert guests.discreet(row) == {"email": "a@b.c", "details": {"first_name": "A"}}
    assert guests.discreet({"email": "a@b.c"}) == {"email": "a@b.c"}


@pytest.mark.parametrize(("kind", "author", "kept"), [("guest", SECRET, None), ("guest", 7, 7), ("member", "8", "8")])
def test_the_code_of_a_guest_is_no_author(kind: str, author: object, kept: object) -> None:
    task = {"id": "t", "threads": [{"id": 1, "author_type": kind, "author_id": author}]}
    assert [comment["author_id"] for comment in comments_of(task)] == [kept]


@pytest.mark.parametrize(
    ("body", "may"),
    [
        (b'{"guests": ["a@b.c"], "id": 1}', False),
        (b'{"guests": [ {"id": 1}]}', True),
        (b'{"guests":{"data" :[{}]}}', True),
        (rb'{"gu\u0065sts":[{}]}', True),
        (b'{"webhook" : 1}', True),
    ],
)
def test_an_answer_is_looked_through_where_it_may_hold_any(body: bytes, may: bool) -> None:
    assert may_hold_credentials(body) is may


def test_json_inside_of_parsed_values_is_looked_through() -> None:
    record = {"a": [msgspec.Raw(b'{"webhook":"s","n":1.10}')], "filename": "f", "url": msgspec.Raw(b'"s"')}
    assert msgspec.json.encode(without_credentials(record)) == b'{"a":[{"n":1.10}],"filename":"f"}'


@pytest.mark.parametrize("depth", [2_000, 100_000])
def test_what_is_too_deep_to_be_looked_through_is_null(depth: int) -> None:
    parsed_value: Any = {"webhook": SECRET}
    for _ in range(depth):
        parsed_value = [parsed_value]
    assert without_credentials(parsed_value) is None
    assert without_credentials(msgspec.Raw(b'{"a":' * depth + b'{"webhook":1}' + b"}" * depth)) is None


def test_what_is_as_deep_as_people_nest_is_looked_through() -> None:
    value: Any = {"webhook": SECRET}
    for _ in range(100):
        value = {"a": [value]}
    assert credentials(without_credentials(value)) == 0
    assert bytes(without_credentials(raw(value))).count(b"a") == 100  # type: ignore[call-overload]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**20, 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(NAMES),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def letters_escaped(value: Any) -> str:
    """Write JSON with every letter of its texts and names as an escape."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{letters_escaped(name)}:{letters_escaped(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(letters_escaped, value)) + "]"
    if isinstance(value, str):
        letters = (
            f"\\u{ord(each):04x}" if each.isalpha() and each.isascii() else compact(each)[1:-1] for each in value
        )
        return '"' + "".join(letters).replace("_", r"\u005F") + '"'
    return compact(value)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES, st.sampled_from([compact, letters_escaped, json.dumps]))
def test_any_json(value: Any, write: Any) -> None:
    sent = msgspec.Raw(write(value).encode())
    before = copy.deepcopy(value)
    stripped, stripped_json = without_credentials(value), without_credentials(sent)
    assert value == before
    assert credentials(stripped) == 0
    assert parsed(stripped_json) == json.loads(compact(stripped), parse_float=str, parse_int=str)
    if credentials(value) == 0:
        assert stripped == value
        assert stripped_json is sent
