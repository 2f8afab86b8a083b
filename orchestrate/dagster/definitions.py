"""Organizations as partitions of one Dagster asset: `sync_organization.py` does the work, Dagster does the rest.

docs/many-organizations.md says how to start it. There is no `__init__.py` here, so that `import dagster` finds Dagster.
"""
# No `from __future__ import annotations`: Dagster reads annotations as they are.

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg

HERE = Path(__file__).resolve().parent.parent
UNIT = HERE / "sync_organization.py"
PARTITIONS = dg.DynamicPartitionsDefinition(name="tallyfy_organization")
RETRIES = 3
BUSY, LOADER, PASSING, STOPPED = 73, 74, 75, 128
#: How late an organization may be, by its tier.
LIMITS = {"hourly": timedelta(hours=3), "daily": timedelta(hours=30)}
#: Runs are kept so long: each takes 24 KB of the event log.
KEPT = timedelta(days=14)
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


class Kind(Enum):
    """Which sync."""

    INCREMENTAL = "incremental"
    OFTEN = "often"
    FULL = "full"


class SyncConfig(dg.Config):
    """How to sync an organization.

    Attributes:
        kind: Which sync.
        retry_seconds: How long to wait before the first retry; each further one waits twice as long.
    """

    kind: Kind = Kind.INCREMENTAL
    retry_seconds: float = 30


def organizations() -> dict[str, str]:
    """Return the tier of each organization in the file."""
    path = Path(os.environ.get("ORGANIZATIONS") or HERE / "organizations.csv")
    with path.open(encoding="utf-8-sig", newline="") as file:
        found = {row["organization"].strip(): row["tier"].strip() for row in csv.DictReader(file)}
    if not found:  # a file that is being written
        raise dg.Failure(f"{path} names no organization.")
    return found


def freshness() -> dict[str, timedelta]:
    """Return how long ago the last sync that ended well began, by organization."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as database:
        return dict(
            database.execute("SELECT organization, min(lag) FROM ops.freshness GROUP BY organization").fetchall()
        )


@dg.asset(partitions_def=PARTITIONS, output_required=False)
def account(context: dg.AssetExecutionContext, config: SyncConfig) -> Iterator[dg.MaterializeResult[Any]]:
    """The tables of one organization."""
    name = context.partition_key
    kind = [] if config.kind is Kind.INCREMENTAL else [f"--{config.kind.value}"]
    unit = subprocess.Popen([sys.executable, str(UNIT), name, *kind], stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        out, _ = unit.communicate()
    except BaseException:
        unit.terminate()  # it passes that on, and ends all that it started
        unit.wait()
        raise
    result: dict[str, Any] = {"message": "It was killed."}
    with suppress(ValueError):
        result = json.loads(out)
    code, again = unit.returncode, context.retry_number
    if code == 0:
        numbers = {key: result[key] for key in ("rows", "requests", "waited", "seconds", "marked")}
        lag = freshness().get(name, timedelta()).total_seconds()
        yield dg.MaterializeResult(metadata={**numbers, "lag": lag})
    elif code == BUSY and not again:
        context.log.info("Another sync of '%s' is running.", name)
    elif code in {BUSY, LOADER, PASSING} or code > STOPPED or code < 0:
        context.log.warning("Exit code %s: %s", code, result["message"])
        raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=config.retry_seconds * 2**again)
    else:
        raise dg.Failure(f"Exit code {code}: {result['message']}", metadata={"code": code}, allow_retries=False)


@dg.asset_check(asset=account)
def fresh() -> Iterator[dg.AssetCheckResult]:
    """Whether each organization was synced in time; its run fails if not, so that an alert on failures tells."""
    lags = freshness()
    late = [name for name, tier in organizations().items() if lags.get(name, timedelta.max) > LIMITS[tier]]
    yield dg.AssetCheckResult(passed=not late, metadata={"late": late})
    if late:
        raise dg.Failure(f"Late: {', '.join(late)}")


@dg.op
def forget(context: dg.OpExecutionContext) -> None:
    """Delete old runs: Dagster's own retention is for the ticks of schedules alone."""
    old = dg.RunsFilter(created_before=datetime.now(timezone.utc) - KEPT, statuses=FINISHED)
    while records := context.instance.get_run_records(old, limit=500):
        for record in records:
            context.instance.delete_run(record.dagster_run.run_id)


@dg.job(executor_def=dg.in_process_executor)
def forget_old_runs() -> None:
    """Delete old runs."""
    forget()


sync = dg.define_asset_job(
    "sync", dg.AssetSelection.assets(account).without_checks(), executor_def=dg.in_process_executor
)
check = dg.define_asset_job("check", dg.AssetSelection.checks(fresh), executor_def=dg.in_process_executor)


def requests(context: dg.ScheduleEvaluationContext, kind: Kind, priority: int) -> Iterator[dg.RunRequest]:
    """Yield a run for each organization that has no run of this kind under way.

    Those with a run of the other kind get one too: it waits in the queue, or one kind would starve the other.
    """
    there = set(context.instance.get_dynamic_partitions(str(PARTITIONS.name)))
    under_way = dg.RunsFilter(tags={"tallyfy/kind": kind.value}, statuses=UNFINISHED)
    busy = {run.tags["tallyfy/org"] for run in context.instance.get_runs(under_way)}
    for name, tier in organizations().items():
        if name in there - busy and (kind is Kind.FULL or tier == "hourly"):
            yield dg.RunRequest(
                run_key=f"{kind.value} {name} {context.scheduled_execution_time.isoformat()}",
                partition_key=name,
                run_config=dg.RunConfig({"account": SyncConfig(kind=kind)}),
                tags={"tallyfy/org": name, "tallyfy/kind": kind.value, "dagster/priority": str(priority)},
            )


@dg.schedule(job=sync, cron_schedule="0 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def hourly(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Sync what changes all day."""
    yield from requests(context, Kind.OFTEN, 0)


@dg.schedule(job=sync, cron_schedule="0 1 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def nightly(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Sync everything, and mark what was deleted."""
    yield from requests(context, Kind.FULL, -1)


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def organizations_of_the_file(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Add a partition for each new organization in the file, and remove those of organizations that are gone."""
    wanted, there = set(organizations()), set(context.instance.get_dynamic_partitions(str(PARTITIONS.name)))
    changes = [
        PARTITIONS.build_add_request(sorted(wanted - there)),
        PARTITIONS.build_delete_request(sorted(there - wanted)),
    ]
    return dg.SensorResult(dynamic_partitions_requests=[each for each in changes if each.partition_keys])


definitions = dg.Definitions(
    assets=[account],
    asset_checks=[fresh],
    jobs=[sync, check, forget_old_runs],
    schedules=[
        hourly,
        nightly,
        dg.ScheduleDefinition(job=check, cron_schedule="*/30 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING),
        dg.ScheduleDefinition(
            job=forget_old_runs, cron_schedule="15 4 * * *", default_status=dg.DefaultScheduleStatus.RUNNING
        ),
    ],
    sensors=[organizations_of_the_file],
)
