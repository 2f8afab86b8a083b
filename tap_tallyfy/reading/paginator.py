"""Reads a part of a list page after page, and knows how much of it is proven to have been read.

Pages are offsets into a live list: whatever is created, changed, archived or deleted between two reads shifts the rest.
So nothing here rests on positions. One statement is kept true: *every record that has not changed since the sync began,
and whose key lies strictly between `top` and `value`, has been read.* Such a record has the same key at every moment,
and a page is one moment. So if the first record of a page sorts strictly above `value`, nothing unread hides between
what was read and the end of that page. A page has to show nothing else: it may come from any moment, any replica and
any position. Pages are asked for so that they overlap by a record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from tap_tallyfy.dates import second
from tap_tallyfy.reading.page import UnreadableError, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_tallyfy.reading.page import Page

    Record = dict[str, Any]

#: Sorts above every key.
TOP: Final = "~"
#: Sorts below every key: that of a record without the date that its list is sorted by.
BOTTOM: Final = ""

#: How many pages in a row may bring a part no further.
_PATIENCE: Final = 40
#: How many a page counts for that joins and yet shows nothing below: so will the next one, but for a change.
_DOUBTFUL: Final = 10


@dataclass(frozen=True, slots=True)
class Order:
    """An order to ask a list for, newest first.

    Attributes:
        sort: The value of the API's sort parameter.
        field: The date-time that records in this order fall by.
    """

    sort: str
    field: str

    def key(self, record: Record) -> str:
        """Return what a record sorts by, to the second.

        Args:
            record: A normalised record.
        """
        return second(record.get(self.field))


@dataclass(frozen=True, slots=True)
class _Next:
    """Where the next page should begin.

    Attributes:
        position: Where the last page that joined ended, in the list of its moment.
        overlap: Records before it that the next page has to show again: the last tie, and one above it.
        back: How many more than that, after pages that did not join.
        total: Records in the list by the last page that joined; a hint at how far to step back.
    """

    position: int
    overlap: int = 0
    back: int = 0
    total: int = 0


class ListPaginator:
    """One part of a list, read from its top down.

    Attributes:
        top: The key of its first record, or None before its first page.
        value: How far down it has been read.
        ended: Whether it has been read to the end of the list.
        size: Records a page, as far as the server was seen to send them.
    """

    def __init__(self, order: Order, size: int, position: int = 0) -> None:
        """Prepare to read from a position on.

        Args:
            order: The order to ask for.
            size: Records to ask for a page.
            position: Where in the list the part begins, from 0.
        """
        self.top: str | None = None
        self.value = TOP
        self.ended = False
        self.size = size
        self._order = order
        self._next = _Next(position)
        self._idle = 0

    @property
    def window(self) -> Window:
        """The page to ask for: of those that begin early enough, the one that reaches furthest."""
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
        return not self.ended and following.back == 0 < following.overlap and self.window.end <= following.position

    @property
    def tie_begins(self) -> int:
        """The position of the first record of the lowest key, as far as the last page shows."""
        return self._next.position - self._next.overlap + 1

    def pass_tie(self, end: int) -> None:
        """Go on behind all records of the lowest key, which have been read in another way.

        Args:
            end: The position behind them.

        Raises:
            UnreadableError: If they have no key at all.
        """
        if self.value == BOTTOM:
            msg = f"more records have no '{self._order.field}' than fit on a page"
            raise UnreadableError(msg)
        # A key between this one and that of the second before.
        self.value = f"{self.value[:-1]}{chr(ord(self.value[-1]) - 1)}{TOP}"
        self._next = replace(self._next, position=end, overlap=1, back=0)

    def has_passed(self, key: str | None) -> bool:
        """Return whether all records from here up to a key, and all that share it, have been read.

        Args:
            key: The key, or None where it is not known yet.
        """
        return self.ended or (key is not None and self.value < key)

    def advance(self, page: Page) -> None:
        """Go on, or step back, with the answer to `window`.

        Args:
            page: The answer.

        Raises:
            UnreadableError: If the list cannot be read by its keys.
        """
        keys = [self._order.key(record) for record in page.records]
        if any(later > earlier for earlier, later in pairwise(keys)):
            msg = f"it is not sorted by '{self._order.field}'"
            raise UnreadableError(msg)
        if page.count > page.window.size:
            msg = "its pages are not of the size asked for"
            raise UnreadableError(msg)
        before, joins = self.value, self._joins(page, keys)
        if self.top is None:
            self.top = TOP if page.window.page == 1 else max(keys, default=BOTTOM)
            self.size = page.size_shown(self.size)
        if joins:
            self.value = min((self.value, *keys))
            # Where the total does not agree, a further look has to show nothing new.
            nothing_new = self.value == before and keys[-1:] <= [before]
            ends = page.is_last(self.size) or (nothing_new and page.is_short(self.size) and not page.goes_on)
            # A part that begins at the bottom has nothing of its own: the one above it reads to the end.
            self.ended = self.top == BOTTOM or ends
        self._next = self._behind(page, keys) if joins else self._further_up(page)
        self._idle = 0 if self.ended or self.value < before else self._idle + (_DOUBTFUL if joins else 1)
        if self._idle > _PATIENCE:
            msg = "it changes too fast, or the API counts more records than it shows"
            raise UnreadableError(msg)

    def _joins(self, page: Page, keys: Sequence[str]) -> bool:
        """Return whether nothing unread can hide between what has been read and the end of a page."""
        return page.window.page == 1 or self.top is None or (bool(keys) and keys[0] > self.value)

    def _behind(self, page: Page, keys: Sequence[str]) -> _Next:
        overlap = 1 + sum(key <= self.value for key in keys)
        return _Next(page.window.start + page.count, overlap, total=page.pagination.total or 0)

    def _further_up(self, page: Page) -> _Next:
        fallen = self._next.total - (page.pagination.total or 0)
        return replace(self._next, back=max(2 * self._next.back, fallen, 1))
