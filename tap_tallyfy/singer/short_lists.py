"""The lists of a few children: those of one parent, those without a parent, and those that came last."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

from tap_tallyfy.api.errors import APIError, ListRefusedError
from tap_tallyfy.api.listing import DEFAULT, Listing
from tap_tallyfy.reading.page import UnreadableError, UnreadListError, Window
from tap_tallyfy.reading.seen import Seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from concurrent.futures import Future

    from tap_tallyfy.api.listing import ListSource
    from tap_tallyfy.reading.page import Page
    from tap_tallyfy.singer.list_reading import ListReading
    from tap_tallyfy.singer.list_stream import Follows

    Record = dict[str, Any]

Form = Literal["true", "", "only"]

#: LIVE: the forms in which a parent's list may show its archived children, that which may show most first. One is left
#: once an account with archived processes has shown which one it takes.
FORMS: Final[Mapping[Form, Mapping[str, str]]] = {"true": {"archived": "true"}, "": {}, "only": {"archived": "only"}}


class SurpriseError(Exception):
    """The short way is not open; the text says why."""


#: Why a short list may not be there.
SURPRISES: Final = (SurpriseError, APIError, UnreadListError)


class ShortLists:
    """Reads lists of a few children; each is one more list for the walk that reads all of them."""

    def __init__(self, reading: ListReading, follows: Follows) -> None:
        """Prepare to read.

        Args:
            reading: Reads the lists of all children.
            follows: How children can be read by their parents.
        """
        config = reading.stream.config
        self._reading, self._follows = reading, follows
        self._size, self._concurrency = int(config["page_size"]), int(config["concurrency"])
        self._lookback = int(config["lookback_seconds"])

    def alone(self) -> Iterator[Record]:
        """Yield the children that have no parent.

        Raises:
            SurpriseError: If others come.
        """
        for params in (self._follows.alone, {**self._follows.alone, "archived": "only"}):
            source = self._reading.source(Listing("alone", (params,)))
            for child in self._reading.stream.walk(DEFAULT, source, self._seen):
                if child.get(self._follows.key) and not self._follows.is_alone(child):
                    raise SurpriseError(f"the list of '{self._reading.stream.name}' that stand alone shows others")
                yield child

    def of_parent(self, parent: str, form: Form) -> Iterator[Record]:
        """Yield the children of one parent."""
        return self._walk(self._asked(parent, form))

    def of_parents(self, parents: Iterable[tuple[Record, Form]]) -> Iterator[tuple[Record, Record]]:
        """Yield the children of some parents, each with its parent; one that is not found has none.

        The first pages of their lists are asked for side by side.
        """
        left, ahead = deque(parents), deque[Any]()
        while left or ahead:
            while left and len(ahead) < self._concurrency:
                parent, form = left.popleft()
                ahead.append((parent, self._asked(parent["id"], form)))
            parent, source = ahead.popleft()
            try:
                yield from ((parent, child) for child in self._walk(source))
            except ListRefusedError as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise

    def newest(self) -> Iterator[Record]:
        """Yield the children that were created last, and completed last, if the API knows these orders."""
        for sort in self._follows.newest:
            with suppress(UnreadableError):
                yield from self._reading.source(DEFAULT).read(Window(1, self._size, sort)).records

    @property
    def _seen(self) -> Seen:
        return Seen("id", lookback=self._lookback)

    def _asked(self, parent: str, form: Form) -> _Ahead:
        path = self._follows.of_parent.replace("{parent}", parent)
        return _Ahead(self._reading.source(DEFAULT, path=path, params=FORMS[form]), Window(1, self._size))

    def _walk(self, source: _Ahead) -> Iterator[Record]:
        return self._reading.stream.walk(DEFAULT, source, self._seen, by_creation=())


class _Ahead:
    """The pages of a list whose first one has been asked for already."""

    def __init__(self, source: ListSource, first: Window) -> None:
        self.has_whole, self.submit, self.wait_any = source.has_whole, source.submit, source.wait_any
        self.result = source.result
        self._source = source
        self._first: tuple[Window, Future[Any]] | None = first, source.submit(first)

    def read(self, window: Window) -> Page:
        asked, self._first = self._first, None
        return self._source.result(*asked) if asked and asked[0] == window else self._source.read(window)
