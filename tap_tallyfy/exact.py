"""The short way for pages that are exactly as the schema says, which nearly all are: typed parsing, half the work.

What it does not take, whatever the reason, goes the long way through `records.Normaliser`; both give the same records.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec.structs import asdict

from tap_tallyfy.contract import EXTRA
from tap_tallyfy.records import LARGEST_INTEGER, USUAL_DATE_TIME, Misfit, date_time, free_object, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Record = dict[str, Any]
    Convert = Callable[[Any], Any]

_Integer = Annotated[int, msgspec.Meta(ge=-LARGEST_INTEGER - 1, le=LARGEST_INTEGER)]
_SCALARS: Final[Mapping[str, Any]] = {"string": str, "integer": _Integer, "number": Decimal, "boolean": bool}
_OBJECT: Final = re.compile(rb"\{")


class ExactDecoder:
    """Parses pages of records that have just these fields, each of its column's type."""

    def __init__(self, schema: Mapping[str, Any], names: Iterable[str], *, sealed: bool) -> None:
        """Compile a schema.

        Args:
            schema: A JSON schema of a record.
            names: The fields a record has; those the schema does not know make every page go the long way.
            sealed: Nobody looks inside nested objects, so they stay as they were sent (`msgspec.Raw`) or parsed
                (structs), which the SDK's writer takes as well.

        Raises:
            KeyError: If the schema does not know a field, or its type.
            ValueError: If a field has several types.
        """
        self._sealed = sealed
        self._record = _Shape(schema, [name for name in names if name != EXTRA], sealed=sealed)
        page = msgspec.defstruct("Page", [("data", list[self._record.type]), ("meta", Any, None)])  # type: ignore[name-defined]
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(page, float_hook=Decimal)

    def __call__(self, body: bytes) -> tuple[list[Record], Any] | None:
        """Return a page's records and its `meta`, or None if anything in it is not exactly as the schema says.

        Args:
            body: A response's body.
        """
        try:
            if self._sealed and not _fits_a_line(body):
                return None
            page = self._decoder.decode(body)
            records = list(map(self._record.opened, page.data))
        except (msgspec.DecodeError, UnicodeDecodeError, Misfit, RecursionError, ArithmeticError):
            return None
        if not all(record["id"] for record in records):
            return None
        for record in records:
            record[EXTRA] = None
        return records, page.meta


class _Shape:
    """How an object with certain fields is parsed, and what remains to be done then.

    Attributes:
        type: The struct to parse it as.
    """

    def __init__(self, schema: Mapping[str, Any], names: Iterable[str], *, sealed: bool) -> None:
        # For some fields a function in C that says that most values are right, then what converts the others.
        self._groups: dict[tuple[Convert | None, Convert], list[str]] = {}
        self._sealed = sealed
        fields = [(name, self._field(name, schema["properties"][name])) for name in names]
        self.type = msgspec.defstruct("Record", fields, forbid_unknown_fields=True)

    def _field(self, name: str, property_: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a type
        kinds = property_["type"] if isinstance(property_["type"], list) else [property_["type"]]
        nullable, (kind,) = "null" in kinds, [kind for kind in kinds if kind != "null"]
        group: tuple[Convert | None, Convert] | None = None
        if kind == "object" and property_.get("properties"):
            nested = _Shape(property_, property_["properties"], sealed=self._sealed)
            type_: Any = nested.type | list[Any]
            group = None, nested.checked if self._sealed else nested.opened
        elif kind == "object" and self._sealed and nullable:
            type_ = msgspec.Raw
            group = _OBJECT.match, _not_an_object
        elif kind == "object":
            type_, group = dict[str, Any] | list[Any], (None, free_object)
        elif kind == "array":
            item = _SCALARS.get(property_.get("items", {}).get("type"))
            type_ = list[item] if item else list[dict[str, Any]]  # type: ignore[valid-type]
        else:
            type_ = _SCALARS[kind]
            if kind == "number":
                group = None, number
            elif property_.get("format") == "date-time":
                group = USUAL_DATE_TIME.fullmatch, date_time
        if group:
            self._groups.setdefault(group, []).append(name)
        return type_ | None if nullable and type_ is not msgspec.Raw else type_

    def opened(self, parsed: Any) -> Record:  # noqa: ANN401 - of `type`, or the list PHP makes of an empty object
        """Return a parsed object as a dictionary, its values converted."""
        if isinstance(parsed, list):
            return free_object(parsed) or {}
        record = asdict(parsed)
        # Not by way of `checked`: attributes cost a microsecond a record more than items.
        for (is_right, convert), names in self._groups.items():
            for name in names:
                value = record[name]
                if not (value is None or (is_right and is_right(value))):
                    record[name] = convert(value)
        return record

    def checked(self, parsed: Any) -> Any:  # noqa: ANN401 - as above
        """Return a parsed object as it is, its values converted."""
        if isinstance(parsed, list):
            return free_object(parsed)
        for (is_right, convert), names in self._groups.items():
            for name in names:
                value = getattr(parsed, name)
                if not (value is None or (is_right and is_right(value))):
                    setattr(parsed, name, convert(value))
        return parsed


def _not_an_object(value: msgspec.Raw) -> dict[str, Any] | None:
    return free_object(msgspec.json.decode(value))


def _fits_a_line(body: bytes) -> bool:
    """Return whether all of a body could be part of a message: text without line breaks."""
    text = body.rstrip()
    return not (b"\n" in text or b"\r" in text) and (body.isascii() or bool(body.decode()))
