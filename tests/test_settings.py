from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import Behaviour, Sandbox
from sandbox.data import FOLDERS, GROUPS, TAGS, TEMPLATES
from tap_tallyfy.api.secrets import SECRET_SETTINGS
from tap_tallyfy.tap import TapTallyfy
from tests.tap import RUNS, Result, environment, run_command, run_tap, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = dict[str, Any]

TAG, OTHER_TAG, *_ = TAGS
GROUP, OTHER_GROUP, *_ = GROUPS
FOLDER = next(iter(FOLDERS))


@pytest.fixture(scope="module")
def company() -> Iterator[Sandbox]:
    """An account large enough that every filter lets something in and keeps something out."""
    with Sandbox(runs=400, seed=6) as running:
        yield running


def expect_refusal(result: Result, *names: str) -> str:
    """Check that settings were refused before any request, in one sentence that names them."""
    assert result.code == 78, result.stderr
    assert result.requests == []
    assert result.lines == []
    assert "Traceback" not in result.stderr
    assert len(result.errors) == 1, result.stderr
    (sentence,) = result.errors
    for name in names:
        assert name in sentence
    return sentence


# Refused


NO_TOKEN = {"access_token": None}
JSONL = {"format": "jsonl"}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "missing org_id": ({"org_id": None}, "'org_id'"),
    "empty org_id": ({"org_id": ""}, "'org_id'"),
    "org_id with a slash": ({"org_id": "a/b"}, "'org_id'"),
    "blank org_id": ({"org_id": " \n"}, "'org_id' is not set"),
    "org_id with a line end in it": ({"org_id": "abc\ndef"}, "'org_id'"),
    "org_id that leaves the path": ({"org_id": ".."}, "'org_id'"),
    "no credentials": (NO_TOKEN, "'access_token'"),
    "blank token": ({"access_token": "  "}, "'access_token'"),
    "client_id alone": ({**NO_TOKEN, "client_id": "some"}, "'client_secret'"),
    "client_secret alone": ({**NO_TOKEN, "client_secret": "some"}, "'client_id'"),
    "misspelt key": ({"pagesize": 10}, "'pagesize'"),
    "misspelt key of runs": ({"runs": {"state": "active"}}, "'state'"),
    "alias": ({"runs": {"blueprint_id": "x"}}, "'blueprint_id'"),
    "unknown status": ({"runs": {"status": "actve"}}, "['runs']['status']"),
    "unknown archived": ({"runs": {"archived": "true"}}, "['runs']['archived']"),
    "unknown related data": ({"runs": {"with": ["task"]}}, "['runs']['with']"),
    "runs is no object": ({"runs": "active"}, "'runs'"),
    "list as text": ({"runs": {"owners": "1001,1002"}}, "['runs']['owners']"),
    "boolean as text": ({"runs": {"starred": "yes"}}, "['runs']['starred']"),
    "page_size as text": ({"page_size": "many"}, "['page_size']"),
    "page_size is a boolean": ({"page_size": True}, "['page_size']"),
    "page_size 0": ({"page_size": 0}, "['page_size']"),
    "page_size 101": ({"page_size": 101}, "['page_size']"),
    "request_timeout 0": ({"request_timeout": 0}, "['request_timeout']"),
    "concurrency 0": ({"concurrency": 0}, "['concurrency']"),
    "requests_per_minute 0": ({"requests_per_minute": 0}, "['requests_per_minute']"),
    "start_date in words": ({"start_date": "yesterday"}, "'start_date'"),
    "start_date that no calendar has": ({"start_date": "2025-02-30"}, "'start_date'"),
    "start_date of the future": ({"start_date": "2999-01-01"}, "'start_date'"),
    "start_date is a number": ({"start_date": 1735689600}, "['start_date']"),
    "api_url of another scheme": ({"api_url": "ftp://127.0.0.1/api"}, "'api_url'"),
    "api_url without a scheme": ({"api_url": "127.0.0.1/api"}, "'api_url'"),
    "api_url with a query": ({"api_url": "http://127.0.0.1/api?page=2"}, "'api_url'"),
    "api_url with a wrong port": ({"api_url": "http://127.0.0.1:99999/api"}, "'api_url'"),
    "token_url without a scheme": ({"token_url": "127.0.0.1/oauth/token"}, "'token_url'"),
    "status archived, archived exclude": ({"runs": {"status": "archived", "archived": "exclude"}}, "'runs.archived'"),
    "status active, archived only": ({"runs": {"status": "active", "archived": "only"}}, "'runs.archived'"),
    "user_agent of two lines": ({"user_agent": "one\ntwo"}, "'user_agent'"),
    "trust_totals as text": ({"trust_totals": "maybe"}, "['trust_totals']"),
    "batch_config without storage": ({"batch_config": {"encoding": {"format": "jsonl"}}}, "'batch_config'"),
    "batch_config without encoding": ({"batch_config": {"storage": {"root": "file:///tmp"}}}, "'batch_config'"),
    "batch_config with an empty storage": ({"batch_config": {"encoding": JSONL, "storage": {}}}, "'batch_config'"),
    "batch_config of no store": ({"batch_config": {"encoding": JSONL, "storage": {"root": "x://y"}}}, "'batch_config'"),
    "report is no path": ({"report": ["report.json"]}, "['report']"),
    "report in no folder": ({"report": "/not/there/report.json"}, "'report'"),
}


