"""Says how far a sync is: on a terminal in a line that is drawn anew, elsewhere in the log, and sums up in the end."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from tap_tallyfy.singer.terminal import LiveLine

if TYPE_CHECKING:
    from tap_tallyfy.api.rate_limit import RateLimiter
    from tap_tallyfy.reading.page import Page
    from tap_tallyfy.reading.seen import Seen

_SECONDS_BETWEEN_LINES: Final = 10.0
_SECONDS_BETWEEN_DRAWINGS: Final = 0.1
#: From so many seconds on, the time that is left is told in minutes.
_WORTH_MINUTES: Final = 120
_TABLE_ROW: Final = "{:<16}{:>12}{:>10}{:>10}{:>10}\n"


class Cost(NamedTuple):
    """What has been done and spent so far, by the clocks and counters of the process, or in a stretch of time."""

    rows: float
    requests: float
    refusals: float
    waited: float
    seconds: float

    def since(self, before: Cost) -> Cost:
        """Return what has come since.

        Args:
            before: An earlier state.
        """
        return Cost(*(now - then for now, then in zip(self, before, strict=True)))


class Progress:
    """Follows the streams of a tap, one after the other."""

    def __init__(self, pace: RateLimiter, log: logging.Logger) -> None:
        """Start with nothing done.

        Args:
            pace: Counts requests and waits.
            log: Where to say how far the sync is, if there is no terminal to draw on.
        """
        self._pace = pace
        self._log = log
        self._stream = ""
        self._rows = 0
        self._list: tuple[str, Seen] | None = None
        self._part: object = None
        self._before_part = 0
        self._goal: int | None = None
        self._costs: dict[str, Cost] = {}
        self._began = self._so_far()
        self._list_began = self._began.seconds
        # Messages on the same terminal would tear the line.
        draws = sys.stderr.isatty() and not sys.stdout.isatty() and log.isEnabledFor(logging.INFO)
        self._line = LiveLine(sys.stderr) if draws else None
        self._tell_at = time.monotonic() + (0 if draws else _SECONDS_BETWEEN_LINES)

    def begin(self, stream: str) -> None:
        """Follow a stream.

        Args:
            stream: Its name.
        """
        self._stream, self._list, self._began = stream, None, self._so_far()
        if self._line:
            self._line.take_log()
            self._line.show(self._text())

    def read(self, name: str, seen: Seen) -> None:
        """Follow the reading of the list that the stream is made from.

        Args:
            name: The name of the list.
            seen: What has been read of it; others keep it up to date.
        """
        self._list, self._list_began, self._part, self._goal = (name, seen), time.monotonic(), None, None

    def page(self, page: Page, part: object) -> None:
        """Note a page of the list.

        Args:
            page: The page.
            part: Which part of the list it is of; they are read one after the other, and each has a length of its own.
        """
        if self._list and part is not self._part:
            self._part, self._before_part = part, len(self._list[1])
        total = page.pagination.total
        self._goal = None if total is None else self._before_part + total
        self._tell()

    def wrote(self, rows: int) -> None:
        """Note that the stream has emitted more rows.

        Args:
            rows: How many more.
        """
        self._rows += rows
        self._tell()

    def end(self, *, complete: bool) -> None:
        """Sum the stream up.

        Args:
            complete: Whether it was synced to its end.
        """
        cost = self._costs[self._stream] = self._so_far().since(self._began)
        if self._line:
            self._line.give_log_back()
        elif complete:
            self._log.info(
                "%s: %d rows written; %d requests, %d refused for the rate limit, %.1f s waited, %.1f s in all.",
                self._stream,
                *cost,
            )

    def sum_up(self) -> None:
        """Show on the terminal what each stream has taken."""
        if self._line and self._costs:
            total = Cost(*map(sum, zip(*self._costs.values(), strict=True)))
            self._line.write(_TABLE_ROW.format("stream", "rows", "requests", "s waited", "s in all"))
            for name, cost in (*self._costs.items(), ("all", total)):
                times = f"{cost.waited:,.1f}", f"{cost.seconds:,.1f}"
                self._line.write(_TABLE_ROW.format(name, f"{cost.rows:,.0f}", f"{cost.requests:,.0f}", *times))
            self._costs.clear()

    def _so_far(self) -> Cost:
        pace = self._pace
        return Cost(self._rows, pace.requests, pace.rejections, pace.waited, time.monotonic())

    def _tell(self) -> None:
        """Say how far the stream is, if it is time to."""
        now = time.monotonic()
        if now < self._tell_at:
            return
        self._tell_at = now + (_SECONDS_BETWEEN_DRAWINGS if self._line else _SECONDS_BETWEEN_LINES)
        if self._line:
            self._line.show(self._text())
        else:
            self._log.info("%s.", self._text())

    def _text(self) -> str:
        now = self._so_far()
        spent = now.since(self._began)
        parts = [f"{spent.rows:,.0f} rows"]
        if self._list:
            name, seen = self._list
            done = len(seen)
            # Some that were read may have been deleted since.
            goal = self._goal and max(self._goal, done)
            rate = done / max(now.seconds - self._list_began, _SECONDS_BETWEEN_DRAWINGS)
            parts = [f"{done:,} {name}" if goal is None else f"{done:,} of {goal:,} {name}"]
            if done:
                parts.append(f"{rate:,.0f}/s")
            if goal and done and (left := (goal - done) / rate) >= 1:
                parts.append(f"{left:.0f} s left" if left < _WORTH_MINUTES else f"{left / 60:,.0f} min left")
        parts.append(f"{spent.requests:,.0f} request{'s' if spent.requests != 1 else ''}")
        if spent.waited >= 1:
            parts.append(f"{spent.waited:,.0f} s waited")
        return f"{self._stream}: {', '.join(parts)}"
