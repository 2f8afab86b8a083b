from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from sandbox import Sandbox
from sandbox.data import AS_OF
from tests.meltano import PLUGINS, variables
from tests.models import DBT, TRANSFORM
from tests.tap import require, settings_for

if TYPE_CHECKING:
    from tests.meltano import Project


def test_one_command_of_meltano_goes_from_an_account_to_the_answers(project: Project) -> None:
    require(DBT.exists(), "dbt is not installed: run `make test`, which installs it")
    (project.folder / ".meltano/utilities").symlink_to(PLUGINS / "utilities")
    shutil.copytree(TRANSFORM, project.folder / "transform", ignore=shutil.ignore_patterns("target", "logs"))
    with Sandbox(runs=30, seed=3) as sandbox:
        given = variables("tap-tallyfy", **settings_for(sandbox))
        project.meltano("run", "tap-tallyfy", "target-duckdb", "dbt:build", MELTANO_AUTO_INSTALL="false", **given)
        runs = len(sandbox.runs)
        left = [file for file in (project.folder / "transform").rglob("*") if file.is_file()]
        assert {file.parent.name for file in left} >= {"target", "logs"}
        assert [file for file in left if sandbox.access_token.encode() in file.read_bytes()] == []
    ((processes, day),) = project.duckdb(
        "SELECT count(*), max(as_of)::DATE FROM analytics.process, analytics.organization"
    )
    assert processes == runs
    assert day > AS_OF.date().isoformat(), "without a variable it is measured now"
    page = project.folder / "transform/target/static_index.html"
    for command in ("dbt:docs", "dbt:freshness"):
        project.meltano("invoke", command, MELTANO_AUTO_INSTALL="false", **given)
    assert "tasks_on_time" in page.read_text(encoding="utf-8")
    # The loader's own, much older version of duckdb reads the views.
    assert project.duckdb("SELECT count(*) FROM analytics.template_usage") != [[0]]
