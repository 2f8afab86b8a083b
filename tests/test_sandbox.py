"""How the sandbox serves: pages, orders, filters, refusals, faults, hooks, the clock. Other tests lean on these."""

from __future__ import annotations

import ast
import json
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from graphlib import TopologicalSorter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox import KINDS, SERVERS, Behaviour, Fault, Sandbox
from sandbox.data import FOLDERS, TAGS
from sandbox.faults import INSTEAD, SPOILED
from sandbox.limit import RateLimit

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
NOON = datetime(2026, 2, 1, 12, tzinfo=timezone.utc)
TAG, OTHER_TAG, *_ = TAGS
FOLDER = next(iter(FOLDERS))
Json = dict[str, Any]


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox(runs=250, seed=7) as started:
        yield started


@pytest.fixture
def company(running: Sandbox) -> Sandbox:
    """An account that no test changes; each has a behaviour of its own."""
    running.behaviour, running.faults = Behaviour(), []
    return running


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(runs=100, seed=7) as started:
        yield started


def get(sandbox: Sandbox, path: str = "/runs", **query: Any) -> requests.Response:
    return requests.get(
        f"{sandbox.api_url}/organizations/{sandbox.org_id}{path}",
        params=query,
        headers={"Authorization": f"Bearer {sandbox.access_token}", "X-Tallyfy-Client": "APIClient"},
        timeout=120,
    )


def body(sandbox: Sandbox, path: str = "/runs", **query: Any) -> Json:
    response = get(sandbox, path, **query)
    response.raise_for_status()
    answer: Json = response.json()
    return answer


def pagination(sandbox: Sandbox, **query: Any) -> Json:
    found: Json = body(sandbox, **query)["meta"]["pagination"]
    return found


def ids(sandbox: Sandbox, path: str = "/runs", **query: Any) -> list[str]:
    return [record["id"] for record in body(sandbox, path, **query)["data"]]


def live(sandbox: Sandbox) -> list[Json]:
    return [run for run in sandbox.runs.values() if not run["archived_at"]]


def token(sandbox: Sandbox, **form: str) -> requests.Response:
    client = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    return requests.post(sandbox.token_url, data={"grant_type": "client_credentials", **client, **form}, timeout=120)


def test_its_files_need_each_other_in_one_direction() -> None:
    """Imports for types alone count too."""
    files = {file.stem: ast.walk(ast.parse(file.read_text("utf-8"))) for file in (ROOT / "sandbox").glob("*.py")}
    needs: dict[str, set[str]] = {}
    for name, nodes in files.items():
        imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        modules = {(node.module or "").partition("sandbox.")[2] for node in imports}
        modules |= {alias.name for node in imports if node.module == "sandbox" for alias in node.names}
        needs[name] = modules & files.keys()
    assert needs["account"] > {"people", "store"}
    assert list(TopologicalSorter(needs).static_order())


# Filters


def test_what_no_filter_knows_is_ignored_or_refused(company: Sandbox) -> None:
    assert pagination(company, updated_since="2099-01-01", q="")["total"] == len(live(company))
    assert get(company, status="finished").json() == {
        "error": True,
        "errors": {"status": ["The selected status is invalid."]},
    }
    company.behaviour = Behaviour(refused=frozenset({"starred"}), refused_status=500)
    assert get(company, starred="true").status_code == 500


# Pages


