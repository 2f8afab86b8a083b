"""The activity feed: entries that are only ever added, read from the last one known."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import Behaviour, Sandbox
from sandbox.store import Record
from tests.lists import catalog, differences, expected, sync, written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tap import Result

FEED = ["activity_feed"]
HEAVY = {"actor", "audit", "parent", "origin", "audit_state", "parent_state"}
A_DAY = 86_400


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(runs=60, seed=3) as running:
        yield running


def entries(sandbox: Sandbox) -> int:
    return len(sandbox.records("activity-feeds"))


def bookmark(result: Result) -> str:
    found: str = result.states[-1]["bookmarks"]["activity_feed"]["replication_key_value"]
    return found


@pytest.mark.parametrize("behaviour", [{}, {"feed_values": "arrays"}, {"per_page_cap": 20}], ids=str)
def test_the_whole_feed_is_read_in_one_form(sandbox: Sandbox, behaviour: dict[str, Any]) -> None:
    sandbox.behaviour = Behaviour(**behaviour)
    result = sync(sandbox, FEED)
    assert result.code == 0, result.stderr
    assert entries(sandbox) > 200
    assert differences(written(result), {"activity_feed": expected(sandbox)["activity_feed"]}) == {}


def test_an_incremental_sync_asks_from_the_day_before_and_stops_at_what_it_knows(sandbox: Sandbox) -> None:
    first = sync(sandbox, FEED)
    sandbox.advance(3 * A_DAY)
    for run in sorted(sandbox.runs)[:5]:
        sandbox.touch(run, name="renamed")
    second = sync(sandbox, FEED, state=first.states[-1])
    day = date.fromisoformat(bookmark(first)[:10])
    # The bookmark less the lookback, less a day for time zones.
    assert {request.query["created_after"] for request in second.lists} <= {
        str(day - timedelta(days=back)) for back in (1, 2)
    }
    assert {request.query["sort"] for request in second.lists} == {"-created_at"}
    assert len(second.lists) <= 3
    new = [record for record in second.records if record["created_at"] > bookmark(first)]
    assert len(new) == 5
    assert len(second.records) < entries(sandbox) / 4
    third = sync(sandbox, FEED, state=second.states[-1])
    assert len(third.lists) <= 3
    assert {record["id"] for record in third.records} <= {record["id"] for record in second.records}


@pytest.mark.parametrize("refused", [["created_after"], ["sort"], ["created_after", "sort"]], ids=str)
def test_what_the_api_refuses_is_done_without(sandbox: Sandbox, refused: list[str]) -> None:
    sandbox.behaviour = Behaviour(refused=frozenset(refused))
    first = sync(sandbox, FEED)
    sandbox.advance(3 * A_DAY)
    run = min(sandbox.runs)
    sandbox.touch(run, name="renamed")
    second = sync(sandbox, FEED, state=first.states[-1])
    assert second.code == 0, second.stderr
    new = [record for record in second.records if record["created_at"] > bookmark(first)]
    assert [record["auditable_id"] for record in new] == [run]


def test_a_filter_of_ones_own_is_sent_as_it_is(sandbox: Sandbox) -> None:
    settings = {"activity_feed": {"created_after": "2020-01-01", "verb": "completed"}}
    first = sync(sandbox, FEED, **settings)
    second = sync(sandbox, FEED, state=first.states[-1], **settings)
    for result in (first, second):
        assert {request.query["created_after"] for request in result.lists} == {"2020-01-01"}
        assert {record["verb"] for record in result.records} == {"completed"}


def test_an_entry_that_is_no_longer_kept_is_not_taken_for_deleted(sandbox: Sandbox) -> None:
    result = sync(sandbox, catalog=catalog(FEED, full=True))
    assert len(result.records) == entries(sandbox)
    assert not any(message["type"] == "ACTIVATE_VERSION" for message in result.messages)


def test_it_is_not_selected_by_default_and_neither_is_what_is_heavy_and_personal(sandbox: Sandbox) -> None:
    chosen = catalog([])
    (feed,) = (stream for stream in chosen["streams"] if stream["tap_stream_id"] == "activity_feed")
    for entry in feed["metadata"]:
        entry["metadata"].pop("selected", None)
    assert sync(sandbox, catalog=chosen).records == []
    (whole,) = (entry["metadata"] for entry in feed["metadata"] if not entry["breadcrumb"])
    whole["selected"] = True
    result = sync(sandbox, catalog=chosen)
    assert len(result.records) == entries(sandbox)
    assert not any(HEAVY & record.keys() for record in result.records)
    assert all({"id", "actor_id", "auditable_id", "parentable_id"} <= record.keys() for record in result.records)
    (schema,) = result.schemas
    assert not HEAVY & schema["schema"]["properties"].keys()


CODE = "c0de" * 10


@pytest.mark.parametrize(
    "entry",
    [
        {"actor_type": "guest", "actor_id": CODE},
        {"actor_type": ["guest", "x"], "actor_id": [CODE]},
        {"actor_type": None, "source": "Guest", "actor_id": CODE, "actor": [{"id": CODE}, {"id": CODE}]},
        {"auditable_type": "App\\Models\\Guest", "auditable_id": {"id": CODE}, "audit": CODE},
        {"auditable_type": "App\\Models\\Guest", "auditable_id": [CODE], "audit_state": {"data": {"id": CODE}}},
        {"parentable_type": "App\\Models\\Guest", "parentable_id": CODE, "parent": {"id": CODE}},
        {"origin_type": "Guest", "origin_id": CODE, "origin": {"data": {"id": CODE}}},
        {"references": [{"type": "guest", "id": CODE}]},
        {"field": "guests", "old_value": CODE},
        {"field": "webhook", "old_value": CODE},
        {"field": ["link"], "old_value": [CODE]},
        {"audit": {"data": {"guests": [{"email": "a@client.example", "link": CODE, "guest_code": CODE}]}}},
    ],
    ids=str,
)
def test_the_id_of_a_guest_is_a_credential_here_too(sandbox: Sandbox, entry: dict[str, Any]) -> None:
    told = {"id": 10**6, "verb": "updated", "created_at": "2025-01-01T00:00:00.000Z", **entry}
    sandbox.collections["activity-feeds"].put(Record(str(10**6), told, {}))
    result = sync(sandbox, FEED)
    assert any(record["id"] == 10**6 for record in result.records)
    assert CODE not in result.everything


def test_what_is_not_selected_does_not_come_by_another_way(sandbox: Sandbox) -> None:
    told = {"id": 10**6, "actor": "somebody", "audit": ["something"], "created_at": "2025-01-01T00:00:00.000Z"}
    sandbox.collections["activity-feeds"].put(Record(str(10**6), told, {}))
    chosen = catalog(FEED)
    (feed,) = (stream for stream in chosen["streams"] if stream["tap_stream_id"] == "activity_feed")
    for entry in feed["metadata"]:
        if entry["breadcrumb"]:
            entry["metadata"].pop("selected", None)
    result = sync(sandbox, catalog=chosen)
    assert any(record["id"] == 10**6 for record in result.records)
    assert "somebody" not in result.everything
    assert "something" not in result.everything


def test_the_order_is_proven_once_and_a_sync_stops_at_what_it_knows(sandbox: Sandbox) -> None:
    """Also where a day holds several pages."""
    first = sync(sandbox, FEED, page_size=20)
    runs = sorted(sandbox.runs)
    for number in range(60):
        sandbox.touch(runs[number % len(runs)], name=f"renamed {number}")
        sandbox.advance(10)
    second = sync(sandbox, FEED, state=first.states[-1], page_size=20)
    assert len(second.lists) <= 60 / 20 * 1.2 + 2
    sandbox.advance(600)
    for number in range(60):
        sandbox.touch(runs[number % len(runs)], name=f"renamed again {number}")
        sandbox.advance(10)
    third = sync(sandbox, FEED, state=second.states[-1], page_size=20)
    assert len(third.lists) <= 60 / 20 * 1.2 + 2
    assert {record["id"] for record in third.records} >= set(range(entries(sandbox) - 59, entries(sandbox) + 1))


def test_what_is_told_is_told_without_an_envelope(sandbox: Sandbox) -> None:
    entry = {
        "id": 10**6,
        "verb": ["updated"],
        "actor_id": [1001],
        "actor": [{"email": "a@company.example"}],
        "field": [],
        "old_value": [12],
        "audit": {"data": {"id": "a" * 32, "name": "Onboarding"}},
        "parent": {"id": "b" * 32},
        "created_at": "2026-01-01T00:00:00.000Z",
    }
    sandbox.collections["activity-feeds"].put(Record(str(10**6), entry, {}))
    (record,) = (record for record in sync(sandbox, FEED).records if record["id"] == 10**6)
    assert record["verb"] == "updated"
    assert record["actor_id"] == 1001
    assert record["actor"] == {"email": "a@company.example"}
    assert record["field"] is None
    assert record["old_value"] == "12"
    assert record["audit"] == {"id": "a" * 32, "name": "Onboarding"}
    assert record["parent"] == {"id": "b" * 32}
    assert record["_extra"] is None
