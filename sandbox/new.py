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


def _user(fields: Fields, _number: int, at: int) -> Record:
    return people.user(fields.pop("id"), at, **fields)


def _guest(fields: Fields, number: int, at: int) -> Record:
    return people.guest(fields.pop("id"), fields.pop("email", f"guest{number}@later.example"), at, **fields)


def _group(fields: Fields, number: int, at: int) -> Record:
    return people.group(fields.pop("id"), fields.pop("name", f"Group {number}"), at, **fields)


def _tag(fields: Fields, number: int, at: int) -> Record:
    return labels.tag(fields.pop("id"), fields.pop("title", f"Tag {number}"), at, **fields)


def _folder(fields: Fields, number: int, at: int) -> Record:
    return labels.folder(fields.pop("id"), fields.pop("name", f"Folder {number}"), at, **fields)


def _checklist(fields: Fields, number: int, at: int) -> Record:
    template = templates.new_template(fields.pop("title", f"Template {number}"), fields.pop("id"))
    return templates.checklist(template, stamp(at), **fields)


def _task(fields: Fields, number: int, at: int) -> Record:
    return one_off(fields.pop("id"), fields.pop("title", f"Task {number}"), at, **fields)


NEW: dict[str, Callable[[Fields, int, int], Record]] = {
    "users": _user,
    "guests": _guest,
    "groups": _group,
    "tags": _tag,
    "folders": _folder,
    "checklists": _checklist,
    "tasks": _task,
}
