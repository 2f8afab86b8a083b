"""Reads one list, page by page, so that nothing is lost while people work in it.

Pages are offsets into a live list: whatever is created, changed, archived or deleted between two reads shifts the rest.
The walk keeps one statement true, and stops when it can no longer: *every record that was in the list all along and
sorts before `value` has been read*. A page carries it on in one of two ways:

- It begins with records that sort before `value` (they have been read): one response is one moment, so nothing lies
  hidden between them and the end of the page. This needs no assumption about what happened between two reads.
- It begins where the last one ended and the list has not shrunk. Newest change first, whatever enters the list goes to
  the front, so what has not been read can only have moved to later pages.

A page that does neither is followed by one that begins further up. What cannot be proven that way is counted in the
end, read in one response if the API offers it, or reported.
"""

from __future__ import annotations

import logging
import math
import re
from collections import deque
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

import msgspec
from singer_sdk.exceptions import FatalSyncError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_tallyfy.paginator import Pagination

    Record = dict[str, Any]

#: The field each order asked of the API is verified by. `-created_at` is known to be honoured, the others may be.
ORDERS: Final = {"-last_updated": "last_updated", "-updated_at": "last_updated", "-created_at": "created_at"}

#: The longest list asked for in one response, in records, when nothing else helps.
LARGEST_WHOLE: Final = 20_000

_SECOND: Final = len("2025-01-15T10:00:00")
_TOP: Final = "~"  # sorts before every date-time in a descending list
_STEPS_BACK: Final = 6
_STRETCHES: Final = 10  # planned at once, whatever the API says of how many pages there are
_HEX: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Window:
    """A page to ask for.

    Attributes:
        page: Its number, from 1.
        size: Records a page.
        sort: The order asked for, or None for the API's own.
        whole: Ask for the whole list in one response instead.
        parameters: Query parameters that single out the list.
    """

    page: int
    size: int
    sort: str | None = None
    whole: bool = False
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def start(self) -> int:
        """The position in the list its first record should have, from 0."""
        return (self.page - 1) * self.size

    @property
    def end(self) -> int:
        """The position behind its last record."""
        return self.page * self.size


@dataclass(frozen=True)
class Page:
    """A page as it was received: records of one moment.

    Attributes:
        window: What was asked for.
        records: What came, normalised, in the order received.
        pagination: Where the API says it stands.
        server_time: The server's clock when it can at the earliest have read the list, or None where it does not say.
    """

    window: Window
    records: list[Record]
    pagination: Pagination
    server_time: str | None = None


class Source(Protocol):
    """Where pages come from."""

    def read(self, window: Window) -> Page:
        """Return one page."""

    def read_ahead(self, windows: Sequence[Window]) -> Iterator[Page]:
        """Return several pages in order, so many as was agreed on under way at once, none before it is its turn."""


class OutOfOrderError(Exception):
    """The list is not in the order it was asked for."""


def second(value: str | None) -> str:
    """Return a date-time at the API's resolution, comparable as text; null sorts below everything.

    Args:
        value: A date-time in the form the tap writes, or None.
    """
    return (value or "")[:_SECOND]


class Seen:
    """What has been read in this sync: which records, and whether they changed since.

    A record is one 128-bit number here, which keeps a set of 200,000 under 20 MB.
    """

    def __init__(self) -> None:
        """Start with nothing read."""
        self._earlier: list[set[int | str]] = []
        self._ids: set[int | str] = set()
        self._contents: dict[int | str, int] = {}
        #: A change made during the sync cannot be dated before this second.
        self.since = ""

    def __len__(self) -> int:
        """Return how many distinct records the present list has shown."""
        return len(self._ids)

    def __contains__(self, record: Record) -> bool:
        """Return whether the present list has shown this record."""
        return _compact(record["id"]) in self._ids

    def next_list(self) -> None:
        """Begin to count a further list; what earlier ones showed stays known."""
        self._earlier.append(self._ids)
        self._ids = set()

    def add(self, record: Record) -> bool:
        """Note a record and return whether it is new, or changed since it was last noted.

        Args:
            record: A normalised record.
        """
        key = _compact(record["id"])
        known = key in self._ids or any(key in ids for ids in self._earlier)
        self._ids.add(key)
        changed_at = second(record.get("last_updated"))
        if changed_at and changed_at < self.since:
            return not known
        content = hash(msgspec.json.encode(record))
        changed = not known or self._contents.get(key) != content
        self._contents[key] = content
        return changed


