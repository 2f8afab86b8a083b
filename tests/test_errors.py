from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox import Behaviour, Fault, Sandbox
from tap_tallyfy.api.client import MAX_TRIES
from tap_tallyfy.api.errors import cause
from tap_tallyfy.api.rate_limit import DEFAULT_WAIT, Pace
from tests.tap import Result, run_tap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.wire import Request

MARKER = "WHAT-THE-BODY-SAYS"
DEBUG = {"LOGLEVEL": "DEBUG"}


def expect_failure(result: Result, *words: str) -> str:
    """Check that a sync failed with one sentence, which has these words in it, and gave nothing away."""
    assert result.code == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert MARKER not in result.everything
    assert len(result.errors) == 1, result.stderr
    (sentence,) = result.errors
    for word in words:
        assert word in sentence
    return sentence


def expect_complete(result: Result, sandbox: Sandbox) -> None:
    assert result.code == 0, result.stderr
    assert result.ids == sandbox.runs.keys()
    assert result.errors == []


# Refused for good: one request, one sentence


def coded(code: str) -> bytes:
    return f'{{"error": true, "message": "{MARKER}", "code": "{code}"}}'.encode()


REFUSALS: dict[str, tuple[int, bytes, tuple[str, ...]]] = {
    "401": (401, coded("UNAUTHENTICATED"), ("401", "'access_token'")),
    "403": (403, coded("FORBIDDEN"), ("403", "user")),
    "404 endpoint": (404, coded("ENDPOINT_NOT_FOUND"), ("404", "ENDPOINT_NOT_FOUND", "'api_url'")),
    "404 resource": (404, coded("RESOURCE_NOT_FOUND"), ("404", "RESOURCE_NOT_FOUND", "'org_id'")),
    "404 without a code": (404, MARKER.encode(), ("404", "'org_id'")),
    "422": (422, f'{{"error": true, "errors": {{"owners": ["{MARKER}"]}}}}'.encode(), ("422", "'runs.owners'")),
    "422 without fields": (422, coded("INVALID"), ("422", "filters", "'runs'")),
    "400": (400, coded("BAD"), ("400", "'api_url'")),
    "418": (418, coded("TEAPOT"), ("418", "TEAPOT")),
    "nested error": (
        404,
        b'{"error": {"code": "ENDPOINT_NOT_FOUND", "message": "WHAT-THE-BODY-SAYS"}}',
        ("ENDPOINT_",),
    ),
    "code that is a sentence": (418, b'{"code": "WHAT-THE-BODY-SAYS"}', ("418",)),
    "code that is a number": (418, b'{"code": 7, "error": ["WHAT-THE-BODY-SAYS"]}', ("418",)),
    "body is a list": (418, b'["WHAT-THE-BODY-SAYS"]', ("418",)),
    "body is a string": (422, b'"WHAT-THE-BODY-SAYS"', ("422",)),
    "body is null": (401, b"null", ("401", "'access_token'")),
    "errors is a list": (422, b'{"errors": ["WHAT-THE-BODY-SAYS"]}', ("422", "'runs'")),
    "errors name no fields": (422, b'{"errors": {"WHAT-THE-BODY-SAYS": []}}', ("422",)),
    "body is not UTF-8": (403, b"\xff\xfe\x00", ("403",)),
    "empty body": (403, b"", ("403",)),
    "nested too deep": (403, b"[" * 100_000, ("403",)),
    "no content": (204, b"", ("204",)),
}


