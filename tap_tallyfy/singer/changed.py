"""Reads only the children (tasks) of parents (processes) that changed, where the data has shown that this is enough.

The claim: every change of a child dates its parent, no more than `lookback_seconds` before the child's own date. It can
be believed, never proved, so it may only save requests:

1. The bookmark moves by full readings alone: up to there every child has been sent. A second mark, about parents, moves
   with every sync. A full reading sends everything since the bookmark, so also what short ones passed over.
2. All is read if, by the server's clock, the last full reading began longer ago than `full_task_sync_hours`, or will
   have when the next sync comes, as far away as the last one was.
3. A full reading reads the parents first. A settled child that is later than its parent, or whose parent no list shows,
   ends the saving for 30 days. Without enough children that changed well after their parents began, there is none.
4. The short lists are held against the full ones, record by record: those of some parents of each kind, and that of
   children without a parent. A kind whose list has not been learned means a full reading.
5. What was learned holds for the lookback, the related data, the streams and the bookmark that it was learned with.
6. A surprise means a full reading, never a failure; one parent's 404 is passed over. Where the short way would cost
   more, all is read: one look tells. The children created and completed last must be among those read, if they changed.

Marks are kept with each stream that is made from the list; the least of them count. Moments are in seconds, as epochs.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass, field, replace
from heapq import nlargest
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tap_tallyfy.api.errors import APIError, ListRefusedError, LoginError
from tap_tallyfy.api.listing import DEFAULT, Listing, ListSource, is_archived, is_completed
from tap_tallyfy.dates import to_second
from tap_tallyfy.reading.page import UnreadListError, Window
from tap_tallyfy.reading.paginator import BOTTOM
from tap_tallyfy.reading.seen import Seen
from tap_tallyfy.singer.bookmark import Bookmark, fingerprint
from tap_tallyfy.singer.list_reading import ListReading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tap_tallyfy.reading.page import Page
    from tap_tallyfy.singer.list_stream import Follows, ListStream

    Record = dict[str, Any]

_HOUR: Final = 3600
_HOLD: Final = 30 * 24 * _HOUR
#: The least children, and parents of them, that must have changed more than an hour after their parents began.
_WITNESSES, _THEIR_PARENTS = 20, 5
#: Parents of each kind whose lists are compared, and those they are chosen from.
_SAMPLES, _CANDIDATES = 3, 12
#: Forms in which a parent's list may show its children, best first.
_FORMS: Final[Mapping[str, Mapping[str, str]]] = {"": {}, "true": {"archived": "true"}, "only": {"archived": "only"}}


class SurpriseError(Exception):
    """The short way is not open; the text says why."""


_SURPRISES: Final = (SurpriseError, APIError, UnreadListError)


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
        lookback: The `lookback_seconds` it was gathered with.
        bookmark: The bookmark that all this goes with.
        pages: How many pages the full lists have.
        sort: The order by change of the parents that the server was seen to honour, or None.
    """

    mark: float = 0
    full_at: float = 0
    before: float = 0
    tried_at: float = 0
    counter_at: float = 0
    forms: dict[str, str] = field(default_factory=dict)
    tie: str = ""
    lookback: int = 0
    bookmark: str = ""
    pages: int = 0
    sort: str | None = None

    @classmethod
    def of(cls, bookmarks: Iterable[Bookmark]) -> Marks:
        """Return the least that several streams know; nothing if one knows nothing, or was set back by hand."""
        every = []
        for found in bookmarks:
            try:
                every.append(msgspec.convert(found.marks, cls))
            except msgspec.ValidationError:
                return cls()
            if not found.value or every[-1].bookmark != found.value:
                return cls()
        least = min(every, key=lambda marks: marks.mark)
        agreed = least.tie if all(each.forms == least.forms and each.tie == least.tie for each in every) else ""
        full_at, counter_at = min(each.full_at for each in every), max(each.counter_at for each in every)
        return replace(least, tie=agreed, full_at=full_at, counter_at=counter_at)


