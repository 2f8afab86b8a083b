"""Makes records of the objects that the API sends: without credentials, each value in its column or in `_extra`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from tap_tallyfy.dates import ConversionError
from tap_tallyfy.records.contract import CONTRACT, EXTRA
from tap_tallyfy.records.normalise import ShortenedError, converter, types_right_as_is
from tap_tallyfy.records.redact import redact
from tap_tallyfy.records.shapes import Record, inside, is_list_in_disguise, json_type


class RecordParser:
    """Makes records of one kind, a key of the contract; fields besides related data may be `wrapped` as that is.

    A record has the columns of the contract that the API sent, related data among them, whatever is selected. It has
    `_extra` too (but for kinds with an allow-list): an object with the fields that are not
    described, and with the values, as sent, that their column cannot hold or holds a part of; else None.
    """

    def __init__(self, kind: str, *, wrapped: Iterable[str] = ()) -> None:
        self.unknown: set[str] = set()  #: The fields met so far that the contract does not describe.
        #: The fields met so far with a value that did not fit, with the JSON type it came as. An array of objects that
        #: gives their IDs is none.
        self.misfits: dict[str, str] = {}
        self.repaired = False  #: Whether a text or a name came broken; see `body.loads`, whose caller sets it.
        self._kind = kind
        self._keeps_extra = CONTRACT.keeps_extra(kind)
        self._second_names = CONTRACT.second_names(kind)
        self._right_as_is: dict[str, frozenset[type]] = {}
        self._convert: dict[str, Callable[[Any], Any]] = {}
        wrapped = {*wrapped, *CONTRACT.related(kind)}
        arrays_of_one = CONTRACT.arrays_of_one(kind)
        for name, schema in CONTRACT.columns(kind).items():
            convert = converter(schema)
            right_as_is = types_right_as_is(convert)
            # LIVE: sources show single values and arrays of one; goes for each that a live account shows alone.
            if name in arrays_of_one:
                convert = partial(_alone, convert, {} if "object" in schema["type"] else None)
            if name in wrapped:
                convert = partial(_unwrapped, convert)
                right_as_is = right_as_is - {dict}
            self._convert[name] = convert
            self._right_as_is[name] = right_as_is
        # LIVE: sources disagree on some names; goes for each whose name a live account shows.
        for second, name in self._second_names.items():
            self._convert[second], self._right_as_is[second] = self._convert[name], self._right_as_is[name]

    def __call__(self, row: Record) -> Record:
        """Return the record of an object as parsed by `body.loads`, from which credentials are removed in place."""
        redact(row, self._kind)
        record, extra, right_as_is = row.copy(), Record(), self._right_as_is
        # Most values are right as they come, and are copied at once.
        for name in [name for name, value in row.items() if type(value) not in right_as_is.get(name, ())]:
            value, convert = row[name], self._convert.get(name)
            try:
                if convert is None:
                    extra[name] = record.pop(name)
                    if self._keeps_extra:
                        self.unknown.add(name)
                else:
                    record[name] = convert(value)
            except ShortenedError as error:
                record[name], extra[name] = error.value, value
                if error.lost:
                    self.misfits[name] = json_type(value)
            except ConversionError:
                record[name], extra[name] = None, value
                self.misfits[name] = json_type(value)
        if self._second_names:
            self._settle_names(record, extra, row)
        if self._keeps_extra:
            record[EXTRA] = extra or None
        return record

    def _settle_names(self, record: Record, extra: Record, row: Record) -> None:
        """Move values that came under a second name to their column, or to `extra` where another value is there."""
        for second, name in self._second_names.items():
            value = record.pop(second, None)
            if value is not None and record.get(name) is None:
                record[name] = value
            elif value not in (None, record.get(name)):
                extra[second] = row[second]


def _unwrapped(convert: Callable[[Any], Any], value: object) -> object:
    return convert(inside(value))


def _alone(convert: Callable[[Any], Any], empty: object, value: object) -> object:
    """Return the value that is the only item of a list."""
    if is_list_in_disguise(value):
        value = [*value.values()]  # type: ignore[attr-defined] # it is an object
    if not isinstance(value, list):
        return convert(value)
    if len(value) > 1:
        raise ShortenedError(convert(value[0]), lost=True)
    return convert(value[0]) if value else empty
