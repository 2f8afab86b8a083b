"""Sync Tallyfy into DuckDB with Meltano, then show and check what the warehouse holds.

With TAP_TALLYFY_ACCESS_TOKEN and TAP_TALLYFY_ORG_ID set it is the real account, otherwise a sandbox of 1,000 processes.
"""
# ruff: noqa: S603, S608 - all commands and queries are written here

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from textwrap import fill
from typing import Any, NoReturn
from unicodedata import combining, east_asian_width

from sandbox import Sandbox

ROOT = Path(__file__).resolve().parent.parent
MELTANO = (str(ROOT / ".venv-meltano/bin/meltano"), "--environment=dev")
# What the user's own .env says, filters among it, is not about the sandbox.
WITHOUT_ENV_FILE = (*MELTANO, f"--env-file={os.devnull}")
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


class DemoError(Exception):
    """The demonstration cannot go on; the text says why."""


def main(root: Path = ROOT, processes: int = 1000) -> int:
    """Run the demonstration in a Meltano project; returns the exit code."""
    try:
        return demonstrate(root, processes)
    except (DemoError, OSError) as error:
        print(f"FAIL: {error}")
        return 1
    except KeyboardInterrupt:
        print("Stopped. Nothing is lost: run it again.")
        return 130


def demonstrate(root: Path, processes: int) -> int:
    """Demonstrate with the account that the environment names, or with the sandbox; returns the exit code."""
    org_id, token = (os.environ.get(f"TAP_TALLYFY_{name}", "").strip() for name in ("ORG_ID", "ACCESS_TOKEN"))
    if bool(org_id) != bool(token):
        print("Set both TAP_TALLYFY_ACCESS_TOKEN and TAP_TALLYFY_ORG_ID, or neither for the sandbox.")
        return 2
    if Path(org_id).name != org_id:
        print("TAP_TALLYFY_ORG_ID must be the ID alone, as in the address of your organization.")
        return 2
    output = root / "output"
    output.mkdir(exist_ok=True)
    if not org_id:
        return demonstrate_sandbox(output / "sandbox.duckdb", processes)
    print("Syncing your account with Meltano: tap-tallyfy to target-duckdb")
    database = output / f"{org_id}.duckdb"
    sync(database, bookmark(database, MELTANO), dict(os.environ), MELTANO)
    return 0


def demonstrate_sandbox(database: Path, processes: int) -> int:
    """Sync the sandbox, after 150 changes in all of its lists if it is not the first time, and compare."""
    since = bookmark(database, WITHOUT_ENV_FILE)
    with Sandbox(runs=processes, seed=3) as sandbox:
        may_stay = account(sandbox) | warehouse(database)
        if since:
            sandbox.mutate(Random(1), 150, everything=True)
        env = {name: value for name, value in os.environ.items() if not name.startswith("TAP_TALLYFY_")} | {
            "TAP_TALLYFY_API_URL": sandbox.api_url,
            "TAP_TALLYFY_ORG_ID": sandbox.org_id,
            "TAP_TALLYFY_ACCESS_TOKEN": sandbox.access_token,
        }
        print("Syncing a sandbox account with Meltano: tap-tallyfy to target-duckdb")
        sync(database, since, env, WITHOUT_ENV_FILE)
        return compare(warehouse(database), account(sandbox), may_stay)


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
    return rows_of(database, {name: f"SELECT '{name}', {columns} FROM {name}" for name, columns in COMPARED.items()})


def compare(stored: Rows, now: Rows, may_stay: Rows) -> int:
    """Say whether the warehouse holds all that the account holds, and else only rows that may stay from before."""
    missing, more = now - stored, stored - now
    if missing or more - may_stay:
        print(f"FAIL: {len(missing):,} rows of the account are missing or different in the warehouse{tally(missing)},")
        print(f"{len(more - may_stay):,} rows of the warehouse never were in the account{tally(more - may_stay)}.")
        return 1
    counts, deleted = (Counter(table for table, *_ in rows) for rows in (now, more))
    print()
    if more:
        print(f"Deleted in Tallyfy, still in the warehouse: {len(more):,} rows{tally(more)}")
    processes, tasks = (
        f"{counts[table]:,} {name}{f' (and {deleted[table]:,} deleted)' if deleted[table] else ''}"
        for table, name in (("runs", "processes"), ("tasks", "tasks"))
    )
    print(
        f"OK: {len(counts)} tables hold all {len(now):,} rows of the account, with equal keys; "
        f"{processes} and {tasks} with equal statuses and dates."
    )
    return 0


