"""The base of all streams that read a list of the API: from settings to an endpoint, and from its lists to records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

from typing_extensions import override

from tap_tallyfy.api.endpoint import Endpoint
from tap_tallyfy.api.errors import FilterRefusedError
from tap_tallyfy.api.listing import DEFAULT, Listing, ListSource, is_archived
from tap_tallyfy.reading.evidence import SortEvidence
from tap_tallyfy.reading.page import Source, UnreadableError, Window
from tap_tallyfy.reading.paginator import BOTTOM, Order
from tap_tallyfy.reading.seen import Seen
from tap_tallyfy.reading.walk import Walk
from tap_tallyfy.records.nested import Misfit
from tap_tallyfy.records.shapes import Record
from tap_tallyfy.singer.base import TallyfyStream


@dataclass(frozen=True)
class Follows:
    """How the records of a list (children) can be read by those they belong to (parents)."""

    parent: str  #: The name of the stream of the parents.
    of_parent: str  #: The path of the list of a parent's children, with `{parent}` in place of its ID.
    key: str  #: The field of a child that has its parent's ID.
    alone: Mapping[str, str]  #: Query parameters for the children that have no parent.
    #: Tells those that may have a parent of their own, which no list shows.
    is_alone: Callable[[Mapping[str, Any]], bool]
    newest: Sequence[str]  #: The orders in which children created last, or completed last, come first.
    full_after: str  #: The setting that says after how many hours all children are read; 0 for every time.


class ListStream(TallyfyStream):
    """A stream over one list endpoint.

    A subclass is a declaration: its name, its path in the contract, and the ways in which its list differs from others.
    """

    primary_keys: Sequence[str] = ("org_id", "id")

    #: Orders by the last change that are worth asking for, best first; only they let a sync stop at the bookmark. None
    #: where the API puts anything before that order, such as pinned records.
    by_change: ClassVar[Sequence[Order]] = ()
    #: Orders by a date that never changes, best first; one is asked for only where records have its field.
    by_creation: ClassVar[Sequence[Order]] = (Order("-created_at", "created_at"),)
    #: The lists that make up the stream, but for that of archived records.
    lists: ClassVar[Sequence[Listing]] = (DEFAULT,)
    #: Parts of those lists that they may leave out although nobody says so: each is tried, and read if they do.
    maybe_hidden: ClassVar[Sequence[Listing]] = ()
    #: The list of archived records, where the default list leaves them out.
    archived: ClassVar[Listing | None] = None
    #: Query parameters that are always sent.
    parameters: ClassVar[Mapping[str, str]] = {}
    #: Related data that is always asked for.
    always_with: ClassVar[Sequence[str]] = ()
    #: Further fields that may arrive as `{"data": ...}`, as related data does.
    wrapped: ClassVar[Sequence[str]] = ()
    #: The query parameter that leaves out records created before a day, where the API has one.
    since_parameter: ClassVar[str] = ""
    #: Query parameters that are no settings, since the tap has to decide them.
    managed_params: ClassVar[frozenset[str]] = frozenset()
    #: The query parameter that sorts.
    sort_parameter: ClassVar[str] = "sort"
    #: Query parameters that ask for the whole list in one response; empty where there are none.
    unpaginated: ClassVar[Mapping[str, str]] = {"without_pagination": "true"}
    #: Yields a record and the records of the same kind that it holds; None where it holds none.
    expand: ClassVar[Callable[[Record, Callable[[Record], Record], set[Misfit]], Iterable[Record]] | None] = None
    #: How the records can be read by their parents, where these say when one changed.
    follows: ClassVar[Follows | None] = None
    #: Whether the API answers with one object, and knows no pages.
    is_single: ClassVar[bool] = False
    #: Whether one response with the whole list is the best way to read it.
    prefer_unpaginated: ClassVar[bool] = False

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
            return (
                self.archived if status is None else replace(self.archived, param_variants=({"archived": "only"},)),
            )
        # An archived record may have lost its status: then no filter by status matches one.
        keeps_status = not any("status" in params for params in self.archived.param_variants)
        includes = wanted == "include" and (status is None or keeps_status)
        return (*self.lists, self.archived) if includes else self.lists

    # Records

    @override
    def records_from(self, record: Record, misfits: set[Misfit]) -> Iterable[Record]:
        return (record,)

    def is_wanted(self, record: Record) -> bool:
        """Return whether the user's settings do not leave a record out, although its list shows it."""
        return not (is_archived(record) and self.settings.get("archived") == "exclude")

    def changed_at(self, record: Record) -> str | None:
        """Return when a record changed last, as far as it says."""
        changed_at: str | None = record.get("last_updated")
        return changed_at

    # Reading

    def endpoint(
        self,
        parse: Callable[[Record], Record],
        inspect: Callable[[Sequence[Record]], None],
        note_repaired: Callable[[], None],
        *,
        bare: bool = False,
    ) -> Endpoint:
        """Return where the list is; `bare` leaves out the user's filters, and all related data."""
        agent = self.config.get("user_agent") or f"{self.tap_name}/{self._tap.get_plugin_version()}"
        asked = dict.fromkeys([*self.settings.get("with", ()), *self.always_with, *self.shared.required_related])
        wanted = {} if bare else {**self.filters, "with": list(asked) or None}
        return Endpoint(
            name=self.name,
            path=self.contract_key,
            url=self.url(self.contract_key),
            # Without X-Tallyfy-Client the API answers 401 or 404 (vendor docs).
            headers={"Accept": "application/json", "X-Tallyfy-Client": "APIClient", "User-Agent": str(agent)},
            params={**self.parameters, **wanted},
            sort=None if bare else self.settings.get("sort"),
            sort_parameter=self.sort_parameter,
            unpaginated=self.unpaginated,
            parse=parse,
            key=self.primary_keys[-1],
            trust_totals=self.config["trust_totals"],
            is_single=self.is_single,
            inspect=inspect,
            note_repaired=note_repaired,
        )

    @property
    def parents_of_records(self) -> ListStream | None:
        """The stream of those that the records belong to, or None."""
        found = self._tap.streams.get(self.follows.parent) if self.follows else None
        return found if isinstance(found, ListStream) else None

    def url(self, path: str) -> str:
        """Return the URL of a path of the contract."""
        return f"{str(self.config['api_url']).rstrip('/')}{path.replace('{org_id}', self.config['org_id'])}"

    def read(
        self,
        listing: Listing,
        source_of: Callable[[Listing], ListSource],
        seen: Seen,
        floor: float,
        orders: Mapping[Order, SortEvidence],
    ) -> Iterator[Record]:
        """Yield every record of a list that is new to this sync, or changed since it was yielded.

        Args:
            floor: The second before which all changes are known, or `BOTTOM` to read everything.
            orders: Orders by the last change, each with the evidence for it.

        Raises:
            UnreadListError: If it cannot be shown that nothing was missed.
            FatalAPIError: If the API refuses, or does not answer after all tries.
        """
        shown = [0] * len(self.maybe_hidden)
        for record in self.walk(listing, source_of(listing), seen, floor, orders):
            for number, hidden in enumerate(self.maybe_hidden):
                shown[number] += hidden.matches(record)
            yield record
        for part in _hidden_listings(self, listing, source_of, shown, seen):
            yield from self.walk(part, source_of(part), seen, floor, {})

    def orders_by_change(self, proven: str | None) -> Mapping[Order, SortEvidence]:
        """Return the orders by change that records allow; an earlier sync may have seen that one is honoured."""
        return {
            order: SortEvidence(proven=order.sort == proven, of_creation=self.append_only)
            for order in _usable(self, self.by_change)
        }

    def walk(
        self,
        listing: Listing,
        source: Source,
        seen: Seen,
        floor: float = BOTTOM,
        orders: Mapping[Order, SortEvidence] = MappingProxyType({}),
        *,
        by_creation: Sequence[Order] | None = None,
    ) -> Iterator[Record]:
        """Yield the records of one list; see `read`, which also looks for hidden records.

        Args:
            by_creation: Orders by creation, or None for those of the stream's own lists.
        """
        if self.is_single:
            page = source.read(Window(1, 1))
            seen.observe(page)
            yield from filter(seen.mark, page.records)
            seen.next_list()
            return
        walk = Walk(
            source=source,
            seen=seen,
            name=self.name,
            size=self.config["page_size"],
            floor=floor,
            by_change=dict(sorted(orders.items(), key=lambda each: not each[1].proven)),
            by_creation=_usable(self, self.by_creation if by_creation is None else by_creation),
            prefer_unpaginated=self.prefer_unpaginated or bool(self.settings.get("without_pagination")),
            concurrency=self.config["concurrency"],
            log=self.logger,
        )
        for record in walk:
            for name, value in listing.fields.items():
                record[name] = record.get(name) or value
            yield record
        seen.next_list()


