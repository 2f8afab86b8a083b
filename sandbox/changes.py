"""Random changes of everything in the account but processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.data import DAY, END, FOLDERS, GROUPS, MEMBERS, TEMPLATES, stamp
from sandbox.labels import CHECKLIST_FOLDERS, OWN_TAGS
from sandbox.people import GUESTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from sandbox.account import Account
    from sandbox.store import Record

_KEPT: dict[str, set[str]] = {
    "users": {str(member) for member in MEMBERS},
    "guests": set(GUESTS),
    "groups": set(GROUPS),
    "tags": set(OWN_TAGS),
    "folders": {*FOLDERS, *CHECKLIST_FOLDERS},
    "checklists": {template.id for template in TEMPLATES},
}
"""What other records refer to, so that it is never deleted here."""

_SHARES = {"complete": 35, "comment": 20, "edit": 20, "create": 16, "archive": 5, "restore": 4, "delete": 4}
_LISTS = {"tasks": 8, "checklists": 3, "users": 3, "guests": 3, "groups": 3, "tags": 3, "folders": 3}


def change(account: Account, random: Random) -> str:
    """Make one change; returns the id of what was changed."""
    (kind,) = random.choices(list(_SHARES), list(_SHARES.values()))
    (name,) = random.choices(list(_LISTS), list(_LISTS.values()))
    if kind in {"complete", "comment"}:
        name = "tasks"
    if kind in {"archive", "restore"} and name != "checklists":
        name = "tasks"
    key = _pick(account, random, name, kind)
    if key is None:
        kind = "create"
    match kind:
        case "complete":
            account.complete(str(key))
        case "comment":
            account.comment(str(key), f"<p>{random.randrange(1000)} 👍</p>", MEMBERS[random.randrange(len(MEMBERS))])
        case "edit":
            account.edit(name, key, **_edit(name, random))
        case "archive":
            account.archive(name, key)
        case "restore":
            account.restore(name, key)
        case "delete":
            account.delete(name, key)
        case _:
            made = account.create(name)
            key = made["email"] if name == "guests" else made["id"]
    return str(key)


def _pick(account: Account, random: Random, name: str, kind: str) -> str | None:
    """The id of a record that such a change can be made of."""
    view = account.collections[name].view(("change", kind), _can(name, kind), lambda _: 0)
    return view.pick(random) if len(view) else None


def _can(name: str, kind: str) -> Callable[[Record], bool]:
    match kind:
        case "complete":
            return lambda task: task.sent["status"] == "in-progress" and not task.sent["archived_at"]
        case "archive":
            return lambda record: not record.sent["archived_at"] and not record.sent.get("run_id")
        case "restore":
            return lambda record: bool(record.sent["archived_at"]) and not record.sent.get("run_id")
        case "delete":
            return lambda record: record.id not in _KEPT.get(name, ()) and not record.sent.get("run_id")
        case _:
            return lambda record: not record.sent.get("archived_at")


def _edit(name: str, random: Random) -> dict[str, Any]:
    number = random.randrange(1000)
    edits: dict[str, dict[str, Any]] = {
        "tasks": {"owners": {"users": [random.choice(MEMBERS)], "guests": [], "groups": [], "taskUrls": []}}
        if number % 2
        else {"deadline": stamp(END + number * DAY)},
        "checklists": {"summary": f"Version {number}", "is_pinned": number % 10 == 0},
        "users": {"job_title": f"Manager {number}"},
        "guests": {"last_name": f"Renamed {number}"},
        "groups": {"members": sorted(random.sample(MEMBERS, 3))},
        "tags": {"color": f"#{number:06d}"},
        "folders": {"name": f"Folder ({number})"},
    }
    return edits[name]
