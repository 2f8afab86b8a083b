from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
import requests

from tap_tallyfy.api.auth import ApplicationToken, PersonalToken, auth_for
from tap_tallyfy.api.errors import LoginError, PassingError
from tap_tallyfy.api.response import Response
from tap_tallyfy.api.secrets import Secrets
from tests.served import in_turn, served
from tests.tap import Result, run_tap

if TYPE_CHECKING:
    from sandbox import Sandbox
    from sandbox.wire import Request

DEBUG = {"LOGLEVEL": "DEBUG"}
#: The exit code for credentials that are refused.
RIGHTS = 77


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
    assert result.code == RIGHTS, result.stderr
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
    assert "go on" not in result.stderr, "nothing does"
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


def test_an_answer_that_is_no_token_ends_in_one_sentence(account: Sandbox) -> None:
    with served(in_turn((200, b"<html>MARKER</html>"))) as told:
        result = run_as_application(account, token_url=f"{told.url}/oauth/token")
        expect_failure(result, "'token_url'")
        assert "MARKER" not in result.everything
        assert result.requests == []
        assert len(told.asked) == 1


# In process


def application(url: str, clock: list[float] | None = None) -> ApplicationToken:
    now = clock or [0.0]
    return ApplicationToken("app", "s3cr3t-of-app", url, timeout=60, secrets=Secrets({}), clock=lambda: now[0])


def signed(auth: Any) -> str:
    request: requests.PreparedRequest = auth(requests.Request("GET", "http://127.0.0.1/").prepare())
    return str(request.headers["Authorization"])


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
        b"[" * 100_000,
    ],
)
def test_an_answer_that_is_no_token_is_named(body: bytes) -> None:
    with served(in_turn((200, body))) as told:
        with pytest.raises(LoginError, match="without a token; check 'token_url'") as refused:
            signed(application(told.url))
        assert len(told.asked) == 1
    assert "MARKER" not in str(refused.value)


@pytest.mark.parametrize("status", [201, 301, 302, 307, 308, 400, 401, 403, 404, 418])
def test_a_token_url_that_refuses_is_named(status: int) -> None:
    with served(in_turn((200, b"{}"))) as other:
        reply = (status, b"MARKER", {"Location": other.url})
        with (
            served(in_turn(reply)) as told,
            pytest.raises(LoginError, match=f"{status}.*'client_id'.*'token_url'") as no,
        ):
            signed(application(told.url))
        assert other.asked == []
    assert "MARKER" not in str(no.value)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_token_url_that_may_answer_later_says_so(status: int) -> None:
    with (
        served(in_turn((status, b"MARKER", {"Retry-After": "30"}))) as told,
        pytest.raises(PassingError, match=f"{status}.*'token_url'") as passing,
    ):
        signed(application(told.url))
    assert passing.value.retry_after == 30


def test_a_token_url_that_cannot_be_reached_says_why() -> None:
    with served(in_turn((200, b""))) as gone:
        pass
    with pytest.raises(PassingError, match="could not be reached"):
        signed(application(gone.url.replace("127.0.0.1", "host.invalid")))


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [(b"3600", 3600), (b'"3600"', 3600), (b"0.5", 0.5), (b"null", 604_800), (b"0", 604_800), (b"-5", 604_800),
     (b"[]", 604_800), (b"1e999", 604_800)],
)  # fmt: skip
def test_a_token_is_renewed_before_its_life_is_over(expires_in: bytes, lifetime: float) -> None:
    now = [0.0]
    with served(
        in_turn(*((200, b'{"access_token": "t%d", "expires_in": %s}' % (n, expires_in)) for n in (1, 2)))
    ) as told:
        auth = application(told.url, now)
        assert signed(auth) == "Bearer t1"
        now[0] = lifetime * 0.94
        assert signed(auth) == "Bearer t1"
        now[0] = lifetime * 0.96
        assert signed(auth) == "Bearer t2"
        assert len(told.asked) == 2


def test_a_token_that_was_refused_is_forgotten_unless_it_was_renewed_since() -> None:
    with served(in_turn(*((200, b'{"access_token": "t%d"}' % number) for number in (1, 2, 3)))) as told:
        auth = application(told.url)
        first = signed(auth)
        refused = Response(401, {}, b"", "/", authorization=first)
        assert auth.can_renew(refused)
        assert signed(auth) == "Bearer t2"
        assert auth.can_renew(refused)  # by another thread, with the first token
        assert signed(auth) == "Bearer t2"


def test_many_threads_fetch_one_token() -> None:
    with served(in_turn(*((200, b'{"access_token": "t%d"}' % number) for number in range(9)))) as told:
        auth = application(told.url)
        found: list[str] = []
        threads = [threading.Thread(target=lambda: found.append(signed(auth))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert len(told.asked) == 1
    assert found == ["Bearer t0"] * 8


def test_a_personal_token_is_sent_as_it_is() -> None:
    auth = auth_for({"access_token": " mine \n"}, Secrets({}))
    assert isinstance(auth, PersonalToken)
    assert signed(auth) == "Bearer mine"
    assert not auth.can_renew(Response(401, {}, b"", "/"))
