from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.tap import ROOT, Result, environment, run_command, settings_for

if TYPE_CHECKING:
    from sandbox import Sandbox

SOURCES = ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "tap_tallyfy", "schemas", "sandbox", "tests")


def uv(*args: str | Path) -> None:
    """Run uv, from the environment the tests run in or from anywhere else."""
    program = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    assert program, "uv was not found: install it (pip install uv)"
    # Not in the checkout, so that no settings of uv and no package lying there come into play.
    done = subprocess.run([program, *args], env=plain(), cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def plain() -> dict[str, str]:
    """Return an environment in which Python does not find the checkout."""
    return {name: value for name, value in environment().items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel, and in `from_sdist` a wheel built from the sdist."""
    source = tmp_path_factory.mktemp("source")
    folder = Path(os.environ.get("PACKAGES") or tmp_path_factory.mktemp("built"))  # `make package` keeps them
    for name in SOURCES:  # a copy, so that a build leaves nothing in the checkout
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name)
    uv("build", "--wheel", "--out-dir", folder, source)
    uv("build", "--sdist", "--out-dir", folder, source)
    (sdist,) = folder.glob("*.tar.gz")
    uv("build", "--wheel", "--out-dir", folder / "from_sdist", sdist)
    return folder


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def test_a_wheel_holds_the_tap_and_its_contract_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = names_in(wheel)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"tap_tallyfy"}
    modules = {f"tap_tallyfy/{file.name}" for file in (ROOT / "tap_tallyfy").glob("*.py")}
    assert names >= {*modules, "tap_tallyfy/schemas/openapi.json", "tap_tallyfy/py.typed"}


def test_a_wheel_from_the_sdist_is_the_same(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    (from_sdist,) = (built / "from_sdist").glob("*.whl")
    assert names_in(from_sdist) == names_in(wheel)


def test_an_sdist_holds_neither_tests_nor_sandbox(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        folders = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert {"tap_tallyfy", "schemas", "pyproject.toml"} <= folders
    assert not {"tests", "sandbox"} & folders


@pytest.mark.parametrize("origin", [".", "from_sdist"])
def test_the_installed_wheel_syncs_outside_the_repository(
    built: Path, tmp_path: Path, account: Sandbox, origin: str
) -> None:
    (wheel,) = (built / origin).glob("*.whl")
    uv("venv", "--python", sys.executable, tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    uv("pip", "install", "--python", python, wheel)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings_for(account)))

    def run(*args: str) -> Result:
        env = {"PYTHONPATH": "", "PYTHONSAFEPATH": "1"}
        return run_command(*args, sandbox=account, env=env, command=[str(tmp_path / "venv" / "bin" / "tap-tallyfy")])

    where = subprocess.run(
        [python, "-c", "import tap_tallyfy; print(tap_tallyfy.__file__)"],
        cwd=tmp_path,
        env=plain(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(tmp_path)
    catalog = json.loads("\n".join(run("--discover").lines))
    assert len(catalog["streams"]) > 10
    assert all("org_id" in stream["schema"]["properties"] for stream in catalog["streams"])
    result = run("--config", str(config))
    assert result.code == 0, result.stderr
    messages = [message for message in result.messages if message["type"] == "RECORD"]
    assert {message["stream"] for message in messages} > {"runs", "tasks", "task_answers", "steps"}
    runs = [message["record"]["id"] for message in messages if message["stream"] == "runs"]
    assert sorted(runs) == sorted(account.runs)
