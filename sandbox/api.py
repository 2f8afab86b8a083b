"""What the API answers: tokens, the lists and their pages, as one version of it (a Behaviour) would."""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode

import msgspec

from sandbox.lists import LISTS, InvalidQueryError, ListEndpoint, rendered

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime

    from sandbox.behaviour import Behaviour, Fault, Request
    from sandbox.sandbox import Sandbox
    from sandbox.store import Collection

_WRONG_PER_PAGE = 10
_CAPITAL = {"tasks", "activity-feeds"}
_OFF_BY = 3
_MOST_BODIES = 64
_UNENFORCED_LIMIT = (600, 60.0)


@dataclass
class Reply:
    """What goes back over the wire; body is bytes, or anything JSON."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    cut: bool = False
    reset: bool = False


def error(status: int, code: str, message: str) -> Reply:
    """An error in the form of the API."""
    return Reply(status, {"error": True, "message": message, "code": code})


class RateLimit:
    """Counts requests in a fixed or a rolling window."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._accepted: deque[float] = deque()

    def take(self, requests: int, seconds: float, window: str) -> tuple[int, float]:
        """Count one request unless the limit is reached: how many are left, -1 if refused, and seconds to wait."""
        with self._lock:
            now = time.monotonic()
            rolling = window == "rolling"
            start = now - seconds if rolling else now - (now - self._started) % seconds
            while self._accepted and (self._accepted[0] < start or (rolling and self._accepted[0] == start)):
                self._accepted.popleft()
            left = requests - len(self._accepted) - 1
            if left >= 0:
                self._accepted.append(now)
                return left, 0.0
            counted_from = self._accepted[0] if rolling and self._accepted else start
            return -1, counted_from + seconds - now


