"""Converts values to the types of their columns, and refuses those that a column cannot hold."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec

from tap_tallyfy.dates import USUAL_DATE_TIME, ConversionError, date_time
from tap_tallyfy.records.contract import JSON_TEXT, TEXT_AS
from tap_tallyfy.records.shapes import Record, as_list, inside

Convert = Callable[[Any], Any]

_INTEGER = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,9})?", re.ASCII)  # longer exponents no decimal can have
_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}
#: The largest and the smallest integer that fit a column of any target.
_LARGEST: Final = 2**63 - 1
_SMALLEST: Final = -(2**63)
# LIVE: sources show members and groups as IDs and as objects; goes if a live account shows IDs alone.
#: Where an object that stands for an ID has the ID; a guest's is removed before, and its address is left.
_IDS: Final = ("id", "group_id", "user_id", "email")
_is_usual: Final = USUAL_DATE_TIME.fullmatch
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


class ShortenedError(ConversionError):
    """A value of which only a part could be converted."""

    def __init__(self, value: object, *, lost: bool) -> None:
        super().__init__()
        self.value = value  #: The part, which the column gets.
        #: Whether an item of an array was left out; an object of which the ID is left counts as converted.
        self.lost = lost


def json_text(value: object) -> str:
    """Return a value as compact JSON, each number with the digits it was sent with."""
    return _ENCODER.encode(value).decode()


def converter(schema: Mapping[str, Any]) -> Convert:
    """Return the function that converts a value to the type of a property, if it has one type.

    Null stays null whatever the type. The function raises `ShortenedError` or `ConversionError` where the property
    cannot hold the value as it is.
    """
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else [kind for kind in kinds if kind != "null"]
    if len(kinds) != 1:
        return _anything
    (kind,) = kinds
    if kind == "object":
        return partial(_typed_object, _parts(schema)) if schema.get("properties") else free_object
    if kind == "array":
        items = schema.get("items", {})
        item_type = {"string": str, "object": dict}.get(items.get("type", "")) if not items.get("properties") else None
        return partial(_array, _item(items), item_type)
    if kind == "string" and JSON_TEXT in schema:
        return _text_or_json
    if kind == "string" and schema.get("format") == "date-time":
        return _date_time
    return _SCALARS[kind]


def types_right_as_is(convert: Convert) -> frozenset[type]:
    """Return the types of values that `convert` returns as they are, so that most values cost one look-up."""
    return _RIGHT_AS_IS.get(convert, frozenset({type(None)}))


def _anything(value: object) -> object:
    return value


# Scalars


def _string(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(value)
    raise ConversionError


def _text_or_json(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json_text(value)


def _integer(value: object) -> int | None:
    if type(value) is int and _SMALLEST <= value <= _LARGEST:
        return value
    if value is None or value == "":
        return None
    if isinstance(value, str) and _INTEGER.fullmatch(value) and value != "-0":
        value = int(value) if len(value) <= len(str(_SMALLEST)) else value
    elif isinstance(value, Decimal) and value.is_finite() and value.adjusted() < 19 and value == int(value):  # noqa: PLR2004
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not _SMALLEST <= value <= _LARGEST:
        raise ConversionError
    return value


def _number(value: object) -> int | Decimal | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = Decimal(value)
    # Targets hold it as a double; a number that overflows one fits no column.
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)) or not math.isfinite(_as_float(value)):
        raise ConversionError
    return value


def _as_float(value: int | Decimal) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _date_time(value: object) -> str | None:
    return value if type(value) is str and _is_usual(value) else date_time(value)


def _boolean(value: object) -> bool | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, str)) and (known := _BOOLEANS.get(str(value).lower())) is not None:
        return known
    raise ConversionError


_SCALARS: Final[Mapping[str, Convert]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
}


# Objects


def free_object(value: object) -> Record | None:
    """Return an object as it is; PHP writes an empty one as an empty list.

    Raises:
        ConversionError: If it is none.
    """
    if value == []:
        return {}
    if value is None or isinstance(value, dict):
        return value
    raise ConversionError


def _parts(schema: Mapping[str, Any]) -> Mapping[str, tuple[frozenset[type], Convert]]:
    converters = {name: converter(part) for name, part in schema["properties"].items()}
    return {name: (types_right_as_is(convert), convert) for name, convert in converters.items()}


def _typed_object(parts: Mapping[str, tuple[frozenset[type], Convert]], value: object) -> Record | None:
    """Return an object with its parts converted; where one does not fit, the object does not."""
    value = free_object(value)
    if not value:
        return value
    record: Record = {}
    shortened = lost = False
    for name, part in value.items():
        known = parts.get(name)
        if known is None or type(part) in known[0]:
            record[name] = part
            continue
        try:
            record[name] = known[1](part)
        except ShortenedError as error:
            record[name] = error.value
            shortened, lost = True, lost or error.lost
    if shortened:
        raise ShortenedError(record, lost=lost)
    return record


# Arrays


def _array(convert_item: Convert, item_type: type | None, value: object) -> list[Any] | None:
    if value is None:
        return None
    items = as_list(inside(value))
    if items is None:
        raise ConversionError
    if not items or (item_type is not None and set(map(type, items)) == {item_type}):
        return items
    converted: list[Any] = []
    shortened = lost = False
    for item in items:
        try:
            converted.append(convert_item(item))
        except ShortenedError as error:
            converted.append(error.value)
            shortened, lost = True, lost or error.lost
        except ConversionError:
            shortened = lost = True
    if shortened:
        raise ShortenedError(converted, lost=lost)
    return converted


def _item(schema: Mapping[str, Any]) -> Convert:
    """Return the function that converts an item: to an object, or to an ID, never to null."""
    convert = converter(schema)
    if convert is _anything:
        return convert
    text_as = schema.get(TEXT_AS)
    if schema["type"] == "object":
        return partial(_item_object, convert, text_as)
    return partial(_item_scalar, convert)


def _item_object(convert: Convert, text_as: str | None, item: object) -> object:
    # LIVE: no source rules plain texts out among options and columns; goes if a live template has objects alone.
    if text_as and isinstance(item, (str, int, Decimal)):
        return {text_as: item}
    if item is None:
        raise ConversionError
    return convert(item)


def _item_scalar(convert: Convert, item: object) -> object:
    if not isinstance(item, dict):
        return _not_null(convert(item))
    found = next((item[name] for name in _IDS if item.get(name) not in (None, "")), None)
    raise ShortenedError(_not_null(convert(found)), lost=False)


def _not_null(value: object) -> object:
    if value is None:
        raise ConversionError
    return value


#: Types that are right as they come.
_RIGHT_AS_IS: Final[Mapping[Convert, frozenset[type]]] = {
    _anything: frozenset({dict, list, str, int, Decimal, bool, type(None)}),
    _string: frozenset({str, type(None)}),
    _text_or_json: frozenset({str, type(None)}),
    _boolean: frozenset({bool, type(None)}),
    free_object: frozenset({dict, type(None)}),
}