def test_one_list_says_which_settings_are_secrets() -> None:
    described = TapTallyfy.config_jsonschema["properties"]
    assert {name for name, setting in described.items() if setting.get("secret")} == set(SECRET_SETTINGS)


@pytest.mark.parametrize(("settings", "name"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_settings_are_refused_before_any_request(company: Sandbox, settings: dict[str, Any], name: str) -> None:
    expect_refusal(run_tap(company, **settings), name)


@pytest.mark.parametrize(
    ("settings", "name", "secret"),
    [
        ({"access_token": 4815162342}, "'access_token'", "4815162342"),
        ({"access_token": ["s3cr3t"]}, "'access_token'", "s3cr3t"),
        ({"access_token": "s3cr3t\nX-Other: 1"}, "'access_token'", "s3cr3t"),
        ({"access_token": "s3cr3t\u2026"}, "'access_token'", "s3cr3t"),
        ({"access_token": "Bearer s3cr3t"}, "'access_token'", "s3cr3t"),
        ({**NO_TOKEN, "client_id": "some", "client_secret": {"value": "s3cr3t"}}, "'client_secret'", "s3cr3t"),
        ({"api_url": "http://user:s3cr3t@127.0.0.1/api"}, "'api_url'", "s3cr3t"),
    ],
)
def test_a_refused_secret_is_not_shown(company: Sandbox, settings: dict[str, Any], name: str, secret: str) -> None:
    result = run_tap(company, env={"LOGLEVEL": "DEBUG"}, **settings)
    assert result.code == 78
    assert result.requests == []
    assert name in " ".join(result.errors)
    assert secret not in result.everything


NO_JSON = {
    "yaml": b"org_id: some",
    "cut": b'{"org_id": "s',
    "utf-16": b"\xff\xfe{}",
    "empty": b"",
    "a list": b"[1]",
    "an empty list": b"[]",
    "null": b"null",
    "a text": b'"state"',
    "too deep": b"[" * 200_000,
}


@pytest.mark.parametrize("option", ["--config", "--catalog", "--state"])
@pytest.mark.parametrize("content", NO_JSON.values(), ids=NO_JSON.keys())
def test_a_file_that_holds_no_json_object_is_named(
    company: Sandbox, tmp_path: Path, option: str, content: bytes
) -> None:
    right, wrong = tmp_path / "right.json", tmp_path / "wrong.json"
    right.write_text(json.dumps(settings_for(company)), encoding="utf-8")
    wrong.write_bytes(content)
    result = run_command("--config", str(right), option, str(wrong), sandbox=company)
    expect_refusal(result, option, str(wrong))
    assert "object is not" not in result.stderr


@pytest.mark.parametrize("content", [{"streams": [1]}, {"streams": [{"stream": "runs"}]}, {"runs": {}}], ids=str)
def test_a_catalog_that_is_none_is_named(company: Sandbox, content: dict[str, Any]) -> None:
    expect_refusal(run_tap(company, catalog=content), "--catalog", "--discover")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "config.json")
    expect_refusal(run_command("--config", missing), missing)


def test_settings_of_several_files_add_up_and_a_pipe_is_a_file(company: Sandbox, tmp_path: Path) -> None:
    account, sizes = tmp_path / "account.json", tmp_path / "sizes.json"
    account.write_text(json.dumps(settings_for(company, page_size=20)), encoding="utf-8")
    sizes.write_text('{"page_size": 50}', encoding="utf-8-sig")
    state = tmp_path / "state"
    os.mkfifo(state)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(state.write_text, '{"bookmarks": {}}', encoding="utf-8-sig")
        files = ("--config", str(account), "--config", str(sizes), "--state", str(state))
        result = run_command(*files, sandbox=company, command=RUNS)
    assert result.code == 0, result.stderr
    assert {request.query["per_page"] for request in result.lists} >= {"50"}


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    expect_refusal(run_command("--config", str(tmp_path)), str(tmp_path))


def test_wrong_settings_are_refused_by_a_test_run_too(company: Sandbox) -> None:
    expect_refusal(run_tap(company, args=["--test"], page_size=0), "['page_size']")


# Environment


def from_environment(sandbox: Sandbox, *args: str, **variables: str) -> Result:
    given = {name: str(value) for name, value in settings_for(sandbox).items()} | variables
    env = {f"TAP_TALLYFY_{name.upper()}": value for name, value in given.items()}
    return run_command("--config", "ENV", *args, sandbox=sandbox, env=env, command=RUNS)


def test_settings_come_from_the_environment(company: Sandbox) -> None:
    result = from_environment(company, page_size="50")
    assert result.code == 0, result.stderr
    assert result.ids == company.runs.keys()
    assert {request.query["per_page"] for request in result.lists} >= {"50"}


def test_numbers_and_booleans_come_from_the_environment(company: Sandbox) -> None:
    result = from_environment(company, full_task_sync_hours="0.5", emit_activate_version_messages="No")
    assert result.code == 0, result.stderr
    assert result.records
    assert not any(message["type"] == "ACTIVATE_VERSION" for message in result.messages)


@pytest.mark.parametrize(
    ("text", "parameter", "value"),
    [
        ('{"status": "active"}', "status", "active"),
        ('{"starred": true}', "starred", "true"),
        ('{"with": ["tasks", "tags"]}', "with", "tasks,tags"),
    ],
)
def test_filters_come_from_the_environment(company: Sandbox, text: str, parameter: str, value: str) -> None:
    result = from_environment(company, runs=text)
    assert result.code == 0, result.stderr
    assert {request.query.get(parameter) for request in result.lists} == {value}


def with_env_file(folder: Path, content: bytes, **variables: str) -> subprocess.CompletedProcess[str]:
    """Sync with a `.env` file, which the tap looks for in the working folder only if the program is no file."""
    (folder / ".env").write_bytes(content)
    program = "from tests.runs import TapTallyfy, RunsStream as R; TapTallyfy.stream_types = R,; TapTallyfy.cli()"
    command = [sys.executable, "-c", program, "--config", "ENV"]
    return subprocess.run(
        command, cwd=folder, env=environment(**variables), capture_output=True, text=True, check=False
    )


def variables_for(sandbox: Sandbox, **settings: Any) -> dict[str, str]:
    return {f"TAP_TALLYFY_{name.upper()}": value for name, value in settings_for(sandbox, **settings).items()}


def env_file_for(sandbox: Sandbox, **settings: Any) -> bytes:
    return "\n".join(f"{name}='{value}'" for name, value in variables_for(sandbox, **settings).items()).encode()


def test_settings_come_from_an_env_file(company: Sandbox, tmp_path: Path) -> None:
    before = len(company.requests)
    done = with_env_file(tmp_path, env_file_for(company, runs='{"status": "active"}'))
    assert done.returncode == 0, done.stderr
    assert {request.query.get("status") for request in company.requests[before:]} == {"active"}
    assert "replaces" not in done.stderr


def test_an_env_file_that_wins_over_the_environment_is_named(company: Sandbox, tmp_path: Path) -> None:
    before = len(company.requests)
    exported = {"TAP_TALLYFY_ORG_ID": "another", "TAP_TALLYFY_PAGE_SIZE": "50", "TAP_TALLYFY_ACCESS_TOKEN": " "}
    done = with_env_file(tmp_path, env_file_for(company) + b"\nTAP_TALLYFY_PAGE_SIZE=", **exported)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "replaces" in line]
    assert f"'{tmp_path / '.env'}' replaces TAP_TALLYFY_ORG_ID of the environment" in line
    assert "from env variable 'TAP_TALLYFY_ORG_ID'" not in done.stderr
    assert company.org_id in company.requests[before].path
    assert "50" in {request.query["per_page"] for request in company.requests[before:]}, "a blank one replaces nothing"


