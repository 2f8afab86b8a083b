"""Command line: `python -m benchmarks` runs everything and writes results.md and results.svg."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import report
from benchmarks.contenders import BARE_TAP, CONTENDERS, PLAIN, TAP, installed_version
from benchmarks.measure import Reading, run, sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.contenders import Contender
    from benchmarks.measure import Bench, Cost

#: What the API allows a user (vendor docs), in requests a minute; pages of 100 make that 1,000 records a second.
REQUESTS_PER_MINUTE: Final = 600
NETWORK: Final = 0.15
SLOW: Final = 2.0


@dataclass(frozen=True)
class Sizes:
    """How much is run; every number of runs includes the archived ones, which are not read."""

    small: int = 1_000
    large: int = 20_000
    rounds: int = 5
    network: int = 6_000
    network_rounds: int = 3
    sustained: int = 60_000
    slow: int = 12_000
    huge: int = 200_000
    starts: int = 9


QUICK: Final = Sizes(
    large=5_000, rounds=2, network=1_000, network_rounds=1, sustained=2_000, slow=700, huge=20_000, starts=3
)


def main() -> int:
    """Run everything; returns 1 if the tap itself wrote anything but what it should."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller lists and fewer rounds")
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parent, help="folder for the results")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else Sizes()
    results = report.Results(quick=arguments.quick)
    contenders = _ready(results)
    _cpu(results, contenders, sizes)
    _network(results, contenders, sizes)
    _slow(results, sizes)
    _memory(results, sizes)
    _start_up(results, sizes)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "results.md").write_text(report.markdown(results), encoding="utf-8")
    (arguments.output / "results.svg").write_text(report.chart(results), encoding="utf-8")
    _say(f"written: {arguments.output}/results.md and results.svg")
    return int(TAP.name in results.failures)


def _ready(results: report.Results) -> list[Contender]:
    contenders = []
    for contender in CONTENDERS:
        _say(f"{contender.name}: environment")
        if why := contender.install():
            results.failures[contender.name] = why
            continue
        results.versions[contender.name] = (
            f"{contender.package} {installed_version(contender.python, contender.package)}"
        )
        contenders.append(contender)
    return contenders


def _rounds(results: report.Results, scenario: str, bench: Bench, contenders: Sequence[Contender], rounds: int) -> None:
    """Run all contenders in turn, round by round; one that fails is not run again."""
    results.expected[scenario] = bench.expected
    for number in range(rounds):
        for contender in contenders:
            if contender.name in results.failures:
                continue
            settings = {"requests_per_minute": REQUESTS_PER_MINUTE} if scenario == report.NETWORK else {}
            _keep(results, scenario, contender, bench.read(contender, settings), number)


def _keep(results: report.Results, scenario: str, contender: Contender, reading: Reading, number: int = 0) -> None:
    if reading.failure:
        results.failures[contender.name] = reading.failure
    else:
        results.readings.setdefault((scenario, contender.name), []).append(reading)
    _say(
        f"{scenario}, round {number + 1}, {contender.name}: {reading.failure or 'ok'}; {reading.rows:,} rows,"
        f" {reading.cost.wall:.2f} s, CPU {reading.cost.cpu:.2f} s, {reading.cost.peak:.0f} MB,"
        f" {reading.requests} requests"
    )


def _cpu(results: report.Results, contenders: Sequence[Contender], sizes: Sizes) -> None:
    with sandbox(sizes.small, 0) as bench:
        for contender in contenders:  # not counted: it compiles what is imported
            bench.read(contender)
        _rounds(results, report.SMALL, bench, contenders, sizes.rounds)
    with sandbox(sizes.large, 0) as bench:
        _rounds(results, report.LARGE, bench, contenders, sizes.rounds)


def _network(results: report.Results, contenders: Sequence[Contender], sizes: Sizes) -> None:
    with sandbox(sizes.network, NETWORK) as bench:
        _rounds(results, report.NETWORK, bench, contenders, sizes.network_rounds)
        results.expected[report.FULL] = results.expected[report.NOTHING_NEW] = bench.expected
        for contender in (TAP, PLAIN):
            if contender.name in results.failures:
                continue
            full = bench.read(contender)
            _keep(results, report.FULL, contender, full)
            # The second sync is the first that has a bookmark; what it may emit again is its own affair.
            _keep(results, report.NOTHING_NEW, contender, bench.read(contender, state=full.state, complete=False))
    with sandbox(sizes.sustained, NETWORK) as bench:
        results.expected[report.SUSTAINED] = bench.expected
        reading = bench.read(TAP, {"requests_per_minute": REQUESTS_PER_MINUTE})
        _keep(results, report.SUSTAINED, TAP, reading)


def _slow(results: report.Results, sizes: Sizes) -> None:
    with sandbox(sizes.slow, SLOW) as bench:
        for scenario, concurrency in ((report.SLOW, None), (report.SLOW_ALONE, 1)):
            results.expected[scenario] = bench.expected
            settings = {"concurrency": concurrency} if concurrency else {}
            _keep(results, scenario, TAP, bench.read(TAP, settings))


def _memory(results: report.Results, sizes: Sizes) -> None:
    with sandbox(sizes.huge, 0) as bench:
        results.expected[report.HUGE] = bench.expected
        bench.read(TAP)  # not counted, as above: the sandbox makes its pages
        _keep(results, report.HUGE, TAP, bench.read(TAP))


def _start_up(results: report.Results, sizes: Sizes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(sizes.starts):
            for argument in ("--version", "--about"):
                for contender in (TAP, BARE_TAP):
                    cost: Cost = run([*contender.start, argument], Path(folder) / "output", Path(folder))
                    if cost.code:
                        results.failures[f"{contender.name} {argument}"] = f"exit code {cost.code}"
                    else:
                        results.starts.setdefault((contender.name, argument), []).append(cost)
    _say("start-up: done")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
