"""Reads the body of a response as JSON, whatever half a character does to it."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

import msgspec

#: More digits than this Python does not turn into a number.
_MOST_DIGITS: Final = 4_000
#: Half a surrogate pair is no character, and PostgreSQL stores no NUL.
_BROKEN: Final = re.compile("[\0\ud800-\udfff]")
_REPLACEMENT: Final = "\ufffd"


class Body(NamedTuple):
    """The JSON of a response."""

    #: Any JSON: numbers with a point are decimals, and those that no number can hold are texts of their digits.
    value: Any
    repaired: bool  #: Whether U+FFFD stands for something that was no character, or for NUL.


def loads(body: bytes) -> Body:
    """Return the JSON of a response.

    A lone half of a surrogate pair (half an emoji, in a text that was cut), bytes that are no UTF-8 and NUL become
    U+FFFD.

    Raises:
        ValueError: If it is not JSON, or nested more deeply than PHP nests.
    """
    body = body.removeprefix(BOM_UTF8)
    try:
        value = _DECODER.decode(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _loads_slowly(body)
    return Body(*_repaired(value)) if rb"\u0000" in body else Body(value, repaired=False)


def _decimal(digits: str) -> Decimal | str:
    try:
        return Decimal(digits)
    except InvalidOperation:  # an exponent that no decimal can have
        return digits


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _refuse(constant: str) -> None:
    raise ValueError(constant)


_DECODER: Final = msgspec.json.Decoder(float_hook=_decimal)


def _loads_slowly(body: bytes) -> Body:
    try:
        text, broken = body.decode(errors="surrogatepass"), False
    except UnicodeDecodeError:
        text, broken = body.decode(errors="replace"), True
    try:
        # Not strict: a control character in a text must not cost the list.
        value = json.loads(text, strict=False, parse_float=_decimal, parse_int=_integer, parse_constant=_refuse)
        value, repaired = _repaired(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return Body(value, repaired or broken)


def _repaired(value: Any) -> tuple[Any, bool]:  # noqa: ANN401 - any JSON
    """Return a value without broken characters, and whether there were any."""
    if isinstance(value, str):
        text, count = _BROKEN.subn(_REPLACEMENT, value)
        return text, count > 0
    any_repaired = False
    if isinstance(value, list):
        items = []
        for item in value:
            whole, repaired = _repaired(item)
            items.append(whole)
            any_repaired |= repaired
        return items, any_repaired
    if not isinstance(value, dict):
        return value, False
    parts: dict[str, Any] = {}
    for name, part in value.items():
        key = _BROKEN.sub(_REPLACEMENT, name)
        any_repaired |= key != name
        while key in parts:  # two broken names may be repaired to the same
            key += _REPLACEMENT
        parts[key], repaired = _repaired(part)
        any_repaired |= repaired
    return parts, any_repaired
