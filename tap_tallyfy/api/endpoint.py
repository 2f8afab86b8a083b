"""One list endpoint on the wire: builds the request for a window, and turns the response into a page."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests
from singer_sdk.exceptions import FatalAPIError

from tap_tallyfy.api import errors
from tap_tallyfy.reading.page import Page, Pagination

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tap_tallyfy.reading.page import Window

    Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One list endpoint.

    Attributes:
        name: The stream whose list it is, for sentences and metrics.
        url: Where it is, without a query.
        headers: Sent with every request, but for the signature.
        params: Sent with every request: fixed parameters, the user's filters and related data.
        sort: The user's own order, or None.
        sort_parameter: The query parameter that sorts.
        unpaginated: Parameters that ask for the list in one response; empty where nothing does.
        parse: Makes a record of a row as parsed from JSON.
        key: The field without which no target can store a record.
        inspect: Takes the rows of each page as the API sent them.
    """

    name: str
    url: str
    headers: Mapping[str, str]
    params: Mapping[str, Any]
    sort: str | None
    sort_parameter: str
    unpaginated: Mapping[str, str]
    parse: Callable[[Record], Record]
    key: str
    inspect: Callable[[Sequence[Record]], None] = field(default=lambda _: None)

    def request(self, window: Window) -> requests.Request:
        """Return the request for a page, not signed yet."""
        params = {**self.params, **window.parameters, self.sort_parameter: window.sort or self.sort}
        params |= self.unpaginated if window.unpaginated else {"page": window.page, "per_page": window.size}
        query = urlencode({name: _as_text(value) for name, value in params.items() if value is not None}, safe=",")
        return requests.Request("GET", self.url, params=query, headers=dict(self.headers))

    def added_parameters(self, window: Window) -> frozenset[str]:
        """Return the query parameters by which the tap looks for a way to read the list; it can do without each."""
        added = {self.sort_parameter} if window.sort and window.sort != self.sort else set()
        return frozenset(added.union(self.unpaginated if window.unpaginated else ()))

    def check(self, response: requests.Response) -> requests.Response:
        """Return a response that is a success, and refuse any other; see `errors.check`."""
        errors.check(response, self.name)
        return response

    def page(self, window: Window, response: requests.Response) -> Page:
        """Return the page that a response holds.

        Raises:
            RetriableAPIError: If it is not JSON, or may well be another one the next time.
            FatalAPIError: If it is a refusal, or holds no list of records.
        """
        body = errors.parse(self.check(response))
        rows = self._rows(body)
        self.inspect(rows)
        records = [record for record in map(self.parse, rows) if record.get(self.key)]
        meta = body.get("meta") if isinstance(body, dict) else None
        keyless = len(rows) - len(records)
        return Page(window, records, Pagination.read(meta), _server_time(response), keyless)

    def _rows(self, body: object) -> list[Record]:
        rows = body.get("data") if isinstance(body, dict) else body
        if isinstance(rows, dict) and all(key.isdecimal() for key in rows):
            rows = list(rows.values())  # PHP writes a list with gaps as an object
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise FatalAPIError(
                f"GET {self.url} returned JSON without a list of records under 'data'; check 'api_url'."
            )
        return rows


def _as_text(value: object) -> str:
    """Return a query parameter's value: lists comma-separated, booleans `true` or `false`."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _server_time(response: requests.Response) -> float | None:
    """Return the server's clock when it can at the earliest have read the list, in seconds since the epoch.

    The `Date` header is when the server sent the response.
    """
    try:
        moment = parsedate_to_datetime(response.headers["Date"])
        # A date-time without a zone is UTC, as in HTTP all are.
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return moment.timestamp() - math.ceil(response.elapsed.total_seconds())
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
