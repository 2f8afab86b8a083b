"""Makes a record that is valid against its schema out of whatever the API sent, without losing a value."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from tap_tallyfy.dates import ConversionError, date_time
from tap_tallyfy.records.contract import EXTRA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Record = dict[str, Any]
    Convert = Callable[[Any], Any]

_INTEGER = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,9})?", re.ASCII)  # longer exponents no decimal can have
_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}
#: The largest integer that fits a column of any target.
LARGEST_INTEGER: Final = 2**63 - 1


def _string(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(value)
    raise ConversionError


def _integer(value: object) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and _INTEGER.fullmatch(value) and value != "-0":
        value = int(value) if len(value) <= len(str(-LARGEST_INTEGER)) else value
    elif isinstance(value, Decimal) and value.is_finite() and value.adjusted() < 19 and value == int(value):  # noqa: PLR2004
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -LARGEST_INTEGER - 1 <= value <= LARGEST_INTEGER:
        raise ConversionError
    return value


def number(value: object) -> int | Decimal | None:
    """Return a number, or null for `""`.

    Args:
        value: What the API sent; a string of digits is a number.

    Raises:
        ConversionError: If it is none, or too large for a double.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = Decimal(value)
    # A double is what targets hold it in; what overflows one fits no column.
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)) or not math.isfinite(_as_float(value)):
        raise ConversionError
    return value


def _as_float(value: int | Decimal) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _boolean(value: object) -> bool | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, str)) and (known := _BOOLEANS.get(str(value).lower())) is not None:
        return known
    raise ConversionError


def free_object(value: object) -> dict[str, Any] | None:
    """Return an object as it is.

    Args:
        value: What the API sent.

    Raises:
        ConversionError: If it is none.
    """
    if value == []:  # PHP writes an empty object as an empty list
        return {}
    if value is None or isinstance(value, dict):
        return value
    raise ConversionError


def inside(value: object) -> object:
    """Return what is inside `{"data": ...}`, as related data may arrive at any depth.

    Args:
        value: What the API sent.
    """
    is_wrapped = isinstance(value, dict) and "data" in value and value.keys() <= {"data", "meta"}
    return value["data"] if is_wrapped else value  # type: ignore[index] # checked in the line above


def _array(convert_item: Convert | None) -> Convert:
    def convert(value: object) -> list[Any] | None:
        if value is None or value == "":
            return None
        if value == {}:
            return []
        value = inside(value)
        if not isinstance(value, list):
            raise ConversionError
        return value if convert_item is None else [convert_item(item) for item in value]

    return convert


_SCALARS: Final[Mapping[str, Convert]] = {
    "string": _string,
    "integer": _integer,
    "number": number,
    "boolean": _boolean,
}


def _either(converters: Mapping[str, Convert | None]) -> Convert:
    """Take a value as the type it came as, or else as the first of several that it can be turned into."""

    def convert(value: object) -> Any:  # noqa: ANN401
        came_as = json_type(value)
        if came_as == "integer" and came_as not in converters:
            came_as = "number"
        for kind in sorted(converters, key=lambda kind: kind != came_as):
            if kind == "object" != came_as:
                continue  # among others, an empty list is no empty object
            with suppress(ConversionError):
                return converter(value) if (converter := converters[kind]) else value
        raise ConversionError

    return convert


def _nullable(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _required(convert: Convert) -> Convert:
    """Refuse null where the schema does."""

    def convert_required(value: object) -> Any:  # noqa: ANN401
        converted = convert(value)
        if converted is None:
            raise ConversionError
        return converted

    return convert_required


def _converter(schema: Mapping[str, Any]) -> Convert | None:
    """Return what turns a value into the type a property's schema asks for, or None where any value will do."""
    types = schema.get("type", [])
    types = {types} if isinstance(types, str) else set(types)
    nullable = "null" in types
    types.discard("null")
    if not types:
        return None
    convert: Convert | None
    if len(types) > 1:
        convert = _either({kind: _converter({**schema, "type": kind}) for kind in schema["type"] if kind != "null"})
        return _nullable(convert) if nullable else convert
    (kind,) = types
    if kind == "object":
        convert = Normaliser(schema).nested if schema.get("properties") else free_object
    elif kind == "array":
        convert = _array(_converter(schema.get("items", {})))
    elif kind == "string" and schema.get("format") == "date-time":
        convert = date_time
    else:
        convert = _SCALARS.get(kind)
    return convert if nullable or convert is None else _required(convert)


#: Types that are right as they come, so that most values cost one look-up.
_RIGHT_AS_IS: Final[Mapping[Convert, frozenset[type]]] = {
    _string: frozenset({str, type(None)}),
    _boolean: frozenset({bool, type(None)}),
    free_object: frozenset({dict, type(None)}),
}


class Normaliser:
    """Turns one object the API sent into one that is valid against a JSON schema, in a single pass.

    What can be converted without loss is converted. All else is moved, untouched, to `_extra`: unknown fields, and
    known ones whose value fits no column.

    Attributes:
        unknown: Names of fields met so far that the schema does not know.
        misfits: For each known field met with a value that does not fit, the JSON type it came as.
    """

    def __init__(self, schema: Mapping[str, Any], unwanted: Iterable[str] = ()) -> None:
        """Compile a schema.

        Args:
            schema: A JSON schema of an object; `properties` are converted, one level below as well.
            unwanted: Properties whose values are dropped if they do not fit.
        """
        self._unwanted = frozenset(unwanted)
        properties: Mapping[str, Any] = schema["properties"]
        self._keeps_extra = EXTRA in properties
        self._converters = {name: _converter(property_) for name, property_ in properties.items() if name != EXTRA}
        self._as_is = {
            name: _RIGHT_AS_IS.get(convert, frozenset()) if convert else frozenset()
            for name, convert in self._converters.items()
        }
        self.unknown: set[str] = set()
        self.misfits: dict[str, str] = {}

    def __call__(self, raw: Record) -> Record:
        """Return the record, with what fits no column under `_extra`.

        Args:
            raw: One object as parsed from the API's answer.
        """
        record: Record = {}
        extra: Record = {}
        as_is = self._as_is
        for name, value in raw.items():
            types = as_is.get(name)
            if types is None:
                self.unknown.add(name)
                extra[name] = value
            elif type(value) in types or (convert := self._converters[name]) is None:
                record[name] = value
            else:
                try:
                    record[name] = convert(value)
                except ConversionError:
                    record[name] = None
                    if name not in self._unwanted:
                        self.misfits[name] = json_type(value)
                        extra[name] = value
        if self._keeps_extra:
            record[EXTRA] = extra or None
        return record

    def nested(self, value: object) -> Record | None:
        """Return an object one level below; unlike the top level it has no `_extra`, so it fits as a whole or not.

        Args:
            value: What the API sent for the property.

        Raises:
            ConversionError: If the value is no object or a part of it does not fit.
        """
        value = free_object(value)
        if not value:
            return value
        record: Record = {}
        for name, part in value.items():
            convert = self._converters.get(name)
            record[name] = convert(part) if convert else part
        return record


def json_type(value: object) -> str:
    """Return the JSON type of a parsed value, to be named where the value itself must not be.

    Args:
        value: A parsed JSON value.
    """
    names: dict[type, str] = {
        type(None): "null",
        bool: "boolean",
        int: "integer",
        Decimal: "number",
        float: "number",
        str: "string",
        list: "array",
    }
    return names.get(type(value), "object")
