"""The clock of the server."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone


class Clock:
    """Tells the time in whole seconds; it runs, or is frozen.

    Attributes:
        offset: Seconds a running clock was moved ahead.
    """

    def __init__(self, start: datetime) -> None:
        """Start at this time, and run on."""
        self.offset: float = 0
        self._start, self._began = start, time.monotonic()
        self._frozen: datetime | None = None

    def now(self) -> datetime:
        """The time, in UTC."""
        running = self._start + timedelta(seconds=time.monotonic() - self._began + self.offset)
        return (self._frozen or running).replace(microsecond=0)

    def seconds(self) -> int:
        """The time in seconds since 1970."""
        return int(self.now().timestamp())

    def set(self, now: datetime | None) -> None:
        """Freeze it at this time, which has a time zone; None lets it run again."""
        self._frozen = None if now is None else now.astimezone(timezone.utc)

    def advance(self, seconds: float) -> None:
        """Move it; frozen or not."""
        if self._frozen is None:
            self.offset += seconds
        else:
            self._frozen += timedelta(seconds=seconds)
