"""Sync Tallyfy into DuckDB with Meltano, then show and check what the warehouse holds.

With TAP_TALLYFY_ACCESS_TOKEN and TAP_TALLYFY_ORG_ID set it is the real account, otherwise a sandbox of 1,000 processes.
"""
# ruff: noqa: S603, S608 - all commands and queries are written here

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from textwrap import fill
from typing import Any
from unicodedata import combining, east_asian_width

from sandbox import Sandbox

ROOT = Path(__file__).resolve().parent.parent
MELTANO = (str(ROOT / ".venv-meltano/bin/meltano"), "--environment=dev")
# Only the loader's own Python has the one version of duckdb that the loader works with.
LOADER_PYTHON = ROOT / ".meltano/loaders/target-duckdb/venv/bin/python"
RUN_QUERIES = """
import duckdb, json, sys
database = duckdb.connect(sys.argv[1], read_only=True)
print(json.dumps([database.execute(sql).fetchall() for sql in sys.argv[2:]], default=str))
"""

_STATE = "status, strftime(last_updated, '%Y-%m-%dT%H:%M:%S.%gZ')"
COMPARED = {
    "runs": f"id, {_STATE}",
    "kickoff_answers": "run_id, field_id",
    "tasks": f"id, {_STATE}",
    "task_answers": "task_id, field_id",
    "checklists": "id",
    "steps": "id",
    "form_fields": "id",
    "users": "id",
    "groups": "id",
    "tags": "id",
    "guests": "email",
    "folders": "id",
}
"""What is compared of each table: the key, and of processes and tasks also the status and the last change."""

TOTALS = """
SELECT coalesce(checklist_title, '(none)'), coalesce(status, '(none)'), count(*), coalesce(sum(late_tasks), 0)
FROM runs GROUP BY ALL ORDER BY ALL
"""
CYCLE_TIMES = """
SELECT coalesce(checklist_title, '(none)'), median(date_diff('second', created_at, completed_at)) / 86400
FROM runs WHERE completed_at IS NOT NULL GROUP BY ALL
UNION ALL
SELECT 'All', median(date_diff('second', created_at, completed_at)) / 86400
FROM runs WHERE completed_at IS NOT NULL
"""
# A step waits from the completion of the one before it, the first from the start of the process.
LONGEST_WAITS = """
WITH waits AS (
    SELECT step_id, date_diff('second', lag(completed_at, 1, run.started_at) OVER process, completed_at) / 86400 AS days
    FROM tasks JOIN (SELECT id AS run_id, started_at FROM runs) AS run USING (run_id)
    WHERE completed_at IS NOT NULL
    WINDOW process AS (PARTITION BY run_id ORDER BY completed_at, position)
)
SELECT checklists.title, steps.title, count(*), median(days)
FROM waits JOIN steps ON steps.id = step_id JOIN checklists ON checklists.id = steps.checklist_id
GROUP BY checklists.id, checklists.title, steps.id, steps.title
ORDER BY median(days) DESC LIMIT 5
"""

Rows = set[tuple[Any, ...]]
"""Rows of all tables, each with the name of its table before the rest."""


def main(root: Path = ROOT, processes: int = 1000) -> int:
    """Run the demonstration in a Meltano project; returns the exit code."""
    output = root / "output"
    output.mkdir(exist_ok=True)
    org_id = os.environ.get("TAP_TALLYFY_ORG_ID")
    if bool(org_id) != bool(os.environ.get("TAP_TALLYFY_ACCESS_TOKEN")):
        print("Set both TAP_TALLYFY_ACCESS_TOKEN and TAP_TALLYFY_ORG_ID, or neither for the sandbox.")
        return 2
    if not org_id:
        return demonstrate_sandbox(output / "sandbox.duckdb", processes)
    print("Syncing your account with Meltano: tap-tallyfy to target-duckdb")
    database = output / f"{org_id}.duckdb"
    sync(database, bookmark(database), dict(os.environ))
    return 0


def demonstrate_sandbox(database: Path, processes: int) -> int:
    """Sync the sandbox, after 150 changes in all of its lists if it is not the first time, and compare."""
    since = bookmark(database)
    with Sandbox(runs=processes, seed=3) as sandbox:
        at_first = account(sandbox)
        if since:
            sandbox.mutate(Random(1), 150, everything=True)
        env = {name: value for name, value in os.environ.items() if not name.startswith("TAP_TALLYFY_")} | {
            "TAP_TALLYFY_API_URL": sandbox.api_url,
            "TAP_TALLYFY_ORG_ID": sandbox.org_id,
            "TAP_TALLYFY_ACCESS_TOKEN": sandbox.access_token,
        }
        print("Syncing a sandbox account with Meltano: tap-tallyfy to target-duckdb")
        sync(database, since, env)
        return compare(warehouse(database), account(sandbox), at_first)


def account(sandbox: Sandbox) -> Rows:
    """What the sandbox holds of what is compared."""
    runs, tasks, checklists = (sandbox.records(name).values() for name in ("runs", "tasks", "checklists"))
    steps = [step for hidden in sandbox.hidden("checklists").values() for step in hidden["steps"]]
    forms = [checklist["prerun"] for checklist in checklists] + [step["captures"] for step in steps]
    rows: Rows = {("runs", run["id"], run["status"], run["last_updated"]) for run in runs}
    rows |= {("tasks", task["id"], task["status"], task["last_updated"]) for task in tasks}
    rows |= {("kickoff_answers", run["id"], field_id) for run in runs for field_id in run["prerun"]}
    rows |= {("task_answers", task["id"], field_id) for task in tasks for field_id in task["taskdata"]}
    rows |= {("steps", step["id"]) for step in steps}
    rows |= {("form_fields", field["id"]) for form in forms for field in form}
    for name in ("checklists", "users", "groups", "tags", "guests", "folders"):
        rows |= {(name, key) for key in sandbox.records(name)}
    return rows


