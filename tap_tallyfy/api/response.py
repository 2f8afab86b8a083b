"""A response of the API, or of the token URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Response:
    """A response, read to its end.

    Attributes:
        status: Its status code.
        headers: Its headers, by name in any case.
        body: Its body, unpacked.
        path: The path of the URL that was asked; the query may hold what the user searches for.
        authorization: The `Authorization` header that was sent, or `""`.
        seconds: Seconds from sending the request until the headers had come.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    path: str
    authorization: str = ""
    seconds: float = 0.0
