"""How one version of the API writes its records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.order import is_date
from sandbox.people import full_name, guest_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.behaviour import Behaviour
    from sandbox.store import Record

    Shape = Callable[[dict[str, Any], Behaviour], dict[str, Any]]

OBJECT_FIELDS = ("progress", "whole_progress", "prerun", "custom_fields")
_MORE_OBJECTS = (*OBJECT_FIELDS, "taskdata")

_FORMATS: dict[str, tuple[str, str]] = {
    "z": ("T", "Z"),
    "offset": ("T", "+00:00"),
    "microseconds": ("T", ".000000Z"),
    "no_zone": (" ", ""),
}
_FEED_ARRAYS = (
    "verb", "source", "type", "actor_type", "description", "actor_id", "actor", "field", "old_value", "text",
)  # fmt: skip


def rendered(record: Record, behaviour: Behaviour, shape: Shape | None = None) -> dict[str, Any]:
    """A record as this version of the API sends it, without related data."""
    sent = record.sent if shape is None else shape(record.sent, behaviour)
    if behaviour.empty_object_as_list:
        changed: dict[str, Any] = {field: [] for field in _MORE_OBJECTS if sent.get(field) == {}}
        if changed:
            sent = {**sent, **changed}
    made: dict[str, Any] = redated(sent, behaviour)
    return made


def redated(value: Any, behaviour: Behaviour) -> Any:
    """The value with all its date-times as this version of the API writes them."""
    return value if behaviour.date_format == "ms" else _redated(value, _FORMATS[behaviour.date_format])


def _redated(value: Any, form: tuple[str, str], name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _redated(item, form, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_redated(item, form) for item in value]
    if is_date(name) and isinstance(value, str) and value.endswith(".000Z"):
        between, tail = form
        return value.removesuffix(".000Z").replace("T", between) + tail
    return value


def task(sent: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """A task: its members are ids, or objects."""
    if behaviour.owner_users == "ids":
        return sent
    users = [{"id": user, "full_name": full_name(user)} for user in sent["owners"]["users"]]
    return {**sent, "owners": {**sent["owners"], "users": users}}


def _renamed(sent: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in sent.items()}


def user(sent: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """A member: two fields have two names each."""
    return _renamed(sent, {"last_updated": behaviour.changed_name, "is_active": behaviour.active_name})


def group(sent: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """A group: the date of its last change has two names."""
    return _renamed(sent, {"last_updated": behaviour.changed_name})


def guest(sent: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """A guest: the id is a number, the code that lets the guest in, or not there, and names can be in the details."""
    made = dict(sent)
    if behaviour.guest_id == "code":
        made["id"] = guest_token(sent["email"])
    elif behaviour.guest_id == "absent":
        del made["id"]
    if behaviour.guest_names == "details":
        names = {name: made.pop(name) for name in ("first_name", "last_name")}
        made["details"] = {**made["details"], **names}
    return made


def entry(sent: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """An entry of the feed: some values are arrays of one."""
    if behaviour.feed_values == "scalars":
        return sent
    return {
        **sent,
        **{name: [] if sent[name] is None else [sent[name]] for name in _FEED_ARRAYS},
    }
