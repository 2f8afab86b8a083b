"""The way of a process through its template: which steps it has, which it skips, and which comes after which."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from sandbox.data import stamp
from sandbox.templates import PLAN_FIELDS, SENT_BACK, STEPS

if TYPE_CHECKING:
    from sandbox.templates import Step

_OFTEN_SENT_BACK = 0.2


def steps_of(run: dict[str, Any]) -> tuple[Step, ...]:
    """The steps that the template of a process had when it was launched, in order of position."""
    created = run["created_at"]
    return tuple(step for step in STEPS[run["checklist_id"]] if step.since is None or created >= stamp(step.since))


def is_skipped(run: dict[str, Any], step: Step) -> bool:
    """Whether a rule hides a step of a process, by the answer to the kick-off form."""
    if step.plans is None:
        return False
    prerun = run.get("prerun")
    answer = prerun.get(PLAN_FIELDS[step.checklist_id]) if isinstance(prerun, dict) else None
    plan = answer.get("id") if isinstance(answer, dict) else None
    return plan not in step.plans


def to_do(run: dict[str, Any]) -> list[Step]:
    """The steps of a process that are not skipped, in order of position."""
    return [step for step in steps_of(run) if not is_skipped(run, step)]


def sent_back(run: dict[str, Any]) -> tuple[Step, Step] | None:
    """The approval that was rejected, and the step that the process went back to and that was done again."""
    approval = next((step for step in to_do(run) if step.title == SENT_BACK.get(run["checklist_id"])), None)
    if approval is None or Random(f"{run['id']} way").random() >= _OFTEN_SENT_BACK:
        return None
    return approval, next(step for step in reversed(to_do(run)) if step.position < approval.position)


def in_order(run: dict[str, Any], done: int) -> list[Step]:
    """The steps that are not skipped in the order in which they were completed (last), if so many were."""
    order, back = to_do(run), sent_back(run)
    if back is not None and order.index(back[0]) <= done:
        order.remove(back[1])
        order.insert(order.index(back[0]) + 1, back[1])
    return order


def progress_of(total: int, complete: int) -> dict[str, Any]:
    """The progress of a process that has completed so many of its steps."""
    return {
        "complete": complete,
        "total": total,
        "percent": 100 if complete == total else round(100 * complete / total, 1),
        "approved": 0,
        "rejected": 0,
    }
