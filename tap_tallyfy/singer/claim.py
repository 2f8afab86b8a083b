"""What is known of the claim that every change of a child dates its parent; `changed` says what that is for.

Moments are in seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from heapq import nlargest
from itertools import islice
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

from tap_tallyfy.api.listing import is_archived, is_completed
from tap_tallyfy.dates import to_second
from tap_tallyfy.reading.paginator import BOTTOM
from tap_tallyfy.records.shapes import Record
from tap_tallyfy.singer.bookmark import Bookmark
from tap_tallyfy.singer.list_stream import Follows
from tap_tallyfy.singer.short_lists import Form

_HOUR: Final = 3600
#: How long a counter-example counts.
HOLD: Final = 30 * 24 * _HOUR
#: The least children that must have changed more than an hour after they began.
WITNESSES: Final = 20
#: Parents of each kind whose lists are compared, the first of so many that say to have the most children.
_SAMPLES, _CANDIDATES = 3, 12


@dataclass
class Marks:
    """The notes kept from sync to sync; they do not grow with the account."""

    mark: float = 0  #: Parents dated before it have been followed.
    before: float = 0  #: When the last sync began.
    full_at: float = 0  #: When the last full reading began that looked for evidence.
    counter_at: float = 0  #: The date of the newest counter-example.
    tie: str = ""  #: What the evidence was gathered with, or `""` where there is none.
    forms: dict[str, Form] = field(default_factory=dict)  #: For each kind of parent, that which shows its children.
    pages: int = 0  #: How many pages the full lists have.
    sort: str | None = None  #: The order by change of the parents that the server was seen to honour.

    @classmethod
    def of(cls, bookmarks: Iterable[Bookmark]) -> Marks:
        """Return the least that several streams know; nothing if one knows nothing."""
        try:
            every = [msgspec.convert(found.marks, cls) for found in bookmarks]
        except msgspec.ValidationError:
            return cls()
        least = min(every, key=lambda marks: marks.mark)
        agree = all((each.tie, each.forms) == (least.tie, least.forms) for each in every)
        full_at, counter_at = min(each.full_at for each in every), max(each.counter_at for each in every)
        return replace(least, tie=least.tie if agree else "", full_at=full_at, counter_at=counter_at)


class Version(NamedTuple):
    """A state of a child."""

    date: float  #: When it changed last.
    content: int  #: A hash of all that it says.

    @classmethod
    def of(cls, child: Record, date: float) -> Version:
        """Return the state of a child that changed then."""
        return cls(date, hash(msgspec.json.encode(child, order="deterministic")))


class Evidence:
    """The evidence of a full reading. It grows by an ID and a moment for each parent, and by each child without one."""

    def __init__(self, parents: Iterable[Record], follows: Follows, lookback: int) -> None:
        self.counter = 0.0  #: The date of the newest counter-example.
        self.witnesses = 0  #: The children that changed well after they began, and dated their parents.
        self.alone: dict[str, Version] = {}  #: The children without a parent.
        self._follows, self._lookback, self._dates = follows, lookback, dict[str, float]()
        largest: dict[str, list[tuple[float, str]]] = {}
        for parent in parents:
            self._dates[parent["id"]] = date_of(parent)
            size = float((parent.get("progress") or {}).get("total") or 0), parent["id"]
            largest[kind_of(parent)] = nlargest(_CANDIDATES, {*largest.get(kind_of(parent), ()), size})
        self._shown: dict[str, dict[str, dict[str, Version]]] = {
            kind: {parent: {} for _, parent in of_kind} for kind, of_kind in largest.items()
        }

    def add(self, child: Record, date: float) -> None:
        """Hold a settled child, dated so, against its parent."""
        parent, began = child.get(self._follows.key) or "", to_second(child.get("created_at"))
        if parent not in self._dates and (not parent or self._follows.is_alone(child)):
            self.alone[child["id"]] = Version.of(child, date)
        elif date > self._dates.get(parent, BOTTOM) + self._lookback:
            self.counter = max(self.counter, date)
        else:
            self.witnesses += date > began + _HOUR > BOTTOM
        for shown in self._shown.values():
            if parent in shown:
                shown[parent][child["id"]] = Version.of(child, date)

    def samples(self) -> Iterator[tuple[str, Mapping[str, Mapping[str, Version]]]]:
        """Yield for each kind some parents with their children; one without children teaches nothing."""
        for kind, shown in self._shown.items():
            if some := dict(islice(filter(itemgetter(1), shown.items()), _SAMPLES)):
                yield kind, some


def date_of(parent: Record) -> float:
    """Return when a parent says that it changed last, or `BOTTOM`."""
    return to_second(parent.get("last_updated"))


def kind_of(parent: Record) -> str:
    """Return `active`, `complete` or `archived`."""
    return "archived" if is_archived(parent) else "complete" if is_completed(parent) else "active"
