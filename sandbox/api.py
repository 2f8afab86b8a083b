"""The API: routes, refusals, and the answers of one version of it (a Behaviour)."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from sandbox.company import Company
from sandbox.faults import INSTEAD, SPOILED, Fault
from sandbox.filters import InvalidQueryError
from sandbox.limit import RateLimit
from sandbox.lists import LISTS, PROCESS_TASKS, ListEndpoint
from sandbox.pages import Pages
from sandbox.tokens import Tokens
from sandbox.wire import Reply, Request, error, forbidden, no_resource, not_found, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"
_UNPROCESSABLE = 422


class Api(Company):
    """A company behind its API; `answer` takes a request and gives the reply, without any network.

    Attributes:
        access_token: A personal token that is valid until `revoke_tokens()`.
        requests: Every request received, in order.
        faults: One is taken from the front for each list request; None there means that nothing goes wrong.
        fault_for: Asked for the fault of each list request that `faults` has none for.
        before_list: Called before the rows of a page are looked up, under no lock.
        after_list: Called after they were, before the answer is sent.
        latency: Seconds before each answer.
        token_lifetime: Seconds for which a token issued for client credentials is valid.
    """

    def __init__(self, *, seed: int = 1, latency: float = 0, port: int = 0, **company: Any) -> None:
        """Make the company.

        Args:
            seed: The same seed makes the same runs and the same credentials.
            latency: Seconds before each answer of the API.
            port: The port of its addresses, 0 for one that is not known yet.
            company: What `Company` is made with.
        """
        super().__init__(seed=seed, **company)
        self.latency = latency
        self.port = port
        self.access_token = f"sandbox-token-{seed}"
        self.client_id = f"sandbox-client-{seed}"
        self.client_secret = f"sandbox-secret-{seed}"
        self.token_lifetime = 604_800
        self.requests: list[Request] = []
        self.faults: list[Fault | None] = []
        self.fault_for: Callable[[Request], Fault | None] | None = None
        self.before_list: Callable[[Request], object] | None = None
        self.after_list: Callable[[Request], object] | None = None
        self._lock = threading.Lock()
        self._limit = RateLimit()
        self._tokens = Tokens(self.access_token, (self.client_id, self.client_secret), self.clock)
        self._pages = Pages(self.collections)

    @property
    def api_url(self) -> str:
        """The base of the API."""
        return f"http://{HOST}:{self.port}/api"

    @property
    def token_url(self) -> str:
        """Where client credentials are exchanged for a token."""
        return f"http://{HOST}:{self.port}/oauth/token"

    def revoke_tokens(self) -> None:
        """Refuse all tokens issued so far, `access_token` too."""
        self._tokens.revoke()

    def answer(self, request: Request, body: bytes) -> Reply:
        """Answer one request of the API."""
        if self.latency:
            time.sleep(self.latency)
        if request.path == "/oauth/token" and request.method == "POST":
            return self._tokens.issue(dict(parse_qsl(body.decode("utf-8", "replace"))), self.token_lifetime)
        match [unquote(part) for part in request.path.split("/")]:
            case ["", "api", "organizations", org_id, name] if request.method == "GET" and name in LISTS:
                return self._read(request, org_id, name)
            case ["", "api", "organizations", org_id] if request.method == "GET":
                return self._read(request, org_id, "organization")
            case ["", "api", "organizations", org_id, "runs", run_id, "tasks"] if request.method == "GET":
                return self._read(request, org_id, "runs/tasks", run_id)
            case _:
                return not_found()

    def _read(self, request: Request, org_id: str, name: str, run_id: str | None = None) -> Reply:
        """The answer to a request for a list or the organization, or what goes wrong with it."""
        fault = self._next_fault(request)
        if fault is not None and fault.kind in INSTEAD:
            return INSTEAD[fault.kind](fault)
        reply = self._refusal(request, org_id)
        if reply is not None:
            return reply
        reply, headers = self._limit.apply(self.behaviour)
        if reply is None and name in self.behaviour.forbidden:
            reply = forbidden()
        elif reply is None and name in self.behaviour.missing:
            reply = not_found()
        elif reply is None:
            reply = self._found(request, name, run_id)
        if fault is not None and reply.status == 200:  # noqa: PLR2004
            SPOILED[fault.kind](reply)
        reply.headers.update(headers)
        return reply

    def _found(self, request: Request, name: str, run_id: str | None) -> Reply:
        if self.before_list is not None:
            self.before_list(request)
        if name == "organization":
            reply = Reply(200, {"data": self.organization})
        elif run_id is None:
            reply = self._page(request, LISTS[name], name)
        elif run_id in self.collections["runs"].records:
            reply = self._page(request, PROCESS_TASKS, "tasks", run_id)
        else:
            reply = no_resource()
        if self.after_list is not None:
            self.after_list(request)
        return reply

    def _page(self, request: Request, endpoint: ListEndpoint, name: str, run_id: str | None = None) -> Reply:
        behaviour, host = self.behaviour, self.api_url.split("/")[2]
        collection = self.collections[name]
        with collection.lock:
            self.account.settle()
            only = None if run_id is None else self.account.tasks_of(run_id)
            try:
                return Reply(200, self._pages.body(request, endpoint, name, host, behaviour, only))
            except InvalidQueryError as refused:
                if refused.status == _UNPROCESSABLE:
                    return refusal(refused.name)
                return error(refused.status, "SERVER_ERROR", "Something went wrong.")

    def _refusal(self, request: Request, org_id: str) -> Reply | None:
        """What is wrong with a request whatever it asks for."""
        if request.header("x-tallyfy-client") != "APIClient":
            return not_found()
        if not self._tokens.admit(request.header("authorization")):
            return error(401, "UNAUTHENTICATED", "Unauthenticated.")
        if org_id != self.org_id:
            return no_resource()
        return None

    def _next_fault(self, request: Request) -> Fault | None:
        with self._lock:
            if self.faults:
                return self.faults.pop(0)
        return self.fault_for(request) if self.fault_for is not None else None