BAD_ENV_FILES = {
    "utf-16": ("A=1".encode("utf-16"), "UTF-8"),
    "a zero byte": (b"A=x\0y", "a variable in each line"),
    "no name": (b"'='=x", "a variable in each line"),
    "a level of the log": (b"TAP_TALLYFY_LOGLEVEL=nonsense", "'nonsense', which is no level"),
}


@pytest.mark.parametrize(("content", "said"), BAD_ENV_FILES.values(), ids=BAD_ENV_FILES.keys())
def test_an_env_file_that_is_none_is_a_sentence(company: Sandbox, tmp_path: Path, content: bytes, said: str) -> None:
    done = with_env_file(tmp_path, content, **variables_for(company))
    assert done.returncode == 78
    assert "Traceback" not in done.stderr
    (error,) = [line for line in done.stderr.splitlines() if "| ERROR" in line]
    assert said in error
    assert "LOGLEVEL" in error or str(tmp_path / ".env") in error


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_blank_variables_are_not_set(company: Sandbox, blank: str) -> None:
    schema: dict[str, Any] = {"properties": dict(TapTallyfy.config_jsonschema["properties"])}
    TapTallyfy.append_builtin_config(schema)
    names = schema["properties"].keys() - {"api_url", "org_id", "access_token"}
    assert {"page_size", "trust_totals", "runs", "stream_maps", "user_agent", "flattening_max_depth"} <= names
    result = from_environment(company, **dict.fromkeys([*names, "runs_status", "typo"], blank))
    assert result.code == 0, result.stderr
    assert result.ids == company.runs.keys()
    assert "The tap ignores" not in result.stderr


