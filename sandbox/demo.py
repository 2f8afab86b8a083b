"""Sync Tallyfy into DuckDB with Meltano, then show and check what the warehouse holds.

With TAP_TALLYFY_ACCESS_TOKEN and TAP_TALLYFY_ORG_ID set it is the real account, otherwise a sandbox of 1,000 processes.
"""
# ruff: noqa: S603

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any
from unicodedata import combining, east_asian_width

import requests

from sandbox import Sandbox

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "output"
LOG = OUTPUT / "demo.log"
MELTANO = (str(ROOT / ".venv-meltano/bin/meltano"), "--environment=dev")
# Only the loader's own Python has the one version of duckdb that the loader works with.
LOADER_PYTHON = ROOT / ".meltano/loaders/target-duckdb/venv/bin/python"
RUN_QUERY = """
import duckdb, json, sys
print(json.dumps(duckdb.connect(sys.argv[1], read_only=True).execute(sys.argv[2]).fetchall(), default=str))
"""

RUNS = "SELECT id, status, strftime(last_updated, '%Y-%m-%dT%H:%M:%SZ') FROM runs"
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

Changes = dict[str, tuple[str, str]]
"""Status and last update of each process, by id."""


def main() -> int:
    """Run the demonstration; returns the exit code."""
    OUTPUT.mkdir(exist_ok=True)
    token, org_id = os.environ.get("TAP_TALLYFY_ACCESS_TOKEN"), os.environ.get("TAP_TALLYFY_ORG_ID")
    if token and org_id:
        return demonstrate_account(token, org_id)
    if token or org_id:
        print("Set both TAP_TALLYFY_ACCESS_TOKEN and TAP_TALLYFY_ORG_ID, or neither for the sandbox.")
        return 2
    return demonstrate_sandbox()


def demonstrate_sandbox() -> int:
    """Sync the sandbox, with 25 processes changed if it is not the first time."""
    database = OUTPUT / "sandbox.duckdb"
    since = bookmark("sandbox", database)
    with Sandbox(runs=1000, seed=1) as sandbox:
        if since:
            change(sandbox)
        env = {name: value for name, value in os.environ.items() if not name.startswith("TAP_TALLYFY_")} | {
            "TAP_TALLYFY_API_URL": sandbox.api_url,
            "TAP_TALLYFY_ORG_ID": sandbox.org_id,
            "TAP_TALLYFY_ACCESS_TOKEN": sandbox.access_token,
        }
        print("Syncing a sandbox account with Meltano: tap-tallyfy to target-duckdb")
        after = sync("sandbox", database, since, env)
        truth = {run["id"]: (run["status"], run["last_updated"].replace(".000Z", "Z")) for run in sandbox.runs.values()}
    rows, total = len(after), len(truth)
    if after == truth:
        print(
            f"OK: {rows:,} rows in the warehouse, {total:,} processes in Tallyfy, with equal ids, statuses and dates."
        )
        return 0
    wrong = sum(after.get(run_id) != truth.get(run_id) for run_id in after.keys() | truth.keys())
    print(f"FAIL: {rows:,} rows in the warehouse, {total:,} processes in Tallyfy; {wrong:,} of them differ.")
    return 1


def demonstrate_account(token: str, org_id: str) -> int:
    """Sync the real account, and compare with the total that the API's own list reports."""
    print("Syncing your account with Meltano: tap-tallyfy to target-duckdb")
    total = count_listed(token, org_id)
    database = OUTPUT / f"{org_id}.duckdb"
    after = sync(org_id, database, bookmark(org_id, database), dict(os.environ))
    rows = f"{len(after):,} rows in the warehouse"
    if total is None or total != count_listed(token, org_id):
        print(f"OK: {rows}. The account changed meanwhile or tells no total, so there is nothing to compare with.")
        return 0
    if any(name.startswith(("TAP_TALLYFY_RUNS_", "TAP_TALLYFY_START_DATE")) for name in os.environ):
        print(f"OK: {rows}, {total:,} processes in Tallyfy, of which your settings choose some.")
        return 0
    listed = query(database, "SELECT count(*) FROM runs WHERE archived_at IS NULL")[0][0]
    verdict = "OK" if listed == total else "FAIL"
    print(f"{verdict}: {rows}, {listed:,} of them not archived; Tallyfy lists {total:,} that are not archived.")
    return 0 if listed == total else 1


