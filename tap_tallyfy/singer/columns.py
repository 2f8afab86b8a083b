"""Fits records to the stream's SCHEMA: exactly its columns go out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from tap_tallyfy.records.contract import EXTRA, ORG_ID
from tap_tallyfy.records.shapes import Record


class Columns:
    """Projects records on the columns that a catalog selects."""

    def __init__(
        self,
        selected: Sequence[str],
        *,
        deselected: Collection[str],
        deselected_parts: Mapping[str, Collection[str]],
        org_id: str | None,
        as_floats: bool,
        flattened: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Prepare to project.

        Args:
            deselected: Fields that go nowhere, not into `_extra` either.
            deselected_parts: The same for the fields inside of a column.
            org_id: The organization that records belong to, or None where the catalog has no column for it.
            flattened: The schemas of the objects that the SDK makes columns of; empty where it flattens nothing.
        """
        #: Fields met so far that the catalog does not know, and that go nowhere since `_extra` is not selected.
        self.homeless: set[str] = set()
        self._blank = dict.fromkeys(selected)
        if org_id is not None:
            self._blank[ORG_ID] = org_id
        self._flattened = flattened
        self._known = frozenset({*selected, EXTRA})
        self._deselected = frozenset(deselected)
        self._deselected_parts = {name: frozenset(parts) for name, parts in deselected_parts.items()}
        self.keeps_extra = EXTRA in self._blank  #: Whether `_extra` is selected.
        #: Whether numbers with a point become floats, which the expressions of stream maps need.
        self.as_floats = as_floats

    def __call__(self, record: Record) -> Record:
        """Return a record with each column of the SCHEMA and no other; null where the API sent nothing."""
        row = self._blank.copy()
        extra = record.get(EXTRA)
        if record.keys() <= self._known:
            row |= record
        else:
            row |= {name: record[name] for name in record.keys() & self._known}
            rest = record.keys() - self._known - self._deselected
            further = {name: record[name] for name in rest if record[name] is not None}
            extra = {**(extra or {}), **further} or None
        if extra:
            extra = {
                name: _without(self._deselected_parts[name], value) if name in self._deselected_parts else value
                for name, value in extra.items()
                if name not in self._deselected
            } or None
        if self.keeps_extra:
            row[EXTRA] = extra
        else:
            row.pop(EXTRA, None)
            self.homeless.update(extra or ())
        for name, schema in self._flattened.items():
            row[name] = _filled(row[name], schema)
        if self.as_floats:
            row = {name: _as_float(value) for name, value in row.items()}
        return row


def typed(column: Mapping[str, Any], own: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the schema of a catalog's column if it takes all values of records, else the stream's own, at any depth.

    Args:
        own: None where the stream has no such column, so that it is always null.
    """
    if "type" not in column:
        return column
    kinds = _kinds(column)
    if own is None:
        return {**column, "type": [*kinds, "null"]} if "null" not in kinds else column
    if not set(_kinds(own)) <= set(kinds) or column.get("format") not in {None, own.get("format")}:
        return own
    parts: dict[str, Any] = {}
    if "items" in column and "items" in own:
        parts["items"] = typed(column["items"], own["items"])
    if "properties" in column and "properties" in own:
        known = own["properties"]
        parts["properties"] = {
            name: typed(part, known[name]) if name in known else part for name, part in column["properties"].items()
        }
    return {**column, **parts}


def _kinds(column: Mapping[str, Any]) -> Sequence[str]:
    return [column["type"]] if isinstance(column["type"], str) else column["type"]


def _without(names: Collection[str], value: object) -> object:
    """Return a value without the fields of these names, at any depth: it may be in a list, or wrapped."""
    if isinstance(value, dict):
        return {name: _without(names, part) for name, part in value.items() if name not in names}
    return [_without(names, item) for item in value] if isinstance(value, list) else value


def _as_float(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: _as_float(part) for name, part in value.items()}
    return [_as_float(item) for item in value] if isinstance(value, list) else value


def _filled(value: object, schema: Mapping[str, Any]) -> object:
    """Return an object with exactly the properties of its schema, at any depth; the SDK flattens by value."""
    properties = schema.get("properties")
    if not properties:
        return value
    parts = value if isinstance(value, dict) else {}
    return {name: _filled(parts.get(name), each) for name, each in properties.items()}
