"""Base of all streams that read a list of the API: from settings to requests, and from pages to records."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from jsonschema import Draft202012Validator
from singer_sdk.exceptions import AbortedSyncFailedException, FatalSyncError
from typing_extensions import override

from tap_tallyfy.api.endpoint import Endpoint
from tap_tallyfy.api.errors import RefusedFilterError
from tap_tallyfy.api.listing import DEFAULT, Listing, ListSource, is_archived
from tap_tallyfy.dates import earlier, second, to_second
from tap_tallyfy.reading.evidence import SortEvidence
from tap_tallyfy.reading.page import UnreadableError, UnreadListError, Window
from tap_tallyfy.reading.paginator import Order
from tap_tallyfy.reading.seen import Seen
from tap_tallyfy.reading.walk import Walk
from tap_tallyfy.records.contract import CONTRACT, ORG_ID, RecordSchema
from tap_tallyfy.records.decoder import RecordDecoder
from tap_tallyfy.records.normalise import json_type
from tap_tallyfy.records.redact import record_without_credentials
from tap_tallyfy.singer.base import Member
from tap_tallyfy.singer.shared_reading import Family

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_tallyfy.api.client import Client
    from tap_tallyfy.reading.page import Page, Record
    from tap_tallyfy.singer.progress import Progress

_REPORTED = 10
#: How many records are held against the contract: checking one costs more than reading it.
_SAMPLE = 20
_DAY = 86_400
_TOP_LEVEL = len(("properties", "name"))


class ListStream(Member):
    """A stream over one list endpoint.

    A subclass is a declaration: its name, its path in the contract, and what sets its list apart.
    """

    name: str = ""
    path: str = ""
    schema: ClassVar[Any] = RecordSchema(CONTRACT)
    primary_keys = ("org_id", "id")
    replication_key: str | None = None

    #: Orders by the last change that are worth asking for, best first; only they let a sync stop at the bookmark. None
    #: where the API puts anything before that order, such as pinned records.
    by_change: ClassVar[Sequence[Order]] = ()
    #: Orders by a date that never changes, best first; one is asked for only where records have its field.
    by_creation: ClassVar[Sequence[Order]] = (Order("-created_at", "created_at"),)
    #: The lists that make up the stream, but for that of archived records.
    lists: ClassVar[Sequence[Listing]] = (DEFAULT,)
    #: Parts of those lists that they may leave out although nobody says so: each is tried, and read if they do.
    doubts: ClassVar[Sequence[Listing]] = ()
    #: The list of archived records, where the default list leaves them out.
    archived: ClassVar[Listing | None] = None
    #: Query parameters that are always sent.
    parameters: ClassVar[Mapping[str, str]] = {}
    #: Related data that is always asked for.
    always_with: ClassVar[Sequence[str]] = ()
    #: Further fields that may arrive as `{"data": ...}`, as related data does.
    wrapped: ClassVar[Sequence[str]] = ()
    #: Whether the stream looks inside nested objects, so that they must be parsed, which takes longer.
    looks_inside: ClassVar[bool] = False
    #: The query parameter that leaves out what is older than a day, where the API has one.
    since_parameter: ClassVar[str] = ""
    #: Query parameters that are no settings, since the tap has to decide them.
    decided: ClassVar[frozenset[str]] = frozenset()
    #: The query parameter that sorts.
    sort_parameter: ClassVar[str] = "sort"
    #: What asks for the list in one answer; empty where nothing does.
    whole_parameters: ClassVar[Mapping[str, str]] = {"without_pagination": "true"}
    #: Whether one whole answer is the best way to read the list.
    whole_first: ClassVar[bool] = False
    #: Where the pages of a list come from, and what reads it completely.
    source_type: ClassVar[type[ListSource]] = ListSource
    walk_type: ClassVar[type[Walk]] = Walk

    def __init__(self, tap: Tap, client: Client, progress: Progress) -> None:
        """Make a stream of a tap.

        Args:
            tap: The tap.
            client: What sends the requests of all streams.
            progress: Says how far the sync is.
        """
        self.client = client
        self.progress = progress
        self.family = Family(self)
        super().__init__(tap)

    # Lists

    @property
    def listings(self) -> Sequence[Listing]:
        """The lists that make up the stream: archived records may have one of their own."""
        status, wanted = self.filters.get("status"), self.settings.get("archived", "include")
        if self.archived is None:
            return self.lists
        if status == "archived":
            return (self.archived,)
        if wanted == "only":
            return (self.archived if status is None else replace(self.archived, forms=({"archived": "only"},)),)
        return (*self.lists, self.archived) if wanted == "include" and status is None else self.lists

    # Records

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        return self.family.rows(self, context)

    @override
    def rows(self, record: Record, floor: str) -> Iterator[Record]:
        if self.is_new(record, floor):
            # What others are made of is no part of this stream; most lists lend nothing.
            lent = self._borrowed
            yield {name: value for name, value in record.items() if name not in lent} if lent else record

    def is_new(self, record: Record, floor: str) -> bool:
        """Return whether a record is to be handed on: it may have changed since, and is not to be left out.

        Args:
            record: A record of the list, normalised.
            floor: The second before which all changes are known, or `""`.
        """
        changed_at = second(self.changed_at(record))
        return not (changed_at and changed_at < floor) and not (self._excludes_archived and is_archived(record))

    @cached_property
    def _excludes_archived(self) -> bool:
        return self.settings.get("archived") == "exclude"

    def normalise(self, row: Record) -> Record:
        """Return a record of what the API nests in another one.

        Args:
            row: An object as parsed from an answer.
        """
        return self._decoder.record(row)

    def changed_at(self, record: Record) -> str | None:
        """Return when a record changed last, as far as it says.

        Args:
            record: A record of the list, normalised.
        """
        changed_at: str | None = record.get("last_updated")
        return changed_at

    def nothing_seen(self, context: Context | None) -> Seen:
        """Return what a sync has seen at its beginning.

        Args:
            context: The partition, if any.
        """
        lookback = self.config["lookback_seconds"]
        return Seen(self.primary_keys[-1], bookmark=to_second(self.bookmark(context)), lookback=lookback)

    def read(self, seen: Seen, floor: str, context: Context | None) -> Iterator[Record]:
        """Yield every record of the list that is new to this sync, or changed since it was yielded.

        Args:
            seen: What this sync has seen.
            floor: The second before which all changes are known, or `""` to read everything.
            context: The partition, if any.

        Raises:
            AbortedSyncFailedException: If only a connection is to be tested.
            FatalAPIError: If the API refuses, or does not answer after all tries.
            FatalSyncError: If it cannot be shown that nothing was missed.
        """
        state = self.get_context_state(context)
        proven = state.pop("sort", None)
        progress = self.progress
        progress.read(self.name, seen)
        if self.ABORT_AT_RECORD_COUNT is not None and self.config["page_size"] >= self.ABORT_AT_RECORD_COUNT:
            # A connection test; a stream made from few of the records would have the whole list read for its one row.
            yield from self._first_page(self.listings[0], progress).records
            raise AbortedSyncFailedException
        for listing in self._listings_since(floor):
            orders = {
                order: SortEvidence(proven=order.sort == proven, of_creation=self.append_only)
                for order in self._usable(self.by_change)
            }
            shown = [0] * len(self.doubts)
            for record in self._walk(listing, seen, floor, orders, progress):
                for number, doubt in enumerate(self.doubts):
                    shown[number] += doubt.holds(record)
                yield record
            proven = next((order.sort for order, evidence in orders.items() if evidence.proven), None)
            for part in self._left_out(listing, shown, seen, progress):
                yield from self._walk(part, seen, floor, {}, progress)
        if proven:
            state["sort"] = proven
        self._report_misfits()

    def _listings_since(self, floor: str) -> Iterable[Listing]:
        """Return the lists that make up the stream, without most of what is older than the floor if that can be had."""
        if not (floor and self.since_parameter) or self.since_parameter in self.filters:
            return self.listings
        # A day earlier, as nobody says in which time zone a day begins.
        since = {self.since_parameter: earlier(floor, _DAY)[: len("2025-01-15")]}
        return [
            replace(listing, forms=(*({**form, **since} for form in listing.forms), *listing.forms))
            for listing in self.listings
        ]

    def _walk(
        self, listing: Listing, seen: Seen, floor: str, orders: Mapping[Order, SortEvidence], progress: Progress
    ) -> Iterator[Record]:
        walk = self.walk_type(
            source=self._source(listing, progress),
            seen=seen,
            name=self.name,
            size=self.config["page_size"],
            floor=to_second(floor),
            by_change=dict(sorted(orders.items(), key=lambda each: not each[1].proven)),
            by_creation=self._usable(self.by_creation),
            prefer_unpaginated=self.whole_first or bool(self.settings.get("without_pagination")),
            concurrency=self.config["concurrency"],
            trust_totals=self.config.get("trust_totals", True),
            log=self.logger,
        )
        try:
            for record in walk:
                for name, value in listing.fields.items():
                    record[name] = record.get(name) or value
                yield record
        except UnreadListError as why:
            raise FatalSyncError(str(why)) from None
        seen.next_list()

    def _left_out(self, listing: Listing, shown: Sequence[int], seen: Seen, progress: Progress) -> Iterator[Listing]:
        """Yield the parts of a list that it leaves out; a filter by status settles the matter.

        Args:
            listing: The list, which has been read.
            shown: For each of the doubts, how many records of its kind the list has shown.
            seen: What this sync has seen.
            progress: Where to count pages.
        """
        for doubt, count in zip(self.doubts, shown, strict=True) if "status" not in self.filters else ():
            for form in ({**form, **doubtful} for form in listing.forms for doubtful in doubt.forms):
                part = Listing((form,), fields=listing.fields)
                try:
                    page = self._first_page(part, progress)
                except (RefusedFilterError, UnreadableError):
                    continue
                settled = [record for record in page.records if seen.unchanged_since_start(record)]
                is_understood = any(map(doubt.holds, page.records))
                # Records that are not settled may have become part of it while the list was read.
                counts_more = (page.pagination.total or 0) > count + page.count - len(settled)
                if not all(map(seen.in_any_list, settled)) or (is_understood and (counts_more or not count)):
                    yield part
                if is_understood:
                    break

    def _first_page(self, listing: Listing, progress: Progress) -> Page:
        return self._source(listing, progress).read(Window(1, self.config["page_size"]))

    def _usable(self, orders: Iterable[Order]) -> Sequence[Order]:
        """Return the orders that records have the field for, and that the user's own `sort` does not exclude."""
        sort = self.settings.get("sort")
        fields = self.schema["properties"]
        return [order for order in orders if order.field in fields and sort in {None, order.sort}]

    # Requests and responses

    @property
    def endpoint(self) -> Endpoint:
        """Where the list is, and how one of its rows becomes a record."""
        agent = self.config.get("user_agent") or f"{self.tap_name}/{self._tap.get_plugin_version()}"
        return Endpoint(
            name=self.name,
            url=f"{str(self.config['api_url']).rstrip('/')}{self.path.replace('{org_id}', self.config['org_id'])}",
            # Without X-Tallyfy-Client the API answers 401 or 404 (vendor docs).
            headers={"Accept": "application/json", "X-Tallyfy-Client": "APIClient", "User-Agent": str(agent)},
            params={**self.parameters, **self.filters, "with": self._asked_with or None},
            sort=self.settings.get("sort"),
            sort_parameter=self.sort_parameter,
            unpaginated=self.whole_parameters,
            parse=self._parse,
            key=self.primary_keys[-1],
            inspect=self._inspect,
        )

    def _source(self, listing: Listing, progress: Progress) -> ListSource:
        source: ListSource = self.source_type(
            self.endpoint, self.client, listing, lambda page: progress.page(page, listing), self.logger
        )
        return source

    def _parse(self, row: Record) -> Record:
        record = self._decoder.record(self.discreet(row))
        self._settle_names([record])
        record = record_without_credentials(record, self._hidden)
        if self.replication_key:
            record.setdefault(self.replication_key, None)  # the SDK looks it up in every record
        return record

    def _inspect(self, rows: Sequence[Record]) -> None:
        if rows and not self._checked:
            self._checked = True
            self._report_drift([self._decoder.unwrapped(row) for row in rows[:_SAMPLE]])

    def _settle_names(self, records: Sequence[Record]) -> None:
        """Move what came under a second name to its column."""
        for second_name, name in self._second_names.items():
            for record in records:
                value = record.pop(second_name, None)
                if record.get(name) is None:
                    record[name] = value

    def discreet(self, row: Record) -> Record:
        """Return an object of the list without what only this list has that is a credential; see `looks_inside`.

        Args:
            row: The object as parsed from an answer.
        """
        return row

    @cached_property
    def _asked_with(self) -> list[str]:
        """The related data to ask for, each once."""
        return list(dict.fromkeys([*self.settings.get("with", ()), *self.always_with, *self.family.needs]))

    @cached_property
    def _hidden(self) -> frozenset[str]:
        """The fields that are credentials."""
        return CONTRACT.credentials(self.path)

    @cached_property
    def _second_names(self) -> Mapping[str, str]:
        """The names that some servers have for a field, and what the others call it."""
        return CONTRACT.second_names(self.path)

    @cached_property
    def _borrowed(self) -> frozenset[str]:
        """The fields that are read for other members of the family alone."""
        return frozenset(self._read_schema["properties"]).difference(self.schema["properties"])

    @cached_property
    def _read_schema(self) -> dict[str, Any]:
        """The schema of records as they are read: with what others are made from, and with what is put in its place."""
        whole = CONTRACT.columns(self.path)
        needed = {*self._asked_with, *self.family.sources}
        properties = {name: each for name, each in self.effective_schema["properties"].items() if name != ORG_ID}
        properties |= {
            name: each for name, each in whole.items() if name in needed and name in self.schema["properties"]
        }
        properties |= {name: whole[name] for name in self._second_names}
        # Of any type: what is borrowed is taken apart elsewhere, and credentials go no further.
        others = needed.union(self._hidden).difference(properties)
        properties |= {name: {} for name in whole if name in others}
        return {"type": "object", "properties": properties}

    @cached_property
    def _decoder(self) -> RecordDecoder:
        return RecordDecoder(
            self._read_schema,
            wrapped=(*self._asked_with, *self.wrapped),
            arrays_of_one=CONTRACT.arrays_of_one(self.path),
            unwanted=[path[1] for path, wanted in self.mask.items() if len(path) == _TOP_LEVEL and not wanted],
        )

    # Reports: by path and type, never by value

    _checked = False

    def _report_drift(self, rows: Sequence[Record]) -> None:
        contract = CONTRACT.fetch_schema(self.path)
        drift = {
            f"{'.'.join('*' if isinstance(part, int) else part for part in error.absolute_path) or 'record'}"
            f" ({json_type(error.instance)} against {error.validator})"
            for row in rows
            for error in Draft202012Validator(contract).iter_errors(row)
            if error.instance != []  # PHP's empty object
        }
        if drift:
            names = ", ".join(sorted(drift)[:_REPORTED])
            self.logger.warning("The API departs from its contract in '%s': %s.", self.name, names)

    def _report_misfits(self) -> None:
        normalise = self._decoder.normalise
        if normalise.unknown:
            names = ", ".join(f"'{name}'" for name in sorted(normalise.unknown))
            self.logger.warning(
                "Fields of '%s' that the schema does not know are kept in '_extra': %s.", self.name, names
            )
        if normalise.misfits:
            names = ", ".join(f"'{name}' ({kind})" for name, kind in sorted(normalise.misfits.items()))
            self.logger.warning("Values of '%s' that fit no column are kept in '_extra': %s.", self.name, names)
