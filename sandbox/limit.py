"""The limit of requests."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from sandbox.wire import too_many

if TYPE_CHECKING:
    from sandbox.behaviour import Behaviour
    from sandbox.wire import Reply

_UNENFORCED = (600, 60.0)


class RateLimit:
    """Counts requests in a fixed or a rolling window."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._accepted: deque[float] = deque()

    def apply(self, behaviour: Behaviour) -> tuple[Reply | None, dict[str, str]]:
        """The refusal if the limit is reached, and the headers that tell of the limit."""
        enforced = behaviour.rate_limit
        if enforced is None and not behaviour.rate_remaining_header:
            return None, {}
        requests, seconds = enforced or _UNENFORCED
        left, wait = self.take(requests, seconds, behaviour.rate_window)
        headers = {}
        if behaviour.rate_remaining_header:
            headers = {"X-RateLimit-Limit": str(requests), "X-RateLimit-Remaining": str(max(0, left))}
        if left >= 0 or enforced is None:
            return None, headers
        return too_many(str(max(1, math.ceil(wait)))), headers

    def take(self, requests: int, seconds: float, window: str) -> tuple[int, float]:
        """Count one request unless the limit is reached: how many are left, -1 if refused, and seconds to wait."""
        with self._lock:
            now = time.monotonic()
            rolling = window == "rolling"
            start = now - seconds if rolling else now - (now - self._started) % seconds
            while self._accepted and (self._accepted[0] < start or (rolling and self._accepted[0] == start)):
                self._accepted.popleft()
            left = requests - len(self._accepted) - 1
            if left >= 0:
                self._accepted.append(now)
                return left, 0.0
            counted_from = self._accepted[0] if rolling and self._accepted else start
            return -1, counted_from + seconds - now
