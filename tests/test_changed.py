"""Tasks are read by the processes that changed, where that is safe; elsewhere all of them are."""

from __future__ import annotations

import copy
import json
import os
import re
from collections import Counter
from contextlib import ExitStack
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from typing_extensions import override

from sandbox import Sandbox
from sandbox.api import Api
from sandbox.behaviour import SERVERS, TASK_SERVERS, Behaviour
from sandbox.data import AS_OF, MEMBERS
from tap_tallyfy.dates import to_text
from tap_tallyfy.singer import changed, claim, shared_reading
from tap_tallyfy.singer.bookmark import Bookmark
from tap_tallyfy.singer.changed import ChangedReading
from tap_tallyfy.singer.claim import Evidence, Marks, Version
from tests.family import CHANGES, Server, drawn, search
from tests.in_process import (
    HOUR,
    CommentsTap,
    Sync,
    Warehouse,
    check_costs,
    complete_one,
    tasks_of,
    touch_tasks,
    work_for_days,
    wrong,
)
from tests.lists import catalog
from tests.tap import TAP, run_tap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.wire import Request

    Record = dict[str, Any]

DAY = 24 * HOUR
#: How many more worlds to look at than a test run does, and the first of them.
SOAK, SEED = int(os.environ.get("SOAK", "1")), int(os.environ.get("SEED", "0"))


def account(*, seed: int = 1, behaviour: Mapping[str, Any] | None = None, runs: int = 36, one_offs: int = 12) -> Api:
    """A small account in which people have worked for some days."""
    api = Api(seed=seed, data=[], one_offs=one_offs, port=1, behaviour=Behaviour(**(behaviour or {})))
    random = Random(seed)
    now = AS_OF - timedelta(days=10)
    for _ in range(runs):
        now += timedelta(hours=3)
        api.set_clock(now)
        api.create()
        for _ in range(random.randrange(4)):
            complete_one(api, random)
    for run in sorted(api.runs)[:5]:
        api.archive(run)
        api.advance(1000)
    api.set_clock(AS_OF)
    return api


def oldest(api: Api) -> list[str]:
    """The processes that are under way and have tasks, in the order in which they began."""
    runs = [run for run in api.runs.values() if run["status"] == "active" and tasks_of(api, run["id"])]
    return [run["id"] for run in sorted(runs, key=lambda run: run["created_at"])]


def assign(api: Api, task: str) -> None:
    api.account.edit("tasks", task, owners={"users": [MEMBERS[3]], "guests": [], "groups": [], "taskUrls": []})


def way_of(sync: Sync) -> str:
    """The one line of the log that says which way a sync took."""
    (line,) = (line for line in sync.lines if line.startswith(("Reading all of 'tasks'", "Read 'tasks'")))
    return line


def ready(settings: Mapping[str, Any] | None = None, **given: Any) -> Warehouse:
    """A warehouse after its first sync."""
    warehouse = Warehouse(account(**given), settings={"page_size": 20, **(settings or {})})
    first = warehouse.sync()
    assert not first.error
    assert first.way == "full"
    assert not wrong(warehouse)
    warehouse.api.advance(HOUR)
    return warehouse


# What it costs; of a large account see `test_large`


@pytest.fixture(scope="module")
def large() -> Warehouse:
    api = Api(runs=300, seed=2, one_offs=100, template="Stocktaking", port=1)
    api.set_clock(api.now())
    return Warehouse(api)


def test_the_cost_is_that_of_what_changed(large: Warehouse) -> None:
    many = check_costs(large, few={10: 24}, many=100)
    assert "cost more" in way_of(many)


def test_many_changes_are_seen_at_a_look_although_no_order_is_proven() -> None:
    warehouse = ready()
    touch_tasks(warehouse.api, 18, Random(1))
    warehouse.api.advance(600)
    many = warehouse.sync(page_size=20)
    assert many.way == "full"
    assert sum(request.path.endswith("/runs") for request in many.requests) <= 3


