"""The made-up processes: the same seed gives the same ones."""

# ruff: noqa: PLR2004 - how often something happens is best read where it happens

from __future__ import annotations

from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, Any

from sandbox.data import (
    CHANGED,
    COMPANIES,
    DAY,
    END,
    FOLDERS,
    GROUPS,
    MEMBERS,
    PLANS,
    SUMMARIES,
    TAGS,
    TEMPLATES,
    WEIGHTS,
    Template,
    stamp,
)
from sandbox.store import Record
from sandbox.templates import TEMPLATE_OF
from sandbox.ways import progress_of, to_do
from sandbox.workdays import between, during, later

if TYPE_CHECKING:
    from collections.abc import Iterator

_CUMULATIVE = tuple(accumulate(WEIGHTS))
_IN_BULK = 40
_PEOPLE = tuple(MEMBERS[n : n + 1 + n % 4] for n in range(len(MEMBERS) - 4))


def _answers(random: Random, template: Template) -> dict[str, Any]:
    text, choice, several, files = template.fields
    answers: dict[str, Any] = {text: f"Ref {int(random.random() * 1e6):06d}", choice: PLANS[int(random.random() * 3)]}
    if random.random() < 0.5:
        answers[several] = [{"id": 1, "text": "Yes", "selected": True}, {"id": 2, "text": "Non", "selected": False}]
    if random.random() < 0.2:
        answers[files] = []
    return answers


def launch(random: Random, at: int, increment_id: int, template: Template | None = None) -> Record:
    """A process launched this second (seconds since 1970), with nothing done yet; None: from any template."""
    roll = random.random
    template = template or random.choices(TEMPLATES, cum_weights=_CUMULATIVE)[0]
    owner = MEMBERS[int(roll() * roll() * len(MEMBERS))]
    began = stamp(at)
    filled = roll() < 0.85
    due = stamp(at + template.due_days * DAY) if roll() < 0.9 else None
    custom = {"cost_centre": f"CC-{int(roll() * 90) + 10}", "région": "Île-de-France"} if roll() < 0.3 else {}
    sent = {
        "id": f"{random.getrandbits(128):032x}",
        "increment_id": increment_id,
        "checklist_id": template.id,
        "checklist_title": template.title,
        "name": f"{template.title} - {COMPANIES[int(roll() * len(COMPANIES))]}",
        "summary": SUMMARIES[int(roll() * len(SUMMARIES))],
        "status": "active",
        "progress": {},
        "whole_progress": {},
        "started_by": owner,
        "owner_id": owner,
        "prerun": _answers(random, template) if filled else {},
        "prerun_status": "complete" if filled else "incomplete",
        "prerun_length": len(template.fields),
        "prerun_completed_by": owner if filled else None,
        "prerun_completed_at": began if filled else None,
        "starred": roll() < 0.1,
        "created_at": began,
        "started_at": began,
        "last_updated": began,
        "archived_at": None,
        "completed_at": None,
        "due_date": due,
        "max_task_deadline": due,
        "due_date_passed": False,
        "due_soon": False,
        "late_tasks": 0,
        "collaborators": list(_PEOPLE[int(roll() * len(_PEOPLE))]) if roll() < 0.3 else [],
        "type": template.type,
        "is_public": roll() < 0.02,
        "users": list(_PEOPLE[int(roll() * len(_PEOPLE))]) if roll() < 0.8 else [],
        "groups": [GROUPS[int(roll() * len(GROUPS))]] if roll() < 0.25 else [],
        "parent_id": None,
        "can_add_oot": roll() < 0.7,
        "assign_someone_else": roll() < 0.5,
        "has_open_issue": False,
        "custom_fields": custom,
    }
    tags = list(TAGS)
    hidden = {
        "tag_ids": tuple(tag for tag in tags if roll() < 0.15),
        "folder_id": list(FOLDERS)[int(roll() * len(FOLDERS))] if roll() < 0.6 else None,
        "problem_open": False,
        "improvement": False,
        "status_before": None,
    }
    return Record(str(sent["id"]), sent, hidden)


def _live(random: Random, record: Record, created: int) -> None:
    """Let the days since the launch pass for a record that nobody has seen yet."""
    roll = random.random
    sent, hidden = record.sent, record.hidden
    template = TEMPLATE_OF[sent["checklist_id"]]
    total = len(to_do(sent))
    days = template.days_since_change if template.days_since_change and created >= CHANGED else template.days
    stalled = roll() < 0.06
    done_at = END + 1 if stalled else later(created, 0.01 + random.expovariate(1 / days))
    updated = between(created, END, roll())
    due_at = created + template.due_days * DAY
    if done_at <= END:
        sent["status"] = "complete"
        sent["completed_at"] = stamp(done_at)
        updated = max(done_at, updated) if roll() < 0.2 else done_at
        complete = total
    else:
        complete = int(roll() * total)
        if sent["due_date"]:
            sent["due_date_passed"] = due_at < END
            sent["due_soon"] = 0 <= due_at - END < 2 * DAY
            sent["late_tasks"] = int(roll() * (total - complete + 1)) if due_at < END else 0
        hidden["problem_open"] = roll() < 0.15
        sent["has_open_issue"] = roll() < 0.1
    hidden["improvement"] = roll() < 0.05
    sent["progress"] = progress_of(total, complete)
    sent["whole_progress"] = progress_of(total + 1, complete + 1)
    if roll() < 0.133:
        updated = between(updated, END, roll())
        hidden["status_before"] = sent["status"]
        sent["status"] = "archived"
        sent["archived_at"] = stamp(updated)
    sent["last_updated"] = stamp(updated)


def generate(count: int, seed: int, template: Template | None = None) -> Iterator[Record]:
    """Make this many processes, all from one template if it is given.

    12 % archived, 5 % launched 40 a second, 5 % never changed since their launch.
    """
    random = Random(seed)
    bulk = 0.0
    launches: list[tuple[float, bool]] = []
    for number in range(count):
        if number % _IN_BULK == 0:
            bulk = random.random()
        in_bulk = number % (20 * _IN_BULK) < _IN_BULK
        launches.append((bulk if in_bulk else random.random(), in_bulk))
    launches.sort()
    earlier = None
    for number, (share, in_bulk) in enumerate(launches, 1):
        created = during(share)
        record = launch(random, created, number, template)
        if not in_bulk and random.random() >= 0.05:
            _live(random, record, created)
        if earlier is not None and random.random() < 0.03:
            record.sent["parent_id"] = earlier
        earlier = record.id
        yield record
