"""Base of all streams that read a list of the API: from settings to requests, and from pages to records."""

from __future__ import annotations

import hashlib
import sys
from abc import ABC
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from jsonschema import Draft202012Validator
from singer_sdk.exceptions import FatalAPIError, FatalSyncError, RetriableAPIError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.streams.rest import HTTPRequest

from tap_tallyfy.client import RefusedFilterError, TallyfyStream, server_time
from tap_tallyfy.contract import CONTRACT, EXTRA, RecordSchema
from tap_tallyfy.exact import ExactDecoder
from tap_tallyfy.paginator import Pagination
from tap_tallyfy.progress import Progress
from tap_tallyfy.records import Misfit, Normaliser, date_time, json_type
from tap_tallyfy.walk import Page, Seen, Walk, Window, newest, second

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import requests
    from singer_sdk.helpers.types import Context
    from singer_sdk.streams.rest import PageContext

    Record = dict[str, Any]

#: Orders to ask for, best first: by the last change under its two known names, then the one known to be honoured.
SORTS: Final = ("-last_updated", "-updated_at", "-created_at")

#: What asks for archived records. Sources disagree on which of the two the server understands; both suit either.
_ARCHIVED: Final[Sequence[Mapping[str, str]]] = (
    {"archived": "only", "status": "archived"},
    {"archived": "only"},
    {"status": "archived"},
)
_DEFAULT: Final[Sequence[Mapping[str, str]]] = ({},)
#: Settings under a stream's name that are no query parameters of that meaning, or do not change which records match.
_NO_FILTERS: Final = frozenset({"archived", "sort", "without_pagination"})

_BEFORE_ALL: Final = "0001-01-01T00:00:00.000Z"
_REPORTED: Final = 10
_TOP_LEVEL: Final = len(("properties", "name"))