def test_the_envelope_of_a_page(company: Sandbox) -> None:
    total = sum(run["status"] == "active" for run in company.runs.values())
    query = "per_page=10&page=3&status=active&sort=name"
    assert pagination(company, per_page=10, page=2, status="active", sort="name") == {
        "total": total,
        "count": 10,
        "per_page": 10,
        "current_page": 2,
        "total_pages": -(-total // 10),
        "links": {"next": f"{company.api_url}/organizations/{company.org_id}/runs?{query}"},
    }


@pytest.mark.parametrize(
    ("behaviour", "query", "expected"),
    [
        ({}, {"per_page": 500}, {"per_page": 100, "count": 100}),
        ({"reported_per_page": False}, {"per_page": 500}, {"per_page": 500, "count": 100}),
        ({"per_page_cap": 0}, {"per_page": 500}, {"per_page": 500}),
        ({"per_page_fixed": 15}, {"per_page": 500}, {"per_page": 15, "count": 15}),
        ({"total": "low", "total_pages": "wrong"}, {"per_page": 100}, {"total": -3, "total_pages": 0}),
        ({"total": "high"}, {}, {"total": 3}),
        ({"total": "absent", "total_pages": "absent"}, {}, {"total": None, "total_pages": None}),
        ({"numbers_as_strings": True}, {}, {"per_page": "10"}),
        ({"links": "array"}, {"page": 99}, {"links": []}),
        ({"links": "absent"}, {"page": 99}, {"links": None}),
        ({"ignore_page": True}, {"page": 99}, {"current_page": 1, "count": 10}),
        ({"most_rows": 95}, {"per_page": 50, "page": 2}, {"count": 45, "total": 0}),
        ({"most_rows": 95}, {"per_page": 50, "page": 3}, {"count": 0, "total": 0}),
        ({"endless": True}, {"per_page": 50, "page": 99}, {"count": 50, "total": 0}),
    ],
    ids=str,
)
def test_the_quirks_of_the_pagination(company: Sandbox, behaviour: Json, query: Json, expected: Json) -> None:
    company.behaviour = Behaviour(**behaviour)
    found = pagination(company, **query)
    total = len(live(company))
    more = {"total": total, "total_pages": -(-total // 10)}
    wanted = {
        name: value + more[name] if name in more and value is not None else value for name, value in expected.items()
    }
    assert {name: found.get(name) for name in expected} == wanted


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ("as_asked", {98: 98, 7: 7}),
        ("listed_down", {98: 50, 30: 25, 7: 10}),
        ("listed_up", {98: 100, 30: 50, 7: 10}),
        ("listed_nearest", {98: 100, 30: 25, 7: 10}),
        ("powers_of_two", {98: 64, 64: 64, 7: 4}),
        ("unknown_10", {98: 10, 50: 50}),
        ("unknown_20", {98: 20, 100: 100}),
        ("unknown_50", {98: 50, 25: 25}),
        ("tens", {98: 90, 7: 10}),
        ("third_page_50", {98: 98}),
    ],
)
@pytest.mark.parametrize("meta", ["right", "total_only", "absent"])
def test_pages_have_other_sizes_than_asked_for(
    company: Sandbox, sizes: str, expected: dict[int, int], meta: str
) -> None:
    company.behaviour = Behaviour(sizes=sizes, meta=meta)
    for asked, size in expected.items():
        answer = body(company, per_page=asked)
        assert len(answer["data"]) == size
        told = {
            "right": {"total", "count", "per_page", "current_page", "total_pages", "links"},
            "total_only": {"total"},
        }
        assert answer.get("meta", {}).get("pagination", {}).keys() == told.get(meta, set())


def test_the_size_of_pages_changes_in_the_middle(company: Sandbox) -> None:
    for sizes, expected in (("third_answer_50", [100, 100, 50, 50]), ("third_answer_33", [100, 100, 33, 33])):
        company.behaviour = Behaviour(sizes=sizes)
        assert [len(ids(company, per_page=100)) for _ in range(4)] == expected
    company.behaviour = Behaviour(sizes="third_page_50")
    assert [len(ids(company, per_page=100, page=page)) for page in (1, 2, 3, 1)] == [100, 100, 50, 100]
    company.behaviour = Behaviour(sizes="random")
    assert len({len(ids(company, per_page=100)) for _ in range(6)}) > 2


def test_everything_comes_at_once(company: Sandbox) -> None:
    everything = {run["id"] for run in live(company)}
    assert set(ids(company, without_pagination="true")) == everything
    company.behaviour = Behaviour(without_pagination=False)
    assert len(ids(company, without_pagination="true")) == 10
    company.behaviour = Behaviour(paged=False)
    answer = body(company, per_page=10, page=7)
    assert answer.keys() == {"data"}
    assert {run["id"] for run in answer["data"]} == everything


def test_rows_without_end_are_new_each_time(company: Sandbox) -> None:
    company.behaviour = Behaviour(endless=True)
    for path, key in (("/runs", "id"), ("/guests", "email"), ("/users", "id"), ("/activity-feeds", "id")):
        rows = [row[key] for _ in range(3) for row in body(company, path, per_page=50, page=90)["data"]]
        assert len(set(rows)) == 150


# Orders


@pytest.mark.parametrize(
    ("version", "sort", "honoured"),
    [
        ("last_updated", "last_updated", "last_updated"),
        ("last_updated", "updated_at", None),
        ("updated_at", "updated_at", "last_updated"),
        ("created_at", "-name", "name"),
        ("created_at", "-last_updated", None),
        ("ignored", "created_at", None),
    ],
)
def test_the_order_asked_for_is_honoured_or_not(
    company: Sandbox, version: str, sort: str, honoured: str | None
) -> None:
    company.behaviour = Behaviour(sort=version, default_order="id")
    expected = sorted(live(company), key=lambda run: str(run["id"]))
    if honoured is not None:
        expected.sort(key=lambda run: str(run[honoured]), reverse=sort[0] == "-")
    assert ids(company, without_pagination="true", sort=sort) == [run["id"] for run in expected]
    company.behaviour.unknown_sort = "500"
    assert get(company, sort=sort).status_code == (500 if honoured is None else 200)


def test_ties_are_shuffled_at_every_read() -> None:
    data = [{"id": f"{n:03}", "last_updated": f"2025-01-01T00:00:{n // 50:02d}.000Z"} for n in range(200)]
    with Sandbox(data=data, behaviour=Behaviour(shuffle_ties=True)) as sandbox:
        reads = [ids(sandbox, sort="last_updated", per_page=75) for _ in range(5)]
    assert len({tuple(read) for read in reads}) > 1
    assert all({int(run_id) for run_id in read[:50]} == set(range(50)) for read in reads)
    assert all(len(set(read)) == 75 for read in reads)


# Access


def test_a_request_needs_its_headers_and_its_path(company: Sandbox) -> None:
    url = f"{company.api_url}/organizations/{company.org_id}/runs"
    bearer, client = {"Authorization": f"Bearer {company.access_token}"}, {"X-Tallyfy-Client": "APIClient"}
    for headers, other, status, code in (
        (client, url, 401, "UNAUTHENTICATED"),
        ({**client, "Authorization": "Bearer wrong"}, url, 401, "UNAUTHENTICATED"),
        (bearer, url, 404, "ENDPOINT_NOT_FOUND"),
        ({**bearer, **client}, url + "s", 404, "ENDPOINT_NOT_FOUND"),
        ({**bearer, **client}, url.replace(company.org_id, "other"), 404, "RESOURCE_NOT_FOUND"),
    ):
        refused = requests.get(other, headers=headers, timeout=120)
        assert (refused.status_code, refused.json()["code"]) == (status, code)


def test_tokens_are_issued_expire_and_are_revoked(sandbox: Sandbox) -> None:
    assert token(sandbox, client_secret="wrong").json() == {"error": "invalid_client"}
    assert token(sandbox, grant_type="password").status_code == 400
    issued = token(sandbox).json()
    assert (issued["token_type"], issued["expires_in"]) == ("Bearer", 604_800)
    sandbox.access_token = issued["access_token"]
    assert get(sandbox).status_code == 200
    sandbox.advance(604_801)
    assert get(sandbox).status_code == 401
    sandbox.access_token = token(sandbox).json()["access_token"]
    sandbox.revoke_tokens()
    assert get(sandbox).status_code == 401


def test_lists_can_be_forbidden_or_missing(company: Sandbox) -> None:
    company.behaviour = Behaviour(forbidden=frozenset({"guests"}), missing=frozenset({"organization"}))
    assert [get(company, path).status_code for path in ("/guests", "", "/users")] == [403, 404, 200]


@pytest.mark.parametrize("window", KINDS["rate_window"])
def test_more_requests_than_the_limit_are_refused(company: Sandbox, window: str) -> None:
    company.behaviour = Behaviour(rate_limit=(3, 36000), rate_window=window, rate_remaining_header=True)
    company._limit = RateLimit()  # noqa: SLF001
    answers = [get(company) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert 30000 < int(answers[3].headers["Retry-After"]) <= 36000


def test_the_limit_frees_up_with_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    times = [100.0, 100.0, *(at for at in (104.0, 109.0, 109.5, 110.0, 114.5) for _ in range(2))]
    monkeypatch.setattr("sandbox.limit.time.monotonic", lambda: times.pop(0))
    fixed, rolling = RateLimit(), RateLimit()
    answers = [(fixed.take(2, 10, "fixed"), rolling.take(2, 10, "rolling")) for _ in range(5)]
    monkeypatch.undo()
    assert answers == [((1, 0), (1, 0)), ((0, 0), (0, 0)), ((-1, 0.5), (-1, 4.5)), ((1, 0), (-1, 4)), ((0, 0), (0, 0))]


# Faults


def test_each_fault_hits_one_request(company: Sandbox) -> None:
    company.faults = [
        Fault("status", 404, body=b"gone"),
        Fault("status", 503, retry_after="7"),
        None,
        Fault("rate_limit", retry_after="2"),
        Fault("html"),
        Fault("body", b'{"data": "?"}'),
        Fault("echo", 400),
    ]
    gone, unavailable, right, limited, html, other, echo, after = [get(company) for _ in range(8)]
    assert (gone.status_code, gone.content) == (404, b"gone")
    assert (unavailable.status_code, unavailable.headers["Retry-After"]) == (503, "7")
    assert unavailable.json()["error"] is True
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "2")
    assert html.headers["Content-Type"] == "text/html"
    assert other.json() == {"data": "?"}
    assert (echo.status_code, echo.json()["code"]) == (400, company.access_token)
    assert [answer.status_code for answer in (right, after)] == [200, 200]


@pytest.mark.parametrize(
    ("kind", "data", "failed"),
    [
        ("empty", [], None),
        ("empty_object", {}, None),
        ("null_data", None, None),
        ("no_data", "absent", None),
        ("error_true", [], True),
        ("error_and_rows", 10, True),
        ("data_object", 10, None),
    ],
)
def test_a_page_is_spoiled_once_or_always(company: Sandbox, kind: str, data: object, failed: bool | None) -> None:
    total = len(live(company))
    company.faults = [Fault(kind)]
    once = body(company)
    company.behaviour = Behaviour(first_page=kind)
    for answer in (once, body(company, page=1)):
        found = answer.get("data", "absent")
        assert (len(found) if found and data == 10 else found) == data
        assert answer.get("error") is failed
        assert answer["meta"]["pagination"]["total"] == total
    assert len(ids(company, page=2)) == 10


def test_a_fault_can_be_chosen_by_its_request(company: Sandbox) -> None:
    company.fault_for = lambda request: Fault("empty") if request.query.get("status") == "archived" else None
    assert (ids(company, status="archived"), len(ids(company))) == ([], 10)
    company.fault_for = None


def test_a_connection_is_reset_or_cut(company: Sandbox) -> None:
    del company.requests[:]
    company.faults = [Fault("reset"), Fault("cut")]
    for _ in range(2):
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            get(company)
    assert get(company).status_code == 200
    assert [request.status for request in company.requests] == [0, 200, 200]


@pytest.mark.parametrize("kind", ["drip", "drip_headers"])
def test_an_answer_drips(company: Sandbox, kind: str) -> None:
    company.faults = [Fault(kind, 0.001)]
    with socket.create_connection(("127.0.0.1", company.port), timeout=120) as client:
        path = f"/api/organizations/{company.org_id}/tags?per_page=1"
        lines = (f"GET {path} HTTP/1.1", f"Authorization: Bearer {company.access_token}", "X-Tallyfy-Client: APIClient")
        client.sendall("\r\n".join((*lines, "", "")).encode())
        pieces = list(iter(lambda: client.recv(65536), b""))
    assert len(pieces) > 100
    assert json.loads(b"".join(pieces).partition(b"\r\n\r\n")[2])["data"]


def test_a_small_answer_unpacks_to_a_large_one(company: Sandbox) -> None:
    company.faults = [Fault("bomb", 50_000_000)]
    answer = get(company)
    assert int(answer.headers["Content-Length"]) < 100_000
    assert len(answer.content) > 45_000_000
    assert answer.json() == {"data": []}


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="'explode' is not a fault"):
        Fault("explode")
    with pytest.raises(ValueError, match="links='nul' is not one of object, array, null, absent"):
        Behaviour(links="nul")
    with pytest.raises(ValueError, match="linkz is not a behaviour"):
        Behaviour().linkz = "null"
    with pytest.raises(ValueError, match="task_dates_run knows archive"):
        Behaviour(task_dates_run=frozenset({"look"}))
    for server in SERVERS.values():
        Behaviour(**server)


