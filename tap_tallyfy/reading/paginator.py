"""Reads a part of a list page after page, and knows how much of it is proven to have been read.

Pages are offsets into a live list: whatever is created, changed, archived or deleted between two reads shifts the rest.
So nothing here rests on positions. One statement is kept true: *every record that has not changed since the sync began,
and whose key lies strictly between `high` and `low`, has been read.* Such a record has the same key at every moment,
and a page is one moment. So if the first record of a page sorts strictly above `low`, nothing unread hides between
the records read before and the end of that page. A page has to show nothing else: it may come from any moment, any
replica and any position. Pages are asked for so that they overlap by a record.

A short page shows the end of the list only if the server made it of the size asked for. Servers round and cap sizes
without saying so, and may begin to in the middle. So the first page is asked for in the same size afterwards: it has to
come full.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from tap_tallyfy.dates import to_second
from tap_tallyfy.reading.page import Page, Record, UnreadableError, Window

#: Sorts above every key.
TOP: Final = math.inf
#: Sorts below every key: that of a record without the date that its list is sorted by.
BOTTOM: Final = -math.inf
#: Keys are whole seconds, so that this lies between one and the next.
_BETWEEN: Final = 0.5

#: How many pages in a row may bring a part no further.
_PATIENCE: Final = 40
#: How many a page counts for that joins and yet shows nothing below: so will the next one, but for a change.
_DOUBTFUL: Final = 10


@dataclass(frozen=True, slots=True)
class Order:
    """An order to ask a list for, newest first."""

    sort: str  #: The value of the API's sort parameter.
    field: str  #: The date-time that records in this order fall by.

    def key(self, record: Record) -> float:
        """Return the second that a record sorts by, since the epoch, or `BOTTOM`."""
        return to_second(record.get(self.field))


@dataclass(frozen=True, slots=True)
class _Next:
    """Where the next page should begin."""

    position: int  #: Where the last page that joined ended, in the list of its moment.
    overlap: int = 0  #: Rows before it that the next page has to show again: the last tie, and one above it.
    back: int = 0  #: How many more than that, after pages that did not join.
    total: int = 0  #: Rows in the list by the last page that joined; a hint at how far to step back.
    window: Window | None = None  #: The last page that joined.

    @property
    def tie_begins(self) -> int:
        """The position of the first record of the lowest key."""
        return self.position - self.overlap + 1


@dataclass(frozen=True, slots=True)
class _ShortPage:
    """A short page: the end of the list, or a page of another size than was asked for."""

    size: int  #: The size asked for.
    is_last: bool  #: Whether it shows the end if it was made of that size.


class ListPaginator:
    """One part of a list, read from its top down."""

    def __init__(self, order: Order, size: int, position: int = 0) -> None:
        self.high: float | None = None  #: The key of its first record, or None before its first page.
        self.low: float = TOP  #: How far down it has been read.
        self.ended = False  #: Whether it has been read to the end of the list.
        self.size = size  #: Rows a page, as far as the server was seen to send them.
        #: The smallest length of the list that a page which joined has announced, or None.
        self.total: int | None = None
        self._order = order
        self._next = _Next(position)
        self._short: _ShortPage | None = None
        self._idle = 0

    @property
    def window(self) -> Window:
        """The page to ask for: of those that begin early enough, the one that reaches furthest."""
        if self._short:
            return Window(1, self._short.size, self._order.sort)
        start = max(self._next.position - self._next.overlap - self._next.back, 0)
        # Pages of other sizes have other boundaries.
        sizes = range(self.size, max(self.size // 2, 1) - 1, -1)
        return max((Window(start // size + 1, size, self._order.sort) for size in sizes), key=lambda each: each.end)

    @property
    def position(self) -> int:
        """How far down it has been read, in the list of the last page that joined."""
        return self._next.position

    @property
    def is_stuck(self) -> bool:
        """Whether more records of one key lie here than the next page can step over."""
        following = self._next
        if self.ended or self._short:
            return False
        return following.back == 0 < following.overlap and self.window.end <= following.position

    @property
    def tie_begins(self) -> int:
        """The position of the first record of the lowest key, as far as the last page shows."""
        return self._next.tie_begins

    def pass_tie(self, end: int) -> None:
        """Go on at a position behind all records of the lowest key, which have been read in another way.

        Raises:
            UnreadableError: If they have no key at all.
        """
        if self.low == BOTTOM:
            raise UnreadableError(f"more records have no '{self._order.field}' than fit on a page")
        self.low -= _BETWEEN
        self._next = replace(self._next, position=end, overlap=1, back=0)

    def has_passed(self, key: float | None) -> bool:
        """Return whether all records up to a key, and all that share it, have been read; None is no key yet."""
        return self.ended or (key is not None and self.low < key)

    def advance(self, page: Page) -> None:
        """Go on, or step back, with the page that was asked for by `window`.

        Raises:
            UnreadableError: If the list cannot be read by its keys.
        """
        keys = [self._order.key(record) for record in page.records]
        if any(later > earlier for earlier, later in pairwise(keys)):
            raise UnreadableError(f"it is not sorted by '{self._order.field}'")
        if page.count > page.window.size:
            raise UnreadableError("its pages are not of the size asked for")
        if page.window.page == 1 and page.proves_end:
            self._finish(page, keys)
        elif self._short:
            self._settle(self._short, page)
        elif self.high is None:
            self._begin(page, keys)
        elif self._joins(page, keys):
            self._join(page, keys)
        else:
            self._step_back(page)
        if self._idle > _PATIENCE:
            raise UnreadableError("it changes too fast, or the API counts more records than it shows")

    def _finish(self, page: Page, keys: Sequence[float]) -> None:
        """Take in a page that is the whole list."""
        self.high, self.ended = TOP, True
        self._go_on(page, keys)

    def _begin(self, page: Page, keys: Sequence[float]) -> None:
        """Take in the first page, which always counts."""
        is_front = page.window.page == 1
        self.high = TOP if is_front else max(keys, default=BOTTOM)
        if is_front:
            # Nobody has said that a short one is all there is, so the server may send no more than that.
            self.size = min(self.size, page.count or self.size)
        if keys:
            self._go_on(page, keys)
            if not is_front and page.count < page.window.size:
                self._short = _ShortPage(page.window.size, is_last=page.end == page.total)
        else:
            # A part that begins at the bottom has nothing of its own: the one above it reads to the end.
            self.ended = self.high == BOTTOM

    def _joins(self, page: Page, keys: Sequence[float]) -> bool:
        """Return whether nothing unread can hide between the pages before and the end of this one."""
        return bool(keys) and (page.window.page == 1 or keys[0] > self.low)

    def _join(self, page: Page, keys: Sequence[float]) -> None:
        """Go on with a page that joins."""
        if page.count < page.window.size:
            self._short = _ShortPage(page.window.size, is_last=self._looks_last(page, keys))
        self._idle = 0 if keys[-1] < self.low else self._idle + _DOUBTFUL
        self._go_on(page, keys)

    def _looks_last(self, page: Page, keys: Sequence[float]) -> bool:
        """Return whether a page is the last one, provided that it is of the size asked for.

        A total may be counted at another moment than the rows, so that it may only object, or agree. Without one the
        page has to show where it stands: it reaches down to the last tie, which lies where it lay before.
        """
        if page.pagination.per_page is not None and page.count >= page.pagination.per_page:
            return False  # it is full, as the server itself says
        if page.counts_behind:
            return False
        if page.total is not None and page.end <= page.total:
            return page.end == page.total
        if page.window == self._next.window:
            return False  # a page that is short again says nothing new of where it stands
        stands = page.window.start + sum(key > self.low for key in keys) == self._next.tie_begins
        return stands and keys[-1] - _BETWEEN <= self.low

    def _settle(self, short: _ShortPage, page: Page) -> None:
        """Take in the first page in the size of a short one: a server that honours the size fills it."""
        self._short = None
        if page.count < short.size:
            raise UnreadableError("its pages are not of the size asked for")
        self.ended = short.is_last

    def _go_on(self, page: Page, keys: Sequence[float]) -> None:
        self.low = min([self.low, *keys[-1:]])
        overlap = 1 + sum(key <= self.low for key in keys) + page.keyless
        self._next = _Next(page.end, overlap, total=page.total or 0, window=page.window)
        if page.total is not None:
            self.total = min(page.total, self.total if self.total is not None else page.total)

    def _step_back(self, page: Page) -> None:
        fallen = self._next.total - (page.total or 0)
        self._next = replace(self._next, back=max(2 * self._next.back, fallen, 1))
        self._idle += 1
