"""Keeps all requests of the process just under the API's rate limit, which it learns as it goes.

Public figures for the limit differ by source and plan, so none is relied on: the server's own answers decide.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Limits the vendor has published, as (requests, seconds). Where one of them may end the burst, a request goes out
#: alone, so that reaching the limit costs one refusal and not one for every request under way.
PUBLISHED: Final = ((12, 5.0), (100, 60.0), (600, 60.0), (1000, 3600.0))
#: How long to wait after a refusal that does not say, in seconds.
DEFAULT_WAIT: Final = 5.0
#: The longest wait the server can impose, in seconds.
LONGEST_WAIT: Final = 300.0

_MARGIN: Final = 0.01
# Threads wake up late by some milliseconds; so much is made up for, else it would slow all later requests down.
_LATE: Final = 0.02
_MOST_PUBLISHED: Final = max(count for count, _ in PUBLISHED)
# After so many windows without a refusal a little more is tried, and once that went well, sooner and more each time.
_QUIET_WINDOWS: Final = 10
_QUIET_WINDOWS_ON: Final = 2
_SMALLEST_STEP: Final = 0.02
_LARGEST_STEP: Final = 0.32


class Pace:
    """One limiter for all threads.

    A learned limit is kept as a sliding window over answers: a request may go out while fewer than `limit` are under
    way or were answered in the last `window` seconds. That holds for servers that count in fixed windows and in rolling
    ones.

    Attributes:
        limit: Requests a window, or None while the server has shown no limit.
        window: The window's length in seconds.
        waited: Seconds spent waiting so far.
        refusals: Requests refused with 429 so far.
    """

    def __init__(
        self,
        requests_per_minute: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        """Start without a limit but the one given.

        Args:
            requests_per_minute: A cap, or None for what the server allows.
            clock: Seconds from any start.
            pause: Waits some seconds, or less; tests that simulate time give their own.
        """
        self._interval = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._sent: deque[float] = deque(maxlen=max(int(requests_per_minute or 0), 1))
        self._clock = clock
        self._changed = threading.Condition()
        self._pause = pause or self._changed.wait
        self._next_slot = self._resume_at = clock()
        self._under_way = 0
        self._answered: deque[float] = deque()
        self._remaining: int | None = None
        self._passed: set[tuple[int, float]] = set()
        self._scout: int | None = None
        self._scouted: set[tuple[int, float]] = set()
        self._contradicted: set[tuple[int, float]] = set()
        self._last_reset: float | None = None
        self._since_reset = 0
        self._quiet_since = 0.0
        self._step = _SMALLEST_STEP
        self._proven: int | None = None
        self.limit: int | None = None
        self.window = 0.0
        self.waited = 0.0
        self.refusals = 0

    def acquire(self) -> None:
        """Wait until a request may go out."""
        with self._changed:
            started = self._clock()
            while (delay := self._delay()) > 0:
                self._pause(delay)
            now = self._clock()
            self.waited += now - started
            self._next_slot = max(now - _LATE, self._next_slot) + self._interval
            self._sent.append(now)
            if self.limit is None and self._may_be_the_last(now):
                self._scout = threading.get_ident()
            self._under_way += 1

    def release(self, *, remaining: str | None = None) -> None:
        """Note that a request was answered, or failed, otherwise than by a refusal.

        Args:
            remaining: The answer's `X-RateLimit-Remaining`, if any.
        """
        with self._changed:
            self._under_way -= 1
            if self._back_from_scouting():
                self._passed |= self._scouted
            self._answered.append(self._clock())
            if len(self._answered) > max(_MOST_PUBLISHED, self.limit or 0) + 1:
                self._answered.popleft()
            self._since_reset += 1
            self._remaining = int(remaining) if remaining and remaining.isdecimal() else None
            self._changed.notify_all()

    def refused(self, retry_after: float | None) -> None:
        """Note a 429, and learn from it.

        Args:
            retry_after: Seconds to wait as the answer's `Retry-After` says, or None where it does not.
        """
        with self._changed:
            now = self._clock()
            self._under_way -= 1
            self._back_from_scouting()
            self.refusals += 1
            told = max(DEFAULT_WAIT if retry_after is None else retry_after, _MARGIN)
            wait = min(told, LONGEST_WAIT)
            if now >= self._resume_at:  # the first refusal of this window: the others say the same again
                self._learn(now, now + wait, now + (math.inf if retry_after is None else told))
            self._resume_at = max(self._resume_at, now + wait)
            self._remaining = None
            self._changed.notify_all()

    def _learn(self, now: float, reset: float, told: float) -> None:
        """Take the limit from what was answered before this refusal.

        Args:
            now: The time.
            reset: When the next request may go out.
            told: When a new window begins as the server has it, infinite where it does not say.
        """
        started = self._last_reset if self._last_reset is not None else (self._answered or [now])[0]
        published = [
            (count, seconds)
            for count, seconds in PUBLISHED
            # What the last refusal contradicts is met by chance: two windows of 50 are 100 as well.
            if (count, seconds) not in self._contradicted
            and self._since_reset >= count
            and told - started > seconds - 1  # a window cannot have begun before it did, whole seconds allowed for
            and self._answered_within(seconds, count, now)
            and not self._answered_within(seconds, count + 1, now)
        ]
        if self._step > _SMALLEST_STEP:
            self.limit = self._proven  # too much was tried
        elif published:
            self.limit, self.window = published[0]
        elif self._since_reset:
            seconds = max(reset - started, _MARGIN)
            # A window has whole seconds, and so has `Retry-After`, rounded up.
            self.limit, self.window = self._since_reset, math.floor(seconds) or seconds
        self._contradicted = {
            (count, seconds) for count, seconds in PUBLISHED if not self._answered_within(seconds, count, now)
        }
        self._last_reset, self._since_reset = reset, 0
        self._quiet_since, self._step = now, _SMALLEST_STEP

    def _answered_within(self, seconds: float, count: int, now: float) -> bool:
        """Return whether the last so many seconds saw at least so many answers."""
        return count <= 0 or (len(self._answered) >= count and self._answered[-count] > now - seconds)

    def _delay(self) -> float:
        """Return how long the next request has to wait at least, in seconds."""
        now = self._clock()
        delay = max(self._resume_at, self._next_slot, self._cap_ends()) - now
        if delay > 0:
            return delay
        if self.limit is not None:
            return self._limited(self.limit, now)
        spent = self._remaining is not None and 0 < self._under_way >= self._remaining
        return _LONG if spent or self._scout is not None else 0.0

    def _cap_ends(self) -> float:
        """Return when the given cap lets the next request out; `_LATE` alone would let more than the cap through."""
        full = self._interval and len(self._sent) == self._sent.maxlen
        return self._sent[0] + len(self._sent) * self._interval if full else -math.inf

    def _limited(self, limit: int, now: float) -> float:
        free = limit - self._under_way
        if free > 0 and not self._answered_within(self.window + _MARGIN, free, now):
            return 0.0
        quiet_windows = _QUIET_WINDOWS if self._step == _SMALLEST_STEP else _QUIET_WINDOWS_ON
        if now - self._quiet_since > quiet_windows * self.window:
            self._proven, self.limit = (
                limit,
                limit + max(int(limit * self._step), 1),
            )  # the server may allow more by now
            self._quiet_since, self._step = now, min(2 * self._step, _LARGEST_STEP)
            return 0.0
        return self._answered[-free] + self.window + _MARGIN - now if free > 0 else _LONG

    def _may_be_the_last(self, now: float) -> bool:
        """Return whether the next request may be the first one too many, by what was published."""
        self._scouted = {
            (count, seconds)
            for count, seconds in PUBLISHED
            if (count, seconds) not in self._passed and self._answered_within(seconds, count - self._under_way, now)
        }
        return bool(self._scouted)

    def _back_from_scouting(self) -> bool:
        """Return whether this thread's request was the one that went ahead, and let the others follow."""
        if self._scout != threading.get_ident():
            return False
        self._scout = None
        return True


_LONG: Final = 60.0  # until an answer comes in, which wakes the waiting
