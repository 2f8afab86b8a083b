"""Base of all streams that read a list of the API: from settings to requests, and from pages to records."""

from __future__ import annotations

import hashlib
import sys
from abc import ABC
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from jsonschema import Draft202012Validator
from singer_sdk.exceptions import FatalAPIError, FatalSyncError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.streams.rest import HTTPRequest, PageContext, RESTStream

from tap_tallyfy import errors
from tap_tallyfy.contract import CONTRACT, RecordSchema
from tap_tallyfy.decoder import RecordDecoder
from tap_tallyfy.evidence import Seen, SortEvidence
from tap_tallyfy.page import Window
from tap_tallyfy.paginator import Order
from tap_tallyfy.progress import Progress
from tap_tallyfy.records import Misfit, date_time, earlier, json_type, now, second
from tap_tallyfy.source import DEFAULT, Listing, ListSource, is_archived
from tap_tallyfy.walk import Walk

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import requests
    from singer_sdk import Tap
    from singer_sdk.helpers.types import Auth, Context

    from tap_tallyfy.client import Client
    from tap_tallyfy.page import Record

#: Settings under a stream's name that are no query parameters of that meaning, or do not change which records match.
_NO_FILTERS = frozenset({"archived", "sort", "without_pagination"})
_REPORTED = 10
#: How much this machine's clock may differ from the API's, in seconds.
_CLOCKS_DIFFER = 86_400
_TOP_LEVEL = len(("properties", "name"))


