from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from tests.tap import Result, run_tap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox
    from sandbox.wire import Request

DEBUG = {"LOGLEVEL": "DEBUG"}


def run_as_application(sandbox: Sandbox, **settings: Any) -> Result:
    """Sync as an application, and check that nothing it was let in with is shown."""
    application = {
        "access_token": None,
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "token_url": sandbox.token_url,
    }
    result = run_tap(sandbox, env=DEBUG, **{**application, **settings})
    assert "DEBUG" in result.stderr
    assert sandbox.client_secret not in result.everything
    for request in result.lists:
        scheme, _, token = request.headers["Authorization"].partition(" ")
        assert scheme == "Bearer"
        assert token
        assert token not in result.everything
    return result


def token_requests(result: Result) -> list[Request]:
    return [request for request in result.requests if request.method == "POST"]


def expect_complete(result: Result, sandbox: Sandbox) -> None:
    assert result.code == 0, result.stderr
    assert result.errors == []
    assert result.ids == sandbox.runs.keys()


def expect_failure(result: Result, *words: str) -> None:
    assert result.code == 1, result.stderr
    assert "Traceback" not in result.stderr.replace("Where that happened:\nTraceback", "")
    assert len(result.errors) == 1, result.stderr
    for word in words:
        assert word in result.errors[0]


# The token


@pytest.mark.parametrize("concurrency", [1, 8])
def test_one_token_serves_many_pages(account: Sandbox, monkeypatch: pytest.MonkeyPatch, concurrency: int) -> None:
    forms: list[dict[str, str]] = []
    answer = account.answer

    def note(request: Request, body: bytes) -> Any:
        if request.method == "POST":
            forms.append(dict(parse_qsl(body.decode())))
        return answer(request, body)

    monkeypatch.setattr(account, "answer", note)
    result = run_as_application(account, page_size=10, concurrency=concurrency)
    expect_complete(result, account)
    assert len(result.lists) > 10
    (request,) = token_requests(result)
    assert request.path == "/oauth/token"
    assert request.query == {}
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "Authorization" not in request.headers
    assert forms == [
        {
            "grant_type": "client_credentials",
            "client_id": account.client_id,
            "client_secret": account.client_secret,
            "scope": "*",
        }
    ]
    assert len({request.headers["Authorization"] for request in result.lists}) == 1


def test_a_personal_token_comes_before_an_application(account: Sandbox) -> None:
    result = run_as_application(account, access_token=account.access_token)
    expect_complete(result, account)
    assert token_requests(result) == []


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_token_refused_in_the_middle_of_a_sync_is_renewed(account: Sandbox, concurrency: int) -> None:
    revoked = threading.Event()

    def revoke(request: Request) -> None:
        if len(account.requests) > 3 and request.query.get("page") not in {"1", None} and not revoked.is_set():
            revoked.set()
            account.revoke_tokens()

    account.before_list = revoke
    result = run_as_application(account, page_size=10, concurrency=concurrency)
    expect_complete(result, account)
    assert len(token_requests(result)) == 2
    assert len({request.headers["Authorization"] for request in result.lists}) == 2
    refused = [request for request in result.lists if request.status == 401]
    assert 1 <= len(refused) <= concurrency


def test_a_new_token_that_is_refused_too_ends_the_sync(account: Sandbox) -> None:
    # The organization knows none of the tokens it issues.
    account.token_lifetime = 0
    result = run_as_application(account)
    expect_failure(result, "401", "'client_id'", "'client_secret'")
    assert [request.method for request in result.requests] == ["POST", "GET", "POST", "GET"]
    assert {request.status for request in result.lists} == {401}


def test_a_personal_token_revoked_in_the_middle_of_a_sync_ends_it(account: Sandbox) -> None:
    def revoke(request: Request) -> None:
        if request.query.get("page") == "3":
            account.revoke_tokens()

    account.before_list = revoke
    result = run_tap(account, page_size=10, concurrency=1, env=DEBUG)
    expect_failure(result, "401", "'access_token'")
    assert [request.status for request in result.requests].count(401) == 1
    assert account.access_token not in result.everything
    # What was read is handed on, but no bookmark claims that it was all.
    assert result.records
    bookmarks = [state["bookmarks"]["runs"] for state in result.states if "runs" in state.get("bookmarks", {})]
    assert not [bookmark for bookmark in bookmarks if bookmark.get("replication_key_value")]


# No token


