"""One list of the API, asked for in the variant of its parameters that this server understands."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from typing import Final, NoReturn

from tap_tallyfy.api.client import Client, Detour
from tap_tallyfy.api.endpoint import Endpoint
from tap_tallyfy.api.errors import FilterRefusedError, ListFailedError, ListUnsupportedError, PassingError
from tap_tallyfy.api.response import Response
from tap_tallyfy.reading.page import Page, Record, UnreadableError, Window
from tap_tallyfy.records.nested import nested_value


def is_archived(record: Record) -> bool:
    """Return whether a parsed record is archived: archiving sets its status and its date (vendor docs)."""
    return bool(nested_value(record, "archived_at")) or record.get("status") == "archived"


def is_completed(record: Record) -> bool:
    """Return whether a parsed task is completed."""
    # LIVE: sources have two words for it; one goes once a completed task has shown the other.
    return bool(record.get("completed_at")) or record.get("status") in {"complete", "completed"}


@dataclass(frozen=True)
class Listing:
    """One list of an endpoint."""

    name: str = "default"  #: Keeps its counts apart from those of other lists.
    #: Query parameters, in the variants that different servers understand, best first.
    param_variants: Sequence[Mapping[str, str]] = ({},)
    archived: bool = False  #: Whether it holds archived records, and only those.
    fields: Mapping[str, str] = field(default_factory=dict)  #: Values that its records lack.
    #: Tells records of this list: a variant that shows others is not understood.
    matches: Callable[[Record], bool] = lambda _: True


DEFAULT: Final = Listing()
#: LIVE: sources disagree on which of the two parameters the server understands; both together suit either. One variant
#: is left once an account with archived processes has shown which one it takes.
ARCHIVED: Final = Listing(
    "archived",
    ({"archived": "only", "status": "archived"}, {"archived": "only"}, {"status": "archived"}),
    archived=True,
    matches=is_archived,
)


class ListSource:
    """One list of an endpoint, as a walk asks for its pages."""

    def __init__(
        self, endpoint: Endpoint, client: Client, listing: Listing, on_page: Callable[[Page], None], log: logging.Logger
    ) -> None:
        self.has_unpaginated = bool(endpoint.unpaginated)
        self._endpoint = endpoint
        self._client = client
        self._listing = listing
        self._on_page = on_page
        self._log = log
        self._variant: Mapping[str, str] | None = None
        self._answered: set[tuple[object, ...]] = set()  #: Orders and variants that the API has answered.
        self._ahead: tuple[Window, Future[Response]] | None = None

    def ask_ahead(self, window: Window) -> None:
        """Ask for the page that will be read first."""
        self._ahead = window, self.submit(window)

    def read(self, window: Window) -> Page:
        """Return a page.

        Raises:
            APIError: If the API refuses, or does not answer after all tries.
            UnreadableError: If it refuses the order, or the whole list in one response.
        """
        ahead, self._ahead = self._ahead, None
        if ahead and ahead[0] == window:
            return self.result(*ahead)
        if self._variant is None:
            page = self._first_supported_variant(window)
            self._variant = page.window.parameters
        else:
            page = self._fetch(replace(window, parameters=self._variant))
        self._on_page(page)
        return page

    def submit(self, window: Window) -> Future[Response]:
        """Ask for a page while others are under way; it comes in the variant of the last `read`."""
        request = self._endpoint.request(replace(window, parameters=self._variant or {}))
        return self._client.submit(request, self._endpoint.check, self._endpoint.account)

    def wait_any(self, futures: Iterable[Future[Response]]) -> Iterable[Future[Response]]:
        """Wait until at least one of several responses is there, and return all that are."""
        return wait(futures, return_when=FIRST_COMPLETED).done

    def result(self, window: Window, future: Future[Response]) -> Page:
        """Return the page that was asked for with `submit`; see `read`. Bodies are parsed here, in the main thread."""
        try:
            page = self._endpoint.page(window, future.result())
        except PassingError as error:
            self._log.warning("Asking for a page again: %s", error)
            return self.read(window)
        self._on_page(page)
        return page

    def _fetch(self, window: Window) -> Page:
        """Return a page of the list that the window's parameters single out; see `read`."""
        endpoint, kind = self._endpoint, (window.sort, window.unpaginated, *window.parameters.items())
        detours = () if kind in self._answered else tuple(self._detours(window))
        try:
            page = self._client.get(
                endpoint.request(window), partial(endpoint.page, window), endpoint.account, detours=detours
            )
        except FilterRefusedError as error:
            # Parameters that the tap adds of its own are no filters of the user's.
            added = endpoint.added_parameters(window)
            are_all_own = not error.fields and not endpoint.params.keys() - {"with"}
            if added & error.fields or (added and are_all_own):
                raise _refused(added) from None
            if window.parameters.keys() & error.fields or (window.parameters and are_all_own):
                raise self._needed(window) from None
            raise
        except ListFailedError as error:
            if window.unpaginated and error.status != HTTPStatus.TOO_MANY_REQUESTS:
                raise UnreadableError("it cannot be had in one response") from None
            raise
        self._answered.add(kind)
        return page

    # LIVE: nobody has seen how the API responds to an order that it does not know; if with 422, or with another order,
    # detours can go.

    def _detours(self, window: Window) -> Iterator[Detour]:
        """Yield requests for where the API fails: for the same page without parameters that the tap added of its own.

        A plain ORDER BY fails with 500 for a column that does not exist. If the API answers without the addition, that
        was a refusal.
        """
        added = self._endpoint.added_parameters(window)
        plain = replace(window, sort=None, unpaginated=False)
        if added:
            yield self._detour(plain, _refused(added))
        if window.parameters:
            yield self._detour(replace(window, parameters={}), self._needed(window))
            if added:
                yield self._detour(replace(plain, parameters={}), _refused(added))

    def _needed(self, window: Window) -> FilterRefusedError:
        names = "', '".join(sorted(window.parameters))
        return FilterRefusedError(
            f"{self._endpoint.named} does not work with '{names}', which the tap has to send; ask Tallyfy's support, or"
            f" deselect '{self._endpoint.name}'.",
            fields=window.parameters,
        )

    def _detour(self, window: Window, refusal: Exception) -> Detour:
        def parse(response: Response) -> NoReturn:
            self._endpoint.page(window, response)
            raise refusal

        return self._endpoint.request(window), parse

    def _first_supported_variant(self, window: Window) -> Page:
        """Return the first page in a variant that this server understands; one for archived records there must be."""
        empty: Page | None = None
        refusal: FilterRefusedError | None = None
        for variant in self._listing.param_variants:
            try:
                page = self._fetch(replace(window, parameters=variant))
            except FilterRefusedError as error:
                refusal = error
                continue
            if page.records and all(map(self._listing.matches, page.records)):
                return page
            if empty:  # two variants that show no archived record: there is none
                break
            empty = None if page.records else page
        if empty:
            return empty
        if not self._listing.archived:
            raise refusal or UnreadableError
        name = self._endpoint.name
        raise ListUnsupportedError(
            f"The API ignores or refuses every known filter for archived records of '{name}', so the tap cannot read"
            f" them; set '{name}.archived' to 'exclude' to do without them."
        )


def _refused(added: Iterable[str]) -> UnreadableError:
    return UnreadableError(f"the API refuses '{', '.join(sorted(added))}'")
