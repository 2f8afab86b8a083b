"""Reads the lists of a stream once, and knows how far that can be relied on."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec
from singer_sdk.exceptions import FatalSyncError

from tap_tallyfy.api.listing import ListSource
from tap_tallyfy.dates import earlier
from tap_tallyfy.reading.seen import Seen
from tap_tallyfy.records.drift import departures
from tap_tallyfy.records.parser import RecordParser
from tap_tallyfy.singer.deletions import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tap_tallyfy.api.listing import Listing
    from tap_tallyfy.reading.page import Page
    from tap_tallyfy.records.nested import Misfit
    from tap_tallyfy.singer.bookmark import Bookmark
    from tap_tallyfy.singer.list_stream import ListStream

    Record = dict[str, Any]

#: A list of which so many rows, and more than half, have no key has not been read.
_TOO_MANY: Final = 20
#: How many records are held against the contract: checking one costs more than reading it.
_SAMPLE: Final = 20
#: Names in one line of the log; a server may send thousands.
_MOST_NAMES: Final = 10
_LONGEST_NAME: Final = 60


class KeylessListError(FatalSyncError):
    """Most records of a list have no key."""


class ListReading:
    """One reading of a stream's lists.

    Attributes:
        misfits: Lists inside of records that came as something else.
        tallies: What each list has shown, by its name.
    """

    def __init__(self, stream: ListStream, bookmark: Bookmark) -> None:
        """Prepare to read.

        Args:
            stream: The stream.
            bookmark: What earlier syncs have left; the order that turns out to be honoured is noted in it.
        """
        self.misfits: set[Misfit] = set()
        self.tallies: dict[str, Tally] = {}
        self._stream = stream
        self._bookmark = bookmark
        self._key = stream.primary_keys[-1]
        self._parser = RecordParser(stream.contract_key, wrapped=stream.wrapped)
        self._endpoint = stream.endpoint(self._parse, self._inspect, self._note_repaired)
        self._seen = Seen(self._key, bookmark=bookmark.value, lookback=stream.config["lookback_seconds"])
        self._limit = _Limit(stream.replication_key or "")
        self._keyless = _Keyless()
        self._latest: dict[str, int] = {}
        self._departures: set[str] | None = None

    # Reading

    def records(self, floor: str) -> Iterator[Record]:
        """Yield each record that is new to this sync, or changed since it was yielded.

        Args:
            floor: The second before which all changes are known, or `""` to read everything.

        Raises:
            FatalAPIError: If the API refuses, or does not answer after all tries.
            FatalSyncError: If it cannot be shown that nothing was missed.
        """
        stream, seen = self._stream, self._seen
        known = self._bookmark.rows.get(stream.config["org_id"])
        counts: Mapping[str, object] = known if isinstance(known, dict) else {}
        for listing in stream.listings_since(floor):
            orders = stream.orders_by_change(self._bookmark.sort)
            before, keyless = len(seen), self._keyless.count
            tally = self.tallies[listing.name] = Tally(counts.get(listing.name))
            for record in stream.read(listing, self._source, seen, floor, orders):
                tally.add(record[self._key])
                yield from self._expanded(record)
            tally.rows = len(seen) - before
            self._check_keys(tally.rows, self._keyless.count - keyless)
            self._bookmark.sort = next((order.sort for order, known in orders.items() if known.proven), None)
            seen.end_list()

    def sample(self) -> Sequence[Record]:
        """Return the records of one page."""
        return self._stream.first_page(self._source(self._stream.listings[0])).records

    @property
    def moment(self) -> str:
        """The date-time up to which all changes were read, or `""`; the next sync reads later ones."""
        return self._limit.moment(self._seen.clock)

    def _expanded(self, record: Record) -> Iterator[Record]:
        """Yield a record, and the records of the same kind that it holds."""
        expand = type(self._stream).expand
        if expand is None:
            yield record
            return
        for each in expand(record, self._parser, self.misfits):
            key, version = each.get(self._key), hash(msgspec.json.encode(each))
            if not key:
                self._keyless.add(each)
            elif self._latest.get(key) != version:  # a server may list those inside of others by themselves as well
                self._latest[key] = version
                yield each

    def _source(self, listing: Listing) -> ListSource:
        return ListSource(self._endpoint, self._stream.session.client, listing, self._on_page, self._stream.logger)

    # What is noted while pages come

    def _on_page(self, page: Page) -> None:
        self._limit.page(page)
        self._stream.session.progress.page(self._stream.name, page, len(self._seen))

    def _inspect(self, rows: Sequence[Record]) -> None:
        self._keyless.begin_page()
        if self._departures is None and rows:
            self._departures = departures(self._stream.contract_key, rows[:_SAMPLE])

    def _parse(self, row: Record) -> Record:
        record = self._parser(row)
        if not record.get(self._key):
            self._keyless.add(row)
        return record

    def _note_repaired(self) -> None:
        self._parser.repaired = True

    def _check_keys(self, rows: int, keyless: int) -> None:
        if keyless >= _TOO_MANY and keyless > rows:
            raise KeylessListError(
                f"{keyless} of {rows + keyless} records of '{self._stream.name}' have no '{self._key}', so the list"
                " counts as not read; ask Tallyfy's support."
            )

    # What is said in the end, by name and number, never by value

    @property
    def doubt(self) -> str:
        """Why no row made from the list may be taken for deleted, or `""`."""
        name = self._stream.name
        if self._keyless.count:
            return f"{self._keyless.count} rows of '{name}' have no '{self._key}' and are left out"
        if self.misfits:
            fields = listed(f"'{field}' ({sent})" for field, sent in self.misfits)
            return f"lists inside of '{name}' came as something else: {fields}"
        return f"the API counts more records of '{name}' than it shows" if self._seen.fell_short else ""

    def report(self, *, keeps_extra: bool) -> None:
        """Log what departs from the contract, once for the whole list.

        Args:
            keeps_extra: Whether `_extra` takes what fits no column.
        """
        name, log, parser = self._stream.name, self._stream.logger, self._parser
        kept = "are kept in '_extra'" if keeps_extra else "are left out, since '_extra' is not selected"
        if self._departures:
            log.info("The API departs from its contract in '%s': %s.", name, listed(self._departures))
        if parser.unknown:
            fields = listed(f"'{each}'" for each in parser.unknown)
            log.warning("Fields of '%s' that the schema does not know %s: %s.", name, kept, fields)
        if parser.misfits:
            fields = listed(f"'{each}' ({kind})" for each, kind in parser.misfits.items())
            log.warning("Values of '%s' that fit no column %s: %s.", name, kept, fields)
        if parser.repaired:
            log.warning("Texts of '%s' held broken characters; U+FFFD stands for each.", name)


class _Limit:
    """How far a bookmark may go: no further than the moment at which the reading began, by the stamps of the rows.

    A server's `Date` may be of another zone than its rows. A row that was read so many seconds after the beginning has
    a stamp that lies at most so many seconds behind it.
    """

    def __init__(self, field: str) -> None:
        self._field = field
        self._began = time.monotonic()
        self._moment = ""

    def page(self, page: Page) -> None:
        newest = max((record.get(self._field) or "" for record in page.records), default="")
        elapsed = int(time.monotonic() - self._began)
        if newest and elapsed:
            newest = f"{earlier(newest, elapsed)}.000Z"
        self._moment = max(self._moment, newest)

    def moment(self, clock: str) -> str:
        return min(self._moment, clock or self._moment)


class _Keyless:
    """Counts rows without a key, each once although pages overlap."""

    def __init__(self) -> None:
        self._here: Counter[int] = Counter()
        self._most: Counter[int] = Counter()

    @property
    def count(self) -> int:
        return self._most.total()

    def begin_page(self) -> None:
        self._here.clear()

    def add(self, row: Record) -> None:
        identity = hash(msgspec.json.encode(row, order="deterministic"))
        self._here[identity] += 1
        self._most[identity] = max(self._most[identity], self._here[identity])


def listed(names: Iterable[str]) -> str:
    """Return some names for a line of the log, however many and long they are."""
    shortened = [name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…" for name in sorted(names)]
    more = len(shortened) - _MOST_NAMES
    return ", ".join(shortened[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
