from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from random import Random
from statistics import mean
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox import Behaviour, Sandbox
from sandbox.__main__ import _behaviour
from sandbox.data import FOLDERS, GROUPS, TEMPLATES
from sandbox.lists import LISTS
from sandbox.people import GUESTS, OWN_TAGS, SLOW_MEMBERS, TAG_TITLES, guest_token
from sandbox.templates import ALL_TEMPLATES, BOTTLENECK, DRAFT, FIELD_TYPES
from sandbox.wire import Request
from tests.test_contract import DOCUMENT, resolve, validator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOON = datetime(2026, 2, 1, 12, tzinfo=timezone.utc)
STAMP = "2026-02-01T12:00:00.000Z"
OTHERS = [name for name in LISTS if name != "runs"]
Json = dict[str, Any]


@pytest.fixture(scope="module")
def company() -> Iterator[Sandbox]:
    """An account that no test changes."""
    with Sandbox(runs=400, seed=7, behaviour=Behaviour(empty_object_as_list=False)) as running:
        yield running


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(runs=120, seed=7, behaviour=Behaviour(empty_object_as_list=False)) as running:
        running.set_clock(NOON)
        yield running


def get(sandbox: Sandbox, name: str, **query: Any) -> requests.Response:
    return requests.get(
        f"{sandbox.api_url}/organizations/{sandbox.org_id}/{name}",
        params=query,
        headers={"Authorization": f"Bearer {sandbox.access_token}", "X-Tallyfy-Client": "APIClient"},
        timeout=30,
    )


def body(sandbox: Sandbox, name: str, **query: Any) -> Json:
    response = get(sandbox, name, **query)
    response.raise_for_status()
    answer: Json = response.json()
    return answer


def data(sandbox: Sandbox, name: str, **query: Any) -> list[Json]:
    """All records of all pages."""
    found: list[Json] = []
    for page in range(1, 1000):
        answer = body(sandbox, name, page=page, **{"per_page": 100, **query})
        found += answer["data"]
        if not answer.get("meta", {}).get("pagination", {}).get("links"):
            return found
    pytest.fail("no page is the last one")


def key_of(name: str) -> str:
    return "email" if name == "guests" else "id"


def keys(sandbox: Sandbox, name: str, **query: Any) -> list[Any]:
    return [record[key_of(name)] for record in data(sandbox, name, **query)]


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


def seconds(date: str) -> float:
    return datetime.fromisoformat(date.replace("Z", "+00:00")).timestamp()


def related(name: str) -> str:
    return ",".join([*LISTS[name].related, *LISTS[name].looked_up])


# The contract

