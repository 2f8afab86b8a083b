"""Errors as whoever runs the tap meets them: one sentence, the exit code of its class, and nothing given away.

What each response means and what is tried again is tested in process, in `test_listing.py` and `test_client.py`.
"""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.utils import format_datetime
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest
import requests
import urllib3

from sandbox import Behaviour, Fault, Sandbox
from tap_tallyfy.api.retry import Retry
from tap_tallyfy.api.transport import cause
from tests.served import Exchange, served
from tests.tap import Result, run_tap

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.wire import Request

MARKER = "WHAT-THE-BODY-SAYS"
DEBUG = {"LOGLEVEL": "DEBUG"}
TRIES = Retry().tries
#: Exit codes: what passes, credentials or rights, and settings.
PASSING, RIGHTS, SETTINGS = 75, 77, 78


def expect_failure(result: Result, code: int, *words: str) -> str:
    """Check that a sync failed with this code and one sentence, which has these words in it, and gave nothing away."""
    assert result.code == code, result.stderr
    assert "Traceback" not in result.stderr
    assert MARKER not in result.everything
    assert len(result.errors) == 1, result.stderr
    (sentence,) = result.errors
    assert [word for word in words if word not in sentence] == [], sentence
    return sentence


def expect_complete(result: Result, sandbox: Sandbox) -> None:
    assert result.code == 0, result.stderr
    assert result.ids == sandbox.runs.keys()
    assert result.errors == []


# Refused for good: one request, one sentence


def coded(code: str) -> bytes:
    return f'{{"error": true, "message": "{MARKER}", "code": "{code}"}}'.encode()


REFUSALS: dict[str, tuple[int, bytes, int, tuple[str, ...]]] = {
    "401": (401, coded("UNAUTHENTICATED"), RIGHTS, ("401", "'access_token'")),
    "403": (403, coded("FORBIDDEN"), RIGHTS, ("403", "user", "'runs'")),
    "403 of a gateway": (403, b"<html>WHAT-THE-BODY-SAYS</html>", PASSING, ("403", "firewall", "'api_url'")),
    "404 endpoint": (404, coded("ENDPOINT_NOT_FOUND"), SETTINGS, ("404", "ENDPOINT_NOT_FOUND", "'api_url'")),
    "404 resource": (404, coded("RESOURCE_NOT_FOUND"), RIGHTS, ("404", "RESOURCE_NOT_FOUND", "'org_id'")),
    "422": (422, b'{"errors": {"owners": ["WHAT-THE-BODY-SAYS"]}}', SETTINGS, ("422", "'runs.owners'")),
    "400": (400, coded("BAD"), SETTINGS, ("400", "'api_url'")),
    "418": (418, coded("TEAPOT"), SETTINGS, ("418", "TEAPOT")),
    "204": (204, b"", SETTINGS, ("204",)),
}


