"""Says where records depart from the contract, by place and type, never by value."""

# LIVE: the contract was written without a live account; goes once it has been held against one.

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from tap_tallyfy.records.contract import CONTRACT
from tap_tallyfy.records.shapes import Record, inside, json_type


def departures(kind: str, rows: Iterable[Record]) -> set[str]:
    """Return where rows are not as the contract has their kind, such as `owner_id (string against type)`.

    How PHP writes an empty object, and related data in its wrapping at any depth, are no departures.
    """
    return {
        f"{'.'.join('*' if isinstance(part, int) else part for part in error.absolute_path) or 'record'}"
        f" ({json_type(error.instance)} against {error.validator})"
        for row in rows
        for error in _validator(kind).iter_errors(_unwrapped(row))
        if error.instance != []
    }


def _unwrapped(value: Any) -> Any:  # noqa: ANN401 - any JSON
    value = inside(value)
    if isinstance(value, dict):
        return {name: _unwrapped(part) for name, part in value.items()}
    return [*map(_unwrapped, value)] if isinstance(value, list) else value


@cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(CONTRACT.fetch_schema(kind))
