"""Base of the streams that are made from what a list nests in its records."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_tallyfy.records.contract import CONTRACT, RecordSchema
from tap_tallyfy.records.normalise import Normaliser
from tap_tallyfy.records.redact import record_without_credentials
from tap_tallyfy.singer.base import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_tallyfy.reading.page import Record
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
    #: Columns that the contract does not have, for what a row belongs to.
    further_columns: ClassVar[Mapping[str, Any]] = {}
    #: Makes the rows.
    made_by: ClassVar[Callable[[Record], Iterable[Record]]]
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
        return (self.post_process(row, context) for row in self.family.rows(self, context))

    @override
    def rows(self, record: Record, floor: str) -> Iterator[Record]:
        # A row follows the record it is made from: nothing else says when it changed.
        if self.family.head.is_new(record, floor):
            for row in type(self).made_by(record):
                normal = self._normalise(record_without_credentials(row, self._hidden))
                if all(normal.get(name) is not None for name in self.primary_keys[1:]):
                    yield normal

    @cached_property
    def _normalise(self) -> Normaliser:
        return Normaliser(self.schema)

    @cached_property
    def _hidden(self) -> frozenset[str]:
        return CONTRACT.credentials(self.row)
