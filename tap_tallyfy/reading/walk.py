"""Reads one list so that nothing is lost while people work in it.

A walk knows several ways and takes the first that works. All of them hand on the records they read, so a way that
turns out not to be safe costs requests, never records. By its keys (see `paginator`) a list is read from the last
change down to the bookmark, or whole, in parts side by side, by the date of creation; more records of one second than
fit on a page are read again until two readings of them agree. Where keys prove nothing (pages of a size of their own,
an order that no field explains), the list is asked for in one response, or all of it is read again until two readings
agree.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, takewhile
from typing import Any, ClassVar, Final, NamedTuple

from tap_tallyfy.reading import repeated
from tap_tallyfy.reading.evidence import SortEvidence
from tap_tallyfy.reading.metered import MeteredSource
from tap_tallyfy.reading.page import Page, Record, Source, UnreadableError, UnreadListError, Window
from tap_tallyfy.reading.paginator import BOTTOM, ListPaginator, Order
from tap_tallyfy.reading.seen import Seen

#: Reads the list in one way: yields new records, and returns how many rows the list has if it was read to its end.
Strategy = Callable[[MeteredSource], Generator[Record, None, int | None]]

#: The longest list to ask for in one response where nothing else helps, in rows.
MAX_UNPAGINATED: Final = 20_000
#: Pages that a part of a list spans at least; one request mostly reads so much of it that the next part is met.
_PAGES_A_PART: Final = 1.3
#: How often it is asked for in one response: its length may change between the two requests that takes.
_RESPONSES: Final = 2
#: A list of which this many rows, and more than half of all, have no key is another one than the contract describes.
_MANY_KEYLESS: Final = 20


class _Descent(NamedTuple):
    """How far a list was read by its keys."""

    pages: int  #: How many pages that took.
    newest: float  #: The highest key that began a page.
    low: float  #: The key down to which all has been read.
    rows: int | None  #: Rows of the list, or None unless it was read to its end.
    total: int | None  #: The smallest length that a page which joined has announced, or None.


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One walk through one list."""

    paginator_type: ClassVar[type[ListPaginator]] = ListPaginator  #: Reads a part of the list.
    source_type: ClassVar[type[MeteredSource]] = MeteredSource  #: Limits and checks the pages of one way to read it.

    source: Source  #: Where pages come from.
    seen: Seen  #: The records that this sync has read so far.
    name: str  #: The name of the stream.
    size: int  #: Rows to ask for a page.
    floor: float  #: The second before which all changes are known, or `BOTTOM` to read everything.
    by_change: Mapping[Order, SortEvidence]  #: Orders by the last change, best first, with the evidence.
    by_creation: Sequence[Order]  #: Orders by a date that never changes, best first.
    prefer_unpaginated: bool  #: Ask for the list in one response first.
    concurrency: int  #: Most requests to have under way at once.
    log: logging.Logger  #: Takes a line for each way that did not work.

    def __iter__(self) -> Iterator[Record]:
        """Yield every record of the list that is new to this sync, or changed since it was yielded.

        Raises:
            UnreadListError: If it cannot be shown that nothing was missed.
        """
        reasons: dict[str, None] = {}
        announced: int | None = None
        for strategy in self._strategies():
            source = self.source_type(self.source, self.size)
            try:
                rows = yield from strategy(source)
            except UnreadableError as why:
                self.log.info("Reading the list in another way: %s.", why)
                reasons[str(why)] = None
                announced = source.announced
            else:
                self._count_keyless(rows, source.keyless)
                return
        raise self._failure(reasons, announced)

    def _strategies(self) -> Iterator[Strategy]:
        if self.prefer_unpaginated:
            yield partial(self._in_one_response, None)
        by_change = [partial(self._newest_first, order, evidence) for order, evidence in self.by_change.items()]
        by_creation = [partial(self._in_parallel, order) for order in self.by_creation]
        yield from (*by_change, *by_creation) if self.floor > BOTTOM else (*by_creation, *by_change)
        # LIVE: orders that the live API is seen to honour are enough; then all that follows can go.
        for _ in range(_RESPONSES):
            yield partial(self._in_one_response, MAX_UNPAGINATED)
        yield self._until_two_readings_agree

    def _failure(self, reasons: Iterable[str], announced: int | None) -> UnreadListError:
        sentence = f"The tap could not read all of '{self.name}' reliably: {', and '.join(reasons)}"
        shown = self.seen.count.rows
        if (announced or 0) > shown:
            return UnreadListError(
                f"{sentence}; the API counts at least {announced} records there and shows {shown}. Run the sync again;"
                " if the token may not see all records that the API counts, set 'trust_totals' to false."
            )
        return UnreadListError(
            f"{sentence}; the bookmark stays where it was, so run the sync again, at a quieter time if this persists."
        )

    def _count_keyless(self, rows: int | None, keyless: int) -> None:
        """Note how many rows of the list have no key, unless most have none: then it was not read.

        Args:
            rows: Rows of the list, or None if it was not read to its end.
            keyless: Rows without a key that have come, some of them more than once.
        """
        shown = self.seen.count.rows
        if keyless and rows is not None:
            keyless = min(max(rows - shown, 1), keyless)
        self.seen.keyless = keyless
        if keyless >= _MANY_KEYLESS and keyless > shown:
            raise UnreadListError(
                f"The tap could not read '{self.name}': {keyless} of its {shown + keyless} rows have no key."
            )

    # By its keys

    def _newest_first(
        self, order: Order, evidence: SortEvidence, source: MeteredSource
    ) -> Generator[Record, None, int | None]:
        """Read from the newest change down to the floor; that alone is worth the evidence that it takes."""
        descent = yield from self._descend(source, order, self.floor, evidence)
        # A list of one page was read in one moment, whatever its order.
        read_at_once = descent.pages == 1 and descent.rows is not None
        if not read_at_once and not evidence.suffices(partial(self._turns, source, order, descent)):
            raise UnreadableError(f"nothing shows that the API sorts by '{order.field}'")
        yield from self._latecomers(source, order, descent)
        return descent.rows

    def _turns(self, source: MeteredSource, order: Order, descent: _Descent) -> bool:
        """Return whether the list begins at its other end when the opposite order is asked for."""
        page = source.read(Window(1, self.size, order.sort.removeprefix("-")))
        keys = [order.key(record) for record in page.records]
        rises = all(earlier <= later for earlier, later in pairwise(keys))
        # Records without the date come first, or their changes would be below every floor.
        return bool(keys) and rises and BOTTOM < keys[0] <= descent.low and keys[0] < descent.newest

    def _in_parallel(self, order: Order, source: MeteredSource) -> Generator[Record, None, int | None]:
        """Read everything, in parts of which each ends where the next one began."""
        descent = yield from self._descend(source, order, BOTTOM)
        yield from self._latecomers(source, order, descent)
        return descent.rows

    def _latecomers(self, source: MeteredSource, order: Order, descent: _Descent) -> Iterator[Record]:
        """Read the records that came since the sync began, if a list falls short of its total without them."""
        if descent.rows is None or not self._falls_short(source, descent):
            return
        yield from self._descend(source, order, self.seen.unchanged_before)
        if self._falls_short(source, descent):
            raise UnreadableError(f"the API counts {descent.total} records and shows {self.seen.count.rows}")

    def _falls_short(self, source: MeteredSource, descent: _Descent) -> bool:
        return (descent.total or 0) > self.seen.count.rows + source.keyless

    def _descend(
        self, source: MeteredSource, order: Order, floor: float, evidence: SortEvidence | None = None
    ) -> Generator[Record, None, _Descent]:
        """Read until each part of the list has met the next one, or the floor, or the end.

        Each page is judged by the records seen before it, then its own are marked as seen, and then it carries its
        part on. Those who ask for pages must see a part only after that.
        """
        parts = [self.paginator_type(order, self.size)]
        under_way: dict[Future[Any], ListPaginator] = {}
        pages, newest = 0, BOTTOM
        while unread := _unread(parts, floor):
            for part, page in self._next_pages(source, parts, unread, under_way):
                contradicts = self._contradicts(part, order, page)
                yield from self.seen.new_records(page)
                is_front = part.high is None and page.window.page == 1
                part.advance(page)
                pages += 1
                newest = max([newest, *map(order.key, page.records[:1])])
                if evidence:
                    evidence.add(page.records)
                if contradicts:
                    raise UnreadableError(
                        f"records turn up where all had been read, so it is not sorted by '{order.field}'"
                    )
                if is_front and not part.has_passed(floor) and (yield from self._is_all(source, page)):
                    return _Descent(pages, newest, part.low, page.count, page.total)
                if part.is_stuck:
                    yield from self._through_a_tie(source, part, order)
            if len(parts) == 1 and not part.has_passed(floor) and pages == 1 and floor == BOTTOM and not evidence:
                parts += self._cut(order, part.size, page.total or 0)
        totals = [part.total for part in parts if part.total is not None]
        rows = next((part.position for part in parts if part.ended and part.high != BOTTOM), None)
        return _Descent(pages, newest, parts[0].low, rows, min(totals, default=None))

    def _next_pages(
        self,
        source: MeteredSource,
        parts: list[ListPaginator],
        unread: list[ListPaginator],
        under_way: dict[Future[Any], ListPaginator],
    ) -> list[tuple[ListPaginator, Page]]:
        """Return the pages that come next, each with the part that it is of."""
        if len(unread) == 1 and not under_way:
            return [(unread[0], source.read(unread[0].window))]
        # A part that may have met the next one waits to see where that begins.
        unsure = [part for part, below in pairwise(parts) if below.high is None and part.position >= below.position]
        waiting = [part for part in unread if part not in (*under_way.values(), *unsure)]
        for part in waiting[: self.concurrency - len(under_way)]:
            under_way[self.source.submit(part.window)] = part
        arrived = [(under_way.pop(future), future) for future in list(self.source.wait_any(under_way))]
        return [(part, source.result(part.window, future)) for part, future in arrived]

    def _cut(self, order: Order, size: int, total: int) -> list[ListPaginator]:
        """Return the parts that a list is worth being cut into, but for the first."""
        parts = min(self.concurrency, int(total / (size * _PAGES_A_PART)))
        # The first page has been read, so that it is the rest that is shared out.
        return [self.paginator_type(order, size, size + (total - size) * number // parts) for number in range(1, parts)]

    def _contradicts(self, part: ListPaginator, order: Order, page: Page) -> bool:
        """Return whether a page shows unread records, older than the sync, where all have been read."""
        if part.high is None:
            return False
        above = takewhile(lambda record: order.key(record) > part.low, page.records)  # they fall, or are refused
        return any(
            order.key(record) < part.high and record not in self.seen and self.seen.unchanged_since_start(record)
            for record in above
        )

    def _through_a_tie(self, source: MeteredSource, part: ListPaginator, order: Order) -> Generator[Record, None, None]:
        """Bring a part past more records of one key than a page can step over, as a process launches them in bulk."""
        first = max(part.tie_begins - 1, 0) // part.size + 1
        reading = yield from repeated.agreed(
            partial(repeated.of_a_tie, source, self.seen, order, part.low, first, part.size)
        )
        part.pass_tie(reading.end)

    # In other ways

    # LIVE: a live account shows whether every list sends `meta`, and honours `page` and `per_page`; then this can go.
    def _is_all(self, source: MeteredSource, front: Page) -> Generator[Record, None, bool]:
        """Read on to learn whether the first page shows all of a list; only a page that can has that cost."""
        size, length = front.window.size, front.count
        if front.proves_end:
            return True
        if front.has_more or front.counts_behind or not length or (front.total or length) < length:
            return False
        behind = source.read(Window(2, max(size, length), front.window.sort))
        yield from self.seen.new_records(behind)
        if behind.count and self._shows_same(behind, front):
            # Paging is ignored; where only the page's number is, more may lie behind it.
            smaller = source.read(Window(1, max(length - 1, 1), front.window.sort))
            yield from self.seen.new_records(smaller)
            return self._shows_same(smaller, front)
        # More may lie behind a full page that the server does not count.
        is_uncounted = length == size and front.total is None
        if behind.count or is_uncounted or behind.pagination.per_page != front.pagination.per_page:
            return False
        # Two requests are two moments. If the first page is as it was, no other record was there in between.
        again = source.read(front.window)
        yield from self.seen.new_records(again)
        return self._shows_same(again, front) and all(map(self.seen.is_on_every_replica, front.records))

    def _shows_same(self, page: Page, other: Page) -> bool:
        ids, others = ([self.seen.identity(record) for record in each.records] for each in (page, other))
        return ids == others and page.keyless == other.keyless

    def _in_one_response(self, largest: int | None, source: MeteredSource) -> Generator[Record, None, int | None]:
        """Ask for the whole list in one response: one moment, so that nothing can be missed."""
        front = source.read(Window(1, self.size))
        yield from self.seen.new_records(front)
        if (yield from self._is_all(source, front)):
            return front.count
        if not source.has_unpaginated or (largest is not None and (front.total or 0) > largest):
            raise UnreadableError("it cannot be had in one response")
        whole = source.read(Window(1, self.size, unpaginated=True))
        yield from self.seen.new_records(whole)
        if not self._is_whole(source, whole, front):
            raise UnreadableError("the API does not send it in one response")
        return whole.count

    def _is_whole(self, source: MeteredSource, whole: Page, front: Page) -> bool:
        """Return whether a response is more than a page, since some lists ignore that it was asked for."""
        told, totals = whole.pagination, [page.total for page in (whole, front) if page.total is not None]
        is_page = whole.has_more or (told.per_page is not None and whole.count >= told.per_page)
        if is_page or whole.count < max((front.count, *totals)):
            return False
        if whole.count <= front.count and front.counts_behind:
            return False
        if not (front.count or whole.count) and front.is_below_total:
            return False
        if not front.count or (totals and whole.count > front.count):
            return True
        if whole.count == self.size:  # just a page, as long as was asked for
            return False
        # Nothing says how long the list is: its last pages have to hold the rest and no more.
        full, rest = divmod(whole.count, front.count)
        lengths = {full + 1: rest} if rest else {full: front.count, full + 1: 0}
        pages = [(source.read(Window(number, self.size)), length) for number, length in lengths.items()]
        are_right = all(
            page.count == length and all(record in self.seen for record in page.records) for page, length in pages
        )
        # Where it is a page, and the list has just come to be as long, that page shows another record now.
        return are_right and self._shows_same(source.read(whole.window), whole)

    def _until_two_readings_agree(self, source: MeteredSource) -> Generator[Record, None, int | None]:
        """Read page after page, again and again."""
        reading = yield from repeated.agreed(partial(repeated.of_everything, source, self.seen, self.size))
        return reading.end


def _unread(parts: list[ListPaginator], floor: float) -> list[ListPaginator]:
    """Return the parts that have not met the next one, or the floor."""
    below = [*(part.high for part in parts[1:]), floor]
    return [part for part, key in zip(parts, below, strict=True) if not part.has_passed(key)]
