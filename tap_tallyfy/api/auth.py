"""Signs requests: with a token given, or with one fetched for an application and renewed in time."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import requests
from requests.auth import AuthBase
from typing_extensions import override

from tap_tallyfy.api.errors import ConnectionFailedError, LoginError, PassingError, is_passing
from tap_tallyfy.api.response import Response
from tap_tallyfy.api.retry import retry_after
from tap_tallyfy.api.secrets import Secrets
from tap_tallyfy.api.transport import TooLargeError, Transport

#: Seconds an application token lives where the response does not say (vendor docs: 7 days).
_DEFAULT_LIFETIME: Final = 604_800
#: A token is renewed when this share of its life is left, so that none expires while a request is under way.
_RENEWAL_SHARE: Final = 0.05
_NOT_A_TOKEN: Final = "The token URL answered without a token; check 'token_url'."  # noqa: S105 - no password


class PersonalToken(AuthBase):
    """Signs requests with a token that the user gave; safe to use from several threads, as all classes here are."""

    def __init__(self, token: str) -> None:
        self._authorization = f"Bearer {token}"

    @override
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._authorization
        return request

    def can_renew(self, refused: Response) -> bool:  # noqa: ARG002 - as `ApplicationToken` has it
        """Return False: only the user can make another token."""
        return False


class ApplicationToken(AuthBase):
    """OAuth 2.0 client credentials; one token for all threads, fetched when the first request is signed."""

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        token_url: str,
        *,
        timeout: float,
        secrets: Secrets,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # The form the vendor's docs give for an application token.
        self._form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
            "scope": "*",
        }
        self._url = token_url
        self._transport = Transport(token_url, timeout=timeout)
        self._secrets = secrets
        self._clock = clock
        self._lock = threading.Lock()
        self._token: str | None = None
        self._renew_at = -math.inf

    @override
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return the request with a token, fetched if there is none or it is about to expire.

        Raises:
            LoginError: If there is none to be had.
            PassingError: If there may be one at another try.
        """
        with self._lock:
            if self._token is None or self._clock() >= self._renew_at:
                self._token, lifetime = self._fetched()
                self._secrets.add(self._token)
                self._renew_at = self._clock() + lifetime * (1 - _RENEWAL_SHARE)
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def can_renew(self, refused: Response) -> bool:
        """Return True; the token that was refused is forgotten, unless another thread has renewed it since."""
        with self._lock:
            if refused.authorization == f"Bearer {self._token}":
                self._token = None
        return True

    def _fetched(self) -> tuple[str, float]:
        """Return a token, and the seconds it lives."""
        request = requests.Request("POST", self._url, data=self._form, headers={"Accept": "application/json"})
        try:
            response = self._transport.send(self._transport.prepare(request, lambda unsigned: unsigned))
        except ConnectionFailedError as error:
            raise PassingError(
                f"The token URL could not be reached ({error}); check 'token_url' and the network."
            ) from None
        except TooLargeError:
            raise LoginError(_NOT_A_TOKEN) from None
        status = response.status
        if is_passing(status):
            raise PassingError(
                f"The token URL answered {status}; if this persists, check 'token_url' or ask Tallyfy's support.",
                status,
                retry_after(response.headers),
            )
        if status != HTTPStatus.OK:
            raise LoginError(
                f"The token URL answered {status}; check 'client_id', 'client_secret' and 'token_url'.", status
            )
        return _token_in(response)


def _token_in(response: Response) -> tuple[str, float]:
    """Return the token that a response holds, and the seconds it lives."""
    try:
        body: Mapping[str, Any] = json.loads(response.body)
        token, lifetime = body["access_token"], float(body.get("expires_in") or _DEFAULT_LIFETIME)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise LoginError(_NOT_A_TOKEN) from None
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise LoginError(_NOT_A_TOKEN)
    return token, lifetime if 0 < lifetime < math.inf else _DEFAULT_LIFETIME


def auth_for(config: Mapping[str, Any], secrets: Secrets) -> PersonalToken | ApplicationToken:
    """Return the object that signs requests under these settings."""
    if token := config.get("access_token"):
        return PersonalToken(token.strip())
    return ApplicationToken(
        config["client_id"],
        config["client_secret"],
        config["token_url"],
        timeout=config["request_timeout"],
        secrets=secrets,
    )
