"""The short way for pages that are exactly as the schema says, which nearly all are: typed parsing, half the work.

What it does not take, whatever the reason, goes the long way through `records.Normaliser`; both give the same records.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec.structs import asdict

from tap_tallyfy.contract import EXTRA
from tap_tallyfy.records import LARGEST_INTEGER, Misfit, date_time, free_object, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Record = dict[str, Any]

_Integer = Annotated[int, msgspec.Meta(ge=-LARGEST_INTEGER - 1, le=LARGEST_INTEGER)]
_SCALARS: Final[Mapping[str, Any]] = {"string": str, "integer": _Integer, "number": Decimal, "boolean": bool}


class ExactDecoder:
    """Parses pages of records that have just these fields, each of its column's type."""

    def __init__(self, schema: Mapping[str, Any], names: Iterable[str]) -> None:
        """Compile a schema.

        Args:
            schema: A JSON schema of a record.
            names: The fields a record has; those the schema does not know make every page go the long way.

        Raises:
            KeyError: If the schema does not know a field.
        """
        record, self._checks = _struct(schema, [name for name in names if name != EXTRA])
        page = msgspec.defstruct("Page", [("data", list[record]), ("meta", Any, None)])  # type: ignore[valid-type]
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(page, float_hook=Decimal)

    def __call__(self, body: bytes) -> tuple[list[Record], Any] | None:
        """Return a page's records and its `meta`, or None if anything in it is not exactly as the schema says.

        Args:
            body: A response's body.
        """
        try:
            page = self._decoder.decode(body)
            records = [_checked(asdict(record), self._checks) for record in page.data]
        except (msgspec.DecodeError, UnicodeDecodeError, Misfit, RecursionError, ArithmeticError):
            return None
        if not all(record["id"] for record in records):
            return None
        for record in records:
            record[EXTRA] = None
        return records, page.meta


def _struct(schema: Mapping[str, Any], names: Iterable[str]) -> tuple[type, dict[str, Callable[[Any], Any]]]:
    """Return a type for an object with these fields, and what remains to be done with some of them."""
    fields: list[tuple[str, Any]] = []
    checks: dict[str, Callable[[Any], Any]] = {}
    for name in names:
        property_ = schema["properties"][name]
        kinds = property_["type"] if isinstance(property_["type"], list) else [property_["type"]]
        nullable, (kind,) = "null" in kinds, [kind for kind in kinds if kind != "null"]
        if kind == "object" and property_.get("properties"):
            nested, nested_checks = _struct(property_, property_["properties"])
            type_: Any = nested | list[Any]
            checks[name] = _nested(nested_checks)
        elif kind == "object":
            type_ = dict[str, Any] | list[Any]
            checks[name] = free_object
        elif kind == "array":
            item = _SCALARS.get(property_.get("items", {}).get("type"))
            type_ = list[item] if item else list[dict[str, Any]]  # type: ignore[valid-type]
        else:
            type_ = _SCALARS[kind]
            if kind == "number":
                checks[name] = number
            elif property_.get("format") == "date-time":
                checks[name] = date_time
        fields.append((name, type_ | None if nullable else type_))
    return msgspec.defstruct("Record", fields, forbid_unknown_fields=True), checks


def _checked(record: Record, checks: Mapping[str, Callable[[Any], Any]]) -> Record:
    for name, check in checks.items():
        value = record[name]
        if value is not None:
            record[name] = check(value)
    return record


def _nested(checks: Mapping[str, Callable[[Any], Any]]) -> Callable[[Any], Record | None]:
    def check(value: Any) -> Record | None:  # noqa: ANN401 - a struct or a list
        return free_object(value) if isinstance(value, list) else _checked(asdict(value), checks)

    return check