def warehouse(database: Path) -> Rows:
    """What the warehouse holds of what is compared."""
    tables = query(database, *(f"SELECT '{table}', {columns} FROM {table}" for table, columns in COMPARED.items()))
    return {tuple(row) for rows in tables for row in rows}


def compare(stored: Rows, now: Rows, at_first: Rows) -> int:
    """Say whether the warehouse holds all that the account holds, and else only what was deleted there."""
    missing, more = now - stored, stored - now
    if missing or more - at_first:
        print(f"FAIL: {len(missing):,} rows of the account are missing or different in the warehouse{tally(missing)},")
        print(f"{len(more - at_first):,} rows of the warehouse never were in the account{tally(more - at_first)}.")
        return 1
    counts = Counter(table for table, *_ in now)
    print()
    if more:
        print(f"Deleted in Tallyfy, still in the warehouse: {len(more):,} rows{tally(more)}")
    print(
        f"OK: {len(counts)} tables hold all {len(now):,} rows of the account, with equal keys; "
        f"{counts['runs']:,} processes and {counts['tasks']:,} tasks with equal statuses and dates."
    )
    return 0


def tally(rows: Rows) -> str:
    """How many of the rows each table has, in brackets."""
    counts = Counter(table for table, *_ in rows).most_common()
    return f" ({', '.join(f'{table} {count:,}' for table, count in counts)})" if counts else ""


def bookmark(database: Path) -> str | None:
    """Where the next sync goes on; None, and no database left, if it has to start from nothing."""
    if not database.exists():
        return None
    command = [*MELTANO, "state", "get", f"dev:tap-tallyfy-to-target-duckdb:{database.stem}"]
    result = subprocess.run(command, cwd=database.parent.parent, capture_output=True, text=True, check=False)
    state = json.loads(result.stdout) if result.returncode == 0 and result.stdout.strip() else {}
    value: str | None = state.get("singer_state", {}).get("bookmarks", {}).get("runs", {}).get("replication_key_value")
    if not value:
        database.unlink()
    return value


def sync(database: Path, since: str | None, env: dict[str, str]) -> None:
    """Run the sync, print what it did and the tables."""
    before = contents(database) if since else set()
    command = [*MELTANO, "run", f"--state-id-suffix={database.stem}", "tap-tallyfy", "target-duckdb"]
    if not since:
        # Without the warehouse of the last time its state would leave most of it empty.
        command.insert(-2, "--full-refresh")
    env = env | {"TARGET_DUCKDB_FILEPATH": str(database)}
    log = database.with_name("demo.log")
    with log.open("w", encoding="utf-8") as file:
        run = subprocess.run(
            command, cwd=database.parent.parent, env=env, stdout=file, stderr=subprocess.STDOUT, check=False
        )
    if run.returncode:
        print(*log.read_text(encoding="utf-8").splitlines()[-20:], sep="\n")
        sys.exit(f"FAIL: meltano run ended with exit code {run.returncode}; all it said is in output/{log.name}")
    changed = contents(database) - before
    how = f"Incremental since {since}, new or changed" if since else "Full sync"
    print(fill(f"{how}: {len(changed):,} rows{tally(changed)}", 120))
    print_templates(database)
    print_waits(database)


def contents(database: Path) -> Rows:
    """A hash of each row that the warehouse holds."""
    (names,) = query(database, "SHOW TABLES")
    tables = query(database, *(f"SELECT '{table}', hash({table})::VARCHAR FROM {table}" for (table,) in names))
    return {tuple(row) for rows in tables for row in rows}


def query(database: Path, *queries: str) -> list[list[list[Any]]]:
    """The rows that each query gives."""
    command = [str(LOADER_PYTHON), "-c", RUN_QUERIES, str(database), *queries]
    rows: list[list[list[Any]]] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return rows


def print_templates(database: Path) -> None:
    """Print, for each template: processes by status, late tasks, median days from launch to completion."""
    totals, cycle_times = query(database, TOTALS, CYCLE_TIMES)
    days = {title: f"{median:.1f}" for title, median in cycle_times if median is not None}
    statuses = sorted({status for _, status, _, _ in totals})
    titles = sorted({title for title, _, _, _ in totals})
    table = [["Template", *statuses, "runs", "late tasks", "median days"]]
    for title in [*titles, "All"]:
        rows = [row for row in totals if title in (row[0], "All")]
        counts = [sum(count for _, status, count, _ in rows if status == wanted) for wanted in statuses]
        late = sum(late for _, _, _, late in rows)
        table.append([title, *(f"{n:,}" for n in (*counts, sum(counts), late)), days.get(title, "-")])
    print_table(table)


def print_waits(database: Path) -> None:
    """Print the steps where processes wait longest."""
    (waits,) = query(database, LONGEST_WAITS)
    rows = [[f"{title}: {step}", f"{count:,}", f"{days:.1f}"] for title, step, count, days in waits]
    print_table([["Where processes wait longest", "completed", "median days"], *rows])


def print_table(table: list[list[str]]) -> None:
    """Print rows of cells in columns, the first of them to the left and the others to the right."""
    print()
    widths = [max(width(cell) for cell in column) for column in zip(*table, strict=True)]
    for first, *rest in table:
        cells = (" " * (size - width(cell)) + cell for cell, size in zip(rest, widths[1:], strict=True))
        print(first + " " * (widths[0] - width(first)), *cells, sep="  ")


def width(text: str) -> int:
    """Columns the text takes on a terminal."""
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


if __name__ == "__main__":
    sys.exit(main())
