"""What lets people into an account is in nothing that the tap puts out, whatever it was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox import Behaviour, Sandbox
from sandbox.made import token
from tests.lists import EVERYTHING, STREAMS, emitted, sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.tap import Result

DEBUG = {"LOGLEVEL": "DEBUG"}
OTHER_SHAPES = {"guest_id": "code", "guest_names": "details", "owner_users": "objects", "folders": "flat"}

RUNS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as it comes": ({}, {}),
    "in detail": ({}, {"env": DEBUG}),
    "all related data": ({}, {"env": DEBUG, **EVERYTHING}),
    "all related data, bare": ({**OTHER_SHAPES, "wrapped": False}, {"env": DEBUG, **EVERYTHING}),
    "other shapes, completed tasks hidden": ({**OTHER_SHAPES, "hide_completed_tasks": True, "date_format": "z"}, {}),
    "flattened": ({}, {"env": DEBUG, "flattening_enabled": True, "flattening_max_depth": 3, **EVERYTHING}),
    "mapped": ({"guest_id": "code"}, {"stream_maps": {name: {"all": "str(record)"} for name in ("tasks", "guests")}}),
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(runs=60, seed=3) as running:
        hide(running)
        yield running


def hide(sandbox: Sandbox) -> None:
    """Put credentials where the made-up account has none: in related data, in other types, in a page of its own."""
    account = sandbox.account
    link = f"https://go.tallyfy.com/public/{token('anywhere')}"
    watcher = {"id": 1, "user_id": 1001, "guest_id": token("code"), "object_type": "task", "webhook": link}
    file = {
        "id": "f" * 32,
        "filename": "a.pdf",
        "version": 1,
        "url": link,
        "public_link": link,
        "full_url": link,
        "x": {"y": [link]},
    }
    stored = {"id": 1, "name": "b.pdf", "source": "local", "url": "b.pdf", "preview": link}
    for name, key in (("users", 1001), ("checklists", next(iter(sandbox.records("checklists"))))):
        account.edit(name, key, member_watchers=[watcher], guest_watchers={"data": [watcher]}, assets=[file])
    tasks = [task["id"] for task in sandbox.records("tasks").values() if not task["archived_at"]]
    account.edit("tasks", tasks[0], webhook={"url": link}, unknown={"deep": [{"webhook": link}]})
    account.edit(
        "tasks", tasks[1], custom_fields=[{"email": "a@client.example", "link": link}], assets={"data": [file]}
    )
    account.edit("tasks", tasks[2], owners={"users": [], "guests": [], "groups": [], "taskUrls": link})
    account.edit("tasks", tasks[3], taskdata={"a" * 32: [file], "b" * 32: {"data": [file, stored]}})
    account.edit("guests", next(iter(sandbox.records("guests"))), link=[link])
    run = next(run for run in sandbox.runs.values() if not run["archived_at"])
    sandbox.touch(run["id"], prerun={"c" * 32: [file], "d" * 32: {"0": stored}}, unknown={"guest_link": link})


def check(result: Result, sandbox: Sandbox) -> None:
    """All was written, and none of the credentials."""
    assert result.code == 0, result.stderr[-3000:]
    assert emitted_streams(result) == set(STREAMS)
    assert len(sandbox.credentials) > 50
    assert {word for word in (*sandbox.credentials, sandbox.access_token) if word in result.everything} == set()


def emitted_streams(result: Result) -> set[str]:
    return {message["stream"] for message in result.messages if message["type"] == "RECORD"}


@pytest.mark.parametrize("run", RUNS)
def test_no_credential_is_put_out(sandbox: Sandbox, run: str) -> None:
    behaviour, settings = RUNS[run]
    sandbox.behaviour = Behaviour(**behaviour)
    result = sync(sandbox, full_task_sync_hours=0, **settings)
    check(result, sandbox)
    asked: Mapping[str, Any] = EVERYTHING if settings.keys() >= EVERYTHING.keys() else {}
    for name, described in asked.items():
        (related,) = {request.query["with"] for request in result.lists if request.path.endswith(f"/{name}")}
        assert set(described["with"]) <= set(related.split(","))


def test_no_credential_is_put_out_where_a_list_may_not_be_read(sandbox: Sandbox) -> None:
    sandbox.behaviour = Behaviour(forbidden=frozenset({"users"}))
    result = sync(sandbox, env=DEBUG)
    assert result.code == 77
    assert emitted(result)["guests"]
    assert {word for word in (*sandbox.credentials, sandbox.access_token) if word in result.everything} == set()
