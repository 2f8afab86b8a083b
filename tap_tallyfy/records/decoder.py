"""Turns the answers of the API into records: most of them by type, in a fraction of the time that it takes otherwise.

Each record is parsed as a struct whose fields are those met so far, none of them required; nested objects stay as they
were sent. A record that does not fit goes the long way, through `records.Normaliser`. Both ways give the same record.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, Union

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from tap_tallyfy.dates import USUAL_DATE_TIME, ConversionError, date_time
from tap_tallyfy.records.contract import EXTRA
from tap_tallyfy.records.normalise import LARGEST_INTEGER, Normaliser, inside, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Record = dict[str, Any]

#: Names of unknown fields that records are parsed by; beyond so many, records with others go the long way.
_MOST_UNKNOWN: Final = 100

_TypeForm: TypeAlias = Any
_Integer = Annotated[int, msgspec.Meta(ge=-LARGEST_INTEGER - 1, le=LARGEST_INTEGER)]
_UsualDateTime = Annotated[str, msgspec.Meta(pattern=rf"^{USUAL_DATE_TIME.pattern}\Z")]
_SCALARS: Final[Mapping[str, Any]] = {"string": str, "integer": _Integer, "number": float, "boolean": bool}
#: Names that the fields of a struct can have.
_NAMEABLE: Final = re.compile(r'[^\\"\x00-\x1f]*')
_is_usual: Final = USUAL_DATE_TIME.fullmatch
_NOT_TYPED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError, ConversionError)


class _Envelope(msgspec.Struct):
    """An answer whose records are not parsed yet."""

    data: list[msgspec.Raw]
    meta: Any = None


class _Wrapped(msgspec.Struct, forbid_unknown_fields=True):
    """How most servers wrap related data."""

    data: msgspec.Raw
    meta: msgspec.Raw = msgspec.Raw(b"null")


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_WRAPPED: Final = msgspec.json.Decoder(_Wrapped)
#: Any JSON; numbers with a point become decimals, so that no digit is lost.
_ANY: Final = msgspec.json.Decoder(float_hook=Decimal)


class RecordDecoder:
    """Parses the records of one stream.

    Attributes:
        normalise: The long way, which knows what was met that fits no column.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        *,
        wrapped: Iterable[str] = (),
        arrays_of_one: Iterable[str] = (),
        unwanted: Iterable[str] = (),
        as_sent: bool = False,
    ) -> None:
        """Compile a schema.

        Args:
            schema: A JSON schema of a record.
            wrapped: Fields that may arrive as `{"data": ...}`.
            arrays_of_one: Fields that may arrive as an array with the value in it, or an empty one.
            unwanted: Fields that are not selected, so that `_extra` keeps nothing of them either.
            as_sent: Whether nobody looks inside nested objects, so that they may stay as they were sent
                (`msgspec.Raw`), which the SDK's writer takes as well.
        """
        self.normalise = Normaliser(schema, unwanted)
        self._schema = schema
        self._wrapped = tuple(wrapped)
        known = schema["properties"]
        #: Each with what an empty array stands for.
        self._arrays_of_one: dict[str, Any] = {
            name: {} if _is_nested(known[name]) else None for name in arrays_of_one if name in known
        }
        self._as_sent = as_sent
        self._typed = _Typed(schema, (), self._wrapped)

    def records(self, body: bytes) -> tuple[list[Record], Any] | None:
        """Return the records of an answer and its `meta`, or None if it is no list in the usual form.

        Args:
            body: The answer.
        """
        try:
            if not (self._as_sent and _fits_a_line(body)):
                return None
            envelope = _ENVELOPE.decode(body)
            return [self._record(raw) for raw in envelope.data], envelope.meta
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
            return None

    def record(self, row: Record) -> Record:
        """Return a record the long way.

        Args:
            row: One object as parsed from an answer.
        """
        return self.normalise(self.unwrapped(row))

    def unwrapped(self, row: Record) -> Record:
        """Return an object without the wrapping of its related data and of lone values.

        Args:
            row: One object as parsed from an answer.
        """
        plain = {name: inside(value) if name in self._wrapped else value for name, value in row.items()}
        for name, empty in self._arrays_of_one.items():
            value = plain.get(name)
            if isinstance(value, list) and len(value) <= 1:
                plain[name] = value[0] if value else empty
        return plain

    def _record(self, raw: msgspec.Raw) -> Record:
        try:
            return self._typed(raw)
        except _NOT_TYPED:
            row = _ANY.decode(raw)
        if not isinstance(row, dict):
            raise msgspec.ValidationError
        unknown = [name for name in row if name not in self._schema["properties"] and _NAMEABLE.fullmatch(name)]
        if set(unknown).difference(self._typed.unknown) and len(self._typed.unknown) < _MOST_UNKNOWN:
            self._typed = _Typed(self._schema, tuple({*self._typed.unknown, *unknown}), self._wrapped)
        return self.record(row)