@pytest.mark.parametrize("blank", ["", None])
def test_blank_settings_in_a_file_are_not_set(company: Sandbox, blank: str | None) -> None:
    texts = ("client_id", "client_secret", "token_url", "start_date", "user_agent", "report", "flattening_separator")
    filters = {"status": blank, "q": blank, "checklist_id": blank, "type": blank}
    settings: dict[str, Any] = dict.fromkeys(texts, "")
    result = run_tap(company, **settings, runs=filters)
    assert result.code == 0, result.stderr
    assert result.ids == company.runs.keys()
    assert {request.query.get("status") for request in result.lists} <= {None, "archived"}
    assert not any({"q", "type"} & request.query.keys() for request in result.lists)


def test_white_space_around_texts_does_no_harm(company: Sandbox) -> None:
    padded: dict[str, Any] = {name: f" {value}\r\n" for name, value in settings_for(company).items()}
    for result in (run_tap(company, **padded), from_environment(company, **padded)):
        assert result.code == 0, result.stderr
        assert {record["org_id"] for record in result.records} == {company.org_id}


def test_the_settings_of_the_sdk_come_from_the_environment(company: Sandbox) -> None:
    maps = '{"runs": {"label": "config[\'prefix\'] + id"}}'
    result = from_environment(company, stream_maps=maps, stream_map_config='{"prefix": "run "}')
    assert result.code == 0, result.stderr
    assert all(record["label"] == f"run {record['id']}" for record in result.records)


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("page_size", "ten", "'page_size'"),
        ("page_size", "1.5", "'page_size'"),
        ("page_size", "0", "['page_size']"),
        ("runs", "status=active", "'runs'"),
        ("runs", '["active"]', "'runs'"),
        ("runs", '{"status": "actve"}', "['runs']['status']"),
        ("runs", '{"with": ["task"]}', "['runs']['with']"),
        ("org_id", "", "'org_id' is not set"),
        ("emit_activate_version_messages", "nope", "'emit_activate_version_messages'"),
        ("trust_totals", "2", "'trust_totals'"),
        ("full_task_sync_hours", "inf", "'full_task_sync_hours'"),
        ("full_task_sync_hours", "1e999", "'full_task_sync_hours'"),
        ("page_size", "9" * 5000, "'page_size'"),
        ("runs", "[" * 200_000, "'runs'"),
        ("stream_maps", "runs", "'stream_maps'"),
        ("flattening_enabled", "perhaps", "'flattening_enabled'"),
        ("flattening_max_depth", "two", "'flattening_max_depth'"),
        ("runs_status", "active", "TAP_TALLYFY_RUNS='{\"status\": ...}'"),
        ("tasks_owners", '["1001"]', "TAP_TALLYFY_TASKS='{\"owners\": ...}'"),
        ("activity_feed_created_after", "2025-01-01", "TAP_TALLYFY_ACTIVITY_FEED='{\"created_after\": ...}'"),
    ],
    ids=lambda text: text[:20],
)
def test_wrong_variables_are_refused(company: Sandbox, name: str, text: str, named: str) -> None:
    expect_refusal(from_environment(company, **{name: text}), named)


