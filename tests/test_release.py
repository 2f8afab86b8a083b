"""What is said in several places about a release is the same in all of them."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import yaml

from tests.pages import PAGES, text_of
from tests.tap import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")  # Python 3.10 cannot read TOML
PYTHONS = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT)


def test_every_python_is_named_from_the_oldest_that_installs() -> None:
    minors = [int(version.removeprefix("3.")) for version in PYTHONS]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert f'\nrequires-python = ">={PYTHONS[0]}"\n' in PYPROJECT


def test_types_and_lint_hold_for_the_oldest_python() -> None:
    assert f'\npython_version = "{PYTHONS[0]}"\n' in PYPROJECT
    assert "target-version" not in PYPROJECT  # so ruff takes it from requires-python


def test_the_documentation_names_the_same_pythons() -> None:
    spans = set(re.findall(r"tap itself supports Python (3\.\d+) to (3\.\d+)", text_of(*PAGES)))
    assert spans == {(PYTHONS[0], PYTHONS[-1])}


def test_workflow_and_make_test_the_same_pythons(tmp_path: Path) -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["pythons"]["steps"]
    (script,) = (step["run"] for step in steps if step.get("id") == "classifiers")
    output = tmp_path / "output"
    env = {**os.environ, "GITHUB_OUTPUT": str(output)}
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env=env, check=True)
    name, _, value = output.read_text(encoding="utf-8").strip().partition("=")
    assert (name, yaml.safe_load(value)) == ("versions", PYTHONS)
    command = ["make", "--dry-run", "--always-make", "pythons"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"for version in {' '.join(PYTHONS)};" in shown


def test_the_changelog_starts_with_the_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert f'\nversion = "{headings[0]}"' in PYPROJECT
