"""When a request that failed is sent again."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Final

#: The longest wait that the server can impose, in seconds; where it wants a longer one, the list fails at once.
LONGEST_WAIT: Final = 3600.0

_MANY: Final = 2
_HOURS_OF_A_YEAR: Final = 24 * 365
_SECONDS: Final = re.compile(r"\d+(\.\d*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often to try, and how long to wait in between: twice as long each time, and up to a second more by chance."""

    tries: int = 6  #: How often a request is sent in all.
    first_wait: float = 0.5  #: Seconds before the second time.

    def waits(self) -> Iterator[float]:
        """Yield the seconds before the second try, the third, and so on, until no try is left."""
        for number in range(self.tries - 1):
            yield self.first_wait * 2**number + random.random()  # noqa: S311 - no secret


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait by `Retry-After`, a number or an HTTP-date (RFC 9110), or None where it says nothing.

    Both count in whole seconds, so none means less than one.
    """
    value = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(value):
        return max(float(value), 1.0)
    # Measured on the server's clock where it tells it: this machine's may be wrong.
    now = http_date(headers["Date"]) if "Date" in headers else datetime.now(timezone.utc)
    moment = http_date(value)
    return max((moment - now).total_seconds(), 1.0) if moment and now else None


def http_date(text: str) -> datetime | None:
    """Return the moment that an HTTP-date (RFC 9110) names, or None for any other text."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)  # the oldest of its three forms has no zone


def spoken(seconds: float) -> str:
    """Return a long time in words."""
    hours = seconds / 3600
    if hours < _MANY:
        return f"{math.ceil(seconds / 60)} minutes"
    return f"{hours:,.0f} hours" if hours < _HOURS_OF_A_YEAR else "more than a year"