def _compact(identity: str | int) -> int | str:
    """Return an id as a number where it is 32 hexadecimal digits, which takes half the memory and is as exact."""
    return int(identity, 16) if isinstance(identity, str) and _HEX.fullmatch(identity) else identity


@dataclass
class Evidence:
    """What the order received says about the order of the list.

    A page that happens to look sorted by `last_updated` proves nothing on a server that sorts by creation, either way.
    """

    against_newest_created_first: bool = False
    against_oldest_created_first: bool = False
    _earliest: str = _TOP
    _latest: str = ""

    def add(self, created_at: str | None) -> None:
        """Take in the next record of the list.

        Args:
            created_at: When it was created, or None.
        """
        created = second(created_at)
        if not created:
            return
        self.against_newest_created_first |= created > self._earliest
        self.against_oldest_created_first |= created < self._latest
        self._earliest = min(self._earliest, created)
        self._latest = max(self._latest, created)

    @property
    def conclusive(self) -> bool:
        """Whether creation order is ruled out."""
        return self.against_newest_created_first and self.against_oldest_created_first


@dataclass
class _Chain:
    """How far the list has been read, and what that was read off.

    Attributes:
        value: Every record that was in the list all along and sorts before this has been read.
        position: Where the page that was joined last ended, in the list of that moment.
        total: Records in the list of that moment, or None where the API does not say.
        seam: The value of that page's last record.
        tie: Ids of the records read with the seam's value: a server may order them differently on every read.
    """

    value: str = _TOP
    position: int = 0
    total: int | None = None
    seam: str = _TOP
    tie: frozenset[str] = frozenset()


