"""Pages of one list in process: what a response is worth, and which variant of a request a server understands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tap_tallyfy.api.errors import (
    APIError,
    FilterRefusedError,
    ListFailedError,
    ListRefusedError,
    ListUnsupportedError,
    LoginError,
    PassingError,
    check,
)
from tap_tallyfy.api.listing import ARCHIVED, Listing
from tap_tallyfy.api.response import Response
from tap_tallyfy.reading.page import UnreadableError, Window
from tests.served import TOKEN, Exchange, asking, in_turn, listed, served

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_tallyfy.reading.page import Page

FIRST = Window(1, 100)
SORTED = Window(1, 100, "-created_at")
ROW = {"id": "a"}
TRIES = 6


def total(number: Any) -> dict[str, Any]:
    return {"meta": {"pagination": {"total": number}}}


# What a response is worth


NOTHING = {
    "no rows, but a total": listed([], **total(100)),
    "an object, but a total": b'{"data": {}, "meta": {"pagination": {"total": "100"}}}',
    "no rows, but a next page": listed([], meta={"pagination": {"links": {"next": "https://x/?page=2"}}}),
    "no rows, but more pages": listed([], meta={"Pagination": {"total_pages": 3}}),
    "an error beside no rows": listed([], error=True),
    "an error beside an empty object": b'{"error": true, "data": {}}',
    "an error and no data": b'{"error": true, "message": "WHAT-THE-BODY-SAYS", "code": "SERVER_ERROR"}',
    "an error in words": listed([], error="WHAT-THE-BODY-SAYS"),
    "a nested error": listed([], error={"code": "X"}),
    "errors by field": listed([], errors={"WHAT": ["THE-BODY-SAYS"]}),
    "no success": listed([], success=False),
    "a status in words": listed([], status="error"),
    "a status in digits": listed([], status=500),
    "a total in Laravel's place": listed([], meta={"current_page": 1, "total": 100}),
    "a total beside no rows": listed([], current_page=1, total="100"),
    "a total in capitals": listed([], META={"PAGINATION": {"Total": 100}}),
    "a next page beside no rows": listed([], links={"next": "https://x/?page=2"}),
    "an error in a digit": listed([], error=1),
    "an error spelled otherwise": listed([], Errors=["WHAT-THE-BODY-SAYS"]),
    "an exception": listed([], exception="WHAT-THE-BODY-SAYS"),
    "no success as a text": listed([], success="false"),
    "not ok": listed([], ok=0),
    "a status as a text": listed([], status="500"),
    "a status by another name": listed([], statusCode=500),
    "a code": listed([], code=503),
    "an error beside rows": listed([ROW], error=True),
    "an error and null": b'{"error": true, "data": null}',
    "not JSON": b"<html>WHAT-THE-BODY-SAYS</html>",
}


@pytest.mark.parametrize("body", NOTHING.values(), ids=NOTHING.keys())
def test_a_response_that_cannot_be_believed_is_asked_for_again(body: bytes) -> None:
    pages: list[Page] = []
    with served(in_turn((200, body), (200, listed([ROW], **total(1))))) as server:
        client = asking(server.url)
        assert client.source(pages=pages).read(FIRST).records == [ROW]
        assert len(server.asked) == 2
    assert len(client.waits) == 1
    assert len(pages) == 1


@pytest.mark.parametrize("body", NOTHING.values(), ids=NOTHING.keys())
def test_what_can_never_be_believed_fails(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with served(in_turn((200, body))) as server:
        with pytest.raises(ListFailedError, match="GET /organizations/acme/runs ") as failed:
            asking(server.url).source().read(FIRST)
        assert len(server.asked) == TRIES
    assert "WHAT-THE-BODY-SAYS" not in f"{failed.value}{caplog.text}"


EMPTY = {
    "nothing": listed([]),
    "an object": b'{"data": {}}',
    "a bare array": b"[]",
    "a total of none": listed([], **total(0)),
    "one page": listed([], meta={"pagination": {"total_pages": 1, "links": []}}),
    "no error": listed([], error=False, errors=[], success=True, status="success"),
    "no error in null": listed([], error=None, errors={}, status=200),
    "no error in texts": listed([], error="false", success="true", status="200", code="OK", message="none found"),
    "a total of none in Laravel's place": listed([], current_page=1, last_page=1, total=0, next_page_url=None),
}


@pytest.mark.parametrize("body", EMPTY.values(), ids=EMPTY.keys())
def test_an_empty_list_is_one(body: bytes) -> None:
    with served(in_turn((200, body))) as server:
        assert asking(server.url).source().read(FIRST).count == 0
        assert len(server.asked) == 1


def test_a_server_that_counts_what_the_token_may_not_see_can_be_believed() -> None:
    with served(in_turn((200, listed([], **total(100))))) as server:
        page = asking(server.url).source(trust_totals=False).read(FIRST)
        assert (page.count, page.pagination.total) == (0, 100)
        with pytest.raises(ListFailedError, match=r"announced 100 records.*'trust_totals'"):
            asking(server.url).source().read(FIRST)


@pytest.mark.parametrize("body", [b"7", b"null", b'"x"', b"{}", b'{"data": 7}', b'{"data": {"id": {}}}'])
def test_json_without_records_is_not_the_api(body: bytes) -> None:
    with served(in_turn((200, body))) as server:
        with pytest.raises(ListUnsupportedError, match=r"'data'.*'api_url'"):
            asking(server.url).source().read(FIRST)
        assert len(server.asked) == 1


def test_a_list_with_a_gap_is_a_list() -> None:
    with served(in_turn((200, b'{"data": {"0": {"id": "a"}, "7": {"id": "b"}}}'))) as server:
        assert asking(server.url).source().read(FIRST).records == [{"id": "a"}, {"id": "b"}]


@pytest.mark.parametrize("body", [b'{"data": {"id": "a"}}', b'{"id": "a"}'])
def test_one_object_is_a_page_of_one(body: bytes) -> None:
    with served(in_turn((200, body))) as server:
        assert asking(server.url).source(is_single=True).read(SORTED).records == [ROW]
        assert server.asked[0][0] == "/organizations/acme/runs"


def test_rows_without_a_key_are_counted() -> None:
    rows: list[dict[str, Any]] = [{"id": "a"}, {"id": None}, {"id": ""}, {}, {"id": 0}]
    with served(in_turn((200, listed(rows)))) as server:
        page = asking(server.url).source().read(FIRST)
    assert page.records == [{"id": "a"}, {"id": 0}]
    assert (page.keyless, page.count) == (3, 5)


def test_a_broken_character_is_told_of() -> None:
    told: list[bool] = []
    with served(in_turn((200, rb'{"data": [{"id": "a\ud83d"}]}'))) as server:
        page = asking(server.url).source(inspect=lambda _, is_repaired: told.append(is_repaired)).read(FIRST)
    assert page.records == [{"id": "a\ufffd"}]
    assert told == [True]


# Refusals


def coded(code: str, **more: Any) -> bytes:
    return json.dumps({"error": True, "message": "WHAT-THE-BODY-SAYS", "code": code, **more}).encode()


MARK = b"WHAT-THE-BODY-SAYS"
REFUSALS: dict[str, tuple[int, bytes, type[APIError], tuple[str, ...]]] = {
    "401": (401, coded("UNAUTHENTICATED"), LoginError, ("401", "'access_token'")),
    "401 null": (401, b"null", LoginError, ("401", "'access_token'")),
    "403": (403, coded("FORBIDDEN"), ListRefusedError, ("403", "user", "deselect 'runs'")),
    "403 of a gateway": (403, b"<html>WHAT-THE-BODY-SAYS</html>", ListFailedError, ("403", "firewall", "'api_url'")),
    "403 without a word": (403, b"", ListFailedError, ("403", "firewall")),
    "403 not UTF-8": (403, b"\xff\xfe\x00", ListFailedError, ("403", "firewall")),
    "403 too deep": (403, b"[" * 100_000, ListFailedError, ("403", "firewall")),
    "403 a list": (403, b'["WHAT-THE-BODY-SAYS"]', ListFailedError, ("403", "firewall")),
    "404 endpoint": (404, coded("ENDPOINT_NOT_FOUND"), ListUnsupportedError, ("ENDPOINT_NOT_FOUND", "'api_url'")),
    "404 nested": (404, b'{"error": {"code": "ENDPOINT_NOT_FOUND"}}', ListUnsupportedError, ("ENDPOINT_NOT_FOUND",)),
    "404 resource": (404, coded("RESOURCE_NOT_FOUND"), ListRefusedError, ("RESOURCE_NOT_FOUND", "'org_id'")),
    "404 without a code": (404, b"{}", ListRefusedError, ("404", "'org_id'")),
    "404 of another server": (404, MARK, ListUnsupportedError, ("404", "'api_url'", "'org_id'")),
    "422": (422, b'{"errors": {"owners": ["WHAT-THE-BODY-SAYS"]}}', FilterRefusedError, ("422", "'runs.owners'")),
    "422 without fields": (422, coded("INVALID"), FilterRefusedError, ("422", "filters", "'runs'")),
    "422 a list": (422, b'{"errors": ["WHAT-THE-BODY-SAYS"]}', FilterRefusedError, ("422", "'runs'")),
    "422 a sentence": (422, b'{"errors": {"WHAT-THE-BODY-SAYS": []}}', FilterRefusedError, ("422",)),
    "422 text": (422, b'"WHAT-THE-BODY-SAYS"', FilterRefusedError, ("422",)),
    "400": (400, coded("BAD"), FilterRefusedError, ("400", "(BAD)", "'api_url'")),
    "418": (418, coded("TEAPOT"), ListUnsupportedError, ("418", "(TEAPOT)")),
    "418 a sentence": (418, b'{"code": "WHAT-THE-BODY-SAYS"}', ListUnsupportedError, ("418",)),
    "418 a number": (418, b'{"code": 7, "error": ["WHAT-THE-BODY-SAYS"]}', ListUnsupportedError, ("418",)),
    "204": (204, b"", ListUnsupportedError, ("204",)),
    **{str(status): (status, b"", ListUnsupportedError, ("redirect", "'api_url'")) for status in (301, 302, 307, 308)},
}


@pytest.mark.parametrize(("status", "body", "kind", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_is_a_class_and_a_sentence(
    status: int, body: bytes, kind: type[APIError], words: tuple[str, ...]
) -> None:
    with pytest.raises(kind) as refused:
        check(Response(status, {}, body, "/organizations/acme/runs"), "runs")
    sentence = str(refused.value)
    assert type(refused.value) is kind
    assert refused.value.status == status
    assert sentence.startswith(f"GET /organizations/acme/runs returned {status}")
    assert [word for word in words if word not in sentence] == []
    assert MARK.decode() not in sentence
    assert ("user" in sentence) is ((kind is ListRefusedError and status == 403) or kind is LoginError)


@pytest.mark.parametrize(
    "echo", [TOKEN.upper().replace("-", "_"), f"X_{TOKEN.upper()}_Y".replace("-", "_"), "OF_SOMEBODY"]
)
def test_a_code_that_shows_the_token_is_not_repeated(echo: str) -> None:
    headers = f"Bearer {TOKEN}"
    for body, status in ((coded(echo), 418), (coded(echo), 404), (b'{"errors": {"%s": []}}' % echo.encode(), 422)):
        with pytest.raises(APIError) as refused:
            check(Response(status, {}, body, "/runs", headers), "runs")
        assert echo not in str(refused.value)


def test_an_error_that_names_thousands_of_fields_stays_a_sentence() -> None:
    body = json.dumps({"errors": {f"field_{number}": [] for number in range(40_000)} | {"x" * 10_000: []}}).encode()
    with pytest.raises(FilterRefusedError) as refused:
        check(Response(422, {}, body, "/runs"), "runs")
    assert len(str(refused.value)) < 500


# The tap's own parameters


def failing(status: int, body: bytes, when: Callable[[dict[str, str]], bool]) -> Callable[[Exchange], None]:
    """Fail for some queries, and list one record for all others."""

    def answer(exchange: Exchange) -> None:
        query = dict(parse_qsl(urlsplit(exchange.path).query))
        exchange.reply(
            *((status, body) if when(query) else (200, listed([{"id": "a", "status": query.get("status")}])))
        )

    return answer


FAILURES = [(500, b""), (503, b"<html>"), (504, b""), (200, b"<b>SQLSTATE[42S22]</b>"), (200, listed([], error=True))]


@pytest.mark.parametrize(("status", "body"), FAILURES)
def test_a_server_that_fails_when_it_is_to_sort_refuses_the_order(status: int, body: bytes) -> None:
    with served(failing(status, body, lambda query: "sort" in query)) as server:
        source = asking(server.url).source(params={"with": "tags", "status": "active"})
        with pytest.raises(UnreadableError, match="the API refuses 'sort'"):
            source.read(SORTED)
        assert len(server.asked) == 3
        assert "status=active" in server.asked[-1][0]
        assert "with=tags" in server.asked[-1][0]
        assert source.read(FIRST).count == 1


def test_a_server_that_fails_at_a_list_in_one_response_refuses_that() -> None:
    with served(failing(500, b"", lambda query: "without_pagination" in query)) as server:
        with pytest.raises(UnreadableError, match="without_pagination"):
            asking(server.url).source().read(Window(1, 100, unpaginated=True))
        assert len(server.asked) == 3


def test_an_order_of_the_users_is_not_done_without() -> None:
    with served(failing(500, b"", lambda query: "sort" in query)) as server:
        with pytest.raises(ListFailedError, match="500"):
            asking(server.url).source(sort="-created_at").read(SORTED)
        assert len(server.asked) == TRIES
        assert all("sort" in path for path, _ in server.asked)


def test_an_order_that_has_worked_is_not_doubted() -> None:
    replies = [(200, listed([ROW])), *[(500, b"")] * 3, (200, listed([ROW]))]
    with served(in_turn(*replies)) as server:
        source = asking(server.url).source()
        source.read(SORTED)
        assert source.read(Window(2, 100, "-created_at")).records == [ROW]
        assert all("sort" in path for path, _ in server.asked)


def test_a_server_that_is_down_is_down_whatever_it_is_asked() -> None:
    with served(in_turn((500, b""))) as server:
        with pytest.raises(ListFailedError, match="returned 500: the API failed"):
            asking(server.url).source(ARCHIVED).read(SORTED)
        assert len(server.asked) == TRIES


@pytest.mark.parametrize(("status", "body"), FAILURES)
def test_a_server_that_fails_at_one_filter_for_archived_records_is_asked_with_another(status: int, body: bytes) -> None:
    with served(failing(status, body, lambda query: "archived" in query)) as server:
        page = asking(server.url).source(ARCHIVED).read(SORTED)
    assert page.window.parameters == {"status": "archived"}
    assert page.records == [{"id": "a", "status": "archived"}]


def test_a_server_that_fails_at_order_and_filter_is_asked_without_either() -> None:
    with served(failing(500, b"", lambda query: "sort" in query or "archived" in query)) as server:
        source = asking(server.url).source(ARCHIVED)
        with pytest.raises(UnreadableError, match="'sort'"):
            source.read(SORTED)
        assert source.read(FIRST).window.parameters == {"status": "archived"}


@pytest.mark.parametrize("status", [500, 422])
def test_a_server_that_knows_no_filter_for_archived_records_is_named(status: int) -> None:
    body = b'{"errors": {"archived": [], "status": []}}'
    with (
        served(failing(status, body, lambda query: bool(query.keys() & {"archived", "status"}))) as server,
        pytest.raises(ListUnsupportedError, match=r"'runs.archived' to 'exclude'"),
    ):
        asking(server.url).source(ARCHIVED).read(FIRST)


@pytest.mark.parametrize(
    ("status", "body"), [(500, b""), (422, b'{"errors": {"all": ["unknown"]}}'), (422, b"{}"), (400, b"{}")]
)
def test_a_parameter_that_a_list_needs_is_named_as_the_taps_own(status: int, body: bytes) -> None:
    """It is no filter of the user's, and there is no setting of its name."""
    with (
        served(failing(status, body, lambda query: "all" in query)) as server,
        pytest.raises(FilterRefusedError, match="/acme/runs does not work with 'all', which the tap has to send"),
    ):
        asking(server.url).source(Listing(param_variants=({"all": "true"},))).read(FIRST)


