"""What Dagster is told of organizations: partitions, schedules, retries, freshness, and the settings of an instance."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.tap import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = ROOT / ".venv-dagster/bin/python"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the definitions do, tried in Dagster's own Python."""
    if not PYTHON.exists():
        pytest.skip("Dagster is not installed: run `make organizations`, which installs it")
    folder: Path = tmp_path_factory.mktemp("dagster")
    env = {**os.environ, "ORGANIZATIONS": str(folder / "organizations.csv"), "DAGSTER_HOME": ""}
    command = [str(PYTHON), "-m", "tests.in_dagster.facts", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-5000:]
    result: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return result


def test_partitions_follow_the_file_but_not_into_nothing(found: dict[str, Any]) -> None:
    followed = found["schedules"]["partitions"]
    assert followed == [["acme", "globex"], ["globex", "initech"], ["globex", "initech"]]
    assert "names no organization" in found["schedules"]["empty file"]


def test_each_schedule_asks_for_its_kind_and_skips_only_runs_of_its_own(found: dict[str, Any]) -> None:
    asked = {name: [row[:2] for row in rows] for name, rows in found["schedules"].items() if isinstance(rows, list)}
    assert asked["hourly"] == [["acme", "often"]]
    assert asked["nightly"] == [["acme", "full"], ["globex", "full"]]
    assert asked["hourly, full under way"] == [["acme", "often"]]
    assert asked["nightly, full under way"] == [["globex", "full"]]
    assert asked["nightly, initech not there yet"] == [["globex", "full"]]
    rows = [*found["schedules"]["hourly"], *found["schedules"]["nightly"]]
    assert len({key for _, _, key, _ in rows}) == len(rows), "without a key of its own each, none is started"
    assert {(kind, priority) for _, kind, _, priority in rows} == {("often", "0"), ("full", "-1")}


@pytest.mark.parametrize(
    ("codes", "success", "calls"),
    [
        ([0], True, 1),
        ([75], False, 4),
        ([74, 0], True, 2),
        ([143, 0], True, 2),
        ([-9, 73, 0], True, 3),
        ([73], True, 1),
        ([65], False, 1),
        ([70], False, 1),
        ([77], False, 1),
        ([78], False, 1),
        ([1], False, 1),
    ],
)
def test_only_what_passes_is_tried_again(found: dict[str, Any], codes: list[int], success: bool, calls: int) -> None:
    run = found["runs"][str(codes)]
    assert (run["success"], len(run["calls"])) == (success, calls)
    assert set(run["calls"]) == {"acme --full"}
    done = success and codes != [73]
    numbers = {"rows": 7, "requests": 2, "waited": 0.5, "seconds": 1.5, "marked": 1, "lag": 9.0}
    assert run["metadata"] == ([numbers] if done else [])


def test_what_is_late_fails_the_check_and_its_run(found: dict[str, Any]) -> None:
    assert found["fresh"] == [True, True, []]
    assert found["late"] == [False, False, ["acme"]]
    assert found["never"] == [False, False, ["globex"]]


def test_an_instance_runs_one_sync_of_an_organization_at_a_time() -> None:
    settings = yaml.safe_load((ROOT / "orchestrate/dagster/dagster.yaml").read_text(encoding="utf-8"))
    (limit,) = settings["concurrency"]["runs"]["tag_concurrency_limits"]
    assert limit == {"key": "tallyfy/org", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    assert settings["run_retries"]["retry_on_asset_or_op_failure"] is False
