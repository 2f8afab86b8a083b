"""Removes access links from nested values: whoever has one gets in without a password, so none goes to a target."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tap_tallyfy.records.contract import EXTRA

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: Names that are credentials in any object.
_ALWAYS: Final = frozenset({"taskUrls", "webhook", "guest_link"})
_OF_GUEST: Final = frozenset({"email"})
_OF_WATCHER: Final = frozenset({"object_type", "user_id"})
_OF_FILE: Final = frozenset({"filename", "uploaded_from", "uploaded_at"})
#: Names that are credentials in an object that has one of these as well.
_BESIDE: Final[Mapping[str, frozenset[str]]] = {
    "link": _OF_GUEST,
    "guest_code": _OF_GUEST,
    "code": _OF_GUEST,
    "guest_id": _OF_WATCHER | _OF_GUEST,
    "url": _OF_FILE,
    "public_link": _OF_FILE,
}

#: All of them.
NAMES: Final = _ALWAYS.union(_BESIDE)
#: Names that are credentials in a guest, whose ID may be the code that lets one in.
_OF_A_GUEST: Final = frozenset({"id", "link", "code", "guest_code", "guest_id"})
#: Where guests are of whom more is said than their addresses.
_GUESTS: Final = re.compile(rb'"guests"\s*:\s*(?:\[[^\]{]*)?\{')
#: One of the names as a key; a quote behind a backslash is part of a text (looked for last, which is much faster).
_KEY: Final = re.compile(rf'"(?<!\\")(?:{"|".join(NAMES)})"\s*:'.encode())
#: The letters, and the underscore, written as escapes.
_ESCAPED_LETTER: Final = re.compile(rb"\\u00(4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9Aa])")
#: One level of an object or an array; what is inside stays as it was sent, so that no digit can change.
_PARTS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw])


def record_without_credentials(record: Mapping[str, Any], hidden: Collection[str]) -> dict[str, Any]:
    """Return a record without access links, at any depth and in `_extra` too.

    Args:
        record: A record.
        hidden: The fields that are credentials by the contract.
    """
    extra = record.get(EXTRA)
    extra = extra if isinstance(extra, dict) else {}
    holder = {**record, **extra}

    def discreet(fields: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: without_credentials(value, of_guests=name == "guests")
            for name, value in fields.items()
            if name not in hidden and not _is_credential(name, holder)
        }

    return discreet(record) | ({EXTRA: discreet(extra) or None} if extra else {})


def without_credentials(value: object, *, of_guests: bool = False) -> object:
    """Return a nested value without access links; the value itself stays as it is.

    What is nested too deeply to be looked through is null.

    Args:
        value: A parsed JSON value, or JSON as it was sent, which is returned as it is where nothing is removed.
        of_guests: Whether it is a guest, or a list of guests.
    """
    try:
        return _stripped(value, of_guests=of_guests)
    except RecursionError:
        return None


def may_hold_credentials(body: bytes) -> bool:
    """Return whether there may be anything to remove from an answer.

    Args:
        body: JSON as it was sent.
    """
    text = _without_escapes(body)
    return bool(_KEY.search(text) or _GUESTS.search(text))


def _stripped(value: object, *, of_guests: bool) -> object:
    if isinstance(value, dict):
        return {
            name: _stripped(part, of_guests=name == "guests" or (of_guests and name == "data"))
            for name, part in value.items()
            if not (_is_credential(name, value) or (of_guests and name in _OF_A_GUEST))
        }
    if isinstance(value, list):
        return [_stripped(item, of_guests=of_guests) for item in value]
    return _stripped_json(value, of_guests=of_guests) if isinstance(value, msgspec.Raw) else value


def _is_credential(name: str, holder: Mapping[str, Any]) -> bool:
    return name in _ALWAYS or (name in _BESIDE and not _BESIDE[name].isdisjoint(holder))


def _stripped_json(raw: msgspec.Raw, *, of_guests: bool) -> msgspec.Raw | None:
    text = _without_escapes(bytes(raw))
    names = len(_KEY.findall(text))
    holds_guests = (of_guests and text.lstrip()[:1] in {b"{", b"["}) or _GUESTS.search(text)
    if not (names or holds_guests):
        return raw
    try:
        parts = _PARTS.decode(raw)
    except ValueError:  # no JSON after all, such as half a surrogate
        return None
    stripped = msgspec.json.encode(_stripped(parts, of_guests=of_guests))
    # Parsed values do not tell whether any was removed: a key that was sent twice hides its first value.
    # The ID of a guest is not counted: its name is that of every ID.
    keeps_ids = not holds_guests or stripped == msgspec.json.encode(parts)
    return raw if keeps_ids and len(_KEY.findall(_without_escapes(stripped))) == names else msgspec.Raw(stripped)


def _without_escapes(text: bytes) -> bytes:
    """Return JSON with all letters written as such."""
    if b"\\u" in text:
        return _ESCAPED_LETTER.sub(lambda escape: bytes.fromhex(escape[1].decode()), text)
    return text
