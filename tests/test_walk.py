"""Walks through lists in memory: pages of every size, totals that lie, and lists that change while they are read."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tap_tallyfy.dates import to_text
from tap_tallyfy.reading import repeated
from tap_tallyfy.reading.evidence import SortEvidence
from tap_tallyfy.reading.page import Page, Pagination, UnreadListError, Window
from tap_tallyfy.reading.paginator import BOTTOM, ListPaginator, Order
from tap_tallyfy.reading.seen import Seen
from tap_tallyfy.reading.walk import Walk
from tests.model import RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

BY_CREATION = Order("-created_at", "created_at")
BY_CHANGE = Order("-last_updated", "last_updated")
START = 1_750_000_000
LATER = START + 1_000_000.0
#: Rules by which a list at rest can be read, since a page that is asked for alike is as long.
STEADY = sorted(RULES.keys() - {"changes", "random"})
METAS = ("full", "unadmitted", "total", "pages", "none")

Row = dict[str, Any]


def record(name: str, second: int) -> Row:
    moment = to_text(START + second)
    return {"id": name, "created_at": moment, "last_updated": moment}


def records(length: int) -> list[Row]:
    return [record(f"row {number}", number) for number in range(length, 0, -1)]


@dataclass
class Memory:
    """A server that holds one list.

    Attributes:
        rows: The list.
        rule, cap: What becomes of the size of a page; see `RULES`.
        meta: "full", "unadmitted" (with the size that was asked for), "total", "pages" (without a total), "none".
        off_by: How much is added to its total.
        depth: How many rows it shows at most, or 0 for all.
        sorts: The fields that it sorts by; in its own order if asked for another one.
        paging: "honoured", "page ignored" or "ignored".
        whole: Whether it sends the list in one response.
        makes_up: Whether it fills each page with rows that never were.
        clock: What it says of the time, or None.
        keyless: The ids of rows that come without them.
        trusts_totals: As for `Page`.
        hidden: The ids of rows that are counted, and have their place on a page, but are not shown.
        between: Called before each request, with the list and the number of requests so far.
    """

    rows: list[Row]
    rule: str = "as asked"
    cap: int = 100
    meta: str = "full"
    off_by: int = 0
    depth: int = 0
    sorts: tuple[str, ...] = ("created_at", "last_updated")
    paging: str = "honoured"
    whole: bool = False
    makes_up: bool = False
    clock: float | None = LATER
    keyless: frozenset[str] = frozenset()
    trusts_totals: bool = True
    hidden: frozenset[str] = frozenset()
    between: Callable[[Memory], None] = lambda _: None
    random: Random = field(default_factory=lambda: Random(1))
    asked: list[Window] = field(default_factory=list)
    has_unpaginated: bool = True

    @property
    def requests(self) -> int:
        return len(self.asked)

    def read(self, window: Window) -> Page:
        self.between(self)
        self.asked.append(window)
        rows = self.sorted(window.sort or "")
        if window.unpaginated and self.whole:
            return self.page(window, rows, Pagination())
        number = 1 if window.unpaginated or self.paging != "honoured" else window.page
        size = RULES[self.rule](self, 10 if window.unpaginated else window.size)  # type: ignore[arg-type]
        size = max(len(rows), 1) if self.paging == "ignored" else size
        shown = rows[: self.depth or None][(number - 1) * size : number * size]
        if self.makes_up:
            first = self.requests * 1000
            shown += [record(f"made up {first + each}", -first - each) for each in range(size - len(shown))]
        total = max(len(rows) + self.off_by, 0)
        pages, more = -(-total // size), number * size < total
        pagination = {
            "full": Pagination(total, size, pages, more),
            "unadmitted": Pagination(total, window.size, pages, more),
            "total": Pagination(total),
            "pages": Pagination(None, size, pages, more),
            "none": Pagination(),
        }[self.meta]
        return self.page(window, shown, pagination)

    def sorted(self, sort: str) -> list[Row]:
        name = sort.removeprefix("-")
        if name not in self.sorts:
            return list(self.rows)
        return sorted(self.rows, key=lambda row: str(row[name]), reverse=sort.startswith("-"))

    def page(self, window: Window, rows: list[Row], pagination: Pagination) -> Page:
        rows = [row for row in rows if row["id"] not in self.hidden]
        shown = [dict(row) for row in rows if row["id"] not in self.keyless]
        return Page(window, shown, pagination, self.clock, len(rows) - len(shown), self.trusts_totals)

    def submit(self, window: Window) -> Future[Any]:
        raise NotImplementedError

    def wait_any(self, futures: Iterable[Future[Any]]) -> Iterable[Future[Any]]:
        raise NotImplementedError

    def result(self, window: Window, future: Future[Any]) -> Page:
        raise NotImplementedError


def walk(memory: Memory, seen: Seen | None = None, walk_type: type[Walk] = Walk, **settings: Any) -> list[str]:
    """Walk through a list, and return the ids of its records in the order they came."""
    given: dict[str, Any] = {
        "size": 100,
        "floor": BOTTOM,
        "by_change": {BY_CHANGE: SortEvidence()},
        "by_creation": [BY_CREATION],
        "prefer_unpaginated": False,
        "concurrency": 1,
        **settings,
    }
    reader = walk_type(
        source=memory,
        seen=Seen(lookback=60) if seen is None else seen,
        name="runs",
        log=logging.getLogger("walk"),
        **given,
    )
    return [row["id"] for row in reader]


def ids(memory: Memory) -> set[str]:
    return {row["id"] for row in memory.rows}


# Pages of another size than was asked for

LENGTHS = (0, 1, 2, 3, 4, 50, 99, 100, 101, 148, 160, 196, 200, 201, 250, 260)


@pytest.mark.parametrize("meta", METAS)
@pytest.mark.parametrize("rule", STEADY)
@pytest.mark.parametrize("cap", [10, 50, 100])
def test_a_list_is_read_whatever_becomes_of_the_size_of_a_page(rule: str, meta: str, cap: int) -> None:
    for length in LENGTHS:
        for whole in (True, False):
            memory = Memory(records(length), rule=rule, cap=cap, meta=meta, whole=whole)
            assert set(walk(memory)) == ids(memory), (length, whole)


@pytest.mark.parametrize("meta", METAS)
@pytest.mark.parametrize("sorts", [(), ("created_at", "last_updated")])
def test_a_list_is_read_whose_pages_are_longer_than_was_asked_for(meta: str, sorts: tuple[str, ...]) -> None:
    for length in (0, 1, 3, 4, 5, 9, 10, 11, 35, 40):
        memory = Memory(records(length), rule="fixed", cap=10, meta=meta, sorts=sorts)
        assert set(walk(memory, size=4)) == ids(memory), length


@pytest.mark.parametrize("meta", METAS)
@pytest.mark.parametrize("cap", [33, 50, 75, 99])
@pytest.mark.parametrize("sorts", [(), ("created_at", "last_updated")])
def test_a_size_that_changes_in_the_middle_loses_nothing(cap: int, meta: str, sorts: tuple[str, ...]) -> None:
    for length in LENGTHS:
        for whole in (True, False):
            memory = Memory(records(length), rule="changes", cap=cap, meta=meta, whole=whole, sorts=sorts)
            try:
                assert set(walk(memory)) == ids(memory), (length, whole)
            except UnreadListError:
                assert not whole or not sorts


@pytest.mark.parametrize("meta", ["full", "total"])
def test_sizes_at_random_lose_nothing_where_rows_are_counted(meta: str) -> None:
    for seed in range(200):
        memory = Memory(records(260), rule="random", meta=meta, random=Random(seed))
        try:
            assert set(walk(memory)) == ids(memory)
        except UnreadListError:
            continue


@pytest.mark.parametrize("meta", ["full", "unadmitted", "total", "none"])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 50, 99, 100, 101, 200, 250, 1000, 5000])
def test_a_list_at_rest_takes_few_more_requests_than_it_has_pages(length: int, meta: str) -> None:
    memory = Memory(records(length), meta=meta)
    assert set(walk(memory)) == ids(memory)
    assert memory.requests <= 1.16 * -(-length // 100) + (2 if meta == "full" else 5)


def test_one_request_reads_a_list_of_one_page() -> None:
    memory = Memory(records(99))
    walk(memory)
    assert memory.asked == [Window(1, 100, "-created_at")]


# Totals


def test_rows_that_are_counted_and_not_shown_are_an_error_that_says_so() -> None:
    memory = Memory(records(2500), depth=1000)
    with pytest.raises(UnreadListError, match=r"at least 2500 records there and shows 1000.*'trust_totals'") as error:
        walk(memory)
    assert "the API sends no rows from 10" in str(error.value)


@pytest.mark.parametrize("length", [0, 5, 100, 250])
@pytest.mark.parametrize("off_by", [1, 30])
def test_a_total_that_is_too_high_is_an_error_unless_totals_are_not_trusted(length: int, off_by: int) -> None:
    memory = Memory(records(length), off_by=off_by)
    with pytest.raises(UnreadListError, match=rf"at least {length + off_by} records there and shows {length}\."):
        walk(memory)
    seen = Seen(lookback=60)
    assert set(walk(replace(memory, trusts_totals=False), seen)) == ids(memory)
    assert seen.count.fell_short
    assert (seen.count.rows, seen.count.announced) == (length, length + off_by)


@pytest.mark.parametrize("hidden", [(20, 40), (0, 20), (1, 60), (30, 50), (0, 60), (10, 11), (21, 79)])
@pytest.mark.parametrize(("rule", "cap"), [("as asked", 20), ("fixed", 10)])
@pytest.mark.parametrize("orders", ["by_creation", "by_change", "none"])
def test_rows_that_the_token_may_not_see_may_make_whole_pages_empty(
    hidden: tuple[int, int], rule: str, cap: int, orders: str
) -> None:
    names = {row["id"] for row in records(80)[slice(*hidden)]}
    memory = Memory(records(80), meta="total", rule=rule, cap=cap, hidden=frozenset(names), trusts_totals=False)
    given: dict[str, Any] = {"by_creation": [], "by_change": {}} if orders == "none" else {}
    given |= (
        {"floor": START - 1.0, "by_change": {BY_CHANGE: SortEvidence(proven=True)}} if orders == "by_change" else {}
    )
    assert set(walk(memory, size=20, **given)) == ids(memory) - names


def test_one_response_that_holds_less_than_is_counted_is_not_the_whole_list() -> None:
    memory = Memory(records(250), off_by=1, whole=True)
    with pytest.raises(UnreadListError, match="at least 251 records there and shows 250"):
        walk(memory, prefer_unpaginated=True)


@pytest.mark.parametrize("by_change", [True, False])
def test_what_has_come_since_makes_up_for_what_has_gone(by_change: bool) -> None:
    """A deleted record and a new one leave the total as it was: the new one is read from the top, not all again."""

    def replace_the_oldest(memory: Memory) -> None:
        if memory.requests == 3:
            del memory.rows[-1]
            memory.rows.insert(0, record("new", 2_000_000))

    memory = Memory(records(990), between=replace_the_oldest)
    seen = Seen(lookback=60)
    orders: dict[str, Any] = {"by_creation": [], "by_change": {BY_CHANGE: SortEvidence(proven=True)}}
    found = walk(memory, seen, **(orders if by_change else {}))
    assert set(found) == ids(memory)
    assert not seen.count.fell_short


@pytest.mark.parametrize("off_by", [-1, -30])
def test_a_total_that_is_too_low_proves_nothing(off_by: int) -> None:
    for length in LENGTHS:
        memory = Memory(records(length), off_by=off_by)
        assert set(walk(memory)) == ids(memory), length


# Pages without their rows


class Blank(Memory):
    """Sends some pages without their rows, whatever it says of them."""

    blank: Callable[[int], bool]

    def page(self, window: Window, rows: list[Row], pagination: Pagination) -> Page:
        return super().page(window, [] if self.blank(self.requests) else rows, pagination)


@pytest.mark.parametrize("first", [1, 2, 4])
@pytest.mark.parametrize("length", [5, 100, 400])
def test_a_page_that_comes_without_its_rows_is_asked_for_again(length: int, first: int) -> None:
    memory = Blank(records(length))
    memory.blank = lambda request: first <= request <= first + 1
    assert set(walk(memory)) == ids(memory)


@pytest.mark.parametrize("meta", ["full", "total", "pages"])
@pytest.mark.parametrize("from_", [1, 2])
def test_pages_that_never_hold_their_rows_are_no_empty_list(meta: str, from_: int) -> None:
    memory = Blank(records(400), meta=meta)
    memory.blank = lambda _: memory.asked[-1].page >= from_
    with pytest.raises(UnreadListError):
        walk(memory)
    assert memory.requests < 60


# Records of one second


class Hasty(ListPaginator):
    """Does not look at the first page again, which would happen to show what a tie has hidden."""

    def advance(self, page: Page) -> None:
        super().advance(page)
        if self._short:
            self.ended, self._short = self._short.is_last, None


class HastyWalk(Walk):
    paginator_type = Hasty


def lost_from_a_tie(number: int) -> int:
    """Delete 107 records above 110 of one second before a request, and return how many of these are not read."""
    tie = [record(f"tie {each}", -9) for each in range(110)]

    def delete(memory: Memory) -> None:
        if memory.requests == number:
            memory.rows = tie

    memory = Memory([*records(107), *tie], between=delete)
    return len({row["id"] for row in tie} - set(walk(memory, walk_type=HastyWalk, by_change={})))


def test_a_tie_is_not_read_where_records_of_it_may_have_moved_up() -> None:
    assert not any(map(lost_from_a_tie, range(1, 10)))


def test_a_tie_that_begins_where_it_was_before_loses_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """The safeguard of the test above, taken out."""
    monkeypatch.setattr(repeated, "_begins_above", lambda *_: True)
    assert 7 in map(lost_from_a_tie, range(1, 10))


@pytest.mark.parametrize("meta", METAS)
@pytest.mark.parametrize("length", [99, 100, 101, 250])
def test_a_tie_at_either_end_is_read(length: int, meta: str) -> None:
    tie = [record(f"tie {number}", 5000) for number in range(length)]
    for rows in (
        tie,
        [*tie, *records(150)],
        [*records(150), *({**row, **record("", -9), "id": row["id"]} for row in tie)],
    ):
        memory = Memory(rows, meta=meta)
        assert set(walk(memory)) == ids(memory)


# Lists that ignore paging, and lists without an end


@pytest.mark.parametrize("sorts", [(), ("created_at", "last_updated")])
@pytest.mark.parametrize(
    ("length", "meta"), [*((length, "none") for length in (1, 2, 3, 99, 100, 101, 250)), (99, "total"), (100, "total")]
)
@pytest.mark.parametrize("has_unpaginated", [True, False])
def test_a_list_that_ignores_paging_is_one_page(
    length: int, has_unpaginated: bool, sorts: tuple[str, ...], meta: str
) -> None:
    memory = Memory(records(length), paging="ignored", meta=meta, has_unpaginated=has_unpaginated, sorts=sorts)
    assert set(walk(memory)) == ids(memory)
    assert memory.requests <= 7


@pytest.mark.parametrize("meta", ["none", "total"])
def test_a_server_that_ignores_only_the_number_of_the_page_is_an_error(meta: str) -> None:
    memory = Memory(records(250), paging="page ignored", meta=meta)
    with pytest.raises(UnreadListError):
        walk(memory)


@pytest.mark.parametrize("sorts", [(), ("created_at", "last_updated")])
def test_a_server_that_makes_up_rows_for_every_page_is_left(sorts: tuple[str, ...]) -> None:
    memory = Memory(records(1000), makes_up=True, sorts=sorts)
    with pytest.raises(UnreadListError, match="more than twice the 1000 records that it counts"):
        walk(memory)
    assert memory.requests < 5 * (2 * 10 + 40 + 5)


def test_a_total_that_grows_with_each_page_is_no_longer_a_list() -> None:
    def grow(memory: Memory) -> None:
        memory.off_by += 100

    memory = Memory(records(1000), makes_up=True, between=grow)
    with pytest.raises(UnreadListError, match="more than twice the"):
        walk(memory)


# Rows without a key


@pytest.mark.parametrize("length", [3, 100, 250, 1000])
def test_rows_without_a_key_are_left_out_and_counted(length: int) -> None:
    memory = Memory(records(length), keyless=frozenset({"row 1", f"row {length}", "row 2"}))
    seen = Seen(lookback=60)
    assert set(walk(memory, seen)) == ids(memory) - memory.keyless
    assert seen.count.keyless == 3
    assert not seen.count.fell_short


@pytest.mark.parametrize(
    ("length", "keyless", "is_read"), [(19, 19, True), (40, 20, True), (39, 20, False), (250, 240, False)]
)
def test_a_list_whose_rows_have_mostly_no_key_is_not_read(length: int, keyless: int, is_read: bool) -> None:
    memory = Memory(records(length), keyless=frozenset(f"row {number}" for number in range(1, keyless + 1)))
    if is_read:
        assert len(walk(memory)) == length - keyless
    else:
        with pytest.raises(UnreadListError, match=f"{keyless} of its {length} rows have no key"):
            walk(memory)


# The clock


@pytest.mark.parametrize("ahead", [0, 3600, 7200])
def test_a_clock_of_another_zone_does_not_move_the_bookmark_past_the_rows(ahead: int) -> None:
    now = [START + 1000]

    def tick(memory: Memory) -> None:
        now[0] += 2
        memory.clock = float(now[0] + ahead)
        memory.rows.insert(0, record(f"at {now[0]}", now[0] - START))

    memory, seen = Memory(records(900), between=tick), Seen(lookback=60)
    walk(memory, seen)
    assert START + 900 <= seen.bookmark_limit <= START + 1002


def test_a_clock_that_is_behind_limits_the_bookmark_by_itself() -> None:
    memory, seen = Memory(records(900), clock=START + 500.0), Seen(lookback=60)
    walk(memory, seen)
    assert seen.bookmark_limit == START + 500


def test_without_a_clock_the_first_page_limits_the_bookmark() -> None:
    memory, seen = Memory(records(900), clock=None), Seen(lookback=60)
    walk(memory, seen)
    assert seen.bookmark_limit == START + 900
    assert seen.clock is None


def test_an_earlier_bookmark_is_a_limit_where_a_list_is_empty() -> None:
    seen = Seen(bookmark=START + 7.0)
    walk(Memory([]), seen)
    assert seen.bookmark_limit == START + 7


# Orders


class Scripted(Memory):
    """Pages as they are given, and the whole list on request."""

    pages: Iterable[list[Row]]

    def read(self, window: Window) -> Page:
        self.asked.append(window)
        rows = self.rows if window.unpaginated or window.sort is None else next(iter(self.pages))
        return self.page(window, rows if window.unpaginated else rows[: window.size], Pagination(total=len(self.rows)))


def test_a_record_that_turns_up_where_all_was_read_refutes_the_order(caplog: pytest.LogCaptureFixture) -> None:
    """All pages fall by the key, each joins the one before, and yet the server sorts by something else."""
    front = [record("a", 9), record("b", 8), record("c", 7), record("d", 6), record("e", 5)]
    behind = [record("hidden", 7), record("f", 3)]
    # Records are older than the sync by what the newest says.
    late = record("late", 100)
    memory = Scripted([late, *front, *behind])
    memory.pages = iter([front, behind])
    seen = Seen(bookmark=START + 500)
    with caplog.at_level("INFO"):
        read = walk(memory, seen, by_change={}, size=5)
    assert set(read) == ids(memory)
    assert "records turn up where all had been read" in caplog.text
    assert memory.asked[-1].unpaginated


# At random


def test_random_walks_lose_nothing() -> None:
    """Every rule and `meta`, lists that change between any two requests; random sizes only where rows are counted."""
    read = 0
    for seed in range(3000):
        random = Random(seed)
        memory = Memory(
            [],
            rule=random.choice(list(RULES)),
            cap=random.choice([2, 3, 5, 10, 100]),
            meta=random.choice(METAS),
            whole=random.random() < 0.5,
            sorts=random.choice([("created_at",), ("created_at", "last_updated"), ()]),
            random=random,
        )
        if memory.rule == "random" and memory.meta in {"pages", "none"}:
            memory.meta = "total"
        memory.rows = [
            record(f"row {number}", number // random.choice([1, 1, 3]))
            for number in range(random.choice([0, 3, 9, 20, 60]), 0, -1)
        ]
        there, left = ids(memory), [random.choice([0, 3, 20])]

        def work(memory: Memory, left: list[int] = left, random: Random = random) -> None:
            while left[0] and random.random() < 0.4:
                left[0] -= 1
                if random.random() < 0.5 and memory.rows:
                    memory.rows.remove(random.choice(memory.rows))
                else:
                    memory.rows.insert(0, record(f"new {left[0]}", 1000 - left[0]))

        memory.between = work
        try:
            found = set(walk(memory, size=random.choice([1, 2, 3, 5, 10, 20, 98])))
        except UnreadListError:
            continue
        read += 1
        assert there & ids(memory) <= found, seed
    assert read > 2000