class ListStream(TallyfyStream, ABC):
    """A stream over one list endpoint.

    A subclass is a declaration: its name, its path in the contract, and what else differs.
    """

    name: str = ""
    path: str = ""
    schema: ClassVar[Any] = RecordSchema(CONTRACT)
    primary_keys = ("id",)
    replication_key = "last_updated"
    # `Normaliser` has made every record valid already.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE
    #: What reads a list completely.
    walk_type: ClassVar[type[Walk]] = Walk

    # Settings

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings under the stream's own name."""
        settings: Mapping[str, Any] = self.config.get(self.name, {})
        return settings

    @cached_property
    def filters(self) -> Mapping[str, Any]:
        """The settings that are sent as they are, under the API's own names."""
        return {name: value for name, value in self.settings.items() if name not in _NO_FILTERS}

    @cached_property
    def lists(self) -> Sequence[Sequence[Mapping[str, str]]]:
        """The lists that make up the stream, each as the query parameters that single it out, in one or several forms.

        Archived records are absent from the API's default list (vendor docs), and have one of their own.
        """
        status = self.filters.get("status")
        archived = self.settings.get("archived", "include")
        if status == "archived":
            return (_ARCHIVED,)
        if archived == "only":
            return (_ARCHIVED if status is None else ({"archived": "only"},),)
        if archived == "include" and status is None and "archived" in CONTRACT.query_parameters(self.path):
            return (_DEFAULT, _ARCHIVED)
        return (_DEFAULT,)

    @property
    def fingerprint(self) -> str:
        """What a bookmark depends on, as a hash: under other filters it would skip records they let in."""
        depends_on = {
            "org_id": self.config["org_id"],
            "archived": self.settings.get("archived", "include"),
            **self.filters,
        }
        return hashlib.sha256(msgspec.json.encode(depends_on, order="deterministic")).hexdigest()[:16]

    # State

    def check_state(self, state: dict[str, Any]) -> None:
        """Forget a bookmark that was made under other settings, and say so.

        Args:
            state: The stream's part of the state; changed in place.
        """
        start = _earliest(self.config.get("start_date"))
        other_filters = state.get("filters", self.fingerprint) != self.fingerprint
        earlier_start = start < state.get("start_date", start)
        if state.get("replication_key_value") and (other_filters or earlier_start):
            self.logger.warning(
                "The bookmark of '%s' was made under %s; the stream starts over.",
                self.name,
                f"other settings than 'org_id' and '{self.name}' now have" if other_filters else "a later 'start_date'",
            )
            for key in ("replication_key", "replication_key_value", "sort"):
                state.pop(key, None)

    @override
    def compare_start_date(self, value: str, start_date_value: str) -> str:
        return max(date_time(value) or "", date_time(start_date_value) or "")

    def _bookmark(self, context: Context | None) -> str:
        """Return the second from which on changes are emitted, or `""` for all.

        Raises:
            FatalSyncError: If the state's bookmark is no date-time.
        """
        start = _earliest(self.config.get("start_date"))
        value = self.get_starting_replication_key_value(context)
        try:
            return max(second(date_time(value)), start)
        except Misfit:
            msg = f"The bookmark of '{self.name}' in the state is no date-time; remove it to start over."
            raise FatalSyncError(msg) from None

    # Records

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        bookmark, seen = self._bookmark(context), Seen()
        progress = Progress(self)
        state = self.get_context_state(context)
        state.update(filters=self.fingerprint, start_date=_earliest(self.config.get("start_date")))
        full_table = self.replication_method == "FULL_TABLE"
        proven = state.pop("sort", None)
        sorts = (self.settings["sort"],) if "sort" in self.settings else _preferring(proven)
        excluded = self.settings.get("archived") == "exclude"
        for forms in self.lists:
            seen.next_list()
            source = _ListSource(self, forms, seen, progress, archived=forms is not _DEFAULT)
            walk = self.walk_type(
                source,
                seen,
                size=self.config["page_size"],
                sorts=sorts,
                bookmark=bookmark,
                proven=proven is not None and proven == sorts[0],
                settled_only=bool(self.filters.keys() - {"with"}),
                to_the_front=full_table,
                whole_first=bool(self.settings.get("without_pagination")),
                ahead=self.config["concurrency"],
                log=self.logger,
            )
            for record in walk:
                changed_at = second(record.get("last_updated"))
                if (changed_at and changed_at < bookmark) or (excluded and is_archived(record)):
                    progress.unchanged += 1
                else:
                    progress.emitted += 1
                    yield record
            if walk.proven:
                proven = state["sort"] = walk.sort
            if "sort" not in self.settings:
                sorts = _preferring(walk.sort)
        self._report_misfits()
        progress.finish()

    def limit_bookmark(self, page: Page, context: Context | None = None) -> None:
        """Let the bookmark not pass the server's clock at the first page: later changes may be read next time only.

        Args:
            page: The first page of the sync.
            context: The partition, if any.
        """
        # Without a clock: what is on the first page was changed before it was read.
        known = self._bookmark(context)
        limit = page.server_time or max(newest(page.records), known and f"{known}.000Z") or _BEFORE_ALL
        if self.replication_method != "FULL_TABLE":
            self.state_manager.write_replication_key_signpost(limit, context=context)

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Return none: this machine's clock may be wrong by hours, so `limit_bookmark` asks the server's."""

    # Request

    @override
    def get_http_request(self, *, page: PageContext[Window]) -> HTTPRequest:
        window = page.next_page_token or Window(1, self.config["page_size"])
        params: dict[str, Any] = {**self.filters, "sort": window.sort or self.settings.get("sort")}
        params |= dict(window.parameters)
        if window.whole:
            params["without_pagination"] = True
        else:
            params.update(page=window.page, per_page=window.size)
        return HTTPRequest(
            url=self.get_url(None),
            headers=self.http_headers,
            params={name: _as_text(value) for name, value in params.items() if value is not None},
            safe_query_chars=",",
        )

    # Response

    def read_page(self, window: Window, response: requests.Response | None = None) -> Page:
        """Return a page, its records normalised.

        Args:
            window: What to ask for.
            response: The answer, if it is there already.

        Raises:
            FatalAPIError: If there is no answer or it holds no list of records.
        """
        if response is not None:
            try:
                return self._page(window, response)
            except RetriableAPIError as error:
                self.logger.warning("A page is asked for again: %s", error)
        return self.fetch_parsed(window, lambda answer: self._page(window, answer))

    def _page(self, window: Window, response: requests.Response) -> Page:
        records, meta = (self._exact and self._exact(response.content)) or self._normalised(response)
        return Page(window, records, Pagination.read(meta, len(records)), server_time(response))

    def _normalised(self, response: requests.Response) -> tuple[list[Record], object]:
        body = self.parse_body(response)
        rows = self._rows(body)
        if rows and not self._checked:
            self._checked = True
            self._report_drift(rows)
            usual = {*self.primary_keys, self.replication_key} - {None}
            if not self._wrapped and usual <= rows[0].keys() <= self.effective_schema["properties"].keys() - {EXTRA}:
                with suppress(KeyError, ValueError):  # a catalog may bring a schema of its own
                    self._exact = ExactDecoder(self.effective_schema, rows[0], sealed=self._sealed)
        return [self._record(row) for row in rows], body.get("meta") if isinstance(body, dict) else None

    def _rows(self, body: object) -> list[Record]:
        rows = body.get("data") if isinstance(body, dict) else body
        if isinstance(rows, dict) and all(key.isdecimal() for key in rows):
            rows = list(rows.values())  # PHP writes a list with gaps as an object
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            msg = f"GET {self.path} was answered with JSON that holds no list of records under 'data'; check 'api_url'."
            raise FatalAPIError(msg)
        return rows

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Record]:
        return map(self._record, self._rows(self.parse_body(response)))

    def _record(self, row: Record) -> Record:
        for name in self._wrapped:
            value = row.get(name)
            if isinstance(value, dict) and "data" in value and value.keys() <= {"data", "meta"}:
                row[name] = value["data"]
        record = self._normalise(row)
        if not record.get("id"):
            msg = f"The API sent a record of '{self.name}' without an 'id', which no target can keep; ask its support."
            raise FatalSyncError(msg)
        if self.replication_key:
            record.setdefault(self.replication_key, None)  # the SDK looks it up in every record
        return record

    @cached_property
    def _normalise(self) -> Normaliser:
        return Normaliser(self.effective_schema)

    @cached_property
    def _wrapped(self) -> Sequence[str]:
        return tuple(self.settings.get("with", ()))

    @property
    def _sealed(self) -> bool:
        """Whether nothing looks inside nested objects: no selection there, no stream map, flattening or batch file."""
        as_is = all(type(map_) is SameRecordTransform and not map_.flattening_enabled for map_ in self.stream_maps)
        whole = all(selected for breadcrumb, selected in self.mask.items() if len(breadcrumb) > _TOP_LEVEL)
        return as_is and whole and self.get_batch_config(self.config) is None

    # Reports: by path and type, never by value

    _checked = False
    _exact: ExactDecoder | None = None

    def _report_drift(self, rows: Sequence[Record]) -> None:
        contract = CONTRACT.fetch_schema(self.path)
        drift = {
            f"{'.'.join('*' if isinstance(part, int) else part for part in error.absolute_path) or 'record'}"
            f" ({json_type(error.instance)} against {error.validator})"
            for row in rows
            for error in Draft202012Validator(contract).iter_errors(row)
            if error.instance != []  # PHP's empty object
        }
        if drift:
            names = ", ".join(sorted(drift)[:_REPORTED])
            self.logger.warning("The API departs from its contract in '%s': %s.", self.name, names)

    def _report_misfits(self) -> None:
        normalise = self._normalise
        if normalise.unknown:
            names = ", ".join(f"'{name}'" for name in sorted(normalise.unknown))
            self.logger.warning(
                "Fields of '%s' that the schema does not know are kept in '_extra': %s.", self.name, names
            )
        if normalise.misfits:
            names = ", ".join(f"'{name}' ({kind})" for name, kind in sorted(normalise.misfits.items()))
            self.logger.warning("Values of '%s' that fit no column are kept in '_extra': %s.", self.name, names)


class _ListSource:
    """One of a stream's lists, as a walk asks for its pages."""

    def __init__(
        self, stream: ListStream, forms: Sequence[Mapping[str, str]], seen: Seen, progress: Progress, *, archived: bool
    ) -> None:
        """Prepare to read a list.

        Args:
            stream: The stream.
            forms: The query parameters that single the list out, in the forms different servers understand.
            seen: What the sync has read so far.
            progress: Where to count pages.
            archived: Whether the list is to show archived records, and only those.
        """
        self._stream = stream
        self._forms = forms
        self._parameters: Mapping[str, str] | None = None
        self._seen = seen
        self._progress = progress
        self._archived = archived

    def read(self, window: Window) -> Page:
        if self._parameters is not None:
            return self._noted(self._stream.read_page(self._asked(window, self._parameters)))
        page = self._noted(self._understood(window))
        if not self._seen.since:
            self._seen.since = second(page.server_time) or second(newest(page.records)) or " "
            self._stream.limit_bookmark(page)
        return page

    def read_ahead(self, windows: Sequence[Window]) -> Iterator[Page]:
        asked = (self._asked(window, self._parameters or {}) for window in windows)
        for window, response in self._stream.fetch_ahead(asked):
            yield self._noted(self._stream.read_page(window, response))

    def _understood(self, window: Window) -> Page:
        """Return the first page, asked for in the form this server understands.

        Raises:
            FatalSyncError: If it understands none, so that archived records cannot be read.
        """
        empty: tuple[Page, Mapping[str, str]] | None = None
        refusal: RefusedFilterError | None = None
        for form in self._forms:
            try:
                page = self._stream.read_page(self._asked(window, form))
            except RefusedFilterError as error:
                refusal = error
                continue
            if page.records and (not self._archived or all(map(is_archived, page.records))):
                self._parameters = form
                return page
            if not page.records and empty is None:
                empty = page, form
        if empty:
            page, self._parameters = empty
            return page
        if refusal and not self._archived:
            raise refusal
        msg = (
            f"The API ignores or refuses every known filter for archived records of '{self._stream.name}', so they"
            f" cannot be read; set '{self._stream.name}.archived' to 'exclude' to go without them."
        )
        raise FatalSyncError(msg)

    def _asked(self, window: Window, parameters: Mapping[str, str]) -> Window:
        return replace(window, parameters=tuple(parameters.items()))

    def _noted(self, page: Page) -> Page:
        self._progress.page(page)
        return page


def is_archived(record: Record) -> bool:
    """Return whether a record is archived: archiving sets its status and its date (vendor docs).

    Args:
        record: A normalised record.
    """
    return bool(record.get("archived_at")) or record.get("status") == "archived"


def _preferring(sort: str | None) -> Sequence[str]:
    """Return the orders to ask for, one that served before first."""
    return (sort, *(other for other in SORTS if other != sort)) if sort in SORTS else SORTS


def _earliest(start_date: str | None) -> str:
    """Return the second of `start_date`, or `""` where there is none."""
    return second(date_time(start_date))


def _as_text(value: object) -> str:
    """Return a query parameter's value: lists comma-separated, booleans `true` or `false`."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
