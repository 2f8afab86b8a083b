"""The clock of the server."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone


class Clock:
    """Tells the time in whole seconds; it runs, or is frozen.

    Attributes:
        offset: Seconds a running clock is ahead of the time it was set to.
    """

    def __init__(self) -> None:
        """Run with the real time."""
        self.offset: float = 0
        self._frozen: datetime | None = None

    def now(self) -> datetime:
        """The time, in UTC."""
        now = self._frozen or datetime.now(timezone.utc) + timedelta(seconds=self.offset)
        return now.replace(microsecond=0)

    def seconds(self) -> int:
        """The time in seconds since 1970."""
        return int(self.now().timestamp())

    def set(self, now: datetime | None) -> None:
        """Freeze it at this time, which has a time zone; None lets it run again."""
        self._frozen = None if now is None else now.astimezone(timezone.utc)

    def advance(self, seconds: float) -> None:
        """Move a frozen clock; ValueError if it runs."""
        if self._frozen is None:
            raise ValueError("the clock is not frozen")
        self._frozen += timedelta(seconds=seconds)