def test_variables_that_have_no_effect_are_named(company: Sandbox) -> None:
    result = from_environment(company, strt_date="2025-01-01", pagesize="7")
    assert result.code == 0
    (line,) = [line for line in result.stderr.splitlines() if "The tap ignores" in line]
    assert "TAP_TALLYFY_PAGESIZE, TAP_TALLYFY_STRT_DATE in" in line
    assert "2025-01-01" not in result.stderr
    assert "The tap ignores" not in from_environment(company, loglevel="INFO").stderr


def test_no_line_of_the_log_names_everything_that_has_no_effect(company: Sandbox) -> None:
    result = from_environment(company, **{f"other_{number}": "1" for number in range(1000)})
    (line,) = [line for line in result.stderr.splitlines() if "The tap ignores" in line]
    assert " and 990 more in" in line
    assert len(line) < 1000


def test_the_environment_counts_only_if_asked_for(company: Sandbox) -> None:
    # Meltano gives the tap a file and leaves its own variables in the environment.
    filters = {"TAP_TALLYFY_RUNS": '{"status": "active"}', "TAP_TALLYFY_RUNS_STATUS": "active"}
    result = run_tap(company, env={"TAP_TALLYFY_PAGE_SIZE": "7", **filters})
    assert result.ids == company.runs.keys()
    assert "7" not in {request.query["per_page"] for request in result.lists}


# Filters


def text_of(values: list[Any]) -> set[str]:
    return {str(value) for value in values}


