"""Reads again what no key can prove to be complete, until two readings agree.

That is no proof, unlike that of `paginator`: a record that moves against the pages in the same way both times would be
missed. But each position is shown once, by a list that had one length from the first page to the last.
"""

from __future__ import annotations

from itertools import count, pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tap_tallyfy.reading.page import UnreadableError, Window
from tap_tallyfy.reading.paginator import TOP

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tap_tallyfy.reading.page import Page, Record, Source
    from tap_tallyfy.reading.paginator import Order

    Identity = Callable[[Record], int | str]

#: How often something is read before no two readings are expected to agree.
_MOST: Final = 4


class Reading(NamedTuple):
    """Some pages, as they were read one after the other.

    Attributes:
        pages: How many there were.
        ids: The records they showed.
        totals: The lengths that the API said the list had.
        repeats: Whether a record was shown twice.
        end: The position behind the last of these records.
    """

    pages: int
    ids: set[Any]
    totals: set[int | None]
    repeats: bool
    end: int

    def agrees_with(self, other: Reading | None) -> bool:
        """Return whether two readings show the same list at rest.

        Args:
            other: The reading before this one, if there was one.
        """
        if other is None or self.totals != other.totals or len(self.totals) > 1:
            return False
        # A record that is shown twice takes the place of one that is not shown.
        return self.ids == other.ids and not (self.repeats or other.repeats)


def agreed(read: Callable[[], Generator[Page, None, Reading | None]]) -> Generator[Page, None, Reading]:
    """Yield the pages of reading after reading, and return the one that agrees with the reading before it.

    Args:
        read: Yields the pages of a reading, and returns it, or None if it is worth nothing.

    Raises:
        UnreadableError: If no two readings agree.
    """
    before: Reading | None = None
    for _ in range(_MOST):
        reading = yield from read()
        if reading and (reading.pages == 1 or reading.agrees_with(before)):  # one page is one moment
            return reading
        before = reading
    msg = "no two readings of it agreed"
    raise UnreadableError(msg)


def of_everything(source: Source, identity: Identity, size: int) -> Generator[Page, None, Reading | None]:
    """Yield all pages of a list, and return what they were, or None if a page showed nothing that others had not.

    Args:
        source: Where pages come from.
        identity: Tells records apart.
        size: Records to ask for per page.
    """
    rows, ids, totals = 0, set[Any](), set[int | None]()
    for number in count(1):
        page = source.read(Window(number, size))
        yield page
        size = page.size_shown(size)
        here = set(map(identity, page.records))
        if here and here <= ids:
            return None
        rows += page.count
        ids |= here
        totals.add(page.pagination.total)
        if page.is_last(size):
            return Reading(number, ids, totals, repeats=rows > len(ids), end=rows)
    return None


def of_a_tie(
    source: Source, identity: Identity, order: Order, key: str, number: int, size: int
) -> Generator[Page, None, Reading | None]:
    """Yield the pages that hold the records of one key, and return what these were, or None if the list moved.

    Args:
        source: Where pages come from.
        identity: Tells records apart.
        order: The order to ask for.
        key: The key.
        number: The page to begin with; if it begins too late, those above it are read as well.
        size: Records to ask for per page.
    """
    while number > 1:
        page = source.read(Window(number, size, order.sort))
        yield page
        if any(order.key(record) > key for record in page.records):
            break
        number -= 1
    rows, ids, totals, highest = 0, set[Any](), set[int | None](), TOP
    for pages in count(1):
        page = source.read(Window(number + pages - 1, size, order.sort))
        yield page
        keys = [order.key(record) for record in page.records]
        if any(later > earlier for earlier, later in pairwise([highest, *keys])):
            return None
        here = [identity(record) for record, its_key in zip(page.records, keys, strict=True) if its_key == key]
        ends = page.is_last(size) or keys[-1] < key
        if not ends and ids.issuperset(here) and (here or pages > 1):
            return None
        rows += len(here)
        ids.update(here)
        totals.add(page.pagination.total)
        if ends:
            end = page.window.start + sum(its_key >= key for its_key in keys)
            return Reading(pages, ids, totals, repeats=rows > len(ids), end=end)
        highest = keys[-1]
    return None
