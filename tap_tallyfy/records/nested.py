"""Makes rows out of the lists that the API nests in its records.

Each function takes a record as `RecordParser` returns it, and yields rows that are parsed in turn. A nested item that
is no object, or has no ID, makes a row without a key, which its reader counts. A value that is no list, and a list that
was asked for and is absent, is noted as a misfit: which rows the record has is not known then, so none may be taken for
deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tap_tallyfy.dates import date_time_or_none
from tap_tallyfy.records.contract import EXTRA
from tap_tallyfy.records.shapes import Record, as_list, inside, json_type


class Misfit(NamedTuple):
    """A nested list that cannot be read."""

    field: str  #: Where it is, such as `steps` or `steps.captures`.
    sent: str  #: The JSON type that came in its place, or "absent".


def nested_value(record: Record, name: str) -> object:
    """Return a nested value as it was sent: one that does not fit its column as a whole is in `_extra`."""
    extra = record.get(EXTRA)
    return extra[name] if isinstance(extra, dict) and name in extra else record.get(name)


def nested_list(record: Record, name: str, misfits: set[Misfit], *, asked: bool = False, field: str = "") -> list[Any]:
    """Return the items of a nested list.

    Args:
        misfits: Where to note that it is none.
        asked: Whether the list was asked for, so that its absence is a misfit.
        field: Its name in the note, if not `name`.
    """
    value = nested_value(record, name)
    items = as_list(inside(value))
    if items is None or (asked and value is None and not _has(record, name)):
        misfits.add(Misfit(field or name, json_type(value) if _has(record, name) else "absent"))
    return items or []


def _has(record: Record, name: str) -> bool:
    return name in record or name in (record.get(EXTRA) or ())


def as_object(item: object) -> Record:
    """Return an item of a nested list, or an object without a key for any other item."""
    return item if isinstance(item, dict) else {}


def comments_of(task: Record, misfits: set[Misfit]) -> Iterator[Record]:
    """Yield a row for each comment on a task that was read with its threads."""
    belongs = {
        "task_id": task.get("id"),
        "run_id": task.get("run_id"),
        "task_last_updated": task.get("last_updated"),
    }
    for comment in nested_list(task, "threads", misfits, asked=True):
        yield {**as_object(comment), **belongs}


def newest_comment(task: Record) -> str | None:
    """Return when the newest comment on a task was written or changed, or None where none was read with it."""
    if not (task.get("threads") or task.get(EXTRA)):
        return None
    moments = (
        as_object(comment).get(name)
        for comment in nested_list(task, "threads", set())
        for name in ("created_at", "updated_at", "archived_at")
    )
    return max(filter(None, map(date_time_or_none, moments)), default=None)


def steps_of(checklist: Record, misfits: set[Misfit]) -> Iterator[Record]:
    """Yield a row for each step of a template that was read with its steps."""
    for step in nested_list(checklist, "steps", misfits, asked=True):
        yield {**as_object(step), "checklist_id": checklist.get("id")}


def stages_of(checklist: Record, misfits: set[Misfit]) -> Iterator[Record]:
    """Yield a row for each stage of a template that was read with its stages."""
    for stage in nested_list(checklist, "stages", misfits, asked=True):
        yield {**as_object(stage), "checklist_id": checklist.get("id")}


def tags_of_run(run: Record, misfits: set[Misfit]) -> Iterator[Record]:
    """Yield a row for each tag of a process that was read with its tags, which may be their IDs alone."""
    for tag in nested_list(run, "tags", misfits, asked=True):
        tag_id = tag.get("id") if isinstance(tag, dict) else tag
        yield {"run_id": run.get("id"), "tag_id": tag_id, "last_updated": run.get("last_updated")}


def folders_of(folder: Record, parse: Callable[[Record], Record], misfits: set[Misfit]) -> Iterator[Record]:
    """Yield a folder, and all that are inside of it at any depth, as `parse` makes them.

    A server that lists each folder by itself need not show children, so their absence is no misfit.
    """
    waiting = [folder]
    while waiting:
        parent = waiting.pop()
        yield parent
        for child in nested_list(parent, "children", misfits):
            record = parse(as_object(child))
            inherited = {"folder_type": parent.get("folder_type"), "parent_id": parent.get("id")}
            waiting.append({**record, **{name: record.get(name) or value for name, value in inherited.items()}})
