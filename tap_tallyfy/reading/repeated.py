"""Reads a list that no key can prove to be complete again, until two readings agree.

That is no proof, unlike that of `paginator`: a record that moves against the pages in the same way both times would be
missed. But each position is shown once, by a list that had one length from the first page to the last.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from itertools import count, pairwise
from typing import Any, Final, NamedTuple

from tap_tallyfy.reading.metered import MeteredSource
from tap_tallyfy.reading.page import Page, Record, UnreadableError, Window
from tap_tallyfy.reading.paginator import Order
from tap_tallyfy.reading.seen import Seen

#: How often something is read before no two readings are expected to agree.
_MOST: Final = 4
#: The shortest page that a server of one size is expected to make, in rows.
_LEAST: Final = 10


class Reading(NamedTuple):
    """Some pages, as they were read one after the other."""

    ids: set[Any]  #: The records they showed.
    totals: set[int | None]  #: The lengths that the API said the list had.
    repeats: bool  #: Whether a record was shown twice.
    end: int  #: The position behind the last of these records.
    of_one_moment: bool  #: Whether one page showed all of it.

    def agrees_with(self, other: Reading | None) -> bool:
        """Return whether two readings, one after the other, show the same list at rest."""
        if other is None or self.totals != other.totals or len(self.totals) > 1 or self.end != other.end:
            return False
        # A record that is shown twice takes the place of one that is not shown.
        return self.ids == other.ids and not (self.repeats or other.repeats)


def agreed(read: Callable[[], Generator[Record, None, Reading | None]]) -> Generator[Record, None, Reading]:
    """Yield the records of reading after reading, and return the one that agrees with the reading before it.

    Args:
        read: Yields the records of a reading, and returns it, or None if it is worth nothing.

    Raises:
        UnreadableError: If no two readings agree.
    """
    before: Reading | None = None
    for _ in range(_MOST):
        reading = yield from read()
        if reading and (reading.of_one_moment or reading.agrees_with(before)):
            return reading
        before = reading
    raise UnreadableError("no two readings of it agreed")


# LIVE: only for lists that no key puts in order; goes with the last way of `Walk`.
def of_everything(source: MeteredSource, seen: Seen, size: int) -> Generator[Record, None, Reading | None]:
    """Yield the new records of all pages of a list, and return a summary, or None if they cannot be all there is.

    A server may have a page size of its own. The first page shows it, and all others are asked for alike, so each of
    them but the last has to be as long; unless the server counts rows that the token may not see, which make any page
    short, and the list ends where they all have had their place.
    """
    rows, keyless, length = 0, 0, 0
    ids, totals = set[Any](), set[int | None]()
    for number in count(1):
        page = source.read(Window(number, size))
        yield from seen.new_records(page)
        here = set(map(seen.identity, page.records))
        counted = None if page.trusts_totals else page.pagination.total
        is_rest = rows < (number - 1) * length  # the page before was short
        is_odd = page.count > (length or page.count) or (is_rest and page.count)
        if (is_odd and counted is None) or (here and here <= ids):
            return None
        length = max(length, page.count)
        size = max(size, length)  # one that sends more than is asked for has a size of its own
        rows, keyless = rows + page.count, keyless + page.keyless
        ids |= here
        totals.add(page.total)
        # Short pages end where the total says; without one the page behind has to be empty.
        is_blank = not page.count and page.window.end >= (page.pagination.total or 0)
        is_last = is_blank or (page.count < length and rows == page.total)
        if counted is not None:
            least = length or min(size, _LEAST)  # the size that its pages have at least
            is_last = page.count < least and number * least >= counted
        if number == 1:
            is_last = page.proves_end
        if is_last:
            if page.total is not None and rows < page.total:
                return None
            repeats = rows - keyless > len(ids)
            return Reading(ids, totals, repeats, end=rows, of_one_moment=number == 1)
    return None


def of_a_tie(
    source: MeteredSource, seen: Seen, order: Order, key: float, number: int, size: int
) -> Generator[Record, None, Reading | None]:
    """Yield the new records of pages with one key, and return a summary of that key, or None if the list moved.

    Args:
        number: The page to begin with; if it begins too late, those above it are read as well.
    """
    while True:
        page = source.read(Window(number, size, order.sort))
        yield from seen.new_records(page)
        keys = [order.key(record) for record in page.records]
        if _begins_above(key, page, keys):
            break
        number -= 1
    rows, ids, totals, highest, is_rest = 0, set[Any](), set[int | None](), keys[0] if keys else key, False
    for pages in count(1):
        falls = all(later <= earlier for earlier, later in pairwise([highest, *keys]))
        if not falls or page.count > size or (is_rest and page.count):
            return None
        here = [seen.identity(record) for record, its_key in zip(page.records, keys, strict=True) if its_key == key]
        is_below = bool(keys) and keys[-1] < key
        is_last = not page.count or (page.count < size and page.end == page.total)
        if not (is_below or is_last) and ids.issuperset(here) and (here or pages > 1):
            return None
        rows += len(here)
        ids.update(here)
        totals.add(page.total)
        if is_below or is_last:
            end = page.window.start + sum(its_key >= key for its_key in keys)
            return Reading(ids, totals, rows > len(ids), end, of_one_moment=pages == 1 and is_below)
        highest, is_rest = keys[-1] if keys else highest, page.count < size
        page = source.read(Window(number + pages, size, order.sort))
        yield from seen.new_records(page)
        keys = [order.key(record) for record in page.records]
    return None


def _begins_above(key: float, page: Page, keys: Sequence[float]) -> bool:
    """Return whether a page shows itself that no record of a key lies above it."""
    return page.window.page == 1 or (bool(keys) and keys[0] > key)