def test_a_burst_is_not_followed_for_ever() -> None:
    warehouse = ready()
    warehouse.sync()
    warehouse.api.advance(HOUR)
    for run in sorted(warehouse.api.runs)[:20]:
        warehouse.api.touch(run, name="renamed in bulk")
    warehouse.api.advance(HOUR)
    ways = []
    for _ in range(4):
        ways.append(warehouse.sync().way)
        warehouse.api.advance(HOUR)
    assert ways[0] == "full"
    assert ways[2:] == ["changed", "changed"]


def test_the_probes_of_full_readings_are_not_repeated(large: Warehouse) -> None:
    large.api.advance(HOUR)
    sync = large.sync()
    large.api.advance(HOUR)
    sync = large.sync() if sync.way == "full" else sync
    assert sync.way == "changed"
    assert not [request for request in sync.requests if request.path.endswith("/tasks") and "status" in request.query]
    sorts = [request.query["sort"] for request in sync.requests if request.path.endswith(f"{large.api.org_id}/tasks")]
    assert sorts[-2:] == ["newest", "completed_newest"]


def test_the_state_does_not_grow_with_the_account() -> None:
    sizes = []
    for runs in (24, 60):
        warehouse = ready(runs=runs)
        touch_tasks(warehouse.api, 3, Random(1))
        warehouse.api.advance(HOUR)
        assert warehouse.sync().way == "changed"
        marks = [entry["marks"] for entry in warehouse.state["bookmarks"].values() if "marks" in entry]
        assert len(marks) == 2
        sizes.append(max(len(json.dumps(each)) for each in marks))
    assert abs(sizes[0] - sizes[1]) < 40  # as long as numbers are
    assert max(sizes) < 500


# Which way, and why


def test_a_process_says_which_way_it_went_and_why() -> None:
    with Sandbox(data=[], one_offs=12) as sandbox:
        work_for_days(sandbox, Random(1))
        settings: dict[str, Any] = {
            "command": TAP,
            "catalog": catalog(["tasks", "task_answers"]),
            "page_size": 20,
            "timeout": 300,
        }
        first = run_tap(sandbox, **settings)
        assert first.code == 0, first.stderr
        sandbox.advance(HOUR)
        complete_one(sandbox, Random(2))
        sandbox.advance(HOUR)
        second = run_tap(sandbox, state=first.states[-1], **settings)
        assert second.code == 0, second.stderr
        assert 0 < len(second.records) < len(first.records) / 4
        logged = [[line for line in each.stderr.splitlines() if "'tasks'" in line] for each in (first, second)]
        assert "Reading all of 'tasks': no earlier sync under these settings has." in logged[0][-1]
        assert re.search(r"Read 'tasks' by the [1-3] 'runs' that changed: full readings have shown", logged[1][-1])


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"full_task_sync_hours": 0}, "'full_task_sync_hours' is 0"),
        ({"tasks": {"status": "complete"}}, "a filter is set"),
        ({"tasks": {"archived": "exclude"}}, "a filter is set"),
        ({"lookback_seconds": 30}, "no earlier sync under these settings has"),
        ({"lookback_seconds": 90}, "no earlier sync under these settings has"),
        ({"tasks": {"with": ["step"]}}, "no earlier sync under these settings has"),
        ({"full_task_sync_hours": 1}, "it is time to, by 'full_task_sync_hours'"),
    ],
    ids=str,
)
def test_all_is_read_where_the_evidence_is_of_something_else(settings: Record, why: str) -> None:
    warehouse = ready()
    assert warehouse.sync().way == "changed"
    warehouse.api.advance(HOUR)
    sync = warehouse.sync(**settings)
    assert not sync.error
    assert sync.way in {"full", "incremental"}
    assert why in way_of(sync)


def test_another_stream_means_new_evidence() -> None:
    warehouse = ready()
    warehouse.tap = CommentsTap
    assert "no earlier sync under these settings has" in way_of(warehouse.sync())
    warehouse.api.advance(HOUR)
    assert warehouse.sync().way == "changed"
    assert not wrong(warehouse)


def test_a_bookmark_set_back_by_hand_means_all() -> None:
    warehouse = ready()
    for entry in warehouse.state["bookmarks"].values():
        if "replication_key_value" in entry:
            entry["replication_key_value"] = "2026-01-10T00:00:00.000Z"
    assert "no earlier sync under these settings has" in way_of(warehouse.sync())


