"""What a sync takes from the one before: bookmarks, and how many requests they save."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import Behaviour, Sandbox
from tests.lists import catalog
from tests.tap import run_tap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(runs=900, seed=3) as found:
        yield found


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ({"runs": {"status": "active"}}, {}, "other settings"),
        ({"runs": {"archived": "exclude"}}, {}, "other settings"),
        ({}, {"runs": {"with": ["tags"]}}, "other settings"),
        ({"start_date": "2026-01-10"}, {}, "'start_date'"),
        ({"start_date": "2026-01-10"}, {"start_date": "2025-06-01"}, "'start_date'"),
    ],
)
def test_a_bookmark_made_under_other_settings_is_not_used(
    sandbox: Sandbox, before: dict[str, Any], after: dict[str, Any], word: str
) -> None:
    first = run_tap(sandbox, **before)
    second = run_tap(sandbox, state=first.states[-1], **after)
    fresh = run_tap(sandbox, **after)
    assert second.code == 0
    assert second.ids == fresh.ids > first.ids or "with" in str(after)
    assert "starts over" in second.stderr
    assert word in second.stderr


@pytest.mark.parametrize("settings", [{}, {"runs": {"status": "active"}}, {"start_date": "2026-01-10"}])
def test_a_bookmark_made_under_the_same_settings_is_used(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    first = run_tap(sandbox, **settings)
    second = run_tap(sandbox, state=first.states[-1], **settings)
    assert "starts over" not in second.stderr
    assert len(second.records) < len(first.records)


def test_a_state_made_by_hand_is_used(sandbox: Sandbox) -> None:
    value = "2026-01-01T00:00:00+00:00"
    state = {"bookmarks": {"runs": {"replication_key": "last_updated", "replication_key_value": value}}}
    result = run_tap(sandbox, state=state)
    changed = {run["id"] for run in sandbox.runs.values() if run["last_updated"] >= "2026-01-01T00:00:00.000Z"}
    assert result.ids == changed != set()


@pytest.mark.parametrize(
    "state",
    [
        {"type": "STATE", "value": {"bookmarks": {}}},
        {"bookmarks": []},
        {"bookmarks": {"runs": "2026-01-01"}},
    ],
    ids=["a message", "a list", "text"],
)
def test_what_is_no_state_is_refused(sandbox: Sandbox, state: dict[str, Any]) -> None:
    result = run_tap(sandbox, state=state)
    assert result.code == 78
    assert result.requests == []
    (sentence,) = result.errors
    assert "--state" in sentence


def test_a_bookmark_of_the_future_is_not_used(sandbox: Sandbox) -> None:
    """It would skip all changes for years."""
    value = "2999-01-01T00:00:00.000Z"
    state = {"bookmarks": {"runs": {"replication_key": "last_updated", "replication_key_value": value}}}
    result = run_tap(sandbox, state=state)
    assert result.ids == sandbox.runs.keys()
    assert "lies in the future" in result.stderr
    assert result.states[-1]["bookmarks"]["runs"]["replication_key_value"] < value


@pytest.mark.parametrize("hours", [1, 23])
def test_a_bookmark_ahead_of_the_servers_clock_is_not_used(sandbox: Sandbox, hours: int) -> None:
    sandbox.set_clock(datetime.now(timezone.utc))
    state = run_tap(sandbox).states[-1]
    ahead = f"{sandbox.now() + timedelta(hours=hours):%Y-%m-%dT%H:%M:%S}.000Z"
    state["bookmarks"]["runs"]["replication_key_value"] = ahead
    result = run_tap(sandbox, state=state)
    assert result.ids == sandbox.runs.keys()
    assert "lies in the future" in result.stderr
    assert result.states[-1]["bookmarks"]["runs"]["replication_key_value"] < ahead


def test_a_bookmark_ahead_of_this_machine_is_used_where_the_servers_clock_is_ahead_too(sandbox: Sandbox) -> None:
    sandbox.set_clock(datetime.now(timezone.utc) + timedelta(hours=3))
    sandbox.touch(min(sandbox.runs))
    state = run_tap(sandbox).states[-1]
    assert run_tap(sandbox, state=state).ids < sandbox.runs.keys()


@pytest.mark.parametrize("settings", [{}, {"start_date": "2025-01-15"}], ids=["alone", "with a start_date"])
def test_a_bookmark_that_is_no_date_time_starts_over(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    state = {"bookmarks": {"runs": {"replication_key": "last_updated", "replication_key_value": "never"}}}
    result = run_tap(sandbox, state=state, **settings)
    assert result.code == 0, result.stderr
    assert "The bookmark of 'runs' is no date-time; the stream starts over." in result.stderr
    assert result.ids == run_tap(sandbox, **settings).ids
    assert result.states[-1]["bookmarks"]["runs"]["replication_key_value"] > "2025"


@pytest.mark.parametrize("start_date", [None, 17, [], "2025-01-01T00:00:00"])
def test_a_state_may_hold_anything_as_its_start_date(sandbox: Sandbox, start_date: object) -> None:
    state = run_tap(sandbox).states[-1]
    state["bookmarks"]["runs"]["start_date"] = start_date
    result = run_tap(sandbox, state=state)
    assert result.code == 0, result.stderr


@pytest.mark.parametrize("tells", [True, False])
def test_a_run_dated_in_the_future_hides_no_change(tells: bool) -> None:
    """Without the server's clock, the newest date on the first page must stand in for it."""
    with Sandbox(runs=300, seed=3, behaviour=Behaviour(date_header=tells)) as sandbox:
        sandbox.create(last_updated="2057-09-09T00:00:00.000Z")
        state = run_tap(sandbox).states[-1]
        changed = {sandbox.touch(identity)["id"] for identity in sorted(sandbox.runs)[::9]}
        result = run_tap(sandbox, state=state)
        assert result.code == 0, result.stderr
        assert changed <= result.ids


