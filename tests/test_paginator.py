"""The paginator by itself, against lists that change between any two pages, and as part of a sync."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from sandbox import Behaviour, Fault, Sandbox
from sandbox.behaviour import KINDS, SERVERS
from tap_tallyfy.reading.page import Page, Pagination, UnreadableError, Window
from tap_tallyfy.reading.paginator import ListPaginator, Order
from tests.tap import Result, run_tap

ORDER = Order("-created_at", "created_at")
NEXT = {"next": "https://elsewhere.invalid/runs?page=2"}

Row = dict[str, Any]


def row(second: int, name: str = "") -> Row:
    return {"id": name or f"at {second}", "created_at": f"2025-01-15T10:{second // 60:02}:{second % 60:02}.000Z"}


def page(window: Window, rows: list[Row], **pagination: Any) -> Page:
    return Page(window, rows, Pagination.read({"meta": {"pagination": pagination}}))


def cut(window: Window, rows: list[Row]) -> Page:
    """Return the page of a list that a server with all the facts would send."""
    return page(window, rows[window.start : window.end], total=len(rows), per_page=window.size)


# Where the API says a page stands


@pytest.mark.parametrize(
    ("pagination", "more"),
    [
        ({"total": 25, "per_page": 10, "total_pages": 3, "links": NEXT}, True),
        ({"total": 25, "links": {}}, True),
        ({"total": 25, "links": []}, True),
        ({"total": 25, "links": None}, True),
        ({"total": "25", "per_page": "10", "total_pages": "3"}, True),
        ({"total": 25.0, "per_page": 10.0}, True),
        ({"total_pages": 3}, True),
        ({"links": NEXT}, True),
        ({"total": -1, "links": NEXT}, True),
        ({"total": "many", "total_pages": "3"}, True),
        ({"total": True, "links": NEXT}, True),
        ({"total": 10, "total_pages": 3, "links": NEXT}, False),  # some compute the pages from another size
        ({"total": 10, "links": {"next": None}}, False),
        ({"total": "10"}, False),
        ({"links": {"next": ""}}, False),
        ({"links": "next", "total_pages": {}}, False),
        ({"per_page": 10}, False),
    ],
)
def test_whether_the_api_says_that_a_list_goes_on(pagination: dict[str, Any], more: bool) -> None:
    assert page(Window(1, 10), [row(n) for n in range(10)], **pagination).has_more is more


@pytest.mark.parametrize("meta", [None, [], {}, 7, {"pagination": None}, {"pagination": [1]}, {"pagination": "x"}])
def test_a_meta_of_another_shape_says_nothing(meta: object) -> None:
    assert Pagination.read({"data": [], "meta": meta}) == Pagination()


@pytest.mark.parametrize(
    "envelope",
    [
        {"meta": {"Pagination": {"total": 7, "per_page": 5, "total_pages": 2}}},
        {"META": {"PAGINATION": {"Total": 7, "Per_Page": 5, "Total_Pages": 2}}},
        {"meta": {"total": 7, "per_page": 5, "last_page": 2}, "links": {"next": None}},
        {"total": 7, "per_page": 5, "last_page": 2, "next_page_url": None},
        {"pagination": {"total": 7, "per_page": 5, "total_pages": 2}},
    ],
    ids=str,
)
def test_a_page_is_placed_wherever_a_framework_says_so(envelope: dict[str, Any]) -> None:
    assert Pagination.read({"data": [], **envelope}) == Pagination(total=7, per_page=5, total_pages=2)


@pytest.mark.parametrize("envelope", [{"links": NEXT}, {"meta": {"links": NEXT}}, {"next_page_url": "x"}], ids=str)
def test_a_link_to_a_next_page_may_stand_beside_the_rows(envelope: dict[str, Any]) -> None:
    assert Pagination.read({"data": [], **envelope}) == Pagination(next_link=True)


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
    read = Pagination.read({"meta": {"pagination": {"total": value, "per_page": value, "total_pages": value}}})
    assert (read.total, read.per_page, read.total_pages) == (number, number, number)


# Where a list ends


@pytest.mark.parametrize(
    ("count", "pagination", "proven"),
    [
        (55, {"total": 55, "per_page": 100}, True),
        (19, {"total": 19, "per_page": 20}, True),
        (120, {"total": 120, "per_page": 500}, True),  # it sends more than it was asked for, and says how many
        (120, {"total": 120}, False),
        (0, {"total": 0}, True),
        (0, {}, True),
        (0, {"total": 5}, False),
        (0, {"total_pages": 2}, False),
        (55, {"total": 55}, False),  # nothing says that it is no shorter than the server makes all pages
        (55, {"total": 56, "per_page": 100}, False),
        (55, {"total": 54, "per_page": 100}, False),
        (20, {"total": 20, "per_page": 20}, False),  # the size of all pages, as the API says
        (20, {"total": 900, "per_page": 100}, False),  # capped, and not admitted
        (100, {"total": 100, "per_page": 100}, False),  # a total may have been counted at another moment
        (100, {}, False),
        (55, {}, False),
        (55, {"per_page": 100}, False),
        (55, {"links": NEXT}, False),
    ],
)
def test_whether_the_first_page_shows_that_it_is_the_last(count: int, pagination: dict[str, Any], proven: bool) -> None:
    assert page(Window(1, 100), [row(n) for n in range(count)], **pagination).proves_end is proven


@pytest.mark.parametrize(
    ("number", "count", "pagination", "lacks"),
    [
        (1, 0, {"total": 100}, True),
        (2, 0, {"total": 101}, True),
        (2, 0, {"total": 100}, False),
        (1, 1, {"total": 100}, False),
        (3, 0, {"links": NEXT}, True),
        (1, 0, {"total_pages": 2}, True),
        (3, 0, {"total_pages": 9}, False),  # which may be counted in another size
        (1, 0, {"total": 0, "links": NEXT}, False),
        (1, 0, {}, False),
    ],
)
def test_a_page_without_rows_that_the_api_says_are_there(
    number: int, count: int, pagination: dict[str, Any], lacks: bool
) -> None:
    empty = page(Window(number, 100), [row(n) for n in range(count)], **pagination)
    assert empty.lacks_rows is lacks
    assert not replace(empty, trusts_totals=False).lacks_rows


# One part of a list


def read(paginator: ListPaginator, rows: list[Row]) -> list[Window]:
    """Read a list at rest to its end, and return the pages it took."""
    windows = []
    while not paginator.has_passed(None):
        windows.append(paginator.window)
        paginator.advance(cut(paginator.window, rows))
    return windows


def key(second: int) -> float:
    return ORDER.key(row(second))


@pytest.mark.parametrize("length", [0, 1, 99, 100, 101, 250, 1000])
def test_a_list_at_rest_takes_few_more_pages_than_it_has(length: int) -> None:
    windows = read(ListPaginator(ORDER, 100), [row(n) for n in range(length, 0, -1)])
    assert windows[0] == Window(1, 100, "-created_at")
    assert len(windows) <= 1.16 * -(-length // 100) + 2
    for before, after in itertools.pairwise(windows[:-1]):
        assert after.start < before.end < after.end
    if len(windows) > 1:  # the last one shows that the server honours the size of the one that is short
        assert windows[-1] == Window(1, windows[-2].size, "-created_at")


def test_a_page_that_does_not_overlap_is_asked_for_further_up() -> None:
    rows = [row(n) for n in range(300, 0, -1)]
    paginator = ListPaginator(ORDER, 100)
    paginator.advance(cut(paginator.window, rows))
    assert paginator.low == key(201)
    before = paginator.window
    # Fifty records that were read are gone: what came behind them moved up.
    rows = rows[50:]
    paginator.advance(cut(before, rows))
    assert paginator.low == key(201)
    assert paginator.window.start < before.start - 40
    read(paginator, rows)
    assert paginator.low == key(1)


def test_two_parts_meet_by_key_wherever_their_records_have_moved() -> None:
    rows = [row(n) for n in range(400, 0, -1)]
    upper, lower = ListPaginator(ORDER, 100), ListPaginator(ORDER, 100, position=200)
    lower.advance(cut(lower.window, rows))
    assert lower.high is not None
    assert not upper.has_passed(lower.high)
    rows = [row(n) for n in range(500, 400, -1)] + rows  # a hundred came, so all others moved down
    pages = 0
    while not upper.has_passed(lower.high):
        upper.advance(cut(upper.window, rows))
        pages += 1
    assert upper.low < lower.high
    assert pages in {3, 4}


def test_a_part_behind_the_end_leaves_the_list_to_the_one_before() -> None:
    rows = [row(n) for n in range(150, 0, -1)]
    upper, lower = ListPaginator(ORDER, 100), ListPaginator(ORDER, 100, position=200)
    lower.advance(cut(lower.window, rows))
    assert lower.has_passed(None)
    assert not upper.has_passed(lower.high)
    read(upper, rows)
    assert upper.has_passed(lower.high)


def test_records_of_one_second_are_left_behind_together() -> None:
    tie = [row(200, f"tie {n}") for n in range(30)]
    rows = [row(n) for n in range(300, 210, -1)] + tie + [row(n) for n in range(150, 0, -1)]
    paginator = ListPaginator(ORDER, 100)
    paginator.advance(cut(paginator.window, rows))
    assert not paginator.has_passed(key(200))  # ten of them were read, which ones is up to the server
    window = paginator.window
    assert window.start < 90
    read(paginator, rows)


def test_more_records_of_one_second_than_fit_on_a_page_are_left_to_others() -> None:
    tie = [row(200, f"tie {n}") for n in range(250)]
    rows = [row(n) for n in range(300, 260, -1)] + tie + [row(n) for n in range(150, 0, -1)]
    paginator = ListPaginator(ORDER, 100)
    while not paginator.is_stuck:
        paginator.advance(cut(paginator.window, rows))
    assert paginator.low == key(200)
    assert paginator.tie_begins == 40
    paginator.pass_tie(290)
    assert paginator.has_passed(key(200))
    assert not paginator.has_passed(key(199))
    assert paginator.window.start < 290 < paginator.window.end
    read(paginator, rows)


def test_records_without_a_date_cannot_be_passed() -> None:
    rows: list[Row] = [{"id": str(n)} for n in range(250)]
    paginator = ListPaginator(ORDER, 100)
    paginator.advance(cut(paginator.window, rows))
    assert paginator.is_stuck
    with pytest.raises(UnreadableError, match="more records have no 'created_at'"):
        paginator.pass_tie(250)


UNREADABLE: dict[str, tuple[list[Page], str]] = {
    "rising": ([page(Window(1, 3), [row(1), row(2)], total=2)], "not sorted by 'created_at'"),
    "more than were asked for": (
        [page(Window(1, 3), [row(n) for n in (4, 3, 2, 1)], total=4)],
        "of the size asked for",
    ),
    "a total that is too high": (
        [page(Window(2, 3), [row(2), row(1)], total=7), page(Window(1, 3), [row(n) for n in (4, 3, 2)], total=7)] * 6,
        "counts more records",
    ),
    "a size that is not honoured": (
        [page(Window(2, 3), [row(2), row(1)], total=5), page(Window(1, 3), [row(n) for n in (4, 3)], total=5)],
        "of the size asked for",
    ),
    "the same page for ever": ([page(Window(1, 3), [row(3), row(2), row(1)], total=9)] * 50, "changes too fast"),
}


@pytest.mark.parametrize(("pages", "reason"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_read_by_its_keys_is_given_up(pages: list[Page], reason: str) -> None:
    paginator = ListPaginator(ORDER, 3)

    def read_all() -> None:
        for each in pages:
            assert not paginator.has_passed(None)
            paginator.advance(each)

    with pytest.raises(UnreadableError, match=reason):
        read_all()


@pytest.mark.parametrize("size", [10, 20, 100])
def test_nothing_that_stays_is_lost_while_a_list_changes(size: int) -> None:
    """Random lists, ties in another order on every read, deletions and creations between any two pages."""
    complete = 0
    for seed in range(400):
        random = Random(seed)
        rows: dict[int, Row] = {}
        second = 0
        for number in range(4 * size):
            second += random.choice([0, 0, 1])
            rows[number] = row(second, str(number))
        there = set(rows)
        paginator, seen = ListPaginator(ORDER, size), set[str]()
        try:
            while not paginator.has_passed(None):
                for _ in range(random.choice([0, 0, 0, 1, 2, 4])):
                    rows.pop(random.choice([*rows, -1]), None)
                if random.random() < 0.2:
                    second += random.choice([0, 1])
                    rows[len(there) + second + len(rows) * 1000] = row(second, f"new {second} {len(rows)}")
                shown = list(rows.values())
                random.shuffle(shown)
                shown.sort(key=ORDER.key, reverse=True)
                answer = cut(paginator.window, shown)
                paginator.advance(answer)
                seen |= {record["id"] for record in answer.records}
                if paginator.is_stuck:
                    break
        except UnreadableError:
            continue
        if not paginator.ended:
            continue
        complete += 1
        assert {str(number) for number in there & rows.keys()} <= seen
    assert complete > 50


# As part of a sync


BEHAVIOURS = {
    "as documented": Behaviour(),
    "capped": Behaviour(per_page_cap=7),
    "capped and not admitted": Behaviour(per_page_cap=7, reported_per_page=False, total_pages="wrong"),
    "size ignored": Behaviour(per_page_fixed=9),
    "no total pages, no links": Behaviour(total_pages="absent", links="absent"),
    "links are a list": Behaviour(links="array", numbers_as_strings=True),
    "no total": Behaviour(total="absent", links="null"),
    "no total and no pages": Behaviour(total="absent", links="null", total_pages="absent"),
    "total too low": Behaviour(total="low"),
    "links to another host": Behaviour(links_host="elsewhere.invalid"),
    "no meta": Behaviour(meta="absent"),
    "no meta, capped": Behaviour(meta="absent", per_page_cap=40),
    "no meta, nothing in one answer": Behaviour(meta="absent", without_pagination=False),
    "a capital letter": Behaviour(meta="capital"),
    "page ignored": Behaviour(ignore_page=True),
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS.keys())
@pytest.mark.parametrize("page_size", [10, 100])
def test_a_whole_list_is_read(behaviour: Behaviour, page_size: int) -> None:
    with Sandbox(runs=190, seed=4, behaviour=behaviour) as sandbox:
        result = run_tap(sandbox, page_size=page_size)
        assert result.code == 0, result.stderr
        assert result.ids == sandbox.runs.keys()
        assert len(result.records) == len(result.ids)


def is_complete(result: Result, sandbox: Sandbox) -> bool:
    """Whether all was read and said to be; what was not has to be said."""
    assert (result.code == 0) is (result.ids == sandbox.runs.keys()), result.stderr
    return result.code == 0


@pytest.mark.parametrize("meta", ["right", "total_only", "absent"])
@pytest.mark.parametrize("sizes", sorted(KINDS["sizes"]))
def test_pages_of_another_size_than_asked_for_lose_nothing(sizes: str, meta: str) -> None:
    behaviour = Behaviour(sizes=sizes, meta=meta, without_pagination=False)
    with Sandbox(runs=260, seed=4, behaviour=behaviour) as sandbox:
        assert is_complete(run_tap(sandbox), sandbox) or sizes.startswith(("third", "random"))


@pytest.mark.parametrize("page_size", [10, 100])
def test_a_total_that_is_too_high_is_an_error_unless_totals_are_not_trusted(page_size: int) -> None:
    with Sandbox(runs=190, seed=4, behaviour=Behaviour(total="high")) as sandbox:
        result = run_tap(sandbox, page_size=page_size)
        assert result.code != 0
        assert "set 'trust_totals' to false" in result.stderr
        assert not [message for message in result.messages if message["type"] == "ACTIVATE_VERSION"]
        result = run_tap(sandbox, page_size=page_size, trust_totals=False)
        assert is_complete(result, sandbox)
        assert "the API counts more records of 'runs' than it shows" in result.stderr
        assert not [message for message in result.messages if message["type"] == "ACTIVATE_VERSION"]


def test_rows_that_are_counted_and_never_shown_are_an_error_with_both_numbers() -> None:
    with Sandbox(runs=400, seed=4, behaviour=Behaviour(most_rows=200, without_pagination=False)) as sandbox:
        result = run_tap(sandbox)
        (error,) = result.errors
        assert result.code != 0
        assert re.search(r"counts at least \d+ records there and shows \d+\. .*'trust_totals'", error)


@pytest.mark.parametrize("kind", ["empty", "error_true"])
def test_a_first_page_without_its_rows_is_no_empty_list(kind: str) -> None:
    with Sandbox(runs=30, seed=4) as sandbox:
        sandbox.fault_for = lambda request: Fault(kind) if request.query.get("page", "1") == "1" else None
        assert not is_complete(run_tap(sandbox), sandbox)


def test_a_list_that_ignores_paging_is_one_page() -> None:
    with Sandbox(runs=30, seed=4, behaviour=Behaviour(**SERVERS["paging is ignored"])) as sandbox:
        assert is_complete(run_tap(sandbox), sandbox)
        # The list of archived processes is asked for too, by up to three filters.
        assert len(sandbox.requests) <= 12


def test_made_up_rows_without_end_are_an_error() -> None:
    with Sandbox(runs=200, seed=4, behaviour=Behaviour(**SERVERS["made-up rows without end"])) as sandbox:
        result = run_tap(sandbox)
        assert result.code != 0
        assert "more than twice" in result.stderr