def test_a_client_that_is_refused_is_named(account: Sandbox) -> None:
    for wrong in ({"client_id": "nobody"}, {"client_secret": "wrong-s3cr3t"}):
        result = run_as_application(account, **wrong)
        expect_failure(result, "401", "'client_id'", "'client_secret'")
        assert [request.path for request in result.requests] == ["/oauth/token"]
        assert "wrong-s3cr3t" not in result.everything


class TokenServer:
    """A token URL that answers as it is told to, and counts."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.last: tuple[int, bytes] = (500, b"")
        self.location = ""
        self.requests = 0
        self.url = ""

    def next(self) -> tuple[int, bytes]:
        self.requests += 1
        return self.answers.pop(0) if self.answers else self.last


@contextmanager
def token_server() -> Iterator[TokenServer]:
    told = TokenServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = told.next()
            self.send_response(status)
            if told.location:
                self.send_header("Location", told.location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            told.next()
            self.send_error(404)

        def log_message(self, *_args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        told.url = f"http://127.0.0.1:{server.server_port}/oauth/token"
        yield told
        server.shutdown()


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><html><body>MARKER</body></html>",
        b"",
        b"[]",
        b'"MARKER"',
        b"null",
        b'{"error": "MARKER"}',
        b'{"access_token": null}',
        b'{"access_token": 7}',
        b'{"access_token": ""}',
        b'{"access_token": "MARKER\\nX-Other: 1"}',
        b'{"access_token": "MARKER", "expires_in": "soon"}',
    ],
)
def test_an_answer_that_is_no_token_is_named(account: Sandbox, body: bytes) -> None:
    with token_server() as told:
        told.last = (200, body)
        result = run_as_application(account, token_url=told.url)
        expect_failure(result, "'token_url'")
        assert "MARKER" not in result.everything
        assert result.requests == []
        assert told.requests == 1


@pytest.mark.parametrize("status", [400, 403, 404, 418])
def test_a_token_url_that_refuses_is_named(account: Sandbox, status: int) -> None:
    with token_server() as told:
        told.last = (status, b"MARKER")
        result = run_as_application(account, token_url=told.url)
        expect_failure(result, str(status), "'token_url'", "'client_id'")
        assert "MARKER" not in result.everything
        assert told.requests == 1
        assert result.requests == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_of_the_token_url_is_not_followed(account: Sandbox, status: int) -> None:
    with token_server() as told, token_server() as other:
        told.last, told.location = (status, b""), other.url
        result = run_as_application(account, token_url=told.url)
        expect_failure(result, str(status), "'token_url'")
        assert told.requests == 1
        assert other.requests == 0


@pytest.mark.parametrize("status", [500, 503])
def test_a_token_url_that_fails_once_is_asked_again(account: Sandbox, status: int) -> None:
    with token_server() as told:
        told.answers = [(status, b"MARKER")]
        told.last = (
            200,
            b'{"token_type": "Bearer", "expires_in": 3600, "access_token": "%s"}' % account.access_token.encode(),
        )
        result = run_as_application(account, token_url=told.url)
        expect_complete(result, account)
        assert told.requests == 2
        assert "MARKER" not in result.everything


def test_a_token_is_renewed_when_its_time_comes_without_a_refusal(account: Sandbox) -> None:
    # The account never refuses this token, so that only its announced life can be why another one is fetched.
    account.latency = 0.1
    with token_server() as told:
        told.last = (200, b'{"access_token": "%s", "expires_in": 1}' % account.access_token.encode())
        result = run_as_application(account, token_url=told.url, page_size=5, concurrency=1)
        expect_complete(result, account)
        assert {request.status for request in result.lists} == {200}
        assert 1 < told.requests < len(result.lists)


@pytest.mark.parametrize("expires_in", [b"null", b"0.5", b'"3600"', b"[]", b"-5"])
def test_the_life_of_a_token_may_be_missing_or_odd(account: Sandbox, expires_in: bytes) -> None:
    with token_server() as told:
        told.last = (200, b'{"access_token": "%s", "expires_in": %s}' % (account.access_token.encode(), expires_in))
        expect_complete(run_as_application(account, token_url=told.url), account)
        assert told.requests >= 1


def test_a_token_url_that_fails_for_good_ends_in_one_sentence(account: Sandbox) -> None:
    with token_server() as told:
        told.last = (500, b"MARKER")
        result = run_as_application(account, token_url=told.url)
        expect_failure(result, "500", "'token_url'")
        assert told.requests == 6
        assert result.requests == []
        assert "MARKER" not in result.everything
