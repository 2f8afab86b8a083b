"""How one version of the API writes its records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.behaviour import ABSENT
from sandbox.order import is_date

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.behaviour import Behaviour
    from sandbox.store import Record

    Shape = Callable[[dict[str, Any], Behaviour], dict[str, Any]]

OBJECT_FIELDS = ("progress", "whole_progress", "prerun", "custom_fields")
_MORE_OBJECTS = (*OBJECT_FIELDS, "taskdata")


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
    form = behaviour.kind("date_format")
    return value if form is None else _redated(value, form)


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
    users = [behaviour.kind("owner_users")(user) for user in sent["owners"]["users"]]
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
    made = set_or_absent(dict(sent), "id", behaviour.kind("guest_id")(sent))
    moved = behaviour.kind("guest_names")
    if moved:
        made["details"] = {**made["details"], **{name: made.pop(name) for name in moved}}
    return made


def entry(sent: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """An entry of the feed: some values are arrays of one."""
    return {**sent, **{name: [] if sent[name] is None else [sent[name]] for name in behaviour.kind("feed_values")}}


def set_or_absent(record: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """The record with this value of a field, or without the field."""
    if value is ABSENT:
        record.pop(name, None)
    else:
        record[name] = value
    return record
