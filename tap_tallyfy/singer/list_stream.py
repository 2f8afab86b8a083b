"""The base of all streams that read a list of the API: from settings to an endpoint, and from its lists to records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar

from singer_sdk import Tap
from typing_extensions import override

from tap_tallyfy.api.listing import DEFAULT, Listing, is_archived
from tap_tallyfy.reading.paginator import Order
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
    archived: ClassVar[Listing | None] = None  #: The list of archived records, where the default list leaves them out.
    parameters: ClassVar[Mapping[str, str]] = {}  #: Query parameters that are always sent.
    wrapped: ClassVar[Sequence[str]] = ()  #: Further fields that may arrive as `{"data": ...}`, as related data does.
    #: The query parameter that leaves out records created before a day, where the API has one.
    since_parameter: ClassVar[str] = ""
    #: Query parameters that are no settings, since the tap has to decide them.
    managed_params: ClassVar[frozenset[str]] = frozenset()
    sort_parameter: ClassVar[str] = "sort"  #: The query parameter that sorts.
    #: Query parameters that ask for the whole list in one response; empty where there are none.
    unpaginated: ClassVar[Mapping[str, str]] = {"without_pagination": "true"}
    #: Yields a record and the records of the same kind that it holds; None where it holds none.
    expand: ClassVar[Callable[[Record, Callable[[Record], Record], set[Misfit]], Iterable[Record]] | None] = None
    #: How the records can be read by their parents, where these say when one changed.
    follows: ClassVar[Follows | None] = None
    is_single: ClassVar[bool] = False  #: Whether a response holds one object, and there are no pages.
    prefer_unpaginated: ClassVar[bool] = False  #: Whether one response with the whole list is the best way to read it.

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
        """Return when a record changed last, as far as it says; None where the list has no date of change."""
        return record.get(self.replication_key) if self.replication_key else None

    @property
    def parents_of_records(self) -> ListStream | None:
        """The stream of those that the records belong to, or None."""
        found = self._tap.streams.get(self.follows.parent) if self.follows else None
        return found if isinstance(found, ListStream) else None

    @property
    def user_agent(self) -> str:
        """The `User-Agent` of all requests."""
        return str(self.config.get("user_agent") or f"{self.tap_name}/{_version(type(self._tap))}")


@cache
def _version(tap: type[Tap]) -> str:
    return tap.get_plugin_version()  # it reads a file each time