@pytest.mark.parametrize(("status", "body", "code", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_fails_at_once(account: Sandbox, status: int, body: bytes, code: int, words: tuple[str, ...]) -> None:
    account.faults = [Fault("status", status, body)]
    result = run_tap(account, runs={"starred": True})
    expect_failure(result, code, *words)
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
    expect_failure(run_tap(account, runs={"sort": "colour"}), SETTINGS, "422", "'runs.sort'")


def test_wrong_credentials_and_organizations_are_told_apart(account: Sandbox) -> None:
    expect_failure(run_tap(account, access_token="of-somebody-else"), RIGHTS, "'access_token'")
    expect_failure(run_tap(account, org_id="another"), RIGHTS, "'org_id'")
    expect_failure(run_tap(account, api_url=account.api_url.removesuffix("api")), SETTINGS, "'api_url'")


def test_a_refusal_in_the_middle_of_a_sync_fails_it(account: Sandbox) -> None:
    account.faults = [None, None, Fault("status", 403, coded("FORBIDDEN"))]
    result = run_tap(account, page_size=10, concurrency=1)
    expect_failure(result, RIGHTS, "403")
    assert len(result.requests) == 3


def test_a_redirect_is_not_followed(account: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(lambda exchange: exchange.reply(200)) as other:
        answer = account.answer

        def redirect(request: Request, body: bytes) -> Any:
            reply = answer(request, body)
            reply.status = 307
            reply.headers["Location"] = f"{other.url}/elsewhere"
            return reply

        monkeypatch.setattr(account, "answer", redirect)
        result = run_tap(account)
        expect_failure(result, SETTINGS, "307", "redirect", "'api_url'")
        assert len(result.requests) == 1
        assert other.asked == []


def test_links_to_another_host_are_not_followed() -> None:
    with (
        served(lambda exchange: exchange.reply(200)) as other,
        Sandbox(runs=120, seed=3, behaviour=Behaviour(links_host=other.url.removeprefix("http://"))) as sandbox,
    ):
        expect_complete(run_tap(sandbox, page_size=25), sandbox)
        assert other.asked == []


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


# What may pass


@pytest.mark.parametrize(
    ("fault", "concurrency"),
    [(Fault("status", 503, MARKER.encode()), 4), (Fault("cut"), 4), (Fault("html"), 4), (Fault("reset"), 1)],
    ids=["503", "cut", "web page", "reset"],
)
def test_what_fails_once_is_tried_again(account: Sandbox, fault: Fault, concurrency: int) -> None:
    account.faults = [fault, None, None, fault]
    result = run_tap(account, page_size=12, concurrency=concurrency)
    expect_complete(result, account)
    assert account.faults == []
    assert result.stderr.count("Attempt 1 of 6") + result.stderr.count("Asking for a page again") == 2
    assert len(result.records) == len(result.ids)
    assert MARKER not in result.everything


def drip(exchange: Exchange) -> None:
    """Begin a response that never ends, and never lets a socket's own timeout pass."""
    exchange.send_response(200)
    exchange.send_header("Content-Length", "1000000")
    exchange.end_headers()
    while True:
        exchange.wfile.write(b" ")
        time.sleep(0.1)


def test_what_fails_for_good_ends_in_one_sentence() -> None:
    lasting: dict[Fault | str, tuple[str, ...]] = {
        Fault("status", 500, coded("SERVER_ERROR")): ("500", "support"),
        Fault("body", b'{"error": true, "data": []}'): ("error", "status 200"),
        "no server": (" at 127.0.0.1:", f"{TRIES} times", "connection failed", "'api_url'"),
        "drip": (f"{TRIES} times", "no response in time", "'request_timeout'"),
    }

    def run(kind: Fault | str) -> Result:
        # The second port is taken, so that nobody else listens on it, but not listened to.
        with Sandbox(runs=20, seed=3) as sandbox, socket.socket() as taken, served(drip) as dripping:
            taken.bind(("127.0.0.1", 0))
            sandbox.faults = list(repeat(kind if isinstance(kind, Fault) else None, 50))
            api_url = {
                "no server": f"http://127.0.0.1:{taken.getsockname()[1]}/api",
                "drip": f"{dripping.url}/api",
            }.get(str(kind), sandbox.api_url)
            limit: dict[str, Any] = {"request_timeout": 2} if kind == "drip" else {}
            result = run_tap(sandbox, runs={"q": "S3CR3T PROJECT"}, api_url=api_url, timeout=300, **limit)
            assert sandbox.access_token not in result.everything
            assert len(result.requests) == (TRIES if isinstance(kind, Fault) else 0)
            assert len(dripping.asked) == (TRIES if kind == "drip" else 0)
            return result

    with ThreadPoolExecutor(len(lasting)) as pool:
        results = list(pool.map(run, lasting))
    for result, words in zip(results, lasting.values(), strict=True):
        expect_failure(result, PASSING, *words)
        assert result.stderr.count("Attempt ") == TRIES - 1
        assert "S3CR3T" not in result.everything
        assert result.records == []


def test_a_body_that_unpacks_to_more_than_the_tap_takes_ends_in_one_sentence(account: Sandbox) -> None:
    body = gzip.compress(bytes(400 << 20), 1)
    with served(lambda exchange: exchange.reply(200, body, {"Content-Encoding": "gzip"})) as server:
        expect_failure(run_tap(account, api_url=server.url, timeout=300), PASSING, "256 MiB", "'page_size'")
        assert len(server.asked) == 1


def test_a_wait_of_more_than_an_hour_ends_in_one_sentence(account: Sandbox) -> None:
    account.faults = [Fault("rate_limit", retry_after="7200")]
    expect_failure(run_tap(account), PASSING, "429", "2 hours", "Retry-After")


def test_a_server_that_fails_for_an_unknown_order_is_synced_all_the_same(
    account: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain ORDER BY answers 500 to a column that it does not know."""
    answer = account.answer

    def fail(request: Request, body: bytes) -> Any:
        reply = answer(request, body)
        if "last_updated" in request.query.get("sort", ""):
            reply.status = request.status = 500
        return reply

    monkeypatch.setattr(account, "answer", fail)
    first = run_tap(account, page_size=50)
    expect_complete(first, account)
    changed = min(account.runs.values(), key=lambda run: str(run["last_updated"]))["id"]
    account.touch(changed)
    second = run_tap(account, page_size=50, state=first.states[-1])
    assert second.code == 0, second.stderr
    assert changed in second.ids


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"), "certificate"),
        (requests.exceptions.SSLError("[SSL: WRONG_VERSION_NUMBER] wrong version number"), "TLS"),
        (
            requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"),
            "REQUESTS_CA_BUNDLE",
        ),
        (requests.exceptions.ProxyError("Cannot connect to proxy"), "proxy"),
        (requests.ConnectTimeout("http://secret"), "no response in time"),
        (urllib3.exceptions.ReadTimeoutError(None, "", "http://secret"), "no response in time"),  # type: ignore[arg-type]
        (urllib3.exceptions.ProtocolError("http://secret"), "cut off"),
        (requests.ConnectionError("http://secret"), "the connection failed"),
    ],
)
def test_the_cause_of_a_failed_connection_is_named(error: Exception, said: str) -> None:
    assert said in cause(error)
    assert "secret" not in cause(error)


def test_a_certificate_that_only_another_variable_names_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/ssl/company.pem")
    assert "does not use SSL_CERT_FILE" in cause(requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"))


def test_a_slow_answer_is_asked_for_again(account: Sandbox) -> None:
    slow = threading.Event()
    done = threading.Event()

    def first_is_slow(_: Request) -> None:
        if not slow.is_set():
            slow.set()
            done.wait(120)

    account.before_list = first_is_slow
    result = run_tap(account, request_timeout=1)
    done.set()
    expect_complete(result, account)
    assert "no response in time" in result.stderr


def test_an_empty_first_page_that_announces_more_is_asked_for_again(account: Sandbox) -> None:
    account.faults = [Fault("body", b'{"data": [], "meta": {"pagination": {"total": 120}}}')]
    result = run_tap(account, page_size=12)
    expect_complete(result, account)


def test_json_that_holds_no_records_is_an_error(account: Sandbox) -> None:
    account.faults = list(repeat(Fault("body", b'{"data": 7}'), 20))
    result = run_tap(account)
    expect_failure(result, SETTINGS, "'data'", "'api_url'")
    assert len(result.requests) == 1


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
    account.faults = [Fault("status", 500), Fault("reset"), Fault("status", 403, coded("FORBIDDEN"))]
    result = run_tap(account, runs={"q": "S3CR3T PROJECT"})
    expect_failure(result, RIGHTS, "403")
    assert len(result.requests) == 3
    assert "S3CR3T" not in result.everything


def test_a_secret_in_the_name_of_a_field_is_not_logged(account: Sandbox) -> None:
    """The tap names fields that it does not know, and a target needs them as they are."""
    row = {"id": "a" * 32, f"x_{account.access_token}_y": 1, f"{'long' * 12}_{account.access_token}": 2}
    account.faults = [Fault("body", json.dumps({"data": [row]}).encode())] * 20
    result = run_tap(account, env=DEBUG, runs={"archived": "exclude"})
    assert result.code == 0, result.stderr
    assert "'x_***_y'" in result.stderr
    assert "long_***" in result.stderr
    assert account.access_token not in result.stderr


@pytest.mark.parametrize("status", [403, 404, 418, 422, 500])
def test_a_server_that_repeats_the_token_does_not_get_it_shown(account: Sandbox, status: int) -> None:
    code = account.access_token.upper().replace("-", "_")
    body = json.dumps({"error": True, "code": code, "message": account.access_token, "errors": {code: []}}).encode()
    account.faults = [Fault("status", status, body)]
    result = run_tap(account, env=DEBUG)
    assert account.access_token.casefold() not in result.everything.casefold()
    assert code not in result.everything
