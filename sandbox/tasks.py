"""The tasks of processes, with answers and comments; they follow from the process alone."""

# ruff: noqa: PLR2004 - how often something happens is best read where it happens

from __future__ import annotations

from datetime import datetime
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

from sandbox.answers import answers
from sandbox.data import DAY, END, MEMBERS, TEMPLATES, progress_of, stamp
from sandbox.made import made_id, webhook
from sandbox.people import GUESTS, OWN_TAGS, SLOW_MEMBERS, guest_token
from sandbox.store import Record
from sandbox.templates import STEP_OF, STEPS, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

_END = int(END.timestamp())
_SLOWER = 5
_DATE_LENGTH = len("2026-01-15T12:00:00.000Z")
_COMMENTS = ("<p>Who can look at this?</p>", "<p>Erledigt.</p>", "<p>I called them 📞</p>", "<p>お願いします</p>")
_ONE_OFF = ("Call the landlord", "Order chairs", "Update the wiki", "Prüfung vorbereiten", "Book a room")


def seconds(date: str) -> int:
    """The seconds since 1970 of a date-time as `stamp` writes it."""
    return int(datetime.fromisoformat(date.replace("Z", "+00:00")).timestamp())


def completed_steps(run: Record) -> int:
    """How many of its tasks a process has completed."""
    status = run.hidden.get("status_before") if run.sent.get("status") == "archived" else run.sent.get("status")
    if status == "complete":
        return sum(not step.conditional for step in STEPS[run.sent["checklist_id"]])
    return int((run.sent.get("progress") or {}).get("complete") or 0)


def progress(run: Record, done: int | None = None) -> dict[str, Any]:
    """The fields of a process that tell how far it is, with so many tasks completed or all of them."""
    total = sum(not step.conditional for step in STEPS[run.sent["checklist_id"]])
    complete = total if done is None else min(total, done)
    return {"progress": progress_of(total, complete), "whole_progress": progress_of(total + 1, complete + 1)}


def has_tasks(run: Record) -> bool:
    """Whether anything is known about the tasks of a process: of one that a test made up there may not be."""
    sent = run.sent
    dates = ("created_at", "last_updated")
    maybe = ("completed_at", "archived_at", "due_date")
    return (
        str(sent.get("checklist_id")) in STEPS
        and all(_is_date(sent.get(name)) for name in dates)
        and all(sent.get(name) is None or _is_date(sent[name]) for name in maybe)
        and isinstance(sent.get("progress") or {}, dict)
        and isinstance(sent.get("late_tasks") or 0, int)
        and all(isinstance(sent.get(name) or [], list) for name in ("users", "groups"))
    )


def _is_date(value: Any) -> bool:
    return isinstance(value, str) and len(value) == _DATE_LENGTH and value.endswith(".000Z")


def tasks_of(run: Record) -> list[Record]:
    """The tasks of a process as they are if the process was never seen before; in order of position."""
    if not has_tasks(run):
        return []
    random = Random(run.id)
    steps = STEPS[run.sent["checklist_id"]]
    done = completed_steps(run)
    owners = [_owners(random, run) for _ in steps]
    created = seconds(run.sent["created_at"])
    times = _completions(random, run, steps[:done], owners, created)
    late = done + int(run.sent.get("late_tasks") or 0)
    due = seconds(run.sent["due_date"]) if run.sent.get("due_date") else None
    made = []
    for index, step in enumerate(steps):
        began = times[min(index, done) - 1] if done and index else created
        status = "completed" if index < done else "in-progress" if index == done else "not-started"
        if step.conditional:
            status, began = "auto-skipped", created
        deadline = None
        if due is not None and not step.conditional:
            deadline = created + (due - created) * (index + 1) // len(steps)
            if done <= index < late:
                deadline = min(deadline, _END - DAY)
            elif index >= done:
                deadline = max(deadline, _END + DAY)
        record = _task(random, run, step, status, owners[index])
        sent = record.sent
        sent["deadline"] = None if deadline is None else stamp(deadline)
        sent["started_at"] = stamp(began) if status in {"completed", "in-progress"} else None
        if status == "completed":
            _complete(random, record, step, times[index])
        sent["last_updated"] = sent["completed_at"] or sent["started_at"] or sent["created_at"]
        _discuss(random, record, began, min(_END, times[index]) if index < done else None)
        record.hidden["overdue"] = status in {"in-progress", "not-started"} and deadline is not None and deadline < _END
        record.hidden["due_soon"] = (
            status in {"in-progress", "not-started"} and deadline is not None and 0 <= deadline - _END <= 3 * DAY
        )
        sent["archived_at"] = run.sent.get("archived_at")
        if sent["archived_at"]:
            sent["last_updated"] = sent["archived_at"]
        made.append(record)
    return made


