"""Removes credentials: whoever has an access link or the code of a guest gets in without a password.

These are all the rules; `redact` applies them to each record of a list, and to each row made from a record. Names count
without regard to case and to signs between words.

1. The properties that the contract marks as credentials, in a record of that kind.
2. `_ALWAYS`: names that are credentials in any object. `_SECRET`: names that say so, such as `api_key`, of a text, an
   object or an array.
3. `_BESIDE`: names that are credentials in an object that has certain other fields as well.
4. `_OF_GUEST`: fields of a guest, whose ID may be the code that lets one in. A guest is an object under one of the
   names in `_GUESTS`, or a record of the list of guests. Elsewhere `guest_id` is kept if it is a number, and so is the
   ID of the author of a comment that a guest wrote.
5. A file shows no address at all, whatever the name of the field. A file is an object that has one of `_FILE_MARKS`, an
   address beside one of `_BESIDE_ADDRESS`, or `url` beside `source`; each object under one of `_FILES`; and each one in
   the answer to a form field of type file or image.
6. An object in any other answer shows an address only as `_WRITTEN`, where a person entered it: it may be a file.
7. `_TOLD_OF`: an entry of the activity feed tells neither which guest it is about nor the former value of a credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Final

from tap_tallyfy.records.contract import CONTRACT
from tap_tallyfy.records.shapes import Record, as_list, bare, inside

_ALWAYS: Final = frozenset({"taskurls", "webhook", "guestlink", "guestcode", "publiclink"})
_SECRET: Final = re.compile(
    r"(?:(?<!top)secret|token|password|passwd|passphrase|credential|webhook(?:url)?|jwt"
    r"|(?:api|access|private|signing|encryption)key|(?:guest|public|login|invit|reset|access|magic|shar|sso)\w*(?:link|url))s?$"
)
_BESIDE: Final[Mapping[str, frozenset[str]]] = {
    "link": frozenset({"email"}),
    "code": frozenset({"email"}),
    "guestid": frozenset({"email", "objecttype", "userid"}),
}
_OF_GUEST: Final = frozenset({"id", "link", "code", "guestid"})
_NUMBER_OR_CODE: Final = frozenset({"guestid", "authorid"})
_GUESTS: Final = frozenset({"guests", "guest", "completer_guest"})
#: Where a guest keeps a part of itself; sources differ on its content.
_PARTS_OF_GUEST: Final = frozenset({"data", "details"})
_FILE_MARKS: Final = frozenset(
    {"filename", "originalname", "originalfilename", "filesize", "filetype", "filepath", "fileurl"}
    | {"mimetype", "mime", "contenttype", "fullurl", "downloadurl", "uploadedfrom", "uploadedat"}
)
_BESIDE_ADDRESS: Final = frozenset({"size", "bytes", "extension"})
_FILES: Final = frozenset({"assets", "files", "file", "attachments", "attachment", "uploads"})
_FILE_TYPE: Final = re.compile("file|image|attachment", re.IGNORECASE)
#: How the names of addresses end; the addresses themselves may lack a scheme.
_NAME_OF_ADDRESS: Final = re.compile(r".*(?:url|link|href)s?")
#: Of any scheme or none, also with slashes that are escaped or percent-encoded; or the file itself.
_ADDRESS: Final = re.compile(r"(?::|%3a|^\s*)(?:\\?/|%2f){2}|^\s*data:", re.IGNORECASE)
_DEFINITIONS: Final = ("form_fields", "ko_form_fields")
_ANSWERS: Final = ("taskdata", "prerun")
_WRITTEN: Final = frozenset({"text", "value", "label", "fieldvalue"})
#: Whom an answer assigns; they are no files.
_ASSIGNED: Final = frozenset({"users", "guests", "groups"})
#: One of them may be a credential, as may those that `_SECRET` knows.
_TELLTALES: Final = frozenset({*_ALWAYS, *_BESIDE, *_NUMBER_OR_CODE, *_FILES, "url"})

_GUEST_LIST: Final = "/organizations/{org_id}/guests"
_FEED: Final = "/organizations/{org_id}/activity-feeds"
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

# The state of an object: it is, or stands in, some of these.
_PLAIN: Final = 0
_GUEST: Final = 1
_FILE: Final = 2
_FILES_OR_TEXTS: Final = 4  # each object in it is a file, a text is none
_FORM: Final = 8  # answers by the IDs of their fields, or a list of fields
_ANSWER: Final = 16
# The signs that the names of an object give.
_MARKS_FILE: Final = 1
_NAMES_ADDRESS: Final = 2
_DEFINES: Final = 4  # it holds definitions of form fields
_SAYS_TYPE: Final = 8  # it is a form field
_NESTED: Final = (dict, list)
_plain: Final = lru_cache(maxsize=4096)(bare)


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
    state = _redact_object(record, _GUEST if kind == _GUEST_LIST else _PLAIN)
    for name, value in record.items():
        if type(value) in _NESTED and value:
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
            if type(item) in _NESTED and item:
                _redact_nested(item, state)
        return
    assert type(value) is dict  # noqa: S101 - for the type checker
    state = _redact_object(value, state)
    for name, part in value.items():
        if type(part) in _NESTED and part:
            _redact_nested(part, _state_of(name, state))


@lru_cache(maxsize=4096)
def _state_of(name: str, state: int) -> int:
    """Return the state of the value under a name, in an object of some state."""
    if state & _FORM:
        state = (state & ~_FORM) | _ANSWER
    elif name in _ASSIGNED:
        state &= ~_ANSWER
    elif name in _ANSWERS:
        state |= _FORM
    if name.lower() in _FILES:
        state |= _FILE
    # PHP may write a list of guests as an object with numbers as keys.
    if name in _GUESTS or (state & _GUEST and (name in _PARTS_OF_GUEST or name.isdecimal())):
        return state | _GUEST
    return state & ~_GUEST


def _redact_object(value: Record, state: int) -> int:
    """Remove the credentials among the fields of an object itself, and return its state."""
    traits, telltales = _traits(tuple(value))
    if not (state or traits or telltales):
        return state
    if state & _FILES_OR_TEXTS or traits & _MARKS_FILE:
        state |= _FILE
    may_show = state & (_GUEST | _FILE) or (
        state & _ANSWER and (traits & _NAMES_ADDRESS or any(map(_is_address, value.values())))
    )
    for name in [name for name in (value if may_show else telltales) if _is_hidden(name, value, state)]:
        del value[name]
    if traits & _DEFINES:
        _redact_answers(value)
    if traits & _SAYS_TYPE:
        state &= ~(_ANSWER | _FORM)
        if _FILE_TYPE.search(str(value["field_type"])):
            state |= _FILES_OR_TEXTS
    return state


@lru_cache(maxsize=4096)
def _traits(names: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    """Return the signs that names of an object give, and those that may be of credentials.

    Objects of one kind have the same names, so most cost one look-up.
    """
    plain = frozenset(map(_plain, names))
    telltales = tuple(name for name in names if _plain(name) in _TELLTALES or _SECRET.search(_plain(name)))
    names_address = any(map(_NAME_OF_ADDRESS.fullmatch, plain))
    marks_file = (
        not _FILE_MARKS.isdisjoint(plain)
        or plain >= {"url", "source"}
        or (names_address and not _BESIDE_ADDRESS.isdisjoint(plain))
    )
    traits = (
        _MARKS_FILE * marks_file
        | _NAMES_ADDRESS * names_address
        | _DEFINES * (not set(_DEFINITIONS).isdisjoint(names))
        | _SAYS_TYPE * ("field_type" in names)
    )
    return traits, telltales


def _is_hidden(name: str, value: Record, state: int) -> bool:
    plain, content = _plain(name), value[name]
    if plain in _ALWAYS or (plain in _BESIDE and not _BESIDE[plain].isdisjoint(map(_plain, value))):
        return True
    if isinstance(content, (str, dict, list)) and _SECRET.search(plain):
        return True
    if state & _GUEST and plain in _OF_GUEST:
        return True
    if plain in _NUMBER_OR_CODE and type(content) is not int:
        return plain == "guestid" or "guest" in str(value.get("author_type")).lower()
    if plain in _FILES and _is_address(content):
        return True
    shows_none = state & _FILE or (state & _ANSWER and plain not in _WRITTEN and not name.isdecimal())
    return bool(shows_none) and any((_NAME_OF_ADDRESS.fullmatch(plain), _is_address(name), _is_address(content)))


def _is_address(value: object) -> bool:
    # The first signs are quick to look for, and most texts have none of them.
    return (
        isinstance(value, str) and ("/" in value or ":" in value or "%" in value) and _ADDRESS.search(value) is not None
    )


def _redact_answers(record: Record) -> None:
    """Redact the answers that a record keeps by field ID, where it has definitions that say which are files."""
    for name in _DEFINITIONS:
        for field in as_list(inside(record.get(name))) or ():
            if isinstance(field, dict) and _FILE_TYPE.search(str(field.get("field_type"))):
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
    told = (str(field) for field in (fields if isinstance(fields, list) else [fields]))
    if any(telltales or traits & _MARKS_FILE for traits, telltales in (_traits((name,)) for name in told)):
        entry["old_value"] = None
