"""Removes access links from nested values: whoever has one gets in without a password, so none goes to a target."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    "guest_id": _OF_WATCHER,
    "url": _OF_FILE,
    "public_link": _OF_FILE,
}

#: All of them.
NAMES: Final = _ALWAYS.union(_BESIDE)
#: One of the names as a key; a quote behind a backslash is part of a text (looked for last, which is much faster).
_KEY: Final = re.compile(rf'"(?<!\\")(?:{"|".join(NAMES)})"\s*:'.encode())
#: The letters, and the underscore, written as escapes.
_ESCAPED_LETTER: Final = re.compile(rb"\\u00(4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9Aa])")
#: One level of an object or an array; what is inside stays as it was sent, so that no digit can change.
_PARTS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw])


def without_credentials(value: object) -> object:
    """Return a nested value without access links; the value itself stays as it is.

    What is nested too deeply to be looked through is null.

    Args:
        value: A parsed JSON value, or JSON as it was sent, which is returned as it is where nothing is removed.
    """
    try:
        return _stripped(value)
    except RecursionError:
        return None


def may_hold_credentials(body: bytes) -> bool:
    """Return whether there may be anything to remove from an answer.

    Args:
        body: JSON as it was sent.
    """
    return _count_names(body) > 0


def _stripped(value: object) -> object:
    if isinstance(value, dict):
        return {name: _stripped(part) for name, part in value.items() if not _is_credential(name, value)}
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    return _stripped_json(value) if isinstance(value, msgspec.Raw) else value


def _is_credential(name: str, holder: Mapping[str, Any]) -> bool:
    return name in _ALWAYS or (name in _BESIDE and not _BESIDE[name].isdisjoint(holder))


def _stripped_json(raw: msgspec.Raw) -> msgspec.Raw | None:
    names = _count_names(bytes(raw))
    if not names:
        return raw
    try:
        parts = _PARTS.decode(raw)
    except ValueError:  # no JSON after all, such as half a surrogate
        return None
    stripped = msgspec.json.encode(_stripped(parts))
    # Parsed values do not tell whether any was removed: a key that was sent twice hides its first value.
    return raw if _count_names(stripped) == names else msgspec.Raw(stripped)


def _count_names(text: bytes) -> int:
    """Return how many keys of JSON could be credentials, going by their names."""
    if b"\\u" in text:
        text = _ESCAPED_LETTER.sub(lambda escape: bytes.fromhex(escape[1].decode()), text)
    return len(_KEY.findall(text))
