from __future__ import annotations

import json
import os
import re
import textwrap
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sandbox import Sandbox, demo
from tap_tallyfy.settings import settings_schema
from tap_tallyfy.streams import STREAMS
from tap_tallyfy.tap import lists_among
from tests.meltano import Project, installed, variables
from tests.tap import ROOT, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.behaviour import Request
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


def sync(project: Project, sandbox: Sandbox, loader: str, extractor: str = "tap-tallyfy", **settings: str) -> None:
    account = variables("tap-tallyfy", **settings_for(sandbox))
    project.meltano("run", "--no-install", extractor, loader, **account, **settings)


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


PROJECT_FILE = ROOT / "meltano.yml"
#: Between these two lines of the project file.
BEGINNING = "    # Renew these with `python -m tests.test_meltano`.\n"
END = "    # A new field of the API is a new column at the next run, not when a cache is next cleared.\n"


def settings_of_the_tap() -> str:
    """The settings of the tap as the project file has to declare them."""
    known: dict[str, dict[str, Any]] = {}
    for name, schema in settings_schema(lists_among(STREAMS))["properties"].items():
        if schema["type"] == "object":
            known |= {f"{name}.{inner}": described for inner, described in schema["properties"].items()}
        else:
            known[name] = schema
    declared = [setting(name, schema) for name, schema in known.items()]
    text = yaml.safe_dump(declared, sort_keys=False, width=1000, allow_unicode=True, default_flow_style=None)
    return textwrap.indent(f"settings:\n{text}", "    ")


def setting(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    stream, dot, _ = name.partition(".")
    title = f"{stream.replace('_', ' ').capitalize()}: {schema['title'].lower()}" if dot else schema["title"]
    described = {
        "name": name,
        "kind": kind(schema),
        "value": schema.get("default"),
        "label": title,
        "description": schema["description"],
        "sensitive": schema.get("secret"),
        "options": [
            {"label": value.replace("-", " ").capitalize(), "value": value} for value in schema.get("enum", ())
        ],
    }
    return {key: value for key, value in described.items() if value not in (None, [])}


def of_runs(sandbox: Sandbox) -> list[Request]:
    return [request for request in sandbox.requests if request.path.endswith("/runs")]


def test_the_project_file_declares_the_settings_of_the_tap() -> None:
    text = PROJECT_FILE.read_text(encoding="utf-8")
    assert f"{BEGINNING}{settings_of_the_tap()}{END}" in text, "renew them: python -m tests.test_meltano"
    tap, full = yaml.safe_load(text)["plugins"]["extractors"]
    assert full["inherit_from"] == tap["name"]
    secrets = {declared["name"] for declared in tap["settings"] if declared.get("sensitive")}
    assert secrets == {"access_token", "client_secret"}


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
        "tasks": {"archived": "include"},
        "checklists": {"archived": "include"},
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

    first = len(of_runs(sandbox))
    change(sandbox)
    sync(project, sandbox, "target-duckdb", TAP_TALLYFY_PAGE_SIZE="20")
    assert [tuple(row) for row in project.duckdb(sql)] == truth(sandbox)
    assert len(of_runs(sandbox)) - first < len(sandbox.runs) / 20


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

    gone = sorted(sandbox.runs)[:5]
    for run_id in gone:
        sandbox.delete(run_id)
    sync(project, sandbox, "target-postgres", "tap-tallyfy--full", **loader)
    deleted = postgres.query("SELECT id FROM tallyfy.runs WHERE _sdc_deleted_at IS NOT NULL")
    assert sorted(row[0] for row in deleted) == gone
    # It has a state of its own, so the other one goes on where it was.
    before_this = len(of_runs(sandbox))
    sync(project, sandbox, "target-postgres", **loader)
    assert len(of_runs(sandbox)) - before_this <= 3


def test_a_filter_set_in_the_environment_is_asked_of_the_api(project: Project, sandbox: Sandbox) -> None:
    sync(project, sandbox, "target-jsonl", TAP_TALLYFY_RUNS_STATUS="active", TAP_TALLYFY_RUNS_ARCHIVED="exclude")
    with (project.folder / "output/runs.jsonl").open(encoding="utf-8") as lines:
        written = {json.loads(line)["id"] for line in lines}
    assert written == {run["id"] for run in sandbox.runs.values() if run["status"] == "active"}
    assert {request.query.get("status") for request in of_runs(sandbox)} == {"active"}


def longest_waits(sandbox: Sandbox) -> list[float]:
    """The median wait of the five steps where processes wait longest, in days."""
    waits: dict[str, list[float]] = {}
    tasks = [task for task in sandbox.records("tasks").values() if task["run_id"] and task["completed_at"]]
    for run_id, run in sandbox.runs.items():
        since = datetime.fromisoformat(run["started_at"][:19])
        of_run = [task for task in tasks if task["run_id"] == run_id]
        for task in sorted(of_run, key=lambda task: (task["completed_at"], task["position"])):
            before, since = since, datetime.fromisoformat(task["completed_at"][:19])
            waits.setdefault(task["step_id"], []).append((since - before) / timedelta(days=1))
    return sorted(map(median, waits.values()), reverse=True)[:5]


def test_the_demo_shows_and_compares_an_account(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith(("TAP_TALLYFY_", "TARGET_", "MELTANO_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MELTANO_AUTO_INSTALL", "false")
    assert demo.main(project.folder, processes=60) == 0
    *_, verdict = capsys.readouterr().out.splitlines()
    assert re.match(r"OK: 12 tables hold all [\d,]+ rows of the account, .* 60 processes and", verdict)
    (shown,) = demo.query(project.folder / "output/sandbox.duckdb", demo.LONGEST_WAITS)
    assert [days for *_, days in shown] == pytest.approx(longest_waits(Sandbox(runs=60, seed=3)))


@pytest.mark.parametrize(
    ("stored", "exit_code", "said"),
    [
        ({"a", "new"}, 0, "OK"),
        ({"a", "new", "deleted"}, 0, "Deleted in Tallyfy, still in the warehouse: 1 rows (runs 1)"),
        ({"a"}, 1, "1 rows of the account are missing"),
        ({"a", "new", "foreign"}, 1, "1 rows of the warehouse never were in the account"),
    ],
)
def test_the_demo_lets_the_warehouse_keep_only_what_was_deleted(
    stored: set[str], exit_code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{("runs", each, "active", None) for each in ids} for ids in (stored, {"a", "new"}, {"a", "deleted"})]
    assert demo.compare(*rows) == exit_code
    assert said in capsys.readouterr().out


def renew() -> None:
    """Write the settings anew."""
    before, _, rest = PROJECT_FILE.read_text(encoding="utf-8").partition(BEGINNING)
    PROJECT_FILE.write_text(
        f"{before}{BEGINNING}{settings_of_the_tap()}{END}{rest.partition(END)[2]}", encoding="utf-8"
    )


if __name__ == "__main__":
    renew()