def test_every_fault_and_behaviour_is_in_its_table() -> None:
    table = str(sys.modules["sandbox.faults"].__doc__)
    assert [kind for kind in (*INSTEAD, *SPOILED) if f"| `{kind}` |" not in table] == []
    assert [name for name in vars(Behaviour()) if f"        {name}: " not in str(Behaviour.__doc__)] == []


# Changes and the clock


def test_the_hooks_shift_rows_between_pages(sandbox: Sandbox) -> None:
    expected = ids(sandbox, per_page=100, sort="created_at")
    archive = iter(expected[:2])
    sandbox.before_list = lambda _: sandbox.archive(next(archive))
    assert ids(sandbox, per_page=20, sort="created_at", page=2) == expected[21:41]
    sandbox.before_list, sandbox.after_list = None, lambda _: sandbox.archive(next(archive))
    assert ids(sandbox, per_page=20, sort="created_at") == expected[1:21]
    sandbox.after_list = None
    assert ids(sandbox, per_page=20, sort="created_at") == expected[2:22]


def test_every_change_is_seen_at_once(sandbox: Sandbox) -> None:
    sandbox.set_clock(NOON)
    made = sandbox.create(name="Made ☃", owner_id=5)
    assert (made["name"], made["last_updated"]) == ("Made ☃", "2026-02-01T12:00:00.000Z")
    sandbox.advance(61)
    sandbox.touch(made["id"], name="Renamed")
    assert ids(sandbox, q="made ☃") == []
    assert body(sandbox, q="renamed")["data"] == [sandbox.runs[made["id"]]]
    assert sandbox.archive(made["id"])["archived_at"] == "2026-02-01T12:01:01.000Z"
    assert (ids(sandbox, q="renamed"), ids(sandbox, q="renamed", status="archived")) == ([], [made["id"]])
    assert sandbox.restore(made["id"])["status"] == "active"
    sandbox.delete(made["id"])
    assert ids(sandbox, q="renamed") == []


