from __future__ import annotations

from tests.metrics import PAGE, models, page


def test_the_page_of_metrics_says_what_the_models_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "renew it: python -m tests.metrics"


def test_every_column_is_described() -> None:
    for folder in ("marts", "questions"):
        for model in models(folder):
            assert model["description"].endswith("."), model["name"]
            assert all(column["description"].endswith(".") for column in model["columns"]), model["name"]


def test_every_question_is_one() -> None:
    questions = [model["config"]["meta"] for model in models("questions")]
    assert len(questions) == 20
    assert all(meta["question"].endswith("?") and meta["title"] for meta in questions)