def test_what_was_learned_outlasts_a_sync_of_all_rows() -> None:
    warehouse = ready()
    assign(warehouse.api, tasks_of(warehouse.api, max(warehouse.api.runs))[0])
    warehouse.api.advance(HOUR)
    warehouse.full = True
    assert "always takes all rows" in way_of(warehouse.sync())
    complete_one(warehouse.api, Random(1))
    warehouse.api.advance(HOUR)
    warehouse.full = False
    assert warehouse.sync().way == "changed"
    assert not wrong(warehouse)


@pytest.mark.parametrize(
    "damage",
    [
        {"forms": {"active": "perhaps"}},
        {"forms": []},
        {"mark": None},
        {"mark": "1e3"},
        {"full_at": 4e9},
        {"full_at": 0},
        {"pages": -3},
        {"pages": "many"},
        {"tie": 7},
        {"before": 4e9},
        {"sort": "-no_such_field"},
    ],
    ids=str,
)
def test_a_state_that_somebody_has_damaged_costs_requests_and_no_rows(damage: Record) -> None:
    warehouse = ready(behaviour={"unknown_sort": "422"})
    for entry in warehouse.state["bookmarks"].values():
        if "marks" in entry:
            entry["marks"].update(damage)
    assign(warehouse.api, tasks_of(warehouse.api, max(warehouse.api.runs))[0])
    warehouse.api.advance(HOUR)
    assert not warehouse.sync().error
    assert not wrong(warehouse)


def test_a_daily_schedule_that_is_early_reads_all_every_day() -> None:
    warehouse = ready()
    warehouse.api.advance(DAY - HOUR - 10)
    assert warehouse.sync().way == "full"
    warehouse.api.advance(DAY - 10)
    assert warehouse.sync().way == "full"


def test_a_server_without_a_clock_is_read_whole() -> None:
    warehouse = ready(behaviour={"date_header": False})
    assign(warehouse.api, tasks_of(warehouse.api, max(warehouse.api.runs))[0])
    sync = warehouse.sync()
    assert sync.way == "full"
    assert not wrong(warehouse)


def test_an_account_in_which_little_has_happened_is_read_whole() -> None:
    api = Api(seed=1, data=[], one_offs=0, port=1)
    api.set_clock(AS_OF)
    for _ in range(12):
        api.create()
    api.advance(HOUR)
    warehouse = Warehouse(api, settings={"page_size": 20})
    warehouse.sync()
    api.advance(HOUR)
    assert "nothing shows yet" in way_of(warehouse.sync())


def test_nothing_is_marked_as_deleted_by_a_short_reading() -> None:
    warehouse = ready()
    gone = max(warehouse.api.runs)
    warehouse.api.delete(gone)
    warehouse.api.advance(HOUR)
    messages: list[Record] = []
    with patch.object(Warehouse, "take", lambda _, given: messages.extend(given)):
        assert warehouse.sync().way == "changed"
    assert "ACTIVATE_VERSION" not in {message["type"] for message in messages}


# Surprises


def test_one_process_whose_tasks_are_404_is_passed_over_and_made_up_for() -> None:
    warehouse = ready()
    api = warehouse.api
    first, *others = oldest(api)[:3]
    for run in (first, *others):
        assign(api, tasks_of(api, run)[0])
    api.advance(HOUR)
    records = api.collections["runs"].records
    record = records[first]

    def hide(request: Request) -> None:
        if first in request.path:
            del records[first]

    api.before_list, api.after_list = hide, lambda _: records.setdefault(first, record)
    sync = warehouse.sync(page_size=6)
    assert (sync.way, sync.error) == ("changed", "")
    assert [key[1] for key in wrong(warehouse)["tasks"]] == [tasks_of(api, first)[0]]
    api.before_list = api.after_list = None
    api.advance(DAY)
    assert warehouse.sync().way == "full"
    assert not wrong(warehouse)


