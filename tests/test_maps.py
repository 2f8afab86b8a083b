"""Stream maps: for all streams or for one, on or off, and with expressions that fail."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import Sandbox
from tests.lists import catalog, expected, sync
from tests.tap import TAP, run_tap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lists import Row
    from tests.tap import Result


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(runs=30, seed=3) as running:
        yield running


def records_of(result: Result, stream: str) -> list[Row]:
    return [
        message["record"] for message in result.messages if message["type"] == "RECORD" and message["stream"] == stream
    ]


@pytest.mark.parametrize("selected", [["runs", "tags"], ["kickoff_answers"]], ids=str)
def test_a_map_for_all_streams_leaves_alone_those_that_are_off(sandbox: Sandbox, selected: list[str]) -> None:
    result = sync(sandbox, selected, stream_maps={"*": {"account": "'ours'"}})
    assert result.code == 0, result.stderr
    for stream in selected:
        records = records_of(result, stream)
        assert len(records) == len(expected(sandbox)[stream])
        assert {record["account"] for record in records} == {"ours"}


def test_a_map_for_all_streams_holds_without_a_catalog(sandbox: Sandbox) -> None:
    result = run_tap(sandbox, command=TAP, stream_maps={"*": {"account": "'ours'"}})
    assert result.code == 0, result.stderr
    assert {record["account"] for record in result.records} == {"ours"}


@pytest.mark.parametrize("map_", ["name", {"__key_properties__": ["absent"]}, {"name": "1 +"}], ids=str)
def test_a_map_that_is_none_is_refused_in_a_sentence(sandbox: Sandbox, map_: object) -> None:
    result = sync(sandbox, ["runs"], stream_maps={"runs": map_})
    assert result.code == 78
    assert "Traceback" not in result.stderr
    (sentence,) = result.errors
    assert "stream_maps" in sentence
    assert result.requests == []


def test_a_map_for_a_stream_that_is_off_changes_nothing(sandbox: Sandbox) -> None:
    maps = {"tasks": {"shouted": "title.upper()"}, "comments": {"__alias__": "talk"}, "users": None}
    result = sync(sandbox, ["tags"], stream_maps=maps)
    assert result.code == 0, result.stderr
    assert len(records_of(result, "tags")) == len(expected(sandbox)["tags"])


@pytest.mark.parametrize("factor", ["0.01", "2", "1.5"])
def test_a_map_multiplies_a_number(sandbox: Sandbox, factor: str) -> None:
    """Whether the API sends it with a point or not."""
    for number, run in enumerate(sandbox.collections["runs"].records.values()):
        run.sent["progress"]["percent"] = number if number % 2 else number + 0.5
    maps = {
        "runs": {"share": f"record['progress']['percent'] * {factor}", "__else__": None, "id": "id", "org_id": "org_id"}
    }
    result = run_tap(sandbox, stream_maps=maps)
    assert result.code == 0, result.stderr
    right = {identity: run["progress"]["percent"] * float(factor) for identity, run in sandbox.runs.items()}
    assert {record["id"]: pytest.approx(record["share"]) for record in result.records} == right


@pytest.mark.parametrize("is_file", [True, False], ids=["a file", "a variable"])
def test_a_map_multiplies_by_a_number_of_the_settings(sandbox: Sandbox, is_file: bool) -> None:
    for number, run in enumerate(sandbox.collections["runs"].records.values()):
        run.sent["progress"]["percent"] = number + 0.5 * (number % 2)
    settings: dict[str, Any] = {
        "stream_maps": {"runs": {"share": "record['progress']['percent'] * config['rate']"}},
        "stream_map_config": {"rate": 0.01},
    }
    in_env = {f"TAP_TALLYFY_{name.upper()}": json.dumps(value) for name, value in settings.items()}
    result = run_tap(sandbox, **settings) if is_file else run_tap(sandbox, args=["--config", "ENV"], env=in_env)
    assert result.code == 0, result.stderr
    right = {identity: run["progress"]["percent"] * 0.01 for identity, run in sandbox.runs.items()}
    assert {record["id"]: pytest.approx(record["share"]) for record in result.records} == right


@pytest.mark.parametrize(
    "expression",
    [
        "record['progress']['percent'] * name",
        "record['no such field']",
        "name.no_such_method()",
        "1 / 0",
        "int(name)",
        "no_such_function(name)",
    ],
)
def test_a_map_that_fails_ends_in_a_sentence_without_a_value(sandbox: Sandbox, expression: str) -> None:
    for run in sandbox.collections["runs"].records.values():
        run.sent["name"] = "Confidential"
    result = run_tap(sandbox, stream_maps={"runs": {"made": expression}})
    assert result.code == 78, result.stderr
    assert "Traceback" not in result.stderr
    (sentence,) = result.errors
    assert "'runs'" in sentence
    assert "stream_maps" in sentence
    assert "Confidential" not in result.stderr


@pytest.mark.parametrize("maps", [{"runs": {"made": "1 +"}}, {"runs": {"__filter__": "("}}, {"runs": 5}], ids=str)
def test_a_map_that_is_none_is_refused_before_any_request(sandbox: Sandbox, maps: Any) -> None:
    result = run_tap(sandbox, stream_maps=maps)
    assert result.code == 78
    assert result.requests == []
    assert "Traceback" not in result.stderr
    assert len(result.errors) == 1


def test_a_filter_that_fails_ends_in_a_sentence(sandbox: Sandbox) -> None:
    result = run_tap(sandbox, stream_maps={"runs": {"__filter__": "int(name) > 3"}})
    assert result.code == 78
    assert len(result.errors) == 1


def test_two_streams_may_be_mapped_into_one_table(sandbox: Sandbox) -> None:
    maps = {"tags": {"__alias__": "things"}, "groups": {"__alias__": "things"}}
    result = sync(sandbox, catalog=catalog(["tags", "groups"]), stream_maps=maps)
    assert result.code == 0, result.stderr
    assert {message["stream"] for message in result.messages if "stream" in message} == {"things"}
    assert not [message for message in result.messages if message["type"] == "ACTIVATE_VERSION"]
