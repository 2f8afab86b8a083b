"""Command line: `python -m benchmarks.pipe` finds what limits `meltano run` into DuckDB and PostgreSQL."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from benchmarks.contenders import TAP
from benchmarks.measure import run, sandbox
from tests.meltano import MELTANO, PLUGINS, Project, variables
from tests.postgres import installed, serve
from tests.tap import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.measure import Bench, Cost
    from tests.postgres import Postgres

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


@dataclass
class Pipe:
    """A tap and loaders to be measured.

    Attributes:
        bench: The sandbox to read from.
        postgres: The server to load into.
        runs: Rows there should be in the end.
    """

    bench: Bench
    postgres: Postgres
    runs: int
    _numbers: Iterator[int] = field(default_factory=count, init=False)

    def tap(self) -> Path:
        """Measure the tap alone, and return the file with its messages."""
        output = self.bench.folder / "messages"
        command = TAP.command(self.bench.api, self.bench.folder, {}, None)
        self._say("tap-tallyfy alone, into a file", {}, run(command, output, self.bench.folder))
        return output

    def loader(self, name: str, messages: Path) -> None:
        """Measure a loader alone, with the settings of meltano.yml."""
        with self._target(name) as (project, place):
            config = project.folder / "loader.json"
            config.write_text(json.dumps({**_defaults(name), **place}), encoding="utf-8")
            shell = f"{PLUGINS / 'loaders' / name / 'venv/bin' / name} --config {config} < {messages}"
            cost = run(["sh", "-c", shell], self.bench.folder / "said", project.folder)
            self._say(f"{name} alone, from that file", {}, cost)

    def meltano(self, name: str, settings: Mapping[str, Any]) -> None:
        """Measure the whole."""
        with self._target(name) as (project, place):
            given = variables("tap-tallyfy", **self.bench.api) | variables(name, **place, **settings)
            environment = [
                *(f"{variable}={value}" for variable, value in given.items()),
                'TAP_TALLYFY__SELECT=["runs.*"]',
            ]
            command = ["env", *environment, str(MELTANO), "run", "--no-install", "tap-tallyfy", name]
            cost = run(command, self.bench.folder / "said", project.folder)
            self._say(f"meltano run tap-tallyfy {name}", settings, cost)

    @contextmanager
    def _target(self, name: str) -> Iterator[tuple[Project, dict[str, Any]]]:
        """Make a project and an empty place to load into, and see to it that all rows arrive there."""
        with tempfile.TemporaryDirectory(dir=self.bench.folder) as folder:
            project = Project.make(Path(folder))
            if name == "target-duckdb":
                yield project, {"filepath": str(project.database)}
                rows = project.duckdb("SELECT count(*) FROM runs")[0][0]
            else:
                schema = f"measure_{next(self._numbers)}"
                yield project, {**self.postgres.loader_settings, "default_target_schema": schema}
                rows = self.postgres.query(f"SELECT count(*) FROM {schema}.runs")[0][0]  # noqa: S608 - its own name
        if rows != self.runs:
            sys.exit(f"{name} holds {rows:,} rows of {self.runs:,}")

    def _say(self, what: str, settings: Mapping[str, Any], cost: Cost) -> None:
        if cost.code:
            sys.exit(f"{what}: exit code {cost.code}")
        given = ", ".join(f"{key}: {json.dumps(value)}" for key, value in settings.items())
        row = f"| {what} | {given} | {cost.wall:.0f} | {cost.cpu:.0f} | {self.runs / cost.wall:,.0f} |\n"
        sys.stdout.write(row)
        sys.stdout.flush()


def _defaults(name: str) -> dict[str, Any]:
    loaders = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]["loaders"]
    (found,) = [loader for loader in loaders if loader["name"] == name]
    return {setting["name"]: setting["value"] for setting in found["settings"] if "value" in setting}


def main() -> None:
    """Write a table of what each step of the pipe costs, alone and together."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipe", description=main.__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="runs in the sandbox (100,000)")
    runs = parser.parse_args().runs
    sys.stdout.write("| What | Settings | seconds | CPU seconds | rows a second |\n|---|---|---:|---:|---:|\n")
    with sandbox(runs, 0) as bench, serve() as postgres:
        pipe = Pipe(bench, postgres, runs)
        messages = pipe.tap()
        for name, variants in VARIANTS.items():
            pipe.loader(name, messages)
            for settings in variants:
                pipe.meltano(name, settings)


if __name__ == "__main__":
    if not installed():
        sys.exit("PostgreSQL's initdb and postgres were not found: install PostgreSQL.")
    main()