def test_all_is_read_where_no_process_that_changed_shows_a_task() -> None:
    warehouse = ready()
    api = warehouse.api
    runs = oldest(api)[:6]
    for task in (task for run in runs for task in tasks_of(api, run)):
        api.account.complete(task)
        api.advance(1)
    records = api.records("tasks")
    done = next(run for run in runs if all(records[task]["status"] == "completed" for task in tasks_of(api, run)))
    for _ in range(2):
        api.advance(HOUR)
        assert not warehouse.sync().error
    assign(api, tasks_of(api, done)[0])
    api.advance(HOUR)
    api.behaviour.process_tasks_hide = "completed"
    sync = warehouse.sync(page_size=6)  # not among those that were completed last
    assert not wrong(warehouse)
    assert (sync.way, sync.error) == ("full", "")
    assert "none of the 'runs' that changed shows any 'tasks'" in way_of(sync)


@pytest.mark.parametrize(
    "refusal",
    [
        {"forbidden": frozenset({"runs/tasks"})},
        {"forbidden": frozenset({"runs"})},
        {"missing": frozenset({"runs/tasks"})},
    ],
    ids=str,
)
def test_what_is_refused_on_the_short_way_is_a_full_reading_and_no_failure(refusal: Record) -> None:
    warehouse = ready()
    assert warehouse.sync().way == "changed"
    assign(warehouse.api, tasks_of(warehouse.api, max(warehouse.api.runs))[0])
    warehouse.api.advance(HOUR)
    for name, value in refusal.items():
        setattr(warehouse.api.behaviour, name, value)
    sync = warehouse.sync()
    assert (sync.way, sync.error) == ("full", "")
    assert not wrong(warehouse)


def test_a_server_that_turns_to_refuse_orders_is_read_all_the_same() -> None:
    warehouse = ready()
    assert warehouse.sync().way == "changed"
    touch_tasks(warehouse.api, 12, Random(1))
    warehouse.api.advance(HOUR)
    warehouse.api.behaviour.sort, warehouse.api.behaviour.unknown_sort = "ignored", "422"
    assert not warehouse.sync().error
    assert not wrong(warehouse)


@pytest.mark.parametrize("unknown_sort", ["ignored", "422", "500"])
def test_the_canary_needs_no_order(unknown_sort: str) -> None:
    warehouse = ready(behaviour={"task_sort": "ignored", "unknown_sort": unknown_sort})
    touch_tasks(warehouse.api, 2, Random(1))
    warehouse.api.advance(HOUR)
    sync = warehouse.sync()
    assert (sync.way, sync.error) == ("changed", "")
    assert not wrong(warehouse)


def test_a_created_task_that_dates_no_process_is_found_at_once_and_ends_the_saving() -> None:
    warehouse = ready(
        behaviour={
            "task_dates_run": TASK_SERVERS["all but assigning a task dates its process"]["task_dates_run"] - {"create"}
        }
    )
    run = max(warehouse.api.runs)
    warehouse.api.account.create("tasks", run_id=run, title="nobody is told", is_oneoff_task=False)
    warehouse.api.advance(HOUR)
    sync = warehouse.sync()
    assert sync.way == "full"
    assert not wrong(warehouse)
    assert [line for line in sync.lines if "for 30 days" in line]
    # Said once, and remembered although the next change of the process hides it.
    complete_one(warehouse.api, Random(1))
    for _ in range(3):
        warehouse.api.advance(DAY)
        sync = warehouse.sync()
        assert "within 30 days" in way_of(sync)
        assert not [line for line in sync.lines if "for 30 days" in line]
    warehouse.api.advance(31 * DAY)
    touch_tasks(warehouse.api, 5, Random(2))
    warehouse.api.advance(HOUR)
    warehouse.sync()
    warehouse.api.advance(HOUR)
    assert warehouse.sync().way == "changed"


def test_parents_that_the_short_way_has_read_are_there_for_the_full_reading() -> None:
    """A surprise, after the processes were read, must not make their tasks look as if no list showed the process."""
    warehouse = ready()
    assign(warehouse.api, tasks_of(warehouse.api, oldest(warehouse.api)[0])[0])
    warehouse.api.account.create("tasks", title="one-off")
    warehouse.api.advance(HOUR)
    warehouse.api.behaviour.is_oneoff = "empty"  # the surprise
    sync = warehouse.sync()
    assert "one changed, and 'runs' did not show it" in way_of(sync)
    assert not [line for line in sync.lines if "for 30 days" in line]
    assert not wrong(warehouse)


