"""The tokens that let a client in."""

from __future__ import annotations

import secrets
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from sandbox.wire import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sandbox.clock import Clock


class Tokens:
    """A personal token, and those issued for client credentials."""

    def __init__(self, personal: str, client: tuple[str, str], clock: Clock) -> None:
        """Accept the personal token, and issue others to the client (its ID and secret)."""
        self._client, self._clock = client, clock
        self._lock = threading.Lock()
        self._expiries: dict[str, datetime | None] = {personal: None}

    def revoke(self) -> None:
        """Refuse every token issued so far."""
        with self._lock:
            self._expiries.clear()

    def issue(self, form: Mapping[str, str], lifetime: float) -> Reply:
        """The reply to a request for a token that is valid for so many seconds."""
        if form.get("grant_type") != "client_credentials":
            return Reply(400, {"error": "unsupported_grant_type"})
        if (form.get("client_id"), form.get("client_secret")) != self._client:
            return Reply(401, {"error": "invalid_client"})
        token = secrets.token_hex(20)
        with self._lock:
            self._expiries[token] = self._clock.now() + timedelta(seconds=lifetime)
        return Reply(200, {"token_type": "Bearer", "expires_in": lifetime, "access_token": token})

    def admit(self, header: str) -> bool:
        """Whether the value of an Authorization header lets its sender in."""
        scheme, _, token = header.partition(" ")
        with self._lock:
            if scheme.lower() != "bearer" or token not in self._expiries:
                return False
            expires = self._expiries[token]
        return expires is None or self._clock.now() < expires
