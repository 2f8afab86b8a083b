"""Reads the lists of a stream once, and knows how far that can be relied on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import msgspec

from tap_tallyfy.api.endpoint import Endpoint
from tap_tallyfy.api.errors import FilterRefusedError
from tap_tallyfy.api.listing import Listing, ListSource
from tap_tallyfy.api.secrets import listed
from tap_tallyfy.dates import to_second, to_text
from tap_tallyfy.reading.evidence import SortEvidence
from tap_tallyfy.reading.page import Page, Source, UnreadableError, Window
from tap_tallyfy.reading.paginator import BOTTOM, Order
from tap_tallyfy.reading.seen import Seen
from tap_tallyfy.reading.walk import Walk
from tap_tallyfy.records.contract import CONTRACT, ORG_ID
from tap_tallyfy.records.drift import departures
from tap_tallyfy.records.nested import Misfit
from tap_tallyfy.records.parser import RecordParser
from tap_tallyfy.records.shapes import Record
from tap_tallyfy.singer.bookmark import Bookmark
from tap_tallyfy.singer.deletions import Tally
from tap_tallyfy.singer.list_stream import ListStream

#: How many records are held against the contract: checking one costs more than reading it.
_SAMPLE: Final = 5
_DAY: Final = 86_400
#: The fields that tell the state of a record.
_STATE: Final = frozenset({"status", "progress", "created_at", "last_updated", "completed_at", "archived_at"})


NO_PARAMS: Final[Mapping[str, str]] = MappingProxyType({})


class ListReading:
    """One reading of a stream's lists."""

    def __init__(self, stream: ListStream, bookmark: Bookmark, *, bare: bool = False) -> None:
        """Prepare to read.

        Args:
            bookmark: Notes of earlier syncs; the order that the server honours is added.
            bare: Whether to leave out the user's filters, all related data, and fields that say nothing of a record's
                state.
        """
        self.misfits: set[Misfit] = set()  #: Lists inside of records that came as something else.
        self.tallies: dict[str, Tally] = {}  #: Counts the records of each list, by its name.
        self.stream = stream
        self._bookmark = bookmark
        self._key = stream.primary_keys[-1]
        self._parser = RecordParser(stream.contract_key, wrapped=stream.wrapped)
        self._bare = bare
        second_names = CONTRACT.second_names(stream.contract_key)
        self._state = {self._key, *_STATE, *(second for second, name in second_names.items() if name in _STATE)}
        self.endpoint = self._endpoint()
        self._seen = Seen(self._key, bookmark=to_second(bookmark.value), lookback=stream.config["lookback_seconds"])
        self._keyless_inside = 0
        self._latest: dict[str, int] = {}
        self._departures: set[str] | None = None

    def _endpoint(self) -> Endpoint:
        stream = self.stream
        related = [*stream.settings.get("with", ()), *stream.shared.required_related]
        wanted = {} if self._bare else {**stream.filters, "with": list(dict.fromkeys(related)) or None}
        return Endpoint(
            name=stream.name,
            path=stream.contract_key,
            url=self._url(stream.contract_key),
            # Without X-Tallyfy-Client the API answers 401 or 404 (vendor docs).
            headers={
                "Accept": "application/json",
                "X-Tallyfy-Client": "APIClient",
                "User-Agent": stream.user_agent,
            },
            params={**stream.parameters, **wanted},
            sort=None if self._bare else stream.settings.get("sort"),
            sort_parameter=stream.sort_parameter,
            unpaginated=stream.unpaginated,
            parse=self._parse,
            key=self._key,
            trust_totals=stream.config["trust_totals"],
            is_single=stream.is_single,
            inspect=self._inspect,
        )

    def _url(self, path: str) -> str:
        config = self.stream.config
        return f"{config['api_url'].rstrip('/')}{path.replace('{org_id}', config['org_id'])}"

    # Reading

    def records(self, floor: float) -> Iterator[Record]:
        """Yield each record that is new to this sync, or changed since it was yielded.

        Args:
            floor: The second before which all changes are known, or `BOTTOM` to read everything.

        Raises:
            FatalAPIError: If the API refuses, or does not answer after all tries.
            UnreadListError: If it cannot be shown that nothing was missed.
        """
        stream, seen = self.stream, self._seen
        counts = self._bookmark.tallies(stream.config["org_id"])
        for listing in self._listings(floor):
            orders = {
                order: SortEvidence(proven=order.sort == self._bookmark.sort, of_creation=stream.append_only)
                for order in self._usable(stream.by_change)
            }
            before = len(seen)
            tally = self.tallies[listing.name] = Tally(counts.get(listing.name))
            for record in self._read(listing, floor, orders):
                tally.add(record[self._key])
                for name, value in listing.fields.items():
                    record[name] = record.get(name) or value
                yield from self._expanded(record)
            tally.rows = len(seen) - before
            self._bookmark.sort = next((order.sort for order, known in orders.items() if known.proven), None)

    def _listings(self, floor: float) -> Sequence[Listing]:
        """Return the lists, without most records older than the floor where the API can leave them out."""
        stream = self.stream
        if self._bare:  # whatever the user's filters are
            return (*stream.lists, stream.archived) if stream.archived else stream.lists
        if floor == BOTTOM or not stream.since_parameter or stream.since_parameter in stream.filters:
            return stream.listings
        # A day earlier, as nobody says in which time zone a day begins.
        since = {stream.since_parameter: to_text(floor - _DAY)[: len("2025-01-15")]}
        return [
            replace(
                each, param_variants=(*({**variant, **since} for variant in each.param_variants), *each.param_variants)
            )
            for each in stream.listings
        ]

    def sample(self) -> Page:
        """Return one page."""
        return self._first_page(self.stream.listings[0])

    def walk(
        self,
        source: Source,
        seen: Seen,
        floor: float = BOTTOM,
        by_change: Mapping[Order, SortEvidence] = MappingProxyType({}),
        *,
        by_creation: Sequence[Order] | None = None,
    ) -> Iterator[Record]:
        """Yield the records of a source that are new to `seen`, or changed since.

        Args:
            floor: The second before which all changes are known, or `BOTTOM` to read everything.
            by_creation: Orders by creation, or None for those of the stream's own lists.
        """
        stream = self.stream
        if stream.is_single:
            yield from seen.new_records(source.read(Window(1, 1)))
        else:
            yield from Walk(
                source=source,
                seen=seen,
                name=stream.name,
                size=stream.config["page_size"],
                floor=floor,
                by_change=dict(sorted(by_change.items(), key=lambda each: not each[1].proven)),
                by_creation=self._usable(stream.by_creation if by_creation is None else by_creation),
                prefer_unpaginated=stream.prefer_unpaginated or bool(stream.settings.get("without_pagination")),
                concurrency=stream.config["concurrency"],
                log=stream.logger,
            )
        seen.next_list()

    def _usable(self, orders: Iterable[Order]) -> Sequence[Order]:
        """Return the orders that records have the field for, and that the user's own `sort` does not exclude."""
        sort = self.stream.settings.get("sort")
        fields = self.stream.schema["properties"]
        return [order for order in orders if order.field in fields and sort in {None, order.sort}]

    def _read(self, listing: Listing, floor: float, orders: Mapping[Order, SortEvidence]) -> Iterator[Record]:
        """Yield the records of a list, and of those parts that it leaves out although nobody says so."""
        hidden = self.stream.maybe_hidden
        shown = [0] * len(hidden)
        for record in self.walk(self.source(listing), self._seen, floor, orders):
            for number, part in enumerate(hidden):
                shown[number] += part.matches(record)
            yield record
        # LIVE: no source says whether a list without a status holds all; goes once a live list has shown that it does.
        for part, count in zip(hidden, shown, strict=True) if "status" not in self.stream.filters else ():
            for variant in self._hidden_variants(listing, part, count):
                yield from self.walk(self.source(variant), self._seen, floor)

    def _hidden_variants(self, listing: Listing, part: Listing, shown: int) -> Iterator[Listing]:
        """Yield a hidden part of a list that was read, and showed so many of its records, if there are more."""
        seen = self._seen
        for params in ({**one, **more} for one in listing.param_variants for more in part.param_variants):
            variant = Listing(part.name, (params,))
            try:
                page = self._first_page(variant)
            except (FilterRefusedError, UnreadableError):
                continue
            settled = [record for record in page.records if seen.unchanged_since_start(record)]
            is_understood = any(map(part.matches, page.records))
            # Records that are not settled may have become part of it while the list was read.
            counts_more = (page.pagination.total or 0) > shown + page.count - len(settled)
            if not all(map(seen.in_any_list, settled)) or (is_understood and (counts_more or not shown)):
                yield variant
            if is_understood:
                return

    def _first_page(self, listing: Listing) -> Page:
        return self.source(listing).read(Window(1, self.stream.config["page_size"]))

    @property
    def clock(self) -> float | None:
        """The server's clock at the first page, in seconds since the epoch, or None where it tells none."""
        return self._seen.clock

    @property
    def limit(self) -> float:
        """The second up to which all changes were read, or `BOTTOM`."""
        return self._seen.bookmark_limit

    @property
    def moment(self) -> str:
        """The date-time up to which all changes were read, or `""`; the next sync reads later ones."""
        return to_text(self.limit) if self.limit > BOTTOM else ""

    def _expanded(self, record: Record) -> Iterator[Record]:
        """Yield a record, and the records of the same kind that it holds."""
        expand = type(self.stream).expand
        if expand is None:
            yield record
            return
        for each in expand(record, self._parser, self.misfits):
            key, version = each.get(self._key), hash(msgspec.json.encode(each))
            if key in {None, ""}:
                self._keyless_inside += 1
            elif self._latest.get(key) != version:  # a server may list those inside of others by themselves as well
                self._latest[key] = version
                yield each

    def source(self, listing: Listing, *, path: str = "", params: Mapping[str, str] = NO_PARAMS) -> ListSource:
        """Return the pages of a list.

        Args:
            path: The path of another endpoint, or `""`.
            params: Query parameters to send besides.
        """
        endpoint = replace(self.endpoint, params={**self.endpoint.params, **params})
        if path:
            endpoint = replace(endpoint, url=self._url(path))
        return ListSource(endpoint, self.stream.session.client, listing, self._on_page, self.stream.logger)

    # Notes while pages arrive

    def _on_page(self, page: Page) -> None:
        self.stream.session.progress.page(self.stream.name, page, len(self._seen))

    def _parse(self, row: Record) -> Record:
        if self._bare:
            row = {name: value for name, value in row.items() if name in self._state}
        record = self._parser(row)
        if self.stream.is_single:
            record[ORG_ID] = self.stream.config[ORG_ID]
        return record

    def _inspect(self, rows: Sequence[Record], is_repaired: bool) -> None:
        self._parser.repaired |= is_repaired
        if self._departures is None and rows:
            self._departures = departures(self.stream.contract_key, rows[:_SAMPLE])

    # Reports: by name and number, never by value

    @property
    def doubt(self) -> str:
        """Why no row made from the list may be taken for deleted, or `""`."""
        name = self.stream.name
        if keyless := self._keyless_inside + sum(each.keyless for each in self._seen.lists):
            return f"{keyless} rows of '{name}' have no '{self._key}' and are left out"
        if self.misfits:
            fields = listed(f"'{field}' ({sent})" for field, sent in self.misfits)
            return f"lists inside of '{name}' came as something else: {fields}"
        return ""

    @property
    def falls_short(self) -> bool:
        """Whether the API counts more records than it shows; only a reading of everything tells."""
        return any(each.fell_short for each in self._seen.lists)

    def report(self, *, keeps_extra: bool) -> set[str]:
        """Log departures from the contract, and return the fields named; `_extra` may take values without a column."""
        name, log, parser = self.stream.name, self.stream.logger, self._parser
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
        return {*parser.unknown, *parser.misfits}
