"""The lists of a few children: those of some parents, those without a parent, and those that came last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Final, Literal

from tap_tallyfy.api import errors
from tap_tallyfy.api.listing import DEFAULT, Listing, ListSource
from tap_tallyfy.reading.page import UnreadableError, UnreadListError, Window
from tap_tallyfy.reading.paginator import Order
from tap_tallyfy.reading.seen import Seen
from tap_tallyfy.records.shapes import Record
from tap_tallyfy.singer.list_reading import ListReading
from tap_tallyfy.singer.list_stream import Follows

Form = Literal["true", "", "only"]

#: LIVE: the forms in which a parent's list may show its archived children, that which may show most first. One is left
#: once an account with archived processes has shown which one it takes.
FORMS: Final[Mapping[Form, Mapping[str, str]]] = {"true": {"archived": "true"}, "": {}, "only": {"archived": "only"}}
NO_PARENT: Final = ""


class SurpriseError(Exception):
    """The short way is not open; the text says why."""


#: Why a short list may not be there. Where no list can be read, the full ones cannot either.
SURPRISES: Final = (
    SurpriseError,
    UnreadListError,
    errors.FilterRefusedError,
    errors.ListFailedError,
    errors.ListRefusedError,
    errors.ListUnsupportedError,
)


class ShortLists:
    """Reads lists of a few children; each is one more list for the walk that reads all of them."""

    def __init__(self, reading: ListReading, follows: Follows) -> None:
        self._reading, self._follows, self._config = reading, follows, reading.stream.config

    def alone(self) -> Iterator[tuple[str, Record]]:
        """Yield the children that have no parent, as those of `NO_PARENT`.

        Raises:
            SurpriseError: If others come.
        """
        for params in (self._follows.alone, {**self._follows.alone, "archived": "only"}):
            for child in self._walk(self._reading.source(Listing("alone", (params,)))):
                if child.get(self._follows.key) and not self._follows.is_alone(child):
                    raise SurpriseError(f"the list of '{self._reading.stream.name}' that stand alone shows others")
                yield NO_PARENT, child

    def of_parents(self, parents: Mapping[str, Form]) -> Iterator[tuple[str, Record]]:
        """Yield the children of some parents, each with its parent; one that is not found has none.

        The first pages of their lists are asked for side by side.
        """
        left, ahead = deque(parents.items()), deque[tuple[str, ListSource]]()
        while left or ahead:
            while left and len(ahead) < self._config["concurrency"]:
                parent, form = left.popleft()
                path = self._follows.of_parent.replace("{parent}", parent)
                source = self._reading.source(DEFAULT, path=path, params=FORMS[form])
                source.ask_ahead(Window(1, self._config["page_size"]))
                ahead.append((parent, source))
            parent, source = ahead.popleft()
            try:
                yield from ((parent, child) for child in self._walk(source, by_creation=()))
            except errors.ListRefusedError as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise

    def newest(self) -> Iterator[Record]:
        """Yield the children that were created last, and completed last, if the API knows these orders."""
        for sort in self._follows.newest:
            with suppress(UnreadableError):
                yield from self._reading.source(DEFAULT).read(Window(1, self._config["page_size"], sort)).records

    def _walk(self, source: ListSource, by_creation: tuple[Order, ...] | None = None) -> Iterator[Record]:
        seen = Seen("id", lookback=self._config["lookback_seconds"])
        return self._reading.walk(source, seen, by_creation=by_creation)
