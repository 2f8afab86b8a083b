"""Signs requests: with a token given, or with one fetched for an application and renewed in time."""

from __future__ import annotations

import math
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import requests
from singer_sdk.authenticators import BearerTokenAuthenticator, OAuthAuthenticator
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Seconds an application token lives where the answer does not say (vendor docs: 7 days).
_DEFAULT_LIFETIME: Final = 604_800
#: A token is renewed when this share of its life is left, so that none dies while a request is under way.
_RENEWAL_SHARE: Final = 0.05


class ClientCredentialsAuthenticator(OAuthAuthenticator):
    """OAuth 2.0 client credentials; one token for all threads."""

    def __init__(self, *, timeout: float, **kwargs: Any) -> None:
        """Prepare to fetch a token when the first request is signed.

        Args:
            timeout: Seconds to wait for the token's answer.
            **kwargs: `client_id`, `client_secret` and `auth_endpoint`, as the SDK takes them.
        """
        super().__init__(default_expiration=_DEFAULT_LIFETIME, **kwargs)
        self._timeout = timeout
        self._lock = threading.Lock()
        self._renew_at = 0.0

    @property
    @override
    def oauth_request_body(self) -> dict[str, Any]:
        """The form the vendor's docs give for an application token."""
        return {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "scope": "*",
        }

    @override
    def is_token_valid(self) -> bool:
        return self.access_token is not None and time.monotonic() < self._renew_at

    @override
    def authenticate_request(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        with self._lock:
            return super().authenticate_request(request)

    def discard(self, authorization: str | None) -> None:
        """Forget the token the API refused, so that the next request fetches another.

        Args:
            authorization: The `Authorization` header that was refused; if another thread has renewed it since, nothing
                is forgotten.
        """
        with self._lock:
            if authorization == f"Bearer {self.access_token}":
                self.access_token = None

    @override
    def update_access_token(self) -> None:
        """Fetch a token.

        Raises:
            FatalAPIError: If the token URL refuses the client or does not answer with a token.
            RetriableAPIError: If it may well answer the next time.
        """
        try:
            # No redirect is followed and no .netrc consulted: the secret goes to the token URL and nowhere else.
            response = requests.post(
                self.auth_endpoint,
                data=self.oauth_request_payload,
                headers={"Accept": "application/json"},
                timeout=self._timeout,
                allow_redirects=False,
                auth=lambda request: request,
            )
        except requests.RequestException as error:
            msg = f"The token URL could not be reached ({type(error).__name__}); check 'token_url' and the network."
            raise RetriableAPIError(msg) from None
        status = response.status_code
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            msg = f"The token URL answered {status}; if this persists, check 'token_url' or ask Tallyfy's support."
            raise RetriableAPIError(msg, response)
        if status != HTTPStatus.OK:
            msg = f"The token URL answered {status}; check 'client_id', 'client_secret' and 'token_url'."
            raise FatalAPIError(msg)
        self._keep(response)

    def _keep(self, response: requests.Response) -> None:
        try:
            answer: Mapping[str, Any] = response.json()
            token, lifetime = answer["access_token"], float(answer.get("expires_in") or _DEFAULT_LIFETIME)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            token, lifetime = None, 0.0
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            msg = "The token URL answered without a token; check 'token_url'."
            raise FatalAPIError(msg)
        self.access_token = token
        lifetime = lifetime if 0 < lifetime < math.inf else _DEFAULT_LIFETIME
        self._renew_at = time.monotonic() + lifetime * (1 - _RENEWAL_SHARE)


def authenticator_for(config: Mapping[str, Any]) -> BearerTokenAuthenticator | ClientCredentialsAuthenticator:
    """Return what signs requests under these settings.

    Args:
        config: The tap's settings, validated.
    """
    if token := config.get("access_token"):
        return BearerTokenAuthenticator(token=token.strip())
    return ClientCredentialsAuthenticator(
        client_id=config["client_id"],
        client_secret=config["client_secret"],
        auth_endpoint=config["token_url"],
        timeout=config["request_timeout"],
    )
