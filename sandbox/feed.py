"""The activity feed: who did what to which object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.data import MEMBERS
from sandbox.people import full_name
from sandbox.store import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# For each list: the type of an entry about it, and the class of the object in the server.
KINDS = {
    "runs": ("Process", "Run"),
    "tasks": ("Task", "Task"),
    "threads": ("Comment", "Thread"),
    "checklists": ("Blueprint", "Checklist"),
    "users": ("User", "User"),
    "guests": ("User", "Guest"),
    "groups": ("Group", "Group"),
    "tags": ("Tag", "Tag"),
    "folders": ("Organization", "Folder"),
}


@dataclass(frozen=True)
class Event:
    """Something that happened to an object of a list, and the object it belongs to; actor is a member or a guest."""

    at: str
    verb: str
    list_name: str
    id: str
    actor: int | str
    parent: tuple[str, str] | None = None
    field: str | None = None
    old_value: Any = None
    text: str | None = None


def actor_of(record: dict[str, Any]) -> int:
    """Who a change of a process or task without a known cause is ascribed to."""
    actor = record.get("owner_id") or record.get("starter_id")
    return actor if isinstance(actor, int) else MEMBERS[0]


def task_completed(task: Record) -> Event:
    """The completion of a task."""
    sent = task.sent
    parent = ("runs", sent["run_id"]) if sent["run_id"] else None
    return Event(
        sent["completed_at"],
        "completed",
        "tasks",
        task.id,
        sent["completer_guest"] or sent["completer_id"] or MEMBERS[0],
        parent,
    )


def commented(thread: dict[str, Any]) -> Event:
    """A comment or an issue."""
    verb = "issue-reported" if thread["label"] == "problem" else "commented"
    parent = ("tasks", thread["task_id"])
    author = thread["author_id"] or MEMBERS[0]
    return Event(thread["created_at"], verb, "threads", thread["id"], author, parent, text=thread["content"])


def history(runs: Iterable[Record], tasks: Iterable[Record]) -> list[Event]:
    """What must have happened for the processes and tasks to be as they are, oldest first."""
    events = [*_lives(runs), *_work(tasks)]
    events.sort(key=lambda event: (event.at, event.list_name, event.id))
    return events


def _lives(runs: Iterable[Record]) -> Iterator[Event]:
    for run in runs:
        sent = run.sent
        actor = actor_of(sent)
        yield Event(sent["created_at"], "created", "runs", run.id, actor, ("checklists", sent["checklist_id"]))
        if sent.get("completed_at"):
            yield Event(sent["completed_at"], "completed", "runs", run.id, actor)
        if sent.get("archived_at"):
            yield Event(sent["archived_at"], "archived", "runs", run.id, actor)


def _work(tasks: Iterable[Record]) -> Iterator[Event]:
    for task in tasks:
        if task.sent["is_oneoff_task"]:
            yield Event(task.sent["created_at"], "created", "tasks", task.id, actor_of(task.sent))
        if task.hidden["done_before"]:
            first, again = task.hidden["done_before"]
            run, actor = ("runs", task.sent["run_id"]), actor_of(task.sent)
            yield Event(first, "completed", "tasks", task.id, actor, run)
            yield Event(again, "re-opened", "tasks", task.id, actor, run)
        if task.sent["completed_at"]:
            yield task_completed(task)
        for thread in task.hidden["threads"]:
            yield commented(thread)


def entry(number: int, event: Event, org_id: str) -> Record:
    """The entry of the feed that tells of an event."""
    kind, model = KINDS[event.list_name]
    is_guest = isinstance(event.actor, str)
    name = str(event.actor) if isinstance(event.actor, str) else full_name(event.actor)
    email = event.actor if is_guest else f"member{event.actor}@company.example"
    sent = {
        "id": number,
        "organization_id": org_id,
        "verb": event.verb,
        "source": "Guest" if is_guest else "Member",
        "type": kind,
        "description": f"{name} {event.verb} a {kind.lower()}",
        "actor_type": "guest" if is_guest else "user",
        "actor_id": None if is_guest else event.actor,
        "actor": {"email": email, "full_name": name, "profile_pic": None},
        "auditable_type": f"App\\Models\\{model}",
        "auditable_id": event.id,
        "parentable_type": f"App\\Models\\{KINDS[event.parent[0]][1]}" if event.parent else None,
        "parentable_id": event.parent[1] if event.parent else None,
        "field": event.field,
        "old_value": event.old_value,
        "text": event.text,
        "references": None,
        "created_at": event.at,
        "undoable": event.verb in {"archived", "completed"},
    }
    return Record(f"{number:012d}", sent, {})