FILTERS: dict[str, tuple[str, Any, str, Callable[[Run, Run], bool]]] = {
    "q": ("q", "invoice", "invoice", lambda run, _: "invoice" in (run["name"] or "").lower()),
    "q not ASCII": (
        "q",
        "müller & söhne",
        "müller & söhne",
        lambda run, _: "müller & söhne" in (run["name"] or "").lower(),
    ),
    "owners": (
        "owners",
        ["1001", "1002"],
        "1001,1002",
        lambda run, _: bool(text_of([run["owner_id"], *run["users"], *run["collaborators"]]) & {"1001", "1002"}),
    ),
    "checklist_id": (
        "checklist_id",
        TEMPLATES[0].id,
        TEMPLATES[0].id,
        lambda run, _: run["checklist_id"] == TEMPLATES[0].id,
    ),
    "folder": ("folder", FOLDER, FOLDER, lambda _, hidden: hidden["folder_id"] == FOLDER),
    "tag": ("tag", TAG, TAG, lambda _, hidden: TAG in hidden["tag_ids"]),
    "tag_ids": (
        "tag_ids",
        [TAG, OTHER_TAG],
        f"{TAG},{OTHER_TAG}",
        lambda _, hidden: bool({TAG, OTHER_TAG} & set(hidden["tag_ids"])),
    ),
    "untagged": ("untagged", True, "true", lambda _, hidden: not hidden["tag_ids"]),
    "starred": ("starred", True, "true", lambda run, _: run["starred"]),
    "not starred": ("starred", False, "false", lambda run, _: not run["starred"]),
    "type": ("type", "form", "form", lambda run, _: run["type"] == "form"),
    "groups": (
        "groups",
        [GROUP, OTHER_GROUP],
        f"{GROUP},{OTHER_GROUP}",
        lambda run, _: bool({GROUP, OTHER_GROUP} & set(run["groups"])),
    ),
}


def matching(sandbox: Sandbox, matches: Callable[[Run, Run], bool]) -> set[str]:
    hidden = sandbox.hidden("runs")
    return {identity for identity, run in sandbox.runs.items() if matches(run, hidden[identity])}


@pytest.mark.parametrize(("name", "value", "sent", "matches"), FILTERS.values(), ids=FILTERS.keys())
def test_a_filter_is_sent_and_gives_what_matches(
    company: Sandbox, name: str, value: Any, sent: str, matches: Callable[[Run, Run], bool]
) -> None:
    expected = matching(company, matches)
    assert 0 < len(expected) < len(company.runs)
    result = run_tap(company, runs={name: value})
    assert result.code == 0, result.stderr
    assert {request.query.get(name) for request in result.lists} == {sent}
    assert result.ids == expected


STATUSES: dict[str, Callable[[Run, Run], bool]] = {
    "active": lambda run, _: run["status"] == "active",
    "complete": lambda run, _: run["status"] == "complete",
    "problem": lambda run, hidden: hidden.get("problem_open") or run["has_open_issue"],
    "improvement": lambda _, hidden: bool(hidden.get("improvement")),
    "delayed": lambda run, _: (run["late_tasks"] or 0) > 0,
    "starred": lambda run, _: run["starred"],
    "issue": lambda run, _: run["has_open_issue"],
}


@pytest.mark.parametrize(("status", "matches"), STATUSES.items(), ids=STATUSES.keys())
def test_a_status_is_sent_and_gives_what_has_it(
    company: Sandbox, status: str, matches: Callable[[Run, Run], bool]
) -> None:
    expected = matching(company, lambda run, hidden: matches(run, hidden) and not run["archived_at"])
    assert 0 < len(expected) < len(company.runs)
    result = run_tap(company, runs={"status": status})
    assert result.code == 0, result.stderr
    assert {request.query.get("status") for request in result.lists} == {status}
    assert result.ids == expected


def test_filters_add_up(company: Sandbox) -> None:
    expected = matching(company, lambda run, _: run["type"] == "procedure" and run["starred"])
    assert 0 < len(expected) < len(company.runs)
    result = run_tap(company, runs={"type": "procedure", "starred": True})
    assert result.ids == expected


