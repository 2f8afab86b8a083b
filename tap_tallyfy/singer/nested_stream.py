"""Base of the streams that are made from what a list nests in its records."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_tallyfy.records.contract import CONTRACT, RecordSchema
from tap_tallyfy.records.parser import RecordParser
from tap_tallyfy.singer.base import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_tallyfy.reading.page import Record
    from tap_tallyfy.records.nested import Misfit
    from tap_tallyfy.singer.list_stream import ListStream


class RowStream(Member):
    """A stream of rows, any number of which are made from each record of a list.

    A subclass is a declaration: its name, the list, what a row is in the contract, and what makes rows of a record.
    """

    name: str = ""
    #: The stream of the list.
    head: ClassVar[type[ListStream]]
    #: What a row is, by its name in the contract.
    row: ClassVar[str]
    #: Makes the rows.
    made_by: ClassVar[Callable[[Record, set[Misfit]], Iterable[Record]]]
    schema: ClassVar[Any] = RecordSchema(CONTRACT)
    replication_key: str | None = None

    def __init__(self, tap: Tap, head: ListStream) -> None:
        """Make a stream of a tap.

        Args:
            tap: The tap.
            head: The stream of the list.
        """
        self.family = head.family
        self.family.members.append(self)
        super().__init__(tap)

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        return self.family.rows(self, context)

    @override
    def rows(self, record: Record, floor: str) -> Iterator[Record]:
        # A row follows the record it is made from: nothing else says when it changed.
        if self.family.head.is_new(record, floor):
            for row in type(self).made_by(record, self.misfits):
                normal = self.parser(row)
                if all(normal.get(name) not in {None, ""} for name in self.primary_keys[1:]):
                    yield self.fitted(normal)

    @cached_property
    def misfits(self) -> set[Misfit]:
        """The nested lists met so far that could not be read."""
        return set()

    @cached_property
    def parser(self) -> RecordParser:
        """What makes records of the rows."""
        return RecordParser(self.row)