class Walk:
    """One walk through one list.

    Attributes:
        total: Records in the list by the last answer, or None where the API does not say.
        proven: Whether the API was shown to sort by the last change, newest first.
        sort: The order the API followed, or None for one that no field explains.
        complete: Whether the list was read to its end rather than to the bookmark.
    """

    #: Pages read side by side for one look at the front of the list: one request in so many is the price.
    stretch: ClassVar[int] = 100

    def __init__(  # noqa: PLR0913 - what a walk depends on, each by name
        self,
        source: Source,
        seen: Seen,
        *,
        size: int,
        sorts: Sequence[str],
        bookmark: str | None = None,
        proven: bool = False,
        settled_only: bool = False,
        to_the_front: bool = False,
        whole_first: bool = False,
        ahead: int = 1,
        log: logging.Logger | None = None,
    ) -> None:
        """Prepare a walk.

        Args:
            source: Where pages come from.
            seen: What this sync has read so far.
            size: Records to ask for a page.
            sorts: Orders to ask for, best first.
            bookmark: Changes before this date-time are known, so the walk may stop there.
            proven: Whether an earlier sync has shown that the API honours the first order.
            settled_only: Records may enter the list anywhere, not only at the front: let all pages overlap.
            to_the_front: End by reading the front of the list again until it meets what was read.
            whole_first: Ask for the list in one response first, and for pages only if that is ignored.
            ahead: Pages the source reads side by side, where that is safe.
            log: Where to say what is unusual.
        """
        self._source = source
        self._seen = seen
        self._size = size
        self._sorts = sorts
        self._bookmark = second(bookmark)
        self._remembered = proven
        self._overlap_always = settled_only
        self._to_the_front = to_the_front
        self._whole_first = whole_first
        self._ahead = ahead
        self._log = log or logging.getLogger(__name__)
        self._restart()
        self._unsure = ""
        self._totals: set[int | None] = set()
        self._most = 0
        self._round: list[str] | None = None
        self._agreed = False
        self._flexible = True
        self._began = ""
        self.total: int | None = None
        self.sort: str | None = None
        self.proven = False
        self.complete = False

    def _restart(self) -> None:
        self._chain = _Chain()
        self._evidence = Evidence()
        self._finished = False
        self._back = 0
        self._steps = 0
        self._stale = 0
        self._largest = 0
        self._last_ids: frozenset[str] = frozenset()
        self._joined_ids: frozenset[str] = frozenset()
        self._head: frozenset[tuple[str, str]] = frozenset()
        self._front_ids: frozenset[str] = frozenset()
        self._newest = ""
        self._responsive: bool | None = None
        self._overlap = False
        self._linkable = True
        self._key: str | None = None

    # The walk

    def __iter__(self) -> Iterator[Record]:
        """Yield every record of the list that is new to this sync or changed since it was yielded.

        Raises:
            FatalSyncError: If it cannot be shown that nothing was missed.
        """
        if self._whole_first:
            page = self._source.read(Window(1, self._size, self._sorts[0], whole=True))
            yield from self._take_whole(page)
            if is_whole(page):
                self.complete = True
                return
            self._log.warning("The API ignores 'without_pagination'; the list is read in pages.")
        for sort in self._sorts:
            try:
                yield from self._walk(sort, ORDERS.get(sort))
                break
            except OutOfOrderError:
                self._log.info("The API does not sort by '%s'; it is asked for another order.", sort)
        else:
            yield from self._walk(self._sorts[-1], None)
        if self.complete:
            yield from self._account()

    def _walk(self, sort: str, key: str | None) -> Iterator[Record]:
        self._restart()
        self.sort, self._key = sort, key
        self._overlap = self._overlap_always or key != "last_updated"
        while not self._finished:
            if self._may_stop():
                self.proven = True
                return
            windows = self._stretch()
            yield from self._read_stretch(windows) if windows else self._take(self._source.read(self._next()))
        self.complete = True
        if key is None:
            self._unsure = self._unsure or "it is in no order that explains itself"
        worth_knowing = self._chain.position > self._size and not self._to_the_front and self._key == "last_updated"
        self.proven = worth_knowing and self._evidence.conclusive and (self._remembered or self._answers_to_order())

    def _take(self, page: Page) -> Iterator[Record]:
        """Yield what is new on a page, and carry the chain on with it or step back."""
        page = self._as_sent(page)
        self._began = self._began or second(page.server_time)
        if self._round is not None:
            self._round += [record["id"] for record in page.records]
        joins, before = self._joins(page), (self._chain.value, len(self._seen))
        ids = frozenset(record["id"] for record in page.records)
        repeats = bool(ids) and ids == self._last_ids and page.window.start >= self._chain.position
        for record in page.records:
            if record not in self._seen:
                self._evidence.add(record.get("created_at"))
            if self._seen.add(record):
                yield record
        self._note_total(page)
        self._overlap = self._overlap or self.total is None  # without a total, nothing says that the list shrank
        self._stale = self._stale + 1 if repeats else 0
        self._last_ids = ids
        if self._stale > _STEPS_BACK:
            self._unsure = "the API sends the same records on page after page"
            self._finished = True
        elif joins:
            self._advance(page)
        else:
            self._step_back(page)
        if before != (self._chain.value, len(self._seen)):
            self._steps = 0

    def _note_total(self, page: Page) -> None:
        self.total = page.pagination.total
        self._totals.add(self.total)
        self._most = max(self._most, self.total or 0)

    def _as_sent(self, page: Page) -> Page:
        """Return a page under the size the server really uses."""
        window, count = page.window, page.pagination.count
        if count == window.size or (count < window.size and not page.pagination.more_after(window.page, window.size)):
            return page
        if window.page == 1 and window.size == self._size:
            self._size = count  # the server's own page size: it caps what is asked for, or ignores it
            return replace(page, window=replace(window, size=count))
        if window.size != self._size and count != 0:
            self._flexible = False  # it sends one size whatever is asked for
        return page

    # What carries the chain on

    def _value(self, record: Record) -> str:
        return second(record.get(self._key or ""))

    def _joins(self, page: Page) -> bool:
        """Return whether nothing can lie hidden between what has been read and the end of this page.

        Raises:
            OutOfOrderError: If the list is not in the order it was asked for.
        """
        values = [self._value(record) for record in page.records]
        if self._key and any(after > before for before, after in pairwise(values)):
            raise OutOfOrderError
        if page.window.page == 1:
            return True
        before, now = self._chain.total, page.pagination.total
        shrunk = before is not None and now is not None and now < before
        if not values:
            return not shrunk and (page.window.start >= (now or math.inf) or self._gives_up())
        if self._key is None:
            return page.records[0]["id"] in self._joined_ids or self._gives_up(at_once=not self._linkable)
        # What is unsure is settled in the end: stepping back would prove no more.
        return self._overlaps(page, values) or bool(self._unsure) or (not shrunk and self._adjoins(page, values))

    def _overlaps(self, page: Page, values: Sequence[str]) -> bool:
        """Return whether a page begins with records that sort before all that is unread, and have been read.

        Raises:
            OutOfOrderError: If it begins with others, that cannot have got there during the sync.
        """
        above = [record for record, value in zip(page.records, values, strict=True) if value > self._chain.value]
        known = [record in self._seen for record in above]
        if not all(seen or self._touched(record) for record, seen in zip(above, known, strict=True)):
            raise OutOfOrderError
        return any(known)

    def _adjoins(self, page: Page, values: Sequence[str]) -> bool:
        """Return whether a page of a list that has not shrunk begins where the last one ended."""
        chain = self._chain
        if page.window.start > chain.position:
            return False
        # What enters the list now may sort in between records of this very second.
        live_tie = values[0] == chain.seam >= (self._began or self._newest)
        if live_tie or any(record["id"] in chain.tie for record in page.records):
            return self._gives_up()
        if self._overlap and not self._linkable and not self._back:
            self._unsure = "its pages could not be made to overlap"
            return True
        if page.pagination.total is None:
            return self._gives_up()
        return not (self._overlap or self._back) or self._steps >= _STEPS_BACK

    def _touched(self, record: Record) -> bool:
        """Return whether a record may have changed since the sync began, which moves it to the front."""
        return bool(self._began) and second(record.get("last_updated")) >= self._began

    def _gives_up(self, *, at_once: bool = False) -> bool:
        """Return whether no further step back would help: then it must be shown in the end that nothing was missed."""
        if self._steps < _STEPS_BACK and not at_once:
            return False
        self._unsure = self._unsure or "its records changed places while it was read"
        return True

    def _advance(self, page: Page) -> None:
        chain, window = self._chain, page.window
        count = page.pagination.count
        if page.pagination.total is None and page.pagination.paged:
            # A short page, of a size the server is known to send or says it does, is the last.
            known_size = max(self._largest, page.pagination.per_page or 0)
            more = bool(count) and (page.pagination.next_link or not count < window.size <= known_size)
        else:
            more = page.pagination.more_after(window.page, window.size)
        self._largest = max(self._largest, count)
        if page.records and self._key:
            last = self._value(page.records[-1])
            tie = frozenset(record["id"] for record in page.records if self._value(record) == last)
            chain.tie = tie | chain.tie if last == chain.seam else tie
            chain.seam = last
            chain.value = min(chain.value, last)
        chain.position = window.end if more else window.start + count
        chain.total = page.pagination.total
        self._joined_ids = frozenset(record["id"] for record in page.records)
        self._back = 0
        self._finished = not more
        if window.page == 1:
            self._head = _fingerprint(page)
            self._front_ids = self._front_ids | self._joined_ids
            self._newest = self._newest or (self._value(page.records[0]) if page.records else "")

    def _step_back(self, page: Page) -> None:
        before, now = self._chain.total, page.pagination.total
        fallen = 0 if before is None or now is None else max(before - now, 0)
        self._steps += 1
        self._back = max(2 * self._back, fallen + len(self._chain.tie), 1)

    # Which page comes next

    def _next(self) -> Window:
        chain = self._chain
        if self._back or (self._overlap and chain.position):
            behind = self._back or (len(chain.tie) if self._key else 0)
            window = self._across(max(chain.position - behind - 1, 0))
            self._linkable = window.end > chain.position
            if self._back or self._linkable:
                return window
        return Window(chain.position // self._size + 1, self._size, self.sort)

    def _across(self, position: int) -> Window:
        """Return the page that holds a position and reaches furthest beyond it: other sizes have other boundaries."""
        smallest = max(self._size // 2, 1) if self._flexible else self._size
        sizes = range(self._size, smallest - 1, -1)
        return max((Window(position // size + 1, size, self.sort) for size in sizes), key=lambda window: window.end)

    # Pages side by side

    def _stretch(self) -> list[Window]:
        """Return the pages to read side by side, or none where the next one has to be known first."""
        chain = self._chain
        stops_early = self._bookmark and self._key == "last_updated"
        if self._ahead == 1 or self._back or not chain.position or chain.total is None or not self._key or stops_early:
            return []
        windows: list[Window] = []
        position = chain.position
        most = self.stretch if self._overlap else _STRETCHES * self.stretch
        while position < chain.total and len(windows) < most:
            if self._overlap:
                # Two records more than must overlap, so that one or two deletions do not break the chain.
                window = self._across(max(position - len(chain.tie) - 3 if not windows else position - 3, 0))
                if window.end <= position:
                    return []
            else:
                window = Window(position // self._size + 1, self._size, self.sort)
            windows.append(window)
            position = window.end
        return windows if len(windows) > 1 else []

    def _read_stretch(self, windows: Sequence[Window]) -> Iterator[Record]:
        yield from self._read_overlapping(windows) if self._overlap else self._read_still(windows)

    def _read_overlapping(self, windows: Sequence[Window]) -> Iterator[Record]:
        for page in self._source.read_ahead(windows):
            yield from self._take(page)
            if self._back or self._finished:
                return

    def _read_still(self, windows: Sequence[Window]) -> Iterator[Record]:
        """Read pages that prove something only if the list stands still, which looks at its front have to show."""
        head, total = self._head, self._chain.total
        front = Window(1, self._size, self.sort)
        # A look vouches for what was answered when it was asked for: not for the pages that were under way with it.
        before = deque([replace(self._chain)], maxlen=self._ahead)
        vouched = before[0]
        for page in self._read_with_looks(windows, front):
            if page.window.page > 1:
                yield from self._take(page)
                before.append(replace(self._chain))
                still = page.pagination.total == total and not self._back
            else:
                yield from (record for record in page.records if self._seen.add(record))
                still = page.pagination.total == total and _fingerprint(page) == head
                vouched = before[0] if still else vouched
            if not still:
                # Something moved: what nothing vouches for is read again, with overlaps, which need no stillness.
                self._chain, self._back, self._steps = vouched, 0, 0
                self._finished = False
                self._overlap = True
                return

    def _read_with_looks(self, windows: Sequence[Window], front: Window) -> Iterator[Page]:
        planned = list(windows)
        for looks, position in enumerate(range(self.stretch, len(windows), self.stretch)):
            planned.insert(position + looks, front)
        for page in self._source.read_ahead(planned):
            yield page
            if self._finished:
                break
        yield self._source.read(front)

    # Stopping at the bookmark

    def _may_stop(self) -> bool:
        """Return whether all that lies ahead is known from earlier syncs: past the bookmark, in a sure order."""
        if not self._bookmark or self._key != "last_updated" or self._unsure or not self._chain.position:
            return False
        if not "" < self._chain.value < self._bookmark:
            return False
        conclusive = self._evidence.conclusive
        if self._remembered and conclusive:
            return True
        return (self._remembered or conclusive) and self._answers_to_order()

    def _answers_to_order(self) -> bool:
        """Return whether the API, asked for the opposite order, begins at the other end. One request, once a walk."""
        if self._responsive is None and self.sort:
            records = self._source.read(Window(1, self._size, self.sort.removeprefix("-"))).records
            values = [self._value(record) for record in records]
            rising = all(before <= after for before, after in pairwise(values))
            other_end = bool(records) and values[0] <= self._chain.value and records[0]["id"] not in self._front_ids
            self._responsive = rising and other_end and values[0] < self._newest
        return bool(self._responsive)

    # Accounting for the total

    def _account(self) -> Iterator[Record]:
        """Make sure of a list that was read to its end, by what it takes.

        Raises:
            FatalSyncError: If nothing helps.
        """
        if self._to_the_front and self._chain.position > self._size:
            yield from self._read_front()
        for resort in (self._read_front, self._read_whole, self._again, self._again, self._again):
            if self._accounts_for_total():
                return
            yield from resort()
        if not self._accounts_for_total():
            reason, read = self._unsure or "the API announced more records than it showed", len(self._seen)
            msg = (
                f"The list could not be read reliably: {reason} ({read} records read, {self.total} announced);"
                " the bookmark stays where it was, so run the sync again, at a quieter time if this goes on."
            )
            raise FatalSyncError(msg)

    def _accounts_for_total(self) -> bool:
        """Return whether what was read makes up for the longest the list has been, or two walks agreed on it."""
        return self._agreed if self._unsure else len(self._seen) >= self._most

    def _read_front(self) -> Iterator[Record]:
        """Read from the front until a page shows what was read before: all that entered meanwhile lies before that."""
        before: frozenset[tuple[str, str]] = frozenset()
        for number in range(1, math.ceil((self.total or 0) / self._size) + 2):
            page = self._source.read(Window(number, self._size, self.sort))
            met = any(record in self._seen and not self._touched(record) for record in page.records)
            yield from (record for record in page.records if self._seen.add(record))
            self._note_total(page)
            if met or not page.records or _fingerprint(page) == before:
                return
            before = _fingerprint(page)

    def _read_whole(self) -> Iterator[Record]:
        """Ask for the list in one response: one moment, so that there is nothing left to account for."""
        if (self.total or 0) <= LARGEST_WHOLE:
            page = self._source.read(Window(1, self._size, self.sort, whole=True))
            yield from self._take_whole(page)
            if is_whole(page):
                self._unsure, self._most = "", 0

    def _take_whole(self, page: Page) -> Iterator[Record]:
        yield from (record for record in page.records if self._seen.add(record))

    def _again(self) -> Iterator[Record]:
        """Walk the list again: two walks that agree, with a total that never moved, have seen the same list."""
        known, before, self._round = len(self._seen), self._round, []
        self._unsure, self.complete = "", False
        self._totals.clear()
        self._most = 0
        try:
            yield from self._walk(self.sort or "", self._key)
        except OutOfOrderError:
            self._unsure = "its order changed while it was read"
        still = len(self._seen) == known and len(self._totals) == 1
        self._agreed = still and (self.total == len(set(self._round)) or self._round == before)
        self.complete = True


def is_whole(page: Page) -> bool:
    """Return whether a response to a request without pagination is the whole list.

    Args:
        page: The response; a server that ignores the request sends its first page.
    """
    pagination = page.pagination
    return not pagination.paged or (pagination.total is not None and pagination.count >= pagination.total)


def _fingerprint(page: Page) -> frozenset[tuple[str, str]]:
    return frozenset((record["id"], record.get("last_updated") or "") for record in page.records)


def newest(records: Iterable[Record]) -> str:
    """Return the latest `last_updated` of some records, or `""`.

    Args:
        records: Normalised records.
    """
    return max((record.get("last_updated") or "" for record in records), default="")
