"""Each question has the answer that is worked out, beside the SQL, of the sandbox's account."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from tests.models import DuckDB, shared
from tests.pages import DOCS, blocks
from tests.scenarios import ACCOUNTS, HOLIDAYS, account
from tests.worked_out import Answers

if TYPE_CHECKING:
    from tests.scenarios import Scenario

QUESTIONS = sorted(name for name in vars(Answers) if not name.startswith("_") and name in (
    "tasks_on_time", "on_time_by_person", "on_time_by_month", "process_owners", "completions_by_person",
    "late_steps_by_weekday", "template_usage", "tasks_completed_by_day", "most_discussed_steps", "steps_with_issues",
    "slowest_steps", "throughput", "stalled_processes", "cycle_time_by_answer", "elapsed_and_working_time",
    "before_and_after_template_change", "process_variants", "what_follows_what", "open_processes_by_day",
    "overloaded_people",
))  # fmt: skip


@cache
def answers(seed: int) -> Answers:
    return Answers(account(seed), [line.partition(",")[0] for line in HOLIDAYS.splitlines()])


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_answer_is_what_the_account_says(question: str, two_organizations: Scenario) -> None:
    view = two_organizations()[0][question]
    for seed in ACCOUNTS:
        org_id = account(seed).org_id
        right = getattr(answers(seed), question)()
        found = [row for row in view.records if row.pop("org_id") == org_id]
        worked_out = set().union(*right)
        assert comparable(found, worked_out) == [pytest.approx(row) for row in comparable(right, worked_out)]


def comparable(rows: list[dict[str, Any]], columns: set[str]) -> list[dict[str, Any]]:
    """The rows in one order, without the columns that are not worked out."""
    kept = [{name: value for name, value in row.items() if name in columns} for row in rows]
    return sorted(
        kept, key=lambda row: [str(row[name]) for name in sorted(columns) if not isinstance(row[name], float)]
    )


def test_there_are_twenty() -> None:
    assert len(QUESTIONS) == 20


def test_each_query_of_the_page_of_queries_finds_something(
    two_organizations: Scenario, tmp_path_factory: pytest.TempPathFactory
) -> None:
    two_organizations()
    folder = shared(tmp_path_factory, "two-organizations") / "duckdb"
    queries = blocks("sql", DOCS["queries"])
    assert len(queries) == 10
    assert all(DuckDB(folder, folder / "tallyfy.duckdb").query(*(query.rstrip("\n;") for query in queries)))
