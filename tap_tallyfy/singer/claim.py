"""What is known of the claim that every change of a child dates its parent; `changed` says what that is for.

Moments are in seconds since the epoch.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from heapq import nlargest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from tap_tallyfy.api.listing import is_archived, is_completed
from tap_tallyfy.dates import to_second
from tap_tallyfy.reading.paginator import BOTTOM
from tap_tallyfy.singer.short_lists import Form

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_tallyfy.singer.bookmark import Bookmark
    from tap_tallyfy.singer.list_stream import Follows

    Record = dict[str, Any]

_HOUR: Final = 3600
#: How long a counter-example counts.
HOLD: Final = 30 * 24 * _HOUR
#: The least children, and parents of them, that must have changed more than an hour after they began.
_WITNESSES, _THEIR_PARENTS = 20, 5
#: Parents of each kind whose lists are compared, and those they are chosen from.
_SAMPLES, _CANDIDATES = 3, 12


@dataclass
class Marks:
    """What is kept from sync to sync; it does not grow with the account.

    Attributes:
        mark: Parents dated before it have been followed.
        full_at: When the last full reading began.
        before: When the last sync began.
        tried_at: When evidence was gathered last.
        counter_at: The date of the newest counter-example.
        forms: For each kind of parent, the form that shows its children.
        tie: What the evidence was gathered with, or `""` where there is none.
        pages: How many pages the full lists have.
        sort: The order by change of the parents that the server was seen to honour, or None.
    """

    mark: float = 0
    full_at: float = 0
    before: float = 0
    tried_at: float = 0
    counter_at: float = 0
    forms: dict[str, Form] = field(default_factory=dict)
    tie: str = ""
    pages: int = 0
    sort: str | None = None

    @classmethod
    def of(cls, bookmarks: Iterable[Bookmark]) -> Marks:
        """Return the least that several streams know; nothing if one knows nothing."""
        every = []
        for found in bookmarks:
            try:
                every.append(msgspec.convert(found.marks, cls))
            except msgspec.ValidationError:
                return cls()
        least = min(every, key=lambda marks: marks.mark)
        agreed = least.tie if all(each.forms == least.forms and each.tie == least.tie for each in every) else ""
        full_at, counter_at = min(each.full_at for each in every), max(each.counter_at for each in every)
        return replace(least, tie=agreed, full_at=full_at, counter_at=counter_at)


class Version(NamedTuple):
    """A state of a child.

    Attributes:
        date: When it changed last.
        content: A hash of all that it says.
    """

    date: float
    content: int


class Evidence:
    """What a full reading shows. It grows by an ID and a moment for each parent, and by each child without one.

    Attributes:
        settled: The second before which what changed is the same in every response of this sync.
        counter: The date of the newest counter-example, or 0.
        alone: The settled children without a parent, by their IDs.
    """

    def __init__(self, parents: Iterable[Record], follows: Follows, lookback: int) -> None:
        """Read the parents.

        Args:
            parents: All of them.
            follows: How children can be read by their parents.
            lookback: Seconds by which a parent may be dated before its child.
        """
        self.settled, self.counter = BOTTOM, 0.0
        self.alone: dict[Any, Version] = {}
        self._follows, self._lookback, self._witnesses = follows, lookback, Counter[str]()
        self._dates: dict[str, float] = {}
        self._most: dict[str, list[tuple[float, str]]] = {}
        for parent in parents:
            self._dates[parent["id"]] = date_of(parent)
            size = float((parent.get("progress") or {}).get("total") or 0), parent["id"]
            self._most[kind_of(parent)] = nlargest(_CANDIDATES, {*self._most.get(kind_of(parent), ()), size})
        chosen = {parent for of_kind in self._most.values() for _, parent in of_kind}
        self._shown: dict[str, dict[Any, Version]] = {parent: {} for parent in chosen}
        self._statuses: dict[str, set[Any]] = {parent: set() for parent in chosen}

    def add(self, child: Record, date: float) -> None:
        """Hold a child, dated so, against its parent."""
        parent = child.get(self._follows.key) or ""
        if date >= self.settled:
            return
        if parent not in self._dates and (not parent or self._follows.is_alone(child)):
            self.alone[child["id"]] = version_of(child, date)
            return
        began = to_second(child.get("created_at"))
        if date > self._dates.get(parent, BOTTOM) + self._lookback:
            self.counter = max(self.counter, date)
        elif date > began + _HOUR > BOTTOM and (parent in self._witnesses or len(self._witnesses) < _WITNESSES):
            self._witnesses[parent] += 1
        if parent in self._shown:
            self._shown[parent][child["id"]] = version_of(child, date)
            self._statuses[parent].add((child.get("status"), is_archived(child)))

    @property
    def suffices(self) -> bool:
        """Whether enough children have changed well after they began."""
        return self._witnesses.total() >= _WITNESSES and len(self._witnesses) >= _THEIR_PARENTS

    def samples(self) -> Iterator[tuple[str, list[tuple[str, dict[Any, Version]]]]]:
        """Yield for each kind the parents whose settled children show the most, with these children."""
        for kind, of_kind in self._most.items():
            shown = [(parent, self._shown[parent]) for _, parent in of_kind if self._shown[parent]]
            shown.sort(key=lambda each: (len(self._statuses[each[0]]), len(each[1])), reverse=True)
            if shown:
                yield kind, shown[:_SAMPLES]


def date_of(parent: Record) -> float:
    """Return when a parent says that it changed last, or `BOTTOM`."""
    return to_second(parent.get("last_updated"))


def kind_of(parent: Record) -> str:
    """Return `active`, `complete` or `archived`."""
    return "archived" if is_archived(parent) else "complete" if is_completed(parent) else "active"


def version_of(child: Record, date: float) -> Version:
    """Return the state of a child that changed then."""
    return Version(date, hash(msgspec.json.encode(child, order="deterministic")))
