"""What is read as JSON, and what becomes of half a character."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_tallyfy.records.body import loads


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (
            b'{"a": [1, 1.10, -0.0, null, true, "\xc3\xa9"]}',
            {"a": [1, Decimal("1.10"), Decimal("-0.0"), None, True, "é"]},
        ),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (rb'"\ud83d\ude00 \u2028"', "😀 \u2028"),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"[0.1234567890123456789]", [Decimal("0.1234567890123456789")]),
        (b'"a\x01b\n"', "a\x01b\n"),
        (b"1e400", Decimal("1E+400")),
        (b"1e999999999999999999999", "1e999999999999999999999"),
        (b"9" * 5000, "9" * 5000),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_json_is_read_as_it_is(body: bytes, value: Any) -> None:
    assert loads(body) == (value, False)
    assert repr(loads(body).value) == repr(value)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (rb'{"a": "cut \ud83d", "b": 1.10}', {"a": "cut \ufffd", "b": Decimal("1.10")}),
        (rb'["\ude00\ud83d", "\ud83d\ude00"]', ["\ufffd\ufffd", "😀"]),
        (rb'{"\ud83d": {"x": ["\ud83d"]}}', {"\ufffd": {"x": ["\ufffd"]}}),
        (b'"\xed\xa0\xbd"', "\ufffd"),
        (b'"cut \xf0\x9f\x98"', "cut \ufffd"),
        (rb'{"a\u0000b": {"\u0000": "\u0000"}}', {"a\ufffdb": {"\ufffd": "\ufffd"}}),
        (rb'[[["\u0000", "a\u0000"]]]', [[["\ufffd", "a\ufffd"]]]),
        (rb'{"\u0000": 1, "\ud83d": 2, "\ufffd": 3}', {"\ufffd": 1, "\ufffd\ufffd": 2, "\ufffd\ufffd\ufffd": 3}),
        (
            rb'["\ud83d", ' + b"9" * 5000 + b", 1e999999999999999999999]",
            ["\ufffd", "9" * 5000, "1e999999999999999999999"],
        ),
    ],
)
def test_half_a_character_and_nul_are_replaced(body: bytes, value: Any) -> None:
    assert loads(body) == (value, True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"a": 1',
        b"NaN",
        b'["\\ud83d", NaN]',
        b"\xff",
        b"[1,]",
        b"01",
        b'"\\q"',
        b'{"a":\x00}',
        b"[" * 100_000,
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+|^$"):
        loads(body)


@pytest.mark.parametrize("name", [b"a", rb"\u0000", rb"\ud83d"])
def test_what_php_nests_at_most_can_be_read(name: bytes) -> None:
    assert loads(b'{"%b":' % name * 512 + b"1" + b"}" * 512).value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner),
    max_leaves=10,
)


def is_whole(value: Any) -> bool:
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" or character == "\0" for character in value)
    if isinstance(value, list):
        return all(map(is_whole, value))
    if isinstance(value, dict):
        return all(is_whole(name) and is_whole(part) for name, part in value.items())
    return True


@given(JSON)
def test_any_json_becomes_whole(value: Any) -> None:
    body = json.dumps(value).encode()
    sent = json.loads(body)  # two halves that make a pair are a pair
    assert is_whole(loads(body).value)
    assert loads(body).repaired is not is_whole(sent)
    if is_whole(sent):
        assert loads(body).value == sent
