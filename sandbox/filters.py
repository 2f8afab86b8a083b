"""What the parameters of each list let through."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import TYPE_CHECKING, Any

from sandbox.labels import TAG_TITLES

if TYPE_CHECKING:
    from sandbox.store import Record

Predicate = Callable[["Record"], bool]
Filter = Callable[[str], Predicate]

_TRUE = {"1", "true", "yes", "on"}


class InvalidQueryError(Exception):
    """A parameter the API refuses, by its name and with this status."""

    def __init__(self, name: str, status: int = 422) -> None:
        super().__init__(name)
        self.name, self.status = name, status


def is_true(value: str | None) -> bool:
    """Whether a parameter is set to something true."""
    return (value or "").lower() in _TRUE


def _search(*fields: str) -> Filter:
    def search(value: str) -> Predicate:
        needle = value.lower()
        return lambda record: any(needle in str(record.sent.get(field) or "").lower() for field in fields)

    return search


def is_archived(record: Record) -> bool:
    """Whether a record was archived."""
    return bool(record.sent.get("archived_at"))


_RUN_STATUS: dict[str, Predicate] = {
    "active": lambda run: run.sent.get("status") == "active",
    "complete": lambda run: run.sent.get("status") == "complete",
    "problem": lambda run: bool(run.hidden.get("problem_open") or run.sent.get("has_open_issue")),
    "improvement": lambda run: bool(run.hidden.get("improvement")),
    "issue": lambda run: bool(run.sent.get("has_open_issue")),
    "delayed": lambda run: (run.sent.get("late_tasks") or 0) > 0,
    "starred": lambda run: bool(run.sent.get("starred")),
    "archived": is_archived,
}


def _one_of(name: str, words: dict[str, Predicate]) -> Filter:
    def choose(value: str) -> Predicate:
        if value not in words:
            raise InvalidQueryError(name)
        return words[value]

    return choose


def _any_of(values: Callable[[Record], Iterable[Any]]) -> Filter:
    """Whether a record has one of the values that a text with commas lists."""

    def choose(value: str) -> Predicate:
        wanted = {part.strip() for part in value.split(",")}
        return lambda record: any(str(each) in wanted for each in values(record))

    return choose


def _equals(field: str) -> Filter:
    return lambda value: lambda record: str(record.sent.get(field)) == value


def _hidden(field: str) -> Filter:
    return lambda value: lambda record: str(record.hidden.get(field)) == value


def _is(field: str) -> Filter:
    return lambda value: lambda record: bool(record.sent.get(field)) is is_true(value)


def _people(run: Record) -> Iterable[Any]:
    return (run.sent.get("owner_id"), *(run.sent.get("users") or ()), *(run.sent.get("collaborators") or ()))


_run_tags = _any_of(lambda run: run.hidden.get("tag_ids") or ())

RUN_FILTERS: dict[str, Filter] = {
    "q": _search("name"),
    "status": _one_of("status", _RUN_STATUS),
    "owners": _any_of(_people),
    "checklist_id": _equals("checklist_id"),
    "blueprint_id": _equals("checklist_id"),
    "folder": _hidden("folder_id"),
    "tag": _run_tags,
    "tag_ids": _run_tags,
    "untagged": lambda value: lambda run: not (is_true(value) and run.hidden.get("tag_ids")),
    "starred": _is("starred"),
    "type": _equals("type"),
    "groups": _any_of(lambda run: run.sent.get("groups") or ()),
}


def is_completed(task: Record) -> bool:
    """Whether a task is completed."""
    return bool(task.sent["status"] == "completed")


def _is_open(task: Record) -> bool:
    return task.sent["status"] in {"not-started", "in-progress"}


_TASK_STATUS: dict[str, Predicate] = {
    "active": _is_open,
    "complete": is_completed,
    "completed": is_completed,
    "incomplete": _is_open,
    "inprogress": lambda task: task.sent["status"] == "in-progress",
    "not-started": lambda task: task.sent["status"] == "not-started",
    "overdue": lambda task: bool(task.hidden["overdue"]),
    "due_soon": lambda task: bool(task.hidden["due_soon"]),
    "hasproblem": lambda task: bool(task.sent["problem"]),
}


def _unassigned(value: str) -> Predicate:
    wanted = is_true(value)
    return lambda task: (not any(task.sent["owners"][name] for name in ("users", "guests", "groups"))) is wanted


def _day(name: str, value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise InvalidQueryError(name) from None


def _created(value: str) -> Predicate:
    first, _, last = value.partition(":")
    start, end = _day("created", first), _day("created", last or first)
    return lambda record: start <= record.sent["created_at"][:10] <= end


def _dated(name: str, field: str, holds: Callable[[str, str], bool]) -> Filter:
    def dated(value: str) -> Predicate:
        day = _day(name, value)
        return lambda record: bool(record.sent[field] and holds(record.sent[field][:10], day))

    return dated


def _tag(value: str) -> Predicate:
    wanted = {value, *(tag for tag, title in TAG_TITLES.items() if title == value)}
    return lambda record: bool(wanted & set(record.hidden["tag_ids"]))


TASK_FILTERS: dict[str, Filter] = {
    "q": _search("title"),
    "status": _one_of("status", _TASK_STATUS),
    "owners": _any_of(lambda task: task.sent["owners"]["users"]),
    "guests": _any_of(lambda task: task.sent["owners"]["guests"]),
    "groups": _any_of(lambda task: task.sent["owners"]["groups"]),
    "tag": _tag,
    "created": _created,
    "deadline_on": _dated("deadline_on", "deadline", str.__eq__),
    "deadline_before": _dated("deadline_before", "deadline", str.__lt__),
    "deadline_after": _dated("deadline_after", "deadline", str.__gt__),
    "unassigned": _unassigned,
}

CHECKLIST_FILTERS: dict[str, Filter] = {
    "q": _search("title"),
    "status": _equals("status"),
    "type": _equals("type"),
    "starred": _is("starred"),
    "folder": _any_of(lambda record: (record.sent["folder_id"],)),
    "tag": _tag,
    "owner_id": _equals("owner_id"),
}

_MODELS = {"checklist": "Checklist", "run": "Run", "step": "Step", "task": "Task", "thread": "Thread"}


def _entity_type(value: str) -> Predicate:
    wanted = f"App\\Models\\{_MODELS.get(value, value)}"
    return lambda entry: entry.sent["auditable_type"] == wanted


FEED_FILTERS: dict[str, Filter] = {
    "entity_type": _entity_type,
    "entity_id": _equals("auditable_id"),
    "type": _equals("type"),
    "verb": _equals("verb"),
    "source": _equals("source"),
    "actor_type": _equals("actor_type"),
    "actor_id": _equals("actor_id"),
    "actor_email": lambda value: lambda entry: entry.sent["actor"]["email"] == value,
    "field": _equals("field"),
    "created_after": _dated("created_after", "created_at", str.__ge__),
    "created_before": _dated("created_before", "created_at", str.__le__),
    "search": _search("text", "description"),
}

USER_FILTERS: dict[str, Filter] = {"q": _search("full_name", "email")}
GUEST_FILTERS: dict[str, Filter] = {"q": _search("email")}
GROUP_FILTERS: dict[str, Filter] = {"q": _search("name", "description")}
TAG_FILTERS: dict[str, Filter] = {"q": _search("title"), "auto_generated": _is("auto_generated")}
FOLDER_FILTERS: dict[str, Filter] = {"q": _search("name"), "parent_id": _equals("parent_id")}
