"""Date-times in the one form the tap writes, and the arithmetic on them."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d"
_DAY_OF_MONTH = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
)
#: Most date-times: in the form the tap writes, and on no leap day.
USUAL_DATE_TIME: Final = re.compile(rf"(?!0000)\d{{4}}-{_DAY_OF_MONTH}T{_TIME}:[0-5]\d\.\d{{3}}Z", re.ASCII)
#: Endings of a usual date-time behind its seconds; without a zone it is UTC.
_UTC: Final = frozenset({".000Z", "Z", "+00:00", ".000000Z", ".000+00:00", ""})
_DATE_TIME = re.compile(
    rf"(\d{{4}}-\d\d-\d\d)(?:[T ]({_TIME}(?::[0-5]\d)?)(?:\.(\d+))?)?\s?(Z|[+-]\d\d:?\d\d)?", re.ASCII | re.IGNORECASE
)
_MILLISECONDS: Final = 3
_TO_SECONDS: Final = len("2025-01-15T10:00:00")
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - all is UTC, and arithmetic without zones is faster
_DAY: Final = 86_400
#: 0001-01-01T00:00:00Z, before which Python has no date-times.
_FIRST_SECOND: Final = -62_135_596_800
#: How much this machine's clock may differ from the API's, in seconds.
_CLOCKS_DIFFER: Final = 86_400
_MINUTE: Final = 60


class ConversionError(Exception):
    """A value that cannot be turned into its column's type without loss."""


def date_time(value: object) -> str | None:
    """Return a date-time as the one form the tap writes: UTC, `2025-01-15T10:00:00.000Z`.

    A value without a zone is UTC; digits beyond the milliseconds are kept where there are any; `""` is null. The API is
    known to write `…T10:00:00.000Z`, `…T10:00:00Z` and `…T10:00:00+00:00`.

    Raises:
        ConversionError: If the value is no date-time.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ConversionError
    if value[19:] in _UTC and value[10:11] in {"T", " "}:
        usual = f"{value[:10]}T{value[11:19]}.000Z"
        if USUAL_DATE_TIME.fullmatch(usual):
            return usual
    if not (match := _DATE_TIME.fullmatch(value)):
        raise ConversionError
    day, clock, fraction, zone = match.groups()
    zone = "+00:00" if zone in {None, "Z", "z"} else zone
    zone = zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
    try:
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00'}{zone}").astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise ConversionError from None
    digits = (fraction or "").rstrip("0").ljust(_MILLISECONDS, "0")
    return f"{moment.replace(tzinfo=None).isoformat()}.{digits}Z"


def date_time_or_none(value: object) -> str | None:
    """Return a date-time as the one form the tap writes, or None for any other JSON."""
    try:
        return date_time(value)
    except ConversionError:
        return None


def second(value: str | None) -> str:
    """Return a date-time in that form to the second, the API's precision, comparable as text; `""` for None."""
    return (value or "")[:_TO_SECONDS]


@lru_cache(maxsize=1024)  # each record is asked several times, one page after the other
def to_second(value: str | None) -> float:
    """Return a date-time in that form as whole seconds since the epoch, the API's precision; -inf for none."""
    if not value:
        return -math.inf
    since = datetime.fromisoformat(value[:_TO_SECONDS]) - _EPOCH
    return since.days * _DAY + since.seconds


def to_text(seconds: float) -> str:
    """Return seconds since the epoch in that form; the first second of all time for any before it."""
    moment = _EPOCH + timedelta(seconds=max(seconds, _FIRST_SECOND))
    return f"{moment.isoformat(timespec='seconds')}.000Z"


def is_future(value: str | None, clock: Callable[[], float | None] = lambda: None) -> bool:
    """Return whether a date-time in that form is still to come, however wrong a clock is.

    Args:
        clock: Returns the seconds since the epoch by another clock, or None where there is none; called only where this
            machine's clock has not come to the date-time yet.
    """
    ahead = to_second(value) - time.time()
    if ahead <= 0:
        return False
    told = clock()
    return ahead > _CLOCKS_DIFFER if told is None else to_second(value) > told + _MINUTE
