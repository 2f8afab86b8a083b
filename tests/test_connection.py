"""The connection test: `tap-tallyfy --test`, and the one that Meltano makes of its own."""

from __future__ import annotations

import re
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import Fault, Sandbox
from tap_tallyfy.streams import STREAMS
from tap_tallyfy.tap import lists_among
from tests.lists import FAMILIES, PATHS
from tests.meltano import Project, variables
from tests.tap import TAP, Result, run_tap, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator


NAMES = [stream.name for stream in STREAMS]
LISTS = [stream.name for stream in lists_among(STREAMS)]


@pytest.fixture(scope="module")
def company() -> Iterator[Sandbox]:
    with Sandbox(runs=600, seed=3) as sandbox:
        yield sandbox


def connect(sandbox: Sandbox, **settings: Any) -> Result:
    return run_tap(sandbox, command=TAP, args=["--test"], **settings)


def last_line(result: Result) -> str:
    assert "Traceback" not in result.stderr
    assert "unhandled" not in result.stderr
    return result.stderr.splitlines()[-1].split(" | ", 3)[3]


def test_it_says_what_was_reached(company: Sandbox) -> None:
    result = connect(company)
    assert result.code == 0
    assert result.errors == []
    assert last_line(result) == f"Reached organization '{company.org_id}'; the token can read {', '.join(NAMES)}."


def test_it_asks_for_a_page_of_each_list_and_writes_nothing(company: Sandbox) -> None:
    result = connect(company)
    names = {company.org_id: "organization", **{path: name for name, path in PATHS.items()}}
    asked = [request.path.rsplit("/", 1)[-1] for request in result.lists]
    assert [names.get(path, path) for path in asked] == LISTS
    assert result.lines == []


def test_it_names_what_the_token_may_not_read(company: Sandbox) -> None:
    company.behaviour.forbidden = frozenset({"tasks", "guests"})
    try:
        result = connect(company)
    finally:
        company.behaviour.forbidden = frozenset()
    assert result.code == 0
    refused = [name for name in NAMES if name in {*FAMILIES["tasks"], "guests"}]
    readable = [name for name in NAMES if name not in refused]
    assert (
        last_line(result) == f"Reached organization '{company.org_id}'; the token can read {', '.join(readable)},"
        f" but not {', '.join(refused)}."
    )


def test_it_fails_if_nothing_can_be_read(company: Sandbox) -> None:
    company.behaviour.forbidden = frozenset(PATHS.get(name, name) for name in LISTS)
    try:
        result = connect(company)
    finally:
        company.behaviour.forbidden = frozenset()
    assert result.code == 77
    assert [last_line(result)] == result.errors
    assert company.org_id in last_line(result)


@pytest.mark.parametrize(("wrong", "requests"), [("access_token", 1), ("org_id", len(LISTS))])
def test_it_fails_if_the_token_or_the_organization_is_wrong(company: Sandbox, wrong: str, requests: int) -> None:
    result = connect(company, **{wrong: "another"})
    assert result.code == 77
    assert [last_line(result)] == result.errors
    assert f"'{wrong}'" in last_line(result)
    assert len(result.lists) == requests


# What the SDK says of a failure


def test_the_sdk_calls_no_expected_error_unhandled_but_in_the_debug_log(company: Sandbox) -> None:
    company.faults = list(repeat(Fault("status", 401), 2))
    quiet, debug = (run_tap(company, env={"LOGLEVEL": level}) for level in ("INFO", "DEBUG"))
    assert quiet.code == debug.code == 77
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
