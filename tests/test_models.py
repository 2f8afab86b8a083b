"""What the models make of an account: the same rows on both databases, and what the account holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.data import AS_OF
from tests.metrics import models
from tests.models import SECRETS, secrets_in, shared
from tests.scenarios import ACCOUNTS, BERLIN, account, tags_of

if TYPE_CHECKING:
    from tests.models import Tables
    from tests.scenarios import Scenario

FLAGS_THAT_MAY_BE_NULL = {"is_on_time"}


@pytest.mark.parametrize("scenario", ["two_organizations", "deleted_rows", "default_selection"])
def test_both_databases_hold_the_same_rows(scenario: str, request: pytest.FixtureRequest) -> None:
    make: Scenario = request.getfixturevalue(scenario)
    in_duckdb, in_postgres = make()
    assert {name: table.types for name, table in in_duckdb.items()} == {
        name: table.types for name, table in in_postgres.items()
    }
    unlike = {name for name, table in in_duckdb.items() if table.in_order != in_postgres[name].in_order}
    assert unlike == set()
    empty = {name for name, table in in_duckdb.items() if not table.rows}
    assert empty <= {"on_time_by_person"}


def test_every_column_is_described_with_its_type(two_organizations: Scenario) -> None:
    described = {
        model["name"]: {column["name"]: column["data_type"] for column in model["columns"]}
        for folder in ("marts", "questions")
        for model in models(folder)
    }
    assert described == {name: table.types for name, table in two_organizations()[0].items()}


def test_types_are_simple_and_flags_are_never_null(two_organizations: Scenario) -> None:
    simple = {"text", "bigint", "integer", "date", "boolean", "double precision", "timestamp"}
    for name, table in two_organizations()[0].items():
        assert set(table.types.values()) <= simple
        if name == "analytics_csv":
            continue
        flags = {column for column, kind in table.types.items() if kind == "boolean"} - FLAGS_THAT_MAY_BE_NULL
        unknown = {column for record in table.records for column in flags if record[column] is None}
        assert unknown == set(), name


def test_every_row_of_the_account_is_in_its_table_once(two_organizations: Scenario) -> None:
    made = two_organizations()[0]
    for seed in ACCOUNTS:
        sandbox = account(seed)
        assert keys(made, sandbox.org_id, "process", "run_id") == sorted(sandbox.runs)
        assert keys(made, sandbox.org_id, "task", "task_id") == sorted(sandbox.records("tasks"))
        assert keys(made, sandbox.org_id, "template", "checklist_id") == sorted(sandbox.records("checklists"))


def test_the_vendors_flat_table_has_a_line_for_each_task_answer_and_comment(two_organizations: Scenario) -> None:
    lines = two_organizations()[0]["analytics_csv"]
    assert len(lines.types) == 49
    wanted = {"process_task": 0, "process_task_data": 0, "process_task_comment": 0, "kick_off_task": 0}
    for sandbox in map(account, ACCOUNTS):
        of_processes = {key: task for key, task in sandbox.records("tasks").items() if task["run_id"]}
        wanted["process_task"] += len(of_processes)
        wanted["process_task_data"] += sum(
            len(task["taskdata"]) for task in of_processes.values() if task["completed_at"]
        )
        wanted["process_task_comment"] += sum(len(sandbox.hidden("tasks")[key]["threads"]) for key in of_processes)
        wanted["kick_off_task"] += sum(len(run["prerun"]) for run in sandbox.runs.values())
    found = [line["type"] for line in lines.records]
    assert {kind: found.count(kind) for kind in wanted} == wanted


def test_tags_are_those_of_the_process(two_organizations: Scenario) -> None:
    made = two_organizations()[0]
    tags = {process["run_id"]: process["tags"] for process in made["process"].records}
    for sandbox in map(account, ACCOUNTS):
        for run_id, titles in tags_of(sandbox).items():
            assert tags[run_id] == (", ".join(titles) or None)


def test_the_zone_of_days_is_the_organizations_if_all_agree(
    two_organizations: Scenario, deleted_rows: Scenario, default_selection: Scenario
) -> None:
    zones = [
        {row["timezone_of_days"] for row in scenario()[0]["organization"].records}
        for scenario in (two_organizations, deleted_rows, default_selection)
    ]
    assert zones == [{"UTC"}, {BERLIN}, {"UTC"}]


def test_the_moment_of_measuring_is_the_variables(two_organizations: Scenario) -> None:
    moments = {row["as_of"] for row in two_organizations()[0]["organization"].records}
    assert moments == {AS_OF.strftime("%Y-%m-%d %H:%M:%S")}


def test_what_was_deleted_is_gone_and_leaves_no_orphans(deleted_rows: Scenario) -> None:
    from tests.scenarios import delete_some  # noqa: PLC0415 - what the scenario did

    sandbox = account(5)
    delete_some(sandbox)
    tasks = {
        key: task
        for key, task in sandbox.records("tasks").items()
        if not task["run_id"] or task["run_id"] in sandbox.runs
    }
    for made in deleted_rows():
        assert keys(made, sandbox.org_id, "process", "run_id") == sorted(sandbox.runs)
        assert keys(made, sandbox.org_id, "task", "task_id") == sorted(tasks)
        templates = sorted(sandbox.records("checklists"))
        assert keys(made, sandbox.org_id, "template", "checklist_id") == templates
        assert {row["checklist_id"] for row in made["step_metrics"].records} <= set(templates)
        assert {row["task_id"] for row in made["form_answer"].records} <= {None, *tasks}


def test_dbt_leaves_no_secret_behind(two_organizations: Scenario, tmp_path_factory: pytest.TempPathFactory) -> None:
    two_organizations()
    folder = shared(tmp_path_factory, "two-organizations")
    for target in ("duckdb", "postgres"):
        left = folder / target / "transform"
        assert all((left / name).exists() for name in ("profiles.yml", "target/manifest.json", "logs/dbt.log"))
        assert secrets_in(left) == set()
    assert secrets_in(folder / "postgres") == {SECRETS["TARGET_POSTGRES_PASSWORD"]}, "the loader's own configuration"


def test_what_was_not_loaded_is_null_and_not_0(default_selection: Scenario) -> None:
    made = default_selection()[0]
    for name, columns in {
        "process": ("comments", "issues_reported", "issues_resolved", "tags"),
        "task": ("comments", "issues_reported", "issues_resolved", "stage_name"),
        "step_metrics": ("comments", "issues"),
        "most_discussed_steps": ("comments", "per_task"),
    }.items():
        assert {record[column] for record in made[name].records for column in columns} == {None}


def test_what_changed_between_two_syncs_is_in_the_tables(default_selection: Scenario) -> None:
    (organization,) = default_selection()[0]["organization"].records
    assert organization["last_change_at"] > AS_OF.strftime("%Y-%m-%d %H:%M:%S")


def keys(made: Tables, org_id: str, table: str, column: str) -> list[Any]:
    return sorted(record[column] for record in made[table].records if record["org_id"] == org_id)
