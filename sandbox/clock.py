"""The clock of the server."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone


class Clock:
    """Tells the time in whole seconds; it runs until it is set, and is frozen from then on."""

    def __init__(self, start: datetime) -> None:
        """Start at this time, and run on."""
        self._start, self._began = start, time.monotonic()
        self._frozen = False

    def now(self) -> datetime:
        """The time, in UTC."""
        ran = 0 if self._frozen else time.monotonic() - self._began
        return (self._start + timedelta(seconds=ran)).replace(microsecond=0)

    def seconds(self) -> int:
        """The time in seconds since 1970."""
        return int(self.now().timestamp())

    def set(self, now: datetime) -> None:
        """Freeze it at this time, which has a time zone."""
        self._start, self._frozen = now.astimezone(timezone.utc), True

    def advance(self, seconds: float) -> None:
        """Move it; frozen or not."""
        self._start += timedelta(seconds=seconds)