class _Ahead:
    """The pages of a list whose first one has been asked for already."""

    def __init__(self, source: ListSource, window: Window) -> None:
        self.has_whole, self._source, self._window = source.has_whole, source, window
        self._first = source.submit(window)
        self.submit, self.wait_any, self.result = source.submit, source.wait_any, source.result

    def read(self, window: Window) -> Page:
        is_first, self._window = window == self._window, Window(0, 0)
        return self._source.result(window, self._first) if is_first else self._source.read(window)


class _Evidence:
    """What a full reading shows. It grows by an ID and two moments for each parent, and by each child without one."""

    def __init__(self, parents: Iterable[Record], follows: Follows, lookback: int) -> None:
        self.counter, self.settled = 0.0, BOTTOM
        self.alone: dict[Any, tuple[float, int]] = {}
        self._follows, self._lookback, self._witnesses = follows, lookback, Counter[str]()
        self._dates: dict[str, tuple[float, float]] = {}
        best: dict[str, list[tuple[float, str]]] = {}
        for parent in parents:
            self._dates[parent["id"]] = _changed_at(parent), to_second(parent.get("created_at"))
            count = float((parent.get("progress") or {}).get("total") or 0)
            best[kind_of(parent)] = nlargest(_CANDIDATES, [*best.get(kind_of(parent), ()), (count, parent["id"])])
        self._kept: dict[str, dict[str, list[Record]]] = {
            kind: {parent: [] for _, parent in of_kind} for kind, of_kind in best.items()
        }
        self._of_parent = {parent: kept for of_kind in self._kept.values() for parent, kept in of_kind.items()}

    def add(self, child: Record, date: float) -> None:
        """Hold a child against its parent."""
        parent = child.get(self._follows.key)
        if date >= self.settled:
            return
        if parent not in self._dates and (not parent or self._follows.is_alone(child)):
            self.alone[child["id"]] = date, hash_of(child)
            return
        changed, began = self._dates.get(parent or "", (BOTTOM, BOTTOM))
        if date > changed + self._lookback:
            self.counter = max(self.counter, date)
        elif date > began + _HOUR and (parent in self._witnesses or len(self._witnesses) < _WITNESSES):
            self._witnesses[parent] += 1
        if parent in self._of_parent:
            self._of_parent[parent].append(child)

    @property
    def suffices(self) -> bool:
        """Whether enough children have changed well after their parents began."""
        return self._witnesses.total() >= _WITNESSES and len(self._witnesses) >= _THEIR_PARENTS

    def samples(self) -> Iterator[tuple[str, list[tuple[str, list[Record]]]]]:
        """Yield for each kind the parents whose settled children show the most, with these children."""
        for kind, kept in self._kept.items():
            shown = [each for each in kept.items() if each[1]]
            shown.sort(key=lambda each: (len({child.get("status") for child in each[1]}), len(each[1])), reverse=True)
            if shown:
                yield kind, shown[:_SAMPLES]