def test_random_changes_keep_the_list_true(sandbox: Sandbox) -> None:
    other, random = Sandbox(runs=100, seed=7), Random(5)
    for each, seed in ((sandbox, random), (other, Random(5))):
        each.set_clock(NOON)
        each.mutate(seed, 100)
    assert sandbox.runs == other.runs
    for field in ("name", "last_updated"):
        for _ in range(3):
            sandbox.mutate(random, 10)
            expected = sorted(live(sandbox), key=lambda run: str(run["id"]))
            expected.sort(key=lambda run: str(run[field]), reverse=True)
            assert ids(sandbox, sort=f"-{field}", without_pagination="true") == [run["id"] for run in expected]


def test_readers_and_writers_do_not_disturb_each_other(sandbox: Sandbox) -> None:
    random = Random(1)
    sandbox.before_list = lambda _: sandbox.mutate(random, 3)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda page: ids(sandbox, per_page=20, page=page, sort="name"), [1, 2, 3] * 10))
    assert all(len(set(answer)) == 20 for answer in answers)


def test_the_clock_starts_where_the_past_ends(sandbox: Sandbox) -> None:
    assert timedelta(0) <= sandbox.now() - sandbox.as_of < timedelta(minutes=10)
    sandbox.set_clock(NOON)
    sandbox.advance(2)
    assert get(sandbox, status="?").headers["Date"] == "Sun, 01 Feb 2026 12:00:02 GMT"
    sandbox.behaviour.date_ahead = 3600
    assert get(sandbox).headers["Date"] == "Sun, 01 Feb 2026 13:00:02 GMT"
    sandbox.behaviour.date_header = False
    assert "Date" not in get(sandbox).headers
    sandbox.set_clock(None)
    sandbox.clock_offset = 24 * 3600
    assert sandbox.now() - sandbox.as_of >= timedelta(days=1)


