"""A list that several streams are made from, and one reading of it for all of them.

The SDK syncs one stream after the other, parents first. The first selected one reads the list; the rows of the others
wait in a file until it is their turn. A reading is a value of one sync: the next sync makes a new one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

import msgspec
from singer_sdk.exceptions import AbortedSyncFailedException, FatalAPIError, FatalSyncError
from singer_sdk.singerlib.messages import ActivateVersionMessage
from typing_extensions import override

from tap_tallyfy.api.secrets import listed
from tap_tallyfy.dates import to_second
from tap_tallyfy.reading.page import UnreadableError, UnreadListError
from tap_tallyfy.reading.paginator import BOTTOM
from tap_tallyfy.records.contract import EXTRA
from tap_tallyfy.records.nested import Misfit
from tap_tallyfy.records.shapes import Record
from tap_tallyfy.singer import bookmark, deletions
from tap_tallyfy.singer.base import StreamsOfList, TallyfyStream
from tap_tallyfy.singer.bookmark import Bookmark
from tap_tallyfy.singer.changed import ChangedReading
from tap_tallyfy.singer.deletions import ShrunkError, Tally
from tap_tallyfy.singer.list_reading import ListReading
from tap_tallyfy.singer.list_stream import Follows, ListStream

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_EXACT: Final = msgspec.json.Decoder(float_hook=Decimal)
_AS_FLOATS: Final = msgspec.json.Decoder()
#: The name under which the rows of a nested stream are counted; those of a list are counted by the list.
_ROWS: Final = "rows"


class SharedList(StreamsOfList):
    """A list of the API that is read once in a sync, by the first stream whose turn it is."""

    parent: ListStream

    def __init__(self, parent: ListStream) -> None:
        super().__init__(parent)
        self._reading: Reading | None = None

    @override
    def server_clock(self) -> float | None:
        with suppress(FatalAPIError, UnreadableError):
            return ListReading(self.parent, Bookmark()).sample().server_time
        return None

    @override
    def records_of(self, stream: TallyfyStream) -> Iterator[Record]:
        session = stream.session
        if self._reading and self._reading.sync is session.sync and stream in self._reading.served:
            session.begin_next()
        if self._reading is None or self._reading.sync is not session.sync:
            self._reading = Reading(self)
        yield from self._reading.records_of(stream)


class Reading:
    """One reading of a list, in one sync, for all streams that are made from it."""

    def __init__(self, shared: SharedList) -> None:
        self.sync = shared.parent.session.sync  #: The sync that it belongs to.
        self.served: set[TallyfyStream] = set()  #: The streams whose turn has come.
        self._parent = shared.parent
        self._session = shared.parent.session
        self._shares = {stream: _Share(stream) for stream in shared.selected}
        # The notes on the list itself are kept with the first stream: the parent, if it is selected.
        self._lead = next(iter(self._shares.values()))
        self._list = ListReading(shared.parent, self._lead.bookmark)
        self._changed = self._changed_reading()
        self._error: Exception | None = None

    def records_of(self, stream: TallyfyStream) -> Iterator[Record]:
        """Yield the records of a stream; see `SharedList.records_of`."""
        is_first = not self.served
        self.served.add(stream)
        share = self._shares[stream]
        if stream.ABORT_AT_RECORD_COUNT is not None:  # a connection test
            for record in self._list.sample().records:
                yield from share.rows_of(record, BOTTOM, self._list.misfits)
            raise AbortedSyncFailedException
        cost = self._session.progress.of(stream.name)
        try:
            for row in self._first_turn(share) if is_first else self._later_turn(share):
                cost.rows += 1
                yield row
        except (FatalAPIError, FatalSyncError, UnreadListError) as error:
            self._error = error
            bookmark.abandon(stream.stream_state)
            self._session.fail(self._parent.name, error)
            stream.logger.warning("Skipping '%s'; the other streams go on.", stream.name)
        else:
            self._finish(share)
            cost.done = True

    def _first_turn(self, share: _Share) -> Iterator[Record]:
        """Read the list, yield the rows of one stream, and put those of the others aside."""
        others = [each for each in self._shares.values() if each is not share]
        with self._session.progress.booked_on(self._parent.name) as cost:
            floor = min(each.floor for each in self._shares.values())
            for record in filter(self._parent.is_wanted, (self._changed or self._list).records(floor)):
                changed_at = to_second(self._parent.changed_at(record))
                for other in others:
                    other.aside.put(other.rows_of(record, changed_at, self._list.misfits))
                yield from share.rows_of(record, changed_at, self._list.misfits)
            cost.way = self._way
        self._report()
        self._judge()

    def _changed_reading(self) -> ChangedReading | None:
        """Return a reading by the parents that changed, or None where all has to be read."""
        parent, follows, parents = self._parent, self._parent.follows, self._parent.parents_of_records
        if not (follows and parents):
            return None
        if why := self._why_all(follows):
            parent.logger.info("Reading all of '%s': %s.", parent.name, why)
            return None
        return ChangedReading(
            self._list, parents, follows, {each.name: share.bookmark for each, share in self._shares.items()}
        )

    def _why_all(self, follows: Follows) -> str:
        """Return why all has to be read, whatever earlier syncs have shown, or `""`."""
        parent = self._parent
        if not parent.config[follows.full_after]:
            return f"'{follows.full_after}' is 0"
        if follows.parent in self.sync.failures:
            return f"the list of '{follows.parent}' has failed"
        if parent.filters.keys() - {"with"} or parent.settings.get("archived", "include") != "include":
            return "a filter is set"
        whole = [f"'{stream.name}'" for stream in self._shares if not stream.has_bookmark]
        return f"{', '.join(whole)} always takes all rows" if whole else ""

    @property
    def _way(self) -> str:
        if self._changed:
            return self._changed.way
        return "incremental" if any(each.floor > BOTTOM for each in self._shares.values()) else "full"

    def _later_turn(self, share: _Share) -> Iterator[Record]:
        if self._error:
            raise self._error
        yield from share.aside.taken()

    def _finish(self, share: _Share) -> None:
        """Move the bookmark of a stream all of whose rows were sent, and tell the target which others are gone."""
        found, stream = share.bookmark, share.stream
        if self._changed:
            self._changed.note(found)
        elif stream.replication_key:
            found.value = max(found.value, self._list.moment)
        if stream.has_bookmark:
            self._session.progress.of(stream.name).bookmark = found.value
        if share.is_complete:
            of_list = sum(tally.rows for tally in self._list.tallies.values())
            self.sync.complete[stream.name] = of_list if stream is self._parent else share.tally.rows
            notes = {name: tally.note() for name, tally in self._tallies(share).items()}
            found.rows = {**found.rows, stream.config["org_id"]: notes}
            if share.will_mark:
                found.version = self.sync.version
                for table in stream.tables:
                    self._session.mark(ActivateVersionMessage(stream=table, version=found.version))
        found.store(stream.stream_state, stream.replication_key, stream.made_for)

    def _tallies(self, share: _Share) -> dict[str, Tally]:
        """Return the tallies of a stream's rows, by name; the first stream, whichever it is, has those of the lists."""
        of_rows = {} if share.stream is self._parent else {_ROWS: share.tally}
        return {**of_rows, **self._list.tallies} if share is self._lead else of_rows

    def _report(self) -> None:
        parent = self._shares.get(self._parent)
        told = self._list.report(keeps_extra=bool(parent and parent.columns.keeps_extra))
        for share in self._shares.values():
            share.report(told if share is parent else set())

    def _judge(self) -> None:
        """Decide of which streams every row was there, so that all others count as deleted."""
        doubt = self._list.doubt
        if not doubt and self._list.falls_short and any(each.will_be_complete for each in self._shares.values()):
            doubt = f"the API counts more records of '{self._parent.name}' than it shows"
        if doubt:
            self._parent.logger.warning(
                "No row made from the list of '%s' is marked as deleted: %s.", self._parent.name, doubt
            )
            return
        losses = []
        for share in self._shares.values():
            share.is_complete = share.will_be_complete and not share.keyless
            if share.is_complete:
                found = (tally.loss for tally in self._tallies(share).values())
                losses += [f"'{share.stream.name}' {loss}" for loss in found if loss]
        if losses:
            for share in self._shares.values():
                share.is_complete = False
            error = (
                f"{'; '.join(losses)}, so no row made from this list is marked as deleted; check that the token may"
                " still see all of it, or sync once without a state to accept it (Meltano: `--full-refresh`)."
            )
            self._session.fail(self._parent.name, ShrunkError(error[0].upper() + error[1:]))


