"""The shapes in which the same JSON arrives: wrapped or bare, and lists as PHP writes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

#: An object as parsed from JSON, and all that is made of one.
Record = dict[str, Any]

_JSON_TYPES: Final[dict[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    Decimal: "number",
    float: "number",
    str: "string",
    list: "array",
}


def json_type(value: object) -> str:
    """Return the JSON type of a parsed value, to be named where the value itself must not be."""
    return _JSON_TYPES.get(type(value), "object")


def inside(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return the value inside `{"data": ...}`, as related data may arrive at any depth."""
    # LIVE: one page of the vendor's shows related data bare; goes if a live account wraps all of it.
    is_wrapped = isinstance(value, dict) and "data" in value and value.keys() <= {"data", "meta"}
    return value["data"] if is_wrapped else value


def is_list_in_disguise(value: object) -> bool:
    """Return whether an object is how PHP writes a list with gaps: all its keys are numbers."""
    return isinstance(value, dict) and bool(value) and all(key.isascii() and key.isdecimal() for key in value)


def bare(text: str) -> str:
    """Return the letters and digits of a text without their case, so that all ways to spell it are equal."""
    return "".join(filter(str.isalnum, text.casefold()))


def as_list(value: object) -> list[Any] | None:
    """Return the list that a value is, or None if it is none: null, `{}` and `[]` are empty lists.

    Only for lists by the contract: elsewhere an object whose keys are numbers may as well be a map.
    """
    if isinstance(value, list):
        return value
    if value is None or value == {}:
        return []
    # LIVE: PHP writes a list with gaps as an object; goes if the API is seen to number lists anew.
    return list(value.values()) if isinstance(value, dict) and is_list_in_disguise(value) else None
