"""The short way and the long way lead to the same records."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sandbox import Behaviour, Sandbox
from tap_tallyfy.exact import ExactDecoder
from tap_tallyfy.list_stream import ListStream
from tap_tallyfy.tap import TapTallyfy
from tap_tallyfy.walk import Window

if TYPE_CHECKING:
    from collections.abc import Iterator


#: As the SDK's writer encodes.
MESSAGES = msgspec.json.Encoder(decimal_format="number")


@pytest.fixture(scope="module")
def stream() -> Iterator[ListStream]:
    logging.disable(logging.INFO)
    with Sandbox(runs=600, seed=5, behaviour=Behaviour(date_format="z")) as sandbox:
        config = {"org_id": sandbox.org_id, "access_token": sandbox.access_token, "api_url": sandbox.api_url}
        found = TapTallyfy(config=config).streams["runs"]
        assert isinstance(found, ListStream)
        yield found
    logging.disable(logging.NOTSET)


def body(stream: ListStream, page: int) -> bytes:
    return stream.fetch(Window(page, 100, "-created_at")).content


def decoder(stream: ListStream, *, sealed: bool = True) -> ExactDecoder:
    return ExactDecoder(stream.effective_schema, msgspec.json.decode(body(stream, 1))["data"][0], sealed=sealed)


def written(records: object) -> Any:
    """Return records as a target reads them."""
    return json.loads(MESSAGES.encode(records), parse_float=Decimal)


@pytest.mark.parametrize("sealed", [False, True])
def test_both_ways_give_the_same_records(stream: ListStream, *, sealed: bool) -> None:
    exact = decoder(stream, sealed=sealed)
    for page in range(1, 6):
        response = stream.fetch(Window(page, 100, "-created_at"))
        short = exact(response.content)
        assert short is not None, f"page {page} went the long way"
        records, meta = short
        assert written(records) == written(list(stream.parse_response(response)))
        assert len(records) == 100
        assert meta == msgspec.json.decode(response.content)["meta"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("custom_fields", "a text"),
        ("custom_fields", 7),
        ("late_tasks", "3"),
        ("late_tasks", 2**63),
        ("starred", 1),
        ("due_date", "0000-00-00 00:00:00"),
        ("due_date", 1736935200),
        ("prerun", ["a"]),
        ("progress", {"complete": 1, "total": 2, "percent": 50, "approved": 0, "rejected": 0, "skipped": 1}),
        ("progress", {"complete": 1.5, "total": 2, "percent": 50, "approved": 0, "rejected": 0}),
        ("users", [1, "x"]),
        ("users", {}),
        ("id", ""),
        ("id", 7),
        ("id", None),
        ("nobody_has_heard_of", None),
    ],
)
def test_a_page_with_anything_else_goes_the_long_way(stream: ListStream, field: str, value: Any) -> None:
    content = msgspec.json.decode(body(stream, 1))
    content["data"][50][field] = value
    assert decoder(stream)(msgspec.json.encode(content)) is None


def test_a_page_with_a_field_less_goes_the_long_way(stream: ListStream) -> None:
    content = msgspec.json.decode(body(stream, 1))
    del content["data"][50]["summary"]
    assert decoder(stream)(msgspec.json.encode(content)) is None


@pytest.mark.parametrize(
    "value",
    [
        "null",
        "[]",
        "{}",
        '{"a": [{"b": null}, 1.10, -0.0, 1e3, 123456789012345678901234567890]}',
        '{"same": 1, "same": 2}',
        '{ "\\u00e9\\n" : "\\u0000 \u2028 \U0001f600" , "\u00e9": true }',
    ],
)
@pytest.mark.parametrize("sealed", [False, True])
def test_nested_objects_are_written_as_they_were_sent(stream: ListStream, value: str, *, sealed: bool) -> None:
    content = with_custom_fields(stream, value.encode())
    short = decoder(stream, sealed=sealed)(content)
    assert short is not None
    assert MESSAGES.encode(short[0]).count(b"\n") == 0
    assert written(short[0][50]["custom_fields"]) == (json.loads(value, parse_float=Decimal) if value != "[]" else {})


NESTED = {
    "properties": {
        "id": {"type": "string"},
        "typed": {
            "type": ["object", "null"],
            "properties": {
                "free": {"type": ["object", "null"]},
                "at": {"type": ["string", "null"], "format": "date-time"},
            },
        },
    }
}


@pytest.mark.parametrize("sealed", [False, True])
def test_a_free_object_inside_a_typed_one_keeps_every_digit(*, sealed: bool) -> None:
    exact = ExactDecoder(NESTED, ("id", "typed"), sealed=sealed)
    free, at = '{"a":1.10,"b":0.1234567890123456789}', "2025-01-15T10:00:00Z"
    short = exact(f'{{"data": [{{"id": "a", "typed": {{"free": {free}, "at": "{at}"}}}}]}}\n'.encode())
    assert short is not None
    typed = written(short[0][0]["typed"])
    assert typed == {"free": json.loads(free, parse_float=Decimal), "at": "2025-01-15T10:00:00.000Z"}


@pytest.mark.parametrize(
    "value",
    [
        b'{"a":\n1}',
        b'{"a":\r1}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\n"}',
        b'{"a": 01}',
        b'{"a": NaN}',
        b'{"a": 1',
        b'{"a": 1,}',
        b'{"a": "\\q"}',
        b'{"a": "\\ud800 "}',
    ],
)
def test_nested_objects_that_spoil_a_message_go_the_long_way(stream: ListStream, value: bytes) -> None:
    assert decoder(stream)(with_custom_fields(stream, value)) is None


def with_custom_fields(stream: ListStream, value: bytes) -> bytes:
    """Return a page, one of whose records has this text as `custom_fields`."""
    content = msgspec.json.decode(body(stream, 1))
    content["data"][50]["custom_fields"] = msgspec.Raw(value)
    return msgspec.json.encode(content)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"data": {}}', b"{" * 100_000, b'{"data": [1]}', b"\xff"])
def test_what_is_no_page_goes_the_long_way(stream: ListStream, content: bytes) -> None:
    assert decoder(stream)(content) is None
