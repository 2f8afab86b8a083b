"""Reads one list so that nothing is lost while people work in it.

A walk knows several ways and takes the first that works. All of them hand on what they read, so a way that turns out
not to be safe costs requests, never records. By its keys (see `paginator`) a list is read from the last change down to
the bookmark, or whole, in parts side by side, by the date of creation; more records of one second than fit on a page
are read again until two readings of them agree. Where keys prove nothing (pages of a size of their own, an order that
no field explains), the list is asked for in one answer, or all of it is read again until two readings agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Any, ClassVar, Final

from singer_sdk.exceptions import FatalSyncError

from tap_tallyfy.reading import repeated as readings
from tap_tallyfy.reading.page import UnreadableError, Window
from tap_tallyfy.reading.paginator import BOTTOM, ListPaginator

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from tap_tallyfy.reading.page import Page, Source
    from tap_tallyfy.reading.paginator import Order
    from tap_tallyfy.reading.seen import Seen, SortEvidence

    Record = dict[str, Any]

#: The longest list to ask for in one answer where nothing else helps, in records.
LARGEST_WHOLE: Final = 20_000
#: Pages that a part of a list spans at least; one request mostly reads so much of it that the next part is met.
_PAGES_A_PART: Final = 0.8
#: How often it is asked for in one answer: its length may change between the two requests that takes.
_ANSWERS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One walk through one list.

    Attributes:
        source: Where pages come from.
        seen: What this sync has read so far.
        name: What it reads, in words of the user.
        size: Records to ask for a page.
        floor: The second before which all changes are known, or `""` to read everything.
        by_change: Orders by the last change, best first, each with what is known of it.
        by_creation: Orders by a date that never changes, best first.
        whole_first: Ask for the list in one answer first.
        concurrency: Most requests to have under way at once.
        log: Where to say what is unusual.
    """

    #: What reads a part of it.
    paginator_type: ClassVar[type[ListPaginator]] = ListPaginator

    source: Source
    seen: Seen
    name: str
    size: int
    floor: str
    by_change: Mapping[Order, SortEvidence]
    by_creation: Sequence[Order]
    whole_first: bool
    concurrency: int
    log: logging.Logger

    def __iter__(self) -> Iterator[Record]:
        """Yield every record of the list that is new to this sync, or changed since it was yielded.

        Raises:
            FatalSyncError: If it cannot be shown that nothing was missed.
        """
        reasons: dict[str, None] = {}
        for way in self._ways():
            reason = yield from self._attempt(way)
            if not reason:
                return
            reasons[reason] = None
        msg = (
            f"The tap could not read all of '{self.name}' reliably: {', and '.join(reasons)};"
            " the bookmark stays where it was, so run the sync again, at a quieter time if this persists."
        )
        raise FatalSyncError(msg)

    def _attempt(self, way: Callable[[], Iterator[Record]]) -> Generator[Record, None, str]:
        """Read the list in one way, and return why that did not work, or `""`."""
        try:
            yield from way()
        except UnreadableError as why:
            self.log.info("Reading the list in another way: %s.", why)
            return str(why)
        return ""

    def _ways(self) -> Iterator[Callable[[], Iterator[Record]]]:
        if self.whole_first:
            yield partial(self._in_one_answer, None)
        by_change = [partial(self._down_to_the_floor, order, evidence) for order, evidence in self.by_change.items()]
        by_creation = [partial(self._side_by_side, order) for order in self.by_creation]
        yield from (*by_change, *by_creation) if self.floor else (*by_creation, *by_change)
        for _ in range(_ANSWERS):
            yield partial(self._in_one_answer, LARGEST_WHOLE)
        yield self._until_two_readings_agree

    # By its keys

    def _down_to_the_floor(self, order: Order, evidence: SortEvidence) -> Iterator[Record]:
        """Read from the newest change down to the floor; that alone is worth the evidence that it takes."""
        part, newest, pages = self.paginator_type(order, self.size), BOTTOM, 0
        for page in self._pages([part], order, self.floor):
            pages += 1
            newest = max([newest, *map(order.key, page.records[:1])])
            evidence.add(page.records)
            yield from self._fresh(page)
        # A list of one page was read in one moment, whatever its order.
        if not (part.ended and pages == 1) and not evidence.suffices(partial(self._turns, order, newest, part.value)):
            msg = f"nothing shows that the API sorts by '{order.field}'"
            raise UnreadableError(msg)

    def _turns(self, order: Order, newest: str, value: str) -> bool:
        """Return whether the list begins at its other end when the opposite order is asked for."""
        page = self.source.read(Window(1, self.size, order.sort.removeprefix("-")))
        keys = [order.key(record) for record in page.records]
        rises = all(earlier <= later for earlier, later in pairwise(keys))
        # Records without the date come first, or their changes would be below every floor.
        return bool(keys) and rises and BOTTOM < keys[0] <= value and keys[0] < newest

    def _side_by_side(self, order: Order) -> Iterator[Record]:
        """Read everything, in parts of which each ends where the next one began."""
        for page in self._pages([self.paginator_type(order, self.size)], order, None):
            yield from self._fresh(page)

    def _pages(self, parts: list[ListPaginator], order: Order, floor: str | None) -> Iterator[Page]:
        """Yield the pages of all parts as they come, until each part has met the next one, or the floor, or the end."""
        under_way: dict[Future[Any], ListPaginator] = {}
        while going_on := [
            part for part, below in zip_longest(parts, parts[1:]) if not part.has_passed(below.top if below else floor)
        ]:
            if len(going_on) == 1 and not under_way:
                page = self.source.read(going_on[0].window)
                yield from self._taken(going_on[0], order, page)
                if floor is None and len(parts) == 1:
                    parts += self._cut(order, parts[0].size, page.pagination.total or 0)
                continue
            # A part that may have met the next one waits to see where that begins.
            unsure = [part for part, below in pairwise(parts) if below.top is None and part.position >= below.position]
            waiting = [part for part in going_on if part not in (*under_way.values(), *unsure)]
            for part in waiting[: self.concurrency - len(under_way)]:
                under_way[self.source.submit(part.window)] = part
            for answer in self.source.wait_any(under_way):
                part = under_way.pop(answer)
                yield from self._taken(part, order, self.source.result(part.window, answer))

    def _cut(self, order: Order, size: int, total: int) -> list[ListPaginator]:
        """Return the parts that a list is worth being cut into, but for the first."""
        parts = min(self.concurrency, int(total / (size * _PAGES_A_PART)))
        # The first page has been read, so that it is the rest that is shared out.
        return [self.paginator_type(order, size, size + (total - size) * number // parts) for number in range(1, parts)]

    def _taken(self, part: ListPaginator, order: Order, page: Page) -> Iterator[Page]:
        """Yield a page, and carry a part on with it.

        Raises:
            UnreadableError: If it shows that the order is another one, whatever its keys look like.
        """
        surprises = self._surprises(part, order, page)
        yield page
        part.advance(page)
        if surprises:
            msg = f"records turn up where all had been read, so it is not sorted by '{order.field}'"
            raise UnreadableError(msg)
        if part.is_stuck:
            yield from self._through_a_tie(part, order)

    def _through_a_tie(self, part: ListPaginator, order: Order) -> Iterator[Page]:
        """Bring a part past more records of one key than a page can step over, as a process launches them in bulk."""
        first = max(part.tie_begins - 1, 0) // part.size + 1
        read = partial(readings.of_a_tie, self.source, self.seen.identity, order, part.value, first, part.size)
        reading = yield from readings.agreed(read)
        part.pass_tie(reading.end)

    def _surprises(self, part: ListPaginator, order: Order, page: Page) -> bool:
        """Return whether a page shows unread records, older than the sync, where all have been read."""
        return any(
            part.value < order.key(record) < (part.top or BOTTOM)
            and record not in self.seen
            and self.seen.is_settled(record)
            for record in page.records
        )

    # In other ways

    def _in_one_answer(self, largest: int | None) -> Iterator[Record]:
        """Ask for the whole list in one answer: one moment, so that nothing can be missed."""
        front = self.source.read(Window(1, self.size))
        yield from self._fresh(front)
        if front.is_last(front.size_shown(self.size)):
            return
        if not self.source.has_whole or (largest is not None and (front.pagination.total or 0) > largest):
            msg = "it cannot be had in one answer"
            raise UnreadableError(msg)
        whole = self.source.read(Window(1, self.size, whole=True))
        yield from self._fresh(whole)
        if not self._is_whole(whole, front):
            msg = "the API does not send it in one answer"
            raise UnreadableError(msg)

    def _is_whole(self, whole: Page, front: Page) -> bool:
        """Return whether an answer is more than a page, since some lists ignore that it was asked for."""
        totals = [page.pagination.total for page in (whole, front) if page.pagination.total is not None]
        if whole.count < max((front.count, *totals)):
            return False
        if not front.count or (totals and whole.count > front.count):
            return True
        # Nothing says how long the list is: its last page has to hold the rest and no more. A page as long as was asked
        # for is just a page.
        last = self.source.read(Window(whole.count // front.count + 1, self.size))
        ends = last.count == whole.count % front.count and all(record in self.seen for record in last.records)
        return whole.count != self.size and ends

    def _until_two_readings_agree(self) -> Iterator[Record]:
        """Read page after page, again and again."""
        for page in readings.agreed(partial(readings.of_everything, self.source, self.seen.identity, self.size)):
            yield from self._fresh(page)

    def _fresh(self, page: Page) -> Iterator[Record]:
        """Yield what a page shows for the first time, or in a new version."""
        self.seen.take(page)
        return filter(self.seen.add, page.records)
