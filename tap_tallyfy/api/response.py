"""A response of the API, or of the token URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Response:
    """A response, read to its end."""

    status: int  #: Its status code.
    headers: Mapping[str, str]  #: Its headers, by name in any case.
    body: bytes  #: Its body, unpacked.
    path: str  #: The path of the URL that was asked; the query may hold words of the user's.
    authorization: str = ""  #: The `Authorization` header that was sent, or `""`.
    seconds: float = 0.0  #: Seconds from sending the request until the headers had come.
