"""Says as JSON what the definitions of `orchestrate/dagster/` do; Dagster's own Python has no pytest."""

from __future__ import annotations

import importlib.util
import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg

ROOT = Path(__file__).resolve().parent.parent.parent
NOW = datetime(2026, 2, 1, 1, tzinfo=timezone.utc)


def load() -> Any:
    spec = importlib.util.spec_from_file_location("definitions", ROOT / "orchestrate/dagster/definitions.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["definitions"] = module
    spec.loader.exec_module(module)
    return module


def runs_of(definitions: Any, folder: Path, codes: list[int]) -> dict[str, Any]:
    """What comes of a run whose tries end with these exit codes, the last one for ever."""
    tries, unit = folder / "tries", folder / "unit.py"
    tries.write_text("")
    unit.write_text(
        f"""
import json, os, pathlib, sys
tries, codes = pathlib.Path({str(tries)!r}), {codes}
done = len(tries.read_text().splitlines())
tries.write_text(tries.read_text() + " ".join(sys.argv[1:]) + chr(10))
code = codes[min(done, len(codes) - 1)]
if code < 0:
    os.kill(os.getpid(), -code)
numbers = dict(rows=7, requests=2, waited=0.5, seconds=1.5, marked=1)
print(json.dumps(dict(outcome="", code=code, message="Why.", **numbers)))
sys.exit(code)
"""
    )
    definitions.UNIT = unit
    definitions.freshness = lambda: {"acme": timedelta(seconds=9)}
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("tallyfy_organization", ["acme"])
        config = definitions.SyncConfig(kind=definitions.Kind.FULL, retry_seconds=0)
        ended = dg.materialize(
            [definitions.account],
            instance=instance,
            partition_key="acme",
            run_config=dg.RunConfig({"account": config}),
            raise_on_error=False,
        )
        made = ended.get_asset_materialization_events()
        return {
            "success": ended.success,
            "calls": tries.read_text().splitlines(),
            "metadata": [
                {name: value.value for name, value in event.materialization.metadata.items()} for event in made
            ],
        }


def requested(definitions: Any, instance: dg.DagsterInstance, name: str) -> list[list[str]]:
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=NOW)
    found = getattr(definitions, name)(context)
    return sorted(
        [request.partition_key, request.tags["tallyfy/kind"], request.run_key, request.tags["dagster/priority"]]
        for request in found
    )


def follow(definitions: Any, instance: dg.DagsterInstance) -> list[str]:
    """Do as the sensor says; the partitions that there are then."""
    result = definitions.organizations_of_the_file(dg.build_sensor_context(instance=instance))
    for change in result.dynamic_partitions_requests:
        if isinstance(change, dg.AddDynamicPartitionsRequest):
            instance.add_dynamic_partitions(change.partitions_def_name, change.partition_keys)
        else:
            for key in change.partition_keys:
                instance.delete_dynamic_partition(change.partitions_def_name, key)
    return sorted(instance.get_dynamic_partitions("tallyfy_organization"))


def schedules(definitions: Any, file: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    header = "organization,org_id,secret,tier\n"
    with dg.DagsterInstance.local_temp(str(file.parent)) as instance:
        file.write_text(f"{header}acme,1,A,hourly\nglobex,2,B,daily\n")
        found["partitions"] = [follow(definitions, instance)]
        found["hourly"], found["nightly"] = (requested(definitions, instance, name) for name in ("hourly", "nightly"))
        # A run of one kind is under way.
        instance.add_run(
            dg.DagsterRun(
                job_name="sync",
                status=dg.DagsterRunStatus.STARTED,
                tags={"tallyfy/org": "acme", "tallyfy/kind": "full"},
            )
        )
        found["hourly, full under way"] = requested(definitions, instance, "hourly")
        found["nightly, full under way"] = requested(definitions, instance, "nightly")
        file.write_text(f"{header}initech,3,C,hourly\nglobex,2,B,daily\n")
        found["nightly, initech not there yet"] = requested(definitions, instance, "nightly")
        found["partitions"].append(follow(definitions, instance))
        file.write_text(header)
        try:
            follow(definitions, instance)
        except dg.Failure as error:
            found["empty file"] = error.description
        found["partitions"].append(sorted(instance.get_dynamic_partitions("tallyfy_organization")))
    return found


def freshness(definitions: Any, lags: dict[str, float]) -> list[Any]:
    definitions.freshness = lambda: {name: timedelta(hours=hours) for name, hours in lags.items()}
    definitions.organizations = lambda: {"acme": "hourly", "globex": "daily"}
    with dg.DagsterInstance.ephemeral() as instance:
        job = definitions.definitions.resolve_job_def("check")
        ended = job.execute_in_process(instance=instance, raise_on_error=False)
        (evaluation,) = ended.get_asset_check_evaluations()
        return [ended.success, evaluation.passed, evaluation.metadata["late"].value]


def main() -> None:
    folder = Path(sys.argv[1])
    definitions = load()
    found: dict[str, Any] = {"schedules": schedules(definitions, folder / "organizations.csv")}
    ways = ([0], [75], [74, 0], [143, 0], [-9, 73, 0], [73], [65], [70], [77], [78], [1])
    found["runs"] = {str(codes): runs_of(definitions, folder, codes) for codes in ways}
    found["fresh"] = freshness(definitions, {"acme": 1, "globex": 20})
    found["late"] = freshness(definitions, {"acme": 4, "globex": 20})
    found["never"] = freshness(definitions, {"acme": 1})
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
