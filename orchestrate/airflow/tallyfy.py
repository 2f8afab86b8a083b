"""Organizations as mapped tasks of two Airflow DAGs: `sync_organization.py` does the work.

Copy this file into the folder of DAGs, and set UNIT if it is not beside the folder `orchestrate/`. Make the pool first:
`airflow pools set tallyfy 6 "syncs at once"`. It limits them, because limits of a task do not hold for mapped ones in
every version. docs/many-organizations.md has the rest.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

UNIT = Path(os.environ.get("UNIT") or Path(__file__).resolve().parents[1] / "sync_organization.py")
#: A Python with psycopg.
PYTHON = os.environ.get("UNIT_PYTHON") or sys.executable
BUSY, LOADER, PASSING, STOPPED = 73, 74, 75, 128


@task
def organizations(tiers: list[str]) -> list[str]:
    """Return the organizations of these tiers; Airflow maps at most `max_map_length` of them, 1,024 by default."""
    path = Path(os.environ.get("ORGANIZATIONS") or UNIT.with_name("organizations.csv"))
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row["organization"].strip() for row in csv.DictReader(file) if row["tier"].strip() in tiers]


@task(
    pool="tallyfy",
    retries=3,
    retry_delay=timedelta(seconds=30),
    retry_exponential_backoff=True,
    map_index_template="{{ organization }}",
)
def sync(organization: str, option: str) -> dict[str, object]:
    """Sync one organization; return what the unit says of it.

    Raises:
        AirflowFailException: If a person must act.
        AirflowException: If it is to be tried again.
    """
    from airflow.sdk import get_current_context  # noqa: PLC0415 - only a running task has one

    get_current_context()["organization"] = organization  # type: ignore[typeddict-unknown-key] # for the template
    unit = subprocess.Popen(  # noqa: S603 - all of it is written here
        [PYTHON, str(UNIT), organization, option], stdout=subprocess.PIPE, text=True
    )
    try:
        out, _ = unit.communicate()
    except BaseException:
        unit.terminate()  # it passes that on, and ends all that it started
        unit.wait()
        raise
    code = unit.returncode
    result = json.loads(out) if out.strip() else {"message": "It was killed."}
    if code == 0:
        return dict(result)
    sentence = f"Exit code {code}: {result['message']}"
    if code == BUSY:
        raise AirflowSkipException(sentence)
    if code in {LOADER, PASSING} or code > STOPPED or code < 0:
        raise AirflowException(sentence)
    raise AirflowFailException(sentence)


@dag(schedule="@hourly", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), catchup=False, max_active_runs=1)
def tallyfy_hourly() -> None:
    """Sync what changes all day."""
    sync.partial(option="--often").expand(organization=organizations(["hourly"]))


@dag(schedule="0 1 * * *", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), catchup=False, max_active_runs=1)
def tallyfy_nightly() -> None:
    """Sync everything, and mark what was deleted."""
    sync.partial(option="--full").expand(organization=organizations(["hourly", "daily"]))


hourly = tallyfy_hourly()
nightly = tallyfy_nightly()
