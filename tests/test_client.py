"""The client in process, against a server that answers as it is told to: what is tried again, when, at what cost."""

from __future__ import annotations

import json
import logging
import threading
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any, NoReturn

import pytest
import requests

from tap_tallyfy.api.client import MAX_REJECTIONS, Account
from tap_tallyfy.api.errors import (
    ConnectionFailedError,
    ListFailedError,
    ListUnsupportedError,
    LoginError,
    PassingError,
    ResponseTooLargeError,
    check,
)
from tap_tallyfy.api.response import Response
from tap_tallyfy.api.retry import LONGEST_WAIT, Retry, retry_after, spoken
from tests.served import Asking, Exchange, asking, in_turn, served

ACCOUNT = Account("runs", "/organizations/{org_id}/runs")
OK = (200, b'{"data": []}')
TRIES = Retry().tries
MARKER = b"WHAT-THE-BODY-SAYS"


def get(client: Asking, path: str = "/organizations/acme/runs", **options: Any) -> bytes:
    return client.client.get(requests.Request("GET", f"{client.url}{path}"), understand, ACCOUNT, **options)


def understand(response: Response) -> bytes:
    check(response, "runs")
    return response.body


def cut(exchange: Exchange) -> None:
    exchange.send_response(200)
    exchange.send_header("Content-Length", "100")
    exchange.end_headers()
    exchange.wfile.write(b'{"data": [')
    exchange.close_connection = True


# What is tried again


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 520, 408, 425])
def test_what_may_pass_is_tried_again(status: int) -> None:
    with served(in_turn((status, MARKER), (status, MARKER), OK)) as server:
        client = asking(server.url)
        assert get(client) == OK[1]
        assert len(server.asked) == 3
    assert len(client.waits) == 2


@pytest.mark.parametrize("status", [500, 503, 408, 425])
def test_what_does_not_pass_fails_with_a_sentence(status: int, caplog: pytest.LogCaptureFixture) -> None:
    with served(in_turn((status, MARKER))) as server:
        client = asking(server.url)
        with pytest.raises(
            ListFailedError, match=f"GET /organizations/acme/runs returned {status}: .*support"
        ) as failed:
            get(client, "/organizations/acme/runs?q=S3CR3T")
        assert len(server.asked) == TRIES
    assert failed.value.status == status
    assert len(client.waits) == TRIES - 1
    assert all(0.5 * 2**number <= wait <= 0.5 * 2**number + 1 for number, wait in enumerate(client.waits))
    said = [record.getMessage() for record in caplog.records if "Attempt" in record.getMessage()]
    assert [line[:14] for line in said] == [f"Attempt {number} of 6" for number in range(1, TRIES)]
    assert "S3CR3T" not in caplog.text
    assert MARKER.decode() not in caplog.text


def test_a_connection_that_fails_for_good_names_the_host_and_the_cause() -> None:
    with served(cut) as server:
        client = asking(server.url)
        with pytest.raises(ListFailedError) as failed:
            get(client, "/organizations/acme/runs?q=S3CR3T")
        assert len(server.asked) == TRIES
    sentence = str(failed.value)
    host = server.url.removeprefix("http://")
    said = f"GET /organizations/acme/runs at {host} failed {TRIES} times (the response was cut off);"
    assert sentence.startswith(said)
    assert "'api_url'" in sentence
    assert "'request_timeout'" in sentence


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 403, 404, 405, 410, 418, 422, 451])
def test_what_will_not_pass_is_asked_once(status: int) -> None:
    with served(in_turn((status, b"{}"))) as server:
        client = asking(server.url)
        client.client.get(requests.Request("GET", server.url), lambda response: response.status, ACCOUNT)
        assert len(server.asked) == 1
    assert client.waits == []


def test_a_response_that_is_too_large_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tap_tallyfy.api.transport.MAX_BODY", 100)
    with served(in_turn((200, b"x" * 101))) as server:
        with pytest.raises(ResponseTooLargeError, match=r"'page_size'.*'runs.with'"):
            get(asking(server.url))
        assert len(server.asked) == 1


