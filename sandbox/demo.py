"""Sync a sandbox of 1,000 processes into DuckDB with Meltano, check the rows, build the tables, write the page."""
# ruff: noqa: S603, S608 - all commands and queries are written here

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from io import TextIOWrapper
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from textwrap import fill
from typing import TYPE_CHECKING, Any, NoReturn

from sandbox import Sandbox
from sandbox.data import AS_OF

if TYPE_CHECKING:
    from datetime import datetime

ROOT = Path(__file__).resolve().parent.parent
# What the user's own .env says, filters among it, is not about the sandbox.
MELTANO = (str(ROOT / ".venv-meltano/bin/meltano"), "--environment=dev", f"--env-file={os.devnull}")
ANALYZE_PYTHON = ROOT / ".venv-analyze/bin/python"
TRANSFORM = ROOT / "transform"
HOLIDAYS = "2025-12-25,Christmas Day\n2025-12-26,Boxing Day\n2026-01-01,New Year\n"
# All that the page can show; the activity feed is not on it.
SELECTED = ["*.*", "!activity_feed.*"]
SEED = 3
PROGRESS = re.compile(r"[a-z_]+: [\d,]+ (of [\d,]+ )?read; \d+ requests")
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
    """Sync, after 150 changes in all lists if it is not the first time, compare, and write the page."""
    if any(os.environ.get(f"TAP_TALLYFY_{name}", "").strip() for name in ("ORG_ID", "ACCESS_TOKEN", "CLIENT_ID")):
        print("The environment names an account. The demo uses its sandbox all the same; for your account: make report")
    output = root / "output"
    output.mkdir(exist_ok=True)
    database = output / "sandbox.duckdb"
    since = bookmark(database)
    print(f"Making up an account of {processes:,} processes")
    with Sandbox(runs=processes, seed=SEED) as sandbox:
        sandbox.set_clock(AS_OF)  # the page says the same each time, however long a sync takes
        may_stay = account(sandbox) | warehouse(database)
        if since:
            sandbox.mutate(Random(1), 150, everything=True)
        print("Syncing it with Meltano from tap-tallyfy to target-duckdb, about 20 s")
        sync(database, since, settings(sandbox))
        if code := compare(warehouse(database), account(sandbox), may_stay):
            return code
        build(database, sandbox.clock.now())
    page = write_page(database, sandbox.org_id)
    print(f"\nThe database:  {relative(database)}")
    print(f"Ask it in SQL: make sql FILE={relative(database)}")
    print(f"The page:      {relative(page)}")
    return 0