def count_listed(token: str, org_id: str) -> int | None:
    """The total of the default list, which leaves archived processes out; None if the API does not tell."""
    api_url = os.environ.get("TAP_TALLYFY_API_URL", "https://go.tallyfy.com/api").rstrip("/")
    response = requests.get(
        f"{api_url}/organizations/{org_id}/runs",
        params={"per_page": 1},
        headers={"Authorization": f"Bearer {token}", "Accept": "application/json", "X-Tallyfy-Client": "APIClient"},
        timeout=60,
    )
    try:
        response.raise_for_status()
        return int(response.json()["meta"]["pagination"]["total"])
    except (requests.RequestException, KeyError, TypeError, ValueError):
        return None


def change(sandbox: Sandbox) -> None:
    """Change 25 processes, the same ones each time: 15 touched, 5 archived, 5 launched."""
    open_runs = sorted(run_id for run_id, run in sandbox.runs.items() if run["archived_at"] is None)
    chosen = Random(1).sample(open_runs, 20)
    for run_id in chosen[:15]:
        sandbox.touch(run_id, summary="Touched between two syncs")
    for run_id in chosen[15:]:
        sandbox.archive(run_id)
    for number in range(1, 6):
        sandbox.create(id=f"{number:032x}", name=f"Launched between two syncs - {number}")


def bookmark(name: str, database: Path) -> str | None:
    """Where the next sync goes on; None, and no database left, if it has to start from nothing."""
    if not database.exists():
        return None
    command = [*MELTANO, "state", "get", f"dev:tap-tallyfy-to-target-duckdb:{name}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    state = json.loads(result.stdout) if result.returncode == 0 and result.stdout.strip() else {}
    value: str | None = state.get("singer_state", {}).get("bookmarks", {}).get("runs", {}).get("replication_key_value")
    if not value:
        database.unlink()
    return value


def sync(name: str, database: Path, since: str | None, env: dict[str, str]) -> Changes:
    """Run the sync, print what it did and the tables; returns what the warehouse then holds."""
    before = warehouse(database) if since else {}
    command = [*MELTANO, "run", f"--state-id-suffix={name}", "tap-tallyfy", "target-duckdb"]
    if not since:
        # Without the warehouse of the last time its state would leave most of it empty.
        command.insert(-2, "--full-refresh")
    env = env | {"TARGET_DUCKDB_FILEPATH": str(database)}
    with LOG.open("w", encoding="utf-8") as log:
        run = subprocess.run(command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT, check=False)
    if run.returncode:
        print(*LOG.read_text(encoding="utf-8").splitlines()[-20:], sep="\n")
        sys.exit(f"FAIL: meltano run ended with exit code {run.returncode}; all it said is in {LOG.relative_to(ROOT)}")
    after = warehouse(database)
    changed = sum(before.get(run_id) != row for run_id, row in after.items())
    print(f"Incremental since {since}: {changed:,} new or changed runs" if since else f"Full sync: {changed:,} runs")
    print_report(database)
    return after


def query(database: Path, sql: str) -> list[list[Any]]:
    """The rows a query gives."""
    command = [str(LOADER_PYTHON), "-c", RUN_QUERY, str(database), sql]
    rows: list[list[Any]] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return rows


def warehouse(database: Path) -> Changes:
    """Every process in the warehouse."""
    return {run_id: (status, updated) for run_id, status, updated in query(database, RUNS)}


def print_report(database: Path) -> None:
    """Print, for each template: processes by status, late tasks, median days from launch to completion."""
    totals = query(database, TOTALS)
    days = {title: f"{median:.1f}" for title, median in query(database, CYCLE_TIMES) if median is not None}
    statuses = sorted({status for _, status, _, _ in totals})
    titles = sorted({title for title, _, _, _ in totals})
    table = [["Template", *statuses, "runs", "late tasks", "median days"]]
    for title in [*titles, "All"]:
        rows = [row for row in totals if title in (row[0], "All")]
        counts = [sum(count for _, status, count, _ in rows if status == wanted) for wanted in statuses]
        late = sum(late for _, _, _, late in rows)
        table.append([title, *(f"{n:,}" for n in (*counts, sum(counts), late)), days.get(title, "-")])
    widths = [max(width(cell) for cell in column) for column in zip(*table, strict=True)]
    print()
    for first, *rest in table:
        cells = (" " * (size - width(cell)) + cell for cell, size in zip(rest, widths[1:], strict=True))
        print(first + " " * (widths[0] - width(first)), *cells, sep="  ")
    print()


def width(text: str) -> int:
    """Columns the text takes on a terminal."""
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


if __name__ == "__main__":
    sys.exit(main())
