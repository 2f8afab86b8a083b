"""Streams that are made from one list, which is read once for all of them."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from singer_sdk.exceptions import AbortedSyncFailedException

from tap_tallyfy.api.errors import RefusedListError
from tap_tallyfy.dates import to_text
from tap_tallyfy.singer import deletions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk.helpers.types import Context

    from tap_tallyfy.reading.page import Record
    from tap_tallyfy.singer.base import Member
    from tap_tallyfy.singer.list_stream import ListStream

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)


class Family:
    """The stream of a list, and those made from what is nested in its records.

    The SDK syncs one stream after the other. The first that is selected reads the list, and puts the rows of the others
    aside until it is their turn.

    Attributes:
        head: The stream of the list itself.
        members: All of them, the head first.
    """

    def __init__(self, head: ListStream) -> None:
        """Start with the head alone.

        Args:
            head: The stream of the list.
        """
        self.head = head
        self.members: list[Member] = [head]
        self._reading: _Reading | None = None

    @property
    def needs(self) -> list[str]:
        """The related data that selected members are made from, for the `with` parameter."""
        return sorted({name for member in self.members if member.selected for name in member.needs})

    @property
    def sources(self) -> list[str]:
        """The fields that selected members are made from, beside related data."""
        return sorted({name for member in self.members if member.selected for name in member.sources})

    def rows(self, member: Member, context: Context | None) -> Iterator[Record]:
        """Yield the rows of a member; the first one called reads the list.

        Args:
            member: The stream to sync.
            context: The partition, if any.

        Raises:
            FatalAPIError: If the API fails, or refuses all that this token asks for.
            FatalSyncError: If it cannot be shown that nothing was missed.
        """
        reading, first = self._reading, self._reading is None
        if reading is None:
            reading = self._reading = _Reading(other for other in self.members if other.selected)
        try:
            yield from self._read(reading, member, context) if first else reading.left_for(member)
        except RefusedListError as why:
            unknown = why.response.status_code == HTTPStatus.NOT_FOUND
            if unknown and not self.head.client.has_answered:  # then it is no matter of this list alone
                raise
            reading.refusal = why
            member.refused(why, context)
        else:
            member.note_state(reading.clock, context)
            if reading.complete and member in reading.complete:
                deletions.mark(member, reading.complete[member], context)

    def _read(self, reading: _Reading, first: Member, context: Context | None) -> Iterator[Record]:
        floors = {member: member.floor(context) for member in reading.aside}
        seen = self.head.nothing_seen(context)
        others = [(member, spool) for member, spool in reading.aside.items() if member is not first]
        written = 0
        for record in self.head.read(seen, min(floors.values()), context):
            for member, spool in others:
                spool.put(member.rows(record, floors[member]))
            for row in first.rows(record, floors[first]):
                written += 1
                yield row
        reading.clock = to_text(seen.bookmark_limit)
        rows = {member: written if member is first else spool.rows for member, spool in reading.aside.items()}
        complete = {member: rows[member] for member in rows if deletions.sees_all(member, floors[member])}
        if complete and any(count.fell_short for count in seen.lists):
            self.head.logger.warning(
                "The API counts more records of '%s' than it shows, so none is marked as deleted.",
                self.head.name,
            )
            complete = {}
        first.failure = next(deletions.losses(complete, context), "")
        reading.complete = {} if first.failure else complete


class _Reading:
    """What one reading of the list has left for the members whose turn comes later."""

    def __init__(self, members: Iterable[Member]) -> None:
        self.aside = {member: _Spool() for member in members}
        self.clock = ""
        #: For each member all of whose rows this reading has shown, their number; None before the end of the list.
        self.complete: dict[Member, int] | None = None
        self.refusal: RefusedListError | None = None

    def left_for(self, member: Member) -> Iterator[Record]:
        if self.refusal:
            raise self.refusal
        yield from self.aside[member].taken()
        if self.complete is None:  # a connection test
            raise AbortedSyncFailedException


class _Spool:
    """Rows in a file without a name, which vanishes with the process: their number must not matter."""

    def __init__(self) -> None:
        self._file: Any = None
        self.rows = 0

    def put(self, rows: Iterable[Record]) -> None:
        for row in rows:
            self.rows += 1
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `taken`, or with the process
            self._file.write(_ENCODER.encode(row) + b"\n")

    def taken(self) -> Iterator[Record]:
        if self._file is None:
            return
        with self._file as lines:
            lines.seek(0)
            for line in lines:
                yield _DECODER.decode(line)
