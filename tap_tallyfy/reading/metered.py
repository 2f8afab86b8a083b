"""A source that is read with a limit, and whose pages must hold the rows that the server counts in them."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Final

from tap_tallyfy.reading.page import Page, Source, UnreadableError, Window

#: How often a page without its rows is asked for.
_TRIES: Final = 3
#: How many times the length of a list may be read in one way, beside some pages.
_READINGS: Final = 2
_SPARE_PAGES: Final = 40


class MeteredSource:
    """Pages of a list for one way to read it."""

    def __init__(self, source: Source, size: int) -> None:
        self.has_unpaginated = source.has_unpaginated  #: Whether the list can be asked for in one response.
        self.keyless = 0  #: How many rows without a key have come, those that came twice counted twice.
        self.announced: int | None = None  #: The smallest length that the server said the list has, or None.
        self._source = source
        self._spare = _SPARE_PAGES * size
        self._rows = 0

    def read(self, window: Window) -> Page:
        """Return a page.

        Raises:
            UnreadableError: If it lacks rows that the server counts, or more have come than the list can hold.
        """
        for _ in range(_TRIES):
            page = self._metered(self._source.read(window))
            if not page.lacks_rows:
                return page
        raise UnreadableError(f"the API sends no rows from {page.window.start + 1} on, but says that there are some")

    def result(self, window: Window, future: Future[Any]) -> Page:
        """Return the page that was asked for with `submit` of the source; see `read`."""
        page = self._metered(self._source.result(window, future))
        return self.read(window) if page.lacks_rows else page

    def _metered(self, page: Page) -> Page:
        if page.total is not None:
            self.announced = page.total if self.announced is None else min(page.total, self.announced)
        self.keyless += page.keyless
        if not page.window.unpaginated:
            self._rows += page.count
            # LIVE: a server that makes up rows for every page has no end; goes once the API is seen not to.
            if self.announced is not None and self._rows > _READINGS * self.announced + self._spare:
                raise UnreadableError(f"the API sends more than twice the {self.announced} records that it counts")
        return page
