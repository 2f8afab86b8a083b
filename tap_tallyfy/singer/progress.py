"""Logs how far a sync is, and keeps the cost of each stream for the summary and the report."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tap_tallyfy.api.client import Client
from tap_tallyfy.reading.page import Page

_SECONDS_BETWEEN_LINES: Final = 10


@dataclass
class Cost:
    """The cost of a stream."""

    rows: int = 0  #: Rows written.
    requests: int = 0  #: Requests sent; those of a list are booked on the stream of the list.
    refusals: int = 0  #: Requests that the API refused for its rate limit.
    waited: float = 0.0  #: Seconds waited for the rate limit.
    seconds: float = 0.0  #: Seconds in all.
    bookmark: str = ""  #: The date-time up to which changes were read, or `""`.
    way: str = ""  #: How its list was read: `full`, `incremental` or `changed`.
    done: bool = False  #: Whether it was synced to its end.


class Progress:
    """Follows the streams of a tap, one after the other."""

    def __init__(self, client: Client, log: logging.Logger) -> None:
        self.costs: dict[str, Cost] = {}  #: The cost of each stream in this sync, by its name.
        self._client = client
        self._log = log
        self._tell_at = time.monotonic() + _SECONDS_BETWEEN_LINES

    def of(self, stream: str) -> Cost:
        """Return the cost of a stream so far."""
        return self.costs.setdefault(stream, Cost())

    @contextmanager
    def booked_on(self, stream: str) -> Iterator[Cost]:
        """Book requests and time spent inside on a stream, here and in the SDK's metrics."""
        cost, limiter, began = self.of(stream), self._client.limiter, time.monotonic()
        requests, refusals, waited = limiter.requests, limiter.rejections, limiter.waited
        try:
            yield cost
        finally:
            cost.requests += limiter.requests - requests
            cost.refusals += limiter.rejections - refusals
            cost.waited += limiter.waited - waited
            cost.seconds += time.monotonic() - began
            self._client.log_request_count(stream)

    def page(self, stream: str, page: Page, known: int) -> None:
        """Say every ten seconds how far a stream is, of whose list so many records are known."""
        now = time.monotonic()
        if now >= self._tell_at:
            self._tell_at = now + _SECONDS_BETWEEN_LINES
            total = page.pagination.total
            goal = f" of {max(total, known):,}" if total is not None else ""
            self._log.info("%s: %s%s read; %d requests.", stream, f"{known:,}", goal, self._client.limiter.requests)

    def sum_up(self) -> None:
        """Log a line for each stream that did something, and a total."""
        total = Cost()
        for name, cost in self.costs.items():
            for field in ("rows", "requests", "refusals", "waited", "seconds"):
                setattr(total, field, getattr(total, field) + getattr(cost, field))
            if cost.rows:
                self._line(name, cost)
        self._line("All streams", total)

    def _line(self, name: str, cost: Cost) -> None:
        self._log.info(
            "%s: %d rows written; %d requests, %d refused for the rate limit, %.1f s waited, %.1f s in all.",
            name,
            cost.rows,
            cost.requests,
            cost.refusals,
            cost.waited,
            cost.seconds,
        )
