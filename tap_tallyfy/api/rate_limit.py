"""Keeps all requests of the process just under the API's rate limit, which it learns from rejections as it goes.

Public figures for the limit differ by source and plan, so none is relied on.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from tap_tallyfy.api.retry import LONGEST_WAIT

#: How long to wait after a rejection that does not say, in seconds.
DEFAULT_WAIT: Final = 5.0
#: Waits from this many seconds on are worth a line in the log.
_WORTH_A_LINE: Final = 5.0
#: No window that is worth learning is longer, in seconds; a longer wait is waited for, and tells nothing of the next.
_LONGEST_WINDOW: Final = 300.0
#: How long to sleep at most before looking again; responses wake the waiting earlier.
_NAP: Final = 60.0
_MARGIN: Final = 0.01
#: Threads wake up late by some milliseconds; so much is made up for, else it would slow all later requests down.
_LATE: Final = 0.02
#: After so many windows without a rejection, more is tried by this share.
_QUIET_WINDOWS: Final = 5
_STEP: Final = 0.25
_COUNT: Final = re.compile(r"\d{1,9}", re.ASCII)


class Cap:
    """The limit the user sets: requests evenly spread, and never more than that in a minute."""

    def __init__(self, requests_per_minute: float | None) -> None:
        self._interval = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._sent: deque[float] = deque(maxlen=max(int(requests_per_minute or 0), 1))
        self._next_slot = -math.inf

    def opens_at(self) -> float:
        """Return when the next request may go out, in seconds on the clock."""
        # Making up for `_LATE` alone would let more than the cap through.
        full = self._interval and len(self._sent) == self._sent.maxlen
        return max(self._next_slot, self._sent[0] + len(self._sent) * self._interval if full else -math.inf)

    def note_sent(self, now: float) -> None:
        """Count a request."""
        self._next_slot = max(now - _LATE, self._next_slot) + self._interval
        self._sent.append(now)


@dataclass(frozen=True, slots=True)
class _Known:
    """The limit as far as the server has shown it."""

    requests: int | None = None  #: Requests per window, or None while it has shown no limit.
    seconds: float = 0.0  #: The window's length.
    proven: int = 0  #: Requests per window that went well; `requests` may be a little more, as a try.
    quiet_since: float = 0.0  #: When it last said something new.


# LIVE: five public figures for the limit differ. Once an account has shown its own, `Limit` can be that figure.


class Limit:
    """The limit the API shows: so many requests in so many seconds.

    It is kept as a sliding window over responses: a request may go out while fewer than `requests` are under way or
    were answered in the last `seconds`. That holds for servers that count in fixed windows and in rolling ones.
    """

    def __init__(self) -> None:
        self._known = _Known()
        self._responses: deque[float] = deque()
        #: When the server's present window began as far as we know, and how many responses came in it.
        self._window: tuple[float | None, int] = (None, 0)

    def opens_at(self, now: float, under_way: int) -> float:
        """Return when one more request may go out, on the clock; infinite if not before a response comes in."""
        known, most = self._known, self._known.requests
        if most is None:
            return now
        if now - known.quiet_since > _QUIET_WINDOWS * known.seconds:
            # The server may allow more by now, or other clients may have gone.
            most += max(int(most * _STEP), 1)
            self._known = known = replace(known, requests=most, proven=known.requests or 0, quiet_since=now)
        # A try goes out alone, so that it costs one rejection and not one for every request under way.
        free = (known.proven if under_way else most) - under_way
        if free <= 0:
            return math.inf
        return self._responses[-free] + known.seconds + _MARGIN if len(self._responses) >= free else now

    def note_response(self, now: float) -> None:
        """Count a request that was answered, or failed, otherwise than by a rejection."""
        began, responses = self._window
        self._window = (now if began is None else began, responses + 1)
        self._responses.append(now)
        while self._responses[0] < now - 2 * _LONGEST_WINDOW:
            self._responses.popleft()

    def learn(self, now: float, reset: float) -> None:
        """Take the limit from the responses before a rejection; the next request may go out at `reset`."""
        (began, responses), known = self._window, self._known
        if known.requests is not None and known.requests > known.proven:
            known = replace(known, requests=known.proven)  # too much was tried
        elif responses:
            seconds = max(reset - (now if began is None else began), _MARGIN)
            # A window has whole seconds, and so has `Retry-After`, rounded up.
            known = replace(known, requests=responses, seconds=math.floor(seconds) or seconds, proven=responses)
        self._known = replace(known, quiet_since=now)

    def begin_window(self, reset: float) -> None:
        """Note that the server counts anew from a moment on."""
        self._window = (reset, 0)


class RateLimiter:
    """One limiter for all threads."""

    def __init__(
        self,
        requests_per_minute: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] | None = None,
        log: logging.Logger | None = None,
    ) -> None:
        self._limit = Limit()
        self.requests = 0  #: Requests sent so far, rejected and failed ones included.
        self.rejections = 0  #: Requests answered with 429 so far.
        self._cap = Cap(requests_per_minute)
        self._clock = clock
        self._changed = threading.Condition()
        self._pause = pause or self._changed.wait
        self._log = log or logging.getLogger(__name__)
        self._announced = self._resume_at = self._waits_since = clock()
        self._waiting = 0
        self._waited = 0.0
        self._answered = 0
        self._remaining: int | None = None

    @property
    def waited(self) -> float:
        """Seconds so far in which at least one request waited."""
        return self._waited + (self._clock() - self._waits_since if self._waiting else 0.0)

    def acquire(self) -> None:
        """Wait until a request may go out."""
        with self._changed:
            now = self._clock()
            self._waits_since = self._waits_since if self._waiting else now
            self._waiting += 1
            while (opens_at := self._opens_at(now)) > now:
                self._announce(now, opens_at)
                self._pause(min(opens_at - now, _NAP))
                now = self._clock()
            self._waiting -= 1
            self._waited += 0.0 if self._waiting else now - self._waits_since
            self._cap.note_sent(now)
            self.requests += 1

    def release(self, *, remaining: str | None = None) -> None:
        """Note a response other than a rejection, with its `X-RateLimit-Remaining` if any, or a failure."""
        with self._changed:
            self._limit.note_response(self._clock())
            self._note_answered(int(remaining) if remaining and _COUNT.fullmatch(remaining) else None)

    def rejected(self, retry_after: float | None) -> None:
        """Note a 429, and learn from it.

        Args:
            retry_after: Seconds, or None where the server names none; more than `LONGEST_WAIT` are not waited for.
        """
        with self._changed:
            now = self._clock()
            self.rejections += 1
            wait = max(DEFAULT_WAIT if retry_after is None else retry_after, _MARGIN)
            if wait <= LONGEST_WAIT:
                reset = now + wait
                if now >= self._resume_at:  # the first rejection of this window: the others say the same again
                    if wait <= _LONGEST_WINDOW:
                        self._limit.learn(now, reset)
                    self._limit.begin_window(reset)
                self._resume_at = max(self._resume_at, reset)
            self._note_answered(None)

    def _note_answered(self, remaining: int | None) -> None:
        self._answered += 1
        self._remaining = remaining
        self._changed.notify_all()

    def _opens_at(self, now: float) -> float:
        opens_at = max(self._resume_at, self._cap.opens_at())
        if opens_at > now:
            return opens_at
        under_way = self.requests - self._answered
        spent = self._remaining is not None and 0 < under_way >= self._remaining
        return math.inf if spent else self._limit.opens_at(now, under_way)

    def _announce(self, now: float, opens_at: float) -> None:
        """Say once how long requests have to wait, if it is long."""
        if now + _WORTH_A_LINE <= opens_at < math.inf and opens_at >= self._announced + 1:
            self._announced = opens_at
            self._log.info("Waiting %.0f s for the API's rate limit, or for 'requests_per_minute'.", opens_at - now)
