"""The connection test: `tap-tallyfy --test`, and the one that Meltano makes of its own."""

from __future__ import annotations

import re
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import Fault, Sandbox
from tests.lists import FAMILIES, PATHS, STREAMS
from tests.meltano import Project, variables
from tests.tap import TAP, Result, run_tap, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def company() -> Iterator[Sandbox]:
    with Sandbox(runs=600, seed=3) as sandbox:
        yield sandbox


def connect(sandbox: Sandbox, **settings: Any) -> Result:
    return run_tap(sandbox, command=TAP, args=["--test"], **settings)


def bookmarks(result: Result) -> list[object]:
    """The bookmarks of all streams; a page is no whole list, so there may be none."""
    return [stream.get("replication_key_value") for state in result.states for stream in state["bookmarks"].values()]


def last_line(result: Result) -> str:
    assert "Traceback" not in result.stderr
    assert "unhandled" not in result.stderr
    return result.stderr.splitlines()[-1].split(" | ", 3)[3]


def test_it_says_what_was_reached(company: Sandbox) -> None:
    result = connect(company)
    assert result.code == 0
    assert result.errors == []
    assert (
        last_line(result)
        == f"Reached organization '{company.org_id}'; the token can read {', '.join(sorted(STREAMS))}."
    )


def test_it_reads_a_page_of_each_list(company: Sandbox) -> None:
    result = connect(company)
    assert sorted(request.path.rsplit("/", 1)[-1] for request in result.lists) == sorted(
        PATHS.get(name, name) for name in FAMILIES
    )
    emitted = [message["stream"] for message in result.messages if message["type"] == "RECORD"]
    assert emitted == sorted(set(emitted)), "a record of a stream at most"
    assert set(FAMILIES) <= set(emitted) <= set(STREAMS)
    assert not any(bookmarks(result))


def test_a_stream_without_rows_has_no_list_read_to_its_end(company: Sandbox) -> None:
    """Nobody has commented on these, so that no first row turns up."""
    result = connect(company, tasks={"q": "S3CR3T"}, page_size=1)
    assert len(result.lists) == len(FAMILIES)
    assert result.code == 0
    assert not any(bookmarks(result))


def test_it_names_what_the_token_may_not_read(company: Sandbox) -> None:
    company.behaviour.forbidden = frozenset({"tasks", "guests"})
    try:
        result = connect(company)
    finally:
        company.behaviour.forbidden = frozenset()
    assert result.code == 0
    refused = sorted({*FAMILIES["tasks"], "guests"})
    readable = sorted(set(STREAMS) - set(refused))
    assert f"organization '{company.org_id}'; the token can read" in last_line(result)
    assert last_line(result).endswith(f" {', '.join(readable)}, but not {', '.join(refused)}.")


def test_it_fails_if_nothing_can_be_read(company: Sandbox) -> None:
    company.behaviour.forbidden = frozenset(PATHS.get(name, name) for name in FAMILIES)
    try:
        result = connect(company)
    finally:
        company.behaviour.forbidden = frozenset()
    assert result.code == 1
    assert [last_line(result)] == result.errors
    assert company.org_id in last_line(result)


@pytest.mark.parametrize("wrong", ["access_token", "org_id"])
def test_it_fails_if_the_token_or_the_organization_is_wrong(company: Sandbox, wrong: str) -> None:
    result = connect(company, **{wrong: "another"})
    assert result.code == 1
    assert [last_line(result)] == result.errors
    assert f"'{wrong}'" in last_line(result)
    assert len(result.lists) == 1


# What the SDK says of a failure


def test_the_sdk_calls_no_expected_error_unhandled_but_in_the_debug_log(company: Sandbox) -> None:
    company.faults = list(repeat(Fault("status", 401), 2))
    quiet, debug = (run_tap(company, env={"LOGLEVEL": level}) for level in ("INFO", "DEBUG"))
    assert quiet.code == debug.code == 1
    assert "unhandled" not in quiet.stderr
    assert re.search(r"\| DEBUG +\| .*An unhandled error", debug.stderr)


# Meltano


def config_test(project: Project, sandbox: Sandbox, **settings: Any) -> tuple[bool, str]:
    """Whether Meltano finds the settings right, and all it says."""
    account = variables("tap-tallyfy", **settings_for(sandbox, **settings))
    try:
        return True, project.meltano("config", "test", "tap-tallyfy", **account)
    except AssertionError as failed:
        return False, str(failed)


def test_meltano_finds_right_settings_right(project: Project, company: Sandbox) -> None:
    valid, said = config_test(project, company)
    assert valid
    assert "Plugin configuration is valid" in said


def test_meltano_shows_the_sentence_that_says_what_is_wrong(project: Project, company: Sandbox) -> None:
    valid, said = config_test(project, company, access_token="another")
    assert not valid
    assert "the API refused the token" in said