class ListStream(RESTStream[Window], ABC):
    """A stream over one list endpoint.

    A subclass is a declaration: its name, its path in the contract, and what sets its list apart.
    """

    name: str = ""
    path: str = ""
    schema: ClassVar[Any] = RecordSchema(CONTRACT)
    primary_keys = ("id",)
    replication_key: str | None = None
    # `Normaliser` has made every record valid already.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    #: Orders by the last change that are worth asking for, best first; only they let a sync stop at the bookmark. None
    #: where the API puts anything before that order, such as pinned records.
    by_change: ClassVar[Sequence[Order]] = ()
    #: Orders by a date that never changes, best first; one is asked for only where records have its field.
    by_creation: ClassVar[Sequence[Order]] = (Order("-created_at", "created_at"),)
    #: The list of archived records, where the default list leaves them out.
    archived: ClassVar[Listing | None] = None
    #: Query parameters that are always sent.
    parameters: ClassVar[Mapping[str, str]] = {}
    #: The query parameter that sorts.
    sort_parameter: ClassVar[str] = "sort"
    #: What asks for the list in one answer; empty where nothing does.
    whole_parameters: ClassVar[Mapping[str, str]] = {"without_pagination": "true"}
    #: Where the pages of a list come from, and what reads it completely.
    source_type: ClassVar[type[ListSource]] = ListSource
    walk_type: ClassVar[type[Walk]] = Walk

    def __init__(self, tap: Tap, client: Client) -> None:
        """Make a stream of a tap.

        Args:
            tap: The tap.
            client: What sends the requests of all streams.
        """
        self.client = client
        super().__init__(tap)

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

    @property
    def listings(self) -> Sequence[Listing]:
        """The lists that make up the stream: archived records may have one of their own."""
        status, wanted = self.filters.get("status"), self.settings.get("archived", "include")
        if self.archived is None:
            return (DEFAULT,)
        if status == "archived":
            return (self.archived,)
        if wanted == "only":
            return (self.archived if status is None else replace(self.archived, forms=({"archived": "only"},)),)
        return (DEFAULT, self.archived) if wanted == "include" and status is None else (DEFAULT,)

    @property
    def fingerprint(self) -> str:
        """What a bookmark depends on, as a hash: under other filters it would skip records they let in."""
        depends_on = {
            "org_id": self.config["org_id"],
            "archived": self.settings.get("archived", "include"),
            **{name: _ids_as_text(value) for name, value in self.filters.items()},
        }
        return hashlib.sha256(msgspec.json.encode(depends_on, order="deterministic")).hexdigest()[:16]

    # State

    def check_state(self, state: dict[str, Any]) -> None:
        """Forget a bookmark that was made under other settings, and say so.

        Args:
            state: The stream's part of the state; changed in place.
        """
        bookmark = state.get("replication_key_value")
        if not bookmark:
            return
        why = ""
        if state.get("filters", self.fingerprint) != self.fingerprint:
            why = f"was made under other settings than 'org_id' and '{self.name}' now have"
        elif self._start < str(state.get("start_date") or self._start):
            why = "was made under a later 'start_date'"
        elif earlier(str(bookmark), _CLOCKS_DIFFER) > now():
            why = "lies in the future"
        if why:
            self.logger.warning("The bookmark of '%s' %s; the stream starts over.", self.name, why)
            for key in ("replication_key", "replication_key_value", "sort"):
                state.pop(key, None)

    @override
    def compare_start_date(self, value: str, start_date_value: str) -> str:
        return max(date_time(value) or "", date_time(start_date_value) or "")

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Return none: this machine's clock may be wrong by hours, so the server's is noted when it is known."""

    @property
    def _start(self) -> str:
        """The second of `start_date`, or `""` where there is none."""
        return second(date_time(self.config.get("start_date")))

    def _bookmark(self, context: Context | None) -> str:
        """Return the date-time from which on changes have not been read, or `""`.

        Raises:
            FatalSyncError: If the state's bookmark is no date-time.
        """
        try:
            return date_time(self.get_starting_replication_key_value(context)) or ""
        except Misfit:
            msg = f"The bookmark of '{self.name}' in the state is no date-time; remove it to start over."
            raise FatalSyncError(msg) from None

    def limit_bookmark(self, clock: str, context: Context | None) -> None:
        """Let the bookmark not pass the server's clock at the first page: later changes may be read next time only.

        Args:
            clock: A date-time.
            context: The partition, if any.
        """
        if self.replication_method != "FULL_TABLE":
            self.state_manager.write_replication_key_signpost(clock, context=context)

    # Records

    @override
    def request_records(self, context: Context | None) -> Iterable[Record]:
        bookmark = self._bookmark(context)
        # A replica may have shown changes late, and transactions may have been committed late.
        floor = max(earlier(bookmark, self.config["lookback_seconds"]), self._start)
        seen = Seen(self.primary_keys[-1], bookmark=bookmark, lookback=self.config["lookback_seconds"])
        state = self.get_context_state(context)
        state.update(filters=self.fingerprint, start_date=self._start)
        proven = state.pop("sort", None)
        excluded = self.settings.get("archived") == "exclude"
        progress = Progress(self, seen)
        for listing in self.listings:
            seen.next_list()
            orders = {order: SortEvidence(proven=order.sort == proven) for order in self._usable(self.by_change)}
            walk = self.walk_type(
                self.source_type(self, listing, progress),
                seen,
                size=self.config["page_size"],
                floor=floor,
                by_change=dict(sorted(orders.items(), key=lambda each: not each[1].proven)),
                by_creation=self._usable(self.by_creation),
                whole_first=bool(self.settings.get("without_pagination")),
                concurrency=self.config["concurrency"],
                log=self.logger,
            )
            for record in walk:
                changed_at = second(record.get("last_updated"))
                if (changed_at and changed_at < floor) or (excluded and is_archived(record)):
                    progress.unchanged += 1
                else:
                    progress.emitted += 1
                    yield record
            proven = next((order.sort for order, evidence in orders.items() if evidence.proven), proven)
        if proven:
            state["sort"] = proven
        self.limit_bookmark(seen.clock, context)
        self._report_misfits()
        progress.finish()

    def _usable(self, orders: Iterable[Order]) -> Sequence[Order]:
        """Return the orders that records have the field for, and that the user's own `sort` does not exclude."""
        sort = self.settings.get("sort")
        fields = self.schema["properties"]
        return [order for order in orders if order.field in fields and sort in {None, order.sort}]

    # Request

    @property
    @override
    def url_base(self) -> str:
        return str(self.config["api_url"]).rstrip("/")

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        # Without X-Tallyfy-Client the API answers 401 or 404 (vendor docs).
        return {"Accept": "application/json", "X-Tallyfy-Client": "APIClient"}

    @cached_property
    @override
    def user_agent(self) -> str:
        return str(self.config.get("user_agent") or f"{self.tap_name}/{self._tap.get_plugin_version()}")

    @property
    @override
    def authenticator(self) -> Auth:
        return self.client.authenticator

    @property
    @override
    def requests_session(self) -> requests.Session:
        return self.client.session

    @override
    def get_http_request(self, *, page: PageContext[Window]) -> HTTPRequest:
        window = page.next_page_token or Window(1, self.config["page_size"])
        params: dict[str, Any] = {**self.parameters, **self.filters, **window.parameters}
        params[self.sort_parameter] = window.sort or self.settings.get("sort")
        params |= self.whole_parameters if window.whole else {"page": window.page, "per_page": window.size}
        return HTTPRequest(
            url=self.get_url(None),
            headers=self.http_headers,
            params={name: _as_text(value) for name, value in params.items() if value is not None},
            safe_query_chars=",",
        )

    def added_parameters(self, window: Window) -> frozenset[str]:
        """Return the query parameters by which the tap looks for a way to read the list; it can do without each.

        Args:
            window: The page to ask for.
        """
        added = {self.sort_parameter} if window.sort and window.sort != self.settings.get("sort") else set()
        return frozenset(added.union(self.whole_parameters if window.whole else ()))

    def prepare(self, window: Window) -> requests.PreparedRequest:
        """Build and sign a request.

        Args:
            window: The page to ask for.
        """
        request = self.get_http_request(page=PageContext(stream_context=None, next_page_token=window))
        return self.build_prepared_request(
            method=request.method, url=request.url, params=request.encode_params(), headers=request.headers
        )

    # Response

    @override
    def validate_response(self, response: requests.Response) -> None:
        errors.check(response, self.name)

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Record]:
        records, _ = self.read_body(response)
        return records

    def read_body(self, response: requests.Response) -> tuple[Sequence[Record], object]:
        """Return the records of an answer, normalised, and its `meta`.

        Args:
            response: The API's answer.

        Raises:
            RetriableAPIError: If it is not JSON.
            FatalAPIError: If it holds no list of records.
        """
        if self._checked and (typed := self._decoder.records(response.content)):
            records, meta = typed
        else:
            body = errors.parse(response)
            rows = self._rows(body)
            if rows and not self._checked:
                self._checked = True
                self._report_drift(rows)
            records = [self._decoder.record(row) for row in rows]
            meta = body.get("meta") if isinstance(body, dict) else None
        for record in records:
            if not record.get("id"):
                msg = f"A record of '{self.name}' has no 'id', so no target can keep it; ask Tallyfy's support."
                raise FatalSyncError(msg)
            if self.replication_key:
                record.setdefault(self.replication_key, None)  # the SDK looks it up in every record
        return records, meta

    def _rows(self, body: object) -> list[Record]:
        rows = body.get("data") if isinstance(body, dict) else body
        if isinstance(rows, dict) and all(key.isdecimal() for key in rows):
            rows = list(rows.values())  # PHP writes a list with gaps as an object
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            msg = f"GET {self.path} was answered with JSON that holds no list of records under 'data'; check 'api_url'."
            raise FatalAPIError(msg)
        return rows

    @cached_property
    def _decoder(self) -> RecordDecoder:
        return RecordDecoder(self.effective_schema, wrapped=self.settings.get("with", ()), as_sent=self._as_sent)

    @property
    def _as_sent(self) -> bool:
        """Whether nothing looks inside nested objects: no selection there, no stream map, flattening or batch file."""
        as_is = all(type(map_) is SameRecordTransform and not map_.flattening_enabled for map_ in self.stream_maps)
        whole = all(selected for breadcrumb, selected in self.mask.items() if len(breadcrumb) > _TOP_LEVEL)
        return as_is and whole and self.get_batch_config(self.config) is None

    # Reports: by path and type, never by value

    _checked = False

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
        normalise = self._decoder.normalise
        if normalise.unknown:
            names = ", ".join(f"'{name}'" for name in sorted(normalise.unknown))
            self.logger.warning(
                "Fields of '%s' that the schema does not know are kept in '_extra': %s.", self.name, names
            )
        if normalise.misfits:
            names = ", ".join(f"'{name}' ({kind})" for name, kind in sorted(normalise.misfits.items()))
            self.logger.warning("Values of '%s' that fit no column are kept in '_extra': %s.", self.name, names)


def _ids_as_text(value: object) -> object:
    """Return a filter with its numbers as text: an ID is the same either way."""
    if isinstance(value, list):
        return [_ids_as_text(item) for item in value]
    return str(value) if type(value) is int else value


def _as_text(value: object) -> str:
    """Return a query parameter's value: lists comma-separated, booleans `true` or `false`."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
