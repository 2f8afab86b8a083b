"""A real Meltano with a project of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.tap import ROOT, require

MELTANO = Path(os.environ.get("TAP_TALLYFY_MELTANO", ROOT / ".venv-meltano/bin/meltano"))
PLUGINS = ROOT / ".meltano"
_NEEDED = ("extractors/tap-tallyfy", "loaders/target-duckdb", "loaders/target-postgres", "loaders/target-jsonl")
#: How the variables begin that name an account, a warehouse or a project.
_OURS = ("TAP_TALLYFY_", "TARGET_", "MELTANO_")
_READ_DUCKDB = """
import duckdb, json, sys
print(json.dumps(duckdb.connect(sys.argv[1], read_only=True).execute(sys.argv[2]).fetchall(), default=str))
"""


def installed() -> bool:
    """Whether Meltano and its plugins are there."""
    return MELTANO.exists() and all((PLUGINS / plugin / "venv").exists() for plugin in _NEEDED)


def variables(plugin: str, **settings: Any) -> dict[str, str]:
    """The environment variables that give a plugin these settings."""
    prefix = plugin.replace("-", "_")
    return {
        f"{prefix}_{name}".upper(): str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in settings.items()
    }


@dataclass(frozen=True)
class Project:
    """A Meltano project of its own, with state and output of its own, that shares the plugins installed here."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Project:
        """Make one in an empty folder."""
        shutil.copy(ROOT / "meltano.yml", folder)
        (folder / "output").mkdir()
        (folder / ".meltano").mkdir()
        for kind in ("extractors", "loaders"):
            (folder / ".meltano" / kind).symlink_to(PLUGINS / kind)
        return cls(folder)

    def meltano(self, *args: str, **settings: str) -> str:
        env = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)} | settings
        command = [str(MELTANO), "--log-format=plain", *args]
        done = subprocess.run(
            command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def database(self) -> Path:
        """The file that the loader for DuckDB writes."""
        return self.folder / "output/tallyfy.duckdb"

    def duckdb(self, sql: str) -> list[list[Any]]:
        """The rows a query gives, read with the loader's own version of duckdb."""
        python = PLUGINS / "loaders/target-duckdb/venv/bin/python"
        command = [str(python), "-c", _READ_DUCKDB, str(self.database), sql]
        rows: list[list[Any]] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return rows


def without_an_account(patched: pytest.MonkeyPatch) -> None:
    """Take all settings out of the environment, as if nobody had an account."""
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        patched.delenv(name)
    patched.setenv("MELTANO_AUTO_INSTALL", "false")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project in an empty folder."""
    require(installed(), "Meltano or a plugin is not installed: run `make test`, which installs them")
    return Project.make(tmp_path)