NUMBERS = {"owners": [1001, 1002], "checklist_id": 77, "tag_ids": [5], "tag": 5, "groups": [6, "7"], "folder": 8}


@pytest.mark.parametrize(("name", "value"), NUMBERS.items())
def test_ids_may_be_numbers(company: Sandbox, name: str, value: Any) -> None:
    result = run_tap(company, runs={name: value})
    assert result.code == 0, result.stderr
    sent = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    assert {request.query.get(name) for request in result.lists} == {sent}
    # An ID is the same as a number and as text, so the bookmark stays good.
    as_text = [str(item) for item in value] if isinstance(value, list) else str(value)
    again = run_tap(company, state=result.states[-1], runs={name: as_text})
    assert again.code == 0, again.stderr
    assert "starts over" not in again.stderr


def test_the_organization_may_be_a_number() -> None:
    with Sandbox(runs=3, seed=3) as sandbox:
        sandbox.org_id = "4711"
        result = run_tap(sandbox, org_id=4711)
        assert result.code == 0, result.stderr
        assert len(result.ids) == 3
        again = run_tap(sandbox, state=result.states[-1], org_id="4711")
        assert "starts over" not in again.stderr


# Archived


def archived_ids(sandbox: Sandbox) -> set[str]:
    ids = {identity for identity, run in sandbox.runs.items() if run["archived_at"]}
    assert 0 < len(ids) < len(sandbox.runs)
    return ids


@pytest.mark.parametrize("understood", ["both", "status", "param"])
def test_archived_runs_come_along_or_not_as_asked(understood: str) -> None:
    with Sandbox(runs=120, seed=3, behaviour=Behaviour(archived=understood)) as sandbox:
        archived = archived_ids(sandbox)
        everything = set(sandbox.runs)
        for settings, expected in (
            ({}, everything),
            ({"archived": "include"}, everything),
            ({"archived": "exclude"}, everything - archived),
            ({"archived": "only"}, archived),
            ({"status": "archived"}, archived),
            ({"status": "archived", "archived": "include"}, archived),
        ):
            result = run_tap(sandbox, runs=settings)
            assert result.code == 0, result.stderr
            assert result.ids == expected, settings


@pytest.mark.parametrize("archived", ["include", "only"])
def test_archived_runs_that_cannot_be_had_are_an_error(account: Sandbox, archived: str) -> None:
    # A server that takes no notice of either filter: it answers with its default list.
    account.before_list = lambda request: (request.query.pop("archived", ""), request.query.pop("status", ""))
    expect_no_archived(run_tap(account, runs={"archived": archived}))


def test_archived_runs_whose_filters_are_refused_are_an_error(account: Sandbox) -> None:
    account.behaviour.refused = frozenset({"archived", "status"})
    expect_no_archived(run_tap(account, runs={"archived": "only"}))


def expect_no_archived(result: Result) -> None:
    assert result.code == 78
    assert "Traceback" not in result.stderr
    (sentence,) = result.errors
    assert "'runs.archived'" in sentence
    assert "'exclude'" in sentence


def test_archived_runs_that_cannot_be_had_are_not_missed_if_excluded() -> None:
    with Sandbox(runs=120, seed=3, behaviour=Behaviour(archived="none")) as sandbox:
        result = run_tap(sandbox, runs={"archived": "exclude"})
        assert result.code == 0, result.stderr
        assert result.ids == sandbox.runs.keys() - archived_ids(sandbox)


# Start date


