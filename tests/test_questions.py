"""Each question has the answer that is worked out, beside the SQL, of the sandbox's account."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from sandbox import demo
from tests.models import DuckDB, shared
from tests.pages import DOCS, blocks
from tests.scenarios import ACCOUNTS, account
from tests.worked_out import QUESTIONS, Answers, comparable

if TYPE_CHECKING:
    from tests.scenarios import Scenario


@cache
def answers(seed: int) -> Answers:
    return Answers(account(seed), demo.HOLIDAYS)


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_answer_is_what_the_account_says(question: str, two_organizations: Scenario) -> None:
    view = two_organizations()[0][question]
    for seed in ACCOUNTS:
        org_id = account(seed).org_id
        right = getattr(answers(seed), question)()
        found = [row for row in view.records if row.pop("org_id") == org_id]
        worked_out = set().union(*right)
        assert comparable(found, worked_out) == [pytest.approx(row) for row in comparable(right, worked_out)]


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
