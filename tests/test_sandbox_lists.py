"""What the sandbox holds: a company whose lists fit together, follow each other, and keep to the contract."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import requests
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from sandbox import KINDS, Behaviour, Sandbox
from sandbox.behaviour import TASK_CHANGES, TASK_SERVERS
from sandbox.lists import LISTS, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
NOON = datetime(2026, 2, 1, 12, tzinfo=timezone.utc)
Json = dict[str, Any]


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox(runs=300, seed=7) as started:
        yield started


@pytest.fixture
def company(running: Sandbox) -> Sandbox:
    """An account that no test changes; each has a behaviour of its own."""
    running.behaviour = Behaviour(empty_object_as_list=False)
    return running


def body(sandbox: Sandbox, path: str, **query: Any) -> Json:
    response = requests.get(
        f"{sandbox.api_url}/organizations/{sandbox.org_id}/{path}",
        params=query,
        headers={"Authorization": f"Bearer {sandbox.access_token}", "X-Tallyfy-Client": "APIClient"},
        timeout=120,
    )
    response.raise_for_status()
    answer: Json = response.json()
    return answer


def data(sandbox: Sandbox, path: str, **query: Any) -> list[Json]:
    """All records."""
    sandbox.behaviour.per_page_cap = 0
    found: list[Json] = body(sandbox, path, per_page=100_000, **query)["data"]
    return found


def keys(sandbox: Sandbox, path: str, **query: Any) -> set[Any]:
    return {record[key_of(path)] for record in data(sandbox, path, **query)}


def tasks_by_run(sandbox: Sandbox) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = defaultdict(list)
    for task in sandbox.records("tasks").values():
        if task["run_id"]:
            found[task["run_id"]].append(task)
    return {run_id: sorted(tasks, key=lambda task: int(task["position"])) for run_id, tasks in found.items()}


# The contract


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"owner_users": "objects", "guest_id": "code", "guest_names": "details", "feed_values": "arrays"},
        {"changed_name": "updated_at", "active_name": "active", "guest_id": "absent", "folders": "flat"},
    ],
    ids=str,
)
def test_answers_follow_the_contract(company: Sandbox, shape: Json) -> None:
    company.behaviour = Behaviour(empty_object_as_list=False, wrapped=False, **shape)
    document = json.loads((ROOT / "schemas" / "openapi.json").read_text(encoding="utf-8"))
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    registry: Registry[Any] = Registry().with_resource("urn:api", DRAFT202012.create_resource(document))
    for name, endpoint in LISTS.items():
        answers = document["paths"][f"/organizations/{{org_id}}/{name}"]["get"]["responses"]["200"]
        schema = json.dumps(answers["content"]["application/json"]["schema"]).replace('"#/', '"urn:api#/')
        validator = Draft202012Validator(json.loads(schema), registry=registry)
        for query in ({"with": ",".join(endpoint.related)}, {"archived": "only"}):
            answer = body(company, name, **query)
            assert [error.message for error in validator.iter_errors(answer)] == []
            assert all(endpoint.related.keys() <= row.keys() for row in answer["data"] if "with" in query)


# The company


def check(sandbox: Sandbox) -> None:
    """Every reference leads somewhere, and tasks are as far as their processes."""
    runs, tasks, checklists = sandbox.runs, sandbox.records("tasks"), sandbox.records("checklists")
    users, guests, groups = set(sandbox.records("users")), set(sandbox.records("guests")), sandbox.records("groups")
    steps = {step["id"]: step for hidden in sandbox.hidden("checklists").values() for step in hidden["steps"]}
    by_run = tasks_by_run(sandbox)
    assert by_run.keys() == runs.keys()
    for run_id, of_run in by_run.items():
        run, status = runs[run_id], Counter(task["status"] for task in of_run)
        total, completed = len(of_run) - status["auto-skipped"], status["completed"]
        progress = run["progress"] or {"total": total, "complete": 0}
        assert (total, completed) == (progress["total"], progress["complete"])
        assert run["status"] != "complete" or total == completed
        assert {task["archived_at"] for task in of_run} == {run["archived_at"]}
        assert {task["run_status"] for task in of_run} == {run["status"]}
        assert len({task["step_id"] for task in of_run}) == len(of_run)
        assert total == completed or status["in-progress"]
        assert set(run["prerun"]) <= {field["id"] for field in checklists[run["checklist_id"]]["prerun"]}
    for task in tasks.values():
        assert set(task["owners"]["users"]) <= users
        assert set(task["owners"]["guests"]) <= guests
        assert (task["status"] == "completed") == (task["completed_at"] is not None)
        assert task["status"] != "completed" or (task["completer_id"] in users or task["completer_guest"] in guests)
        assert task["created_at"] <= (task["started_at"] or task["created_at"]) <= task["last_updated"]
        assert task["is_oneoff_task"] is (task["run_id"] is None)
        if task["step_id"]:
            step = steps[task["step_id"]]
            assert (task["title"], task["checklist_id"]) == (step["title"], step["checklist_id"])
            assert set(task["taskdata"]) <= {field["id"] for field in step["captures"]}
    assert all(set(hidden["tag_ids"]) <= set(sandbox.records("tags")) for hidden in sandbox.hidden("tasks").values())
    assert all(set(group["members"]) <= users for group in groups.values())
    feed = list(sandbox.records("activity-feeds").values())
    assert [entry["id"] for entry in feed] == list(range(1, len(feed) + 1))
    assert [entry["created_at"] for entry in feed] == sorted(entry["created_at"] for entry in feed)


def test_everything_fits_together_also_after_changes() -> None:
    sandbox, random = Sandbox(runs=120, seed=7, behaviour=Behaviour(empty_object_as_list=False)), Random(5)
    check(sandbox)
    before = {name: sandbox.records(name) for name in LISTS}
    for _ in range(8):
        sandbox.advance(3600)
        assert len(sandbox.mutate(random, 60, everything=True)) == 60
        check(sandbox)
    after = {name: sandbox.records(name) for name in LISTS}
    assert [name for name in LISTS if not after[name].keys() - before[name].keys()] == []
    unchanged = [name for name in LISTS if all(after[name].get(key) == old for key, old in before[name].items())]
    assert unchanged == ["activity-feeds"]


def test_lists_are_the_same_whenever_they_are_looked_at() -> None:
    early, late = Sandbox(runs=60, seed=3), Sandbox(runs=60, seed=3)
    assert set(late.collections) == {"runs"}
    assert {name: bool(early.records(name)) for name in LISTS} == dict.fromkeys(LISTS, True)
    for changed in (early, late):
        changed.set_clock(NOON)
        changed.mutate(Random(4), 60)
        changed.archive(changed.create()["id"])
    for name in reversed(LISTS):
        assert early.records(name) == late.records(name)
    assert Sandbox(runs=60, seed=4).records("tasks").keys() != early.records("tasks").keys()


# Orders, filters and shapes of the lists


def test_what_lists_show_and_in_which_order(company: Sandbox) -> None:
    for name in ("tasks", "checklists"):
        archived = {key for key, record in company.records(name).items() if record["archived_at"]}
        assert keys(company, name) == company.records(name).keys() - archived
    assert {folder["parent_id"] for folder in data(company, "folders")} == {None}
    for name, sort, field in (
        ("tasks", "newest", "created_at"), ("tasks", "completed_newest", "completed_at"), ("folders", "-title", "name")
    ):  # fmt: skip
        values = [record[field] or "" for record in data(company, name, sort=sort)]
        assert values == sorted(values, reverse=True)


def test_what_the_list_of_tasks_shows(company: Sandbox) -> None:
    one_off = {key for key, task in company.records("tasks").items() if task["is_oneoff_task"]}
    shown = {task["id"] for task in data(company, "tasks", archived="true") if not task["archived_at"]}
    everything = company.records("tasks").keys()
    for kind, expected in (
        ("honoured", one_off), ("hides_archived", one_off & shown), ("empty", set()), ("ignored", everything)
    ):  # fmt: skip
        company.behaviour.is_oneoff = kind
        assert keys(company, "tasks", is_oneoff="true", archived="true") == expected
    company.behaviour.hide_completed_tasks = True
    assert {task["status"] for task in data(company, "tasks")} == {"in-progress", "not-started", "auto-skipped"}


def test_rows_without_their_key_and_processes_in_no_list(company: Sandbox) -> None:
    company.behaviour = Behaviour(keyless=5, unlisted_runs=5)
    assert keys(company, "guests") == {None} | (company.records("guests").keys() - company.keyless("guests"))
    company.behaviour.keyless = 0
    assert 30 < len(company.unlisted) < 90
    assert keys(company, "runs") | keys(company, "runs", status="archived") == company.runs.keys() - company.unlisted
    assert {task["run_id"] for task in data(company, "tasks", archived="true")} > company.unlisted


@pytest.mark.parametrize("date_format", KINDS["date_format"])
def test_the_format_of_dates_at_any_depth(date_format: str) -> None:
    expected = {"ms": "2026-02-01T12:00:00.000Z", "microseconds": "2026-02-01T12:00:00.000000Z"}
    expected |= {"no_zone": "2026-02-01 12:00:00", "z": "2026-02-01T12:00:00Z", "offset": "2026-02-01T12:00:00+00:00"}
    with Sandbox(runs=1, behaviour=Behaviour(date_format=date_format)) as sandbox:
        sandbox.set_clock(NOON)
        sandbox.account.comment(sandbox.account.create("tasks", title="Dated")["id"], "<p>!</p>")
        (task,) = data(sandbox, "tasks", q="dated", **{"with": "threads"})
    assert task["created_at"] == task["threads"]["data"][0]["created_at"] == expected[date_format]
    assert task["taskdata"] == []


# Tasks and their processes


def change(sandbox: Sandbox, kind: str, task: Json) -> None:
    account = sandbox.account
    match kind:
        case "complete":
            account.complete(task["id"])
        case "edit":
            account.edit("tasks", task["id"], title="Renamed")
        case "assign":
            account.edit("tasks", task["id"], owners={**task["owners"], "users": [1002]})
        case "comment":
            account.comment(task["id"], "<p>!</p>")
        case "create":
            account.create("tasks", run_id=task["run_id"])
        case "archive":
            account.archive("tasks", task["id"])
        case _:
            account.delete("tasks", task["id"])


@pytest.mark.parametrize(
    "server", [name for name, fields in TASK_SERVERS.items() if "dates" in name or "dated" in name]
)
def test_a_change_of_a_task_dates_its_process_or_not(server: str) -> None:
    behaviour = Behaviour(**TASK_SERVERS[server])
    delay, offset = timedelta(seconds=behaviour.run_date_delay), timedelta(seconds=behaviour.run_date_offset)
    sandbox = Sandbox(runs=60, seed=7, behaviour=behaviour)
    sandbox.set_clock(NOON)
    open_tasks = {
        run_id: [task for task in tasks if task["status"] in {"in-progress", "not-started"}]
        for run_id, tasks in tasks_by_run(sandbox).items() if sandbox.runs[run_id]["status"] == "active"
    }  # fmt: skip
    # The last one of a process would complete it, which dates it.
    going = [(run_id, tasks[0]) for run_id, tasks in open_tasks.items() if len(tasks) > 1]
    for kind, (run_id, task) in zip(sorted(TASK_CHANGES), going[: len(TASK_CHANGES)], strict=True):
        at, before = sandbox.now(), sandbox.runs[run_id]["last_updated"]
        change(sandbox, kind, task)
        dated = f"{at + offset:%Y-%m-%dT%H:%M:%S}.000Z" if kind in behaviour.task_dates_run else before
        assert sandbox.runs[run_id]["last_updated"] == (before if delay else dated)
        sandbox.advance(delay.total_seconds())
        assert sandbox.runs[run_id]["last_updated"] == dated
        sandbox.advance(3600)


@pytest.mark.parametrize("archived", [False, True])
def test_the_tasks_of_one_process(company: Sandbox, archived: bool) -> None:
    run_id, tasks = next(
        (run_id, tasks) for run_id, tasks in tasks_by_run(company).items()
        if {"auto-skipped", "completed"} <= {task["status"] for task in tasks}
        and bool(tasks[0]["archived_at"]) is archived
    )  # fmt: skip
    path = f"runs/{run_id}/tasks"
    forms = {"true_or_only": ("true", "only"), "absent": ("", "true", "only"), "true": ("true",), "only": ("only",)}
    for kind in KINDS["process_tasks_archived"]:
        company.behaviour = Behaviour(empty_object_as_list=False, process_tasks_archived=kind)
        for form in ("", "true", "only"):
            there = form in forms.get(kind, ()) if archived else form != "only" or kind in {"true", "none"}
            assert data(company, path, archived=form) == (tasks if there else [])
    for hidden, status in (("skipped", "auto-skipped"), ("completed", "completed")):
        company.behaviour = Behaviour(process_tasks_hide=hidden, process_tasks_lack=frozenset({"taskdata"}))
        found = data(company, path, archived="true")
        assert {task["id"] for task in found} == {task["id"] for task in tasks if task["status"] != status}
        assert not any("taskdata" in task for task in found)
    company.behaviour = Behaviour(process_tasks_per_page=2)
    assert len(body(company, path, archived="true", per_page=100)["data"]) == 2
    with pytest.raises(requests.HTTPError, match="404"):
        body(company, "runs/nothing/tasks")