def lists_of(sandbox: Sandbox) -> list[int]:
    """Return how long the account's two lists are."""
    archived = sum(run["archived_at"] is not None for run in sandbox.runs.values())
    return [len(sandbox.runs) - archived, archived]


@pytest.mark.parametrize(
    ("runs", "change_every", "concurrency"),
    [(1_000, 0, 1), (1_000, 0, 8), (6_000, 0, 8), (1_000, 10, 1), (1_000, 10, 8), (6_000, 10, 8)],
)
def test_a_full_sync_costs_its_pages_and_a_few_requests(runs: int, change_every: int, concurrency: int) -> None:
    random, asked = Random(1), 0

    def work(_: object) -> None:
        nonlocal asked
        asked += 1
        if change_every and asked % change_every == 0:
            account.mutate(random)

    with Sandbox(runs=runs, seed=3) as account:
        lengths = lists_of(account)
        account.before_list = work
        result = run_tap(account, concurrency=concurrency)
        assert result.code == 0, result.stderr
        most = 1.5 if change_every else 1.16
        assert len(result.requests) <= sum(most * math.ceil(length / 100) + 6 for length in lengths)


@pytest.mark.parametrize("archived", [False, True])
def test_a_list_of_one_page_costs_one_request(archived: bool) -> None:
    with Sandbox(runs=80, seed=3) as sandbox:
        active, gone = lists_of(sandbox)
        assert active < 100 > gone > 0
        result = run_tap(sandbox, runs={"archived": "include" if archived else "exclude"})
    assert len(result.requests) == 1 + archived


@pytest.mark.parametrize("changes", [0, 5])
def test_an_incremental_sync_costs_at_most_three_requests(sandbox: Sandbox, changes: int) -> None:
    state = run_tap(sandbox).states[-1]
    touched = sorted(sandbox.runs)[:changes]
    for run_id in touched:
        sandbox.touch(run_id)
    result = run_tap(sandbox, state=state)
    assert result.code == 0
    assert set(touched) <= result.ids
    assert len(result.requests) <= 3


@pytest.mark.parametrize("is_first", [True, False], ids=["first of all", "under a state"])
def test_an_incremental_sync_after_one_of_all_reads_what_changed_since(sandbox: Sandbox, is_first: bool) -> None:
    state = None if is_first else run_tap(sandbox).states[-1]
    sandbox.advance(3600)
    sandbox.mutate(Random(1), 5)
    everything = run_tap(sandbox, catalog=catalog(["runs"], full=True), state=state)
    assert everything.ids == set(sandbox.runs)
    sandbox.advance(3600)
    changed = sandbox.mutate(Random(2), 5)
    after = run_tap(sandbox, state=everything.states[-1])
    assert set(changed) & sandbox.runs.keys() <= after.ids
    assert len(after.ids) < 15
    assert len(after.requests) <= 3


def test_without_a_sure_order_an_incremental_sync_reads_everything() -> None:
    with Sandbox(runs=300, seed=3, behaviour=Behaviour(sort="created_at")) as sandbox:
        state = run_tap(sandbox, page_size=20).states[-1]
        oldest = min(sandbox.runs.values(), key=lambda run: str(run["created_at"]))
        sandbox.touch(oldest["id"])
        result = run_tap(sandbox, state=state, page_size=20)
        assert oldest["id"] in result.ids
        assert len(result.records) < len(sandbox.runs)