class _Typed:
    """Parses records all of whose values are of their column's type.

    Attributes:
        unknown: The fields met so far that the schema does not know.
    """

    def __init__(self, schema: Mapping[str, Any], unknown: Sequence[str], wrapped: Iterable[str]) -> None:
        """Compile a schema.

        Args:
            schema: A JSON schema of a record.
            unknown: Further fields that records may have.
            wrapped: Fields that may arrive as `{"data": ...}`.
        """
        self.unknown = unknown
        self._keeps_extra = EXTRA in schema["properties"]
        properties = {
            name: property_
            for name, property_ in schema["properties"].items()
            if name != EXTRA and _NAMEABLE.fullmatch(name)
        }
        nested = [name for name, property_ in properties.items() if _is_nested(property_)]
        kinds = {name: _kinds(property_)[0] for name, property_ in properties.items()}
        self._dates = [name for name in properties if properties[name].get("format") == "date-time"]
        self._numbers = [name for name in properties if kinds[name] == ["number"]]
        self._wrapped = [name for name in wrapped if name in nested]
        self._nested = [(name, msgspec.json.Decoder(_checked(properties[name], empty=True))) for name in nested]
        self._names = (*properties, *unknown)
        types = {name: _type(property_) for name, property_ in properties.items()}
        types |= dict.fromkeys((*nested, *unknown), msgspec.Raw)
        self._decoder = msgspec.json.Decoder(_struct(types, forbid_unknown_fields=True), float_hook=Decimal)

    def __call__(self, raw: msgspec.Raw) -> Record:
        """Return a record.

        Args:
            raw: The record as it was sent.

        Raises:
            msgspec.DecodeError: If a value is of another type.
            ConversionError: If it is none that its column can hold.
        """
        values = zip(self._names, astuple(self._decoder.decode(raw)), strict=True)
        record: Record = {name: value for name, value in values if value is not UNSET}
        for name in self._dates:
            value = record.get(name)
            if value is not None and not _is_usual(value):
                record[name] = date_time(value)
        for name in self._numbers:
            if name in record:
                record[name] = number(record[name])
        self._check_nested(record)
        extra = {name: record.pop(name) for name in self.unknown if name in record}
        if self._keeps_extra:
            record[EXTRA] = extra or None
        return record

    def _check_nested(self, record: Record) -> None:
        for name in self._wrapped:
            if name in record:
                record[name] = _unwrapped(record[name])
        for name, decoder in self._nested:
            if name in record:
                checked = decoder.decode(record[name])
                if checked is None:
                    record[name] = None
                elif checked == ():  # PHP writes an empty object as an empty list
                    record[name] = {}


def _struct(types: Mapping[str, Any], *, forbid_unknown_fields: bool = False) -> type[msgspec.Struct]:
    """Return a struct of fields none of which is required."""
    # Names of fields may be any text.
    fields = [(f"f{number}", type_ | UnsetType, UNSET) for number, type_ in enumerate(types.values())]
    rename = {f"f{number}": name for number, name in enumerate(types)}
    return msgspec.defstruct("Object", fields, rename=rename, forbid_unknown_fields=forbid_unknown_fields, gc=False)


def _kinds(schema: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Return the types that a schema allows, and whether null is one of them."""
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return [kind for kind in kinds if kind != "null"], "null" in kinds


def _is_nested(schema: Mapping[str, Any]) -> bool:
    """Return whether values are objects, or arrays of anything but simple values."""
    (kind,) = kinds if len(kinds := _kinds(schema)[0]) == 1 else ("",)
    return kind == "object" or (kind == "array" and _list_item(schema) is None)


def _list_item(schema: Mapping[str, Any]) -> _TypeForm:
    """Return the type of the items of an array, or None where they are not just that."""
    items = schema.get("items", {})
    kinds, nullable = _kinds(items)
    simple = len(kinds) == 1 and not nullable and "format" not in items and kinds != ["number"]
    return _SCALARS.get(kinds[0]) if simple else None


def _type(schema: Mapping[str, Any]) -> _TypeForm:
    """Return the type to parse a value as that is not nested."""
    kinds, nullable = _kinds(schema)
    if len(kinds) != 1:
        return Any
    (kind,) = kinds
    if kind == "array":
        type_: _TypeForm = list[_list_item(schema)]  # type: ignore[misc] # made at run time
    else:
        type_ = Any if kind == "number" else _SCALARS.get(kind, Any)  # numbers may be text: see `number`
    return type_ | None if nullable else type_


def _checked(schema: Mapping[str, Any], *, empty: bool = False) -> _TypeForm:
    """Return the type that a nested value has to be of so that it can stay as it was sent."""
    kinds, nullable = _kinds(schema)
    if not kinds:
        return msgspec.Raw
    if len(kinds) > 1:
        types = [*(_checked({**schema, "type": kind}) for kind in kinds), *([None] if nullable else [])]
        return Union[tuple(types)]  # noqa: UP007 - made at run time
    (kind,) = kinds
    if kind == "object":
        properties = schema.get("properties", {})
        type_: _TypeForm = _struct({name: _checked(property_) for name, property_ in properties.items()})
        type_ = type_ | tuple[()] if empty else type_
    elif kind == "array":
        type_ = list[_checked(schema.get("items", {}))]  # type: ignore[misc] # made at run time
    else:
        type_ = _UsualDateTime if schema.get("format") == "date-time" else _SCALARS[kind]
    return type_ | None if nullable else type_


def _unwrapped(raw: msgspec.Raw) -> msgspec.Raw:
    try:
        return _WRAPPED.decode(raw).data
    except msgspec.DecodeError:
        return raw


def _fits_a_line(body: bytes) -> bool:
    """Return whether all of a body could be part of a message: text without line breaks."""
    text = body.rstrip()
    return not (b"\n" in text or b"\r" in text) and (body.isascii() or bool(body.decode()))