def test_an_error_of_ours_is_not_tried_again() -> None:
    def bug(_: Response) -> NoReturn:
        raise KeyError("bug")

    with served(in_turn(OK)) as server, pytest.raises(KeyError):
        asking(server.url).client.get(requests.Request("GET", server.url), bug, ACCOUNT)


# Retry-After


@pytest.mark.parametrize("status", [503, 500, 408, 425])
def test_a_failure_that_says_how_long_is_waited_for(status: int) -> None:
    with served(in_turn((status, b"", {"Retry-After": "3600"}), OK)) as server:
        client = asking(server.url)
        get(client)
    assert client.waits == [3600.0]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("seconds", "said"), [("3601", "61 minutes"), ("7200", "2 hours"), ("9" * 5000, "more than a year")]
)
def test_a_wait_of_more_than_an_hour_fails_at_once(status: int, seconds: str, said: str) -> None:
    with served(in_turn((status, b"", {"Retry-After": seconds}))) as server:
        client = asking(server.url)
        with pytest.raises(ListFailedError, match=f"{status}.*{said}.*longer than the hour") as failed:
            get(client)
        assert len(server.asked) == 1
    assert failed.value.status == status
    assert client.waits == []


def test_a_rejection_up_to_an_hour_is_waited_for() -> None:
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds

    with served(in_turn((429, b"", {"Retry-After": "3600"}), OK)) as server:
        client = asking(server.url)
        client.client.limiter = type(client.client.limiter)(clock=lambda: now[0], pause=pause)
        assert get(client) == OK[1]
    assert 3600 <= now[0] <= 3601


def test_rejections_without_end_fail() -> None:
    with served(in_turn((429, b"", {"Retry-After": "1"}))) as server:
        client = asking(server.url)
        now = [0.0]
        client.client.limiter = type(client.client.limiter)(
            clock=lambda: now[0], pause=lambda seconds: now.__setitem__(0, now[0] + seconds)
        )
        with pytest.raises(ListFailedError, match=f"{MAX_REJECTIONS} times in a row.*'requests_per_minute'"):
            get(client)
        assert len(server.asked) == MAX_REJECTIONS


NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "0"}, 1.0),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 7.5 "}, 7.5),
        ({"Retry-After": "-7"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "\u0667"}, None),
        ({"Retry-After": "Mon, 01 Jan 99999 00:00:00 GMT"}, None),
        ({"Retry-After": "9" * 5000}, float("inf")),
        (
            {"Retry-After": format_datetime(NOW + timedelta(seconds=90), usegmt=True), "Date": format_datetime(NOW)},
            90.0,
        ),
        ({"Retry-After": format_datetime(NOW), "Date": format_datetime(NOW + timedelta(hours=1))}, 1.0),
        ({"Retry-After": "Thursday, 01-Jan-26 00:01:30 GMT", "Date": format_datetime(NOW)}, 90.0),
        ({"Retry-After": "Thu Jan  1 00:01:30 2026", "Date": format_datetime(NOW)}, 90.0),
        ({"Retry-After": format_datetime(NOW), "Date": "now"}, None),
    ],
)
def test_retry_after_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_long_waits_are_said_in_words() -> None:
    assert spoken(LONGEST_WAIT) == "60 minutes"
    assert spoken(86_400) == "24 hours"
    assert spoken(1e300) == "more than a year"


@pytest.mark.parametrize("remaining", ["9" * 5000, "-1", "1e3", "\u0667", "soon"])
def test_a_remaining_count_that_is_none_is_ignored(remaining: str) -> None:
    headers = {} if not remaining.isascii() else {"X-RateLimit-Remaining": remaining}
    with served(in_turn((*OK, headers))) as server:
        client = asking(server.url)
        for _ in range(3):
            get(client)
        client.client.limiter.release(remaining=remaining)


