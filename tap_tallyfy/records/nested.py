"""Takes apart what the API nests in its records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_tallyfy.dates import date_time_or_none
from tap_tallyfy.records.forms import items_of, sent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Record = dict[str, Any]


def comments_of(task: Record) -> Iterator[Record]:
    """Return a row for each comment on a task.

    Args:
        task: A task as the decoder hands it on, with its threads.
    """
    for comment in _objects(sent(task, "threads")):
        belongs = {"task_id": task.get("id"), "run_id": task.get("run_id")}
        row = {**comment, **belongs, "task_last_updated": task.get("last_updated")}
        if row.get("author_type") == "guest" and not isinstance(row.get("author_id"), int):
            row["author_id"] = None  # the code that lets the guest in
        yield row


def newest_comment(task: Record) -> str | None:
    """Return when the newest comment on a task was written or changed, or None where none was read with it.

    Args:
        task: A task as the decoder hands it on.
    """
    moments = (
        comment.get(name)
        for comment in _objects(sent(task, "threads"))
        for name in ("created_at", "updated_at", "archived_at")
    )
    return max(filter(None, map(date_time_or_none, moments)), default=None)


def steps_of(checklist: Record) -> Iterator[Record]:
    """Return a row for each step of a template.

    Args:
        checklist: A template as the decoder hands it on, with its steps.
    """
    for step in _objects(sent(checklist, "steps")):
        yield {**step, "captures": list(items_of(step.get("captures"))), "checklist_id": checklist.get("id")}


def folders_of(folder: Record, normalise: Callable[[Record], Record]) -> Iterator[Record]:
    """Return a folder, and all that are inside it at any depth.

    Args:
        folder: A folder as the decoder hands it on.
        normalise: What makes a record of an object that the API nests.
    """
    waiting = [folder]
    while waiting:
        parent = waiting.pop()
        yield parent
        for child in _objects(sent(parent, "children")):
            record = normalise(child)
            inherited = {"folder_type": parent.get("folder_type"), "parent_id": parent.get("id")}
            waiting.append({**record, **{name: record.get(name) or value for name, value in inherited.items()}})


def _objects(value: object) -> Iterator[Record]:
    return (item for item in items_of(value) if isinstance(item, dict))
