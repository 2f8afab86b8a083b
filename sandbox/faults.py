"""Each thing that can go wrong with one answer, by name. A further fault is one more line of INSTEAD or SPOILED.

Put `Fault(NAME, ...)` into `Sandbox.faults` (one is taken for each list request), or return it from
`Sandbox.fault_for`, which is asked about every list request.

| fault | what the client gets |
|---|---|
| `status` | an error with status `value`; `body` and `retry_after` if they are given |
| `rate_limit` | 429, with `retry_after` if it is given |
| `html` | 200 with a web page that asks to sign in |
| `body` | 200 with `value` as its body |
| `reset` | the connection is reset without an answer |
| `cut` | the right answer, whose body stops half way |
| `empty` | the right `meta`, with `data: []` |
| `error_true` | 200 and the right `meta`, with `"error": true` and `data: []` |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from sandbox.wire import Reply, error, too_many

if TYPE_CHECKING:
    from collections.abc import Callable

_PAGE = b"<!DOCTYPE html><html><body>Sign in to continue</body></html>"


@dataclass(frozen=True)
class Fault:
    """One answer that goes wrong.

    Attributes:
        kind: A name of the table above.
        value: A status or a body, as the table says.
        body: The body of a "status", else an error body in JSON.
        retry_after: The Retry-After header of a "status" or "rate_limit", None for no such header.
    """

    kind: str
    value: int | bytes = 0
    body: bytes | None = None
    retry_after: str | None = None

    def __post_init__(self) -> None:
        """Refuse a kind that does not exist (ValueError)."""
        if self.kind not in INSTEAD and self.kind not in SPOILED:
            raise ValueError(f"{self.kind!r} is not a fault")


def _status(fault: Fault) -> Reply:
    reply = error(int(fault.value), "MADE_TO_FAIL", "The sandbox was told to fail.")
    if fault.body is not None:
        reply.body = fault.body
    if fault.retry_after is not None:
        reply.headers["Retry-After"] = fault.retry_after
    return reply


INSTEAD: dict[str, Callable[[Fault], Reply]] = {
    "status": _status,
    "rate_limit": lambda fault: too_many(fault.retry_after),
    "html": lambda _: Reply(200, _PAGE, content_type="text/html"),
    "body": lambda fault: Reply(200, fault.value),
    "reset": lambda _: Reply(0, b"", delivery="reset"),
}
"""Faults that take the place of the answer."""


def _with(**fields: Any) -> Callable[[Reply], None]:
    """The answer with these members of its body."""

    def spoil(reply: Reply) -> None:
        reply.body = {**msgspec.json.decode(reply.body), **fields}

    return spoil


def _cut(reply: Reply) -> None:
    reply.delivery = "cut"


SPOILED: dict[str, Callable[[Reply], None]] = {
    "cut": _cut,
    "empty": _with(data=[]),
    "error_true": _with(data=[], error=True),
}
"""Faults that spoil the answer as it would have been; of a refusal nothing is left to spoil."""