def tally(rows: Rows) -> str:
    """How many of the rows each table has, in brackets."""
    counts = Counter(table for table, *_ in rows).most_common()
    return f" ({', '.join(f'{table} {count:,}' for table, count in counts)})" if counts else ""


def bookmark(database: Path, meltano: tuple[str, ...]) -> str | None:
    """Where the next sync into the database goes on; None if it reads everything."""
    if not is_there(database):
        return None
    result = subprocess.run(
        state(meltano, "get", database), cwd=database.parent.parent, capture_output=True, text=True, check=False
    )
    kept = json.loads(result.stdout) if result.returncode == 0 and result.stdout.strip() else {}
    value: str | None = kept.get("singer_state", {}).get("bookmarks", {}).get("runs", {}).get("replication_key_value")
    return value


def forget(database: Path, meltano: tuple[str, ...]) -> None:
    """Drop the state that belongs to a database which is gone: with it, even a sync after this one would skip rows."""
    done = subprocess.run(
        state(meltano, "clear", database, "--force"),
        cwd=database.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(*done.stderr.splitlines()[-20:], sep="\n")
        raise DemoError("Meltano could not remove the state of the last sync")


def state(meltano: tuple[str, ...], action: str, database: Path, *options: str) -> list[str]:
    """The command that does something with the state of the syncs into the database."""
    return [*meltano, "state", action, *options, f"dev:tap-tallyfy-to-target-duckdb:{database.stem}"]


def is_there(database: Path) -> bool:
    """Whether there is a database; a loader that was stopped at once leaves an empty file."""
    return database.exists() and database.stat().st_size > 0


def sync(database: Path, since: str | None, env: dict[str, str], meltano: tuple[str, ...]) -> None:
    """Run the sync, print what it did and the tables."""
    before = contents(database)
    if not is_there(database):
        forget(database, meltano)
    # A sync that was killed counts as running for five minutes; the database file itself lets only one loader in.
    command = [*meltano, "run", "--force", f"--state-id-suffix={database.stem}", "tap-tallyfy", "target-duckdb"]
    log = database.with_name("demo.log")
    code = run(command, database.parent.parent, env | {"TARGET_DUCKDB_FILEPATH": str(database)}, log)
    if code:
        print(*log.read_text(encoding="utf-8").splitlines()[-20:], sep="\n")
        raise DemoError(f"meltano run ended with exit code {code}; all it said is in output/{log.name}")
    changed = contents(database) - before
    how = f"Incremental since {since}" if since else "Full sync"
    print(fill(f"{how}{', new or changed' if before else ''}: {len(changed):,} rows{tally(changed)}", 120))
    print_templates(database)
    print_waits(database)


def run(command: list[str], folder: Path, env: dict[str, str], log: Path) -> int:
    """Run Meltano; returns its exit code. If this program is stopped, Meltano is too, and has the time to say so."""
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            command, cwd=folder, env=env, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            return process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGINT)
            process.wait()
            raise


def contents(database: Path) -> Rows:
    """A hash of each row that the warehouse holds."""
    return rows_of(database, {name: f"SELECT '{name}', hash({name})::VARCHAR FROM {name}" for name in tables(database)})


def rows_of(database: Path, queries: dict[str, str]) -> Rows:
    """The rows that the queries give, each of a table that may not be there."""
    there = tables(database)
    chosen = [sql for name, sql in queries.items() if name in there]
    return {tuple(row) for rows in query(database, *chosen) for row in rows} if chosen else set()


def tables(database: Path) -> set[str]:
    """The names of the tables."""
    return {name for (name,) in query(database, "SHOW TABLES")[0]} if is_there(database) else set()


def query(database: Path, *queries: str) -> list[list[list[Any]]]:
    """The rows that each query gives."""
    command = [str(LOADER_PYTHON), "-c", RUN_QUERIES, str(database), *queries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise DemoError(f"{database} cannot be read: {reason[0]}")
    rows: list[list[list[Any]]] = json.loads(done.stdout)
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


def cli(root: Path = ROOT, processes: int = 1000) -> NoReturn:
    """Run the demonstration as a program: other signals stop it as Ctrl-C does, so that Meltano is stopped too."""

    def stop(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    sys.exit(main(root, processes))


if __name__ == "__main__":
    cli()