class ChangedReading:
    """Reads the lists of a stream by the parents that changed, or whole; `ListReading` does the reading.

    Attributes:
        way: `changed` or `full`.
    """

    def __init__(
        self, reading: ListReading, parents: ListStream, follows: Follows, found: Mapping[str, Bookmark]
    ) -> None:
        """Prepare to read.

        Args:
            reading: Reads the lists of the children.
            parents: The stream of the parents; the user's filters on it play no part.
            follows: How children can be read by their parents.
            found: The bookmarks of the streams that are made from the list, by their names.
        """
        config = reading.stream.config
        self.way = "full"
        self._reading, self._stream, self._follows = reading, reading.stream, follows
        self._lookback, self._size = int(config["lookback_seconds"]), int(config["page_size"])
        self._concurrency, self._every = int(config["concurrency"]), float(config["full_task_sync_hours"]) * _HOUR
        self._marks = Marks.of(found.values())
        self._order = Bookmark(sort=self._marks.sort)
        self._parents = ListReading(parents, self._order, bare=True)
        self._tie = fingerprint([sorted(found), str(reading.endpoint.params.get("with"))])
        self._now = 0.0

    def records(self, floor: float) -> Iterator[Record]:
        """Yield what changed since the floor, and maybe more; see `ListReading.records`."""
        try:
            yield from self._short()
            self.way = "changed"
        except LoginError:
            raise
        except _SURPRISES as why:
            self._stream.logger.info("Reading all of '%s': %s.", self._stream.name, str(why).rstrip("."))
            yield from self._full(floor)

    def note(self, found: Bookmark) -> None:
        """Note in a stream's bookmark what this sync has shown, once all its rows were sent."""
        if self.way == "full":
            found.value = max(found.value, self._reading.moment)
        found.marks = asdict(replace(self._marks, bookmark=found.value, sort=self._order.sort))

    # The short way

    def _short(self) -> Iterator[Record]:
        marks, read = self._marks, set[Any]()
        self._look()
        since = marks.mark - self._lookback
        # A page shows parents below the mark as well.
        changed = [each for each in self._parents.records(since) if not BOTTOM < _changed_at(each) < since]
        if any(kind_of(parent) not in marks.forms for parent in changed):
            raise SurpriseError("no list of the tasks of such a process has been compared yet")
        self._stream.logger.info("Reading '%s' of %d changed processes.", self._stream.name, len(changed))
        for parent, child in chain(self._alone(), self._of_parents(changed)):
            date = self._date(child)
            read.add(child["id"])
            if parent and _changed_at(parent) + self._lookback < date < self._settled:
                marks.counter_at = max(marks.counter_at, date)
            yield child
        for params in self._follows.newest:
            page = self._stream.first_page(self._reading.source(DEFAULT, params=params))
            if any(since <= self._date(each) < self._settled and each["id"] not in read for each in page.records):
                marks.tie, marks.tried_at = "", 0.0
                raise SurpriseError("a task has changed without dating its process")
        marks.mark, marks.before = max(marks.mark, min(self._now, self._parents.limit)), self._now

    def _look(self) -> None:
        """Ask for one parent, as far down by the last change as a full reading has pages.

        Raises:
            SurpriseError: If the short way is not open, or would cost more.
        """
        marks = self._marks
        if not marks.full_at:
            raise SurpriseError("no sync has done so before")
        page = self._parents.source(DEFAULT).read(Window(max(marks.pages, 1), 1, marks.sort))
        self._now = page.server_time or 0.0
        if marks.tie and (marks.tie != self._tie or self._lookback < marks.lookback):
            marks.tie, marks.tried_at = "", 0.0
        if self._now - marks.counter_at < _HOLD:
            raise SurpriseError("one changed in the last 30 days without dating its process")
        if not marks.tie:
            raise SurpriseError("nothing shows yet that a change of one dates its process")
        if self._is_due(marks.full_at):
            raise SurpriseError("it is time to, by 'full_task_sync_hours'")
        if marks.sort and any(
            to_second(each.get("last_updated")) >= marks.mark - self._lookback for each in page.records
        ):
            raise SurpriseError("following each process that changed would take more requests")

    def _alone(self) -> Iterator[tuple[Record | None, Record]]:
        """Yield the children that have no parent."""
        for params in (self._follows.alone, {**self._follows.alone, "archived": "only"}):
            source = self._reading.source(Listing("alone", (params,)))
            for child in self._stream.walk(DEFAULT, source, Seen("id", lookback=self._lookback)):
                if child.get(self._follows.key) and not self._follows.is_alone(child):
                    raise SurpriseError("the list of one-off tasks shows others")
                yield None, child

    def _of_parents(self, parents: Iterable[Record]) -> Iterator[tuple[Record | None, Record]]:
        """Yield the children of some parents; the first pages of their lists are asked for side by side."""
        ahead: deque[tuple[Record, _Ahead]] = deque()
        for parent in parents:
            ahead.append((parent, self._ahead(parent["id"], self._marks.forms[kind_of(parent)])))
            if len(ahead) == self._concurrency:
                yield from self._next_children(ahead)
        while ahead:
            yield from self._next_children(ahead)

    def _next_children(self, ahead: deque[tuple[Record, _Ahead]]) -> Iterator[tuple[Record, Record]]:
        parent, source = ahead.popleft()
        try:
            yield from ((parent, child) for child in self._children(source))
        except ListRefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    def _ahead(self, parent: str, form: str) -> _Ahead:
        path = self._follows.of_parent.replace("{parent}", parent)
        return _Ahead(self._reading.source(DEFAULT, path=path, params=_FORMS[form]), Window(1, self._size))

    def _children(self, source: _Ahead) -> Iterator[Record]:
        return self._stream.walk(DEFAULT, source, Seen("id", lookback=self._lookback), by_creation=())

    # The full way

    def _full(self, floor: float) -> Iterator[Record]:
        marks, evidence = self._marks, self._gathered()
        for child in self._reading.records(floor):
            if evidence:
                evidence.add(child, self._date(child))
            yield child
        began = self._reading.clock or 0.0
        marks.pages = -(-sum(tally.rows for tally in self._reading.tallies.values()) // self._size)
        # Every child changed before that has been sent, and what changes from now on dates its parent later.
        marks.mark, marks.full_at, marks.before = self._reading.limit, began, began
        if evidence:
            self._learn(evidence, began)

    def _gathered(self) -> _Evidence | None:
        """Return evidence with the parents in it; None while it is held up, or was gathered lately."""
        marks = self._marks
        tried_at = marks.full_at if marks.tie else marks.tried_at
        if self._now and (self._now - marks.counter_at < _HOLD or not self._is_due(tried_at)):
            return None
        try:
            evidence = _Evidence(self._parents.records(BOTTOM), self._follows, self._lookback)
        except LoginError:
            raise
        except _SURPRISES:
            marks.tie, marks.tried_at = "", self._now
            return None
        evidence.settled = self._settled
        return evidence

    def _learn(self, evidence: _Evidence, began: float) -> None:
        """Judge the claim, and learn how the short lists are asked for."""
        marks = self._marks
        marks.tie, marks.forms, marks.tried_at, marks.lookback = "", {}, began, self._lookback
        if evidence.counter > began - _HOLD:
            marks.counter_at = max(marks.counter_at, evidence.counter)
            self._stream.logger.warning(
                "A change of '%s' has not dated its process, so each sync reads all of them for 30 days.",
                self._stream.name,
            )
        elif evidence.suffices and self._shows(evidence.alone, self._alone):
            marks.tie = self._tie
            for kind, samples in evidence.samples():
                for form in reversed(list(_FORMS)):
                    if all(self._agrees(parent, form, children) for parent, children in samples):
                        marks.forms[kind] = form

    def _agrees(self, parent: str, form: str, children: list[Record]) -> bool:
        wanted = {child["id"]: (self._date(child), hash_of(child)) for child in children}
        return self._shows(wanted, lambda: ((None, child) for child in self._children(self._ahead(parent, form))))

    def _shows(self, wanted: Mapping[Any, tuple[float, int]], read: Callable[[], Iterable[tuple[Any, Record]]]) -> bool:
        """Return whether a short list shows each child as the full ones did, or as it was later."""
        try:
            found = {child["id"]: (self._date(child), hash_of(child)) for _, child in read()}
        except LoginError:
            raise
        except _SURPRISES:
            return False
        return all(key in found and (found[key] == seen or found[key][0] > seen[0]) for key, seen in wanted.items())

    # Moments

    @property
    def _settled(self) -> float:
        """The second before which what changed is the same in every response of this sync."""
        return (self._parents.clock or BOTTOM) - self._lookback

    def _is_due(self, at: float) -> bool:
        """Return whether what was done then would be too old when the next sync comes."""
        return self._now + (self._now - self._marks.before) - at > self._every

    def _date(self, child: Record) -> float:
        return to_second(self._stream.changed_at(child))


def _changed_at(parent: Record) -> float:
    return to_second(parent.get("last_updated"))


def kind_of(parent: Record) -> str:
    """Return `active`, `complete` or `archived`."""
    return "archived" if is_archived(parent) else "complete" if is_completed(parent) else "active"


def hash_of(record: Record) -> int:
    """Return a hash of all that a record says."""
    return hash(msgspec.json.encode(record, order="deterministic"))
