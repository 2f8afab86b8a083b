"""Records held in memory, with sorted views that follow every change."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from random import Random

_MOST_VIEWS = 32


@dataclass(frozen=True)
class Record:
    """One record: what the API sends, and what it knows but sends only on request. Neither dict is ever changed."""

    id: str
    sent: dict[str, Any]
    hidden: dict[str, Any]


class View:
    """The records that match a predicate, in one order; ties are ordered by id."""

    def __init__(
        self,
        records: Iterable[Record],
        matches: Callable[[Record], bool],
        sort_key: Callable[[Record], Any],
    ) -> None:
        """Filter and sort the records."""
        self._matches = matches
        self._sort_key = sort_key
        self._rows: list[tuple[Any, str]] = sorted(
            (sort_key(record), record.id) for record in records if matches(record)
        )

    def __len__(self) -> int:
        """How many records match."""
        return len(self._rows)

    def ids(self, start: int, stop: int, shuffle: Random | None = None) -> list[str]:
        """The ids at these places, with equal sort values shuffled if asked."""
        rows = self._rows[start:stop]
        if shuffle is None or not rows:
            return [row[1] for row in rows]
        # Whole groups of equals, so that a row can also move to or from the neighbouring pages.
        first = bisect_left(self._rows, (rows[0][0],))
        last = bisect_right(self._rows, rows[-1][0], key=itemgetter(0))
        shuffled: list[str] = []
        for _, group in groupby(self._rows[first:last], key=itemgetter(0)):
            ids = [row[1] for row in group]
            shuffle.shuffle(ids)
            shuffled += ids
        return shuffled[start - first : start - first + len(rows)]

    def pick(self, random: Random) -> str:
        """The id of any of them."""
        return self._rows[random.randrange(len(self._rows))][1]

    def replace(self, old: Record | None, new: Record | None) -> None:
        """Follow one change of a record."""
        if old is not None and self._matches(old):
            del self._rows[bisect_left(self._rows, (self._sort_key(old), old.id))]
        if new is not None and self._matches(new):
            insort(self._rows, (self._sort_key(new), new.id))


class Collection:
    """The records behind one list; hold `lock` for anything that takes more than one call."""

    def __init__(self, records: Iterable[Record], lock: threading.RLock | None = None) -> None:
        """Take the records; of two with one id the last counts. Collections that change together share a lock."""
        self.lock = lock or threading.RLock()
        self.version = 0
        self.records = {record.id: record for record in records}
        self._views: dict[Hashable, View] = {}
        self._encoded: dict[str, bytes] = {}
        self._encoding: Hashable = None

    def put(self, record: Record) -> None:
        """Add or replace a record."""
        with self.lock:
            self._change(self.records.get(record.id), record)
            self.records[record.id] = record

    def remove(self, record_id: str) -> None:
        """Remove a record; KeyError if there is none."""
        with self.lock:
            self._change(self.records.pop(record_id), None)

    def view(
        self,
        key: Hashable,
        matches: Callable[[Record], bool],
        sort_key: Callable[[Record], Any],
    ) -> View:
        """The view with this key, built at its first use."""
        view = self._views.pop(key, None) or View(self.records.values(), matches, sort_key)
        self._views[key] = view
        if len(self._views) > _MOST_VIEWS:
            del self._views[next(iter(self._views))]
        return view

    def encoded(self, ids: list[str], encoding: Hashable, encode: Callable[[Record], bytes]) -> list[bytes]:
        """The records with these ids as bytes, encoded once for as long as nothing changes."""
        if encoding != self._encoding:
            self._encoded.clear()
            self._encoding = encoding
        known = self._encoded
        for record_id in ids:
            if record_id not in known:
                known[record_id] = encode(self.records[record_id])
        return [known[record_id] for record_id in ids]

    def _change(self, old: Record | None, new: Record | None) -> None:
        self.version += 1
        if old is not None:
            self._encoded.pop(old.id, None)
        for view in self._views.values():
            view.replace(old, new)
