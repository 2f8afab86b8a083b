"""Reads `meta.pagination`, in every form the API is known to write it."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.pagination import BaseAPIPaginator

from tap_tallyfy.walk import Window

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    import requests


class _Envelope(msgspec.Struct):
    """What of a response says where it stands in its list; the records themselves stay unparsed."""

    data: list[msgspec.Raw] | dict[str, msgspec.Raw] | None = None
    meta: Any = None


_DECODER = msgspec.json.Decoder(_Envelope)
_WHOLE_NUMBER = re.compile(r"(\d{1,15})(\.0*)?", re.ASCII)


@dataclass(frozen=True)
class Pagination:
    """Where a page stands in its list.

    Attributes:
        count: Records on this page.
        total: Records in the list, or None where the API does not say.
        per_page: Records a page as the API counts them, or None where it does not say.
        total_pages: Pages in the list, or None; some servers compute it from another page size than they use.
        next_link: Whether the API offers a link to a next page. Only that it does is used, never the link.
        paged: Whether there is any `meta.pagination` at all; a list sent whole has none.
    """

    count: int
    total: int | None = None
    per_page: int | None = None
    total_pages: int | None = None
    next_link: bool = False
    paged: bool = False

    @classmethod
    def read(cls, meta: object, count: int) -> Pagination:
        """Read `meta`, taking nothing in it for granted.

        Args:
            meta: The `meta` of a response, of any shape.
            count: Records in the response.
        """
        pagination = meta.get("pagination") if isinstance(meta, dict) else None
        if not isinstance(pagination, dict):
            return cls(count)
        links = pagination.get("links")
        return cls(
            count=count,
            total=_whole_number(pagination.get("total")),
            per_page=_whole_number(pagination.get("per_page")),
            total_pages=_whole_number(pagination.get("total_pages")),
            next_link=isinstance(links, dict) and bool(links.get("next")),
            paged=True,
        )

    def more_after(self, page: int, size: int) -> bool:
        """Return whether the list may go on behind this page; where the API contradicts itself, it may.

        Args:
            page: This page's number, from 1.
            size: Records a page.
        """
        if not self.count or not self.paged:
            return False
        if self.next_link or page < (self.total_pages or 0):
            return True
        if self.total is None:
            return self.per_page is None or self.count >= min(size, self.per_page)
        return (page - 1) * size + self.count != self.total


def _whole_number(value: object) -> int | None:
    """Return a count the API sent as a number or as a string, or None for anything else."""
    if isinstance(value, (int, float, Decimal, str)) and (match := _WHOLE_NUMBER.fullmatch(str(value))):
        return int(match[1])
    return None


class ListPaginator(BaseAPIPaginator[Window]):
    """Goes from page number to page number to the true end of a list; it never follows a link."""

    def __init__(self, start_value: int = 1, page_size: int = 100) -> None:
        """Start at a page.

        Args:
            start_value: Number of the first page to read, from 1.
            page_size: Records asked for a page; a server may send fewer.
        """
        super().__init__(Window(start_value, page_size))
        self._page_size = page_size
        self._last_rows: list[bytes] = []

    @override
    def get_next(self, response: requests.Response) -> Window:
        return replace(self.current_value, page=self.current_value.page + 1)

    @override
    def has_more(self, response: requests.Response) -> bool:
        """Return whether to ask for a further page.

        Args:
            response: A page; a body that is no list reads as an empty one.
        """
        try:
            envelope = _DECODER.decode(response.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        data = envelope.data or ()
        rows = [bytes(row) for row in (data.values() if isinstance(data, dict) else data)]
        pagination = Pagination.read(envelope.meta, len(rows))
        if rows == self._last_rows:
            return False  # an endpoint that ignores `page` would send the same for ever
        self._last_rows = rows
        if self.count == 1 and 0 < pagination.count < self._page_size:
            self._page_size = pagination.count  # the server's own page size, or the list's only page
        return pagination.more_after(self.current_value.page, self._page_size)
