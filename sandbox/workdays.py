"""When people of the made-up company work: from 8 to 18, Monday to Friday, but for their holidays."""

from __future__ import annotations

from bisect import bisect_left
from datetime import date, timedelta
from typing import Final

from sandbox.data import DAY, END, START

_OPENS, _HOURS = 8 * 3600, 10 * 3600
_FRIDAY = 5
_HOLIDAYS: Final = (
    ("Spring holiday", 259, 1),
    ("Works outing", 238, 1),
    ("Summer break", 157, 5),
    ("Autumn holiday", 104, 1),
    ("Winter break", 22, 9),
)
"""Names, how many days before AS_OF they begin, and how many days they last."""

_EPOCH = date(1970, 1, 1)
_OFF = {END // DAY - before + number for _, before, days in _HOLIDAYS for number in range(days)}
_DAYS = [
    day
    for day in range(START // DAY, END // DAY + 1)
    if (_EPOCH + timedelta(days=day)).isoweekday() <= _FRIDAY and day not in _OFF
]


def _worked(moment: int) -> int:
    """The seconds that were worked until then."""
    place = bisect_left(_DAYS, moment // DAY)
    if place == len(_DAYS) or _DAYS[place] != moment // DAY:
        return place * _HOURS
    return place * _HOURS + min(_HOURS, max(0, moment % DAY - _OPENS))


def _moment(worked: int) -> int:
    """When so many seconds had been worked."""
    place, seconds = divmod(worked, _HOURS)
    return _DAYS[place] * DAY + _OPENS + seconds


_WORKED = _worked(END)


def during(share: float) -> int:
    """The moment at which this share of the company's working time had passed, in seconds since 1970."""
    return _moment(int(share * _WORKED))


def between(first: int, last: int, share: float) -> int:
    """The moment at which this share of the working time between two moments had passed.

    Of all time, where one of them is not in the company's past, or nobody worked in between.
    """
    if first >= START and last <= END:
        began, ended = _worked(first), _worked(last)
        if began < ended:
            return min(last, max(first, _moment(began + round(share * (ended - began)))))
    return first + round(share * (last - first))


def later(first: int, days: float) -> int:
    """The moment so many days later, as a company counts days that works on some of them; it can lie ahead."""
    share = days * DAY * _WORKED / (END - START)
    worked = _worked(first) + round(share)
    return max(first, _moment(worked)) if worked <= _WORKED else END + 1
