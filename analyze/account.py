"""What the views say of one organization."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import yaml

Row = dict[str, Any]

_QUESTIONS: Final = Path(__file__).resolve().parent.parent / "transform/models/questions/_questions.yml"
#: By what the rows of a view come in order, where it has no rank.
_ORDER: Final = {
    "on_time_by_person": "share, with_deadline desc, person_type, person_id",
    "on_time_by_month": "month",
    "late_steps_by_weekday": "template_name, step_name, step_id, weekday",
    "tasks_completed_by_day": "day",
    "cycle_time_by_answer": "template_name, checklist_id, field_id, answer",
    "elapsed_and_working_time": "processes desc, checklist_id",
    "process_variants": "template_name, checklist_id, rank",
    "what_follows_what": "template_name, checklist_id, processes desc, activity, next_activity",
    "open_processes_by_day": "day",
}


class AccountError(Exception):
    """There is no page to make; the message says why and what to do."""


@dataclass(frozen=True)
class View:
    """One question: what it asks, what is in its columns, and its rows in order."""

    name: str
    question: str
    columns: tuple[str, ...]
    rows: list[Row]


@dataclass(frozen=True)
class Account:
    """An organization and its views by name."""

    organization: Row
    views: dict[str, View]


def read(database: Path, org_id: str | None) -> Account:
    """Read every question's view of one organization, and leave the file to the next program.

    Args:
        org_id: The organization; None if the file holds one alone.

    Raises:
        AccountError: There is no such file or organization, or dbt has not made the views, or there are several
            organizations and none was named.
    """
    if not database.exists():
        raise AccountError(f"{database} does not exist: sync an account into it first.")
    try:
        with duckdb.connect(str(database), read_only=True) as connection:
            organizations = _rows(connection, "SELECT * FROM analytics.organization ORDER BY org_id")
            organization = _chosen(organizations, org_id)
            questions = yaml.safe_load(_QUESTIONS.read_text(encoding="utf-8"))["models"]
            views = [_view(connection, model, organization["org_id"]) for model in questions]
    except duckdb.CatalogException as error:
        raise AccountError(f"{database} has no tables for reports: run dbt build first. {error}") from error
    except duckdb.IOException as error:
        raise AccountError(f"{database} cannot be read; another program may have it open. {error}") from error
    return Account(organization, {view.name: view for view in views})


def _chosen(organizations: list[Row], org_id: str | None) -> Row:
    known = [each["org_id"] for each in organizations]
    if not known:
        raise AccountError("The file holds no organization: sync an account into it first.")
    if org_id is None and len(known) > 1:
        raise AccountError(f"The file holds {len(known)} organizations: choose one with --org-id: {', '.join(known)}")
    if org_id is not None and org_id not in known:
        raise AccountError(f"The file does not hold the organization {org_id}, but {', '.join(known)}.")
    return organizations[0 if org_id is None else known.index(org_id)]


def _view(connection: duckdb.DuckDBPyConnection, model: dict[str, Any], org_id: str) -> View:
    name = model["name"]
    columns = tuple(column["name"] for column in model["columns"] if column["name"] != "org_id")
    order = "rank" if "rank" in columns and name not in _ORDER else _ORDER.get(name, "all")
    # All names come from the project's own files.
    sql = f"SELECT {', '.join(columns)} FROM analytics.{name} WHERE org_id = ? ORDER BY {order}"  # noqa: S608
    return View(name, model["config"]["meta"]["question"], columns, _rows(connection, sql, org_id))


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, *values: str) -> list[Row]:
    result = connection.execute(sql, values)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