class Api:
    """Answers the requests below /api and /oauth."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Answer from what the sandbox holds."""
        self._sandbox = sandbox
        self._lock = threading.Lock()
        self._limit = RateLimit()
        self._tokens: dict[str, datetime | None] = {sandbox.access_token: None}
        self._shuffle = Random(0)
        self._bodies: dict[Hashable, bytes] = {}

    def revoke_tokens(self) -> None:
        """Refuse every token issued so far."""
        with self._lock:
            self._tokens.clear()

    def answer(self, request: Request, body: bytes) -> Reply:
        """Answer one request."""
        if request.path == "/oauth/token" and request.method == "POST":
            return self._token(dict(parse_qsl(body.decode("utf-8", "replace"))))
        match [unquote(part) for part in request.path.split("/")]:
            case ["", "api", "organizations", org_id, name] if request.method == "GET" and name in LISTS:
                pass
            case _:
                return _no_endpoint()
        fault = self._next_fault()
        if fault is not None and fault.kind != "cut":
            return _faulty(fault)
        reply = self._refusal(request, org_id)
        if reply is not None:
            return reply
        reply, headers = self._limited()
        if reply is None and name in self._sandbox.behaviour.forbidden:
            reply = error(403, "FORBIDDEN", "You are not allowed to do this.")
        elif reply is None:
            reply = self._list(request, name)
            reply.cut = fault is not None
        reply.headers.update(headers)
        return reply

    def _refusal(self, request: Request, org_id: str) -> Reply | None:
        """What is wrong with a request whatever it asks for."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        if self._sandbox.behaviour.require_client_header and headers.get("x-tallyfy-client") != "APIClient":
            return _no_endpoint()
        if not self._is_authorized(headers.get("authorization", "")):
            return error(401, "UNAUTHENTICATED", "Unauthenticated.")
        if org_id != self._sandbox.org_id:
            return error(404, "RESOURCE_NOT_FOUND", "The requested resource was not found.")
        return None

    def _token(self, form: dict[str, str]) -> Reply:
        sandbox = self._sandbox
        if form.get("grant_type") != "client_credentials":
            return Reply(400, {"error": "unsupported_grant_type"})
        if (form.get("client_id"), form.get("client_secret")) != (sandbox.client_id, sandbox.client_secret):
            return Reply(401, {"error": "invalid_client"})
        token = secrets.token_hex(20)
        with self._lock:
            self._tokens[token] = sandbox.now() + timedelta(seconds=sandbox.token_lifetime)
        return Reply(200, {"token_type": "Bearer", "expires_in": sandbox.token_lifetime, "access_token": token})

    def _is_authorized(self, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        with self._lock:
            if scheme.lower() != "bearer" or token not in self._tokens:
                return False
            expires = self._tokens[token]
        return expires is None or self._sandbox.now() < expires

    def _next_fault(self) -> Fault | None:
        with self._lock:
            return self._sandbox.faults.pop(0) if self._sandbox.faults else None

    def _limited(self) -> tuple[Reply | None, dict[str, str]]:
        """The refusal if the limit is reached, and the headers that tell of the limit."""
        behaviour = self._sandbox.behaviour
        enforced = behaviour.rate_limit
        if enforced is None and not behaviour.rate_remaining_header:
            return None, {}
        requests, seconds = enforced or _UNENFORCED_LIMIT
        left, wait = self._limit.take(requests, seconds, behaviour.rate_window)
        headers = {}
        if behaviour.rate_remaining_header:
            headers = {"X-RateLimit-Limit": str(requests), "X-RateLimit-Remaining": str(max(0, left))}
        if left >= 0 or enforced is None:
            return None, headers
        return _too_many(str(max(1, math.ceil(wait)))), headers

    def _list(self, request: Request, name: str) -> Reply:
        sandbox = self._sandbox
        if sandbox.before_list is not None:
            sandbox.before_list(request)
        collection = sandbox.collections[name]
        behaviour = sandbox.behaviour
        with collection.lock:
            key = (
                request.path,
                tuple(request.query.items()),
                tuple(each.version for each in list(sandbox.collections.values())),
                tuple(vars(behaviour).values()),
            )
            body = self._bodies.get(key)
            if body is None:
                try:
                    body = self._page(request, name, collection, LISTS[name])
                except InvalidQueryError as refused:
                    field_name = str(refused)
                    message = f"The selected {field_name} is invalid."
                    return Reply(422, {"error": True, "errors": {field_name: [message]}})
                if not behaviour.shuffle_ties:
                    if len(self._bodies) >= _MOST_BODIES:
                        del self._bodies[next(iter(self._bodies))]
                    self._bodies[key] = body
        if sandbox.after_list is not None:
            sandbox.after_list(request)
        return Reply(200, body)

    def _page(self, request: Request, name: str, collection: Collection, endpoint: ListEndpoint) -> bytes:
        behaviour, query = self._sandbox.behaviour, request.query
        key, matches = endpoint.select(query, behaviour)
        order, sort_key = endpoint.sorted_by(query, behaviour)
        view = collection.view((*key, order), matches, sort_key)
        asked = _positive(query.get("per_page"), endpoint.per_page)
        honoured = behaviour.without_pagination and name not in behaviour.always_paged
        everything = honoured and endpoint.unpaged(query)
        page = 1 if behaviour.ignore_page else _positive(query.get("page"), 1)
        size = max(1, len(view)) if everything else _page_size(asked, endpoint, behaviour)
        start = 0 if everything else (page - 1) * size
        ids = view.ids(start, start + size, self._shuffle if behaviour.shuffle_ties else None)

        parts = (query.get("with") or "").split(",")
        related = [part for part in parts if part in endpoint.related or part in endpoint.looked_up]
        if related:
            records = [
                msgspec.json.encode(
                    endpoint.with_related(collection.records[record_id], related, self._sandbox.collections, behaviour)
                )
                for record_id in ids
            ]
        else:
            records = collection.encoded(
                ids,
                tuple(vars(behaviour).values()),
                lambda record: msgspec.json.encode(rendered(record, behaviour, endpoint.shape)),
            )
        data = b'{"data":[' + b",".join(records) + b"]"
        if everything or behaviour.meta == "absent":
            return data + b"}"
        capital = behaviour.meta == "capital" or (behaviour.meta == "capital_tasks" and name in _CAPITAL)
        spelling = "Pagination" if capital else "pagination"
        meta = {spelling: self._pagination(request, len(view), len(ids), page, size, asked)}
        return data + b',"meta":' + msgspec.json.encode(meta) + b"}"

    def _pagination(self, request: Request, total: int, count: int, page: int, size: int, asked: int) -> dict[str, Any]:
        behaviour = self._sandbox.behaviour
        told = total + {"low": -_OFF_BY, "high": _OFF_BY}.get(behaviour.total, 0)
        numbers = {
            "total": max(0, told),
            "count": count,
            "per_page": size if behaviour.reported_per_page else asked,
            "current_page": page,
            "total_pages": max(1, -(-total // (_WRONG_PER_PAGE if behaviour.total_pages == "wrong" else size))),
        }
        if behaviour.total == "absent":
            del numbers["total"]
        if behaviour.total_pages == "absent":
            del numbers["total_pages"]
        pagination: dict[str, Any] = dict(numbers)
        if behaviour.numbers_as_strings:
            pagination = {name: str(number) for name, number in numbers.items()}
        if page * size < total:
            host = behaviour.links_host or self._sandbox.api_url.split("/")[2]
            query = urlencode({**request.query, "page": page + 1})
            pagination["links"] = {"next": f"http://{host}{request.path}?{query}"}
        elif behaviour.links != "absent":
            pagination["links"] = {"object": {}, "array": [], "null": None}[behaviour.links]
        return pagination


def _page_size(asked: int, endpoint: ListEndpoint, behaviour: Behaviour) -> int:
    if behaviour.per_page_fixed:
        return behaviour.per_page_fixed
    # The cap is on what can be asked for: what some lists send by default is more.
    return min(asked, behaviour.per_page_cap) if behaviour.per_page_cap and asked != endpoint.per_page else asked


def _positive(value: str | None, default: int) -> int:
    return int(value) if value and value.isascii() and value.isdigit() and int(value) > 0 else default


def _no_endpoint() -> Reply:
    return error(404, "ENDPOINT_NOT_FOUND", "The requested endpoint does not exist.")


def _too_many(retry_after: str | None) -> Reply:
    reply = Reply(429, {"message": "Too many requests.", "code": "RATE_LIMIT_EXCEEDED"})
    if retry_after is not None:
        reply.headers["Retry-After"] = retry_after
    return reply


def _faulty(fault: Fault) -> Reply:
    match fault.kind:
        case "rate_limit":
            return _too_many(fault.retry_after)
        case "reset":
            return Reply(0, b"", reset=True)
        case "html":
            return Reply(200, b"<!DOCTYPE html><html><body>Sign in to continue</body></html>", content_type="text/html")
        case "body":
            return Reply(200, fault.value)
        case _:
            reply = error(int(fault.value), "MADE_TO_FAIL", "The sandbox was told to fail.")
            if fault.body is not None:
                reply.body = fault.body
            if fault.retry_after is not None:
                reply.headers["Retry-After"] = fault.retry_after
            return reply
