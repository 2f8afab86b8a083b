"""`docs/metrics.md`, made of what the models' YAML says: `python -m tests.metrics` writes it anew."""

from __future__ import annotations

from typing import Any

import yaml

from tests.tap import ROOT

MODELS = ROOT / "transform/models"
PAGE = ROOT / "docs/metrics.md"
_ABOUT = """\
# Tables, questions and what their numbers mean

`dbt build` makes these tables and views in the schema `analytics`. A BI tool reads them as they are.
Each number has one definition, in the description of its column.
`python -m tests.metrics` writes this page from `transform/models`.

- Every row has `org_id`, which is part of every key. Only `calendar` has none.
- Names of people, templates, steps and questions are not unique. Group by ID and show the name.
- The unit is in the name: `_days` are days of 24 hours, `_hours` hours, a `share` goes from 0 to 1.
  Moments are in UTC, days in the time zone `organization.timezone_of_days`.
- Everything open is measured at `organization.as_of`. Overdue is computed, never taken from the API's flags:
  they are as of the last time that the row was sent.
- Working hours are those of the variables `working_days` and `working_hours`, without the days in
  `transform/seeds/holidays.csv`.
"""


def models(folder: str) -> list[dict[str, Any]]:
    """What is said of the models in a folder."""
    file = MODELS / folder / f"_{folder}.yml"
    found: list[dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))["models"]
    return found


def page() -> str:
    """The text of the page."""
    questions = [
        f"### {meta['question']}\n\nView `{model['name']}`. {model['description']}\n\n{columns(model)}"
        for model in models("questions")
        for meta in [model["config"]["meta"]]
    ]
    tables = [f"### `{model['name']}`\n\n{model['description']}\n\n{columns(model)}" for model in models("marts")]
    return "\n".join([_ABOUT, "## The questions\n", *questions, "## The tables\n", *tables])


def columns(model: dict[str, Any]) -> str:
    """The columns of a model as a table."""
    rows = [f"| `{each['name']}` | {each['data_type']} | {each['description']} |" for each in model["columns"]]
    return "\n".join(["| Column | Type | What it is |", "|---|---|---|", *rows, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
