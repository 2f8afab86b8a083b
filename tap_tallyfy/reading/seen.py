"""What a sync has seen: which records it has read, and whether the API sorts by the last change at all."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tap_tallyfy.dates import earlier, newest, now, second

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tap_tallyfy.reading.page import Page

    Record = dict[str, Any]

#: A date-time before all others.
BEFORE_ALL: Final = "0001-01-01T00:00:00.000Z"
_HEX: Final = re.compile(r"[0-9a-f]{32}")


class Seen:
    """What has been read in this sync: which records, and whether they changed since.

    A record is one 128-bit number here, which keeps a set of 200,000 under 20 MB.

    Attributes:
        clock: The server's clock at the first page of the sync, or `""` before that: what is dated later may be missed.
        fell_short: Whether a list has always announced more records than it has shown in the end.
    """

    def __init__(self, key: str = "id", *, bookmark: str = "", lookback: int = 0) -> None:
        """Start with nothing read.

        Args:
            key: The field that tells records apart.
            bookmark: The date-time that all earlier changes are known from, or `""`.
            lookback: Seconds by which an answer may be behind the server's clock.
        """
        self.clock = ""
        self.fell_short = False
        self._announced: int | None = None
        self._bookmark = bookmark
        self._key = key
        self._lookback = lookback
        self._settled_before = ""
        self._before: set[int | str] = set()
        self._ids: set[int | str] = set()
        self._versions: dict[int | str, tuple[str, int]] = {}

    def take(self, page: Page) -> None:
        """Take what a page says of its list; the sync begins at its first one.

        Args:
            page: A page.
        """
        total = page.pagination.total
        if total is not None:
            self._announced = total if self._announced is None else min(self._announced, total)
        if self.clock:
            return
        # Without a clock: what is on the first page was changed before it was read, unless it is of the future.
        self.clock = page.server_time or max(newest(page.records, now()), self._bookmark) or BEFORE_ALL
        self._settled_before = earlier(self.clock, self._lookback)

    def identity(self, record: Record) -> int | str:
        """Return what tells a record apart, as a number where it is 32 hexadecimal digits: half the memory, as exact.

        Args:
            record: A normalised record.
        """
        identity: int | str = record[self._key]
        return int(identity, 16) if isinstance(identity, str) and _HEX.fullmatch(identity) else identity

    def end_list(self) -> None:
        """Count a further list from now on; what this one showed stays known."""
        self.fell_short |= (self._announced or 0) > len(self._ids)
        self._announced = None
        few, many = sorted((self._before, self._ids), key=len)
        many |= few  # not the other way round, which would copy the many
        self._before, self._ids = many, set()

    def __len__(self) -> int:
        """Return how many records have been shown so far: by this list, and by those before it."""
        return len(self._before) + len(self._ids)

    def __contains__(self, record: Record) -> bool:
        """Return whether the present list has shown this record."""
        return self.identity(record) in self._ids

    def knows(self, record: Record) -> bool:
        """Return whether any list has shown a record.

        Args:
            record: A normalised record.
        """
        key = self.identity(record)
        return key in self._ids or key in self._before

    def is_settled(self, record: Record) -> bool:
        """Return whether a record has been the same on every page of this sync.

        Args:
            record: A normalised record.
        """
        changed_at = second(record.get("last_updated") or record.get("created_at"))
        return bool(changed_at) and changed_at < self._settled_before

    def add(self, record: Record) -> bool:
        """Note a record and return whether it is new, or changed since it was last noted.

        Args:
            record: A normalised record.
        """
        key = self.identity(record)
        known = key in self._ids or key in self._before
        self._ids.add(key)
        if self.is_settled(record):
            return not known
        version = second(record.get("last_updated")), hash(msgspec.json.encode(record))
        latest = self._versions.get(key, ("", 0))
        if version == latest or version[0] < latest[0]:  # a replica that lags shows what was
            return False
        self._versions[key] = version
        return True


class SortEvidence:
    """Whether the API really sorts by the last change when it is asked to.

    Pages that happen to fall by the last change prove nothing on a server that sorts by creation. So two things are
    asked for: an order that creation cannot explain, and a list that begins at its other end when the opposite order is
    asked for. What an earlier sync has shown counts for one of them.

    Attributes:
        proven: Whether this sync or an earlier one has shown both.
    """

    def __init__(self, *, proven: bool = False, of_creation: bool = False) -> None:
        """Start with nothing seen in this sync.

        Args:
            proven: Whether an earlier sync has shown both.
            of_creation: Whether records never change, so that the order of creation is the one that is wanted.
        """
        self.proven = proven
        self._newest_first_excluded = of_creation
        self._oldest_first_excluded = of_creation

    def add(self, records: Iterable[Record]) -> None:
        """Take in a page.

        Args:
            records: Its records, in the order received.
        """
        created = [second(record["created_at"]) for record in records if record.get("created_at")]
        self._newest_first_excluded |= any(later > earlier for earlier, later in pairwise(created))
        self._oldest_first_excluded |= any(later < earlier for earlier, later in pairwise(created))

    def suffices(self, turns: Callable[[], bool]) -> bool:
        """Return whether the order can be relied on.

        Args:
            turns: Asks for the opposite order and returns whether the list begins at its other end; called only where
                the answer matters.
        """
        excluded = self._newest_first_excluded and self._oldest_first_excluded
        if not (self.proven and excluded):
            self.proven = (self.proven or excluded) and turns()
        return self.proven