def test_a_start_date_lets_in_what_changed_then_or_later(company: Sandbox) -> None:
    changes = sorted(run["last_updated"] for run in company.runs.values())
    moment = changes[len(changes) // 2]
    later = {identity for identity, run in company.runs.items() if run["last_updated"] >= moment}
    assert 0 < len(later) < len(company.runs)
    assert any(run["last_updated"] == moment for run in company.runs.values())
    # Where the machine is must not matter: a time without a zone is UTC.
    for text in (moment, moment.removesuffix(".000Z"), moment.removesuffix(".000Z").replace("T", " ")):
        result = run_tap(company, start_date=text, env={"TZ": "America/New_York"})
        assert result.code == 0, result.stderr
        assert result.ids == later, text


def test_a_start_date_has_a_zone_if_it_says_so(company: Sandbox) -> None:
    changes = sorted(run["last_updated"] for run in company.runs.values())
    moment = changes[len(changes) // 2]
    elsewhere = datetime.fromisoformat(moment.replace("Z", "+00:00")).astimezone(timezone(timedelta(hours=14)))
    later = {identity for identity, run in company.runs.items() if run["last_updated"] >= moment}
    assert run_tap(company, start_date=elsewhere.isoformat()).ids == later


def test_a_start_date_may_be_a_day(company: Sandbox) -> None:
    changes = sorted(run["last_updated"] for run in company.runs.values())
    day = changes[len(changes) // 2][:10]
    later = {identity for identity, run in company.runs.items() if run["last_updated"] >= day}
    assert 0 < len(later) < len(company.runs)
    assert run_tap(company, start_date=day).ids == later


# Requests


def test_every_request_carries_the_three_headers_and_the_name_of_the_tap(company: Sandbox) -> None:
    result = run_tap(company)
    assert len(result.lists) > 2
    for request in result.lists:
        assert request.headers["Authorization"] == f"Bearer {company.access_token}"
        assert request.headers["Accept"] == "application/json"
        assert request.headers["X-Tallyfy-Client"] == "APIClient"
        assert request.headers["User-Agent"] == f"tap-tallyfy/{version('tap-tallyfy')}"


def test_a_user_agent_of_ones_own_is_sent(company: Sandbox) -> None:
    result = run_tap(company, user_agent="warehouse (it@example.com)")
    assert {request.headers["User-Agent"] for request in result.lists} == {"warehouse (it@example.com)"}


@pytest.mark.parametrize("size", [3, 33, 100])
def test_the_page_size_is_asked_for(account: Sandbox, size: int) -> None:
    result = run_tap(account, page_size=size, start_date="2025-12-01", runs={"archived": "exclude"})
    assert result.code == 0, result.stderr
    assert result.lists[0].query["per_page"] == str(size)
    assert max(int(request.query.get("per_page", 0)) for request in result.lists) == size


def test_a_list_without_pagination_is_one_answer(company: Sandbox) -> None:
    result = run_tap(company, runs={"without_pagination": True, "archived": "exclude"})
    assert result.code == 0, result.stderr
    front, whole = result.lists
    assert front.query["page"] == "1"
    assert whole.query["without_pagination"] == "true"
    assert "page" not in whole.query
    assert result.ids == company.runs.keys() - archived_ids(company)


def test_a_server_that_pages_all_the_same_is_read_page_by_page() -> None:
    with Sandbox(runs=250, seed=3, behaviour=Behaviour(without_pagination=False)) as sandbox:
        result = run_tap(sandbox, runs={"without_pagination": True})
        assert result.code == 0, result.stderr
        assert result.ids == sandbox.runs.keys()
        assert {request.query.get("page") for request in result.lists} >= {"1", "2"}


@pytest.mark.parametrize("sort", ["name", "-created_at", "last_updated"])
def test_an_order_of_ones_own_is_asked_for(company: Sandbox, sort: str) -> None:
    result = run_tap(company, runs={"sort": sort})
    assert result.code == 0, result.stderr
    assert {request.query["sort"] for request in result.lists} == {sort}
    assert result.ids == company.runs.keys()


def test_a_trailing_slash_and_spaces_around_the_token_do_no_harm(company: Sandbox) -> None:
    result = run_tap(company, api_url=f"{company.api_url}/", access_token=f" {company.access_token}\n")
    assert result.code == 0, result.stderr
    assert result.ids == company.runs.keys()
