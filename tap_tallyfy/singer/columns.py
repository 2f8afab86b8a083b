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
        org_id: str | None,
        as_floats: bool,
        flattened: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Prepare to project.

        Args:
            deselected: Fields that go nowhere, not into `_extra` either.
            org_id: The organization that records belong to, or None where the catalog has no column for it.
            flattened: The schemas of the objects that the SDK makes columns of; empty where it flattens nothing.
        """
        #: Fields met so far that the catalog does not know, and that go nowhere since `_extra` is not selected.
        self.homeless: set[str] = set()
        self._blank = dict.fromkeys(selected)
        if org_id is not None:
            self._blank[ORG_ID] = org_id
        self._flattened = flattened
        self._known = frozenset(selected).difference({EXTRA})
        self._deselected = frozenset(deselected)
        self.keeps_extra = EXTRA in self._blank  #: Whether `_extra` is selected.
        #: Whether numbers with a point become floats, which the expressions of stream maps need.
        self.as_floats = as_floats

    def __call__(self, record: Record) -> Record:
        """Return a record with each column of the SCHEMA and no other; null where the API sent nothing."""
        row = self._blank.copy()
        extra = record.get(EXTRA)
        if record.keys() <= self._known or not (rest := record.keys() - self._known - {EXTRA}):
            row |= record
        else:
            row |= {name: record[name] for name in record.keys() & self._known}
            further = {name: record[name] for name in rest - self._deselected if record[name] is not None}
            extra = {**(extra or {}), **further} or None
        if extra:
            extra = {name: value for name, value in extra.items() if name not in self._deselected} or None
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