SHAPES = [
    {},
    {"owner_users": "objects", "guest_id": "code", "guest_names": "details", "feed_values": "arrays"},
    {"changed_name": "updated_at", "active_name": "active", "guest_id": "absent", "folders": "flat"},
    {"date_format": "microseconds", "meta": "capital"},
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", OTHERS)
def test_answers_follow_the_contract(company: Sandbox, name: str, shape: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(company, "behaviour", Behaviour(empty_object_as_list=False, wrapped=False, **shape))
    path = f"/paths/~1organizations~1%7Borg_id%7D~1{name}/get/responses/200/content/application~1json/schema"
    page = DOCUMENT["paths"][f"/organizations/{{org_id}}/{name}"]["get"]["responses"]["200"]["content"]
    record = resolve(page["application/json"]["schema"]["properties"]["data"]["items"])
    for query in ({}, {"with": related(name)}, {"archived": "only"}, {"per_page": 100, "all": "true"}):
        answer = body(company, name, **query)
        assert answer["data"]
        assert [error.message for error in validator(path).iter_errors(answer)] == []
        assert {key for sent in answer["data"] for key in sent} <= set(record["properties"])


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_related_is_wrapped(company: Sandbox, name: str) -> None:
    asked = [part for part in related(name).split(",") if part]
    record = body(company, name, **{"with": ",".join(asked)})["data"][0]
    for part in asked:
        assert part in LISTS[name].inline or record[part].keys() == {"data"}
    assert not set(asked) & set(body(company, name)["data"][0]) - {"groups"}


# The data


def test_the_same_seed_makes_the_same_lists_in_any_order() -> None:
    first, second = Sandbox(runs=60, seed=3), Sandbox(runs=60, seed=3)
    forwards = {name: first.records(name) for name in LISTS}
    backwards = {name: second.records(name) for name in reversed(LISTS)}
    assert forwards == backwards
    assert Sandbox(runs=60, seed=4).records("tasks") != forwards["tasks"]


def test_the_lists_follow_changes_whenever_they_are_made() -> None:
    early, late = Sandbox(runs=60, seed=3), Sandbox(runs=60, seed=3)
    assert early.records("tasks")
    assert early.records("activity-feeds")
    for changed in (early, late):
        changed.set_clock(NOON)
        for run_id in sorted(changed.runs)[:3]:
            changed.touch(run_id, status="complete", completed_at=STAMP)
        changed.mutate(Random(4), 60)
        changed.archive(changed.create()["id"])
    for name in LISTS:
        assert early.records(name) == late.records(name)


def test_nothing_is_made_that_nobody_looks_at() -> None:
    with Sandbox(runs=60) as sandbox:
        body(sandbox, "runs")
        sandbox.mutate(Random(1), 20)
        assert set(sandbox.collections) == {"runs"}
        body(sandbox, "tags")
        assert set(sandbox.collections) == {"runs", "tags"}
        with pytest.raises(KeyError):
            sandbox.collections["walks"]


def check(sandbox: Sandbox) -> None:
    """Every reference leads somewhere, and tasks are as far as their processes."""
    runs, tasks, checklists = sandbox.runs, sandbox.records("tasks"), sandbox.records("checklists")
    users, guests, groups = set(sandbox.records("users")), set(sandbox.records("guests")), sandbox.records("groups")
    folders, tags = sandbox.records("folders"), sandbox.records("tags")
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
        assert set(task["owners"]["groups"]) <= set(groups)
        assert (task["status"] == "completed") == (task["completed_at"] is not None)
        assert task["status"] != "completed" or (task["completer_id"] in users or task["completer_guest"] in guests)
        assert task["created_at"] <= (task["started_at"] or task["created_at"]) <= task["last_updated"]
        assert task["is_oneoff_task"] is (task["run_id"] is None)
        if task["step_id"]:
            step = steps[task["step_id"]]
            assert (task["title"], task["checklist_id"]) == (step["title"], step["checklist_id"])
            assert runs[task["run_id"]]["checklist_id"] == step["checklist_id"]
            assert set(task["taskdata"]) <= {field["id"] for field in step["captures"]}
    for hidden in sandbox.hidden("tasks").values():
        assert {thread["author_id"] for thread in hidden["threads"]} <= users
        assert set(hidden["tag_ids"]) <= set(tags)
    for group in groups.values():
        assert set(group["members"]) <= users
        assert set(group["guests"]) <= guests
    assert {checklist["folder_id"] for checklist in checklists.values()} - {None} <= set(folders)
    assert {folder["parent_id"] for folder in folders.values()} - {None} <= set(folders)
    feed = list(sandbox.records("activity-feeds").values())
    assert [entry["id"] for entry in feed] == list(range(1, len(feed) + 1))
    assert [entry["created_at"] for entry in feed] == sorted(entry["created_at"] for entry in feed)


def test_everything_fits_together(company: Sandbox) -> None:
    check(company)


def test_everything_still_fits_together_after_random_changes(sandbox: Sandbox) -> None:
    check(sandbox)
    before = {name: sandbox.records(name) for name in LISTS}
    random = Random(5)
    for _ in range(8):
        sandbox.advance(3600)
        assert len(sandbox.mutate(random, 60, everything=True)) == 60
        check(sandbox)
    after = {name: sandbox.records(name) for name in LISTS}
    assert [name for name in LISTS if not after[name].keys() - before[name].keys()] == []
    assert [name for name in LISTS if all(after[name].get(key) == old for key, old in before[name].items())] == [
        "activity-feeds"
    ]
    assert len(after["activity-feeds"]) >= len(before["activity-feeds"]) + 480


def test_random_changes_keep_every_list_true(sandbox: Sandbox) -> None:
    sorts = {"tasks": "deadline", "users": "full_name", "guests": "created_at", "groups": "name", "tags": "title"}
    random = Random(6)
    for _ in range(10):
        for name, field in sorts.items():
            held = [record for record in sandbox.records(name).values() if not record.get("archived_at")]
            if name == "tags":
                held = [tag for tag in held if not tag["auto_generated"]]
            found = data(sandbox, name, sort=field, sort_by=field)
            assert [record[field] or "" for record in found] == sorted(record[field] or "" for record in held)
        sandbox.mutate(random, 20, everything=True)


def test_every_kind_of_answer_occurs(company: Sandbox) -> None:
    kinds = {
        field["id"]: field["field_type"]
        for hidden in company.hidden("checklists").values()
        for step in hidden["steps"]
        for field in step["captures"]
    }
    answers: dict[str, list[Any]] = defaultdict(list)
    for task in company.records("tasks").values():
        for field, answer in task["taskdata"].items():
            answers[kinds[field]].append(answer)
    assert answers.keys() == set(FIELD_TYPES)
    assert {type(answer) for answer in answers["text"]} == {str}
    assert {type(answer) for answer in answers["email"]} == {str, dict}
    assert {type(answer) for answer in answers["date"]} == {str, type(None)}
    assert any(isinstance(answer, dict) and answer.keys() == {"id", "text", "value"} for answer in answers["dropdown"])
    selected = {option["selected"] for answer in answers["multiselect"] for option in answer}
    assert selected == {True, False}
    assert all(answer.keys() == {"users", "guests", "groups"} for answer in answers["assignees_form"])
    assert any("token=" in file["url"] for answer in answers["file"] for file in answer)
    assert any(cell["value"] for answer in answers["table"] for cell in answer)
    for kind in FIELD_TYPES:
        empty: Any = {"users": [], "guests": [], "groups": []} if kind == "assignees_form" else None
        assert any(not answer or answer == empty for answer in answers[kind])


def test_the_answers_of_a_task_come_with_its_fields(company: Sandbox) -> None:
    for task in body(company, "tasks", status="complete", per_page=100, **{"with": "form_fields,step,run"})["data"]:
        fields = {field["id"]: field for field in task["form_fields"]["data"]}
        assert task["taskdata"].items() <= {key: field["field_value"] for key, field in fields.items()}.items()
        if task["run_id"]:
            assert task["run"]["data"] == company.runs[task["run_id"]]
            assert task["step"]["data"]["title"] == task["title"]
            assert {field["id"] for field in task["step"]["data"]["captures"]} == set(fields)


def test_one_step_is_a_bottleneck_and_some_people_are_slow() -> None:
    by_step: dict[str, list[float]] = defaultdict(list)
    by_person: dict[int, list[float]] = defaultdict(list)
    for task in Sandbox(runs=2000, seed=2).records("tasks").values():
        if task["completed_at"] and task["run_id"]:
            waited = seconds(task["completed_at"]) - seconds(task["started_at"])
            by_step[task["step_id"]].append(waited)
            for user in task["owners"]["users"]:
                by_person[user].append(waited / mean(by_step[task["step_id"]] or [1]) if waited else 0)
    means = sorted((mean(waited), step) for step, waited in by_step.items())
    assert means[-1][1] == BOTTLENECK.id
    assert means[-1][0] > 1.2 * means[-2][0]
    slow = mean(mean(by_person[user]) for user in SLOW_MEMBERS)
    assert slow > 1.3 * mean(mean(waited) for user, waited in by_person.items() if user not in SLOW_MEMBERS)


def test_some_tasks_are_skipped_and_some_are_late(company: Sandbox) -> None:
    tasks = company.records("tasks").values()
    assert {task["status"] for task in tasks} == {"completed", "in-progress", "not-started", "auto-skipped"}
    late = [hidden["overdue"] for hidden in company.hidden("tasks").values()]
    assert 0 < sum(late) < len(late) / 5
    for run_id, of_run in tasks_by_run(company).items():
        overdue = sum(company.hidden("tasks")[task["id"]]["overdue"] for task in of_run)
        assert company.runs[run_id]["status"] != "active" or overdue == company.runs[run_id]["late_tasks"]


def test_the_templates(company: Sandbox) -> None:
    checklists = company.records("checklists")
    assert len(checklists) == len(ALL_TEMPLATES) > 10
    assert sum(checklist["archived_at"] is not None for checklist in checklists.values()) == 1
    draft, published = checklists[DRAFT.id], checklists[TEMPLATES[0].id]
    assert draft["title"] == published["title"]
    assert (draft["is_published_state"], published["is_published_state"]) == (False, True)
    with_steps = {record["id"]: record for record in data(company, "checklists", **{"with": "steps"})}
    for template in TEMPLATES:
        steps = with_steps[template.id]["steps"]["data"]
        assert [step["title"] for step in steps][: len(template.steps)] == list(template.steps)
        assert len(steps) == with_steps[template.id]["steps_count"]
        assert all("captures" in step for step in steps)


def test_no_two_fields_of_templates_share_an_id(company: Sandbox) -> None:
    forms = [checklist["prerun"] for checklist in company.records("checklists").values()]
    forms += [step["captures"] for hidden in company.hidden("checklists").values() for step in hidden["steps"]]
    ids = [field["id"] for form in forms for field in form]
    assert len(ids) == len(set(ids))


def test_tasks_of_a_process_are_the_same_in_both_lists(company: Sandbox) -> None:
    by_run = tasks_by_run(company)
    for run in body(company, "runs", per_page=100, **{"with": "tasks"})["data"]:
        expected = [task for task in by_run[run["id"]] if task["status"] != "auto-skipped"]
        sent = run["tasks"]["data"]
        assert sent == [{name: task[name] for name in sent[0]} for task in expected]


def test_processes_of_which_little_is_known_have_no_tasks() -> None:
    odd: list[Json] = [
        {"id": "a"},
        {"id": "b", "checklist_id": {}},
        {"id": "c", "checklist_id": TEMPLATES[0].id, "progress": "?"},
    ]
    sandbox = Sandbox(data=odd)
    assert all(task["is_oneoff_task"] for task in sandbox.records("tasks").values())
    sandbox.touch("a", name="A")
    sandbox.delete("b")
    assert sandbox.records("activity-feeds")


# Secrets


def test_every_secret_is_known(company: Sandbox) -> None:
    secrets = company.credentials
    assert {guest_token(email) for email in GUESTS} < secrets
    for name, part in (("guests", "link"), ("tasks", "taskUrls"), ("checklists", "webhook"), ("tasks", "url")):
        text = json.dumps(list(company.records(name).values()))
        values = re.findall(rf'"{part}": \[?"([^"]*)"', text)
        assert values
        assert all(any(secret in value for secret in secrets) for value in values)
    gone = next(iter(GUESTS))
    with Sandbox(runs=5) as sandbox:
        sandbox.account.delete("guests", gone)
        assert guest_token(gone) in sandbox.credentials


# Filters


FILTERS: list[tuple[str, Json, Callable[[Json, Json], bool]]] = [
    ("tasks", {"q": "contract"}, lambda task, _: "contract" in task["title"].lower()),
    ("tasks", {"status": "active"}, lambda task, _: task["status"] in {"not-started", "in-progress"}),
    ("tasks", {"status": "incomplete"}, lambda task, _: task["status"] in {"not-started", "in-progress"}),
    ("tasks", {"status": "complete"}, lambda task, _: task["status"] == "completed"),
    ("tasks", {"status": "inprogress"}, lambda task, _: task["status"] == "in-progress"),
    ("tasks", {"status": "not-started"}, lambda task, _: task["status"] == "not-started"),
    ("tasks", {"status": "overdue"}, lambda _, more: more["overdue"]),
    ("tasks", {"status": "due_soon"}, lambda _, more: more["due_soon"]),
    ("tasks", {"status": "hasproblem"}, lambda task, _: task["problem"]),
    ("tasks", {"owners": "1001,1030"}, lambda task, _: bool({1001, 1030} & {*task["owners"]["users"]})),
    ("tasks", {"guests": GUESTS[0]}, lambda task, _: GUESTS[0] in task["owners"]["guests"]),
    ("tasks", {"groups": GROUPS[0]}, lambda task, _: GROUPS[0] in task["owners"]["groups"]),
    ("tasks", {"tag": OWN_TAGS[0]}, lambda _, more: OWN_TAGS[0] in more["tag_ids"]),
    ("tasks", {"tag": TAG_TITLES[OWN_TAGS[0]]}, lambda _, more: OWN_TAGS[0] in more["tag_ids"]),
    ("tasks", {"created": "2025-06-01:2025-08-31"}, lambda task, _: "2025-06" <= task["created_at"] < "2025-09"),
    ("tasks", {"deadline_after": "2025-12-31"}, lambda task, _: (task["deadline"] or "") >= "2026"),
    ("tasks", {"deadline_before": "2026-01-01"}, lambda task, _: (task["deadline"] or "3") < "2026"),
    ("tasks", {"is_oneoff": "true"}, lambda task, _: task["run_id"] is None),
    ("tasks", {"is_oneoff": "false"}, lambda task, _: task["run_id"] is not None),
    ("tasks", {"unassigned": "true"}, lambda task, _: not any(task["owners"].values())),
    ("checklists", {"q": "BOARD"}, lambda checklist, _: "board" in checklist["title"].lower()),
    ("checklists", {"status": "active"}, lambda checklist, _: checklist["status"] == "active"),
    ("checklists", {"type": "form"}, lambda checklist, _: checklist["type"] == "form"),
    ("checklists", {"starred": "true"}, lambda checklist, _: checklist["starred"]),
    ("checklists", {"owner_id": "1003"}, lambda checklist, _: checklist["owner_id"] == 1003),
    ("checklists", {"tag": OWN_TAGS[0]}, lambda _, more: OWN_TAGS[0] in more["tag_ids"]),
    ("users", {"q": "schmidt"}, lambda user, _: "Schmidt" in user["full_name"]),
    ("guests", {"q": "@vendor"}, lambda guest, _: "@vendor" in guest["email"]),
    ("groups", {"q": "project"}, lambda group, _: "Project" in group["name"]),
    ("tags", {"q": "q", "all": "true"}, lambda tag, _: "q" in tag["title"].lower()),
    ("tags", {"auto_generated": "true", "all": "true"}, lambda tag, _: ":" in tag["title"]),
    ("tags", {}, lambda tag, _: ":" not in tag["title"]),
    ("folders", {}, lambda folder, _: folder["folder_type"] == "checklist" and not folder["parent_id"]),
    ("folders", {"folder_type": "run"}, lambda folder, _: folder["id"] in FOLDERS),
    ("activity-feeds", {"entity_type": "task"}, lambda entry, _: entry["auditable_type"] == "App\\Models\\Task"),
    ("activity-feeds", {"type": "Comment"}, lambda entry, _: entry["type"] == "Comment"),
    ("activity-feeds", {"verb": "archived"}, lambda entry, _: entry["verb"] == "archived"),
    ("activity-feeds", {"actor_type": "guest"}, lambda entry, _: entry["actor_type"] == "guest"),
    ("activity-feeds", {"actor_id": "1001"}, lambda entry, _: entry["actor_id"] == 1001),
    ("activity-feeds", {"created_after": "2025-06-01"}, lambda entry, _: entry["created_at"] >= "2025-06-01"),
    ("activity-feeds", {"created_before": "2025-06-01"}, lambda entry, _: entry["created_at"] < "2025-06-02"),
]


@pytest.mark.parametrize(("name", "query", "matches"), FILTERS, ids=[f"{name} {query}" for name, query, _ in FILTERS])
def test_a_filter_returns_exactly_what_matches(
    company: Sandbox, name: str, query: Json, matches: Callable[[Json, Json], bool]
) -> None:
    hidden = company.hidden(name)
    live = {key: record for key, record in company.records(name).items() if not record.get("archived_at")}
    expected = {key for key, record in live.items() if matches(record, hidden[key])}
    assert 0 < len(expected) < len(live)
    found = keys(company, name, **query)
    assert len(found) == len(expected)
    assert set(found) == expected


def test_a_folder_or_entity_can_be_asked_for(company: Sandbox) -> None:
    folder = next(record for record in company.records("folders").values() if record["parent_id"])
    assert folder["id"] in keys(company, "folders", parent_id=folder["parent_id"])
    run_id = next(iter(company.runs))
    assert {entry["auditable_id"] for entry in data(company, "activity-feeds", entity_id=run_id)} == {run_id}
    checklists = company.records("checklists").values()
    wanted = next(checklist["folder_id"] for checklist in checklists if checklist["folder_id"])
    assert set(keys(company, "checklists", folder=wanted)) <= {
        checklist["id"] for checklist in checklists if checklist["folder_id"] == wanted
    }


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("tasks", {"status": "finished"}),
        ("tasks", {"status": "completed"}),
        ("tasks", {"created": "yesterday"}),
        ("activity-feeds", {"created_after": "2025-06-01T00:00:00Z"}),
    ],
)
def test_a_value_that_does_not_exist_is_refused(company: Sandbox, name: str, query: Json) -> None:
    assert get(company, name, **query).status_code == 422