# Detours


def test_a_detour_is_asked_for_when_the_api_has_failed_twice() -> None:
    class RefusedError(Exception):
        pass

    def refuse(response: Response) -> NoReturn:
        check(response, "runs")
        raise RefusedError

    def fail_when_sorted(exchange: Exchange) -> None:
        exchange.reply(500 if "sort" in exchange.path else 200)

    with served(fail_when_sorted) as server:
        client = asking(server.url)
        detour = requests.Request("GET", f"{server.url}/plain"), refuse
        with pytest.raises(RefusedError):
            get(client, "/runs?sort=-colour", detours=[detour])
        assert [path for path, _ in server.asked] == ["/runs?sort=-colour"] * 2 + ["/plain"]


def test_a_detour_that_fails_too_takes_the_place_of_a_try() -> None:
    def refuse(response: Response) -> NoReturn:
        check(response, "runs")
        raise AssertionError

    with served(in_turn((500, b""))) as server:
        client = asking(server.url)
        with pytest.raises(ListFailedError):
            get(client, "/runs", detours=[(requests.Request("GET", f"{server.url}/plain"), refuse)])
        assert [path for path, _ in server.asked] == ["/runs", "/runs", "/plain", "/runs", "/runs", "/runs"]


@pytest.mark.parametrize("replies", [[(408, b""), (425, b""), OK], [(500, b""), OK]])
def test_a_passing_failure_is_no_reason_for_a_detour(replies: list[Any]) -> None:
    def refuse(_: Response) -> NoReturn:
        raise AssertionError

    with served(in_turn(*replies)) as server:
        get(asking(server.url), "/runs", detours=[(requests.Request("GET", f"{server.url}/plain"), refuse)])
        assert {path for path, _ in server.asked} == {"/runs"}


# Tokens


def test_a_personal_token_that_is_refused_is_not_tried_again() -> None:
    with served(in_turn((401, b"{}"))) as server:
        with pytest.raises(LoginError, match="'access_token'"):
            get(asking(server.url))
        assert len(server.asked) == 1


def application(url: str) -> Asking:
    return asking(
        url, access_token=None, client_id="app", client_secret="s3cr3t-of-app", token_url=f"{url}/oauth/token"
    )


def tokens(*api: tuple[int, bytes]) -> tuple[Any, list[str]]:
    """A server of tokens and of lists, and the tokens that the lists were asked with."""
    used: list[str] = []
    issued: list[int] = []
    lists = in_turn(*api)

    def answer(exchange: Exchange) -> None:
        if exchange.path == "/oauth/token":
            issued.append(1)
            exchange.reply(200, json.dumps({"access_token": f"fetched-t0ken-{len(issued)}"}).encode())
        else:
            used.append(exchange.headers["Authorization"])
            lists(exchange)

    return answer, used


def test_a_token_that_is_refused_is_fetched_again_once() -> None:
    answer, used = tokens((401, b"{}"), OK)
    with served(answer) as server:
        assert get(application(server.url)) == OK[1]
    assert used == ["Bearer fetched-t0ken-1", "Bearer fetched-t0ken-2"]
    answer, used = tokens((401, b"{}"))
    with served(answer) as server, pytest.raises(LoginError, match="'client_secret'"):
        get(application(server.url))
    assert len(used) == 2


@pytest.mark.parametrize("status", [429, 500, 503, 408])
def test_a_token_url_that_may_answer_later_is_asked_again(status: int) -> None:
    with served(in_turn((status, MARKER, {"Retry-After": "40"}))) as server:
        client = application(server.url)
        with pytest.raises(ListFailedError, match=f"token URL answered {status}") as failed:
            get(client)
        assert len(server.asked) == TRIES
    assert client.waits == [40.0] * (TRIES - 1)
    assert MARKER.decode() not in str(failed.value)
    assert client.client.limiter.requests == 0  # a request for a token is none for a list


