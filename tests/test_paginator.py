"""The paginator by itself, and in the SDK's own loop: it has to reach the end of a list and stop there."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from sandbox import Behaviour, Fault, Sandbox
from tap_tallyfy.paginator import ListPaginator, Pagination
from tap_tallyfy.tap import TapTallyfy
from tap_tallyfy.walk import Window
from tests.tap import settings_for


def response(count: int = 0, first: int = 0, **pagination: Any) -> requests.Response:
    """Return an answer with so many records, and this `meta.pagination` unless it is empty."""
    rows = [{"id": f"{number:032x}"} for number in range(first, first + count)]
    return raw({"data": rows, **({"meta": {"pagination": pagination}} if pagination else {})})


def raw(body: object) -> requests.Response:
    answer = requests.Response()
    answer.status_code = 200
    answer._content = body if isinstance(body, bytes) else json.dumps(body).encode()  # noqa: SLF001 - it has no other way in
    return answer


def goes_on(answer: requests.Response, page_size: int = 10) -> bool:
    paginator = ListPaginator(page_size=page_size)
    paginator.advance(answer)
    assert paginator.finished or paginator.current_value == Window(2, page_size)
    return not paginator.finished


NEXT = {"next": "https://elsewhere.invalid/runs?page=2"}


@pytest.mark.parametrize(
    ("pagination", "more"),
    [
        ({"total": 25, "per_page": 10, "total_pages": 3, "links": NEXT}, True),
        ({"total": 25, "per_page": 10, "total_pages": 3, "links": {}}, True),
        ({"total": 25, "per_page": 10, "links": []}, True),
        ({"total": 25, "per_page": 10, "links": None}, True),
        ({"total": 25}, True),
        ({"total": "25", "per_page": "10", "total_pages": "3"}, True),
        ({"total": 25.0, "per_page": 10.0}, True),
        ({"total_pages": 3}, True),
        ({"total_pages": 3, "per_page": 100}, True),
        ({"links": NEXT, "per_page": 100}, True),
        ({"per_page": 10}, True),
        ({"per_page": 10, "total": None}, True),
        ({"per_page": 10, "total": -1}, True),
        ({"per_page": 10, "total": "many", "total_pages": {}}, True),
        ({"per_page": 10, "total": True}, True),
        ({"total": 3, "per_page": 10, "links": {}}, True),  # it contradicts itself: looked at again
        ({"total": 10, "per_page": 10, "total_pages": 2, "links": {}}, True),
        ({"total": 10, "per_page": 10, "total_pages": 1, "links": NEXT}, True),
        ({"total": 10, "per_page": 10, "total_pages": 1, "links": {}}, False),
        ({"total": 10, "per_page": 10, "total_pages": 1, "links": []}, False),
        ({"total": 10, "per_page": 10, "total_pages": 1, "links": None}, False),
        ({"total": 10, "per_page": 10, "links": {"next": None}}, False),
        ({"total": 10, "per_page": 10, "links": {"next": ""}}, False),
        ({"total": 10, "per_page": 10, "links": "next"}, False),
        ({"total": "10", "per_page": "10", "total_pages": "1"}, False),
        ({"total": 10}, False),
        ({"total": 10, "per_page": -5, "total_pages": -1}, False),
        ({"total": 10, "per_page": "ten", "total_pages": [1]}, False),
        ({"total": 10, "total_pages": 1.0}, False),
    ],
)
def test_a_full_page(pagination: dict[str, Any], more: bool) -> None:  # noqa: FBT001
    assert goes_on(response(10, **pagination)) is more


@pytest.mark.parametrize(
    "body",
    [
        {"data": [], "meta": {"pagination": {"total": 1000, "total_pages": 100, "links": NEXT}}},
        {"data": {}, "meta": {"pagination": {"total": 1000, "total_pages": 100, "links": NEXT}}},
        {"data": None, "meta": {"pagination": {"total": 1000}}},
        {"meta": {"pagination": {"total": 1000}}},
        {"data": [{"id": "a"}]},
        {"data": [{"id": "a"}], "meta": None},
        {"data": [{"id": "a"}], "meta": []},
        {"data": [{"id": "a"}], "meta": {"pagination": None}},
        {"data": [{"id": "a"}], "meta": {"pagination": [1]}},
        [{"id": "a"}],
        "text",
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"meta": ' + b"[" * 100_000,
    ],
)
def test_nothing_to_go_on_with_ends_the_list(body: object) -> None:
    assert goes_on(raw(body)) is False


def test_rows_by_number_count_too() -> None:
    body = {"data": {"0": {"id": "a"}, "2": {"id": "b"}}, "meta": {"pagination": {"total": 4}}}
    assert goes_on(raw(body), page_size=2) is True


def read_through(pages: list[requests.Response], page_size: int) -> int:
    """Return how many of these pages are asked for; after the last, all are empty."""
    paginator = ListPaginator(page_size=page_size)
    asked = 0
    while not paginator.finished:
        assert paginator.current_value == Window(asked + 1, page_size)
        page = pages[asked] if asked < len(pages) else response(0, total=0)
        asked += 1
        paginator.advance(page)
    return asked


def test_a_capped_page_size_is_not_the_end() -> None:
    pages = [response(50, first, total=120, per_page=50) for first in (0, 50)] + [response(20, 100, total=120)]
    assert read_through(pages, page_size=100) == 3


def test_a_capped_page_size_that_is_not_admitted_is_not_the_end() -> None:
    pages = [response(50, first, total=120, per_page=100) for first in (0, 50)] + [response(20, 100, total=120)]
    assert read_through(pages, page_size=100) == 3


def test_too_many_total_pages_cost_one_request() -> None:
    pages = [response(2, first, total=4, total_pages=9) for first in (0, 2)]
    assert read_through(pages, page_size=2) == 3


def test_a_total_that_is_too_low_does_not_hide_pages() -> None:
    pages = [response(2, first, total=3, per_page=2) for first in (0, 2, 4)]
    assert read_through(pages, page_size=2) == 4


def test_a_list_that_ignores_the_page_does_not_go_on_for_ever() -> None:
    paginator = ListPaginator(page_size=10)
    for _ in range(2):
        assert not paginator.finished
        paginator.advance(response(10, total=1000, per_page=10, total_pages=100, links=NEXT))
    assert paginator.finished


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0),
        (7, 7),
        ("7", 7),
        (7.0, 7),
        ("7.0", 7),
        (7.5, None),
        (-7, None),
        ("-7", None),
        ("", None),
        ("1_0", None),
        ("٣", None),
        ("inf", None),
        (float("nan"), None),
        (1e300, None),
        ("9" * 5000, None),
        (False, None),
        ([], None),
        ({}, None),
        (None, None),
    ],
)
def test_numbers_are_read_with_care(value: object, number: int | None) -> None:
    read = Pagination.read({"pagination": {"total": value, "per_page": value, "total_pages": value}}, 1)
    assert (read.total, read.per_page, read.total_pages) == (number, number, number)


BEHAVIOURS = {
    "as documented": Behaviour(),
    "capped": Behaviour(per_page_cap=7),
    "capped and not admitted": Behaviour(per_page_cap=7, reported_per_page=False, total_pages="wrong"),
    "size ignored": Behaviour(per_page_fixed=9),
    "no total pages, no links": Behaviour(total_pages="absent", links="absent"),
    "links are a list": Behaviour(links="array", numbers_as_strings=True),
    "no total": Behaviour(total="absent", links="null"),
    "total too low": Behaviour(total="low"),
    "total too high": Behaviour(total="high"),
    "links to another host": Behaviour(links_host="elsewhere.invalid"),
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS.keys())
@pytest.mark.parametrize("page_size", [10, 100])
def test_the_sdk_reads_a_whole_list(behaviour: Behaviour, page_size: int) -> None:
    with Sandbox(runs=90, seed=4, behaviour=behaviour) as sandbox:
        tap = TapTallyfy(config=settings_for(sandbox, page_size=page_size))
        records = list(tap.streams["runs"].request_records(None))  # type: ignore[attr-defined]
        expected = {identity for identity, run in sandbox.runs.items() if not run["archived_at"]}
    assert len(records) == len(expected) > 60
    assert {record["id"] for record in records} == expected


def test_the_sdk_reads_a_bare_list() -> None:
    with Sandbox(runs=5) as sandbox:
        sandbox.faults = [Fault("body", b'[{"id": "a"}, {"id": "b"}]')]
        tap = TapTallyfy(config=settings_for(sandbox))
        records = list(tap.streams["runs"].request_records(None))  # type: ignore[attr-defined]
    assert [record["id"] for record in records] == ["a", "b"]
