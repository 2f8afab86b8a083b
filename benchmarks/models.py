"""Command line: `python -m benchmarks.models` measures loading, `dbt build` and the page, on DuckDB and PostgreSQL.

Each account is synced once, with all lists that the models read, into a file that both loaders then take.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.measure import run
from sandbox.data import AS_OF
from tests.lists import STREAMS, catalog
from tests.loaders import defaults, program
from tests.models import DBT, TRANSFORM
from tests.postgres import installed, serve
from tests.tap import ROOT, TAP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.postgres import Postgres

_LIMIT: Final = 3600.0
_MB: Final = 1_000_000
_HEAD: Final = """\
| Processes | Step | seconds | CPU seconds | peak memory, MiB | size afterwards, MB |
|---:|---|---:|---:|---:|---:|
"""


@dataclass(frozen=True)
class Models:
    """An account, and what is made of it.

    Attributes:
        runs: How many processes it has.
        folder: For all files.
        postgres: An empty server.
    """

    runs: int
    folder: Path
    postgres: Postgres

    def measure(self) -> None:
        """Sync, load, build and write the page, and say what each step cost."""
        messages = self.folder / "messages"
        # In a process of its own: a child's peak of memory counts that of the process that starts it.
        command = [sys.executable, "-m", "sandbox", "--runs", str(self.runs), "--seed", "3"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as sandbox:  # noqa: S603 - its own
            try:
                config = self._written("config.json", json.loads(sandbox.stdout.readline() if sandbox.stdout else ""))
                selected = self._written("catalog.json", catalog(set(STREAMS) - {"activity_feed"}))
                command = [*TAP, "--config", config, "--catalog", selected]
                self._run("tap-tallyfy, into a file", command, lambda: messages.stat().st_size, messages)
            finally:
                sandbox.terminate()
        file = self.folder / "tallyfy.duckdb"
        self._load("target-duckdb", messages, {"filepath": str(file)}, lambda: file.stat().st_size)
        self._build({"DBT_TARGET": "duckdb", "TARGET_DUCKDB_FILEPATH": str(file)}, lambda: file.stat().st_size)
        page = file.with_suffix(".html")
        command = [str(ROOT / ".venv-analyze/bin/python"), "-m", "analyze", str(file)]
        self._run("the page", command, lambda: page.stat().st_size)
        server = self.postgres.loader_settings
        self._load("target-postgres", messages, server, self._size)
        given = {f"TARGET_POSTGRES_{name.upper()}": str(value) for name, value in server.items()}
        self._build({"DBT_TARGET": "postgres", **given}, self._size)

    def _load(self, loader: str, messages: Path, place: Mapping[str, Any], size: Callable[[], int]) -> None:
        config = self._written(f"{loader}.json", {**defaults(loader), **place})
        self._run(loader, ["sh", "-c", f"{program(loader)} --config {config} < {messages}"], size)

    def _build(self, given: Mapping[str, str], size: Callable[[], int]) -> None:
        target = given["DBT_TARGET"]
        project = self.folder / target
        shutil.copytree(TRANSFORM, project, ignore=shutil.ignore_patterns("target", "logs"))
        places = {"DBT_PROJECT_DIR": str(project), "DBT_PROFILES_DIR": str(project), **given}
        variables = json.dumps({"as_of": AS_OF.isoformat()})
        command = [str(DBT), "build", "--vars", variables]
        self._run(
            f"dbt build, {target}", ["env", *(f"{name}={value}" for name, value in places.items()), *command], size
        )

    def _run(self, what: str, command: Sequence[str], size: Callable[[], int], output: Path | None = None) -> None:
        said = output or self.folder / "said"
        cost = run(command, said, self.folder, _LIMIT)
        if cost.code:
            log = (
                said.read_text(encoding="utf-8")[-2000:] + said.with_suffix(".log").read_text(encoding="utf-8")[-2000:]
            )
            sys.exit(f"{what}: exit code {cost.code}\n{log}")
        sizes = f"{size() / _MB:,.1f}"
        sys.stdout.write(
            f"| {self.runs:,} | {what} | {cost.wall:.0f} | {cost.cpu:.0f} | {cost.peak:,.0f} | {sizes} |\n"
        )
        sys.stdout.flush()

    def _written(self, name: str, value: Mapping[str, Any]) -> str:
        file = self.folder / name
        file.write_text(json.dumps(value), encoding="utf-8")
        return str(file)

    def _size(self) -> int:
        size: int = self.postgres.query("SELECT pg_database_size(current_database())")[0][0]
        return size


def main() -> None:
    """Write a table of what each step costs for accounts of two sizes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=main.__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[1_000, 100_000], help="processes (1,000 and 100,000)")
    sys.stdout.write(_HEAD)
    for runs in parser.parse_args().runs:
        with tempfile.TemporaryDirectory() as folder, serve() as postgres:
            Models(runs, Path(folder), postgres).measure()


if __name__ == "__main__":
    if not installed():
        sys.exit("PostgreSQL's initdb and postgres were not found: install PostgreSQL.")
    main()
