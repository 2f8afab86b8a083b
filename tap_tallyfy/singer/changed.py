"""Reads only the children (tasks) of parents (processes) that changed, where the data has shown that this is enough.

The claim: every change of a child dates its parent, no more than `lookback_seconds` before the child's own date. It can
be believed, never proved, so it may only save requests:

1. The bookmark moves by full readings alone: up to there every child has been sent. A second mark, about parents, moves
   with every sync. A full reading sends everything since the bookmark, so also what short ones passed over.
2. All is read if, by the server's clock, the last full reading began longer ago than a setting says, or will have when
   the next sync comes, as far away as the last one was.
3. A full reading reads the parents first. A settled child that is later than its parent, or whose parent no list shows,
   ends the saving for 30 days. Without enough children that changed well after they began, there is none.
4. The short lists are held against the full ones, record by record: those of some parents of each kind, and that of
   children without a parent. A kind whose list has not been learned means a full reading.
5. What was learned holds for the lookback, the related data, the streams and the bookmark that it was learned with.
6. A surprise means a full reading, never a failure; one parent's 404 is passed over. Where the short way would cost
   more, all is read: one look tells. The children created and completed last must be among those read, if they changed.

The marks and the evidence are in `claim`, the short lists in `short_lists`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import chain

from tap_tallyfy.api.listing import DEFAULT
from tap_tallyfy.dates import to_second
from tap_tallyfy.reading.page import UnreadableError, Window
from tap_tallyfy.reading.paginator import BOTTOM
from tap_tallyfy.records.shapes import Record
from tap_tallyfy.singer.bookmark import Bookmark, fingerprint
from tap_tallyfy.singer.claim import HOLD, WITNESSES, Evidence, Marks, Version, date_of, kind_of
from tap_tallyfy.singer.list_reading import ListReading
from tap_tallyfy.singer.list_stream import Follows, ListStream
from tap_tallyfy.singer.short_lists import FORMS, NO_PARENT, SURPRISES, Form, ShortLists, SurpriseError


class ChangedReading:
    """Reads the lists of a stream by the parents that changed, or whole; `ListReading` does the reading.

    Args:
        reading: Reads the lists of the children.
        parents: The stream of the parents; the user's filters on it play no part.
        follows: How children can be read by their parents.
        found: The bookmarks of the streams that are made from the list, by their names.
    """

    def __init__(
        self, reading: ListReading, parents: ListStream, follows: Follows, found: Mapping[str, Bookmark]
    ) -> None:
        config = reading.stream.config
        self.way = "full"  #: Or `changed`.
        self._reading, self._stream, self._follows, self._of = reading, reading.stream, follows, parents
        self._lists, self._size = ShortLists(reading, follows), int(config["page_size"])
        self._lookback, self._every = int(config["lookback_seconds"]), 3600 * float(config[follows.full_after])
        self._marks = Marks.of(found.values())
        self._tie = fingerprint([sorted(found), str(reading.endpoint.params.get("with")), self._lookback])
        if self._marks.tie not in {"", self._tie}:
            self._marks.full_at = 0.0
        self._order = Bookmark(sort=self._marks.sort)
        self._parents = ListReading(parents, self._order, bare=True)
        self._now = 0.0

    def records(self, floor: float) -> Iterator[Record]:
        """Yield what changed since the floor, and maybe more; see `ListReading.records`."""
        try:
            yield from self._short()
            self.way = "changed"
        except SURPRISES as why:
            self._stream.logger.info("Reading all of '%s': %s.", self._stream.name, str(why).rstrip("."))
            yield from self._full(floor)

    def note(self, found: Bookmark) -> None:
        """Note in a stream's bookmark what this sync has shown, once all its rows were sent."""
        if self.way == "full":
            found.value = max(found.value, self._reading.moment)
        found.marks = asdict(replace(self._marks, sort=self._order.sort))

    # The short way

    def _short(self) -> Iterator[Record]:
        marks, read, shown = self._marks, set[str](), {NO_PARENT}
        changed = self._changed(marks.mark - self._lookback)
        forms = {parent: form for parent, (_, form) in changed.items()}
        for parent, child in chain(self._lists.alone(), self._lists.of_parents(forms)):
            date = self._date(child)
            if parent and max(changed[parent][0] + self._lookback, self._now - HOLD) < date < self._settled:
                self._give_up(date)
                raise SurpriseError(f"one changed, and '{self._of.name}' did not show it")
            read.add(child["id"])
            shown.add(parent)
            yield child
        if changed and shown == {NO_PARENT}:
            raise SurpriseError(f"none of the '{self._of.name}' that changed shows any '{self._stream.name}'")
        if any(
            marks.mark <= self._date(each) < self._settled and each["id"] not in read for each in self._lists.newest()
        ):
            marks.full_at = 0.0  # evidence is gathered anew
            raise SurpriseError(f"one changed, and '{self._of.name}' did not show it")
        self._move_mark(self._now)
        self._stream.logger.info(
            "Read '%s' by the %d '%s' that changed: full readings have shown that this is enough.",
            self._stream.name,
            len(changed),
            self._of.name,
        )

    def _changed(self, since: float) -> Mapping[str, tuple[float, Form]]:
        """Return the parents that changed since a moment, each with its date and the form of its list."""
        marks, name, changed = self._marks, self._of.name, dict[str, tuple[float, Form]]()
        if not marks.full_at:
            raise SurpriseError("no earlier sync under these settings has")
        listed = self._parents.records(since)
        first = next(listed, None)
        self._now = self._parents.clock or 0.0
        for is_closed, why in (
            (not self._now, "the API does not tell its time"),
            (self._now - marks.counter_at < HOLD, f"within 30 days one changed, and '{name}' did not show it"),
            (not marks.tie, f"nothing shows yet that '{name}' tell of every change"),
            (self._is_due, f"it is time to, by '{self._follows.full_after}'"),
        ):
            if is_closed:
                raise SurpriseError(why)
        for parent in chain(() if first is None else (first,), listed):
            if BOTTOM < date_of(parent) < since:  # a page shows those below as well
                continue
            form = marks.forms.get(kind_of(parent))
            if form is None:
                raise SurpriseError(f"nothing shows how to ask for those of {kind_of(parent)} '{name}'")
            changed[parent["id"]] = date_of(parent), form
            if len(changed) > marks.pages or (len(changed) == self._size and self._reaches(since)):
                raise SurpriseError(f"so many '{name}' changed that following them would cost more")
        return changed

    def _reaches(self, since: float) -> bool:
        """Return whether as many parents have changed as a full reading has pages; an unproven order may be wrong."""
        sort = self._marks.sort or next((order.sort for order in self._of.by_change), None)
        with suppress(UnreadableError):
            page = self._parents.source(DEFAULT).read(Window(self._marks.pages, 1, sort))
            return any(date_of(each) >= since for each in page.records)
        return False

    # The full way

    def _full(self, floor: float) -> Iterator[Record]:
        marks, evidence = self._marks, self._gathered()
        settled = self._settled
        for child in self._reading.records(floor):
            date = self._date(child)
            if evidence and date < settled:
                evidence.add(child, date)
            yield child
        began = self._reading.clock or 0.0
        marks.pages = -(-sum(tally.rows for tally in self._reading.tallies.values()) // self._size)
        # Every child changed before that has been sent, and what changes from now on dates its parent later.
        self._move_mark(began)
        if evidence:
            self._learn(evidence, began)

    def _gathered(self) -> Evidence | None:
        """Return evidence with the parents in it; None while it is held up, or was gathered lately."""
        marks = self._marks
        if self._now and (self._now - marks.counter_at < HOLD or not self._is_due):
            return None
        marks.tie, marks.full_at = "", self._now
        self._parents = ListReading(self._of, self._order, bare=True)
        with suppress(*SURPRISES):
            return Evidence(self._parents.records(BOTTOM), self._follows, self._lookback)
        return None

    def _learn(self, evidence: Evidence, began: float) -> None:
        """Judge the claim, and learn how the short lists are asked for."""
        marks = self._marks
        marks.full_at, marks.forms = began, {}
        if evidence.counter > began - HOLD:
            self._give_up(evidence.counter)
        elif evidence.witnesses >= WITNESSES and self._shows(evidence.alone, self._lists.alone()):
            marks.tie = self._tie
            for kind, samples in evidence.samples():
                wanted = {key: version for shown in samples.values() for key, version in shown.items()}
                lists = ((form, self._lists.of_parents(dict.fromkeys(samples, form))) for form in FORMS)
                form = next((form for form, listed in lists if self._shows(wanted, listed)), None)
                if form is not None:
                    marks.forms[kind] = form
            if self._order.sort is None:  # the next sync need not prove it
                with suppress(*SURPRISES):
                    deque(self._parents.records(self._parents.limit), maxlen=0)

    def _give_up(self, date: float) -> None:
        self._marks.counter_at = max(self._marks.counter_at, date)
        self._stream.logger.warning(
            "A change of '%s' did not date what it belongs to in '%s', so every sync reads all of them for 30 days.",
            self._stream.name,
            self._of.name,
        )

    def _shows(self, wanted: Mapping[str, Version], listed: Iterable[tuple[str, Record]]) -> bool:
        """Return whether short lists show each child as the full ones did, or as it was later."""
        with suppress(*SURPRISES):
            found = {child["id"]: Version.of(child, self._date(child)) for _, child in listed}
            return all(
                key in found and (found[key] == seen or found[key].date > seen.date) for key, seen in wanted.items()
            )
        return False

    # Moments, in seconds since the epoch

    @property
    def _settled(self) -> float:
        """The second before which what changed is the same in every response of this sync."""
        return (self._parents.clock or BOTTOM) - self._lookback

    @property
    def _is_due(self) -> bool:
        """Whether the last full reading would be too old when the next sync comes."""
        return not 0 <= self._now - self._marks.full_at <= self._every - (self._now - self._marks.before)

    def _move_mark(self, now: float) -> None:
        """Move the mark to the newest date that was read, and by the time since the last sync, but not beyond now."""
        marks = self._marks
        # Without the latter, many that changed last would be followed each time until another one changes.
        passed = now - marks.before if marks.before else 0.0
        marks.mark = min(now, max(marks.mark + passed, self._reading.limit, self._parents.limit))
        marks.before = now

    def _date(self, child: Record) -> float:
        return to_second(self._stream.changed_at(child))