def settings(sandbox: Sandbox) -> dict[str, str]:
    """The environment for the tap, without what it says about another account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAP_TALLYFY_")}
    return kept | {
        "TAP_TALLYFY_API_URL": sandbox.api_url,
        "TAP_TALLYFY_ORG_ID": sandbox.org_id,
        "TAP_TALLYFY_ACCESS_TOKEN": sandbox.access_token,
        "TAP_TALLYFY__SELECT": json.dumps(SELECTED),
    }


def relative(file: Path) -> Path:
    """A file of the output as people in the checkout name it."""
    return file.relative_to(file.parent.parent)


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
    gone = f", and {len(more):,} that were deleted in Tallyfy" if more else ""
    print(f"OK: {len(counts)} tables hold all {len(now):,} rows of the account{gone}, with equal keys.")
    processes, tasks = (
        f"{counts[table]:,} {name}{f', and {deleted[table]:,} deleted' if deleted[table] else ''}"
        for table, name in (("runs", "processes"), ("tasks", "tasks"))
    )
    print(f"Statuses and dates are equal too: {processes}; {tasks}.")
    return 0


def tally(rows: Rows) -> str:
    """How many of the rows each table has, in brackets."""
    counts = Counter(table for table, *_ in rows).most_common()
    return f" ({', '.join(f'{table} {count:,}' for table, count in counts)})" if counts else ""


def bookmark(database: Path) -> str | None:
    """Where the next sync into the database goes on; None if it reads everything."""
    if not is_there(database):
        return None
    result = subprocess.run(
        state("get", database), cwd=database.parent.parent, capture_output=True, text=True, check=False
    )
    kept = json.loads(result.stdout) if result.returncode == 0 and result.stdout.strip() else {}
    value: str | None = kept.get("singer_state", {}).get("bookmarks", {}).get("runs", {}).get("replication_key_value")
    return value


def forget(database: Path) -> None:
    """Drop the state that belongs to a database which is gone: with it, even a sync after this one would skip rows."""
    done = subprocess.run(
        state("clear", database, "--force"), cwd=database.parent.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(*done.stderr.splitlines()[-20:], sep="\n")
        raise DemoError("Meltano could not remove the state of the last sync")


def state(action: str, database: Path, *options: str) -> list[str]:
    """The command that does something with the state of the syncs into the database."""
    return [*MELTANO, "state", action, *options, f"dev:tap-tallyfy-to-target-duckdb:{database.stem}"]


def is_there(database: Path) -> bool:
    """Whether there is a database; a loader that was stopped at once leaves an empty file."""
    return database.exists() and database.stat().st_size > 0


def sync(database: Path, since: str | None, env: dict[str, str]) -> None:
    """Run the sync, and print what it changed."""
    before = contents(database)
    if not is_there(database):
        forget(database)
    # A sync that was killed counts as running for five minutes; the database file itself lets only one loader in.
    command = [*MELTANO, "run", "--force", f"--state-id-suffix={database.stem}", "tap-tallyfy", "target-duckdb"]
    run_logged(command, database, env, "demo.log")
    changed = contents(database) - before
    how = f"Incremental since {since}" if since else "Full sync"
    print(fill(f"{how}{', new or changed' if before else ''}: {len(changed):,} rows{tally(changed)}", 120))


def build(database: Path, as_of: datetime) -> None:
    """Make the tables for reports with dbt, in which everything open is measured at this moment."""
    print(f"Building {len(list(TRANSFORM.rglob('models/**/*.sql')))} tables and views with dbt, about 20 s")
    variables = json.dumps({"as_of": f"{as_of:%Y-%m-%d %H:%M:%S}"})
    with TemporaryDirectory() as folder:
        # In a copy: the made-up company's holidays are not those of the user.
        project = Path(shutil.copytree(TRANSFORM, Path(folder) / "transform"))
        with (project / "seeds/holidays.csv").open("a", encoding="utf-8") as seed:
            seed.write(HOLIDAYS)
        places = {"DBT_PROJECT_DIR": str(project), "DBT_PROFILES_DIR": str(project), "DBT_TARGET": "duckdb"}
        command = [*MELTANO, "invoke", "dbt", "build", "--vars", variables]
        run_logged(command, database, os.environ | places, "demo-dbt.log")


def write_page(database: Path, org_id: str) -> Path:
    """Write the page of answers beside the database; returns its file."""
    print("Writing the page, some seconds")
    command = [str(ANALYZE_PYTHON), "-m", "analyze", str(database), "--org-id", org_id]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(f"the page could not be written: {done.stderr.strip() or done.returncode}")
    return database.with_suffix(".html")


def run_logged(command: list[str], database: Path, env: dict[str, str], log_name: str) -> None:
    """Run Meltano on a database; if it fails, print the end of what it said."""
    log = database.with_name(log_name)
    code = run(command, database.parent.parent, env | {"TARGET_DUCKDB_FILEPATH": str(database)}, log)
    if code:
        print(*log.read_text(encoding="utf-8").splitlines()[-20:], sep="\n")
        raise DemoError(
            f"meltano {command[len(MELTANO)]} ended with exit code {code}; all it said is in {relative(log)}"
        )


def run(command: list[str], folder: Path, env: dict[str, str], log: Path) -> int:
    """Run Meltano, and print the tap's progress; returns its exit code.

    If this program is stopped, Meltano is too, and has the time to say so.
    """
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        ) as process,
    ):
        said = process.stdout or ()
        try:
            for line in said:
                file.write(line)
                file.flush()
                if progress := PROGRESS.search(line):
                    print(f"  {progress[0]}")
            return process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGINT)
            file.writelines(said)
            process.wait()
            raise


def contents(database: Path) -> Rows:
    """A hash of each row that the warehouse holds, without the loader's own columns: they say when it was sent."""
    columns = "SELECT COLUMNS(each -> NOT starts_with(each, '_sdc_')) FROM"
    hashed = {name: f"SELECT '{name}', hash(kept)::VARCHAR FROM ({columns} {name}) kept" for name in tables(database)}
    return rows_of(database, hashed)


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


def cli(root: Path = ROOT, processes: int = 1000) -> NoReturn:
    """Run the demonstration as a program: other signals stop it as Ctrl-C does, so that Meltano is stopped too."""

    def stop(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main(root, processes))


if __name__ == "__main__":
    cli()
