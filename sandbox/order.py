"""The order of records by a field."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.store import Record

Order = tuple[str, bool]
"""A field, and whether it descends."""

DATE_FIELDS = (
    "created_at", "started_at", "last_updated", "completed_at", "archived_at", "due_date", "prerun_completed_at",
    "max_task_deadline",
)  # fmt: skip
_MORE_DATES = {
    *DATE_FIELDS, "deadline", "updated_at", "deleted_at", "last_login_at", "last_accessed_at", "activated_at",
    "approved_at", "disabled_at", "reactivated_at", "uploaded_at", "created_on",
}  # fmt: skip
_NUMBERS = {"id", "position", "increment_id", "problem", "total"}


def both_ways(*names: str, **words: str) -> dict[str, Order]:
    """The words that sort by these fields, upwards or, with a leading `-`, downwards."""
    fields = {name: name for name in names} | words
    return {f"{sign}{word}": (field, sign == "-") for word, field in fields.items() for sign in ("", "-")}


def is_date(name: str) -> bool:
    """Whether a field of this name holds a date-time."""
    return name in _MORE_DATES


def _seconds(value: object) -> int:
    """Something that grows with the date-time; 0 for none."""
    if not isinstance(value, str):
        return 0
    try:
        date = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return 0
    return int((date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp())


def sort_key(field: str, *, descending: bool) -> Callable[[Record], Any]:
    """The key that puts records in this order when sorted upwards, so that ties stay in the order of their ids."""
    sign = -1 if descending else 1
    if is_date(field):
        return lambda record: sign * _seconds(record.sent.get(field))
    if field in _NUMBERS:
        # Text after numbers: ids are numbers in some lists and text in others.
        return lambda record: _number_or_text(record.sent.get(field), sign)
    if not descending:
        return lambda record: str(record.sent.get(field) or "")
    return lambda record: _downwards(str(record.sent.get(field) or ""))


def _number_or_text(value: object, sign: int) -> tuple[Any, ...]:
    if isinstance(value, int | float):
        return (0, sign * value)
    text = str(value or "")
    return (1, text) if sign > 0 else (1, *_downwards(text))


def _downwards(text: str) -> tuple[int, ...]:
    # The 1 at the end puts "ab" behind "abc".
    return (*(-ord(char) for char in text), 1)
