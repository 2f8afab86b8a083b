"""Says how far a sync is: a line in the log every few seconds, a bar on a terminal, and a summary in the end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tap_tallyfy.evidence import Seen
    from tap_tallyfy.page import Page
    from tap_tallyfy.stream import ListStream

_SECONDS_BETWEEN_LINES: Final = 5.0


class Progress:
    """Counts what one stream's sync does.

    Attributes:
        pages: Pages received.
    """

    def __init__(self, stream: ListStream, seen: Seen) -> None:
        """Start counting.

        Args:
            stream: The stream that is synced.
            seen: What it has read.
        """
        self._stream = stream
        self._seen = seen
        self._totals: dict[object, int | None] = {}
        self._started = self._last_line = time.monotonic()
        self._requests_before = stream.client.pace.requests
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm  # noqa: PLC0415 - costs start-up time, and most runs have no terminal

            self._bar = tqdm(desc=stream.name, unit=" records", leave=False)
        self.pages = 0

    def page(self, page: Page, source: object) -> None:
        """Count a page, and say how far the sync is if it is time to.

        Args:
            page: The page.
            source: The list that it is one of; a stream's lists have a length each.
        """
        self.pages += 1
        self._totals[source] = page.pagination.total
        done, total = len(self._seen), self._total()
        now = time.monotonic()
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(done - self._bar.n)
        elif now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            rate = done / (now - self._started)
            left = f", about {(total - done) / rate:.0f} s left" if total and total > done and rate else ""
            self._stream.logger.info(
                "%s: %d of %s read in %d pages, %.0f a second%s.",
                self._stream.name,
                done,
                "an unknown number" if total is None else total,
                self.pages,
                rate,
                left,
            )

    def _total(self) -> int | None:
        """Return how many records there are to read as far as the API says, or None where it does not."""
        known = [total for total in self._totals.values() if total is not None]
        # Some that were read may have been deleted since.
        return max(sum(known), len(self._seen)) if len(known) == len(self._totals) else None

    def finish(self) -> None:
        """Sum the sync up."""
        if self._bar is not None:
            self._bar.close()
        pace = self._stream.client.pace
        self._stream.logger.info(
            "%s: %d read; %d requests, %d refused for the rate limit, %.1f s waited, %.1f s in all.",
            self._stream.name,
            len(self._seen),
            pace.requests - self._requests_before,
            pace.refusals,
            pace.waited,
            time.monotonic() - self._started,
        )
