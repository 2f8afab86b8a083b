"""Turns measurements into a page of tables and a bar chart."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from datetime import datetime, timezone
from statistics import median
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from benchmarks.contenders import BARE_TAP, CONTENDERS, PLAIN, TAP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks.measure import Cost, Reading

SMALL: Final = "no latency, small"
LARGE: Final = "no latency"
NETWORK: Final = "150 ms"
FULL: Final = "full"
NOTHING_NEW: Final = "nothing new"
SUSTAINED: Final = "150 ms, sustained"
SLOW: Final = "2 s"
SLOW_ALONE: Final = "2 s, one at a time"
HUGE: Final = "memory"

#: Records a second that the documented limit of 600 requests a minute allows, with pages of 100.
CEILING: Final = 1000


@dataclass
class Results:
    """All that was measured.

    Attributes:
        quick: Whether the lists were small and the rounds few.
        readings: Runs without a failure, by scenario and contender.
        expected: Records of each scenario's list.
        starts: Start-ups, by contender and argument.
        versions: What each contender is, with its version.
        failures: Why a contender was left out or stopped, by its name.
    """

    quick: bool
    readings: dict[tuple[str, str], list[Reading]] = field(default_factory=dict)
    expected: dict[str, int] = field(default_factory=dict)
    starts: dict[tuple[str, str], list[Cost]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def middle(self, scenario: str, name: str, value: Callable[[Reading], float]) -> float | None:
        """Return the median of a value over the rounds, or None where there were none.

        Args:
            scenario: The scenario.
            name: The contender.
            value: What of a run.
        """
        readings = self.readings.get((scenario, name))
        return median(map(value, readings)) if readings else None

    def cpu(self, name: str, scenario: str = LARGE) -> float | None:
        """Return the CPU time a record costs, start-up included, in microseconds.

        Args:
            name: The contender.
            scenario: The scenario.
        """
        return self.middle(scenario, name, lambda reading: reading.cost.cpu / reading.rows * 1e6)

    def slope(self, name: str) -> float | None:
        """Return the CPU time a further record costs, start-up taken out by two sizes, in microseconds.

        Args:
            name: The contender.
        """
        small = self.middle(SMALL, name, lambda reading: reading.cost.cpu)
        large = self.middle(LARGE, name, lambda reading: reading.cost.cpu)
        if small is None or large is None:
            return None
        return (large - small) / (self.expected[LARGE] - self.expected[SMALL]) * 1e6

    def speed(self, scenario: str, name: str) -> float | None:
        """Return records a second, start-up included.

        Args:
            scenario: The scenario.
            name: The contender.
        """
        return self.middle(scenario, name, lambda reading: reading.rows / reading.cost.wall)


def _number(value: float | None, digits: int = 0, unit: str = "") -> str:
    return "-" if value is None else f"{value:,.{digits}f}{unit}"


def _times(rounds: int) -> str:
    return "1 round" if rounds == 1 else f"{rounds} rounds"


def _ratio(value: float | None, base: float | None) -> str:
    return "-" if value is None or not base else f"{value / base:.2f}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    head = list(head)
    yield f"| {' | '.join(head)} |"
    yield f"|---|{'---:|' * (len(head) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def markdown(results: Results) -> str:
    """Return the page of tables.

    Args:
        results: What was measured.
    """
    return (
        "\n".join((*_introduction(results), *_cpu(results), *_network(results), *_tap(results), *_notes(results)))
        + "\n"
    )


def _introduction(results: Results) -> Iterator[str]:
    yield "# Benchmarks"
    yield ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield (
        f"Made by `python -m benchmarks{' --quick' if results.quick else ''}` on {datetime.now(timezone.utc):%Y-%m-%d},"
        f" with {cores} cores ({platform.machine()}), {platform.system()} and Python {platform.python_version()}."
        " The sandbox answers on the loopback interface, on the same cores. Medians over the rounds; in every round"
        " all contenders take turns."
    )
    yield ""
    if results.quick:
        yield "A quick run: small lists and few rounds, so the numbers are rough."
        yield ""
    yield "![CPU time a record, and records a second](results.svg)"
    yield ""


def _cpu(results: Results) -> Iterator[str]:
    base, base_slope = results.cpu(TAP.name), results.slope(TAP.name)
    rounds = len(results.readings.get((LARGE, TAP.name), ()))
    yield f"## No latency: {results.expected[LARGE]:,} records, {_times(rounds)}"
    yield ""
    yield from _table(
        ("", "CPU µs a record", "to the tap's", "without start-up", "to the tap's", "records/s", "peak MB", "requests"),
        (
            (
                contender.name,
                _number(results.cpu(contender.name), 1),
                _ratio(results.cpu(contender.name), base),
                _number(results.slope(contender.name), 1),
                _ratio(results.slope(contender.name), base_slope),
                _number(results.speed(LARGE, contender.name)),
                _number(results.middle(LARGE, contender.name, lambda reading: reading.cost.peak)),
                _number(results.middle(LARGE, contender.name, lambda reading: reading.requests)),
            )
            for contender in CONTENDERS
        ),
    )
    yield (
        "CPU is user and system time of the whole process. Without start-up: what each record costs beyond the first"
        f" {results.expected[SMALL]:,}."
    )
    yield ""


def _network(results: Results) -> Iterator[str]:
    base = results.speed(NETWORK, TAP.name)
    rounds = len(results.readings.get((NETWORK, TAP.name), ()))
    yield f"## 150 ms an answer: {results.expected[NETWORK]:,} records, {_times(rounds)}"
    yield ""
    yield from _table(
        ("", "records/s", "to the tap's", "seconds", "requests", "refused (429)"),
        (
            (
                contender.name,
                _number(results.speed(NETWORK, contender.name)),
                _ratio(results.speed(NETWORK, contender.name), base),
                _number(results.middle(NETWORK, contender.name, lambda reading: reading.cost.wall), 2),
                _number(results.middle(NETWORK, contender.name, lambda reading: reading.requests)),
                _number(results.middle(NETWORK, contender.name, lambda reading: reading.refused)),
            )
            for contender in CONTENDERS
        ),
    )
    sustained = results.speed(SUSTAINED, TAP.name)
    yield (
        "The tap with `requests_per_minute: 600`, the documented limit, which allows"
        f" {CEILING:,} records a second; the others read page after page, with no limit. The tap is at"
        f" {_number(_share(base), 0, ' %')} of that ceiling here, and at {_number(_share(sustained), 0, ' %')} over"
        f" {results.expected[SUSTAINED]:,} records, start-up included."
    )
    yield ""


def _share(speed: float | None) -> float | None:
    return None if speed is None else speed / CEILING * 100


def _tap(results: Results) -> Iterator[str]:
    yield f"## A second sync with nothing new: {results.expected[NOTHING_NEW]:,} records, 150 ms an answer, once"
    yield ""
    yield from _table(
        ("", "sync", "requests", "seconds", "rows"),
        (
            (
                contender.name,
                scenario,
                _number(results.middle(scenario, contender.name, lambda reading: reading.requests)),
                _number(results.middle(scenario, contender.name, lambda reading: reading.cost.wall), 2),
                _number(results.middle(scenario, contender.name, lambda reading: reading.rows)),
            )
            for contender in (TAP, PLAIN)
            for scenario in (FULL, NOTHING_NEW)
        ),
    )
    side_by_side, alone = results.speed(SLOW, TAP.name), results.speed(SLOW_ALONE, TAP.name)
    yield f"## 2 s an answer: {results.expected[SLOW]:,} records, once"
    yield ""
    yield from _table(
        ("tap-tallyfy", "records/s", "ratio", "requests"),
        (
            (
                label,
                _number(results.speed(scenario, TAP.name)),
                _ratio(results.speed(scenario, TAP.name), alone),
                requests,
            )
            for label, scenario in (("default concurrency", SLOW), ("`concurrency: 1`", SLOW_ALONE))
            for requests in (_number(results.middle(scenario, TAP.name, lambda reading: reading.requests)),)
        ),
    )
    yield f"Side by side the tap is {_ratio(side_by_side, alone)} times as fast."
    yield ""
    few, many = (results.middle(scenario, TAP.name, lambda reading: reading.cost.peak) for scenario in (SMALL, HUGE))
    yield "## Memory"
    yield ""
    more = None if few is None or many is None else many - few
    yield (
        f"Peak of the tap: {_number(few, 1)} MB for {results.expected[SMALL]:,} records, {_number(many, 1)} MB for"
        f" {results.expected[HUGE]:,}: {_number(more, 1)} MB more (MB of 1,000,000 bytes)."
    )
    yield ""
    yield "## Start-up"
    yield ""
    yield from _table(
        ("", "seconds", "CPU seconds", "seconds, to the bare tap's"), (_start(results, argument) for argument in ABOUT)
    )


ABOUT: Final = ("--version", "--about")


def _start(results: Results, argument: str) -> tuple[str, ...]:
    tap, bare = (results.starts.get((contender.name, argument), []) for contender in (TAP, BARE_TAP))
    if not tap or not bare:
        return (f"`tap-tallyfy {argument}`", "-", "-", "-")
    wall, cpu = median(cost.wall for cost in tap), median(cost.cpu for cost in tap)
    return (
        f"`tap-tallyfy {argument}`",
        f"{wall:.2f}",
        f"{cpu:.2f}",
        _ratio(wall, median(cost.wall for cost in bare)),
    )


def _notes(results: Results) -> Iterator[str]:
    yield "## What is compared"
    yield ""
    yield (
        "- Pages of 100, the default list: the peers know no other, so the tap is set to `runs.archived: exclude`. All"
        " other settings are the defaults. Output goes to a file; every row is read back, and a contender that does not"
        " write each record once is left out."
    )
    yield (
        "- The tap's few more requests: it reads the front of the list again to be sure that nothing moved, and asks"
        " once for the opposite order to be sure that the API sorts at all."
    )
    yield (
        "- Plain singer-sdk tap: `benchmarks/peers/plain_sdk.py`, as one writes it from the documentation, with all"
        " defaults. singer-sdk makes a `StreamSchema` anew from the OpenAPI document for every record; the line below"
        " it is the same tap with the schema made once."
    )
    yield "- Bare singer-sdk tap, for the start-up only: a tap of one stream of one column."
    yield "- Vendor's client: its `get_organization_runs`, page by page; the models are written as JSON."
    yield "- dlt: the `rest_api` resource is iterated and written as JSON lines, without its normalising and loading."
    yield "- Airbyte: a manifest with `DefaultPaginator` and `PageIncrement`, run by the CDK's own entry point."
    yield ""
    yield f"Versions: {'; '.join(f'{name}: {version}' for name, version in results.versions.items())}."
    yield ""
    for name, why in results.failures.items():
        yield f"- **{name}** is left out: {why}"


# The chart

_WIDTH: Final = 760
_LABELS: Final = 190
_BAR: Final = 20
_STEP: Final = 28
_COLOUR, _OTHERS = "#2f6fde", "#9aa5b1"


def chart(results: Results) -> str:
    """Return the bar chart as SVG.

    Args:
        results: What was measured.
    """
    names = [contender.name for contender in CONTENDERS if contender.name in results.versions]
    panels = (
        ("CPU µs a record, no latency (shorter is better)", {name: results.cpu(name) for name in names}),
        (
            "Records a second at 150 ms an answer (longer is better)",
            {name: results.speed(NETWORK, name) for name in names},
        ),
    )
    parts: list[str] = []
    top = 16
    for title, values in panels:
        top += 14
        parts.append(f'<text class="title" x="12" y="{top}">{escape(title)}</text>')
        top += 12
        longest = max((value for value in values.values() if value), default=1.0)
        for name, value in values.items():
            parts += _bar(name, value, longest, top)
            top += _STEP
        top += 18
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img"'
        ' font-family="system-ui, sans-serif" font-size="13">\n'
        "<style>text{fill:#24292f}.title{font-weight:600}"
        "@media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>\n"
        f"<title>{escape(' / '.join(title for title, _ in panels))}</title>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _bar(name: str, value: float | None, longest: float, top: int) -> Iterator[str]:
    middle = top + _BAR // 2 + 5
    yield f'<text x="{_LABELS - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>'
    length = (value or 0.0) / longest * (_WIDTH - _LABELS - 80)
    colour = _COLOUR if name == TAP.name else _OTHERS
    yield f'<rect x="{_LABELS}" y="{top}" width="{length:.1f}" height="{_BAR}" rx="2" fill="{colour}"/>'
    text = "left out" if value is None else f"{value:,.0f}"
    yield f'<text x="{_LABELS + length + 6:.1f}" y="{middle}">{text}</text>'
