from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sandbox import Sandbox
from tap_tallyfy.settings import settings_schema
from tap_tallyfy.streams import STREAMS
from tests.meltano import Project, installed, variables
from tests.tap import ROOT, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgres import Postgres

pytest_plugins = ["tests.postgres"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    if not installed():
        missing = "Meltano or a plugin is not installed: run `make test`, which installs them"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return Project.make(tmp_path)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(runs=250, seed=3) as sandbox:
        yield sandbox


def sync(project: Project, sandbox: Sandbox, loader: str, **settings: str) -> None:
    account = variables("tap-tallyfy", **settings_for(sandbox))
    project.meltano("run", "--no-install", "tap-tallyfy", loader, **account, **settings)


def change(sandbox: Sandbox) -> None:
    archived = sorted(run_id for run_id, run in sandbox.runs.items() if run["archived_at"])
    listed = sorted(run_id for run_id, run in sandbox.runs.items() if not run["archived_at"])
    for run_id in listed[:10]:
        sandbox.touch(run_id, name=f"Renamed → {run_id[:4]} 🎯")
    for run_id in listed[10:13]:
        sandbox.archive(run_id)
    sandbox.restore(archived[0])
    for number in range(3):
        sandbox.create(name=f"Launched meanwhile {number}")


def truth(sandbox: Sandbox) -> list[tuple[str, str, str, str]]:
    return sorted((run["id"], run["status"], run["name"], run["last_updated"][:19]) for run in sandbox.runs.values())


def test_the_project_file_declares_the_settings_of_the_tap() -> None:
    plugins = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]
    declared = {
        setting["name"]: {
            "default": setting.get("value"),
            "description": setting["description"],
            "enum": [option["value"] for option in setting.get("options", ())],
            "kind": setting["kind"],
            "secret": setting.get("sensitive", False),
        }
        for setting in plugins["extractors"][0]["settings"]
    }
    properties = settings_schema(STREAMS)["properties"]
    known = {name: schema for name, schema in properties.items() if name != "runs"}
    known |= {f"runs.{name}": schema for name, schema in properties["runs"]["properties"].items()}
    assert declared == {
        name: {
            "default": schema.get("default"),
            "description": schema["description"],
            "enum": schema.get("enum", []),
            "kind": kind(schema),
            "secret": schema.get("secret", False),
        }
        for name, schema in known.items()
    }


def kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "options"
    if schema.get("format") == "date-time":
        return "date_iso8601"
    return str(schema["type"] if isinstance(schema["type"], str) else schema["type"][0])


def test_settings_from_the_environment_reach_the_tap_and_unset_ones_do_not(project: Project) -> None:
    config = project.meltano(
        "config",
        "print",
        "tap-tallyfy",
        TAP_TALLYFY_RUNS_STATUS="active",
        TAP_TALLYFY_RUNS_OWNERS='["1001", "1002"]',
        TAP_TALLYFY_RUNS_STARRED="true",
        TAP_TALLYFY_PAGE_SIZE="7",
    )
    assert json.loads(config) == {
        "api_url": "https://go.tallyfy.com/api",
        "concurrency": 8,
        "page_size": 7,
        "lookback_seconds": 60,
        "request_timeout": 60,
        "runs": {"archived": "include", "owners": ["1001", "1002"], "starred": True, "status": "active"},
        "token_url": "https://go.tallyfy.com/oauth/token",
    }


def test_running_meltano_leaves_its_project_file_alone(project: Project) -> None:
    project.meltano("config", "print", "tap-tallyfy")
    assert (project.folder / "meltano.yml").read_bytes() == (ROOT / "meltano.yml").read_bytes()


def test_duckdb_holds_what_the_account_holds_after_a_full_and_an_incremental_sync(
    project: Project, sandbox: Sandbox
) -> None:
    sql = "SELECT id, status, name, strftime(last_updated, '%Y-%m-%dT%H:%M:%S') FROM runs ORDER BY id"
    sync(project, sandbox, "target-duckdb")
    assert [tuple(row) for row in project.duckdb(sql)] == truth(sandbox)

    first = len(sandbox.requests)
    change(sandbox)
    sync(project, sandbox, "target-duckdb", TAP_TALLYFY_PAGE_SIZE="20")
    assert [tuple(row) for row in project.duckdb(sql)] == truth(sandbox)
    assert len(sandbox.requests) - first < len(sandbox.runs) / 20


def test_postgres_holds_what_the_account_holds_after_a_full_and_an_incremental_sync(
    project: Project, sandbox: Sandbox, postgres: Postgres
) -> None:
    loader = variables("target-postgres", **postgres.loader_settings)

    def stored() -> list[tuple[str, str, str, str]]:
        rows = postgres.query("SELECT id, status, name, last_updated FROM tallyfy.runs")
        return sorted((row[0], row[1], row[2], row[3].replace(tzinfo=None).isoformat()) for row in rows)

    sync(project, sandbox, "target-postgres", **loader)
    before = stored()
    assert before == truth(sandbox)

    change(sandbox)
    sync(project, sandbox, "target-postgres", **loader)
    after = stored()
    assert after == truth(sandbox)
    assert len(after) == len(before) + 3
    assert len(set(after) - set(before)) == 17


def test_a_filter_set_in_the_environment_is_asked_of_the_api(project: Project, sandbox: Sandbox) -> None:
    sync(project, sandbox, "target-jsonl", TAP_TALLYFY_RUNS_STATUS="active", TAP_TALLYFY_RUNS_ARCHIVED="exclude")
    with (project.folder / "output/runs.jsonl").open(encoding="utf-8") as lines:
        written = {json.loads(line)["id"] for line in lines}
    assert written == {run["id"] for run in sandbox.runs.values() if run["status"] == "active"}
    assert {request.query.get("status") for request in sandbox.requests} == {"active"}
