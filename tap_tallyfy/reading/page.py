"""A page of a list: the request for it, its records, and its place in the list as the server tells it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Protocol

Record = dict[str, Any]

_WHOLE_NUMBER: Final = re.compile(r"(\d{1,15})(\.0*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Window:
    """A page to ask for."""

    page: int  #: Its number, from 1.
    size: int  #: Rows a page.
    sort: str | None = None  #: The order to ask for, or None for the server's own.
    unpaginated: bool = False  #: Ask for the whole list in one response instead.
    #: The query parameters that single out the list, in the variant the server understands.
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def start(self) -> int:
        """The position in the list that its first row should have, from 0."""
        return (self.page - 1) * self.size

    @property
    def end(self) -> int:
        """The position behind the last row it can hold."""
        return self.page * self.size


@dataclass(frozen=True, slots=True)
class Pagination:
    """Where the server says a page stands in its list (`meta.pagination`)."""

    total: int | None = None  #: Rows in the list, or None where the server does not say.
    per_page: int | None = None  #: Rows a page as the server counts them, or None where it does not say.
    #: Pages in the list, or None; some servers compute it from another page size than they use.
    total_pages: int | None = None
    next_link: bool = False  #: Whether there is a link to a next page. Only that there is one is used, never the link.

    @classmethod
    def read(cls, envelope: Mapping[str, Any]) -> Pagination:
        """Read the pagination of a response, wherever frameworks put it, and with capital letters or without.

        Fractal writes `meta.pagination`, with a capital P in the vendor's Swagger; Laravel writes the same names into
        `meta`, or beside `data`.
        """
        told: dict[str, Any] = {}
        around = _lower(envelope)
        meta = _lower(around.get("meta"))
        for place in (around, _lower(around.get("pagination")), meta, _lower(meta.get("pagination"))):
            told |= place
        links = told.get("links")
        return cls(
            total=_whole_number(told.get("total")),
            per_page=_whole_number(told.get("per_page")),
            total_pages=_whole_number(told.get("total_pages", told.get("last_page"))),
            next_link=bool(told.get("next_page_url") or (isinstance(links, dict) and links.get("next"))),
        )


def _lower(value: object) -> dict[str, Any]:
    """Return an object with its names in lower case, or an empty one for any other JSON."""
    return {name.lower(): part for name, part in value.items()} if isinstance(value, dict) else {}


def _whole_number(value: object) -> int | None:
    """Return a count that was sent as a number or as a string, or None for anything else."""
    if isinstance(value, (int, float, Decimal, str)) and (match := _WHOLE_NUMBER.fullmatch(str(value))):
        return int(match[1])
    return None


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was received: rows of one moment."""

    window: Window  #: The request.
    records: Sequence[Record]  #: The rows that have a key, normalised, in the order received.
    pagination: Pagination = Pagination()  #: Where the server says the page stands.
    #: The server's clock, in seconds since the epoch, when it can at the earliest have read the list, or None where it
    #: does not say.
    server_time: float | None = None
    keyless: int = 0  #: How many rows of the page have no key and were left out of `records`.
    trusts_totals: bool = True  #: Whether counts of the server have a say in how the list is read.

    @property
    def count(self) -> int:
        """How many rows came, with those that have no key."""
        return len(self.records) + self.keyless

    @property
    def end(self) -> int:
        """The position behind its last row, if the server made it of the size asked for."""
        return self.window.start + self.count

    @property
    def total(self) -> int | None:
        """Rows in the list, or None where the server does not say or is not to be believed."""
        return self.pagination.total if self.trusts_totals else None

    @property
    def has_more(self) -> bool:
        """Whether the server says that the list goes on behind this page; that it does not say so proves nothing."""
        if not self.trusts_totals:
            return False
        told = self.pagination
        if told.total is not None:
            return self.end < told.total
        return told.next_link or self.window.page < (told.total_pages or 0)

    @property
    def lacks_rows(self) -> bool:
        """Whether no row came although the server says that there are some at this place."""
        if self.count or not self.has_more:
            return False
        # A number of pages may be counted in another size than they have.
        return self.total is not None or self.pagination.next_link or self.window.page == 1

    @property
    def proves_end(self) -> bool:
        """Whether a first page shows on its own that nothing lies behind it.

        A server that sends fewer rows than it was asked for must say itself that it did not cut the page short.
        """
        if not self.count:
            return not (self.has_more or self.is_below_total)
        told = self.pagination
        if told.next_link or (told.total_pages or 1) > 1:
            return False
        is_short = told.per_page is not None and self.count < told.per_page and self.count != self.window.size
        return is_short and self.total == self.count

    @property
    def counts_behind(self) -> bool:
        """Whether the server counts rows behind the place that was asked for, although this page may hide some."""
        return not self.trusts_totals and self.window.end < (self.pagination.total or 0)

    @property
    def is_below_total(self) -> bool:
        """Whether the server counts rows behind this page, although the token may not see them."""
        return self.end < (self.pagination.total or 0)


class UnreadableError(Exception):
    """A list cannot be read in this way; the text says why."""


class UnreadListError(Exception):
    """A list was not read completely in any way; the text tells the user how to go on."""


class Source(Protocol):
    """Where the pages of a list come from."""

    has_unpaginated: bool  #: Whether the list can be asked for in one response.

    def read(self, window: Window) -> Page:
        """Return a page."""

    def submit(self, window: Window) -> Future[Any]:
        """Ask for a page while others are under way."""

    def wait_any(self, futures: Iterable[Future[Any]]) -> Iterable[Future[Any]]:
        """Wait until at least one of several pages has arrived, and return those that have."""

    def result(self, window: Window, future: Future[Any]) -> Page:
        """Return the page that was asked for."""
