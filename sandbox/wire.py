"""One exchange with the API: the request as it came, and the reply as it leaves."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """One request the sandbox received.

    Its status is 0 until it is answered, and stays 0 if it was reset; `at` is when it came, by `time.monotonic`.
    """

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 0
    at: float = field(default_factory=time.monotonic)

    def header(self, name: str) -> str:
        """The value of a header, whatever the case of its name; "" for none."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")


@dataclass
class Reply:
    """What goes back over the wire.

    Attributes:
        body: Bytes, or anything that JSON can write.
        delivery: "whole", "cut" in the middle of the body, or "reset": the connection is, without an answer.
    """

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    delivery: str = "whole"


def error(status: int, code: str, message: str) -> Reply:
    """An error in the form of the API."""
    return Reply(status, {"error": True, "message": message, "code": code})


def refusal(name: str) -> Reply:
    """The reply to a parameter with a value that the API does not take."""
    return Reply(422, {"error": True, "errors": {name: [f"The selected {name} is invalid."]}})


def not_found() -> Reply:
    """The reply to a path that the API does not have."""
    return error(404, "ENDPOINT_NOT_FOUND", "The requested endpoint does not exist.")


def no_resource() -> Reply:
    """The reply to the ID of something that does not exist."""
    return error(404, "RESOURCE_NOT_FOUND", "The requested resource was not found.")


def forbidden() -> Reply:
    """The reply to a token without the right to read a list."""
    return error(403, "FORBIDDEN", "You are not allowed to do this.")


def too_many(retry_after: str | None) -> Reply:
    """The reply to a request over the limit."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Reply(429, {"message": "Too many requests.", "code": "RATE_LIMIT_EXCEEDED"}, headers)
