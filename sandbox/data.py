"""Made-up processes of a made-up company: the same seed gives the same ones."""

# ruff: noqa: PLR2004 - how often something happens is best read where it happens

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

from sandbox.store import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

END = datetime(2026, 1, 15, 12, tzinfo=timezone.utc)
"""No made-up date of the past (due dates can lie ahead) is later."""

DAY = 86_400
_END = int(END.timestamp())
_START = _END - 400 * DAY

HIDDEN_FIELDS = ("tag_ids", "folder_id", "problem_open", "improvement", "status_before")
"""What a run has but the API does not send as such."""


@dataclass(frozen=True)
class Template:
    """A template processes are launched from; days is the mean time to complete one."""

    id: str
    title: str
    days: float
    due_days: int
    steps: tuple[str, ...]
    fields: tuple[str, ...]
    type: str


def _template(number: int, title: str, days: float, due_days: int, steps: str) -> Template:
    return Template(
        id=f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128:032x}",
        title=title,
        days=days,
        due_days=due_days,
        steps=tuple(steps.split(", ")),
        fields=tuple(f"{(10 * number + n) * 0xD1B54A32D192ED03ABC98388FB8FAC03 % 2**128:032x}" for n in range(1, 5)),
        type="form" if title == "Leave Request" else "procedure",
    )


TEMPLATES = (
    _template(1, "Customer Onboarding", 21, 30, "Kick-off, Contract, Accounts, Data import, Training, Go live"),
    _template(2, "Employee Onboarding", 12, 14, "Contract, Laptop, Accounts, First week, Review"),
    _template(3, "Invoice Approval", 3, 5, "Check, Approve, Pay"),
    _template(4, "Vendor Review 年次", 35, 45, "Questionnaire, Security, Legal, Decision"),
    _template(5, "Incident Post-mortem", 8, 10, "Timeline, Causes, Actions, Share"),
    _template(6, "Leave Request", 1.5, 3, "Request, Decide"),
)
_WEIGHTS = (24, 12, 34, 8, 10, 12)
_CUMULATIVE = tuple(sum(_WEIGHTS[: index + 1]) for index in range(len(_WEIGHTS)))

COMPANIES = (
    "ACME Corp", "Société Générale", "株式会社サンプル", "Müller & Söhne GmbH", "Ñandú Café", "Rocket 🚀 Labs",
    "O'Brien \"Quotes\" Ltd", "Ελληνικά", "Ørsted Vind", "شركة المثال", "Globex", "Initech", "Zażółć Sp. z o.o.",
    "Umbrella, Inc.", "Contoso\tTabs", "Wayne Enterprises", "Łódź Logistics", "한국상사",
)  # fmt: skip
SUMMARIES = (
    "",
    "",
    "",
    "Wichtig: bis Freitag",
    "Asked twice 👍",
    "see <b>notes</b> & attachments",
    "line one\nline two",
)
MEMBERS = tuple(range(1001, 1041))
TAGS = {
    f"{n * 0xA24BAED4963EE407 % 2**128:032x}": title
    for n, title in enumerate(("EMEA", "VIP", "Pilot", "Ümlaut", "2026 🎯"), 1)
}
FOLDERS = {
    f"{n * 0x9FB21C651E98DF25 % 2**128:032x}": name for n, name in enumerate(("Sales", "People", "Finance / AP"), 1)
}
GROUPS = tuple(f"{n * 0xC2B2AE3D27D4EB4F % 2**128:032x}" for n in range(1, 6))
_IN_BULK = 40
_PEOPLE = tuple(MEMBERS[n : n + 1 + n % 4] for n in range(len(MEMBERS) - 4))
PLANS = (
    {"id": 1, "text": "Starter", "value": "starter"},
    {"id": 2, "text": "Größer", "value": None},
    {"id": 3, "text": "", "value": "エンタープライズ"},
)


@cache
def _day(day: int) -> str:
    return time.strftime("%Y-%m-%dT", time.gmtime(day * DAY))


def stamp(seconds: int) -> str:
    """A date-time as the API writes it, from seconds since 1970."""
    day, second = divmod(seconds, DAY)
    return f"{_day(day)}{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.000Z"


def progress_of(total: int, complete: int) -> dict[str, Any]:
    """The progress of a process that has completed so many of its steps."""
    return {
        "complete": complete,
        "total": total,
        "percent": 100 if complete == total else round(100 * complete / total, 1),
        "approved": 0,
        "rejected": 0,
    }


def _answers(random: Random, template: Template) -> dict[str, Any]:
    text, choice, several, files = template.fields
    answers: dict[str, Any] = {text: f"Ref {int(random.random() * 1e6):06d}", choice: PLANS[int(random.random() * 3)]}
    if random.random() < 0.5:
        answers[several] = [{"id": 1, "text": "Yes", "selected": True}, {"id": 2, "text": "Non", "selected": False}]
    if random.random() < 0.2:
        answers[files] = []
    return answers


def launch(random: Random, at: int, increment_id: int) -> Record:
    """A process launched this second (seconds since 1970), with nothing done yet."""
    roll = random.random
    template = random.choices(TEMPLATES, cum_weights=_CUMULATIVE)[0]
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
    template = _BY_ID[sent["checklist_id"]]
    total = len(template.steps)
    stalled = roll() < 0.06
    done_at = _END + 1 if stalled else created + 60 + int(random.expovariate(1 / template.days) * DAY)
    updated = created + int(roll() * (_END - created))
    due_at = created + template.due_days * DAY
    if done_at <= _END:
        sent["status"] = "complete"
        sent["completed_at"] = stamp(done_at)
        updated = max(done_at, updated) if roll() < 0.2 else done_at
        complete = total
    else:
        complete = int(roll() * total)
        if sent["due_date"]:
            sent["due_date_passed"] = due_at < _END
            sent["due_soon"] = 0 <= due_at - _END < 2 * DAY
            sent["late_tasks"] = int(roll() * (total - complete + 1)) if due_at < _END else 0
        hidden["problem_open"] = roll() < 0.15
        sent["has_open_issue"] = roll() < 0.1
    hidden["improvement"] = roll() < 0.05
    sent["progress"] = progress_of(total, complete)
    sent["whole_progress"] = progress_of(total + 1, complete + 1)
    if roll() < 0.133:
        updated += int(roll() * (_END - updated))
        hidden["status_before"] = sent["status"]
        sent["status"] = "archived"
        sent["archived_at"] = stamp(updated)
    sent["last_updated"] = stamp(updated)


_BY_ID = {template.id: template for template in TEMPLATES}


def generate(count: int, seed: int) -> Iterator[Record]:
    """Make this many processes: 12 % archived, 5 % launched 40 a second, 5 % never changed since their launch."""
    random = Random(seed)
    bulk = _START
    launches: list[tuple[int, bool]] = []
    for number in range(count):
        if number % _IN_BULK == 0:
            bulk = _START + int(random.random() * (_END - _START))
        in_bulk = number % (20 * _IN_BULK) < _IN_BULK
        launches.append((bulk if in_bulk else _START + int(random.random() * (_END - _START)), in_bulk))
    launches.sort()
    earlier = None
    for number, (created, in_bulk) in enumerate(launches, 1):
        record = launch(random, created, number)
        if not in_bulk and random.random() >= 0.05:
            _live(random, record, created)
        if earlier is not None and random.random() < 0.03:
            record.sent["parent_id"] = earlier
        earlier = record.id
        yield record
