"""The templates of the made-up company, with their steps and the fields of their forms."""

# ruff: noqa: PLR2004 - how often something happens is best read where it happens

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

from sandbox.data import CHANGED, DAY, END, MEMBERS, PLANS, TEMPLATES, Template, stamp
from sandbox.labels import CHECKLIST_FOLDERS, OWN_TAGS
from sandbox.made import made_id, webhook
from sandbox.store import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELD_TYPES = (
    "text", "radio", "date", "email", "dropdown", "textarea", "multiselect", "file", "table", "assignees_form",
)  # fmt: skip
_KICK_OFF_TYPES = ("text", "dropdown", "multiselect", "file")
_LABELS = {
    "text": "Reference", "radio": "Decision", "date": "Date agreed", "email": "Contact", "dropdown": "Plan",
    "textarea": "Notes", "multiselect": "Documents seen", "file": "Attachment", "table": "Positions",
    "assignees_form": "Who goes on",
}  # fmt: skip
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "dropdown": list(PLANS),
    "radio": [{"id": 1, "text": "Approve", "value": None}, {"id": 2, "text": "Ablehnen", "value": None}],
    "multiselect": [{"id": 1, "text": "Yes", "value": None}, {"id": 2, "text": "Non", "value": None}],
}
COLUMNS = [{"id": 1, "label": "Article"}, {"id": 2, "label": "Quantity"}]

_SHARES: dict[str, tuple[float, ...]] = {"Customer Onboarding": (1, 2, 1, 1, 14, 2, 2)}
_RULES: dict[tuple[str, str], frozenset[int | None]] = {
    ("Customer Onboarding", "Escalate to legal"): frozenset({3}),
    ("Customer Onboarding", "Data import"): frozenset({None, 2, 3}),
    ("Invoice Approval", "Second signature"): frozenset({3}),
}
"""For a template and a step of it that a rule hides else: the plans (None: not answered) for which it is shown."""
_ADDED = {("Employee Onboarding", "Security training"): CHANGED}
"""For a template and a step that it did not have from the start: since when it has it."""
_SENT_BACK = {"Invoice Approval": "Approve"}
"""For a template: the approval that sends a process back to the step before if it is rejected."""
_STAGES: dict[str, dict[str, tuple[str, ...]]] = {
    "Customer Onboarding": {
        "Agreement": ("Kick-off", "Contract", "Escalate to legal"),
        "Einführung": ("Accounts", "Data import"),
        "Launch": ("Training", "Go live"),
    },
    "Employee Onboarding": {
        "Before the first day": ("Contract", "Laptop", "Accounts"),
        "First weeks": ("First week", "Review", "Security training"),
    },
}
"""For a template: its stages by title, each with the titles of its steps."""
_OTHERS = (
    "Office Move", "Press Release", "Travel Request", "Contract Renewal", "Data Protection Request", "Fire Drill",
    "Bug Triage", "Quarterly Close", "採用面接", "Expense Report", "New Supplier", "Old Intake", "Stocktaking",
)  # fmt: skip
_ARCHIVED = {"Old Intake"}
_LONG = {"Stocktaking": ("Plan", "Announce", "Close", "Count", "Count again", "Compare", "Book", "Open")}
"""Steps of templates that are given; others have a few."""


@dataclass(frozen=True)
class Step:
    """A step of a template.

    Attributes:
        share: How much of a process's time it takes compared with the other steps.
        plans: The plans for which it is shown, by ID; a rule hides it for others. None: it is always shown.
        since: When it was added to the template, in seconds since 1970; None: it was there from the start.
        stage_id: The stage it belongs to.
    """

    id: str
    checklist_id: str
    title: str
    position: int
    share: float
    fields: tuple[dict[str, Any], ...]
    plans: frozenset[int | None] | None = None
    since: int | None = None
    stage_id: int | None = None


def field(field_id: str, checklist_id: str, kind: str, position: int, at: str | None) -> dict[str, Any]:
    """The definition of a field of a form."""
    return {
        "id": field_id,
        "checklist_id": checklist_id,
        "alias": f"{kind}-{field_id[:6]}",
        "label": _LABELS[kind],
        "field_type": kind,
        "guidance": None,
        "position": position,
        "required": position == 1,
        "options": OPTIONS.get(kind, []),
        "columns": COLUMNS if kind == "table" else [],
        "field_validation": None,
        "use_wysiwyg_editor": False,
        "collect_time": kind == "date",
        "created_at": at,
        "last_updated": at,
    }


