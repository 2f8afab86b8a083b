"""Sends requests to the API: paces them, signs them, and tries again where that may help."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from http import HTTPStatus
from itertools import chain
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias, TypeVar
from urllib.parse import urlsplit

import requests
from singer_sdk import metrics

from tap_tallyfy.api.auth import auth_for
from tap_tallyfy.api.errors import ConnectionFailedError, ListFailedError, PassingError, ResponseTooLargeError
from tap_tallyfy.api.rate_limit import RateLimiter
from tap_tallyfy.api.response import Response
from tap_tallyfy.api.retry import LONGEST_WAIT, Retry, retry_after, spoken
from tap_tallyfy.api.secrets import Secrets
from tap_tallyfy.api.transport import MAX_BODY, TooLargeError, Transport

#: Another request, and a parser that never returns, as the response is but a hint at the cause.
Detour: TypeAlias = tuple[requests.Request, Callable[[Response], NoReturn]]

#: How often one request may be rejected for the rate limit before its list counts as failed.
MAX_REJECTIONS: Final = 20
#: How often the API itself has to fail before a detour is asked for.
_FAILURES: Final = 2

_Parsed = TypeVar("_Parsed")


class Account(NamedTuple):
    """Where a request is booked."""

    stream: str  #: The stream whose list it is for.
    endpoint: str  #: The path of that list, as the contract writes it.


class Client:
    """Connections, a signature and a rate limiter for all streams of a tap; safe to use from several threads."""

    def __init__(
        self,
        config: Mapping[str, Any],
        log: logging.Logger,
        *,
        secrets: Secrets | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.has_answered = False  #: Whether the API has let this token read any list.
        self.limiter = RateLimiter(config.get("requests_per_minute"), log=log)  #: The one limiter of the process.
        self.secrets = secrets or Secrets(config)  #: Those of the settings, and tokens that were fetched.
        self._host = urlsplit(config["api_url"]).netloc
        self._log = log
        self._retry = Retry()
        self._sleep = sleep or time.sleep
        self._auth = auth_for(config, self.secrets)
        self._transport = Transport(
            config["api_url"],
            timeout=config["request_timeout"],
            # Twice: after a change of plan, pages that are no longer wanted may still be under way.
            connections=2 * config["concurrency"] + 1,
        )
        self._counters: dict[str, metrics.Counter] = {}
        self._counting = threading.Lock()

    def get(
        self,
        request: requests.Request,
        parse: Callable[[Response], _Parsed],
        account: Account,
        *,
        detours: Sequence[Detour] = (),
    ) -> _Parsed:
        """Return the parsed response to a request, which is signed anew for each try.

        Args:
            parse: Parses the response; raises `PassingError` if another try may help.
            detours: Requests to send instead, once each, when the API itself has failed twice.

        Raises:
            APIError: If the API refuses, or does not answer after all tries.
        """
        detours_left, failures = iter(detours), 0
        waits = chain(self._retry.waits(), [None])
        for number, wait in enumerate(waits, start=1):
            asked, parse_it = next(detours_left, (request, parse)) if failures >= _FAILURES else (request, parse)
            try:
                parsed = parse_it(self._send(asked, account))
            except PassingError as error:
                asked_for = error.retry_after or 0.0
                if wait is None or asked_for > LONGEST_WAIT:
                    raise self._given_up(error, request) from None
                # A status of success is one of a response that makes no sense.
                failures += error.status == HTTPStatus.OK or (error.status or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR
                pause, tries = max(wait, asked_for), self._retry.tries
                self._log.warning(
                    "Attempt %d of %d failed, the next one follows in %.1f s: %s", number, tries, pause, error
                )
            else:
                self.has_answered = True
                return parsed
            self._sleep(pause)
        raise AssertionError  # a try that no wait follows returns or raises

    def submit(
        self, request: requests.Request, parse: Callable[[Response], _Parsed], account: Account
    ) -> Future[_Parsed]:
        """Start `get` in a thread of its own."""
        future: Future[_Parsed] = Future()

        def get() -> None:
            try:
                future.set_result(self.get(request, parse, account))
            except BaseException as error:  # noqa: BLE001 - raised again where the result is wanted
                future.set_exception(error)

        try:
            # A pool's threads would be waited for when the process is to end; these are not.
            threading.Thread(target=get, daemon=True).start()
        except RuntimeError:  # this machine has no thread left
            get()
        return future

    def log_request_count(self, stream: str) -> None:
        """Log how many requests a stream has sent since this was called last, as the SDK's metric."""
        with self._counting:
            if counter := self._counters.pop(stream, None):
                counter.exit()

    def close(self) -> None:
        """Close all connections that nobody uses."""
        self._transport.close()

    def _send(self, request: requests.Request, account: Account) -> Response:
        """Return a response that is neither a rejection for the rate limit nor one to a token that has expired."""
        renewed = False
        for _ in range(MAX_REJECTIONS):
            response = self._paced(request, account)
            if response.status == HTTPStatus.UNAUTHORIZED and not renewed and self._auth.can_renew(response):
                renewed = True
                response = self._paced(request, account)
            if response.status != HTTPStatus.TOO_MANY_REQUESTS:
                return response
            wait = retry_after(response.headers) or 0.0
            if wait > LONGEST_WAIT:
                raise _too_long(request, response.status, wait)
        raise ListFailedError(
            f"{_named(request)} exceeded the rate limit {MAX_REJECTIONS} times in a row; lower 'requests_per_minute',"
            " or stop other clients of this account.",
            HTTPStatus.TOO_MANY_REQUESTS,
        )

    def _paced(self, request: requests.Request, account: Account) -> Response:
        """Send a request when the rate limit allows, and note how it was answered."""
        signed = self._transport.prepare(request, self._auth)
        self.limiter.acquire()
        began, response = time.monotonic(), None
        try:
            response = self._transport.send(signed)
        except TooLargeError:
            raise ResponseTooLargeError(
                f"{_named(request)} sent more than {MAX_BODY >> 20} MiB; lower 'page_size', or ask for less related"
                f" data under '{account.stream}.with'."
            ) from None
        finally:
            self._note(account, response, time.monotonic() - began)
        return response

    def _given_up(self, error: PassingError, request: requests.Request) -> ListFailedError:
        """Return the error of a list for whose request no further try is made."""
        if isinstance(error, ConnectionFailedError):
            return ListFailedError(
                f"{_named(request)} at {self._host} failed {self._retry.tries} times ({error}); check the network and"
                " 'api_url', or raise 'request_timeout'."
            )
        if (error.retry_after or 0.0) > LONGEST_WAIT:
            return _too_long(request, error.status, error.retry_after or 0.0)
        return ListFailedError(str(error), error.status)

    def _note(self, account: Account, response: Response | None, seconds: float) -> None:
        """Tell the limiter and the metrics of a response, or of none."""
        rejected = response is not None and response.status == HTTPStatus.TOO_MANY_REQUESTS
        if response and rejected:
            self.limiter.rejected(retry_after(response.headers))
        else:
            self.limiter.release(remaining=response.headers.get("X-RateLimit-Remaining") if response else None)
        succeeded = response is not None and response.status < HTTPStatus.BAD_REQUEST
        tags: dict[str, Any] = {
            metrics.Tag.STREAM: account.stream,
            metrics.Tag.ENDPOINT: account.endpoint,
            metrics.Tag.HTTP_STATUS_CODE: response.status if response else None,
            metrics.Tag.STATUS: metrics.Status.SUCCEEDED if succeeded else metrics.Status.FAILED,
        }
        metrics.log(
            metrics.get_metrics_logger(),
            metrics.Point("timer", metrics.Metric.HTTP_REQUEST_DURATION, round(seconds, 6), tags),
        )
        with self._counting:
            if account.stream not in self._counters:
                self._counters[account.stream] = metrics.http_request_counter(*account)
            self._counters[account.stream].increment()


def _too_long(request: requests.Request, status: int | None, wait: float) -> ListFailedError:
    return ListFailedError(
        f"{_named(request)} returned {status}, and the server asks to wait {spoken(wait)} before the next request"
        " (Retry-After), which is longer than the hour that the tap waits at most; run the sync again then.",
        status,
    )


def _named(request: requests.Request) -> str:
    """Name a request by its path: the query may hold words of the user's."""
    return f"GET {urlsplit(str(request.url)).path}"
