from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import requests
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from sandbox import Behaviour, Fault, Sandbox
from sandbox.data import FOLDERS, GROUPS, TAGS, TEMPLATES
from sandbox.limit import RateLimit
from sandbox.wire import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent
NOON = datetime(2026, 2, 1, 12, tzinfo=timezone.utc)
TAG, OTHER_TAG, *_ = TAGS
FOLDER = next(iter(FOLDERS))
RELATED = "checklist,tasks,tags,assets,next_task,permissions,tasks_meta,ko_form_fields,form_fields,stages,folders"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(runs=250, seed=7) as running:
        yield running


def get(sandbox: Sandbox, **query: Any) -> requests.Response:
    return requests.get(
        f"{sandbox.api_url}/organizations/{sandbox.org_id}/runs",
        params=query,
        headers={"Authorization": f"Bearer {sandbox.access_token}", "X-Tallyfy-Client": "APIClient"},
        timeout=10,
    )


def body(sandbox: Sandbox, **query: Any) -> dict[str, Any]:
    response = get(sandbox, **query)
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


def pagination(sandbox: Sandbox, **query: Any) -> dict[str, Any]:
    answer: dict[str, Any] = body(sandbox, **query)["meta"]["pagination"]
    return answer


def ids(sandbox: Sandbox, **query: Any) -> list[str]:
    return [run["id"] for run in body(sandbox, **query)["data"]]


def paged(sandbox: Sandbox, **query: Any) -> list[str]:
    """Follow the pages until one has no next."""
    found: list[str] = []
    for page in range(1, 1000):
        answer = body(sandbox, page=page, **query)
        found += [run["id"] for run in answer["data"]]
        if not answer["meta"]["pagination"]["links"]:
            return found
    pytest.fail("no page is the last one")