def steps(template: Template, at: str) -> tuple[Step, ...]:
    """The steps of a template."""
    made = []
    shares = _SHARES.get(template.title, (1,) * len(template.steps))
    stage_of = {
        title: stage["id"]
        for stage, titles in zip(stages(template), _STAGES.get(template.title, {}).values(), strict=False)
        for title in titles
    }
    for position, (title, share) in enumerate(zip(template.steps, shares, strict=True), 1):
        step_id = made_id("step", template.id, position)
        first = int(step_id[:4], 16)
        kinds = [FIELD_TYPES[(first + 3 * n) % len(FIELD_TYPES)] for n in range(first % 4)]
        fields = tuple(field(made_id("field", step_id, n), template.id, kind, n, at) for n, kind in enumerate(kinds, 1))
        which = (template.title, title)
        step = Step(step_id, template.id, title, position, share, fields, _RULES.get(which), _ADDED.get(which))
        made.append(replace(step, stage_id=stage_of.get(title)))
    return tuple(made)


def stages(template: Template) -> list[dict[str, Any]]:
    """The stages that the steps of a template are grouped into; a template that was never launched has none."""
    if template not in TEMPLATES:
        return []
    first = 10 * TEMPLATES.index(template)
    titles = enumerate(_STAGES.get(template.title, {}), 1)
    return [{"id": first + position, "title": title, "position": position} for position, title in titles]


def new_template(title: str, template_id: str = "", steps: tuple[str, ...] = ()) -> Template:
    """A template nobody has launched a process from."""
    names = steps or ("Prepare", "Do", "Check")[: 1 + len(title) % 3]
    template_id = template_id or made_id("template", title)
    fields = tuple(made_id("kick-off", template_id, n) for n in range(4))
    return Template(template_id, title, 5, 7, names, fields, "procedure")


DRAFT = new_template(TEMPLATES[0].title, steps=TEMPLATES[0].steps)
"""The version of the first template that is being worked on; it has the same title."""

ALL_TEMPLATES = (*TEMPLATES, *(new_template(title, steps=_LONG.get(title, ())) for title in _OTHERS), DRAFT)
TEMPLATE_OF = {template.id: template for template in ALL_TEMPLATES}

_CREATED = {template.id: stamp(END - (410 + 7 * number) * DAY) for number, template in enumerate(ALL_TEMPLATES)}
STEPS = {template.id: steps(template, _CREATED[template.id]) for template in ALL_TEMPLATES}
STEP_OF = {step.id: step for made in STEPS.values() for step in made}
PLAN_FIELDS = {template.id: template.fields[1] for template in ALL_TEMPLATES}
"""For each template the field of its kick-off form that asks for the plan, which rules look at."""
SENT_BACK = {template.id: _SENT_BACK[template.title] for template in TEMPLATES if template.title in _SENT_BACK}
"""For a template: the title of the approval that sends a process back."""


def sent_step(step: Step, at: str) -> dict[str, Any]:
    """A step as the API sends it, made at this time unless it was added later."""
    at = at if step.since is None else max(at, stamp(step.since))
    return {
        "id": step.id,
        "checklist_id": step.checklist_id,
        "title": step.title,
        "alias": step.title.lower().replace(" ", "-"),
        "summary": f"How to do this: <b>{step.title}</b>",
        "step_type": "approval" if step.title in {"Approve", "Decide"} else "task",
        "position": step.position,
        "deadline": {"value": 2 * step.position, "unit": "days", "option": "from", "step": "start_run"},
        "start_date": None,
        "assignees": [MEMBERS[step.position % len(MEMBERS)]],
        "guests": [],
        "groups": [],
        "roles": [],
        "captures": [{**each, "step_id": step.id} for each in step.fields],
        "max_assignable": None,
        "allow_guest_owners": True,
        "skip_start_process": False,
        "can_complete_only_assignees": False,
        "everyone_must_complete": False,
        "is_soft_start_date": False,
        "prevent_guest_comment": False,
        "top_secret": step.title == "Legal",
        "webhook": webhook(step.id) if step.position == 2 else None,
        "created_at": at,
        "last_updated": at,
        "archived_at": None,
    }


