"""Which records a sync has read, and from when on it may have missed changes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from tap_tallyfy.dates import to_second, to_text
from tap_tallyfy.reading.page import Page, Record
from tap_tallyfy.reading.paginator import BOTTOM

_HEX: Final = re.compile(r"[0-9a-f]{32}")


class ListCount(NamedTuple):
    """The rows that a list has shown."""

    rows: int  #: Its records, each once.
    keyless: int  #: Its rows without a key; exact unless the list changed while it was read.
    announced: int | None  #: The smallest length that the API said it had, or None.

    @property
    def fell_short(self) -> bool:
        """Whether the API has always counted more rows than it has shown."""
        return (self.announced or 0) > self.rows + self.keyless


class Seen:
    """The records that this sync has read, and whether they changed since.

    A record is one 128-bit number here, which keeps a set of 200,000 under 20 MB.
    """

    def __init__(self, key: str = "id", *, bookmark: float = BOTTOM, lookback: int = 0) -> None:
        """Begin a sync.

        Args:
            key: The field that tells records apart.
            bookmark: The second that all earlier changes are known from, or `BOTTOM`.
            lookback: Seconds by which a response may be behind the server's clock.
        """
        #: The server's clock at the first page of the sync, in seconds since the epoch; None before that, and where the
        #: server does not say.
        self.clock: float | None = None
        #: The newest change that the sync's first page can have shown, as far as records tell; `BOTTOM` before it.
        self.newest = bookmark
        self.lists: list[ListCount] = []  #: Counts of the lists before the present one.
        self._key = key
        self._lookback = lookback
        self._has_begun = False
        #: The second before which a record must have changed last to be the same on every page of this sync.
        self.unchanged_before = BOTTOM
        self._announced: int | None = None
        self.keyless = 0  #: Rows of the present list without a key.
        self._before: set[int | str] = set()
        self._ids: set[int | str] = set()
        self._versions: dict[int | str, tuple[float, int]] = {}

    @property
    def bookmark_limit(self) -> float:
        """The second from which on the sync may have missed changes: no bookmark may lie behind it.

        The server's clock may be ahead of the dates in records, as that of another time zone is; so both have a say.
        """
        return self.newest if self.clock is None else min(self.clock, self.newest)

    def observe(self, page: Page) -> None:
        """Take in the time of a page and the length of its list; the sync begins at the first one."""
        announced = page.pagination.total
        if announced is not None:
            self._announced = announced if self._announced is None else min(announced, self._announced)
        now = time.time() if page.server_time is None else page.server_time
        # A later date is wrong. Texts of one form compare as the moments do, and faster.
        limit = to_text(now)
        dates = (record.get("last_updated") or record.get("created_at") or "" for record in page.records)
        newest = to_second(max((date for date in dates if date <= limit), default=None))
        if not self._has_begun:
            self._has_begun, self.clock = True, page.server_time
            self.newest = max(self.newest, newest)
        elif self.clock is not None and page.server_time is not None:
            # It was there at the first page, or has come in the time since.
            self.newest = max(self.newest, newest - max(page.server_time - self.clock, 0))
        self.unchanged_before = self.bookmark_limit - self._lookback

    def new_records(self, page: Page) -> Iterator[Record]:
        """Mark a page as seen, and yield the records that it shows for the first time, or in a new version."""
        self.observe(page)
        for record in page.records:
            if self.mark(record):
                yield record

    def identity(self, record: Record) -> int | str:
        """Return a record's key, as a number where it is 32 hexadecimal digits: half the memory, as exact."""
        identity: int | str = record[self._key]
        return int(identity, 16) if isinstance(identity, str) and _HEX.fullmatch(identity) else identity

    @property
    def count(self) -> ListCount:
        """The count of the present list so far."""
        return ListCount(len(self._ids), self.keyless, self._announced)

    def next_list(self) -> None:
        """Count a further list from now on; the records of this one stay known."""
        self.lists.append(self.count)
        self._announced, self.keyless = None, 0
        few, many = sorted((self._before, self._ids), key=len)
        many |= few  # not the other way round, which would copy the many
        self._before, self._ids = many, set()

    def __len__(self) -> int:
        """Return how many records have been shown so far: by this list, and by those before it."""
        return len(self._before) + len(self._ids)

    def __contains__(self, record: Record) -> bool:
        """Return whether the present list has shown this record."""
        return self.identity(record) in self._ids

    def in_any_list(self, record: Record) -> bool:
        """Return whether this list or one before it has shown a record."""
        key = self.identity(record)
        return key in self._ids or key in self._before

    def unchanged_since_start(self, record: Record) -> bool:
        """Return whether a record has been the same on every page of this sync."""
        return BOTTOM < changed_at(record) < self.unchanged_before

    def is_on_every_replica(self, record: Record) -> bool:
        """Return whether a record changed longer ago than a response may be behind; one without a date is taken to."""
        return changed_at(record) <= (BOTTOM if self.clock is None else self.clock - self._lookback)

    def mark(self, record: Record) -> bool:
        """Note a record, and return whether it is new, or has changed since it was last noted."""
        key = self.identity(record)
        known = key in self._ids or key in self._before
        self._ids.add(key)
        if self.unchanged_since_start(record):
            return not known
        version = to_second(record.get("last_updated")), hash(msgspec.json.encode(record))
        latest = self._versions.get(key, (BOTTOM, 0))
        if version == latest or version[0] < latest[0]:  # a replica lags
            return False
        self._versions[key] = version
        return True


def changed_at(record: Record) -> float:
    """Return the second when a record changed last, or came to be, or `BOTTOM`."""
    return to_second(record.get("last_updated") or record.get("created_at"))
