"""The stream's part of the state, and when it is void.

Nothing else touches the state. A stream's entry stays as it was until the stream has been read to its end: a sync that
fails, and one under wrong settings, costs no bookmark.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from tap_tallyfy.dates import date_time_or_none, is_future, second

#: Returns the seconds since the epoch by a clock, or None where it tells none.
Clock = Callable[[], float | None]

#: Where the SDK finds the next bookmark once a stream has been synced to its end.
_PROGRESS: Final = "progress_markers"
_KEY, _VALUE, _MADE_FOR, _MARKED_AT = "replication_key", "replication_key_value", "made_for", "marked_at"


@dataclass(frozen=True)
class MadeFor:
    """The conditions of a bookmark: under any others it would skip records."""

    settings: str  #: The organization and the filters, as a hash.
    shape: str  #: The primary key and the schema that the tap declares, as a hash.
    start_date: str = ""  #: The second of `start_date`, or `""` where there is none.


def fingerprint(value: object) -> str:
    """Return a short hash of any JSON."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]


@dataclass
class Bookmark:
    """A stream's notes of earlier syncs."""

    value: str = ""  #: The date-time up to which all changes have been read, or `""`.
    sort: str | None = None  #: The order by change that the server was seen to honour, or None.
    version: int | None = None  #: The version that the target was told last to be the one of all rows, or None.
    #: For each organization and list the tally of the last complete reading; see `deletions`.
    rows: dict[str, Any] = field(default_factory=dict)
    marks: dict[str, Any] = field(default_factory=dict)  #: The notes of `changed`; void with any other value.
    void: str = ""  #: Why the value must not be used, or `""`.

    def tallies(self, org_id: str) -> dict[str, Any]:
        """Return the tally of each list of an organization."""
        known = self.rows.get(org_id)
        return known if isinstance(known, dict) else {}

    @classmethod
    def load(cls, state: dict[str, Any], replication_key: str | None, made_for: MadeFor, clock: Clock) -> Bookmark:
        """Read a stream's part of the state, taking nothing in it for granted.

        Args:
            replication_key: The field that the stream is replicated by, or None if it has no bookmark.
            made_for: The present conditions.
            clock: Returns the server's clock, or None; asked only where this machine's is behind the bookmark.
        """
        version, rows, marks, sort = (state.get(name) for name in ("version", "rows", "marks", "sort"))
        kept = cls(
            version=version if type(version) is int else None,
            rows=rows if isinstance(rows, dict) else {},
            sort=sort if isinstance(sort, str) else None,
        )
        given = state.get(_VALUE)
        if replication_key is None or not given or state.get(_KEY) != replication_key:
            return kept
        kept.value = date_time_or_none(given) or ""
        kept.void = _void(state, kept.value, made_for, clock)
        if kept.void:
            kept.value, kept.sort = "", None
        elif isinstance(marks, dict) and state.get(_MARKED_AT) == kept.value:
            kept.marks = marks
        return kept

    def store(self, state: dict[str, Any], replication_key: str | None, made_for: MadeFor) -> None:
        """Write all of it into a stream's part of the state, once the stream has been read to its end; see `load`."""
        state.pop(_PROGRESS, None)
        for name in (_KEY, _VALUE, "start_date", "filters", "sort", "version", "rows", "marks", _MARKED_AT, _MADE_FOR):
            state.pop(name, None)
        if replication_key and self.value:
            # The SDK promotes this value, and only this, as soon as the stream is done.
            state[_PROGRESS] = {_KEY: replication_key, _VALUE: self.value}
        state["filters"] = made_for.settings
        state[_MADE_FOR] = made_for.shape
        kept: dict[str, Any] = {"start_date": made_for.start_date, "sort": self.sort, "version": self.version}
        kept |= {"rows": self.rows, "marks": {name: _whole(value) for name, value in self.marks.items()}}
        kept[_MARKED_AT] = self.value if self.marks else ""
        state |= {name: value for name, value in kept.items() if value}


def begin(state: dict[str, Any]) -> None:
    """Announce that a stream's progress is worth nothing before its end, so that the SDK need not warn of it."""
    state[_PROGRESS] = {}


def abandon(state: dict[str, Any]) -> None:
    """Forget the progress of a stream that was not read to its end; its entry stays as it was."""
    state.pop(_PROGRESS, None)


def _whole(value: object) -> object:
    """Return a moment in whole seconds: some targets read a number with a point as a decimal, and cannot write that."""
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else 0
    return value


def _void(state: dict[str, Any], value: str, made_for: MadeFor, clock: Clock) -> str:
    if not value:
        return "is no date-time"
    if state.get("filters", made_for.settings) != made_for.settings:
        return "was made under other settings"
    # A state with one and not the other is of an older version of the tap; one with neither was written by hand.
    if state.get(_MADE_FOR, made_for.shape if "filters" not in state else "") != made_for.shape:
        return "was made for another key or schema, by another version of the tap"
    if made_for.start_date < second(date_time_or_none(state.get("start_date"))):
        return "was made under a later 'start_date'"
    return "lies in the future" if is_future(value, clock) else ""
