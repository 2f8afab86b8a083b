"""What the sandbox holds: a company whose lists fit together, follow each other, and keep to the contract."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
import requests
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from sandbox import KINDS, Behaviour, Sandbox
from sandbox.behaviour import TASK_CHANGES, TASK_SERVERS
from sandbox.data import AS_OF, TEMPLATES
from sandbox.labels import TAG_TITLES
from sandbox.lists import LISTS, key_of
from sandbox.people import GUESTS, OVERLOADED_MEMBERS, guest_token
from sandbox.templates import BOTTLENECK, FIELD_TYPES
from sandbox.workdays import HOLIDAYS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
NOON = datetime(2026, 2, 1, 12, tzinfo=timezone.utc)
STAMP = "2026-02-01T12:00:00.000Z"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox(runs=500, seed=7) as started:
        yield started


@pytest.fixture
def company(running: Sandbox) -> Sandbox:
    """An account that no test changes; each has a behaviour of its own."""
    running.behaviour = Behaviour(empty_object_as_list=False)
    return running


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(runs=120, seed=7, behaviour=Behaviour(empty_object_as_list=False)) as started:
        started.set_clock(NOON)
        yield started


def body(sandbox: Sandbox, path: str, **query: Any) -> Json:
    response = requests.get(
        f"{sandbox.api_url}/organizations/{sandbox.org_id}/{path}".removesuffix("/"),
        params=query,
        headers={"Authorization": f"Bearer {sandbox.access_token}", "X-Tallyfy-Client": "APIClient"},
        timeout=120,
    )
    response.raise_for_status()
    answer: Json = response.json()
    return answer


def data(sandbox: Sandbox, path: str, **query: Any) -> list[Json]:
    """All records."""
    found: list[Json] = []
    for page in range(1, 1000):
        answer = body(sandbox, path, page=page, **{"per_page": 100, **query})
        found += answer["data"]
        if not answer.get("meta", {}).get("pagination", {}).get("links"):
            return found
    pytest.fail("no page is the last one")


def keys(sandbox: Sandbox, path: str, **query: Any) -> list[Any]:
    return [record[key_of(path)] for record in data(sandbox, path, **query)]


def tasks_by_run(sandbox: Sandbox) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = defaultdict(list)
    for task in sandbox.records("tasks").values():
        if task["run_id"]:
            found[task["run_id"]].append(task)
    return {run_id: sorted(tasks, key=lambda task: int(task["position"])) for run_id, tasks in found.items()}


def counted(tasks: list[Json]) -> tuple[int, int]:
    """How many tasks there are that rules do not skip, and how many of them are completed."""
    status = Counter(task["status"] for task in tasks)
    return len(tasks) - status["auto-skipped"], status["completed"]


def days(record: Json) -> float:
    began, ended = (datetime.fromisoformat(record[name][:19]) for name in ("created_at", "completed_at"))
    return (ended - began) / timedelta(days=1)


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
        for query in ({"with": ",".join([*endpoint.related, *endpoint.looked_up])}, {"archived": "only"}):
            assert [error.message for error in validator.iter_errors(body(company, name, **query))] == []


@pytest.mark.parametrize("name", LISTS)
def test_related_data_comes_when_asked_for_wrapped_or_bare(company: Sandbox, name: str) -> None:
    asked = [*LISTS[name].related, *LISTS[name].looked_up]
    wrapped, plain = body(company, name, **{"with": ",".join(asked)})["data"][0], body(company, name)["data"][0]
    company.behaviour.wrapped = False
    bare = body(company, name, **{"with": ",".join(asked)})["data"][0]
    assert bare.keys() == {*plain, *asked}
    # Nested folders are wrapped too.
    assert all(
        wrapped[part] in (bare[part], {"data": bare[part]}) for part in asked if part not in {"children", "steps"}
    )


# The company


def check(sandbox: Sandbox) -> None:
    """Every reference leads somewhere, and tasks are as far as their processes."""
    runs, tasks, checklists = sandbox.runs, sandbox.records("tasks"), sandbox.records("checklists")
    users, guests, groups = set(sandbox.records("users")), set(sandbox.records("guests")), sandbox.records("groups")
    steps = {step["id"]: step for hidden in sandbox.hidden("checklists").values() for step in hidden["steps"]}
    by_run = tasks_by_run(sandbox)
    assert by_run.keys() == runs.keys()
    for run_id, of_run in by_run.items():
        run = runs[run_id]
        total, completed = counted(of_run)
        progress = run["progress"] or {"total": total, "complete": 0}
        assert (total, completed) == (progress["total"], progress["complete"])
        assert run["status"] != "complete" or total == completed
        assert {task["archived_at"] for task in of_run} == {run["archived_at"]}
        assert {task["run_status"] for task in of_run} == {run["status"]}
        assert len({task["step_id"] for task in of_run}) == len(of_run)
        assert total == completed or any(task["status"] == "in-progress" for task in of_run)
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


def test_everything_fits_together_also_after_changes(sandbox: Sandbox) -> None:
    check(sandbox)
    before, random = {name: sandbox.records(name) for name in LISTS}, Random(5)
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
        for run_id in sorted(changed.runs)[:3]:
            changed.touch(run_id, status="complete", completed_at=STAMP)
        changed.mutate(Random(4), 60)
        changed.archive(changed.create()["id"])
    for name in reversed(LISTS):
        assert early.records(name) == late.records(name)
    assert Sandbox(runs=60, seed=4).records("tasks").keys() != early.records("tasks").keys()


def test_the_runs_look_like_those_of_a_company(company: Sandbox) -> None:
    runs = list(Sandbox(runs=2000, seed=2).runs.values())
    assert 0.08 < sum(run["status"] == "archived" for run in runs) / 2000 < 0.17
    at_once = Counter(run["created_at"] for run in runs)
    assert 0.03 < sum(count for count in at_once.values() if count >= 40) / 2000 < 0.07
    assert all("2024-12-11" <= run["created_at"] <= run["last_updated"] <= "2026-01-15T12:00:00.000Z" for run in runs)
    assert {type(value) for run in runs for value in dict(run["prerun"]).values()} == {str, dict, list}
    tasks = company.records("tasks").values()
    assert {task["status"] for task in tasks} == {"completed", "in-progress", "not-started", "auto-skipped"}
    kinds = {
        field["id"]: field["field_type"]
        for hidden in company.hidden("checklists").values()
        for step in hidden["steps"]
        for field in step["captures"]
    }
    assert {kinds[field] for task in tasks for field in task["taskdata"]} == set(FIELD_TYPES)


def test_an_account_can_have_as_many_tasks_as_wanted() -> None:
    sandbox = Sandbox(runs=200, template="Stocktaking", one_offs=20)
    sandbox.create()
    assert len(sandbox.records("tasks")) == 201 * 8 + 20
    check(sandbox)


def test_processes_go_several_ways(company: Sandbox) -> None:
    ways: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for run_id, tasks in tasks_by_run(company).items():
        run = company.runs[run_id]
        if run["completed_at"]:
            done = sorted((task for task in tasks if task["completed_at"]), key=lambda task: str(task["completed_at"]))
            ways[run["checklist_title"]][tuple(task["title"] for task in done)] += 1
    assert {len(ways[title]) for title in ("Customer Onboarding", "Invoice Approval")} == {3, 4}
    again = ways["Invoice Approval"]["Approve", "Check", "Pay"]
    assert 0 < again < ways["Invoice Approval"]["Check", "Approve", "Pay"]
    rejected = {task["id"] for task in company.records("tasks").values() if task["is_approved"] is False}
    reopened = [entry for entry in company.records("activity-feeds").values() if entry["verb"] == "re-opened"]
    assert len(rejected) == len(reopened) >= again


def test_a_template_was_changed_and_is_faster_since(company: Sandbox) -> None:
    template = company.records("checklists")[TEMPLATES[1].id]
    runs = [run for run in Sandbox(runs=1000, seed=2).runs.values() if run["checklist_id"] == template["id"]]
    before, after = (
        [days(run) for run in runs if run["completed_at"] and (run["created_at"] >= template["last_updated"]) is later]
        for later in (False, True)
    )
    assert median(after) < 0.7 * median(before)
    added = [task["created_at"] for task in company.records("tasks").values() if task["title"] == "Security training"]
    assert template["last_updated"] < min(added)


def test_some_have_too_much_to_do_and_one_step_takes_long() -> None:
    tasks = [task for task in Sandbox(runs=1000, seed=2).records("tasks").values() if task["run_id"]]
    waiting = Counter(
        user for task in tasks if task["status"] == "in-progress" and not task["archived_at"]
        for user in task["owners"]["users"]
    )  # fmt: skip
    assert {user for user, _ in waiting.most_common(2)} == set(OVERLOADED_MEMBERS)
    taken: dict[str, list[float]] = defaultdict(list)
    for task in tasks:
        if task["completed_at"]:
            taken[task["step_id"]].append(days({**task, "created_at": task["started_at"]}))
    assert max(taken, key=lambda step: median(taken[step])) == BOTTLENECK.id
    free = {*HOLIDAYS, *(date(2025, 1, 1) + timedelta(days=day) for day in range(3, 365, 7))}
    assert len(HOLIDAYS) > 10
    assert not {date.fromisoformat((task["completed_at"] or "0001-01-01")[:10]) for task in tasks} & free
    assert max(task["last_updated"] for task in tasks) <= f"{AS_OF:%Y-%m-%dT%H:%M:%S}.000Z"


def test_stages_group_tasks(company: Sandbox) -> None:
    templates = data(company, "checklists", **{"with": "stages"})
    stages = {str(stage["id"]): template["id"] for template in templates for stage in template["stages"]["data"]}
    tasks = [task for task in company.records("tasks").values() if task["stage_id"]]
    assert len(stages) == 5
    assert {task["stage_id"] for task in tasks} == stages.keys()
    assert all(stages[task["stage_id"]] == task["checklist_id"] for task in tasks)


def test_the_organization_holds_secrets(company: Sandbox) -> None:
    sent = body(company, "")["data"]
    assert company.records("organization") == {company.org_id: sent}
    assert (sent["id"], sent["timezone"]) == (company.org_id, "Europe/Berlin")
    assert sent["users_count"] == sum(user["is_active"] for user in company.records("users").values())
    secrets = (sent["mixpanel_token"], sent["azure_cognitive_service"]["key"], sent["saml_login_url"])
    assert all(any(known in secret for known in company.credentials) for secret in secrets)
    assert {guest_token(email) for email in GUESTS} < company.credentials


# Lists and shapes


@pytest.mark.parametrize(
    ("name", "query", "field", "descends"),
    [
        ("tasks", {}, "created_at", True),
        ("tasks", {"sort": "deadline"}, "deadline", False),
        ("tasks", {"sort": "completed_newest"}, "completed_at", True),
        ("users", {"sort": "-full_name"}, "full_name", True),
        ("guests", {}, "created_at", False),
        ("groups", {"sort_by": "updated_at"}, "last_updated", False),
        ("tags", {"sort": "color"}, "color", False),
        ("folders", {"sort": "-title"}, "name", True),
        ("activity-feeds", {}, "created_at", True),
    ],
)
def test_the_order_of_a_list(company: Sandbox, name: str, query: Json, field: str, descends: bool) -> None:
    values = [record[field] or "" for record in data(company, name, **query)]
    assert values == sorted(values, reverse=descends)
    assert len(set(values)) > 1


def test_what_each_list_shows(company: Sandbox) -> None:
    for name in ("tasks", "checklists"):
        archived = {key for key, record in company.records(name).items() if record["archived_at"]}
        assert set(keys(company, name)) == company.records(name).keys() - archived
        assert set(keys(company, name, archived="only")) == archived
        assert set(keys(company, name, archived="true")) == company.records(name).keys()
    assert len(keys(company, "tags", all="true")) == len(TAG_TITLES) > len(keys(company, "tags"))
    assert {folder["parent_id"] for folder in data(company, "folders")} == {None}
    assert [name for name in LISTS if "meta" in body(company, name, without_pagination="true", pagination="false")] == [
        "groups",
        "tags",
    ]
    one_off = {task["id"] for task in company.records("tasks").values() if task["is_oneoff_task"]}
    for kind, expected in (("honoured", one_off), ("hides_archived", one_off), ("empty", set())):
        company.behaviour.is_oneoff = kind
        assert set(keys(company, "tasks", is_oneoff="true", archived="true")) <= expected
    company.behaviour.is_oneoff = "ignored"
    assert len(keys(company, "tasks", is_oneoff="true", archived="true")) == len(company.records("tasks"))
    company.behaviour = Behaviour(hide_completed_tasks=True)
    assert {task["status"] for task in data(company, "tasks")} == {"in-progress", "not-started", "auto-skipped"}


def test_rows_without_their_key(company: Sandbox) -> None:
    for as_sent, expected in (("null", None), ("absent", "absent"), ("empty", "")):
        company.behaviour = Behaviour(keyless=5, keyless_as=as_sent, keyless_lists=frozenset({"guests"}))
        found = [guest.get("email", "absent") for guest in data(company, "guests")]
        assert found.count(expected) == len(company.keyless("guests")) > 0
        assert {*found} - {expected} == company.records("guests").keys() - company.keyless("guests")
        assert None not in keys(company, "tags")


def test_lists_are_sent_as_objects_at_any_depth(company: Sandbox) -> None:
    (plain,) = body(company, "checklists", q="invoice", **{"with": "steps"})["data"]
    company.behaviour.list_objects = "from_one"
    (sent,) = body(company, "checklists", q="invoice", **{"with": "steps"})["data"]
    assert sent["prerun"]["1"]["label"] == plain["prerun"][0]["label"]
    assert sent["prerun"]["2"]["options"].keys() == {"1", "2", "3"}
    assert sent["steps"]["data"]["4"]["title"] == "Pay"
    company.behaviour.list_objects = "gap"
    (sent,) = body(company, "checklists", q="invoice", **{"with": "steps"})["data"]
    assert sent["prerun"].keys() == {"0", "2", "3", "4"}


@pytest.mark.parametrize("date_format", KINDS["date_format"])
def test_the_format_of_dates_at_any_depth(sandbox: Sandbox, date_format: str) -> None:
    expected = {"ms": STAMP, "microseconds": f"{STAMP[:-1]}000Z", "no_zone": "2026-02-01 12:00:00"}
    expected |= {"z": "2026-02-01T12:00:00Z", "offset": "2026-02-01T12:00:00+00:00"}
    sandbox.behaviour.date_format = date_format
    made = sandbox.account.create("tasks", title="Dated")
    sandbox.account.comment(made["id"], "<p>!</p>")
    (task,) = body(sandbox, "tasks", q="dated", **{"with": "threads"})["data"]
    assert task["created_at"] == task["threads"]["data"][0]["created_at"] == expected[date_format]
    assert task["taskdata"] == {}
    sandbox.behaviour.empty_object_as_list = True
    assert body(sandbox, "tasks", q="dated")["data"][0]["taskdata"] == []


# Changes


def test_a_process_takes_its_tasks_along(sandbox: Sandbox) -> None:
    run = next(run for run in sandbox.runs.values() if run["status"] == "active" and run["progress"].get("complete"))
    own = {task["id"] for task in tasks_by_run(sandbox)[run["id"]]}
    sandbox.archive(run["id"])
    archived = {task["id"]: task for task in data(sandbox, "tasks", archived="only")}
    assert {archived[key]["last_updated"] for key in own} == {STAMP}
    sandbox.behaviour.archive_moves_tasks = False
    sandbox.advance(60)
    sandbox.restore(run["id"])
    assert {sandbox.records("tasks")[key]["last_updated"] for key in own} == {STAMP}
    sandbox.touch(run["id"], status="complete", completed_at=STAMP)
    assert counted(tasks_by_run(sandbox)[run["id"]]) == (run["progress"]["total"], run["progress"]["total"])
    sandbox.delete(run["id"])
    assert not own & sandbox.records("tasks").keys()
    told = [(entry["verb"], entry["auditable_id"]) for entry in sandbox.records("activity-feeds").values()]
    verbs = [verb for verb, subject in told if subject == run["id"]]
    assert verbs == ["created", "archived", "unarchived", "completed", "deleted"]


def test_completing_tasks_completes_the_process(sandbox: Sandbox) -> None:
    run = sandbox.create(checklist_id=TEMPLATES[0].id, checklist_title=TEMPLATES[0].title, users=[1001], groups=[])
    tasks = [task for task in tasks_by_run(sandbox)[run["id"]] if task["status"] != "auto-skipped"]
    for task in tasks:
        sandbox.advance(60)
        done = sandbox.account.complete(task["id"], completer=1005)
        assert done["completed_at"] == sandbox.runs[run["id"]]["last_updated"]
    assert sandbox.runs[run["id"]]["status"] == "complete"
    check(sandbox)


@pytest.mark.parametrize("name", ["tasks", "checklists", "users", "guests", "groups", "tags", "folders"])
def test_what_is_made_changed_and_deleted_by_hand(sandbox: Sandbox, name: str) -> None:
    before = set(sandbox.records(name))
    key = sandbox.account.create(name)[key_of(name)]
    assert key in keys(sandbox, name)
    sandbox.advance(1)
    sandbox.account.edit(name, key, custom="changed")
    assert sandbox.records(name)[key]["custom"] == "changed"
    sandbox.account.delete(name, key)
    assert set(sandbox.records(name)) == before
    told = [entry for entry in sandbox.records("activity-feeds").values() if entry["auditable_id"] == str(key)]
    assert [entry["verb"] for entry in told] == ["created", "updated", "deleted"]


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
    sandbox = Sandbox(runs=200, seed=7, behaviour=behaviour)
    sandbox.set_clock(NOON)
    going = [run for run in sandbox.runs.values() if run["status"] == "active" and len(run["progress"] or "") > 0]
    for kind, run in zip(sorted(TASK_CHANGES), going, strict=False):
        tasks = [task for task in tasks_by_run(sandbox)[run["id"]] if task["status"] in {"in-progress", "not-started"}]
        if len(tasks) < 2:  # the last one would complete its process, which dates it
            continue
        at = sandbox.now()
        change(sandbox, kind, tasks[0])
        dated = f"{at + offset:%Y-%m-%dT%H:%M:%S}.000Z" if kind in behaviour.task_dates_run else run["last_updated"]
        assert sandbox.runs[run["id"]]["last_updated"] == (run["last_updated"] if delay else dated)
        sandbox.advance(delay.total_seconds())
        assert sandbox.runs[run["id"]]["last_updated"] == dated
        sandbox.advance(3600)


@pytest.mark.parametrize("archived", [False, True])
def test_the_tasks_of_one_process(company: Sandbox, archived: bool) -> None:
    run = next(run for run in company.runs.values() if bool(run["archived_at"]) is archived and run["progress"])
    tasks = tasks_by_run(company)[run["id"]]
    path = f"runs/{run['id']}/tasks"
    shown = {"true_or_only": ("true", "only"), "absent": ("", "true", "only"), "true": ("true",), "only": ("only",)}
    for kind in KINDS["process_tasks_archived"]:
        company.behaviour = Behaviour(empty_object_as_list=False, process_tasks_archived=kind)
        for form in ("", "true", "only"):
            there = form in shown.get(kind, ()) if archived else form != "only" or kind in {"true", "none"}
            assert data(company, path, archived=form) == (tasks if there else [])


def test_the_tasks_of_one_process_can_be_poorer_or_not_there(company: Sandbox) -> None:
    run_id, tasks = next(
        (run_id, tasks) for run_id, tasks in tasks_by_run(company).items()
        if {"auto-skipped", "completed"} <= {task["status"] for task in tasks} and not tasks[0]["archived_at"]
    )  # fmt: skip
    path = f"runs/{run_id}/tasks"
    company.behaviour = Behaviour(process_tasks_per_page=2, process_tasks_order="title")
    assert len(body(company, path, per_page=100)["data"]) == 2
    assert keys(company, path) == [task["id"] for task in sorted(tasks, key=lambda task: str(task["title"]))]
    for hidden, status in (("skipped", "auto-skipped"), ("completed", "completed")):
        company.behaviour = Behaviour(process_tasks_hide=hidden, process_tasks_lack=frozenset({"taskdata"}))
        found = data(company, path)
        assert {task["id"] for task in found} == {task["id"] for task in tasks if task["status"] != status}
        assert not any("taskdata" in task for task in found)
    for field, status_code in (("missing", "404"), ("forbidden", "403")):
        company.behaviour = Behaviour()
        setattr(company.behaviour, field, frozenset({"runs/tasks"}))
        with pytest.raises(requests.HTTPError, match=status_code):
            body(company, path)
    company.behaviour = Behaviour()
    with pytest.raises(requests.HTTPError, match="404"):
        body(company, "runs/nothing/tasks")


def test_processes_that_no_list_shows_have_tasks(company: Sandbox) -> None:
    company.behaviour.unlisted_runs = 5
    assert 50 < len(company.unlisted) < 150
    listed = {*keys(company, "runs"), *keys(company, "runs", status="archived")}
    assert listed == company.runs.keys() - company.unlisted
    assert {task["run_id"] for task in data(company, "tasks", archived="true")} > company.unlisted
