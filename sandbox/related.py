"""Related data a list answers with when `with` asks for it, made up from the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.data import FOLDERS, TAGS, TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.data import Template
    from sandbox.store import Record

_BY_ID = {template.id: template for template in TEMPLATES}


def _template(record: Record) -> Template:
    return _BY_ID.get(str(record.sent.get("checklist_id")), TEMPLATES[0])


def _checklist(record: Record) -> dict[str, Any]:
    template = _template(record)
    return {"id": template.id, "title": template.title, "type": template.type, "steps_count": len(template.steps)}


def _tasks(record: Record) -> list[dict[str, Any]]:
    complete = (record.sent.get("progress") or {}).get("complete") or 0
    return [
        {
            "id": f"{record.id[:28]}{position:04x}",
            "run_id": record.id,
            "title": title,
            "position": position,
            "status": "completed" if position <= complete else "not-started",
            "owners": {
                "users": record.sent.get("users") or [],
                "guests": [],
                "groups": record.sent.get("groups") or [],
            },
        }
        for position, title in enumerate(_template(record).steps, 1)
    ]


def _next_task(record: Record) -> dict[str, Any] | None:
    return next((task for task in _tasks(record) if task["status"] != "completed"), None)


def _tags(record: Record) -> list[dict[str, Any]]:
    return [
        {"id": tag, "title": TAGS.get(tag, tag), "color": "#3498db", "auto_generated": False}
        for tag in record.hidden.get("tag_ids") or ()
    ]


def _folders(record: Record) -> list[dict[str, Any]]:
    folder = record.hidden.get("folder_id")
    return [{"id": folder, "name": FOLDERS.get(folder, folder), "folder_type": "run"}] if folder else []


def _tasks_meta(record: Record) -> dict[str, Any]:
    tasks = _tasks(record)
    return {"total": len(tasks), "complete": sum(task["status"] == "completed" for task in tasks)}


def _ko_form_fields(record: Record) -> list[dict[str, Any]]:
    kinds = ("text", "dropdown", "multiselect", "file")
    return [
        {"id": field, "label": f"Field {position}", "field_type": kind, "required": position == 1, "position": position}
        for position, (field, kind) in enumerate(zip(_template(record).fields, kinds, strict=True), 1)
    ]


RUN_RELATED: dict[str, Callable[[Record], Any]] = {
    "checklist": _checklist,
    "tasks": _tasks,
    "tags": _tags,
    "assets": lambda record: [{"id": record.id, "filename": "contract.pdf"}] if record.id[0] < "4" else [],
    "next_task": _next_task,
    "permissions": lambda _record: {"process_read": [], "process_launch": []},
    "tasks_meta": _tasks_meta,
    "ko_form_fields": _ko_form_fields,
    "form_fields": lambda record: [{"id": record.id, "label": "Budget", "field_type": "text", "value": "1,000 €"}],
    "stages": lambda record: [{"id": record.id, "title": "Stage 1", "position": 1}],
    "folders": _folders,
}
