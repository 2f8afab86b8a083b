"""Airflow's file in `orchestrate/`, with a real Airflow: three organizations, one with a revoked token."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox
from tests import meltano
from tests.organizations import UNIT, Platform
from tests.tap import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Postgres

AIRFLOW = ROOT / ".venv-airflow/bin/airflow"
NAMES = ("acme", "globex", "initech")


@pytest.mark.skipif(not AIRFLOW.exists(), reason="Airflow is not installed: `make .venv-airflow/ready` does so")
@pytest.mark.skipif(not meltano.installed(), reason="Meltano or a plugin is not installed: run `make test`")
def test_three_organizations_are_mapped_tasks_and_a_revoked_token_is_not_tried_again(
    tmp_path: Path, postgres: Postgres
) -> None:
    with ExitStack() as stack:
        accounts = {name: stack.enter_context(Sandbox(runs=10, seed=seed)) for seed, name in enumerate(NAMES, start=1)}
        platform = Platform.make(tmp_path, postgres, accounts)
        accounts["globex"].revoke_tokens()
        (tmp_path / "dags").mkdir()
        shutil.copy(UNIT / "airflow/tallyfy.py", tmp_path / "dags")
        variables = platform.environment() | {
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "UNIT": str(tmp_path / "sync_organization.py"),
            "UNIT_PYTHON": sys.executable,
        }
        variables.pop("PYTHONPATH")

        def airflow(*args: str) -> subprocess.CompletedProcess[str]:
            command = [str(AIRFLOW), *args]
            return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=600)

        for setup in (("db", "migrate"), ("pools", "set", "tallyfy", "2", "syncs at once"), ("dags", "reserialize")):
            done = airflow(*setup)
            assert done.returncode == 0, done.stdout + done.stderr
        listed = airflow("dags", "list", "--output", "plain").stdout
        assert {"tallyfy_hourly", "tallyfy_nightly"} <= set(listed.split()), listed
        ran = airflow("dags", "test", "tallyfy_hourly", "2026-02-01T00:00:00+00:00")
        log = ran.stdout + ran.stderr
        outcomes = dict(platform.query("SELECT organization, string_agg(code::text, ' ') FROM ops.syncs GROUP BY 1"))
        assert outcomes == {"acme": "0", "globex": "77", "initech": "0"}, log[-5000:]
        assert "Exit code 77" in log
        assert not any(account.access_token in log for account in accounts.values())
