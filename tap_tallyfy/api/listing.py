"""One list of the API, asked for in the form that this server understands."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from singer_sdk.exceptions import FatalSyncError, RetriableAPIError

from tap_tallyfy.api.errors import RefusedFilterError
from tap_tallyfy.reading.page import UnreadableError

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    import requests

    from tap_tallyfy.api.client import Client
    from tap_tallyfy.api.endpoint import Endpoint
    from tap_tallyfy.reading.page import Page, Record, Window


def is_archived(record: Record) -> bool:
    """Return whether a record is archived: archiving sets its status and its date (vendor docs).

    Args:
        record: A normalised record.
    """
    return bool(record.get("archived_at")) or record.get("status") == "archived"


def is_completed(record: Record) -> bool:
    """Return whether a task is completed: sources have two words for it.

    Args:
        record: A normalised record.
    """
    return bool(record.get("completed_at")) or record.get("status") in {"complete", "completed"}


@dataclass(frozen=True)
class Listing:
    """What singles out one list of an endpoint.

    Attributes:
        forms: Query parameters, in the forms that different servers understand, best first.
        archived: Whether it holds archived records, and only those.
        fields: What its records are, where they do not say so.
        holds: Tells records of this list: a form that shows others is not understood.
    """

    forms: Sequence[Mapping[str, str]] = ({},)
    archived: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)
    holds: Callable[[Record], bool] = lambda _: True


DEFAULT: Final = Listing()
#: Sources disagree on which of the two parameters the server understands; both together suit either.
ARCHIVED: Final = Listing(
    ({"archived": "only", "status": "archived"}, {"archived": "only"}, {"status": "archived"}),
    archived=True,
    holds=is_archived,
)


class ListSource:
    """One list of an endpoint, as a walk asks for its pages."""

    def __init__(
        self, endpoint: Endpoint, client: Client, listing: Listing, on_page: Callable[[Page], None], log: logging.Logger
    ) -> None:
        """Prepare to read a list.

        Args:
            endpoint: Where the list is.
            client: What sends requests.
            listing: Which list of the endpoint.
            on_page: Called with each page.
            log: Where to say what is asked for again.
        """
        self.has_whole = bool(endpoint.unpaginated)
        self._endpoint = endpoint
        self._client = client
        self._listing = listing
        self._on_page = on_page
        self._log = log
        self._form: Mapping[str, str] | None = None

    def read(self, window: Window) -> Page:
        """Return a page.

        Args:
            window: What to ask for.

        Raises:
            FatalAPIError: If the API refuses, or does not answer after all tries.
            FatalSyncError: If the server understands none of the forms of the list.
        """
        if self._form is not None:
            return self._noted(self.fetch(replace(window, parameters=self._form)))
        page = self._understood(window)
        self._form = page.window.parameters
        return self._noted(page)

    def submit(self, window: Window) -> Future[requests.Response]:
        """Ask for a page while others are under way; `read` must have been called before.

        Args:
            window: What to ask for.
        """
        asked = replace(window, parameters=self._form or {})
        return self._client.ask(self._endpoint.request(asked), self._endpoint.check)

    def wait_any(self, futures: Iterable[Future[requests.Response]]) -> Iterable[Future[requests.Response]]:
        """Wait until at least one of several answers is there, and return all that are.

        Args:
            futures: What `submit` returned.
        """
        return wait(futures, return_when=FIRST_COMPLETED).done

    def result(self, window: Window, future: Future[requests.Response]) -> Page:
        """Return the page that was asked for; bodies are parsed here, in the main thread.

        Args:
            window: What was asked for.
            future: What `submit` returned, done.

        Raises:
            FatalAPIError: If the API refuses, or does not answer after all tries.
        """
        try:
            return self._noted(self._endpoint.page(window, future.result()))
        except RetriableAPIError as error:
            self._log.warning("Asking for a page again: %s", error)
            return self.read(window)

    def fetch(self, window: Window) -> Page:
        """Return a page of the list that the window's parameters single out.

        Args:
            window: What to ask for.

        Raises:
            FatalAPIError: If the API refuses, or does not answer after all tries.
            UnreadableError: If it refuses an order, or the whole list in one answer.
        """
        get = partial(self._client.get, self._endpoint.request(window), partial(self._endpoint.page, window))
        try:
            page = get()
            return get() if page.lacks_rows else page
        except RefusedFilterError as error:
            # What the tap adds of its own to find a way is no filter of the user's.
            added = self._endpoint.added_parameters(window)
            if added & error.fields or (added and not error.fields and not self._endpoint.params.keys() - {"with"}):
                msg = f"the API refuses '{', '.join(sorted(added))}'"
                raise UnreadableError(msg) from None
            raise

    def _understood(self, window: Window) -> Page:
        """Return the first page, asked for in a form that this server understands.

        Raises:
            FatalSyncError: If it understands none, so that archived records cannot be read.
        """
        empty: Page | None = None
        refusal: RefusedFilterError | None = None
        for form in self._listing.forms:
            try:
                page = self.fetch(replace(window, parameters=form))
            except RefusedFilterError as error:
                refusal = error
                continue
            if page.records and all(map(self._listing.holds, page.records)):
                return page
            if empty:  # two forms that show no archived record: there is none
                break
            empty = None if page.records else page
        if empty:
            return empty
        if not self._listing.archived:
            raise refusal or UnreadableError
        name = self._endpoint.name
        msg = (
            f"The API ignores or refuses every known filter for archived records of '{name}', so the"
            f" tap cannot read them; set '{name}.archived' to 'exclude' to do without them."
        )
        raise FatalSyncError(msg)

    def _noted(self, page: Page) -> Page:
        self._client.has_answered = True
        self._on_page(page)
        return page