# States of another time, and of somebody else


def small() -> Sandbox:
    sandbox = Sandbox(runs=120, seed=3)
    sandbox.set_clock(
        sandbox.now()
    )  # a sync that takes seconds keeps the bookmark behind what may have changed in them
    return sandbox


def bookmark(state: Any) -> Any:
    return state["bookmarks"]["runs"].get("replication_key_value")


@pytest.mark.parametrize("wrong", ["org_id", "access_token"])
def test_a_mistyped_setting_costs_no_bookmark(wrong: str) -> None:
    with small() as sandbox:
        first = run_tap(sandbox)
        settings: dict[str, Any] = {wrong: "another"}
        failed = run_tap(sandbox, state=first.states[-1], **settings)
        assert failed.code == 77
        state = failed.states[-1] if failed.states else first.states[-1]
        assert state == first.states[-1]
        third = run_tap(sandbox, state=state)
    assert "starts over" not in third.stderr
    assert len(third.records) < len(first.records)


def test_another_organization_starts_over() -> None:
    with small() as sandbox, Sandbox(runs=40, seed=4) as other:
        state = run_tap(sandbox).states[-1]
        result = run_tap(other, state=state)
        assert result.ids == other.runs.keys()
        assert "starts over" in result.stderr


@pytest.mark.parametrize(
    "older",
    [
        {"made_for": None},
        {"made_for": "0123456789abcdef"},
        {"made_for": 17},
        {"made_for": {"key": ["id"]}},
    ],
    ids=str,
)
def test_a_state_made_for_another_key_or_schema_starts_over(older: dict[str, Any]) -> None:
    """An older version wrote no `made_for`."""
    with small() as sandbox:
        state = run_tap(sandbox).states[-1]
        entry = state["bookmarks"]["runs"]
        entry |= older
        if older["made_for"] is None:
            del entry["made_for"]
        result = run_tap(sandbox, state=state)
        assert result.code == 0, result.stderr
        assert result.ids == sandbox.runs.keys()
        assert "The bookmark of 'runs'" in result.stderr
        assert run_tap(sandbox, state=result.states[-1]).stderr.count("starts over") == 0


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"singer_state": state},
        lambda state: {"completed": {"singer_state": state}},
        lambda state: {"completed": {"singer_state": state}, "partial": {}},
    ],
    ids=["singer_state", "completed", "completed and partial"],
)
def test_a_state_in_meltanos_wrapping_is_used(wrap: Callable[[Any], Any]) -> None:
    with small() as sandbox:
        state = run_tap(sandbox).states[-1]
        bare, wrapped = run_tap(sandbox, state=state), run_tap(sandbox, state=wrap(state))
        assert wrapped.ids == bare.ids < sandbox.runs.keys()
        assert bookmark(wrapped.states[-1]) == bookmark(state)


@pytest.mark.parametrize("content", ["[]", "null", "3", '"bookmarks"', "{", ""], ids=repr)
def test_a_file_that_holds_no_state_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "state.json"
    file.write_text(content, encoding="utf-8")
    with small() as sandbox:
        result = run_tap(sandbox, args=["--state", str(file)])
    assert result.code == 78
    assert result.requests == []
    (sentence,) = result.errors
    assert "--state" in sentence
    assert str(file) in sentence
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "entry",
    [
        {"replication_key": "updated_at", "replication_key_value": "2026-01-01T00:00:00Z"},
        {"replication_key": "last_updated", "replication_key_value": 17},
        {"replication_key": "last_updated", "replication_key_value": ["2026-01-01"]},
        {"replication_key": None, "replication_key_value": None, "version": "x", "rows": 3, "marks": 4, "sort": 5},
        {"progress_markers": {"replication_key": "last_updated", "replication_key_value": "2026-01-01T00:00:00Z"}},
        {"starting_replication_value": "2026-01-01T00:00:00Z", "partitions": []},
    ],
    ids=str,
)
def test_a_state_of_another_form_starts_over(entry: dict[str, Any]) -> None:
    with small() as sandbox:
        result = run_tap(sandbox, state={"bookmarks": {"runs": entry}})
        assert result.code == 0, result.stderr
        assert result.ids == sandbox.runs.keys()
        assert bookmark(result.states[-1])


def test_a_state_ends_every_sync() -> None:
    with small() as sandbox:
        state = run_tap(sandbox, emit_activate_version_messages=False).states[-1]
        result = run_tap(sandbox, state=state, emit_activate_version_messages=False)
    assert result.messages[-1]["type"] == "STATE"
