"""Answers to the fields of a form."""

# ruff: noqa: PLR2004 - how often something happens is best read where it happens

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.data import DAY, END, MEMBERS, stamp
from sandbox.made import file
from sandbox.people import GROUP_IDS, GUESTS
from sandbox.templates import COLUMNS, OPTIONS

if TYPE_CHECKING:
    from random import Random

    from sandbox.templates import Step

_NOTES = ("Done 👍", "Siehe Anhang", "line one\nline two", "see <b>notes</b> & more", "確認済み", "")


def answers(random: Random, step: Step, task_id: str) -> dict[str, Any]:
    """Answers to the fields of a step by field id; some are empty and some are missing."""
    given = {}
    for each in step.fields:
        roll = random.random()
        if roll >= 0.1:
            given[each["id"]] = _answer(random, each, task_id, empty=roll < 0.2)
    return given


def _answer(random: Random, definition: dict[str, Any], task_id: str, *, empty: bool) -> Any:  # noqa: PLR0911
    kind = definition["field_type"]
    roll = random.random
    match kind:
        case "text":
            return "" if empty else f"Ref {int(roll() * 1e6):06d}"
        case "textarea":
            return "" if empty else _NOTES[int(roll() * len(_NOTES))]
        case "email":
            return "" if empty else {"value": GUESTS[0]} if roll() < 0.1 else GUESTS[int(roll() * len(GUESTS))]
        case "date":
            return None if empty else stamp(END - int(roll() * 200) * DAY)
        case "radio":
            return None if empty else OPTIONS["radio"][int(roll() * 2)]["text"]
        case "dropdown":
            return [] if empty else OPTIONS["dropdown"][int(roll() * 3)]
        case "multiselect":
            return [] if empty else [{**option, "selected": roll() < 0.5} for option in OPTIONS["multiselect"]]
        case "table":
            return [] if empty else [{**column, "value": str(int(roll() * 50))} for column in COLUMNS]
        case "assignees_form":
            people = [] if empty else [MEMBERS[int(roll() * len(MEMBERS))]]
            return {"users": people, "guests": [], "groups": [GROUP_IDS[0]] if people and roll() < 0.3 else []}
        case _:
            return [] if empty else [file("contract.pdf", definition["id"], task_id, "Task")]