def live(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [run for run in sandbox.runs.values() if not run["archived_at"]]


def token(sandbox: Sandbox, **form: str) -> requests.Response:
    credentials = {
        "grant_type": "client_credentials",
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
    }
    return requests.post(sandbox.token_url, data={**credentials, **form}, timeout=10)


# The contract


@pytest.mark.parametrize("date_format", ["ms", "z", "offset"])
def test_answers_follow_the_contract(date_format: str) -> None:
    document = json.loads((ROOT / "schemas" / "openapi.json").read_text(encoding="utf-8"))
    schema = document["paths"]["/organizations/{org_id}/runs"]["get"]["responses"]["200"]["content"]["application/json"]
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    registry: Registry[Any] = Registry().with_resource("urn:api", DRAFT202012.create_resource(document))
    resolved = json.loads(json.dumps(schema["schema"]).replace('"#/', '"urn:api#/'))
    validator = Draft202012Validator(resolved, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER)
    behaviour = Behaviour(empty_object_as_list=False, wrapped=False, date_format=date_format, per_page_cap=0)
    known = set(document["components"]["schemas"]["Run"]["properties"])
    with Sandbox(runs=250, seed=7, behaviour=behaviour) as sandbox:
        for query in ({}, {"with": RELATED}, {"status": "archived"}, {"without_pagination": "true"}):
            answer = body(sandbox, per_page=300, **query)
            assert answer["data"]
            assert [error.message for error in validator.iter_errors(answer)] == []
            assert {name for run in answer["data"] for name in run} <= known
        assert known == set(body(sandbox, **{"with": RELATED})["data"][0])


def test_an_answer_that_breaks_the_contract_would_be_seen(sandbox: Sandbox) -> None:
    run = next(iter(sandbox.runs.values()))
    document = json.loads((ROOT / "schemas" / "openapi.json").read_text(encoding="utf-8"))
    registry: Registry[Any] = Registry().with_resource("urn:api", DRAFT202012.create_resource(document))
    validator = Draft202012Validator({"$ref": "urn:api#/components/schemas/Run"}, registry=registry)
    assert not validator.is_valid({**run, "late_tasks": "many"})


# The data


def test_the_same_seed_makes_the_same_runs() -> None:
    assert Sandbox(runs=50, seed=3).runs == Sandbox(runs=50, seed=3).runs
    assert Sandbox(runs=50, seed=3).runs != Sandbox(runs=50, seed=4).runs


def test_the_runs_look_like_those_of_a_company() -> None:
    runs = list(Sandbox(runs=4000, seed=2).runs.values())
    assert len(runs) == 4000
    assert 0.08 < sum(run["status"] == "archived" for run in runs) / 4000 < 0.16
    assert all((run["status"] == "archived") is (run["archived_at"] is not None) for run in runs)
    assert {run["status"] for run in runs} == {"active", "complete", "archived"}
    assert {run["checklist_title"] for run in runs} == {template.title for template in TEMPLATES}
    # Bulk launches come 40 a second, everything else one by one.
    at_once = Counter(run["created_at"] for run in runs)
    bulk = sum(count for count in at_once.values() if count >= 40)
    assert 0.03 < bulk / 4000 < 0.07
    assert max(at_once.values()) < 45
    assert max(count for count in at_once.values() if count < 40) < 5
    assert 0.03 < sum(run["created_at"] == run["last_updated"] for run in runs) / 4000 - bulk / 4000 < 0.07
    assert all("2024-12-11" <= run["created_at"] <= run["last_updated"] <= "2026-01-15T12:00:00.000Z" for run in runs)
    assert any(run["late_tasks"] for run in runs)
    assert any(not run["name"].isascii() for run in runs)
    answers = [value for run in runs for value in dict(run["prerun"]).values()]
    assert {type(value) for value in answers} == {str, dict, list}
    assert all(len(run["id"]) == 32 for run in runs)
    assert len({run["id"] for run in runs}) == 4000


def test_given_data_is_sent_as_it_is() -> None:
    given: list[dict[str, Any]] = [
        {"id": "b", "name": "two", "unheard_of": {"a": [1]}},
        {"id": "a", "last_updated": None, "progress": None},
    ]
    with Sandbox(data=given) as sandbox:
        assert body(sandbox, sort="last_updated")["data"] == [given[1], given[0]]
        assert sandbox.runs == {"a": given[1], "b": given[0]}


# Filters

FILTERS: dict[str, tuple[dict[str, str], Callable[[dict[str, Any], dict[str, Any]], bool]]] = {
    "q": ({"q": "acme"}, lambda run, _: "acme" in run["name"].lower()),
    "q in another script": ({"q": "株式会社"}, lambda run, _: "株式会社" in run["name"]),
    "active": ({"status": "active"}, lambda run, _: run["status"] == "active"),
    "complete": ({"status": "complete"}, lambda run, _: run["status"] == "complete"),
    "problem": ({"status": "problem"}, lambda run, more: more["problem_open"] or run["has_open_issue"]),
    "issue": ({"status": "issue"}, lambda run, _: run["has_open_issue"]),
    "improvement": ({"status": "improvement"}, lambda _, more: more["improvement"]),
    "delayed": ({"status": "delayed"}, lambda run, _: run["late_tasks"] > 0),
    "status starred": ({"status": "starred"}, lambda run, _: run["starred"]),
    "owners": (
        {"owners": "1001,1030"},
        lambda run, _: bool({1001, 1030} & {run["owner_id"], *run["users"], *run["collaborators"]}),
    ),
    "checklist_id": ({"checklist_id": TEMPLATES[0].id}, lambda run, _: run["checklist_id"] == TEMPLATES[0].id),
    "blueprint_id": ({"blueprint_id": TEMPLATES[1].id}, lambda run, _: run["checklist_id"] == TEMPLATES[1].id),
    "folder": ({"folder": FOLDER}, lambda _, more: more["folder_id"] == FOLDER),
    "tag": ({"tag": TAG}, lambda _, more: TAG in more["tag_ids"]),
    "tag_ids": ({"tag_ids": f"{TAG},{OTHER_TAG}"}, lambda _, more: bool({TAG, OTHER_TAG} & {*more["tag_ids"]})),
    "untagged": ({"untagged": "true"}, lambda _, more: not more["tag_ids"]),
    "starred": ({"starred": "true"}, lambda run, _: run["starred"]),
    "not starred": ({"starred": "false"}, lambda run, _: not run["starred"]),
    "form": ({"type": "form"}, lambda run, _: run["type"] == "form"),
    "procedure": ({"type": "procedure"}, lambda run, _: run["type"] == "procedure"),
    "groups": ({"groups": f"{GROUPS[0]},{GROUPS[2]}"}, lambda run, _: bool({GROUPS[0], GROUPS[2]} & {*run["groups"]})),
    "two at once": (
        {"status": "active", "starred": "false"},
        lambda run, _: run["status"] == "active" and not run["starred"],
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_returns_exactly_what_matches(sandbox: Sandbox, name: str) -> None:
    query, matches = FILTERS[name]
    expected = {run["id"] for run in live(sandbox) if matches(run, sandbox.internal[run["id"]])}
    assert 0 < len(expected) < len(live(sandbox))
    assert sorted(paged(sandbox, per_page=50, **query)) == sorted(expected)


def test_an_unset_or_unknown_parameter_filters_nothing(sandbox: Sandbox) -> None:
    everything = len(live(sandbox))
    for query in ({"untagged": "false"}, {"q": ""}, {"updated_since": "2099-01-01"}):
        assert pagination(sandbox, **query)["total"] == everything


def test_a_status_that_does_not_exist_is_refused(sandbox: Sandbox) -> None:
    response = get(sandbox, status="finished")
    assert response.status_code == 422
    assert response.json() == {"error": True, "errors": {"status": ["The selected status is invalid."]}}


@pytest.mark.parametrize(
    ("archived", "query", "found"),
    [
        ("both", {}, "live"),
        ("both", {"status": "archived"}, "archived"),
        ("both", {"archived": "only"}, "archived"),
        ("both", {"archived": "true"}, "archived"),
        ("status", {"status": "archived"}, "archived"),
        ("status", {"archived": "only"}, "live"),
        ("param", {"status": "archived"}, "nothing"),
        ("param", {"archived": "only"}, "archived"),
        ("none", {"status": "archived"}, "nothing"),
        ("none", {"archived": "only"}, "live"),
    ],
)
def test_archived_runs_are_reached_by_the_filters_that_are_known(
    sandbox: Sandbox, archived: str, query: dict[str, str], found: str
) -> None:
    sandbox.behaviour.archived = archived
    expected = {
        "live": {run["id"] for run in live(sandbox)},
        "archived": {run["id"] for run in sandbox.runs.values() if run["archived_at"]},
        "nothing": set(),
    }[found]
    assert set(ids(sandbox, without_pagination="true", **query)) == expected


# Pages


@pytest.mark.parametrize("sort", ["created_at", "-created_at", "name", "-name", "last_updated", "-last_updated", ""])
def test_pages_cover_every_row_once(sandbox: Sandbox, sort: str) -> None:
    found = paged(sandbox, per_page=37, sort=sort)
    assert len(found) == len(set(found))
    assert set(found) == {run["id"] for run in live(sandbox)}


def test_the_envelope_of_a_page(sandbox: Sandbox) -> None:
    total = len(live(sandbox))
    answer = body(sandbox, per_page=20, page=2, status="active", sort="name")
    active = sum(run["status"] == "active" for run in sandbox.runs.values())
    assert 40 < active < total
    url = f"{sandbox.api_url}/organizations/{sandbox.org_id}/runs?per_page=20&page=3&status=active&sort=name"
    assert answer["meta"]["pagination"] == {
        "total": active,
        "count": 20,
        "per_page": 20,
        "current_page": 2,
        "total_pages": -(-active // 20),
        "links": {"next": url},
    }
    assert pagination(sandbox)["per_page"] == 10
    beyond = body(sandbox, per_page=100, page=99)
    assert beyond["data"] == []
    assert beyond["meta"]["pagination"]["total"] == total


def test_the_next_link_leads_to_the_next_page(sandbox: Sandbox) -> None:
    link = pagination(sandbox, per_page=30, sort="name", q="o")["links"]["next"]
    headers = {"Authorization": f"Bearer {sandbox.access_token}", "X-Tallyfy-Client": "APIClient"}
    followed = requests.get(link, headers=headers, timeout=10).json()
    assert followed == body(sandbox, per_page=30, sort="name", q="o", page=2)


def test_a_page_is_capped_at_100_rows(sandbox: Sandbox) -> None:
    answer = body(sandbox, per_page=500)
    assert len(answer["data"]) == 100
    assert answer["meta"]["pagination"]["per_page"] == 100
    sandbox.behaviour.reported_per_page = False
    assert pagination(sandbox, per_page=500)["per_page"] == 500
    sandbox.behaviour.per_page_cap = 0
    assert len(ids(sandbox, per_page=500)) == len(live(sandbox))
    sandbox.behaviour.per_page_fixed = 15
    assert len(ids(sandbox, per_page=500)) == 15


def test_without_pagination_everything_comes_at_once(sandbox: Sandbox) -> None:
    answer = body(sandbox, without_pagination="true")
    assert list(answer) == ["data"]
    assert len(answer["data"]) == len(live(sandbox))
    sandbox.behaviour.without_pagination = False
    assert len(body(sandbox, without_pagination="true")["data"]) == 10


@pytest.mark.parametrize(("links", "last"), [("object", {}), ("array", []), ("null", None)])
def test_the_links_of_the_last_page(sandbox: Sandbox, links: str, last: object) -> None:
    sandbox.behaviour.links = links
    assert pagination(sandbox, per_page=100, page=3)["links"] == last


def test_the_quirks_of_the_pagination(sandbox: Sandbox) -> None:
    behaviour, total = sandbox.behaviour, len(live(sandbox))
    behaviour.links = "absent"
    assert "links" not in pagination(sandbox, per_page=100, page=3)
    behaviour.links_host = "elsewhere.invalid"
    assert pagination(sandbox)["links"]["next"].startswith("http://elsewhere.invalid/api/organizations/")
    behaviour.total_pages = "wrong"
    assert pagination(sandbox, per_page=100)["total_pages"] == -(-total // 10)
    behaviour.total_pages = "absent"
    assert "total_pages" not in pagination(sandbox)
    behaviour.total = "low"
    assert pagination(sandbox)["total"] == total - 3
    behaviour.total = "high"
    assert pagination(sandbox)["total"] == total + 3
    behaviour.numbers_as_strings = True
    assert pagination(sandbox)["per_page"] == "10"
    behaviour.total = "absent"
    assert "total" not in pagination(sandbox)
    first = ids(sandbox)
    assert ids(sandbox, page=2) != first
    behaviour.ignore_page = True
    assert ids(sandbox, page=2) == first


def test_empty_objects_are_sent_as_lists(sandbox: Sandbox) -> None:
    empty = next(run["id"] for run in live(sandbox) if run["custom_fields"] == [])
    assert sandbox.touch(empty, progress={})["progress"] == []
    assert body(sandbox, sort="-last_updated")["data"][0]["progress"] == []
    sandbox.behaviour.empty_object_as_list = False
    sent = body(sandbox, sort="-last_updated")["data"][0]
    assert (sent["id"], sent["progress"], sent["custom_fields"]) == (empty, {}, {})
    assert sent == sandbox.runs[empty]


def test_related_data_is_sent_when_asked_for(sandbox: Sandbox) -> None:
    assert "tags" not in body(sandbox)["data"][0]
    wrapped = body(sandbox, tag=TAG, **{"with": "tags,folders"})["data"][0]
    sandbox.behaviour.wrapped = False
    bare = body(sandbox, tag=TAG, **{"with": "tags,folders"})["data"][0]
    assert TAG in {tag["id"] for tag in bare["tags"]}
    assert wrapped["tags"] == {"data": bare["tags"]}
    assert set(bare) - set(sandbox.runs[bare["id"]]) == {"tags", "folders"}


@pytest.mark.parametrize(("date_format", "tail"), [("ms", ".000Z"), ("z", "Z"), ("offset", "+00:00")])
def test_the_format_of_dates(sandbox: Sandbox, date_format: str, tail: str) -> None:
    sandbox.behaviour.date_format = date_format
    run = body(sandbox)["data"][0]
    assert run["created_at"][19:] == tail
    assert run == sandbox.runs[run["id"]]


# Order


@pytest.mark.parametrize(
    ("version", "sort", "honoured"),
    [
        ("last_updated", "last_updated", "last_updated"),
        ("last_updated", "updated_at", None),
        ("last_updated", "created_at", "created_at"),
        ("updated_at", "updated_at", "last_updated"),
        ("updated_at", "last_updated", None),
        ("created_at", "created_at", "created_at"),
        ("created_at", "name", "name"),
        ("created_at", "last_updated", None),
        ("ignored", "created_at", None),
    ],
)
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("parameter", ["sort", "sort_by"])
def test_the_order_asked_for_is_honoured_or_not(
    sandbox: Sandbox, version: str, sort: str, honoured: str | None, sign: str, parameter: str
) -> None:
    sandbox.behaviour = Behaviour(sort=version, default_order="id")
    expected = sorted(live(sandbox), key=lambda run: str(run["id"]))
    if honoured is not None:
        expected.sort(key=lambda run: str(run[honoured]), reverse=sign == "-")
    query = {parameter: sign + sort}
    assert ids(sandbox, without_pagination="true", **query) == [run["id"] for run in expected]


def test_ties_are_shuffled_at_every_read() -> None:
    data = [{"id": f"{n:03}", "last_updated": f"2025-01-01T00:00:{n // 50:02d}.000Z"} for n in range(200)]
    with Sandbox(data=data, behaviour=Behaviour(shuffle_ties=True)) as sandbox:
        reads = [ids(sandbox, sort="last_updated", per_page=75) for _ in range(5)]
        assert len({tuple(read) for read in reads}) > 1
        for read in reads:
            assert {int(run_id) for run_id in read[:50]} == set(range(50))
            assert {int(run_id) for run_id in read[50:]} < set(range(50, 100))
            assert len(set(read)) == 75


# Access


def test_a_request_needs_its_headers(sandbox: Sandbox) -> None:
    url = f"{sandbox.api_url}/organizations/{sandbox.org_id}/runs"
    bearer, client = {"Authorization": f"Bearer {sandbox.access_token}"}, {"X-Tallyfy-Client": "APIClient"}
    unauthenticated = {"error": True, "message": "Unauthenticated.", "code": "UNAUTHENTICATED"}
    for headers in (client, {**client, "Authorization": "Bearer wrong"}, {**client, "Authorization": "Basic eDp5"}):
        refused = requests.get(url, headers=headers, timeout=10)
        assert (refused.status_code, refused.json()) == (401, unauthenticated)
    missing = requests.get(url, headers=bearer, timeout=10)
    assert (missing.status_code, missing.json()["code"]) == (404, "ENDPOINT_NOT_FOUND")
    sandbox.behaviour.require_client_header = False
    assert requests.get(url, headers=bearer, timeout=10).status_code == 200


@pytest.mark.parametrize(
    ("path", "code"),
    [("/organizations/other/runs", "RESOURCE_NOT_FOUND"), ("/organizations/other/walks", "ENDPOINT_NOT_FOUND")],
)
def test_a_path_that_does_not_exist(sandbox: Sandbox, path: str, code: str) -> None:
    headers = {"Authorization": f"Bearer {sandbox.access_token}", "X-Tallyfy-Client": "APIClient"}
    response = requests.get(sandbox.api_url + path, headers=headers, timeout=10)
    assert (response.status_code, response.json()["code"]) == (404, code)


def test_client_credentials_get_a_token_that_expires(sandbox: Sandbox) -> None:
    sandbox.set_clock(NOON)
    issued = token(sandbox).json()
    assert (issued["token_type"], issued["expires_in"]) == ("Bearer", 604_800)
    sandbox.access_token = issued["access_token"]
    sandbox.advance(604_799)
    assert get(sandbox).status_code == 200
    sandbox.advance(1)
    assert get(sandbox).status_code == 401


def test_a_wrong_client_gets_no_token(sandbox: Sandbox) -> None:
    refused = token(sandbox, client_secret="wrong")
    assert (refused.status_code, refused.json()) == (401, {"error": "invalid_client"})
    assert token(sandbox, grant_type="password").status_code == 400


def test_revoked_tokens_are_refused(sandbox: Sandbox) -> None:
    personal, issued = sandbox.access_token, token(sandbox).json()["access_token"]
    sandbox.revoke_tokens()
    for refused in (personal, issued):
        sandbox.access_token = refused
        assert get(sandbox).status_code == 401
    sandbox.access_token = token(sandbox).json()["access_token"]
    assert get(sandbox).status_code == 200


# Faults


def test_each_fault_hits_one_request(sandbox: Sandbox) -> None:
    sandbox.faults = [
        Fault("status", 500),
        Fault("status", 404, body=b"gone"),
        Fault("status", 503, retry_after="7"),
        None,
        Fault("rate_limit", retry_after="2"),
        Fault("html"),
        Fault("body", b'{"data": "?"}'),
    ]
    answers = [get(sandbox) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [500, 404, 503, 200, 429, 200, 200, 200]
    assert answers[0].json()["error"] is True
    assert answers[1].content == b"gone"
    assert answers[2].headers["Retry-After"] == "7"
    assert answers[4].headers["Retry-After"] == "2"
    assert answers[4].json()["code"] == "RATE_LIMIT_EXCEEDED"
    assert answers[5].headers["Content-Type"] == "text/html"
    assert answers[5].text.startswith("<!DOCTYPE html>")
    assert answers[6].json() == {"data": "?"}
    assert len(answers[7].json()["data"]) == 10
    assert sandbox.faults == []


def test_a_connection_is_reset_or_cut(sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("reset"), Fault("cut")]
    with pytest.raises(requests.ConnectionError):
        get(sandbox)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        get(sandbox)
    assert get(sandbox).status_code == 200
    assert [request.status for request in sandbox.requests] == [0, 200, 200]


def test_a_kind_of_fault_or_behaviour_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="'explode' is not a fault"):
        Fault("explode")
    with pytest.raises(ValueError, match="links='nul' is not one of object, array, null, absent"):
        Behaviour(links="nul")
    with pytest.raises(ValueError, match="linkz is not a behaviour"):
        Behaviour().linkz = "null"


@pytest.mark.parametrize("window", ["fixed", "rolling"])
def test_more_requests_than_the_limit_are_refused(sandbox: Sandbox, window: str) -> None:
    sandbox.behaviour = Behaviour(rate_limit=(3, 3600), rate_window=window, rate_remaining_header=True)
    answers = [get(sandbox) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0", "0"]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"3"}
    assert answers[3].json() == {"message": "Too many requests.", "code": "RATE_LIMIT_EXCEEDED"}
    assert 3500 < int(answers[3].headers["Retry-After"]) <= 3600
    assert "Retry-After" not in answers[2].headers
    sandbox.behaviour.rate_limit = None
    assert get(sandbox).status_code == 200


def test_the_limit_frees_up_with_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    times = [100.0, 100.0, *(at for at in (104.0, 109.0, 109.5, 110.0, 114.5) for _ in range(2))]
    monkeypatch.setattr("sandbox.limit.time.monotonic", lambda: times.pop(0))
    fixed, rolling = RateLimit(), RateLimit()
    answers = [(fixed.take(2, 10, "fixed"), rolling.take(2, 10, "rolling")) for _ in range(5)]
    monkeypatch.undo()
    assert answers == [
        ((1, 0), (1, 0)),
        ((0, 0), (0, 0)),
        ((-1, 0.5), (-1, 4.5)),
        ((1, 0), (-1, 4)),
        ((0, 0), (0, 0)),
    ]


# Changes while it runs


def test_the_hooks_shift_rows_between_pages(sandbox: Sandbox) -> None:
    expected = ids(sandbox, per_page=100, sort="created_at")
    first = ids(sandbox, per_page=20, sort="created_at")
    archive = iter(first[:3])
    sandbox.before_list = lambda _: sandbox.archive(next(archive))
    second = ids(sandbox, per_page=20, sort="created_at", page=2)
    assert second == expected[21:41]
    sandbox.before_list = None
    sandbox.after_list = lambda _: sandbox.archive(next(archive))
    assert ids(sandbox, per_page=20, sort="created_at") == expected[1:21]
    sandbox.after_list = None
    assert ids(sandbox, per_page=20, sort="created_at") == expected[2:22]


def test_the_hooks_see_the_request(sandbox: Sandbox) -> None:
    seen: list[str] = []
    sandbox.before_list = lambda request: seen.append(f"before {request.query['page']}")
    sandbox.after_list = lambda request: seen.append(f"after {request.query['page']}")
    get(sandbox, page=4)
    assert seen == ["before 4", "after 4"]


def test_every_change_is_seen_at_once(sandbox: Sandbox) -> None:
    sandbox.set_clock(NOON)
    made = sandbox.create(name="Made ☃", owner_id=5)
    assert (made["name"], made["last_updated"]) == ("Made ☃", "2026-02-01T12:00:00.000Z")
    assert ids(sandbox, q="made ☃") == [made["id"]]
    sandbox.advance(61)
    sandbox.touch(made["id"], name="Renamed")
    assert ids(sandbox, q="made ☃") == []
    assert body(sandbox, q="renamed")["data"] == [sandbox.runs[made["id"]]]
    assert sandbox.runs[made["id"]]["last_updated"] == "2026-02-01T12:01:01.000Z"
    assert sandbox.archive(made["id"])["archived_at"] == "2026-02-01T12:01:01.000Z"
    assert ids(sandbox, q="renamed") == []
    assert ids(sandbox, q="renamed", status="archived") == [made["id"]]
    restored = sandbox.restore(made["id"])
    assert (restored["status"], restored["archived_at"]) == ("active", None)
    assert ids(sandbox, q="renamed") == [made["id"]]
    sandbox.delete(made["id"])
    assert made["id"] not in sandbox.runs
    assert ids(sandbox, q="renamed") == []


def test_random_changes_keep_the_list_true(sandbox: Sandbox) -> None:
    sandbox.set_clock(NOON)
    before = dict(sandbox.runs)
    ids(sandbox, sort="-name")
    ids(sandbox, sort="last_updated")
    random = Random(5)
    for _ in range(20):
        changed = sandbox.mutate(random, 10)
        assert len(changed) == 10
        for field in ("name", "last_updated"):
            expected = sorted(live(sandbox), key=lambda run: str(run["id"]))
            expected.sort(key=lambda run: str(run[field]), reverse=True)
            assert ids(sandbox, sort=f"-{field}", without_pagination="true") == [run["id"] for run in expected]
    after = sandbox.runs
    assert after.keys() - before.keys()
    assert before.keys() - after.keys()
    shared = before.keys() & after.keys()
    assert any(before[key]["archived_at"] is None and after[key]["archived_at"] for key in shared)
    assert any(before[key]["archived_at"] and after[key]["archived_at"] is None for key in shared)
    assert all(after[key]["last_updated"] > before[key]["last_updated"] for key in shared if after[key] != before[key])


def test_the_same_random_changes_come_from_the_same_seed() -> None:
    first, second = Sandbox(runs=100, seed=1), Sandbox(runs=100, seed=1)
    for sandbox in (first, second):
        sandbox.set_clock(NOON)
        sandbox.mutate(Random(9), 50)
    assert first.runs == second.runs


def test_readers_and_writers_do_not_disturb_each_other(sandbox: Sandbox) -> None:
    random = Random(1)
    sandbox.before_list = lambda _: sandbox.mutate(random, 3)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda page: get(sandbox, per_page=20, page=page, sort="name"), [1, 2, 3, 4] * 10))
    assert [answer.status_code for answer in answers] == [200] * 40
    assert all(len({run["id"] for run in answer.json()["data"]}) == 20 for answer in answers)


# Clock, records, connections


def test_every_answer_has_the_date_of_the_clock(sandbox: Sandbox) -> None:
    sandbox.set_clock(NOON)
    assert get(sandbox).headers["Date"] == "Sun, 01 Feb 2026 12:00:00 GMT"
    assert get(sandbox, status="?").headers["Date"] == "Sun, 01 Feb 2026 12:00:00 GMT"
    sandbox.advance(2)
    assert sandbox.now() == NOON + timedelta(seconds=2)
    sandbox.set_clock(None)
    sandbox.clock_offset = 3600 * 24
    tomorrow = datetime.now(timezone.utc) + timedelta(hours=23)
    assert parsedate_to_datetime(get(sandbox).headers["Date"]) > tomorrow
    with pytest.raises(ValueError, match="not frozen"):
        sandbox.advance(1)
    sandbox.behaviour.date_header = False
    assert "Date" not in get(sandbox).headers


def test_every_request_is_recorded(sandbox: Sandbox) -> None:
    token(sandbox)
    get(sandbox, page=2, **{"with": "tags,folders"})
    get(sandbox, status="?")
    list_path = f"/api/organizations/{sandbox.org_id}/runs"
    assert [(made.method, made.path, made.query, made.status) for made in sandbox.requests] == [
        ("POST", "/oauth/token", {}, 200),
        ("GET", list_path, {"page": "2", "with": "tags,folders"}, 200),
        ("GET", list_path, {"status": "?"}, 422),
    ]
    assert sandbox.requests[1].headers["X-Tallyfy-Client"] == "APIClient"
    assert isinstance(sandbox.requests[0], Request)


def test_a_connection_serves_many_requests(sandbox: Sandbox) -> None:
    with requests.Session() as session:
        session.headers.update({"Authorization": f"Bearer {sandbox.access_token}", "X-Tallyfy-Client": "APIClient"})
        url = f"{sandbox.api_url}/organizations/{sandbox.org_id}/runs"
        ports = set()
        for _ in range(5):
            with session.get(url, stream=True, timeout=10) as answer:
                connection = getattr(answer.raw.connection, "sock", None)
                assert isinstance(connection, socket.socket)
                ports.add(connection.getsockname()[1])
                assert len(answer.json()["data"]) == 10
        assert len(ports) == 1


def test_it_stops_with_clients_still_connected() -> None:
    with requests.Session() as session:
        session.headers.update({"X-Tallyfy-Client": "APIClient"})
        with Sandbox(runs=5) as sandbox:
            url = f"{sandbox.api_url}/organizations/{sandbox.org_id}/runs"
            assert session.get(url, timeout=10).status_code == 401
        with pytest.raises(requests.ConnectionError):
            session.get(url, timeout=10)


def test_the_latency_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    with Sandbox(runs=5, latency=12.5) as sandbox:
        monkeypatch.setattr("sandbox.api.time.sleep", waited.append)
        assert get(sandbox).status_code == 200
    assert waited == [12.5]


# The command


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "sandbox", "--runs", "120", "--seed", "4", "--behaviour", "links=null"]
    command += ["wrapped=false", "per_page_cap=50", "rate_limit=600,1.5"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        watchdog = threading.Timer(60, running.kill)
        watchdog.start()
        yield running
        watchdog.cancel()
        running.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_where_it_serves_and_stops_when_told(
    process: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert set(told) == {"api_url", "org_id", "access_token", "client_id", "client_secret", "token_url"}
    headers = {"Authorization": f"Bearer {told['access_token']}", "X-Tallyfy-Client": "APIClient"}
    url = f"{told['api_url']}/organizations/{told['org_id']}/runs"
    page = requests.get(url, params={"per_page": "100"}, headers=headers, timeout=10).json()
    assert page["meta"]["pagination"]["per_page"] == 50
    form = {"client_id": told["client_id"], "client_secret": told["client_secret"], "grant_type": "client_credentials"}
    assert requests.post(told["token_url"], data=form, timeout=10).status_code == 200

    control = told["api_url"].removesuffix("/api") + "/sandbox"
    before = requests.get(f"{control}/runs", timeout=10).json()["data"]
    assert before == list(Sandbox(runs=120, seed=4).runs.values())
    changed = requests.post(f"{control}/mutate?count=30&seed=8", timeout=10).json()["data"]
    after = requests.get(f"{control}/runs", timeout=10).json()["data"]
    assert len(changed) == 30
    assert {run["id"] for run in after if run not in before} == set(changed) & {run["id"] for run in after}
    recorded = requests.get(f"{control}/requests", timeout=10).json()["data"]
    assert [(made["method"], made["status"]) for made in recorded] == [("GET", 200), ("POST", 200)]
    assert requests.get(f"{control}/nothing", timeout=10).status_code == 404

    process.send_signal(number)
    assert process.wait(10) == 0
    assert process.stdout.read() == ""


@pytest.mark.parametrize("pair", ["links=nul", "nothing=1", "wrapped=perhaps", "rate_limit=5"])
def test_the_command_refuses_a_behaviour_it_does_not_know(pair: str) -> None:
    command = [sys.executable, "-m", "sandbox", "--runs", "1", "--behaviour", pair]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"--behaviour {pair}: ")
    assert "Traceback" not in refused.stderr
