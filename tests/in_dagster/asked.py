"""The asset of `orchestrate/dagster/`, and a sensor that asks for syncs whenever a file does, not at an hour."""

import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, os.environ["DEFINITIONS"])
import dagster as dg
import definitions as shipped  # not its `definitions` by name: Dagster takes one from here


@dg.sensor(job=shipped.sync, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def asked(context: dg.SensorEvaluationContext) -> Iterator[Any]:
    """Ask for what the file names: a number, and the kinds of syncs for organizations."""
    file = Path(os.environ["ASKED"])
    wanted = json.loads(file.read_text()) if file.exists() else {"number": 0, "kinds": {}}
    if str(wanted["number"]) == context.cursor:
        return
    moment = datetime.fromtimestamp(wanted["number"], timezone.utc)
    for kind, names in wanted["kinds"].items():
        tick = SimpleNamespace(instance=context.instance, scheduled_execution_time=moment)
        for request in shipped.requests(tick, shipped.Kind(kind), 0):
            if request.partition_key in names:
                config = shipped.SyncConfig(kind=shipped.Kind(kind), retry_seconds=3)
                yield request._replace(run_config=dg.RunConfig({"account": config}).to_config_dict())
    context.update_cursor(str(wanted["number"]))


definitions = dg.Definitions(
    assets=[shipped.account], jobs=[shipped.sync], sensors=[shipped.organizations_of_the_file, asked]
)
