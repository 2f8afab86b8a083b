"""Sends requests to the API: builds, signs and paces them, retries what may pass, and explains what will not."""

from __future__ import annotations

import random
import sys
import threading
import time
from abc import ABC
from collections import deque
from concurrent.futures import Future
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from singer_sdk.streams.rest import PageContext, RESTStream

from tap_tallyfy.auth import ClientCredentialsAuthenticator, authenticator_for
from tap_tallyfy.pace import Pace
from tap_tallyfy.paginator import ListPaginator
from tap_tallyfy.walk import Window

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Auth

#: How often one request is tried when the connection or the server fails.
MAX_TRIES: Final = 6
#: How often one request may be refused for the rate limit before the sync fails: waits included, that is an hour or so.
MAX_REFUSALS: Final = 20

_Answer = TypeVar("_Answer")

#: Seconds an answer takes from which on it pays to read others meanwhile.
_WORTH_A_THREAD: Final = 0.02
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 30.0
_PASSING: Final = (
    requests.Timeout,
    requests.ConnectionError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
# Numbers with a point become decimals: no digit the API sent is lost.
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
# The last one is for an exponent that no decimal can have.
_NOT_JSON: Final = (ValueError, RecursionError, InvalidOperation)


class RefusedFilterError(FatalAPIError):
    """The API refuses a query parameter."""


class Connection:
    """What all streams of a tap share: one session, one token, one pace.

    Attributes:
        requests: Requests sent so far, refused and failed ones included.
        latency: Seconds the last answer took.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Connect to nothing yet.

        Args:
            config: The tap's settings.
        """
        self._config = config
        self.requests = 0
        self.latency = 0.0

    @cached_property
    def pace(self) -> Pace:
        """The one limiter of the process."""
        return Pace(self._config.get("requests_per_minute"))

    @cached_property
    def authenticator(self) -> Auth:
        """What signs requests."""
        return authenticator_for(self._config, self._config["request_timeout"])

    @cached_property
    def session(self) -> requests.Session:
        """The session, with a connection for every request that may be under way at once."""
        session = requests.Session()
        # Twice: after a change of plan, pages that are no longer wanted may still be under way.
        adapter = HTTPAdapter(pool_maxsize=2 * self._config["concurrency"] + 1)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session


class TallyfyStream(RESTStream[Window], ABC):
    """Base of all streams: how to talk to the API."""

    # Secrets go to `api_url` and nowhere else, whatever a response says.
    allow_redirects = False

    def __init__(self, tap: Tap, connection: Connection) -> None:
        """Make a stream of a tap.

        Args:
            tap: The tap.
            connection: What it shares with the tap's other streams.
        """
        self.connection = connection
        super().__init__(tap)

    # What a request is made of

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
    def timeout(self) -> int:
        timeout: int = self.config["request_timeout"]
        return timeout

    @property
    @override
    def authenticator(self) -> Auth:
        return self.connection.authenticator

    @property
    @override
    def requests_session(self) -> requests.Session:
        return self.connection.session

    @override
    def get_new_paginator(self) -> ListPaginator:
        return ListPaginator(page_size=self.config["page_size"])

    # Request, retry, pace

    def fetch(self, window: Window) -> requests.Response:
        """Return the API's answer to a request for a page; safe to call from several threads.

        Args:
            window: The page.

        Raises:
            FatalAPIError: If the API refuses, or does not answer after all tries.
        """
        return self._tried(self._send, window)

    def fetch_parsed(self, window: Window, parse: Callable[[requests.Response], _Answer]) -> _Answer:
        """Return what the API's answer says; an answer that cannot be parsed is tried again like a failed one.

        Args:
            window: The page.
            parse: Makes something of an answer; raises `RetriableAPIError` if it is not JSON.

        Raises:
            FatalAPIError: If the API refuses.
            RetriableAPIError: If it does not answer with JSON after all tries.
        """
        return self._tried(lambda window: parse(self._send(window)), window)

    def fetch_ahead(self, windows: Iterable[Window]) -> Iterator[tuple[Window, requests.Response]]:
        """Yield the answers to several requests in their order, with up to `concurrency` of them under way.

        Where answers come at once, threads would cost more than they save: then one is sent after the other.

        Args:
            windows: The pages.

        Raises:
            FatalAPIError: If the API refuses, or does not answer after all tries.
        """
        waiting = iter(windows)
        while self.connection.latency < _WORTH_A_THREAD and (window := next(waiting, None)):
            yield window, self.fetch(window)
        under_way = deque(map(self._start, islice(waiting, self.config["concurrency"])))
        while under_way:
            window, answer = under_way.popleft()
            response = answer.result()
            under_way.extend(map(self._start, islice(waiting, 1)))
            yield window, response

    def _start(self, window: Window) -> tuple[Window, Future[requests.Response]]:
        answer: Future[requests.Response] = Future()

        def fetch() -> None:
            try:
                answer.set_result(self.fetch(window))
            except BaseException as error:  # noqa: BLE001 - raised again where the answer is awaited
                answer.set_exception(error)

        # A pool's threads would be waited for when the process is to end; these are not.
        threading.Thread(target=fetch, daemon=True).start()
        return window, answer

    def parse_body(self, response: requests.Response) -> Any:  # noqa: ANN401 - any JSON
        """Parse a body.

        Args:
            response: The API's answer.

        Raises:
            RetriableAPIError: If it is not JSON.
        """
        try:
            return _DECODER.decode(response.content)
        except _NOT_JSON:
            msg = f"{self._request_name(response)} was answered with something that is not JSON; check 'api_url'."
            raise RetriableAPIError(msg, response) from None

    def _tried(self, send: Callable[[Window], _Answer], window: Window) -> _Answer:
        # The SDK's decorator lets `backoff` log whole exceptions, and they show the query: what the user searches for.
        try:
            for tries in range(1, MAX_TRIES):
                try:
                    return send(window)
                except (RetriableAPIError, *_PASSING) as error:
                    reason = str(error) if isinstance(error, RetriableAPIError) else _cause(error)
                wait = min(_FIRST_WAIT * 2 ** (tries - 1), _LONGEST_WAIT) + random.random()  # noqa: S311 - no secret
                self.logger.warning("Try %d of %d failed, the next is in %.1f s: %s", tries, MAX_TRIES, wait, reason)
                time.sleep(wait)
            return send(window)
        except requests.RequestException as error:
            msg = (
                f"GET {self.get_url(None)} failed {MAX_TRIES} times ({_cause(error)});"
                " check the network and 'api_url', or raise 'request_timeout'."
            )
            raise FatalAPIError(msg) from None

    def _send(self, window: Window) -> requests.Response:
        pace, signer = self.connection.pace, self.authenticator
        renewed = False
        for _ in range(MAX_REFUSALS):
            request = self._prepare(window)
            response = self._paced(request)
            status = response.status_code
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                pace.refused(_retry_after(response))
                continue
            pace.release(remaining=response.headers.get("X-RateLimit-Remaining"))
            if status == HTTPStatus.UNAUTHORIZED and isinstance(signer, ClientCredentialsAuthenticator) and not renewed:
                renewed = signer.discard(request.headers.get("Authorization"))
                continue
            self.validate_response(response)
            return response
        msg = (
            f"{self._request_name(response)} was refused {MAX_REFUSALS} times in a row for the rate limit;"
            " lower 'requests_per_minute', or stop other clients of this account."
        )
        raise FatalAPIError(msg)

    def _prepare(self, window: Window) -> requests.PreparedRequest:
        """Build and sign a request; a retry signs anew, so it never carries a token that was renewed since."""
        request = self.get_http_request(page=PageContext(stream_context=None, next_page_token=window))
        return self.build_prepared_request(
            method=request.method, url=request.url, params=request.encode_params(), headers=request.headers
        )

    def _paced(self, request: requests.PreparedRequest) -> requests.Response:
        pace = self.connection.pace
        pace.acquire()
        self.connection.requests += 1
        sent = time.monotonic()
        try:
            response = self.requests_session.send(
                request, timeout=self.timeout, allow_redirects=self.allow_redirects, **self._environment
            )
        except BaseException:
            pace.release()
            raise
        self.connection.latency = time.monotonic() - sent
        return response

    @cached_property
    def _environment(self) -> Mapping[str, Any]:
        """What the environment says of proxies and certificates, the same for all requests of a process."""
        return self.requests_session.merge_environment_settings(self.url_base, {}, None, None, None)

    # What an answer means

    @override
    def validate_response(self, response: requests.Response) -> None:
        status = response.status_code
        if status == HTTPStatus.OK:
            return
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise RetriableAPIError(self.response_error_message(response), response)
        if status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
            raise RefusedFilterError(self.response_error_message(response))
        raise FatalAPIError(self.response_error_message(response))

    @override
    def response_error_message(self, response: requests.Response) -> str:  # noqa: PLR0911 - a sentence for each case
        status, code = response.status_code, _error_code(response)
        what = f"{self._request_name(response)} was answered {status}"
        if status == HTTPStatus.UNAUTHORIZED:
            return (
                f"{what}: the token was refused; get a new one for 'access_token' (a personal token dies when its user"
                " logs out, and after 6 months), or check 'client_id' and 'client_secret'."
            )
        if status == HTTPStatus.FORBIDDEN:
            return f"{what}: the token's user may not read this; use a token of a user who can see the processes."
        if status == HTTPStatus.NOT_FOUND and code == "ENDPOINT_NOT_FOUND":
            return f"{what} ({code}): there is no such endpoint; check 'api_url'."
        if status == HTTPStatus.NOT_FOUND:
            return (
                f"{what}{f' ({code})' if code else ''}: there is no such organization for this token; check 'org_id'."
            )
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            fields = ", ".join(f"'{self.name}.{field}'" for field in _refused_fields(response))
            return f"{what}: the API refuses a filter; check {fields or f'the filters under {self.name!r}'}."
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return f"{what}: the API has a problem; if this goes on, ask Tallyfy's support."
        if status in range(HTTPStatus.MULTIPLE_CHOICES, HTTPStatus.BAD_REQUEST):
            return f"{what}, a redirect, which is not followed so that the token stays safe; check 'api_url'."
        return f"{what}{f' ({code})' if code else ''}, which is not expected; check 'api_url' and the filters."

    def _request_name(self, response: requests.Response) -> str:
        """Name a request by its path: the query may hold what the user searches for."""
        return f"GET {urlsplit(response.url).path or self.path}"


def server_time(response: requests.Response) -> str | None:
    """Return the server's clock when it can at the earliest have read the list, in the form the tap writes date-times.

    Args:
        response: An answer; its `Date` header is when the server sent it.
    """
    try:
        moment = parsedate_to_datetime(response.headers["Date"]).astimezone(timezone.utc)
        moment -= timedelta(seconds=-(-response.elapsed.total_seconds() // 1))
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds to wait by `Retry-After`, a number or an HTTP-date (RFC 9110), or None."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        # Measured on the server's clock where it tells it: this machine's may be wrong.
        now = parsedate_to_datetime(response.headers["Date"]) if "Date" in response.headers else None
        return max((until - (now or datetime.now(timezone.utc))).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _error_body(response: requests.Response) -> dict[str, Any]:
    try:
        body = _DECODER.decode(response.content)
    except _NOT_JSON:
        return {}
    return body if isinstance(body, dict) else {}


def _error_code(response: requests.Response) -> str | None:
    """Return the API's code for an error, `{"code"}` or `{"error": {"code"}}`, if it is one and not a sentence."""
    body = _error_body(response)
    nested = body.get("error")
    code = body.get("code") or (nested.get("code") if isinstance(nested, dict) else None)
    return code if isinstance(code, str) and code.replace("_", "").isalnum() and code.isupper() else None


def _refused_fields(response: requests.Response) -> list[str]:
    errors = _error_body(response).get("errors")
    return [field for field in errors if field.replace("_", "").isalnum()] if isinstance(errors, dict) else []


def _cause(error: BaseException | None) -> str:
    """Name what went wrong with a connection, without the URL and the query that the exception's own text shows."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not trusted"
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError)):
        return "the answer was cut off"
    return "the connection failed"
