"""Sends requests to the API: paces them, signs them, and tries again what may pass."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import Future
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_tallyfy.api.auth import ClientCredentialsAuthenticator, authenticator_for
from tap_tallyfy.api.errors import cause
from tap_tallyfy.api.rate_limit import Pace

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping

    from singer_sdk.helpers.types import Auth

#: How often one request is tried when the connection or the server fails.
MAX_TRIES: Final = 6
#: How often one request may be refused for the rate limit before the sync fails: waits included, that is an hour or so.
MAX_REFUSALS: Final = 20

_Answer = TypeVar("_Answer")

_FIRST_WAIT: Final = 0.5
_PASSING: Final = (
    requests.Timeout,
    requests.ConnectionError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)


class Client:
    """What all streams of a tap share: one session, one token, one pace. Safe to use from several threads.

    Attributes:
        has_answered: Whether the API has let this token read any list.
        pace: The one limiter of the process.
    """

    def __init__(self, config: Mapping[str, Any], log: logging.Logger) -> None:
        """Connect to nothing yet.

        Args:
            config: The tap's settings.
            log: Where to say what is tried again, and what waits.
        """
        self.has_answered = False
        self.pace = Pace(config.get("requests_per_minute"), log=log)
        self._config = config
        self._log = log

    @cached_property
    def authenticator(self) -> Auth:
        """What signs requests."""
        return authenticator_for(self._config)

    @cached_property
    def session(self) -> requests.Session:
        """The session, with a connection for every request that may be under way at once."""
        session = requests.Session()
        session.auth = self.authenticator  # so that no .netrc is consulted
        # Twice: after a change of plan, pages that are no longer wanted may still be under way.
        adapter = HTTPAdapter(pool_maxsize=2 * self._config["concurrency"] + 1)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session

    def get(self, request: requests.Request, understand: Callable[[requests.Response], _Answer]) -> _Answer:
        """Return what the API's answer to a request means.

        Args:
            request: The request; a retry signs it anew, so it never carries a token that was renewed since.
            understand: Makes something of an answer; raises `RetriableAPIError` if another try may help.

        Raises:
            FatalAPIError: If the API refuses, or does not answer after all tries.
            RetriableAPIError: If no answer could be understood after all tries.
        """
        # The SDK's decorator lets `backoff` log whole exceptions, and they show the query: what the user searches for.
        for tries in range(1, MAX_TRIES):
            try:
                return understand(self._send(request))
            except (RetriableAPIError, *_PASSING) as error:
                reason = str(error) if isinstance(error, RetriableAPIError) else cause(error)
            wait = _FIRST_WAIT * 2 ** (tries - 1) + random.random()  # noqa: S311 - no secret
            self._log.warning(
                "Attempt %d of %d failed, the next one follows in %.1f s: %s", tries, MAX_TRIES, wait, reason
            )
            time.sleep(wait)
        try:
            return understand(self._send(request))
        except requests.RequestException as error:
            path, host = _path(error.request), urlsplit(str(self._config["api_url"])).netloc
            msg = (
                f"GET {path} at {host} failed {MAX_TRIES} times ({cause(error)});"
                " check the network and 'api_url', or raise 'request_timeout'."
            )
            raise FatalAPIError(msg) from None

    def ask(self, request: requests.Request, understand: Callable[[requests.Response], _Answer]) -> Future[_Answer]:
        """Do what `get` does in a thread of its own.

        Args:
            request: As for `get`.
            understand: The same.
        """
        future: Future[_Answer] = Future()

        def get() -> None:
            try:
                future.set_result(self.get(request, understand))
            except BaseException as error:  # noqa: BLE001 - raised again where the answer is awaited
                future.set_exception(error)

        # A pool's threads would be waited for when the process is to end; these are not.
        threading.Thread(target=get, daemon=True).start()
        return future

    def _send(self, request: requests.Request) -> requests.Response:
        renewed = False
        refusals = 0
        while refusals < MAX_REFUSALS:
            prepared = self._signed(request)
            response = self._paced(prepared)
            if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                self.pace.refused(_retry_after(response))
                refusals += 1
                continue
            self.pace.release(remaining=response.headers.get("X-RateLimit-Remaining"))
            signer = self.authenticator
            if (
                response.status_code == HTTPStatus.UNAUTHORIZED
                and isinstance(signer, ClientCredentialsAuthenticator)
                and not renewed
            ):
                signer.discard(prepared.headers.get("Authorization"))
                renewed = True
                continue
            return response
        msg = (
            f"GET {_path(request)} exceeded the rate limit {MAX_REFUSALS} times in a row;"
            " lower 'requests_per_minute', or stop other clients of this account."
        )
        raise FatalAPIError(msg)

    def _signed(self, request: requests.Request) -> requests.PreparedRequest:
        return self.session.prepare_request(request)

    def _paced(self, request: requests.PreparedRequest) -> requests.Response:
        self.pace.acquire()
        try:
            # No redirect is followed: secrets go to `api_url` and nowhere else, whatever an answer says.
            return self.session.send(
                request, timeout=self._config["request_timeout"], allow_redirects=False, **self._environment
            )
        except BaseException:
            self.pace.release()
            raise

    @cached_property
    def _environment(self) -> Mapping[str, Any]:
        """What the environment says of proxies and certificates, the same for all requests of a process."""
        return self.session.merge_environment_settings(self._config["api_url"], {}, None, None, None)


def _path(request: requests.Request | requests.PreparedRequest | None) -> str:
    """Name a request by its path: the query may hold what the user searches for."""
    return urlsplit(str(request.url)).path if request else "request"


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds to wait by `Retry-After`, a number or an HTTP-date (RFC 9110), or None.

    Both count in whole seconds, so none means less than one.
    """
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return max(float(value), 1.0)
    try:
        until = parsedate_to_datetime(value)
        # Measured on the server's clock where it tells it: this machine's may be wrong.
        now = parsedate_to_datetime(response.headers["Date"]) if "Date" in response.headers else None
        return max((until - (now or datetime.now(timezone.utc))).total_seconds(), 1.0)
    except (ValueError, TypeError):
        return None