def _owners(random: Random, run: Record) -> dict[str, Any]:
    people = run.sent.get("users") or [run.sent.get("owner_id")]
    roll = random.random()
    groups = run.sent.get("groups") or []
    return {
        "users": [] if roll < 0.1 or people[0] is None else [people[int(random.random() * len(people))]],
        "guests": [GUESTS[int(random.random() * len(GUESTS))]] if roll < 0.06 or roll > 0.97 else [],
        "groups": [groups[0]] if groups and roll < 0.5 else [],
    }


def _completions(
    random: Random, run: Record, steps: tuple[Step, ...], owners: list[dict[str, Any]], created: int
) -> list[int]:
    """When each of the steps was completed: one after the other, within the life of the process."""
    if not steps:
        return []
    template = _BY_ID.get(run.sent["checklist_id"])
    everything = sum(step.share for step in STEPS[run.sent["checklist_id"]] if not step.conditional)
    days = template.days if template else 5
    waits = []
    for step, owned in zip(steps, owners, strict=False):
        slow = _SLOWER if set(owned["users"]) & set(SLOW_MEMBERS) else 1
        waits.append(days * DAY * step.share / everything * slow * (0.3 + 1.4 * random.random()))
    end = seconds(run.sent.get("completed_at") or run.sent.get("last_updated") or run.sent["created_at"])
    scale = (end - created) / sum(waits)
    if not run.sent.get("completed_at"):
        scale = min(1, scale)
    times, passed = [], 0.0
    for wait in waits:
        passed += wait * max(0, scale)
        times.append(created + round(passed))
    return times


_PLAIN: dict[str, Any] = {
    "id": None,
    "increment_id": None,
    "title": None,
    "original_title": None,
    "run_id": None,
    "checklist_id": None,
    "step_id": None,
    "alias": None,
    "status": "not-started",
    "status_label": "not-started",
    "task_type": "task",
    "position": None,
    "blueprint_position": None,
    "created_at": None,
    "deadline": None,
    "starter_id": None,
    "run_status": None,
    "owners": {"users": [], "guests": [], "groups": [], "taskUrls": []},
    "taskdata": {},
    "top_secret": False,
    "webhook": None,
    "custom_fields": {},
    "linked_step_id": None,
    "stage_id": None,
    "is_approved": None,
    "is_completable": True,
    "is_oneoff_task": False,
    "everyone_must_complete": False,
    "can_complete_only_assignees": False,
    "prevent_guest_comment": False,
    "allow_guest_owners": True,
    "is_soft_start_date": False,
    "problem": False,
    "has_deadline_dependent_child_tasks": False,
    "send_chromeless": False,
    "completion_progress": None,
    "max_assignable": None,
    "started_at": None,
    "last_updated": None,
    "completed_at": None,
    "archived_at": None,
    "completer_id": None,
    "completer_guest": None,
    "roles": [],
}


@cache
def _of_step(step_id: str) -> dict[str, Any]:
    """What all tasks of a step have in common."""
    step = STEP_OF[step_id]
    alias = step.title.lower().replace(" ", "-")
    return {
        **_PLAIN,
        "title": step.title,
        "original_title": step.title,
        "checklist_id": step.checklist_id,
        "step_id": step.id,
        "alias": alias,
        "task_type": "approval" if step.title in {"Approve", "Decide"} else "task",
        "position": step.position,
        "blueprint_position": step.position,
        "top_secret": step.title == "Legal",
        "webhook": webhook(step.id) if step.position == 2 else None,
    }


def _task(random: Random, run: Record, step: Step, status: str, owners: dict[str, Any]) -> Record:
    task_id = made_id("task", run.id, step.position)
    sent = dict(_of_step(step.id))
    sent["id"] = task_id
    sent["increment_id"] = (run.sent.get("increment_id") or 0) * 10 + step.position
    sent["run_id"] = run.id
    sent["status"] = sent["status_label"] = status
    sent["created_at"] = run.sent["created_at"]
    sent["starter_id"] = run.sent.get("started_by")
    sent["run_status"] = run.sent.get("status")
    sent["owners"] = {**owners, "taskUrls": [_task_url(task_id, email) for email in owners["guests"]]}
    sent["custom_fields"] = {"priority": "high"} if random.random() < 0.1 else {}
    tags = tuple(tag for tag in OWN_TAGS if random.random() < 0.05) if random.random() < 0.5 else ()
    return Record(task_id, sent, {"threads": [], "tag_ids": tags, "summary": f"How to do this: <b>{step.title}</b>"})


