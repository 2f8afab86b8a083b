"""What is added to the lists by hand: each maker takes the fields that are wished for, a number and the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox import labels, people, templates
from sandbox.data import stamp
from sandbox.tasks import one_off

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.store import Record

Fields = dict[str, Any]


def _made_by(make: Callable[..., Record], name: str, made_up: str) -> Callable[[Fields, int, int], Record]:
    """A maker that also takes the field of this name, or makes it up."""

    def made(fields: Fields, number: int, at: int) -> Record:
        value = fields.pop(name, made_up.format(number))
        return make(fields.pop("id"), value, at, **fields)

    return made


def _checklist(template_id: str, title: str, at: int, **fields: Any) -> Record:
    return templates.checklist(templates.new_template(title, template_id), stamp(at), **fields)


NEW: dict[str, Callable[[Fields, int, int], Record]] = {
    "users": lambda fields, _, at: people.user(fields.pop("id"), at, **fields),
    "guests": _made_by(people.guest, "email", "guest{}@later.example"),
    "groups": _made_by(people.group, "name", "Group {}"),
    "tags": _made_by(labels.tag, "title", "Tag {}"),
    "folders": _made_by(labels.folder, "name", "Folder {}"),
    "checklists": _made_by(_checklist, "title", "Template {}"),
    "tasks": _made_by(one_off, "title", "Task {}"),
}
