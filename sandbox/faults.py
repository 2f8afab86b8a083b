"""Each thing that can go wrong with one answer, by name. A further fault is one more line of INSTEAD or SPOILED.

Put `Fault(NAME, ...)` into `Sandbox.faults` (one is taken for each list request), or return it from
`Sandbox.fault_for`, which is asked about every list request.

| fault | what the client gets |
|---|---|
| `status` | an error with status `value`; `body` and `retry_after` if they are given |
| `rate_limit` | 429, with `retry_after` if it is given |
| `html` | 200 with a web page that asks to sign in |
| `body` | 200 with `value` as its body |
| `echo` | status `value`, and the token of the request as code, as a field's name and in the message |
| `bomb` | 200 with `value` bytes of JSON white space before its end, sent as gzip of a thousandth of that size |
| `reset` | the connection is reset without an answer |
| `cut` | the right answer, whose body stops half way |
| `drip` | the right answer, one byte of the body each `value` seconds |
| `drip_headers` | the right answer, one byte each `value` seconds from the first header on |
| `empty` | the right `meta`, with `data: []` |
| `empty_object` | the right `meta`, with `data: {}` |
| `no_data` | the right `meta`, without `data` |
| `null_data` | the right `meta`, with `data: null` |
| `error_true` | 200 and the right `meta`, with `"error": true` and `data: []` |
| `error_and_rows` | 200 and the right page, with `"error": true` beside it |
| `data_object` | the right page, with the rows in an object with number keys |
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from sandbox.wire import Reply, error, too_many

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.wire import Request

_PAGE = b"<!DOCTYPE html><html><body>Sign in to continue</body></html>"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Fault:
    """One answer that goes wrong.

    Attributes:
        kind: A name of the table above.
        value: A status, a body, a number of bytes or of seconds, as the table says; 0 for the kind's own.
        body: The body of a "status", else an error body in JSON.
        retry_after: The Retry-After header of a "status" or "rate_limit", None for no such header.
    """

    kind: str
    value: float | bytes = 0
    body: bytes | None = None
    retry_after: str | None = None

    def __post_init__(self) -> None:
        """Refuse a kind that does not exist (ValueError)."""
        if self.kind not in INSTEAD and self.kind not in SPOILED:
            raise ValueError(f"{self.kind!r} is not a fault")


def _status(fault: Fault, _: Request) -> Reply:
    reply = error(int(fault.value), "MADE_TO_FAIL", "The sandbox was told to fail.")
    if fault.body is not None:
        reply.body = fault.body
    if fault.retry_after is not None:
        reply.headers["Retry-After"] = fault.retry_after
    return reply


def _echo(fault: Fault, request: Request) -> Reply:
    token = request.header("authorization").rpartition(" ")[2]
    body = {"error": True, "code": token, "message": f"{token} is wrong", "errors": {token: [f"{token} is invalid."]}}
    return Reply(int(fault.value or 422), body)


def _bomb(fault: Fault, _: Request) -> Reply:
    size = int(fault.value or 800_000_000)
    zipped, space = zlib.compressobj(9, zlib.DEFLATED, 31), b" " * _CHUNK
    parts = [zipped.compress(b'{"data":[]')]
    parts += [zipped.compress(space) for _ in range(size // _CHUNK)]
    parts += [zipped.compress(b"}"), zipped.flush()]
    return Reply(200, b"".join(parts), {"Content-Encoding": "gzip"})


INSTEAD: dict[str, Callable[[Fault, Request], Reply]] = {
    "status": _status,
    "rate_limit": lambda fault, _: too_many(fault.retry_after),
    "html": lambda *_: Reply(200, _PAGE, content_type="text/html"),
    "body": lambda fault, _: Reply(200, fault.value),
    "echo": _echo,
    "bomb": _bomb,
    "reset": lambda *_: Reply(0, b"", delivery="reset"),
}
"""Faults that take the place of the answer."""


def _with(**fields: Any) -> Callable[[Fault, Reply], None]:
    """The answer with these members of its body."""

    def spoil(_: Fault, reply: Reply) -> None:
        reply.body = {**msgspec.json.decode(reply.body), **fields}

    return spoil


def _delivered(how: str, pause: float = 0) -> Callable[[Fault, Reply], None]:
    def spoil(fault: Fault, reply: Reply) -> None:
        reply.delivery, reply.pause = how, float(fault.value or pause)

    return spoil


def _without_data(_: Fault, reply: Reply) -> None:
    reply.body = {name: value for name, value in msgspec.json.decode(reply.body).items() if name != "data"}


def _data_object(_: Fault, reply: Reply) -> None:
    body = msgspec.json.decode(reply.body)
    reply.body = {**body, "data": {str(number): row for number, row in enumerate(body["data"], 1)}}


SPOILED: dict[str, Callable[[Fault, Reply], None]] = {
    "cut": _delivered("cut"),
    "drip": _delivered("drip", 0.5),
    "drip_headers": _delivered("drip_headers", 0.5),
    "empty": _with(data=[]),
    "empty_object": _with(data={}),
    "null_data": _with(data=None),
    "no_data": _without_data,
    "error_true": _with(data=[], error=True),
    "error_and_rows": _with(error=True),
    "data_object": _data_object,
}
"""Faults that spoil the answer as it would have been; of a refusal nothing is left to spoil."""
