"""How the tasks of a process change as it changes."""

from __future__ import annotations

from random import Random
from typing import Any

from sandbox.answers import answers
from sandbox.store import Record
from sandbox.tasks import completed_steps, completion
from sandbox.templates import STEP_OF


def follow(tasks: list[Record], run: Record, before: Record, at: str, *, archive_moves: bool) -> list[Record]:
    """The tasks of a process that a change of it changes, as they are then; `tasks` are in order of position."""
    changed: dict[str, dict[str, Any]] = {}
    archived_at = run.sent.get("archived_at")
    if archived_at != before.sent.get("archived_at"):
        moved = {"last_updated": at} if archive_moves else {}
        changed = {task.id: {"archived_at": archived_at, **moved} for task in tasks}
    counted = [task for task in tasks if task.sent["status"] != "auto-skipped" and task.sent["step_id"]]
    open_tasks = [task for task in counted if task.sent["status"] != "completed"]
    done = completed_steps(run)
    completed = len(counted) - len(open_tasks)
    now_completed, still_open = open_tasks[: max(0, done - completed)], open_tasks[max(0, done - completed) :]
    for task in now_completed:
        changed.setdefault(task.id, {}).update(completion(task.sent, at, run.sent.get("owner_id")))
    if still_open and not any(task.sent["status"] == "in-progress" for task in still_open):
        began = {"status": "in-progress", "status_label": "in-progress", "started_at": at, "last_updated": at}
        changed.setdefault(still_open[0].id, {}).update(began)
    for task in [task for task in counted if task.sent["status"] == "completed"][max(0, done) :]:
        changed.setdefault(task.id, {}).update(reopening(at))
    if run.sent.get("status") != before.sent.get("status"):
        for task in tasks:
            changed.setdefault(task.id, {})["run_status"] = run.sent.get("status")
    return [changed_task(task, changed[task.id]) for task in tasks if task.id in changed]


def reopening(at: str) -> dict[str, Any]:
    """What changes of a task when it is opened again."""
    return {
        "status": "in-progress",
        "status_label": "in-progress",
        "completed_at": None,
        "completer_id": None,
        "completer_guest": None,
        "is_approved": None,
        "last_updated": at,
    }


def changed_task(task: Record, fields: dict[str, Any]) -> Record:
    """The task with these fields, answers included if it got completed."""
    sent = {**task.sent, **fields}
    hidden = task.hidden
    if fields.get("status") == "completed":
        hidden = {**hidden, "overdue": False, "due_soon": False}
        step = STEP_OF.get(sent["step_id"])
        if step is not None and not sent["taskdata"]:
            sent["taskdata"] = answers(Random(task.id), step, task.id)
    return Record(task.id, sent, hidden)