# The wire and the command


def test_every_request_is_recorded_and_can_be_late(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("sandbox.api.time.sleep", waited.append)
    sandbox.latency = 12.5
    get(sandbox, page=2, **{"with": "tags,folders"})
    get(sandbox, status="?")
    path = f"/api/organizations/{sandbox.org_id}/runs"
    assert [(made.method, made.path, made.query, made.status) for made in sandbox.requests] == [
        ("GET", path, {"page": "2", "with": "tags,folders"}, 200),
        ("GET", path, {"status": "?"}, 422),
    ]
    assert waited == [12.5, 12.5]


def test_cookies_are_set(company: Sandbox) -> None:
    company.behaviour = Behaviour(cookies=14)
    first, second = get(company), get(company)
    assert len(first.headers["Set-Cookie"]) > 54_000
    assert not {*first.cookies} & {*second.cookies}


def test_it_stops_with_clients_still_connected() -> None:
    with requests.Session() as session:
        with Sandbox(runs=5) as sandbox:
            assert session.get(sandbox.api_url, timeout=120).status_code == 404
        with pytest.raises(requests.ConnectionError):
            session.get(sandbox.api_url, timeout=120)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_where_it_serves_and_stops_when_told(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "sandbox", "--runs", "120", "--seed", "4", "--server", "lists with gaps"]
    command += ["--behaviour", "wrapped=false", "per_page_cap=50", "rate_limit=600,1.5", "forbidden=guests,tags"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(240, process.kill)
        watchdog.start()
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        names = {"api_url", "org_id", "access_token", "client_id", "client_secret", "token_url"}
        assert told.keys() == names
        headers = {"Authorization": f"Bearer {told['access_token']}", "X-Tallyfy-Client": "APIClient"}
        url = f"{told['api_url']}/organizations/{told['org_id']}"
        page = requests.get(f"{url}/runs", params={"per_page": "100"}, headers=headers, timeout=120).json()
        assert page["meta"]["pagination"]["per_page"] == 50
        assert any(isinstance(run["users"], dict) for run in page["data"])
        assert requests.get(f"{url}/guests", headers=headers, timeout=120).status_code == 403

        control = told["api_url"].removesuffix("/api") + "/sandbox"
        changed = requests.post(f"{control}/mutate?count=30&seed=8&everything=true", timeout=120).json()["data"]
        assert len(changed) == 30
        assert requests.get(f"{control}/tasks", timeout=120).json()["data"]
        assert len(requests.get(f"{control}/credentials", timeout=120).json()["data"]) > 50
        recorded = requests.get(f"{control}/requests", timeout=120).json()["data"]
        assert [made["status"] for made in recorded] == [200, 403]
        assert requests.get(f"{control}/nothing", timeout=120).status_code == 404
        process.send_signal(number)
        assert process.wait(240) == 0
        watchdog.cancel()


@pytest.mark.parametrize("pair", ["links=nul", "nothing=1", "wrapped=perhaps", "rate_limit=5"])
def test_the_command_refuses_a_behaviour_it_does_not_know(pair: str) -> None:
    command = [sys.executable, "-m", "sandbox", "--runs", "1", "--behaviour", pair]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"--behaviour {pair}: ")
    assert "Traceback" not in refused.stderr
