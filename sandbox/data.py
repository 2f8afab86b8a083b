"""The facts about the made-up company that everything else refers to; all of its dates are relative to AS_OF."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from typing import Final

AS_OF: Final = datetime(2026, 1, 15, 12, tzinfo=timezone.utc)
"""When the made-up past ends and the sandbox's clock starts. Only deadlines and due dates are later."""
END: Final = int(AS_OF.timestamp())
"""The same in seconds since 1970."""

DAY: Final = 86_400
START: Final = END - 400 * DAY
"""Nothing was launched before, in seconds since 1970."""
CHANGED: Final = END - 120 * DAY
"""When the template that was changed got its last step, and became faster."""

HIDDEN_FIELDS = ("tag_ids", "folder_id", "problem_open", "improvement", "status_before")
"""What a run has but the API does not send as such."""


@dataclass(frozen=True)
class Template:
    """A template processes are launched from.

    Attributes:
        days: The mean time to complete a process.
        days_since_change: The same for processes launched since the template was changed, None if it never was.
    """

    id: str
    title: str
    days: float
    due_days: int
    steps: tuple[str, ...]
    fields: tuple[str, ...]
    type: str
    days_since_change: float | None = None


def _template(
    number: int, title: str, days: float, due_days: int, steps: str, days_since_change: float | None = None
) -> Template:
    return Template(
        id=f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128:032x}",
        title=title,
        days=days,
        due_days=due_days,
        steps=tuple(steps.split(", ")),
        fields=tuple(f"{(4 * number + n) * 0xD1B54A32D192ED03ABC98388FB8FAC03 % 2**128:032x}" for n in range(1, 5)),
        type="form" if title == "Leave Request" else "procedure",
        days_since_change=days_since_change,
    )


TEMPLATES = (
    _template(
        1,
        "Customer Onboarding",
        21,
        30,
        "Kick-off, Contract, Escalate to legal, Accounts, Data import, Training, Go live",
    ),
    _template(2, "Employee Onboarding", 12, 14, "Contract, Laptop, Accounts, First week, Review, Security training", 6),
    _template(3, "Invoice Approval", 3, 5, "Check, Approve, Second signature, Pay"),
    _template(4, "Vendor Review 年次", 35, 45, "Questionnaire, Security, Legal, Decision"),
    _template(5, "Incident Post-mortem", 8, 10, "Timeline, Causes, Actions, Share"),
    _template(6, "Leave Request", 1.5, 3, "Request, Decide"),
)
WEIGHTS = (24, 12, 34, 8, 10, 12)
"""How often processes are launched from each template, compared with the others."""

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