def _floor(stream: TallyfyStream, found: Bookmark) -> float:
    """Return the second before which all changes are known, or `BOTTOM`; streams without dates read everything."""
    if stream.replication_key is None:
        return BOTTOM
    # A replica may have shown changes late, and transactions may have been committed late.
    lookback: int = stream.config["lookback_seconds"]
    known = to_second(found.value) if stream.has_bookmark else BOTTOM
    return max(known - lookback, to_second(stream.made_for.start_date))


class _Share:
    """One stream's share of a reading."""

    def __init__(self, stream: TallyfyStream) -> None:
        self.stream = stream  #: The stream.
        self.bookmark = stream.load_bookmark()  #: Its notes of earlier syncs.
        self.floor = _floor(stream, self.bookmark)  #: The second before which all changes are known, or `BOTTOM`.
        self.columns = stream.columns()  #: Fits a row to its SCHEMA.
        self.aside = _Spool(as_floats=self.columns.as_floats)  #: Rows that wait for the stream's turn.
        self.tally = Tally(self.bookmark.tallies(stream.config["org_id"]).get(_ROWS))  #: Counts them.
        self.keyless = 0  #: Rows that have no key, and are left out.
        #: Whether a reading that comes to its end will have shown every row.
        self.will_be_complete = deletions.covers_every_row(stream, self.floor)
        self.is_complete = False  #: Whether it has.
        #: Whether the target is told then that all other rows are gone.
        self.will_mark: bool = self.will_be_complete and stream.config["emit_activate_version_messages"]
        self._keys = [name for name in stream.primary_keys if name != "org_id"]
        for table in stream.tables:
            stream.session.versions[table] = stream.session.sync.version if self.will_mark else self.bookmark.version

    def rows_of(self, record: Record, changed_at: float, misfits: set[Misfit]) -> Iterator[Record]:
        """Yield the stream's rows of a record that changed last in that second, or `BOTTOM`, each as it goes out."""
        if BOTTOM < changed_at < self.floor:
            return
        for row in self.stream.records_from(record, misfits):
            if any(row.get(name) in {None, ""} for name in self._keys):
                self.keyless += 1
            else:
                self.tally.rows += 1
                yield self.columns(row)

    def report(self, told: set[str]) -> None:
        """Warn, once, of rows and fields that were left out, but for fields that the user was told of."""
        name, log = self.stream.name, self.stream.logger
        if self.keyless:
            log.warning(
                "%d rows of '%s' have no %s and are left out, so none of '%s' is marked as deleted.",
                self.keyless,
                name,
                " or no ".join(f"'{key}'" for key in self._keys),
                name,
            )
        if homeless := self.columns.homeless - told:
            log.warning(
                "Fields of '%s' that the catalog does not know are left out, since '%s' is not selected: %s.",
                name,
                EXTRA,
                listed(f"'{field}'" for field in homeless),
            )


class _Spool:
    """Spills rows to an anonymous temporary file, so that memory stays flat."""

    def __init__(self, *, as_floats: bool) -> None:
        self._decode = (_AS_FLOATS if as_floats else _EXACT).decode
        self._file: Any = None

    def put(self, rows: Iterable[Record]) -> None:
        for row in rows:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `taken`, or with the process
            self._file.write(_ENCODER.encode(row) + b"\n")

    def taken(self) -> Iterator[Record]:
        if self._file is None:
            return
        with self._file as lines:
            lines.seek(0)
            for line in lines:
                yield self._decode(line)
