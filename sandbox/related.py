"""Related data a list answers with when `with` asks for it: some is made from the record, some is in other lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sandbox.data import FOLDERS, TEMPLATES
from sandbox.render import rendered
from sandbox.tasks import tasks_of
from sandbox.templates import STEP_OF, TEMPLATE_OF, kick_off_fields, sent_step, stages

if TYPE_CHECKING:
    from sandbox.behaviour import Behaviour
    from sandbox.data import Template
    from sandbox.store import Collection, Record

Collections = Mapping[str, "Collection"]
Related = Callable[["Record", Collections, "Behaviour"], Any]
"""Makes related data from the record, the lists of the account, and the version of the API."""


def _template(record: Record) -> Template:
    return TEMPLATE_OF.get(str(record.sent.get("checklist_id")), TEMPLATES[0])


def _checklist(record: Record, *_: Any) -> dict[str, Any]:
    template = _template(record)
    return {"id": template.id, "title": template.title, "type": template.type, "steps_count": len(template.steps)}


def _tasks(record: Record, *_: Any) -> list[dict[str, Any]]:
    """The tasks of a process, without those that rules skip."""
    return [
        {name: task.sent[name] for name in ("id", "run_id", "title", "position", "status", "owners")}
        for task in tasks_of(record)
        if task.sent["status"] != "auto-skipped"
    ]


def _next_task(record: Record, *_: Any) -> dict[str, Any] | None:
    return next((task for task in _tasks(record) if task["status"] != "completed"), None)


def _folders(record: Record, *_: Any) -> list[dict[str, Any]]:
    folder = record.hidden.get("folder_id")
    return [{"id": folder, "name": FOLDERS.get(folder, folder), "folder_type": "run"}] if folder else []


def _tasks_meta(record: Record, *_: Any) -> dict[str, Any]:
    tasks = _tasks(record)
    return {"total": len(tasks), "complete": sum(task["status"] == "completed" for task in tasks)}


def _tags_of(record: Record, collections: Collections, behaviour: Behaviour) -> list[dict[str, Any]]:
    known = collections["tags"].records
    return [rendered(known[tag], behaviour) for tag in record.hidden.get("tag_ids") or () if tag in known]


RUN_RELATED: dict[str, Related] = {
    "checklist": _checklist,
    "tasks": _tasks,
    "assets": lambda record, *_: [{"id": record.id, "filename": "contract.pdf"}] if record.id[0] < "4" else [],
    "next_task": _next_task,
    "permissions": lambda *_: {"process_read": [], "process_launch": []},
    "tasks_meta": _tasks_meta,
    "ko_form_fields": lambda record, *_: kick_off_fields(_template(record), record.sent.get("created_at")),
    "form_fields": lambda record, *_: [{"id": record.id, "label": "Budget", "field_type": "text", "value": "1,000 €"}],
    "stages": lambda record, *_: stages(_template(record)),
    "folders": _folders,
    "tags": _tags_of,
}


def _form_fields(task: Record, *_: Any) -> list[dict[str, Any]]:
    """The fields of the step of a task, with the answers."""
    step = STEP_OF.get(task.sent["step_id"])
    if step is None:
        return []
    answers = task.sent["taskdata"]
    more = {"step_id": step.id, "task_id": task.id}
    return [{**each, **more, "field_value": answers.get(each["id"])} for each in step.fields]


def _assets(task: Record, *_: Any) -> list[dict[str, Any]]:
    answers = [answer for answer in task.sent["taskdata"].values() if isinstance(answer, list)]
    return [each for answer in answers for each in answer if isinstance(each, dict) and "filename" in each]


def _step(task: Record, *_: Any) -> dict[str, Any] | None:
    step = STEP_OF.get(task.sent["step_id"])
    return sent_step(step, task.sent["created_at"]) if step else None


def _run_of(task: Record, collections: Collections, behaviour: Behaviour) -> dict[str, Any] | None:
    run = collections["runs"].records.get(task.sent["run_id"] or "")
    return rendered(run, behaviour) if run else None


TASK_RELATED: dict[str, Related] = {
    "threads": lambda task, *_: task.hidden["threads"],
    "threads_count": lambda task, *_: len(task.hidden["threads"]),
    "form_fields": _form_fields,
    "assets": _assets,
    "step": _step,
    "summary": lambda task, *_: task.hidden["summary"],
    "tags": _tags_of,
    "run": _run_of,
}


def _permissions(checklist: Record, *_: Any) -> dict[str, Any]:
    owner = checklist.sent["owner_id"]
    return {"checklist_edit": [owner], "checklist_read": [], "process_launch": [], "process_read": []}


def _steps(checklist: Record, _: Collections, behaviour: Behaviour) -> list[dict[str, Any]]:
    """The steps of a template, whose fields are a part of their own and so wrapped, too."""
    steps = checklist.hidden["steps"]
    return [{**step, "captures": {"data": step["captures"]}} for step in steps] if behaviour.wrapped else steps


def _folder_of(checklist: Record, collections: Collections, behaviour: Behaviour) -> dict[str, Any] | None:
    folder = collections["folders"].records.get(checklist.sent["folder_id"] or "")
    return rendered(folder, behaviour) if folder else None


CHECKLIST_RELATED: dict[str, Related] = {
    "stages": lambda checklist, *_: stages(TEMPLATE_OF[checklist.id]) if checklist.id in TEMPLATE_OF else [],
    "permissions": _permissions,
    "linked_tasks": lambda *_: [],
    "assets": lambda *_: [],
    "steps": _steps,
    "tags": _tags_of,
    "folder": _folder_of,
}


def _groups_of(user: Record, collections: Collections, *_: Any) -> list[dict[str, Any]]:
    groups = [group.sent for group in collections["groups"].records.values()]
    return [
        {name: group[name] for name in ("id", "name", "logo", "members", "guests")}
        for group in groups
        if user.sent["id"] in group["members"]
    ]


def _user_stats(user: Record, collections: Collections, *_: Any) -> dict[str, Any]:
    completed = [task.sent["completer_id"] == user.sent["id"] for task in collections["tasks"].records.values()]
    return {"tasks_completed": sum(completed), "steps_created": 0}


def _guest_stats(guest: Record, collections: Collections, *_: Any) -> dict[str, Any]:
    tasks = [task.sent for task in collections["tasks"].records.values()]
    own = [task for task in tasks if guest.sent["email"] in task["owners"]["guests"]]
    return {"assigned_tasks": len(own), "tasks_completed": sum(task["status"] == "completed" for task in own)}


def _group_users(group: Record, collections: Collections, *_: Any) -> list[dict[str, Any]]:
    users = collections["users"].records
    return [
        {name: users[str(user)].sent[name] for name in ("id", "email", "full_name")}
        for user in group.sent["members"]
        if str(user) in users
    ]


def _statistics(tag: Record, collections: Collections, *_: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kind, name in (("template", "checklists"), ("process", "runs")):
        tagged = [each for each in collections[name].records.values() if tag.id in (each.hidden.get("tag_ids") or ())]
        archived = sum(bool(each.sent.get("archived_at")) for each in tagged)
        counts |= {f"active_{kind}": len(tagged) - archived, f"archived_{kind}": archived}
    return counts


def _children(folder: Record, collections: Collections, behaviour: Behaviour) -> list[dict[str, Any]]:
    """The folders in a folder, with those in them."""
    children = [each for each in collections["folders"].records.values() if each.sent["parent_id"] == folder.id]
    made = []
    for child in sorted(children, key=lambda each: (each.sent["position"], each.id)):
        inside = _children(child, collections, behaviour)
        made.append({**rendered(child, behaviour), "children": {"data": inside} if behaviour.wrapped else inside})
    return made


USER_RELATED: dict[str, Related] = {"groups": _groups_of, "stats": _user_stats}
GUEST_RELATED: dict[str, Related] = {"stats": _guest_stats}
GROUP_RELATED: dict[str, Related] = {"users": _group_users}
TAG_RELATED: dict[str, Related] = {"statistics": _statistics}
FOLDER_RELATED: dict[str, Related] = {"children": _children}