# Stopped, and gone on


def test_a_sync_killed_anywhere_and_resumed_misses_nothing() -> None:
    warehouse = ready()
    touch_tasks(warehouse.api, 4, Random(1))
    complete_one(warehouse.api, Random(3))
    warehouse.api.advance(HOUR)
    messages: list[Record] = []
    whole = copy.copy(warehouse)
    with patch.object(Warehouse, "take", lambda _, given: messages.extend(given)):
        assert whole.sync().way == "changed"
    cuts = [number for number, message in enumerate(messages) if message["type"] == "STATE"]
    for cut in sorted({0, 3, *cuts, *(number + 1 for number in cuts), *range(1, len(messages), 5)}):
        resumed = Warehouse(warehouse.api, state=copy.deepcopy(warehouse.state), settings=warehouse.settings)
        resumed.tables = copy.deepcopy(warehouse.tables)
        resumed.take(messages[:cut])
        assert not resumed.sync().error
        assert not wrong(resumed), cut


def test_the_least_that_the_streams_know_counts() -> None:
    early = Marks(mark=10, full_at=5, before=10, tie="a", counter_at=7)
    late = Marks(mark=20, full_at=15, before=20, tie="a", counter_at=3)
    both = Marks.of([_bookmark(late), _bookmark(early)])
    assert (both.mark, both.full_at, both.counter_at, both.tie) == (10, 5, 7, "a")
    assert Marks.of([_bookmark(late), Bookmark(value="x")]).full_at == 0
    other = Marks(mark=20, full_at=15, before=20, tie="a", forms={"active": "only"})
    assert Marks.of([_bookmark(other), _bookmark(early)]).tie == ""


def _bookmark(marks: Marks) -> Bookmark:
    return Bookmark(value="x", marks=dict(vars(marks)))


# On every server


#: Of which the tap says that it cannot read the list.
UNREADABLE = "made-up rows without end"
#: Those where the claim holds, and the tasks of a process can be had in some form.
SHORT = {
    "as documented",
    "a task dates its process",
    "the process is dated 40 s before its task",
    "the process is dated 40 s after its task",
    "the process is dated 50 s late",
    "archived tasks of a process always come",
    "archived tasks of a process come by archived=true",
    "archived tasks of a process come by archived=only",
    "tasks of a process come in tens, newest first",
}


@pytest.mark.parametrize("name", [name for name in SERVERS if name != UNREADABLE])
def test_on_every_server_a_full_reading_at_rest_holds_all(name: str) -> None:
    """And no row is stale for longer than the setting and one interval."""
    random, hours, step = Random(name), 6, 2
    api = account(behaviour=SERVERS[name])
    warehouse = Warehouse(api, settings={"page_size": 20, "full_task_sync_hours": hours})
    changed_at: dict[Any, datetime] = {}
    assert not warehouse.sync().error
    ways: Counter[str] = Counter()
    for _ in range(7):
        for _ in range(random.randrange(5)):
            for key in _work(api, random):
                changed_at[key] = api.now()
            api.advance(60)
        api.advance(step * HOUR)
        sync = warehouse.sync()
        assert not sync.error
        ways[sync.way] += 1
        late = api.now() - timedelta(hours=hours + step, minutes=10)
        keyless = api.keyless("tasks")
        stale = {key[1] for key in wrong(warehouse).get("tasks", ())} - keyless
        settled = {key for key in stale if changed_at.get(key, api.now()) < api.now() - timedelta(hours=1)}
        assert name not in SHORT or not settled
        assert not [key for key in stale if changed_at.get(key, api.now()) < late]
    api.advance(2 * HOUR)
    assert not warehouse.sync(full_task_sync_hours=0).error
    assert {key[1] for keys in wrong(warehouse).values() for key in keys} <= api.keyless("tasks")
    assert ways["changed"] or name not in SHORT


