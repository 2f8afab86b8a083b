"""The lists of the API: how each filters and sorts. A further list is one more entry of LISTS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sandbox.related import RUN_RELATED

if TYPE_CHECKING:
    from sandbox.behaviour import Behaviour
    from sandbox.store import Record

Predicate = Callable[["Record"], bool]
Filter = Callable[[str], Predicate]

DATE_FIELDS = (
    "created_at", "started_at", "last_updated", "completed_at", "archived_at", "due_date", "prerun_completed_at",
    "max_task_deadline",
)  # fmt: skip
OBJECT_FIELDS = ("progress", "whole_progress", "prerun", "custom_fields")

_TRUE = {"1", "true", "yes", "on"}


class InvalidQueryError(Exception):
    """A parameter the API refuses with 422; args[0] is its name."""


@dataclass(frozen=True)
class ListEndpoint:
    """How one list works.

    Attributes:
        filters: Makes a predicate from the value of each parameter.
        related: What `with` can ask for.
        is_archived: Whether a record is absent from the default list.
    """

    filters: Mapping[str, Filter]
    related: Mapping[str, Callable[[Record], Any]]
    is_archived: Predicate

    def select(self, query: Mapping[str, str], behaviour: Behaviour) -> tuple[tuple[object, ...], Predicate]:
        """A key and the predicate for a query; InvalidQueryError for a value that the API refuses."""
        asked = tuple(sorted((name, value) for name, value in query.items() if name in self.filters and value))
        predicates = [self.filters[name](value) for name, value in asked]
        archived = (behaviour.archived in {"both", "status"} and query.get("status") == "archived") or (
            behaviour.archived in {"both", "param"} and query.get("archived") in {"only", "true"}
        )
        is_archived = self.is_archived
        return (
            asked,
            archived,
        ), lambda record: is_archived(record) is archived and all(matches(record) for matches in predicates)


def is_true(value: str | None) -> bool:
    """Whether a parameter is set to something true."""
    return (value or "").lower() in _TRUE


def _text(values: Iterable[Any]) -> set[str]:
    return {str(value) for value in values}


def _split(value: str) -> set[str]:
    return {part.strip() for part in value.split(",") if part.strip()}


def _name(value: str) -> Predicate:
    needle = value.lower()
    return lambda run: needle in (run.sent.get("name") or "").lower()


def is_archived(record: Record) -> bool:
    """Whether a record was archived."""
    return bool(record.sent.get("archived_at"))


_STATUS: dict[str, Predicate] = {
    "active": lambda run: run.sent.get("status") == "active",
    "complete": lambda run: run.sent.get("status") == "complete",
    "problem": lambda run: bool(run.hidden.get("problem_open") or run.sent.get("has_open_issue")),
    "improvement": lambda run: bool(run.hidden.get("improvement")),
    "issue": lambda run: bool(run.sent.get("has_open_issue")),
    "delayed": lambda run: (run.sent.get("late_tasks") or 0) > 0,
    "starred": lambda run: bool(run.sent.get("starred")),
    "archived": is_archived,
}


def _status(value: str) -> Predicate:
    if value not in _STATUS:
        name = "status"
        raise InvalidQueryError(name)
    return _STATUS[value]


def _owners(value: str) -> Predicate:
    wanted = _split(value)
    return lambda run: bool(
        wanted
        & _text((run.sent.get("owner_id"), *(run.sent.get("users") or ()), *(run.sent.get("collaborators") or ())))
    )


def _equals(field: str) -> Filter:
    return lambda value: lambda run: str(run.sent.get(field)) == value


def _tags(value: str) -> Predicate:
    wanted = _split(value)
    return lambda run: bool(wanted & _text(run.hidden.get("tag_ids") or ()))


def _untagged(value: str) -> Predicate:
    if not is_true(value):
        return lambda _run: True
    return lambda run: not run.hidden.get("tag_ids")


def _starred(value: str) -> Predicate:
    wanted = is_true(value)
    return lambda run: bool(run.sent.get("starred")) is wanted


def _groups(value: str) -> Predicate:
    wanted = _split(value)
    return lambda run: bool(wanted & _text(run.sent.get("groups") or ()))


LISTS: dict[str, ListEndpoint] = {
    "runs": ListEndpoint(
        filters={
            "q": _name,
            "status": _status,
            "owners": _owners,
            "checklist_id": _equals("checklist_id"),
            "blueprint_id": _equals("checklist_id"),
            "folder": lambda value: lambda run: str(run.hidden.get("folder_id")) == value,
            "tag": _tags,
            "tag_ids": _tags,
            "untagged": _untagged,
            "starred": _starred,
            "type": _equals("type"),
            "groups": _groups,
        },
        related=RUN_RELATED,
        is_archived=is_archived,
    ),
}

_SORTS = {
    "last_updated": {"created_at": "created_at", "name": "name", "last_updated": "last_updated"},
    "updated_at": {"created_at": "created_at", "name": "name", "updated_at": "last_updated"},
    "created_at": {"created_at": "created_at", "name": "name"},
    "ignored": {},
}


def order(query: Mapping[str, str], behaviour: Behaviour) -> tuple[str, bool]:
    """The field to sort by and whether it descends, after this version of the API ignored what it does not know."""
    asked = query.get("sort") or query.get("sort_by") or ""
    field = _SORTS[behaviour.sort].get(asked.removeprefix("-"))
    if field is not None:
        return field, asked.startswith("-")
    return behaviour.default_order.removeprefix("-"), behaviour.default_order.startswith("-")


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
    if field in DATE_FIELDS:
        sign = -1 if descending else 1
        return lambda record: sign * _seconds(record.sent.get(field))
    if not descending:
        return lambda record: str(record.sent.get(field) or "")
    # The 1 at the end puts "ab" behind "abc".
    return lambda record: (*(-ord(char) for char in str(record.sent.get(field) or "")), 1)


def rendered(record: Record, behaviour: Behaviour) -> dict[str, Any]:
    """A record as this version of the API sends it, without related data."""
    sent = record.sent
    changed: dict[str, Any] = {}
    if behaviour.empty_object_as_list:
        changed = {field: [] for field in OBJECT_FIELDS if sent.get(field) == {}}
    if behaviour.date_format != "ms":
        tail = "Z" if behaviour.date_format == "z" else "+00:00"
        for field in DATE_FIELDS:
            value = sent.get(field)
            if isinstance(value, str) and value.endswith(".000Z"):
                changed[field] = value.removesuffix(".000Z") + tail
    return {**sent, **changed} if changed else sent


def with_related(
    record: Record,
    endpoint: ListEndpoint,
    names: Iterable[str],
    behaviour: Behaviour,
) -> dict[str, Any]:
    """A record as this version of the API sends it, with related data."""
    run = dict(rendered(record, behaviour))
    for name in names:
        value = endpoint.related[name](record)
        if value is None and behaviour.empty_object_as_list:
            value = []
        run[name] = {"data": value} if behaviour.wrapped else value
    return run
