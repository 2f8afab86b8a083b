"""Removes credentials: whoever has an access link or the code of a guest gets in without a password.

These are all the rules; `redact` applies them to each record of a list, and to each row made from a record:

1. The properties that the contract marks as credentials, in a record of that kind.
2. `_ALWAYS`: names that are credentials in any object.
3. `_BESIDE`: names that are credentials in an object that has certain other fields as well.
4. `_OF_GUEST`: fields of a guest, whose ID may be the code that lets one in. A guest is an object under one of the
   names in `_GUESTS`, or a record of the list of guests. Elsewhere `guest_id` is kept if it is a number, and so is the
   ID of the author of a comment that a guest wrote.
5. A file shows no address at all, whatever the name of the field. A file is an object that has one of `_FILE_MARKS`, or
   `url` beside `source`, each object under `assets`, and each one in the answer to a form field of type file or image.
6. `_TOLD_OF`: an entry of the activity feed tells neither which guest it is about nor the former value of a credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from tap_tallyfy.records.contract import CONTRACT
from tap_tallyfy.records.shapes import Record, as_list, inside

_ALWAYS: Final = frozenset({"taskUrls", "webhook", "guest_link", "guest_code", "public_link"})
_BESIDE: Final[Mapping[str, frozenset[str]]] = {
    "link": frozenset({"email"}),
    "code": frozenset({"email"}),
    "guest_id": frozenset({"email", "object_type", "user_id"}),
}
_OF_GUEST: Final = frozenset({"id", "link", "code", "guest_id"})
_NUMBER_OR_CODE: Final = frozenset({"guest_id", "author_id"})
_GUESTS: Final = frozenset({"guests", "guest", "completer_guest"})
#: Where a guest keeps a part of itself; sources differ on its content.
_PARTS_OF_GUEST: Final = frozenset({"data", "details"})
_FILE_MARKS: Final = frozenset({"filename", "full_url", "uploaded_from", "uploaded_at"})
_FILES: Final = "assets"
_FILE_TYPES: Final = frozenset({"file", "image"})
#: How the names of a file's addresses end, which may lack a scheme.
_ADDRESS_ENDINGS: Final = ("url", "link", "href")
#: Of any scheme or none, also with slashes that are escaped or percent-encoded; or the file itself.
_ADDRESS: Final = re.compile(r"(?::|%3a|^\s*)(?:\\?/|%2f){2}|^\s*data:", re.IGNORECASE)
_DEFINITIONS: Final = ("form_fields", "ko_form_fields")
_ANSWERS: Final = ("taskdata", "prerun")
#: An object that has none of these names has nothing to hide, unless it is a guest or a file itself.
_TELLTALE: Final = _ALWAYS.union(_BESIDE, _FILE_MARKS, _DEFINITIONS, {"url", "author_id", "field_type"})

_GUEST_LIST: Final = "/organizations/{org_id}/guests"
_FEED: Final = "/organizations/{org_id}/activity-feeds"
#: Fields whose former value an entry may tell.
_FORMER_CREDENTIALS: Final = _ALWAYS.union(_BESIDE, {"url", "full_url", "download_url"})
#: The fields in which an entry tells of someone or something, by the field that names the kind.
_TOLD_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "actor_type": ("actor_id", "actor"),
    "source": ("actor_id", "actor"),
    "auditable_type": ("auditable_id", "audit", "audit_state", "old_value"),
    "parentable_type": ("parentable_id", "parent", "parent_state"),
    "origin_type": ("origin_id", "origin"),
    "field": ("old_value",),
    "references": ("references",),
}

# The state of an object: it is, or stands in, one of these.
_PLAIN: Final = 0
_GUEST: Final = 1
_FILE: Final = 2
_FILES_OR_TEXTS: Final = 4  # each object in it is a file, a text is none
_NESTED: Final = (dict, list)


def redact(record: Record, kind: str) -> Record:
    """Remove the credentials from a record or a row as parsed from JSON, in place, and return it.

    A value that is nested too deeply to be looked through becomes null.

    Args:
        kind: Its kind, by the key in the contract.
    """
    for name in _credentials(kind):
        record.pop(name, None)
    if kind == _FEED:
        _redact_entry(record)
    state = _GUEST if kind == _GUEST_LIST else _PLAIN
    if state or not _TELLTALE.isdisjoint(record):
        state = _redact_object(record, state)
    for name, value in record.items():
        if type(value) in _NESTED:
            try:
                _redact_nested(value, _state_of(name, state))
            except RecursionError:
                record[name] = None
    return record


@cache
def _credentials(kind: str) -> frozenset[str]:
    return CONTRACT.credentials(kind)


def _redact_nested(value: dict[str, Any] | list[Any], state: int) -> None:
    if type(value) is list:
        if state & _FILE:
            value[:] = [item for item in value if not _is_address(item)]
        for item in value:
            if type(item) in _NESTED:
                _redact_nested(item, state)
        return
    assert type(value) is dict  # noqa: S101 - for the type checker
    if state or not _TELLTALE.isdisjoint(value):
        state = _redact_object(value, state)
    for name, part in value.items():
        if type(part) in _NESTED:
            _redact_nested(part, _state_of(name, state))


def _state_of(name: str, state: int) -> int:
    """Return the state of the value under a name, in an object of some state."""
    if name == _FILES:
        state |= _FILES_OR_TEXTS
    # PHP may write a list of guests as an object with numbers as keys.
    if name in _GUESTS or (state & _GUEST and (name in _PARTS_OF_GUEST or name.isdecimal())):
        return state | _GUEST
    return state & ~_GUEST


def _redact_object(value: Record, state: int) -> int:
    """Remove the credentials among the fields of an object itself, and return its state."""
    if state & _FILES_OR_TEXTS or not _FILE_MARKS.isdisjoint(value) or ("url" in value and "source" in value):
        state |= _FILE
    hidden = [name for name in value if _is_hidden(name, value, state)]
    for name in hidden:
        del value[name]
    _redact_answers(value)
    is_file_field = str(value.get("field_type")).lower() in _FILE_TYPES
    return state | _FILES_OR_TEXTS if is_file_field else state


def _is_hidden(name: str, value: Record, state: int) -> bool:
    if name in _ALWAYS or (name in _BESIDE and not _BESIDE[name].isdisjoint(value)):
        return True
    if state & _GUEST and name in _OF_GUEST:
        return True
    if name in _NUMBER_OR_CODE and type(value[name]) is not int:
        return name == "guest_id" or "guest" in str(value.get("author_type")).lower()
    if state & _FILE:
        return name.lower().endswith(_ADDRESS_ENDINGS) or _is_address(name) or _is_address(value[name])
    return False


def _is_address(value: object) -> bool:
    return isinstance(value, str) and _ADDRESS.search(value) is not None


def _redact_answers(record: Record) -> None:
    """Redact the answers that a record keeps by field ID, where it has definitions that say which are files."""
    for name in _DEFINITIONS:
        for field in as_list(inside(record.get(name))) or ():
            if isinstance(field, dict) and str(field.get("field_type")).lower() in _FILE_TYPES:
                for answers in map(record.get, _ANSWERS):
                    answer = answers.get(str(field.get("id"))) if isinstance(answers, dict) else None
                    if isinstance(answer, _NESTED):
                        _redact_nested(answer, _FILES_OR_TEXTS)


def _redact_entry(entry: Record) -> None:
    for kind, names in _TOLD_OF.items():
        if kind in entry and "guest" in repr(entry[kind]).lower():
            for name in names:
                if name in entry:
                    entry[name] = None
    fields = entry.get("field")
    if not _FORMER_CREDENTIALS.isdisjoint(map(str, fields if isinstance(fields, list) else [fields])):
        entry["old_value"] = None
