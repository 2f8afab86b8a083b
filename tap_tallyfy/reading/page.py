"""A page of a list: what is asked for, what comes, and where the API says it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from concurrent.futures import Future

    Record = dict[str, Any]

_WHOLE_NUMBER: Final = re.compile(r"(\d{1,15})(\.0*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Window:
    """A page to ask for.

    Attributes:
        page: Its number, from 1.
        size: Records a page.
        sort: The order to ask for, or None for the API's own.
        whole: Ask for the whole list in one answer instead.
        parameters: The query parameters that single out the list, in the form the server understands.
    """

    page: int
    size: int
    sort: str | None = None
    whole: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def start(self) -> int:
        """The position in the list that its first record should have, from 0."""
        return (self.page - 1) * self.size

    @property
    def end(self) -> int:
        """The position behind the last record it can hold."""
        return self.page * self.size


@dataclass(frozen=True, slots=True)
class Pagination:
    """Where the API says a page stands in its list (`meta.pagination`).

    Attributes:
        total: Records in the list, or None where the API does not say.
        per_page: Records a page as the API counts them, or None where it does not say.
        total_pages: Pages in the list, or None; some servers compute it from another page size than they use.
        next_link: Whether the API offers a link to a next page. Only that it does is used, never the link.
    """

    total: int | None = None
    per_page: int | None = None
    total_pages: int | None = None
    next_link: bool = False

    @classmethod
    def read(cls, meta: object) -> Pagination:
        """Read `meta`, taking nothing in it for granted.

        Args:
            meta: The `meta` of an answer, of any shape. The vendor's own description of the API spells the key with a
                capital P for some lists.
        """
        meta = meta if isinstance(meta, dict) else {}
        pagination = meta.get("pagination", meta.get("Pagination"))
        if not isinstance(pagination, dict):
            return cls()
        links = pagination.get("links")
        return cls(
            total=_whole_number(pagination.get("total")),
            per_page=_whole_number(pagination.get("per_page")),
            total_pages=_whole_number(pagination.get("total_pages")),
            next_link=isinstance(links, dict) and bool(links.get("next")),
        )


def _whole_number(value: object) -> int | None:
    """Return a count the API sent as a number or as a string, or None for anything else."""
    if isinstance(value, (int, float, Decimal, str)) and (match := _WHOLE_NUMBER.fullmatch(str(value))):
        return int(match[1])
    return None


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was received: records of one moment.

    Attributes:
        window: What was asked for.
        records: What came, normalised, in the order received.
        pagination: Where the API says it stands.
        server_time: The server's clock when it can at the earliest have read the list, or None where it does not say.
        keyless: Rows that came besides and have no key.
    """

    window: Window
    records: Sequence[Record]
    pagination: Pagination = Pagination()
    server_time: str | None = None
    keyless: int = 0

    @property
    def count(self) -> int:
        """How many rows came."""
        return len(self.records) + self.keyless

    @property
    def goes_on(self) -> bool:
        """Whether the API says that the list goes on behind this page; that it does not say so proves nothing."""
        told = self.pagination
        if told.total is not None:
            return self.window.start + self.count < told.total
        return told.next_link or self.window.page < (told.total_pages or 0)

    def size_shown(self, size: int) -> int:
        """Return the size of the list's pages as this one shows it: a server may send fewer records than are asked for.

        Args:
            size: The size known so far; only the first page says more.
        """
        told, total = self.pagination.per_page or size, self.pagination.total
        if self.window.page > 1 or not self.count:
            return size
        if self.goes_on or total is None or total < self.count:  # nothing that can be believed says that this is all
            return self.count
        return told if self.count <= told < size else size

    def is_short(self, size: int) -> bool:
        """Return whether fewer records came than could.

        Args:
            size: The size of the list's pages.
        """
        return self.count < min(self.window.size, self.pagination.per_page or size, size)

    def is_last(self, size: int) -> bool:
        """Return whether the page shows on its own that it is the last one: a short page has to agree with the total.

        Args:
            size: The size of the list's pages.
        """
        return not self.count or (self.is_short(size) and self.window.start + self.count == self.pagination.total)


class UnreadableError(Exception):
    """A list cannot be read in this way; the text says why."""


class UnreadListError(Exception):
    """It cannot be shown that all of a list was read; the text is a sentence."""


class Source(Protocol):
    """Where the pages of a list come from."""

    #: Whether the list can be asked for in one answer.
    has_whole: bool

    def read(self, window: Window) -> Page:
        """Return a page."""

    def submit(self, window: Window) -> Future[Any]:
        """Ask for a page while others are under way."""

    def wait_any(self, answers: Iterable[Future[Any]]) -> Iterable[Future[Any]]:
        """Wait until at least one of several answers is there, and return all that are."""

    def result(self, window: Window, answer: Future[Any]) -> Page:
        """Return the page that was asked for."""
