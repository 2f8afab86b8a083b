"""Command line: `python -m benchmarks` runs everything and writes results.md and results.svg."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import report
from benchmarks.contenders import BARE_TAP, CONTENDERS, PLAIN, TAP, installed_version
from benchmarks.measure import DOCUMENTED, SANDBOX, UNKNOWN, run, sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.contenders import Contender
    from benchmarks.measure import Bench, Reading

NETWORK: Final = 0.15
SLOW: Final = 2.0

#: The list that the peers read.
_DEFAULT_LIST: Final = {"archived": "exclude"}
_SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {TAP.name: {"runs": _DEFAULT_LIST}}
_RELATED: Final[Mapping[str, Mapping[str, Any]]] = {
    TAP.name: {"runs": {**_DEFAULT_LIST, "with": ["tasks", "tags"]}},
    PLAIN.name: {"parameters": {"with": "tasks,tags"}},
}


@dataclass(frozen=True)
class Sizes:
    """How much is run; every number of runs includes the archived ones."""

    few: int = 1_000
    many: int = 20_000
    rounds: int = 5
    network: int = 6_000
    network_rounds: int = 3
    paced: int = 50_000
    slow: int = 4_000
    huge: int = 200_000
    memory_rounds: int = 3
    starts: int = 9


#: Shorter, but not where a shorter list would change the result.
QUICK: Final = Sizes(rounds=1, network=1_000, network_rounds=1, paced=10_000, memory_rounds=1, starts=3)


def main() -> int:
    """Run everything; returns 1 if a target is missed, or if the tap wrote anything but what it should."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter lists and fewer rounds")
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parent, help="folder for the results")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else Sizes()
    results = report.Results(quick=arguments.quick)
    contenders = _ready(results)
    _cpu(results, contenders, sizes)
    _network(results, contenders, sizes)
    _paced(results, sizes)
    _slow(results, sizes)
    _memory(results, sizes)
    _start_up(results, sizes)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "results.md").write_text(report.markdown(results), encoding="utf-8")
    (arguments.output / "results.svg").write_text(report.chart(results), encoding="utf-8")
    _say(f"written: {arguments.output}/results.md and results.svg")
    missed = [target for target in results.targets if not target.met]
    for target in missed:
        _say(f"missed: {target.what}: {target.measured} (target: {target.wanted})")
    return int(bool(missed) or TAP.name in results.failures)


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


def _read(
    results: report.Results,
    scenario: str,
    bench: Bench,
    contender: Contender,
    expected: int | None,
    settings: Mapping[str, Any],
    state: object = None,
) -> Reading | None:
    """Run a contender once and keep what was measured; one that has failed is not run again."""
    if contender.name in results.failures:
        return None
    reading = bench.read(contender, expected, settings, state)
    _say(
        f"{scenario}, {contender.name}: {reading.failure or 'ok'}; {reading.rows:,} rows, {reading.cost.wall:.2f} s,"
        f" CPU {reading.cost.cpu:.2f} s, {reading.cost.peak:.0f} MiB, {reading.requests} requests"
    )
    if reading.failure:
        results.failures[contender.name] = reading.failure
    else:
        results.readings.setdefault((scenario, contender.name), []).append(reading)
    return reading


def _cpu(results: report.Results, contenders: Sequence[Contender], sizes: Sizes) -> None:
    pair = [contender for contender in contenders if contender in {TAP, PLAIN}]
    for kind, served, taking_part, settings in (
        (DOCUMENTED, DOCUMENTED, pair, _SETTINGS),
        (SANDBOX, SANDBOX, contenders, _SETTINGS),
        (UNKNOWN, UNKNOWN, pair, _SETTINGS),
        (report.RELATED, SANDBOX, pair, _RELATED),
    ):
        with sandbox(sizes.few, 0, served) as few, sandbox(sizes.many, 0, served) as many:
            for contender in taking_part:  # not counted: it compiles what is imported
                few.read(contender, None, settings.get(contender.name))
            for _ in range(sizes.rounds):
                for contender in taking_part:
                    own = settings.get(contender.name, {})
                    _read(results, report.few(kind), few, contender, few.live, own)
                    _read(results, report.many(kind), many, contender, many.live, own)


def _network(results: report.Results, contenders: Sequence[Contender], sizes: Sizes) -> None:
    with sandbox(sizes.network, NETWORK) as bench:
        for _ in range(sizes.network_rounds):
            for contender in contenders:
                own = _SETTINGS.get(contender.name, {})
                _read(results, report.NETWORK, bench, contender, bench.live, own)
        for contender in (TAP, PLAIN):
            own = _SETTINGS.get(contender.name, {})
            full = _read(results, report.FULL, bench, contender, bench.live, own)
            # What a sync with a bookmark emits again is its own affair.
            _read(results, report.NOTHING_NEW, bench, contender, None, own, full and full.state)


def _paced(results: report.Results, sizes: Sizes) -> None:
    with sandbox(sizes.paced, NETWORK) as bench:
        settings = {"requests_per_minute": report.REQUESTS_PER_MINUTE}
        _read(results, report.PACED, bench, TAP, bench.all, settings)


def _slow(results: report.Results, sizes: Sizes) -> None:
    with sandbox(sizes.slow, SLOW) as bench:
        _read(results, report.SLOW, bench, TAP, bench.all, {})
        _read(results, report.SLOW_ALONE, bench, TAP, bench.all, {"concurrency": 1})


def _memory(results: report.Results, sizes: Sizes) -> None:
    with sandbox(sizes.few, 0) as few, sandbox(sizes.huge, 0) as huge:
        for _ in range(sizes.memory_rounds):
            _read(results, report.LITTLE, few, TAP, few.all, {})
            _read(results, report.MUCH, huge, TAP, huge.all, {})


def _start_up(results: report.Results, sizes: Sizes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(sizes.starts):
            for argument in report.ABOUT:
                for contender in (TAP, BARE_TAP):
                    cost = run([*contender.start, argument], Path(folder) / "output", Path(folder))
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
