"""The tags and folders of the made-up company."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from sandbox.data import DAY, END, FOLDERS, TAGS, stamp
from sandbox.made import made_id
from sandbox.store import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

_MORE_TAGS = ("Renewal", "Audit", "from: Customer Onboarding", "step: Contract", "task: Review", "Q1", "Q2", "Q3", "Q4")
TAG_TITLES = TAGS | {made_id("tag", title): title for title in _MORE_TAGS}
OWN_TAGS = tuple(tag for tag, title in TAG_TITLES.items() if ":" not in title)
"""Tags that were not generated."""

_NESTED = (
    ("Operations", None), ("Onboarding", "Operations"), ("Customers", "Onboarding"), ("Finance", None),
    ("Audits", "Finance"), ("HR", None), ("会社", None), ("Legal", None), ("IT", None), ("Security", "IT"),
    ("Archive 2023", None), ("Archive 2024", None), ("Templates in work", None), ("Partners", None), ("Events", None),
)  # fmt: skip
_FOLDER_IDS = {name: made_id("folder", name) for name, _ in _NESTED}
CHECKLIST_FOLDERS = tuple(_FOLDER_IDS.values())


def _past(name: str) -> int:
    return END - int(Random(name).random() * 390 * DAY)


def tag(tag_id: str, title: str, at: int, **fields: Any) -> Record:
    """A tag made this second."""
    sent = {
        "id": tag_id,
        "title": title,
        "color": f"#{tag_id[:6]}",
        "auto_generated": ":" in title,
        "type": "public",
        "created_at": stamp(at),
        "custom_fields": {},
        **fields,
    }
    return Record(tag_id, sent, {})


def tags() -> Iterator[Record]:
    """The tags, also those that were generated."""
    for tag_id, title in TAG_TITLES.items():
        yield tag(tag_id, title, _past(tag_id))


def folder(folder_id: str, name: str, at: int, **fields: Any) -> Record:
    """A folder made this second."""
    sent = {
        "id": folder_id,
        "name": name,
        "parent_id": None,
        "position": 1,
        "folder_type": "checklist",
        "total": 0,
        "created_at": stamp(at),
        "custom_fields": {},
        **fields,
    }
    return Record(folder_id, sent, {"last_updated": stamp(at)})


def folders() -> Iterator[Record]:
    """The folders of templates, some inside others, and those of processes."""
    for position, (name, parent) in enumerate(_NESTED, 1):
        parent_id = _FOLDER_IDS[parent] if parent else None
        yield folder(_FOLDER_IDS[name], name, _past(name), parent_id=parent_id, position=position)
    for position, (folder_id, name) in enumerate(FOLDERS.items(), 1):
        yield folder(folder_id, name, _past(name), position=position, folder_type="run")
