"""The tasks of processes, with answers and comments; they follow from the process alone."""

# ruff: noqa: PLR2004 - how often something happens is best read where it happens

from __future__ import annotations

from datetime import datetime
from functools import cache
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, Any

from sandbox.answers import answers
from sandbox.data import DAY, END, MEMBERS, stamp
from sandbox.labels import OWN_TAGS
from sandbox.made import made_id, webhook
from sandbox.people import GUESTS, OVERLOADED_MEMBERS, SLOW_MEMBERS, guest_token
from sandbox.store import Record
from sandbox.templates import STEP_OF, STEPS, TEMPLATE_OF, Step
from sandbox.ways import in_order, progress_of, sent_back, steps_of, to_do
from sandbox.workdays import between, during, later

if TYPE_CHECKING:
    from collections.abc import Iterator

_SLOWER = 5
_OFTEN_OVERLOADED = 0.15
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
        return len(to_do(run.sent))
    return int((run.sent.get("progress") or {}).get("complete") or 0)


def progress(run: Record, done: int | None = None) -> dict[str, Any]:
    """The fields of a process that tell how far it is, with so many tasks completed or all of them."""
    total = len(to_do(run.sent))
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
    steps = steps_of(run.sent)
    done = completed_steps(run)
    order = in_order(run.sent, done)
    owners = {step.id: _owners(random, run) for step in steps}
    created = seconds(run.sent["created_at"])
    times = _completions(random, run, order, owners, created)[:done]
    made = []
    for step in steps:
        place = order.index(step) if step in order else None
        began = times[min(place, done) - 1] if place and done else created
        status = "auto-skipped"
        if place is not None:
            status = "completed" if place < done else "in-progress" if place == done else "not-started"
        if status == "in-progress" and random.random() < _OFTEN_OVERLOADED:
            owners[step.id] = {"users": [random.choice(OVERLOADED_MEMBERS)], "guests": [], "groups": []}
        record = _task(random, run, step, status, owners[step.id])
        sent = record.sent
        deadline = None if place is None else _deadline(run, created, place, done, len(order))
        sent["deadline"] = None if deadline is None else stamp(deadline)
        sent["started_at"] = stamp(began) if status in {"completed", "in-progress"} else None
        if status == "completed" and place is not None:
            _complete(random, record, step, times[place])
        sent["last_updated"] = sent["completed_at"] or sent["started_at"] or sent["created_at"]
        _discuss(random, record, began, min(END, times[place]) if status == "completed" and place is not None else None)
        is_open = status in {"in-progress", "not-started"}
        record.hidden["overdue"] = is_open and deadline is not None and deadline < END
        record.hidden["due_soon"] = is_open and deadline is not None and 0 <= deadline - END <= 3 * DAY
        made.append(record)
    _send_back(made, run, created)
    if run.sent.get("archived_at"):
        for record in made:
            record.sent["archived_at"] = record.sent["last_updated"] = run.sent["archived_at"]
    return made


def _deadline(run: Record, created: int, place: int, done: int, steps: int) -> int | None:
    """The deadline of the task that is done at this place of so many, with as many late ones as the process says."""
    if not run.sent.get("due_date"):
        return None
    deadline = created + (seconds(run.sent["due_date"]) - created) * (place + 1) // steps
    if place < done:
        return deadline
    late = done + int(run.sent.get("late_tasks") or 0)
    return min(deadline, END - DAY) if place < late else max(deadline, END + DAY)


def _send_back(tasks: list[Record], run: Record, created: int) -> None:
    """Let the rejected approval of a process show that the step before it was done twice."""
    back = sent_back(run.sent)
    if back is None:
        return
    approval, again = (next(task for task in tasks if task.sent["step_id"] == step.id) for step in back)
    if approval.sent["status"] != "completed" or again.sent["status"] == "not-started":
        return
    rejected = seconds(approval.sent["completed_at"])
    first = between(created, rejected, 0.6)
    approval.sent["is_approved"] = False
    approval.sent["started_at"] = stamp(first)
    again.sent["started_at"] = stamp(created)
    if again.sent["status"] == "in-progress":
        again.sent["last_updated"] = stamp(rejected)
    again.hidden["done_before"] = (stamp(first), stamp(rejected))


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
    random: Random, run: Record, order: list[Step], owners: dict[str, dict[str, Any]], created: int
) -> list[int]:
    """When each of the steps was completed, or will be: one after the other, within the life of the process."""
    done = completed_steps(run)
    everything = sum(step.share for step in order)
    days = TEMPLATE_OF[run.sent["checklist_id"]].days
    waits = []
    for step in order:
        slow = _SLOWER if set(owners[step.id]["users"]) & set(SLOW_MEMBERS) else 1
        waits.append(days * DAY * step.share / everything * slow * (0.3 + 1.4 * random.random()))
    if not done:
        return []
    end = seconds(run.sent.get("completed_at") or run.sent.get("last_updated") or run.sent["created_at"])
    whole = sum(waits[:done])
    if not run.sent.get("completed_at"):
        whole = max(whole, end - created)
    return [between(created, end, passed / whole) for passed in accumulate(waits[:done])]


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
    sent["stage_id"] = None if step.stage_id is None else str(step.stage_id)
    sent["custom_fields"] = {"priority": "high"} if random.random() < 0.1 else {}
    tags = tuple(tag for tag in OWN_TAGS if random.random() < 0.05) if random.random() < 0.5 else ()
    hidden: dict[str, Any] = {
        "threads": [],
        "tag_ids": tags,
        "summary": f"How to do this: <b>{step.title}</b>",
        "done_before": None,
    }
    return Record(task_id, sent, hidden)


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
    until = began if ended is None else max(began, ended)
    times = sorted(between(began, until, random.random()) for _ in range(1 + int(random.random() * 3)))
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
    hidden: dict[str, Any] = {
        "threads": [], "tag_ids": (), "summary": None, "done_before": None, "overdue": False, "due_soon": False,
    }  # fmt: skip
    return Record(task_id, sent, hidden)


def one_off_tasks(seed: int, count: int) -> Iterator[Record]:
    """Tasks of no process."""
    for number in range(count):
        random = Random(f"one-off {seed} {number}")
        created = during(1 - 0.75 * random.random())
        ended = later(created, random.expovariate(1 / 6))
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
        if ended <= END and random.random() < 0.8:
            _complete(random, record, None, ended)
        elif random.random() < 0.2:
            record.sent["archived_at"] = record.sent["last_updated"] = stamp(END - int(random.random() * DAY))
        record.hidden["overdue"] = record.sent["completed_at"] is None and deadline < END
        record.hidden["due_soon"] = record.sent["completed_at"] is None and 0 <= deadline - END <= 3 * DAY
        yield record
