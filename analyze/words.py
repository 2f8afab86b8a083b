"""Numbers, dates and names as a person would write them."""

from __future__ import annotations

from datetime import date
from typing import Final

Value = str | int | float | date | None
"""What a column may hold; a moment is a date too, and a flag a number."""

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LONGEST: Final = 28
"""Characters of a name in a chart; the table has the whole name."""

_HEADINGS: Final = {
    "share": "Share", "rank": "Rank", "name": "Name", "team": "Team", "month": "Month", "day": "Day",
    "template_name": "Template", "step_name": "Step", "process_name": "Process", "owner_name": "Owner",
    "person_type": "Kind", "open_tasks": "Open", "waiting_tasks": "Waiting", "overdue_tasks": "Overdue",
    "next_deadline": "Next deadline", "on_time": "On time", "with_deadline": "With a deadline",
    "current_steps": "Waiting steps", "waits_for": "Waits for", "age_days": "Age in days", "waiting": "Waiting",
    "longest_open_days": "Longest wait in days", "median_days_waited": "Usual wait in days", "weekday": "Day due",
    "late": "Late", "tasks_completed": "Completed", "week_average": "Week's average", "comments": "Comments",
    "issues": "Issues", "per_task": "For each task", "last_30_days": "Last 30 days",
    "previous_30_days": "30 days before", "question": "Question", "answer": "Answer", "processes": "Processes",
    "median_cycle_days": "Usual days", "median_hours": "Usual hours", "median_working_hours": "Usual working hours",
    "path": "Way", "share_of_template": "Share", "activity": "After", "next_activity": "Comes",
    "median_days": "Usual days between", "processes_open": "Open processes",
}  # fmt: skip


def heading(column: str) -> str:
    """The heading of a column."""
    return _HEADINGS[column]


def shown(column: str, value: Value) -> str:
    """A value as it is to be read."""
    match value:
        case None:
            return "-"
        case int() if column == "weekday":
            return WEEKDAYS[value - 1]
        case date() if column == "month":
            return f"{value:%b %Y}"
        case float() if column.startswith("share"):
            return percent(value)
        case _:
            return _plain(value)


def _plain(value: Value) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return number(value)
        case date():
            return day(value)
        case _:
            return str(value)


def exact(value: Value) -> str:
    """A value as programs read it: unrounded, dates in ISO, flags as true or false, nothing for null."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case date():
            return value.isoformat()
        case _:
            return str(value)


def number(value: float) -> str:
    """A number, with one decimal unless it is large."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}".removesuffix(".0")  # noqa: PLR2004


def percent(share: float) -> str:
    """A share as whole percent."""
    return f"{share:.0%}"


def day(when: date) -> str:
    """A day, such as 5 January 2026."""
    return f"{when.day} {when:%B %Y}"


def span(days: float) -> str:
    """A length of time, such as 3 days or 5 hours."""
    hours = days * 24
    return count(round(hours), "hour") if hours < 36 else count(round(days), "day")  # noqa: PLR2004


def days(how_many: float) -> str:
    """A length of time in days alone, to be compared with others."""
    return f"{number(how_many)} {'day' if number(how_many) == '1' else 'days'}"


def count(how_many: int, what: str, plural: str = "") -> str:
    """So many things, such as 1 task or 2 tasks."""
    return f"{how_many:,} {what if how_many == 1 else plural or what + 's'}"


def are(how_many: int) -> str:
    """The verb for so many."""
    return "is" if how_many == 1 else "are"


def short(name: str | None, longest: int = LONGEST) -> str:
    """A name that fits into a chart: so many characters at most."""
    name = (name or "No name").strip()
    return name if len(name) <= longest else f"{name[: longest - 1].rstrip()}…"


def capitalised(sentence: str) -> str:
    """A sentence with a capital letter first, and the others as they are."""
    return sentence[:1].upper() + sentence[1:]
