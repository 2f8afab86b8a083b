"""Command line: `python -m benchmarks.pipe` finds what limits `meltano run` into DuckDB and PostgreSQL."""
# ruff: noqa: S603 - all commands are its own

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from benchmarks.contenders import TAP
from benchmarks.measure import run, sandbox
from tests.postgres import installed, serve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.measure import Bench, Cost
    from tests.postgres import Postgres

ROOT: Final = Path(__file__).resolve().parent.parent
MELTANO: Final = ROOT / ".venv-meltano" / "bin" / "meltano"
LOADERS: Final = ROOT / ".meltano" / "loaders"

#: The loaders, and the settings to try beside those of meltano.yml.
VARIANTS: Final[Mapping[str, tuple[Mapping[str, Any], ...]]] = {
    "target-duckdb": ({}, {"batch_size_rows": 10_000}, {"batch_size_rows": 1_000}),
    "target-postgres": (
        {},
        {"batch_size_rows": 50_000},
        {"batch_size_rows": 1_000},
        {"use_copy": False},
        {"validate_records": True},
    ),
}
COUNT: Final = """
import duckdb, sys
print(duckdb.connect(sys.argv[1]).execute('SELECT count(*) FROM runs').fetchone()[0])
"""


class Pipe:
    """A tap and a loader to be measured."""

    def __init__(self, bench: Bench, postgres: Postgres, runs: int) -> None:
        """Prepare.

        Args:
            bench: The sandbox to read from.
            postgres: The server to load into.
            runs: Rows there should be in the end.
        """
        self._bench = bench
        self._postgres = postgres
        self._runs = runs

    def tap(self) -> Path:
        """Measure the tap alone, and return the file with its messages."""
        output = self._bench.folder / "messages"
        config = self._bench.folder / "tap.json"
        config.write_text(json.dumps(self._bench.api), encoding="utf-8")
        cost = run([*TAP.start, "--config", str(config)], output, self._bench.folder)
        self._say("tap-tallyfy alone, into a file", {}, cost)
        return output

    def loader(self, name: str, settings: Mapping[str, Any], messages: Path) -> None:
        """Measure a loader alone."""
        config = self._bench.folder / "loader.json"
        config.write_text(json.dumps({**self._defaults(name), **self._place(name), **settings}), encoding="utf-8")
        executable = LOADERS / name / "venv" / "bin" / name
        output = self._bench.folder / "state"
        shell = f"{executable} --config {config} < {messages}"
        self._say(f"{name} alone, from that file", settings, run(["sh", "-c", shell], output, self._bench.folder))
        self._check(name)

    def meltano(self, name: str, settings: Mapping[str, Any]) -> None:
        """Measure the whole."""
        with tempfile.TemporaryDirectory(dir=self._bench.folder) as project:
            shutil.copy(ROOT / "meltano.yml", project)
            Path(project, ".meltano").mkdir()
            for kind in ("extractors", "loaders"):
                Path(project, ".meltano", kind).symlink_to(ROOT / ".meltano" / kind)
            variables = (
                *_variables("tap-tallyfy", self._bench.api),
                *_variables(name, {**self._place(name), **settings}),
            )
            command = ["env", *variables, str(MELTANO), "run", "--no-install", "tap-tallyfy", name]
            cost = run(command, self._bench.folder / "said", Path(project))
        self._say(f"meltano run tap-tallyfy {name}", settings, cost)
        self._check(name)

    @staticmethod
    def _defaults(name: str) -> dict[str, Any]:
        loaders = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]["loaders"]
        (found,) = [loader for loader in loaders if loader["name"] == name]
        return {setting["name"]: setting["value"] for setting in found["settings"] if "value" in setting}

    def _place(self, name: str) -> dict[str, Any]:
        if name == "target-duckdb":
            return {"filepath": str(self._bench.folder / "tallyfy.duckdb")}
        server = self._postgres
        place = {"host": server.host, "port": server.port, "user": server.user, "database": server.database}
        return {**place, "password": "none"}

    def _check(self, name: str) -> None:
        """Make sure that all rows are there, and remove them."""
        if name == "target-duckdb":
            file = self._bench.folder / "tallyfy.duckdb"
            python = LOADERS / name / "venv" / "bin" / "python"
            counted = subprocess.run([str(python), "-c", COUNT, str(file)], capture_output=True, text=True, check=True)
            rows = int(counted.stdout)
            file.unlink()
        else:
            rows = self._postgres.query("SELECT count(*) FROM tallyfy.runs")[0][0]
            self._postgres.execute("DROP SCHEMA tallyfy CASCADE")
        if rows != self._runs:
            sys.exit(f"{name} holds {rows:,} rows of {self._runs:,}")

    def _say(self, what: str, settings: Mapping[str, Any], cost: Cost) -> None:
        if cost.code:
            sys.exit(f"{what}: exit code {cost.code}")
        with_ = ", ".join(f"{key}: {json.dumps(value)}" for key, value in settings.items()) or "as in meltano.yml"
        row = f"| {what} | {with_} | {cost.wall:.0f} | {cost.cpu:.0f} | {self._runs / cost.wall:,.0f} |\n"
        sys.stdout.write(row)
        sys.stdout.flush()


def _variables(plugin: str, settings: Mapping[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        text = str(value).lower() if isinstance(value, bool) else value
        yield f"{plugin.replace('-', '_')}_{name}".upper() + f"={text}"


def main() -> None:
    """Write a table of what each step of the pipe costs, alone and together."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipe", description=main.__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="runs in the sandbox (100,000)")
    runs = parser.parse_args().runs
    sys.stdout.write("| | settings | seconds | CPU seconds | rows a second |\n|---|---|---:|---:|---:|\n")
    with sandbox(runs, 0) as bench, serve() as postgres:
        pipe = Pipe(bench, postgres, runs)
        messages = pipe.tap()
        for name, variants in VARIANTS.items():
            pipe.loader(name, {}, messages)
            for settings in variants:
                pipe.meltano(name, settings)


if __name__ == "__main__":
    if not installed():
        sys.exit("PostgreSQL's initdb and postgres were not found: install PostgreSQL.")
    main()
