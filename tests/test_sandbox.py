"""How the sandbox serves: pages, orders, filters, refusals, faults. Other tests lean on these."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
import threading
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox import KINDS, SERVERS, Behaviour, Fault, Sandbox
from sandbox.faults import INSTEAD, SPOILED
from sandbox.limit import RateLimit

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
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


def get(sandbox: Sandbox, **query: Any) -> requests.Response:
    return requests.get(
        f"{sandbox.api_url}/organizations/{sandbox.org_id}/runs",
        params=query,
        headers={"Authorization": f"Bearer {sandbox.access_token}", "X-Tallyfy-Client": "APIClient"},
        timeout=120,
    )


def body(sandbox: Sandbox, **query: Any) -> Json:
    response = get(sandbox, **query)
    response.raise_for_status()
    answer: Json = response.json()
    return answer


def pagination(sandbox: Sandbox, **query: Any) -> Json:
    found: Json = body(sandbox, **query)["meta"]["pagination"]
    return found


def ids(sandbox: Sandbox, **query: Any) -> list[str]:
    return [record["id"] for record in body(sandbox, **query)["data"]]


def live(sandbox: Sandbox) -> list[Json]:
    return [run for run in sandbox.runs.values() if not run["archived_at"]]


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


def test_meta_is_right_or_not(company: Sandbox) -> None:
    for meta, expected in (("right", {"pagination"}), ("capital", {"Pagination"}), ("absent", set())):
        company.behaviour = Behaviour(meta=meta)
        assert body(company).get("meta", {}).keys() == expected
    company.behaviour = Behaviour(meta="total_only")
    assert pagination(company).keys() == {"total"}


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
    ],
)
def test_pages_have_other_sizes_than_asked_for(company: Sandbox, sizes: str, expected: dict[int, int]) -> None:
    company.behaviour = Behaviour(sizes=sizes)
    assert {asked: len(ids(company, per_page=asked)) for asked in expected} == expected


def test_the_size_of_pages_changes_in_the_middle(company: Sandbox) -> None:
    for sizes, expected in (("third_answer_50", [100, 100, 50, 50]), ("third_answer_33", [100, 100, 33, 33])):
        company.behaviour = Behaviour(sizes=sizes)
        assert [len(ids(company, per_page=100)) for _ in range(4)] == expected
    company.behaviour = Behaviour(sizes="third_page_50")
    assert [len(ids(company, per_page=100, page=page)) for page in (1, 2, 3, 1)] == [100, 100, 50, 100]
    company.behaviour = Behaviour(sizes="random")
    assert len({len(ids(company, per_page=100)) for _ in range(6)}) > 2


def test_everything_comes_at_once(company: Sandbox) -> None:
    company.behaviour = Behaviour(paged=False)
    answer = body(company, per_page=10, page=7)
    assert answer.keys() == {"data"}
    assert {run["id"] for run in answer["data"]} == {run["id"] for run in live(company)}


# Orders


@pytest.mark.parametrize(
    ("version", "sort", "honoured"),
    [
        ("last_updated", "last_updated", "last_updated"),
        ("last_updated", "updated_at", None),
        ("updated_at", "updated_at", "last_updated"),
        ("created_at", "-created_at", "created_at"),
        ("created_at", "-last_updated", None),
        ("ignored", "created_at", None),
    ],
)
def test_the_order_asked_for_is_honoured_or_not(
    company: Sandbox, version: str, sort: str, honoured: str | None
) -> None:
    company.behaviour = Behaviour(sort=version, default_order="name")
    expected = sorted(live(company), key=lambda run: str(run["id"]))
    expected.sort(key=lambda run: str(run[honoured or "name"]), reverse=sort[0] == "-" and honoured is not None)
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


# The limit


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
    total = len(live(company))
    company.faults = [Fault("status", 503), None, Fault("empty"), Fault("error_true")]
    unavailable, right, empty, wrong, after = [get(company) for _ in range(5)]
    assert [answer.status_code for answer in (unavailable, right, after)] == [503, 200, 200]
    for answer, error in ((empty, None), (wrong, True)):
        found = answer.json()
        assert (found["data"], found.get("error"), found["meta"]["pagination"]["total"]) == ([], error, total)


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


# The command


def test_the_command_says_where_it_serves_and_stops_when_told() -> None:
    command = [sys.executable, "-m", "sandbox", "--runs", "120", "--seed", "4", "--server", "paging is ignored"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(240, process.kill)
        watchdog.daemon = True  # a test that has failed does not wait for it
        watchdog.start()
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told.keys() == {"api_url", "org_id", "access_token", "client_id", "client_secret", "token_url"}
        headers = {"Authorization": f"Bearer {told['access_token']}", "X-Tallyfy-Client": "APIClient"}
        url = f"{told['api_url']}/organizations/{told['org_id']}/runs"
        assert len(requests.get(url, headers=headers, timeout=120).json()["data"]) > 90
        asked = told["api_url"].removesuffix("/api") + "/sandbox/requests"
        recorded = requests.get(asked, timeout=120).json()["data"]
        assert [(made["method"], made["status"]) for made in recorded] == [("GET", 200)]
        while process.poll() is None:  # as from a shell that stops its jobs at its end, once more
            process.send_signal(signal.SIGTERM)
        assert process.returncode == 0
        watchdog.cancel()
