"""The short way and the long way lead to the same records."""

from __future__ import annotations

import logging
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


def decoder(stream: ListStream) -> ExactDecoder:
    return ExactDecoder(stream.effective_schema, msgspec.json.decode(body(stream, 1))["data"][0])


def test_both_ways_give_the_same_records(stream: ListStream) -> None:
    exact = decoder(stream)
    for page in range(1, 6):
        response = stream.fetch(Window(page, 100, "-created_at"))
        short = exact(response.content)
        assert short is not None, f"page {page} went the long way"
        records, meta = short
        assert records == list(stream.parse_response(response))
        assert len(records) == 100
        assert meta == msgspec.json.decode(response.content)["meta"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
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


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"data": {}}', b"{" * 100_000, b'{"data": [1]}', b"\xff"])
def test_what_is_no_page_goes_the_long_way(stream: ListStream, content: bytes) -> None:
    assert decoder(stream)(content) is None
