"""The order of each list: what can be asked for, and what comes when nothing is."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.behaviour import Behaviour
    from sandbox.store import Record

Order = tuple[str, bool]
"""A field, and whether it descends."""

DATE_FIELDS = (
    "created_at", "started_at", "last_updated", "completed_at", "archived_at", "due_date", "prerun_completed_at",
    "max_task_deadline",
)  # fmt: skip
_MORE_DATES = {
    *DATE_FIELDS, "deadline", "updated_at", "deleted_at", "last_login_at", "last_accessed_at", "activated_at",
    "approved_at", "disabled_at", "reactivated_at", "uploaded_at",
}  # fmt: skip
_NUMBERS = {"id", "position", "increment_id", "problem", "total"}


def both_ways(*names: str, **words: str) -> dict[str, Order]:
    """The words that sort by these fields, upwards or, with a leading `-`, downwards."""
    fields = {name: name for name in names} | words
    return {f"{sign}{word}": (field, sign == "-") for word, field in fields.items() for sign in ("", "-")}


_RUN_SORTS = {
    "last_updated": both_ways("created_at", "name", "last_updated"),
    "updated_at": both_ways("created_at", "name", updated_at="last_updated"),
    "created_at": both_ways("created_at", "name"),
    "ignored": {},
}
_TASK_WORDS = {
    **both_ways("deadline"),
    "newest": ("created_at", True),
    "problems": ("problem", True),
    "completed_newest": ("completed_at", True),
}
_TASK_SORTS = {
    "words": _TASK_WORDS,
    "created_at": {**_TASK_WORDS, **both_ways("created_at")},
    "last_updated": {**_TASK_WORDS, **both_ways("created_at", "last_updated")},
    "ignored": {},
}


def is_date(name: str) -> bool:
    """Whether a field of this name holds a date-time."""
    return name in _MORE_DATES


def run_order(asked: str, behaviour: Behaviour) -> Order:
    """The order of processes, after this version of the API ignored what it does not know."""
    return _RUN_SORTS[behaviour.sort].get(asked) or _signed(behaviour.default_order)


def task_order(asked: str, behaviour: Behaviour) -> Order:
    """The order of tasks."""
    field, descends = _signed(behaviour.default_order)
    return _TASK_SORTS[behaviour.task_sort].get(asked) or ("title" if field == "name" else field, descends)


def by_words(words: Mapping[str, Order], default: Order) -> Callable[[str, Behaviour], Order]:
    """The order of a list that knows these words."""
    return lambda asked, behaviour: default if behaviour.sort == "ignored" else words.get(asked, default)


def by_any_field(default: Order) -> Callable[[str, Behaviour], Order]:
    """The order of a list that can be sorted by any field."""
    return lambda asked, behaviour: default if behaviour.sort == "ignored" or not asked else _signed(asked)


def _signed(text: str) -> Order:
    return text.removeprefix("-"), text.startswith("-")


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