def _work(api: Api, random: Random) -> list[Any]:  # noqa: PLR0911 - a kind of change each
    """Change something; returns the IDs of the tasks that changed."""
    tasks = sorted(api.records("tasks"))
    match random.randrange(7):
        case 0:
            return [complete_one(api, random)]
        case 1:
            task = random.choice(tasks)
            assign(api, task)
            return [task]
        case 2:
            task = random.choice(tasks)
            api.account.edit("tasks", task, title=f"Title {random.randrange(1000)}")
            return [task]
        case 3:
            return [api.account.create("tasks", title="one-off")["id"]]
        case 4:
            alone = sorted(task["id"] for task in api.records("tasks").values() if not task["run_id"])
            api.account.archive("tasks", task := random.choice(alone))
            return [task]
        case 5:
            run = random.choice(sorted(api.runs))
            api.restore(run) if api.runs[run]["archived_at"] else api.archive(run)
            return tasks_of(api, run)
        case _:
            return tasks_of(api, api.create()["id"])


# The search


@pytest.mark.parametrize("first", range(SEED, SEED + 40 * SOAK, 10))
def test_no_server_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + 10):
        random = Random(seed)
        server = drawn(random)
        try:
            search(random, server)
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}, {server}: {broken}") from None


def test_the_search_goes_both_ways() -> None:
    syncs, short, stale = search(Random(1), Server())
    assert 0 < short < syncs
    assert not stale


class OneBookmark(ChangedReading):
    """C1: moves the bookmark with every sync."""

    @override
    def note(self, found: Bookmark) -> None:
        found.value = max(found.value, to_text(self._marks.mark))
        super().note(found)


class NeverDue(ChangedReading):
    """C2: reads all once, and then no more."""

    @property
    @override
    def _is_due(self) -> bool:
        return not self._marks.full_at


class IgnoresStrays(Evidence):
    """C3: takes no notice of tasks whose process no list shows."""

    @override
    def add(self, child: Record, date: float) -> None:
        if not child["run_id"] or child["run_id"] in self._dates or child["is_oneoff_task"]:
            super().add(child, date)


class LearnsNoForm(ChangedReading):
    """C5: takes the first form for the right one."""

    @override
    def _shows(self, *_: Any) -> bool:
        return True


def _ids_alone(_child: Record, _date: float) -> Version:
    return Version(0.0, 0)


_ALL_BUT_ASSIGNING = Server(dates=CHANGES - {"assign"}, hushed=True)


@pytest.mark.parametrize(
    ("weakened", "servers", "busy"),
    [
        pytest.param(
            [(shared_reading, "ChangedReading", OneBookmark)],
            [_ALL_BUT_ASSIGNING, Server(dates=frozenset({"complete"}), hushed=True)],
            25,
            id="one bookmark for both ways",
        ),
        pytest.param(
            [(changed, "HOLD", 0), (claim, "HOLD", 0)], [_ALL_BUT_ASSIGNING], 25, id="counter-examples ignored"
        ),
        pytest.param(
            [(changed, "Evidence", IgnoresStrays)], [Server(unlisted=0.2)], 25, id="tasks of unlisted processes ignored"
        ),
        pytest.param(
            [(Version, "of", _ids_alone)],
            [Server(poor=True)],
            25,
            id="records compared by ID alone",
        ),
        pytest.param(
            [(shared_reading, "ChangedReading", LearnsNoForm), (changed, "FORMS", {"": {}})],
            [Server(archived="true"), Server(archived="only")],
            25,
            id="the archived form not learned",
        ),
        pytest.param(
            [(shared_reading, "ChangedReading", NeverDue)], [_ALL_BUT_ASSIGNING], 1, id="the daily reading left out"
        ),
    ],
)
def test_a_weakened_form_breaks_a_promise(
    weakened: list[tuple[Any, str, Any]], servers: list[Server], busy: int
) -> None:
    def look() -> None:
        for seed in range(60):
            search(Random(seed), servers[seed % len(servers)], busy=busy)

    with ExitStack() as patches:
        for module, name, value in weakened:
            patches.enter_context(patch.object(module, name, value))
        with pytest.raises(AssertionError, match=r"lost|late|honest|known|faithful"):
            look()
