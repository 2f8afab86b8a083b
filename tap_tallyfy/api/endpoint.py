"""One list endpoint on the wire: builds the request for a window, and turns the response into a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import requests

from tap_tallyfy.api.client import Account
from tap_tallyfy.api.errors import ListUnsupportedError, PassingError, check, parse
from tap_tallyfy.api.response import Response
from tap_tallyfy.api.retry import http_date
from tap_tallyfy.reading.page import Page, Pagination, Window
from tap_tallyfy.records.shapes import Record, as_list, bare, inside

_FAILED: Final = frozenset({"error", "fail", "failed", "failure"})
#: No error, as a text in lower case.
_NOTHING: Final = frozenset({"", "0", "false", "none", "null", "[]", "{}"})


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One list endpoint."""

    name: str  #: The stream whose list it is, for sentences and metrics.
    path: str  #: Its path as the contract writes it, for metrics.
    url: str  #: Where it is, without a query.
    headers: Mapping[str, str]  #: Sent with every request, but for the signature.
    params: Mapping[str, Any]  #: Sent with every request: fixed parameters, the user's filters and related data.
    sort: str | None  #: The user's own order, or None.
    sort_parameter: str  #: The query parameter that sorts.
    unpaginated: Mapping[str, str]  #: Parameters that ask for the list in one response; empty where nothing does.
    parse: Callable[[Record], Record]  #: Makes a record of a row as parsed from JSON.
    key: str  #: The field without which no target can store a record.
    trust_totals: bool = True  #: Whether a list that announces records has to show some; see the setting of that name.
    is_single: bool = False  #: Whether a response holds one object, and there are no pages.
    #: Takes the rows of each page as the API sent them, and whether a character was broken, and is U+FFFD now.
    inspect: Callable[[Sequence[Record], bool], None] = field(default=lambda *_: None)

    @property
    def account(self) -> Account:
        """Where its requests are booked."""
        return Account(self.name, self.path)

    def request(self, window: Window) -> requests.Request:
        """Return the request for a page, not signed yet."""
        params: dict[str, Any] = {**self.params, **window.parameters}
        if not self.is_single:
            params[self.sort_parameter] = window.sort or self.sort
            params |= self.unpaginated if window.unpaginated else {"page": window.page, "per_page": window.size}
        query = urlencode({name: _as_text(value) for name, value in params.items() if value is not None}, safe=",")
        return requests.Request("GET", self.url, params=query, headers=dict(self.headers))

    def added_parameters(self, window: Window) -> frozenset[str]:
        """Return the query parameters by which the tap looks for a way to read the list; it can do without each."""
        added = {self.sort_parameter} if window.sort and window.sort != self.sort else set()
        return frozenset(added.union(self.unpaginated if window.unpaginated else ()))

    def check(self, response: Response) -> Response:
        """Return a response that is a success, and refuse any other; see `errors.check`."""
        check(response, self.name)
        return response

    def page(self, window: Window, response: Response) -> Page:
        """Return the page that a response holds.

        Raises:
            PassingError: If it is not JSON, shows nothing where there must be something, or may well be another one
                the next time.
            APIError: If it is a refusal, or holds no list of records.
        """
        body, is_repaired = parse(self.check(response))
        envelope: Mapping[str, Any] = body if isinstance(body, dict) else {"data": body}
        if _is_error(envelope):
            raise PassingError(
                f"{self.named} returned an error, although with status {response.status}: the API failed; if this"
                " persists, ask Tallyfy's support.",
                response.status,
            )
        rows = self._rows(envelope if self.is_single and "data" not in envelope else envelope.get("data"))
        objects = [row for row in rows if isinstance(row, dict)]
        if self.is_single and rows and not (len(objects) == 1 and objects[0].get("id")):
            raise PassingError(
                f"{self.named} returned no organization: the API failed; if this persists, ask Tallyfy's support.",
                response.status,
            )
        records = [record for record in map(self.parse, objects) if record.get(self.key) not in (None, "")]
        keyless, pagination = len(rows) - len(records), Pagination.read(envelope)
        page = Page(window, records, pagination, _server_time(response), keyless, self.trust_totals)
        # LIVE: servers of its kind do so; goes once the API is seen to fail with a status of its own instead.
        if window.page == 1 and page.lacks_rows:
            announced = "more pages" if page.total is None else f"{page.total} records"
            raise PassingError(
                f"{self.named} announced {announced}, but its first page shows none: the API failed; if the token may"
                " see none of them, set 'trust_totals' to false.",
                response.status,
            )
        self.inspect(objects, is_repaired)
        return page

    @property
    def named(self) -> str:
        """Its requests, for sentences: the query may hold words of the user's."""
        return f"GET {urlsplit(self.url).path}"

    def _rows(self, data: object) -> list[Any]:
        if self.is_single and isinstance(data, dict):
            return [inside(data)] if data else []
        rows = None if data is None else as_list(data)
        if rows is None:
            raise ListUnsupportedError(
                f"{self.named} returned JSON without a list of records under 'data'; check 'api_url'."
            )
        return rows


def _is_error(envelope: Mapping[str, Any]) -> bool:
    """Return whether a response with status 200 says that it is an error."""
    # LIVE: some servers do so; it can go once errors of the API have been seen to have a status of their own.
    if envelope.get("data"):
        return envelope.get("error") is True
    said = {bare(name): str(value).lower() for name, value in envelope.items()}
    return (
        any(said.get(name, "") not in _NOTHING for name in ("error", "errors", "exception"))
        or any(said.get(name) in {"false", "0"} for name in ("success", "ok"))
        or any(_is_failure(said.get(name, "")) for name in ("status", "statuscode", "code"))
    )


def _is_failure(status: str) -> bool:
    return status in _FAILED or (status.isdecimal() and int(status[:4]) >= HTTPStatus.BAD_REQUEST)


def _as_text(value: object) -> str:
    """Return a query parameter's value: lists comma-separated, booleans `true` or `false`."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _server_time(response: Response) -> float | None:
    """Return the server's clock, in seconds since the epoch, when it can at the earliest have read the list."""
    moment = http_date(response.headers.get("Date", ""))
    return moment.timestamp() - math.ceil(response.seconds) if moment else None