def _task_url(task_id: str, email: str) -> str:
    return f"https://go.tallyfy.com/public/tasks/{task_id}?guest_code={guest_token(email)}"


def _complete(random: Random, record: Record, step: Step | None, at: int) -> None:
    """Complete a task that nobody has seen yet."""
    sent = record.sent
    sent.update(completion(sent, stamp(at)))
    sent["taskdata"] = {} if step is None else answers(random, step, record.id)


def completion(task: dict[str, Any], at: str, completer: int | None = None) -> dict[str, Any]:
    """What changes of a task when it is completed."""
    owners = task["owners"]
    guest = owners["guests"][0] if owners["guests"] and not owners["users"] and completer is None else None
    member = completer or (owners["users"][0] if owners["users"] else task.get("starter_id"))
    return {
        "status": "completed",
        "status_label": "completed",
        "started_at": task["started_at"] or at,
        "completed_at": at,
        "last_updated": at,
        "completer_id": None if guest else member,
        "completer_guest": guest,
        "is_approved": True if task["task_type"] == "approval" else None,
    }


def thread(task_id: str, number: int, author: int, at: str, **fields: Any) -> dict[str, Any]:
    """A comment on a task."""
    return {
        "id": made_id("thread", task_id, number),
        "task_id": task_id,
        "content": _COMMENTS[number % len(_COMMENTS)],
        "label": "comment",
        "state": "open",
        "author_id": author,
        "author_type": "member",
        "sent_to": [],
        "resolve_id": None,
        "created_at": at,
        "updated_at": at,
        "archived_at": None,
        **fields,
    }


def _discuss(random: Random, record: Record, began: int, ended: int | None) -> None:
    """Comment on a task that nobody has seen yet; a problem that was not resolved shows in the task."""
    sent = record.sent
    if sent["started_at"] is None or random.random() >= 0.2:
        return
    # Nothing is later than the last change of the task, which for an open one is its start.
    span = (ended if ended is not None else began) - began
    times = sorted(began + int(random.random() * span) for _ in range(1 + int(random.random() * 3)))
    for number, at in enumerate(times):
        author = MEMBERS[int(random.random() * len(MEMBERS))]
        label = "problem" if number == 0 and random.random() < 0.3 else "comment"
        record.hidden["threads"].append(thread(record.id, number, author, stamp(at), label=label))
    sent["problem"] = sent["status"] == "in-progress" and record.hidden["threads"][0]["label"] == "problem"


def one_off(task_id: str, title: str, at: int, **fields: Any) -> Record:
    """A task of no process, made this second."""
    sent = {
        **_PLAIN,
        "id": task_id,
        "increment_id": int(task_id[:6], 16),
        "title": title,
        "original_title": title,
        "is_oneoff_task": True,
        "created_at": stamp(at),
        "last_updated": stamp(at),
        "starter_id": MEMBERS[0],
        "owners": {"users": [MEMBERS[0]], "guests": [], "groups": [], "taskUrls": []},
        **fields,
    }
    hidden: dict[str, Any] = {"threads": [], "tag_ids": (), "summary": None, "overdue": False, "due_soon": False}
    return Record(task_id, sent, hidden)


def one_off_tasks(seed: int, count: int) -> Iterator[Record]:
    """Tasks of no process."""
    for number in range(count):
        random = Random(f"one-off {seed} {number}")
        created = _END - int(random.random() * 300 * DAY)
        ended = created + int(random.expovariate(1 / 6) * DAY)
        owner = MEMBERS[int(random.random() * len(MEMBERS))]
        deadline = created + 7 * DAY
        task_id = made_id("one-off", seed, number)
        record = one_off(
            task_id,
            _ONE_OFF[number % len(_ONE_OFF)],
            created,
            starter_id=MEMBERS[number % len(MEMBERS)],
            owners={"users": [owner], "guests": [], "groups": [], "taskUrls": []},
            deadline=stamp(deadline),
        )
        if ended <= _END and random.random() < 0.8:
            _complete(random, record, None, ended)
        elif random.random() < 0.2:
            record.sent["archived_at"] = record.sent["last_updated"] = stamp(_END - int(random.random() * DAY))
        record.hidden["overdue"] = record.sent["completed_at"] is None and deadline < _END
        record.hidden["due_soon"] = record.sent["completed_at"] is None and 0 <= deadline - _END <= 3 * DAY
        yield record


_BY_ID = {template.id: template for template in TEMPLATES}