def test_a_fetched_token_is_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    answer, _ = tokens(OK)
    with served(answer) as server:
        client = application(server.url)
        get(client)
    assert client.client.secrets.hidden("fetched-t0ken-1") == "***"
    assert "fetched-t0ken-1" not in caplog.text


def test_a_token_url_that_drips_or_bombs_ends_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tap_tallyfy.api.transport.MAX_BODY", 1000)
    with served(in_turn((200, b"x" * 2000))) as server, pytest.raises(LoginError, match="'token_url'"):
        get(application(server.url))


# Threads


def test_requests_are_sent_side_by_side() -> None:
    together = threading.Barrier(3, timeout=120)

    def answer(exchange: Exchange) -> None:
        together.wait()
        exchange.reply(*OK)

    with served(answer) as server:
        client = asking(server.url)
        request = requests.Request("GET", f"{server.url}/runs")
        futures = [client.client.submit(request, understand, ACCOUNT) for _ in range(3)]
        assert [future.result(120) for future in futures] == [OK[1]] * 3


def test_without_a_thread_to_be_had_requests_are_sent_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(in_turn(OK)) as server:
        client = asking(server.url)
        get(client)

        def none_left(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        sent: list[requests.Request] = []

        def send(request: requests.Request, _account: Account) -> Response:
            sent.append(request)
            return Response(200, {}, OK[1], "/runs")

        request = requests.Request("GET", f"{server.url}/runs")
        with monkeypatch.context() as patch:
            patch.setattr(client.client, "_send", send)  # the server needs threads of its own
            patch.setattr(threading.Thread, "start", none_left)
            future = client.client.submit(request, understand, ACCOUNT)
    assert sent == [request]
    assert future.result(0) == OK[1]


def test_an_error_in_a_thread_is_raised_where_the_result_is_wanted() -> None:
    with served(in_turn((418, b"{}"))) as server:
        future = asking(server.url).client.submit(requests.Request("GET", server.url), understand, ACCOUNT)
        with pytest.raises(ListUnsupportedError, match="418"):
            future.result(120)


# What it costs


def metrics_in(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    points = [
        json.loads(record.getMessage().removeprefix("METRIC: ")) for record in caplog.records if "METRIC" in record.msg
    ]
    return [point for point in points if point["metric"] == name]


def test_requests_are_booked_on_their_stream(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with served(in_turn((500, b""), (429, b"", {"Retry-After": "0"}), OK)) as server:
        client = asking(server.url)
        get(client)
        client.client.get(requests.Request("GET", server.url), understand, Account("tags", "/tags"))
    assert (client.client.limiter.requests, client.client.limiter.rejections) == (4, 1)
    durations = [point["tags"] for point in metrics_in(caplog, "http_request_duration")]
    assert [(tags["stream"], tags["http_status_code"], tags["status"]) for tags in durations] == [
        ("runs", 500, "failed"),
        ("runs", 429, "failed"),
        ("runs", 200, "succeeded"),
        ("tags", 200, "succeeded"),
    ]
    assert durations[0]["endpoint"] == "/organizations/{org_id}/runs"
    client.client.log_request_count("runs")
    client.client.log_request_count("runs")
    client.client.log_request_count("tags")
    counts = metrics_in(caplog, "http_request_count")
    assert [(point["tags"]["stream"], point["value"]) for point in counts] == [("runs", 3), ("tags", 1)]


def test_a_failed_connection_is_booked_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with served(cut) as server:
        client = asking(server.url)
        with pytest.raises(ListFailedError):
            get(client)
    assert len(metrics_in(caplog, "http_request_duration")) == client.client.limiter.requests == TRIES
    assert {point["tags"]["status"] for point in metrics_in(caplog, "http_request_duration")} == {"failed"}


def test_the_cause_of_a_lost_connection_is_a_passing_error() -> None:
    assert issubclass(ConnectionFailedError, PassingError)