def checklist(template: Template, at: str, **fields: Any) -> Record:
    """A template as the API sends it, made at this time; its steps are hidden until asked for."""
    made = STEPS.get(template.id) or steps(template, at)
    conditional = [step for step in made if step.plans is not None]
    sent = {
        "id": template.id,
        "increment_id": 1,
        "title": template.title,
        "summary": "",
        "guidance": None,
        "alias": template.title.lower().replace(" ", "-"),
        "icon": None,
        "type": template.type,
        "status": "active",
        "folder_id": None,
        "default_folder": None,
        "ko_form_blueprint_id": None,
        "steps_count": len(made),
        "started_processes": 0,
        "created_by": MEMBERS[0],
        "owner_id": MEMBERS[0],
        "last_updated_by": MEMBERS[0],
        "kickoff_title": "Start",
        "kickoff_description": None,
        "default_process_name_format": None,
        "starred": False,
        "is_public": False,
        "is_featured": False,
        "is_public_kickoff": False,
        "is_pinned": False,
        "auto_naming": False,
        "dual_version_enabled": False,
        "is_published_state": True,
        "folderize_process": False,
        "tag_process": False,
        "allow_launcher_change_name": True,
        "folder_changeable_by_launcher": False,
        "can_add_oot": True,
        "created_at": at,
        "last_updated": at,
        "archived_at": None,
        "prerun": kick_off_fields(template, at),
        "automated_actions": [_rule(step, at) for step in conditional],
        "users": [],
        "groups": [],
        "industry_tags": [],
        "topic_tags": [],
        "custom_fields": {},
        "webhook": None,
        **fields,
    }
    return Record(template.id, sent, {"steps": [sent_step(step, at) for step in made], "tag_ids": ()})


def kick_off_fields(template: Template, at: str | None) -> list[dict[str, Any]]:
    """The definitions of the fields that are filled in when a process is launched."""
    kinds = zip(template.fields, _KICK_OFF_TYPES, strict=True)
    return [field(each, template.id, kind, position, at) for position, (each, kind) in enumerate(kinds, 1)]


def _rule(step: Step, at: str) -> dict[str, Any]:
    plans = [str(plan["text"] or plan["value"]) for plan in PLANS if plan["id"] in (step.plans or ())]
    return {
        "id": made_id("rule", step.id),
        "automated_alias": f"show-{step.position}",
        "conditions": [
            {"id": made_id("condition", step.id, plan), "operation": "equals", "statement": plan} for plan in plans
        ],
        "then_actions": [{"id": made_id("action", step.id), "action_verb": "show", "target_step_id": step.id}],
        "created_at": at,
        "last_updated": at,
        "archived_at": None,
    }


def checklists() -> Iterator[Record]:
    """Every template."""
    for number, template in enumerate(ALL_TEMPLATES, 1):
        random = Random(f"{template.id} made")
        at = _CREATED[template.id]
        updated = stamp(END - int(random.random() * 300 * DAY))
        if template.days_since_change is not None:
            updated = stamp(CHANGED)
        archived = template.title in _ARCHIVED
        record = checklist(
            template,
            at,
            increment_id=number,
            owner_id=MEMBERS[number],
            created_by=MEMBERS[number],
            folder_id=CHECKLIST_FOLDERS[number % len(CHECKLIST_FOLDERS)] if number % 4 else None,
            is_pinned=template.title in {"Invoice Approval", "Stocktaking"},
            starred=number % 5 == 0,
            dual_version_enabled=template in {TEMPLATES[0], DRAFT},
            is_published_state=template is not DRAFT,
            status="active" if number % 3 else None,
            custom_fields={"cost_centre": f"CC-{number}"} if number % 4 == 1 else {},
            webhook=webhook(template.id) if number % 6 == 1 else None,
            last_updated=updated,
            archived_at=updated if archived else None,
        )
        record.hidden["tag_ids"] = tuple(tag for tag in OWN_TAGS if random.random() < 0.2)
        yield record
