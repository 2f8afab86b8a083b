"""From a small account to its answers and its page; `make models` has all accounts, both databases and a browser."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox, demo
from tests.cards import analyze, assert_that_numbers_are_those_of_the_views
from tests.models import DuckDB, secrets_in, shared
from tests.scenarios import DEMONSTRATED
from tests.tap import ROOT
from tests.worked_out import QUESTIONS, Answers, comparable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios import Scenario


def test_each_question_has_the_answer_that_the_account_gives(demonstration: Scenario) -> None:
    made = demonstration()[0]
    answers = Answers(Sandbox(runs=DEMONSTRATED, seed=demo.SEED), demo.HOLIDAYS)
    for question in QUESTIONS:
        right = getattr(answers, question)()
        found = made[question].records
        worked_out = set().union(*right)
        assert comparable(found, worked_out) == [pytest.approx(row) for row in comparable(right, worked_out)], question
    assert {question for question in QUESTIONS if not made[question].rows} <= {"on_time_by_person"}


def test_the_page_has_these_numbers_and_nothing_that_is_left_has_a_secret(
    demonstration: Scenario, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    made = demonstration()[0]
    folder = shared(tmp_path_factory, "demonstration")
    org_id = Sandbox(runs=DEMONSTRATED, seed=demo.SEED).org_id
    page = (folder / "output/sandbox.html").read_text(encoding="utf-8")
    assert_that_numbers_are_those_of_the_views(page, made, org_id)

    in_duckdb = DuckDB(folder, folder / "output/sandbox.duckdb")
    rows = tmp_path / "organization"
    rows.write_text(str(in_duckdb.query("SELECT * FROM organization", "SELECT * FROM analytics.organization")))
    assert org_id in rows.read_text()
    assert all((folder / "output" / name).exists() for name in ("demo.log", "demo-dbt.log"))
    assert secrets_in(folder, rows) == set()


def test_git_ignores_what_dbt_leaves() -> None:
    left = ["transform/target/manifest.json", "transform/logs/dbt.log", "output/tallyfy.html", "output/tallyfy.duckdb"]
    done = subprocess.run(["git", "check-ignore", *left], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == left


SENTENCES = """
from datetime import date
from analyze.cards import CARDS, _way
given = [("Fatima", 32, 9), ("Jo", 1, 0)]
people = [dict(name=name, open_tasks=tasks, overdue_tasks=late) for name, tasks, late in given]
print(CARDS["overloaded_people"](people).sentence)
print(CARDS["overloaded_people"](people[1:]).sentence)
given = [(10, 0.804), (11, None), (12, 0.704)]
months = [dict(month=date(2025, month, 1), share=share) for month, share in given]
print(CARDS["on_time_by_month"](months).sentence)
print(CARDS["on_time_by_month"](months[:1]).sentence)
print(CARDS["throughput"]([dict(last_30_days=1, previous_30_days=3)]).sentence)
same = dict(checklist_id="1", template_name="T<", processes=9, share_of_template=0.2, median_cycle_days=1.04)
ways = [dict(same, path=" > ".join(path)) for path in ("ABC", "BAC", "ABAC", "AC", "ABCD")]
print(CARDS["process_variants"](ways).sentence)
print(*[_way(way, ways[0]) for way in ways], sep="; ")
"""


def test_answers_are_sentences_that_a_person_would_say() -> None:
    assert analyze("-c", SENTENCES).splitlines() == [
        "<b>Fatima</b> has 32 open tasks, 9 of them overdue. 1 person in all has overdue tasks.",
        "Nobody has an overdue task. <b>Jo</b> has 1 open task.",
        "No: of the tasks completed in December 2025, 70% were on time, after 80% in October.",
        "Of the tasks completed in October 2025, 80% were on time.",
        "1 process was completed in the last 30 days, 2 fewer than in the 30 days before.",
        "20% of the completed processes of <b>T&lt;</b> go the same way: <b>A → B → C</b>. It usually takes 1 day.",
        "The usual way; B earlier; A again; Without B; With D",
    ]