def test_a_list_that_is_too_large_for_one_response_is_read_in_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tap_tallyfy.api.transport.MAX_BODY", 100)
    with served(in_turn((200, b"x" * 101))) as server:
        with pytest.raises(UnreadableError):
            asking(server.url).source().read(Window(1, 100, unpaginated=True))
        assert len(server.asked) == 1


# Side by side


def test_a_page_that_comes_broken_is_asked_for_again() -> None:
    pages: list[Page] = []
    with served(in_turn((200, listed([ROW])), (200, b"<html>"), (200, listed([ROW])))) as server:
        source = asking(server.url).source(pages=pages)
        source.read(FIRST)
        future = source.submit(Window(2, 100))
        assert set(source.wait_any([future])) == {future}
        assert source.result(Window(2, 100), future).records == [ROW]
        assert [path.partition("?page=")[2][:1] for path, _ in server.asked] == ["1", "2", "2"]
    assert len(pages) == 2


def test_a_refusal_side_by_side_is_raised_with_the_result() -> None:
    with served(in_turn((200, listed([ROW])), (403, coded("FORBIDDEN")))) as server:
        source = asking(server.url).source()
        source.read(FIRST)
        with pytest.raises(ListRefusedError):
            source.result(Window(2, 100), source.submit(Window(2, 100)))


DATE = "Thu, 15 Jan 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds", "clock"),
    [
        ({"Date": DATE}, 0.0, 1768471200),
        ({"Date": DATE}, 1.2, 1768471198),
        ({"Date": "Thu, 15 Jan 2026 10:00:00 -0000"}, 0.0, 1768471200),
        ({"Date": "Thu, 15 Jan 2026 12:00:00 +0200"}, 0.0, 1768471200),
        ({"Date": "now"}, 0.0, None),
        ({}, 0.0, None),
    ],
)
def test_the_clock_of_the_server_is_noted(headers: dict[str, str], seconds: float, clock: float | None) -> None:
    endpoint = asking("http://127.0.0.1").endpoint()
    page = endpoint.page(FIRST, Response(200, headers, listed([ROW]), "/runs", seconds=seconds))
    assert page.server_time == clock


def test_passing_errors_do_not_leave_the_client() -> None:
    assert not issubclass(PassingError, APIError)