@pytest.mark.parametrize("name", ["tasks", "checklists"])
def test_what_is_archived_is_asked_for(company: Sandbox, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    records = company.records(name)
    archived = {key for key, record in records.items() if record["archived_at"]}
    assert archived
    assert set(keys(company, name)) == records.keys() - archived
    assert set(keys(company, name, archived="only")) == archived
    assert set(keys(company, name, archived="true")) == records.keys()
    monkeypatch.setattr(company, "behaviour", Behaviour(archived_parameter=False))
    assert set(keys(company, name, archived="only")) == records.keys() - archived


# Pages and order


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("tasks", 10),
        ("checklists", 10),
        ("users", 9999),
        ("guests", 999),
        ("groups", 10),
        ("tags", 10),
        ("folders", 10),
        ("activity-feeds", 20),
    ],
)
def test_the_size_of_a_page(company: Sandbox, name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert body(company, name)["meta"]["pagination"]["per_page"] == size
    assert body(company, name, per_page=500)["meta"]["pagination"]["per_page"] == 100
    monkeypatch.setattr(company, "behaviour", Behaviour(per_page_cap=5))
    assert len(body(company, name, per_page=500)["data"]) == 5
    monkeypatch.setattr(company, "behaviour", Behaviour(per_page_fixed=7))
    assert len(body(company, name)["data"]) == 7


@pytest.mark.parametrize("name", OTHERS)
def test_pages_cover_every_row_once(company: Sandbox, name: str) -> None:
    found = keys(
        company, name, all="true", archived="true", **({} if name in {"tasks", "activity-feeds"} else {"per_page": 7})
    )
    assert len(found) == len(set(found))
    held = company.records(name)
    missing = held.keys() - set(found)
    assert all(held[key]["parent_id"] or held[key]["folder_type"] == "run" for key in missing)


@pytest.mark.parametrize("name", OTHERS)
def test_everything_at_once(company: Sandbox, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    query = {"pagination": "false"} if name == "folders" else {"without_pagination": "true"}
    answer = body(company, name, **query)
    assert ("meta" in answer) is (name in {"groups", "tags"})
    monkeypatch.setattr(company, "behaviour", Behaviour(always_paged=frozenset({name})))
    assert "meta" in body(company, name, **query)


ORDERS: list[tuple[str, Json, str, bool]] = [
    ("tasks", {}, "created_at", True),
    ("tasks", {"sort": "deadline"}, "deadline", False),
    ("tasks", {"sort": "-deadline"}, "deadline", True),
    ("tasks", {"sort": "newest"}, "created_at", True),
    ("tasks", {"sort": "completed_newest"}, "completed_at", True),
    ("tasks", {"sort": "problems"}, "problem", True),
    ("tasks", {"sort": "created_at"}, "created_at", True),
    ("users", {}, "id", False),
    ("users", {"sort": "-full_name"}, "full_name", True),
    ("users", {"sort": "last_login_at"}, "last_login_at", False),
    ("guests", {}, "created_at", False),
    ("guests", {"sort": "-email"}, "email", True),
    ("groups", {}, "created_at", False),
    ("groups", {"sort_by": "name"}, "name", False),
    ("groups", {"sort_by": "updated_at"}, "last_updated", False),
    ("tags", {"sort": "-title"}, "title", True),
    ("tags", {"sort": "color"}, "color", False),
    ("folders", {"sort": "position"}, "position", False),
    ("folders", {"sort": "-title"}, "name", True),
    ("activity-feeds", {}, "created_at", True),
    ("activity-feeds", {"sort": "-created_at"}, "created_at", True),
    ("activity-feeds", {"sort": "id"}, "id", False),
]


@pytest.mark.parametrize(("name", "query", "field", "descends"), ORDERS)
def test_the_order_of_a_list(company: Sandbox, name: str, query: Json, field: str, descends: bool) -> None:
    values = [record[field] for record in data(company, name, **query)]
    assert len(set(values)) > 1
    values = ["" if value is None else value for value in values]
    assert values == sorted(values, reverse=descends)


def test_pinned_templates_come_first(company: Sandbox) -> None:
    for query in ({}, {"sort_by": "-title"}, {"sort_by": "created_at"}):
        pinned = [checklist["is_pinned"] for checklist in data(company, "checklists", **query)]
        assert pinned == sorted(pinned, reverse=True)
        assert 0 < sum(pinned) < len(pinned)
    titles = [record["title"] for record in data(company, "checklists", sort_by="-title") if not record["is_pinned"]]
    assert titles == sorted(titles, reverse=True)


def test_how_much_tasks_can_be_sorted(company: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(company, "behaviour", Behaviour(task_sort="created_at"))
    dates = [task["created_at"] for task in body(company, "tasks", sort="created_at", per_page=100)["data"]]
    assert dates == sorted(dates)
    monkeypatch.setattr(company, "behaviour", Behaviour(task_sort="last_updated"))
    dates = [task["last_updated"] for task in body(company, "tasks", sort="-last_updated", per_page=100)["data"]]
    assert dates == sorted(dates, reverse=True)
    monkeypatch.setattr(company, "behaviour", Behaviour(task_sort="ignored", default_order="id"))
    found = keys(company, "tasks", sort="deadline")
    assert found == sorted(found)


# Versions of the API


def test_completed_tasks_can_be_hidden(sandbox: Sandbox) -> None:
    sandbox.behaviour = Behaviour(hide_completed_tasks=True, completed_word="completed")
    assert {task["status"] for task in data(sandbox, "tasks")} == {"in-progress", "not-started", "auto-skipped"}
    assert {task["status"] for task in data(sandbox, "tasks", status="completed")} == {"completed"}
    assert get(sandbox, "tasks", status="complete").status_code == 422
    sandbox.behaviour.completed_word = "both"
    assert data(sandbox, "tasks", status="complete") == data(sandbox, "tasks", status="completed")


def test_lists_of_names_can_be_given_on_the_command_line() -> None:
    behaviour = _behaviour(["forbidden=guests,users", "always_paged=", "completed_word=both"])
    assert behaviour.forbidden == {"guests", "users"}
    assert behaviour.always_paged == frozenset()
    assert behaviour.completed_word == "both"


def test_a_list_can_be_forbidden(sandbox: Sandbox) -> None:
    sandbox.behaviour.forbidden = frozenset({"guests"})
    refused = get(sandbox, "guests")
    assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
    assert get(sandbox, "users").status_code == 200


def test_the_names_and_forms_that_sources_disagree_on(sandbox: Sandbox) -> None:
    def first(name: str, **query: Any) -> Json:
        record: Json = body(sandbox, name, **query)["data"][0]
        assert sandbox.records(name)[record[key_of(name)]] == record
        return record

    behaviour = sandbox.behaviour
    assert {"last_updated", "is_active"} <= first("users").keys()
    assert "last_updated" in first("groups")
    guest = first("guests")
    assert isinstance(guest["id"], int)
    assert isinstance(first("tasks", owners="1001")["owners"]["users"][0], int)
    assert first("activity-feeds")["verb"] in {"completed", "commented", "created", "archived", "issue-reported"}

    behaviour.changed_name, behaviour.active_name = "updated_at", "active"
    behaviour.guest_id, behaviour.guest_names = "code", "details"
    behaviour.owner_users, behaviour.feed_values = "objects", "arrays"
    user = first("users")
    assert {"updated_at", "active"} <= user.keys()
    assert not {"last_updated", "is_active"} & user.keys()
    assert "updated_at" in first("groups")
    code = first("guests")
    assert code["id"] in sandbox.credentials
    assert code["id"] in code["link"]
    assert "first_name" not in code
    assert code["details"]["first_name"] == guest["first_name"]
    assert first("tasks", owners="1001")["owners"]["users"][0].keys() == {"id", "full_name"}
    assert all(isinstance(first("activity-feeds")[name], list) for name in ("verb", "actor_id", "actor", "text"))
    behaviour.guest_id = "absent"
    assert "id" not in first("guests")


def test_folders_are_nested_or_flat(sandbox: Sandbox) -> None:
    def inside(folders: list[Json]) -> Iterator[str]:
        for folder in folders:
            yield folder["id"]
            yield from inside(folder["children"]["data"])

    templates = {key for key, folder in sandbox.records("folders").items() if folder["folder_type"] == "checklist"}
    nested = body(sandbox, "folders", pagination="false", **{"with": "children"})["data"]
    assert {folder["parent_id"] for folder in nested} == {None}
    assert set(inside(nested)) == templates
    assert len(nested) < len(templates)
    sandbox.behaviour.folders = "flat"
    assert set(keys(sandbox, "folders")) == templates


def test_an_old_description_spells_the_pages_of_tasks_with_a_capital(sandbox: Sandbox) -> None:
    sandbox.behaviour.meta = "capital_tasks"
    for name in LISTS:
        assert set(body(sandbox, name)["meta"]) == {
            "Pagination" if name in {"tasks", "activity-feeds"} else "pagination"
        }


@pytest.mark.parametrize(
    ("date_format", "expected"),
    [
        ("microseconds", "2026-02-01T12:00:00.000000Z"),
        ("no_zone", "2026-02-01 12:00:00"),
        ("z", "2026-02-01T12:00:00Z"),
    ],
)
def test_the_format_of_dates_at_any_depth(sandbox: Sandbox, date_format: str, expected: str) -> None:
    sandbox.behaviour.date_format = date_format
    made = sandbox.account.create("tasks", title="Dated")
    sandbox.account.comment(made["id"], "<p>!</p>")
    (task,) = body(sandbox, "tasks", q="dated", **{"with": "threads"})["data"]
    assert task["created_at"] == task["threads"]["data"][0]["created_at"] == expected


def test_empty_objects_are_sent_as_lists(sandbox: Sandbox) -> None:
    made = sandbox.account.create("tasks", title="Empty")
    for switch, empty in ((False, {}), (True, [])):
        sandbox.behaviour.empty_object_as_list = switch
        (task,) = body(sandbox, "tasks", q="empty")["data"]
        assert (task["id"], task["taskdata"], task["custom_fields"]) == (made["id"], empty, empty)


def test_generated_tags_come_only_on_the_exact_word(sandbox: Sandbox) -> None:
    assert len(keys(sandbox, "tags", all="true")) == len(TAG_TITLES)
    assert len(keys(sandbox, "tags", all="True")) < len(TAG_TITLES)
    assert not keys(sandbox, "tags", auto_generated="true")


# Changes


def test_a_process_takes_its_tasks_along(sandbox: Sandbox) -> None:
    started = [run for run in sandbox.runs.values() if run["status"] == "active" and run["progress"]]
    run = next(run for run in started if run["progress"]["complete"] > 0)
    own = {task["id"]: task for task in tasks_by_run(sandbox)[run["id"]]}
    sandbox.archive(run["id"])
    assert not own.keys() & set(keys(sandbox, "tasks"))
    archived = {task["id"]: task for task in data(sandbox, "tasks", archived="only")}
    assert own.keys() < archived.keys()
    assert all(archived[key]["archived_at"] == archived[key]["last_updated"] == STAMP for key in own)
    sandbox.behaviour.archive_moves_tasks = False
    sandbox.advance(60)
    sandbox.restore(run["id"])
    assert own.keys() <= set(keys(sandbox, "tasks"))
    assert {sandbox.records("tasks")[key]["last_updated"] for key in own} == {STAMP}
    sandbox.touch(run["id"], status="complete", completed_at=STAMP)
    assert counted(tasks_by_run(sandbox)[run["id"]]) == (run["progress"]["total"], run["progress"]["total"])
    sandbox.touch(run["id"], status="active", completed_at=None)
    assert counted(tasks_by_run(sandbox)[run["id"]]) == (run["progress"]["total"], run["progress"]["complete"])
    sandbox.delete(run["id"])
    assert not own.keys() & sandbox.records("tasks").keys()
    made = sandbox.create()
    assert counted(tasks_by_run(sandbox)[made["id"]])[1] == 0
    told = [(entry["verb"], entry["auditable_id"]) for entry in sandbox.records("activity-feeds").values()]
    verbs = [verb for verb, subject in told if subject == run["id"]]
    assert verbs == ["created", "archived", "unarchived", "completed", "updated", "deleted"]


def test_completing_tasks_completes_the_process(sandbox: Sandbox) -> None:
    run = sandbox.create(
        checklist_id=BOTTLENECK.checklist_id, checklist_title=TEMPLATES[0].title, users=[1001], groups=[]
    )
    tasks = [task for task in tasks_by_run(sandbox)[run["id"]] if task["status"] in {"in-progress", "not-started"}]
    for number, task in enumerate(tasks, 1):
        sandbox.advance(60)
        done = sandbox.account.complete(task["id"], completer=1005)
        now = f"{NOON + timedelta(seconds=60 * number):%Y-%m-%dT%H:%M:%S}.000Z"
        assert (done["status"], done["completer_id"]) == ("completed", 1005)
        assert done["completed_at"] == done["last_updated"] == sandbox.runs[run["id"]]["last_updated"] == now
        assert sandbox.account.complete(task["id"]) == done
        assert sandbox.records("activity-feeds")
    assert sandbox.runs[run["id"]]["status"] == "complete"
    assert sandbox.runs[run["id"]]["progress"]["complete"] == len(tasks) == len(TEMPLATES[0].steps)
    check(sandbox)


@pytest.mark.parametrize("moves", [True, False])
def test_a_comment_moves_its_task_or_not(sandbox: Sandbox, moves: bool) -> None:
    sandbox.behaviour.comment_moves_task = moves
    task = body(sandbox, "tasks", status="inprogress")["data"][0]
    made = sandbox.account.comment(task["id"], "<p>Where is it?</p>", author=1007, label="problem")
    after = sandbox.records("tasks")[task["id"]]
    assert after["last_updated"] == (STAMP if moves else task["last_updated"])
    assert after["problem"] is True
    threads = {each["id"]: each["threads"]["data"] for each in data(sandbox, "tasks", **{"with": "threads"})}
    assert threads[task["id"]][-1] == made
    entry = body(sandbox, "activity-feeds", sort="-id", per_page=1)["data"][0]
    assert (entry["verb"], entry["text"], entry["actor_id"]) == ("issue-reported", "<p>Where is it?</p>", 1007)
    assert (entry["auditable_id"], entry["parentable_id"], entry["created_at"]) == (made["id"], task["id"], STAMP)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("tasks", {"title": "Ask ☃"}),
        ("checklists", {"title": "New ☃"}),
        ("users", {"full_name": "Snow ☃"}),
        ("guests", {"email": "snow@later.example"}),
        ("groups", {"name": "Snow ☃"}),
        ("tags", {"title": "Snow ☃"}),
        ("folders", {"name": "Snow ☃"}),
    ],
)
def test_what_is_made_changed_and_deleted_by_hand(sandbox: Sandbox, name: str, fields: Json) -> None:
    before = set(sandbox.records(name))
    made = sandbox.account.create(name, **fields)
    key = made[key_of(name)]
    assert isinstance(key, int) is (name == "users")
    assert set(sandbox.records(name)) == before | {key}
    assert key in keys(sandbox, name)
    assert made["created_at"] == STAMP
    sandbox.advance(1)
    sandbox.account.edit(name, key, custom="changed")
    after = sandbox.records(name)[key]
    assert after["custom"] == "changed"
    assert after.get("last_updated", "2026-02-01T12:00:01.000Z") == "2026-02-01T12:00:01.000Z"
    sandbox.account.delete(name, key)
    assert set(sandbox.records(name)) == before
    with pytest.raises(KeyError):
        sandbox.account.delete(name, key)
    subject = str(key)
    told = [entry for entry in sandbox.records("activity-feeds").values() if entry["auditable_id"] == subject]
    assert [entry["verb"] for entry in told] == ["created", "updated", "deleted"]
    assert [entry["field"] for entry in told] == [None, "custom", None]


@pytest.mark.parametrize("name", ["tasks", "checklists"])
def test_what_is_archived_by_hand(sandbox: Sandbox, name: str) -> None:
    key = sandbox.account.create(name)["id"]
    assert sandbox.account.archive(name, key)["archived_at"] == STAMP
    assert key not in keys(sandbox, name)
    assert key in keys(sandbox, name, archived="only")
    assert sandbox.account.restore(name, key)["archived_at"] is None
    assert key in keys(sandbox, name)


def test_a_record_is_encoded_once() -> None:
    sandbox = Sandbox(runs=400)
    path = f"/api/organizations/{sandbox.org_id}/tasks"
    headers = {"Authorization": f"Bearer {sandbox.access_token}", "X-Tallyfy-Client": "APIClient"}
    encoded: list[int] = []
    for _ in range(2):
        for page in range(1, 5):
            query = {"page": str(page), "per_page": "100"}
            assert sandbox.answer(Request("GET", path, query, headers), b"").status == 200
        encoded.append(len(sandbox.collections["tasks"]._encoded))  # noqa: SLF001
    assert encoded == [400, 400]


def test_other_processes_can_look_at_the_lists(sandbox: Sandbox) -> None:
    control = sandbox.api_url.removesuffix("/api") + "/sandbox"
    for name in ("runs", "tasks", "guests"):
        assert requests.get(f"{control}/{name}", timeout=10).json()["data"] == list(sandbox.records(name).values())
    secrets = requests.get(f"{control}/credentials", timeout=10).json()["data"]
    assert set(secrets) == sandbox.credentials
    changed = requests.post(f"{control}/mutate?count=40&seed=8&everything=true", timeout=10).json()["data"]
    assert len(changed) == 40
    assert len(set(changed) - sandbox.runs.keys()) > 15
