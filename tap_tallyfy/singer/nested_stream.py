"""The base of the streams made from data that a list nests in its records."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import ClassVar

from typing_extensions import override

from tap_tallyfy.records.nested import Misfit
from tap_tallyfy.records.parser import RecordParser
from tap_tallyfy.records.shapes import Record
from tap_tallyfy.singer.base import TallyfyStream
from tap_tallyfy.singer.list_stream import ListStream


class NestedStream(TallyfyStream):
    """A stream of rows, any number of which are made from each record of a list.

    A subclass is a declaration: its name, its parent, its name in the contract, and the function that makes rows.
    """

    parent: ClassVar[type[ListStream]]  #: The stream of the list.
    extract: ClassVar[Callable[[Record, set[Misfit]], Iterable[Record]]]  #: Makes the rows of a record.

    @cached_property
    def parser(self) -> RecordParser:
        """Makes a valid record of a row."""
        return RecordParser(self.contract_key)

    @override
    def records_from(self, record: Record, misfits: set[Misfit]) -> Iterable[Record]:
        return map(self.parser, type(self).extract(record, misfits))