@pytest.mark.parametrize(("status", "body", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_fails_at_once(account: Sandbox, status: int, body: bytes, words: tuple[str, ...]) -> None:
    account.faults = [Fault("status", status, body)]
    result = run_tap(account, runs={"starred": True})
    expect_failure(result, *words)
    assert [request.status for request in result.requests] == [status]
    assert "replication_key_value" not in str(result.states)


@pytest.mark.parametrize("named", [True, False])
def test_an_order_that_the_api_refuses_is_done_without(account: Sandbox, named: bool) -> None:
    """The user has set no order, so it must be no error of the user's."""
    account.behaviour.refused = frozenset({"sort"})
    if not named:
        account.faults = [Fault("status", 422, coded("INVALID"))]
    first = run_tap(account, page_size=10)
    assert first.code == 0, first.stderr
    assert first.ids == account.runs.keys()
    changed = min(account.runs.values(), key=lambda run: str(run["last_updated"]))["id"]
    account.touch(changed)
    second = run_tap(account, page_size=10, state=first.states[-1])
    assert second.code == 0, second.stderr
    assert changed in second.ids


def test_an_order_of_the_users_that_the_api_refuses_is_an_error(account: Sandbox) -> None:
    account.behaviour.refused = frozenset({"sort"})
    expect_failure(run_tap(account, runs={"sort": "colour"}), "422", "'runs.sort'")


def test_wrong_credentials_and_organizations_are_told_apart(account: Sandbox) -> None:
    expect_failure(run_tap(account, access_token="of-somebody-else"), "'access_token'")
    expect_failure(run_tap(account, org_id="another"), "'org_id'")
    expect_failure(run_tap(account, api_url=account.api_url.removesuffix("api")), "'api_url'")


def test_a_refusal_in_the_middle_of_a_sync_fails_it(account: Sandbox) -> None:
    account.faults = [None, None, Fault("status", 403, coded("FORBIDDEN"))]
    result = run_tap(account, page_size=10, concurrency=1)
    expect_failure(result, "403")
    assert len(result.requests) == 3


@contextmanager
def another_server() -> Iterator[tuple[str, list[str]]]:
    """A server that has nothing to do with the API, and what it is asked for."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the name the server looks for

        def log_message(self, *_args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(account: Sandbox, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with another_server() as (url, seen):
        answer = account.answer

        def redirect(request: Request, body: bytes) -> Any:
            reply = answer(request, body)
            reply.status = status
            reply.headers["Location"] = f"{url}/elsewhere"
            return reply

        monkeypatch.setattr(account, "answer", redirect)
        result = run_tap(account)
        expect_failure(result, str(status), "redirect", "'api_url'")
        assert len(result.requests) == 1
        assert seen == []


def test_links_to_another_host_are_not_followed() -> None:
    with (
        another_server() as (url, seen),
        Sandbox(runs=120, seed=3, behaviour=Behaviour(links_host=url.removeprefix("http://"))) as sandbox,
    ):
        expect_complete(run_tap(sandbox, page_size=25), sandbox)
        assert seen == []


# Refused for the rate limit


def in_a_second(sandbox: Sandbox) -> str:
    return format_datetime(sandbox.now() + timedelta(seconds=1), usegmt=True)


@pytest.mark.parametrize(
    "retry_after", [lambda _: "0", lambda _: "1", in_a_second], ids=["at once", "seconds", "HTTP-date"]
)
def test_the_server_is_waited_for(account: Sandbox, retry_after: Callable[[Sandbox], str]) -> None:
    account.faults = [Fault("rate_limit", retry_after=retry_after(account))]
    result = run_tap(account)
    expect_complete(result, account)
    assert [request.status for request in result.requests][:2] == [429, 200]
    assert {request.status for request in result.requests[1:]} == {200}
    assert "1 refused for the rate limit" in result.stderr


def test_the_rate_limit_is_learned() -> None:
    with Sandbox(runs=120, seed=3, behaviour=Behaviour(rate_limit=(4, 1.0), rate_window="rolling")) as sandbox:
        result = run_tap(sandbox, page_size=12)
        expect_complete(result, sandbox)
        refused = [request for request in result.requests if request.status == 429]
        assert len(refused) < len(result.requests) / 3


def test_a_refusal_that_does_not_say_how_long_is_waited_for_too() -> None:
    now = 1000.0

    def pause(seconds: float) -> None:
        nonlocal now
        now += seconds

    pace = Pace(clock=lambda: now, pause=pause)
    pace.acquire()
    assert now == 1000.0
    pace.refused(None)
    pace.acquire()
    assert now >= 1000.0 + DEFAULT_WAIT
    assert pace.refusals == 1
    assert pace.waited == now - 1000.0


# What may pass


ONCE: dict[str, Fault] = {
    "500": Fault("status", 500, coded("SERVER_ERROR")),
    "503": Fault("status", 503, MARKER.encode()),
    "reset": Fault("reset"),
    "cut": Fault("cut"),
    "web page": Fault("html"),
    "empty": Fault("body", b""),
    "half of JSON": Fault("body", b'{"data": [{"id": "WHAT-THE-BODY-SAYS'),
}


@pytest.mark.parametrize("fault", ONCE.values(), ids=ONCE.keys())
@pytest.mark.parametrize("concurrency", [1, 4])
def test_what_fails_once_is_tried_again(account: Sandbox, fault: Fault, concurrency: int) -> None:
    account.faults = [fault, None, None, fault]
    result = run_tap(account, page_size=12, concurrency=concurrency)
    expect_complete(result, account)
    assert account.faults == []
    assert result.stderr.count("Attempt 1 of 6") + result.stderr.count("Asking for a page again") == 2
    assert len(result.records) == len(result.ids)
    assert MARKER not in result.everything


def test_what_fails_for_good_ends_in_one_sentence() -> None:
    lasting: dict[Fault | None, tuple[str, ...]] = {
        Fault("status", 500, coded("SERVER_ERROR")): ("500", "support"),
        Fault("reset"): (" at 127.0.0.1:", f"{MAX_TRIES} times", "connection failed", "'api_url'"),
        Fault("cut"): (f"{MAX_TRIES} times", "cut off"),
        Fault("html"): ("not JSON", "'api_url'"),
        None: (f"{MAX_TRIES} times", "connection failed", "'api_url'"),  # there is no server at all
    }

    def run(fault: Fault | None) -> Result:
        # The second port is taken, so that nobody else listens on it, but not listened to.
        with Sandbox(runs=20, seed=3) as sandbox, socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            sandbox.faults = list(repeat(fault, 50))
            api_url = sandbox.api_url if fault else f"http://127.0.0.1:{taken.getsockname()[1]}/api"
            result = run_tap(sandbox, runs={"q": "S3CR3T PROJECT"}, api_url=api_url)
            assert sandbox.access_token not in result.everything
            assert len(result.requests) == (6 if fault else 0)
            return result

    with ThreadPoolExecutor(len(lasting)) as pool:
        results = list(pool.map(run, lasting))
    for result, words in zip(results, lasting.values(), strict=True):
        expect_failure(result, *words)
        assert result.stderr.count("Attempt ") == MAX_TRIES - 1
        assert "S3CR3T" not in result.everything
        assert result.records == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"), "certificate"),
        (requests.exceptions.SSLError("[SSL: WRONG_VERSION_NUMBER] wrong version number"), "TLS"),
        (requests.exceptions.ProxyError("Cannot connect to proxy"), "proxy"),
    ],
)
def test_the_cause_of_a_failed_connection_is_named(error: requests.RequestException, said: str) -> None:
    assert said in cause(error)


def test_a_slow_answer_is_asked_for_again(account: Sandbox) -> None:
    slow = threading.Event()
    done = threading.Event()

    def first_is_slow(_: Request) -> None:
        if not slow.is_set():
            slow.set()
            done.wait(30)

    account.before_list = first_is_slow
    result = run_tap(account, request_timeout=1)
    done.set()
    expect_complete(result, account)
    assert "no answer in time" in result.stderr


def test_an_empty_first_page_that_announces_more_is_asked_for_again(account: Sandbox) -> None:
    account.faults = [Fault("body", b'{"data": [], "meta": {"pagination": {"total": 120}}}')]
    result = run_tap(account, page_size=12)
    expect_complete(result, account)


@pytest.mark.parametrize(
    "body", [b"7", b"null", b'"text"', b"{}", b'{"data": 7}', b'{"data": [7]}', b'{"data": {"id": {}}}']
)
def test_json_that_holds_no_records_is_an_error(account: Sandbox, body: bytes) -> None:
    account.faults = list(repeat(Fault("body", body), 20))
    result = run_tap(account)
    expect_failure(result, "'data'", "'api_url'")
    assert len(result.requests) == 1


@pytest.mark.parametrize("record", [b"{}", b'{"id": null}', b'{"id": ""}', b'{"id": []}'])
def test_a_record_without_an_id_is_an_error(account: Sandbox, record: bytes) -> None:
    account.faults = [Fault("body", b'{"data": [' + record + b"]}")]
    expect_failure(run_tap(account), "'id'", "'runs'")


# Secrets


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [Fault("status", 401)],
        [Fault("status", 500), Fault("reset"), Fault("html")],
        [Fault("rate_limit", retry_after="0")],
    ],
    ids=["success", "failure", "retries", "refusals"],
)
def test_no_secret_is_ever_shown(account: Sandbox, faults: list[Fault | None]) -> None:
    account.faults = list(faults)
    result = run_tap(account, env=DEBUG, client_id="app", client_secret="s3cr3t-of-the-app")
    assert "DEBUG" in result.stderr
    assert len(result.requests) > 0
    assert account.access_token not in result.everything
    assert "s3cr3t-of-the-app" not in result.everything


def test_what_is_searched_for_is_not_shown_in_errors(account: Sandbox) -> None:
    account.faults = [Fault("status", 500), Fault("reset"), Fault("status", 403)]
    result = run_tap(account, runs={"q": "S3CR3T PROJECT"})
    expect_failure(result, "403")
    assert len(result.requests) == 3
    assert "S3CR3T" not in result.everything