def _hidden_listings(
    stream: ListStream,
    listing: Listing,
    source_of: Callable[[Listing], ListSource],
    shown: Sequence[int],
    seen: Seen,
) -> Iterator[Listing]:
    """Yield the parts of a list that it leaves out; a filter by status settles the matter.

    Args:
        shown: For each part that may be hidden, how many of its records the list has shown.
    """
    # LIVE: no source says whether a list without a status holds all; goes once a live list has shown that it does.
    for hidden, count in zip(stream.maybe_hidden, shown, strict=True) if "status" not in stream.filters else ():
        for variant in ({**params, **more} for params in listing.param_variants for more in hidden.param_variants):
            part = Listing(hidden.name, (variant,), fields=listing.fields)
            try:
                page = source_of(part).read(Window(1, stream.config["page_size"]))
            except (FilterRefusedError, UnreadableError):
                continue
            settled = [record for record in page.records if seen.unchanged_since_start(record)]
            is_understood = any(map(hidden.matches, page.records))
            # Records that are not settled may have become part of it while the list was read.
            counts_more = (page.pagination.total or 0) > count + page.count - len(settled)
            if not all(map(seen.in_any_list, settled)) or (is_understood and (counts_more or not count)):
                yield part
            if is_understood:
                break


def _usable(stream: ListStream, orders: Iterable[Order]) -> Sequence[Order]:
    """Return the orders that records have the field for, and that the user's own `sort` does not exclude."""
    sort = stream.settings.get("sort")
    fields = stream.schema["properties"]
    return [order for order in orders if order.field in fields and sort in {None, order.sort}]
