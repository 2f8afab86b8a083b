"""Turns measurements into a page of tables and a bar chart."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from datetime import datetime, timezone
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple
from xml.sax.saxutils import escape

from benchmarks.contenders import BARE_TAP, CONTENDERS, PLAIN, TAP
from benchmarks.measure import DOCUMENTED, SANDBOX, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from benchmarks.measure import Cost, Reading

RELATED: Final = "related"
#: The kinds of records whose CPU time is compared.
KINDS: Final[Mapping[str, str]] = {
    DOCUMENTED: "records as in the vendor's documentation",
    SANDBOX: "the sandbox's records",
    UNKNOWN: "the sandbox's records with an unknown field",
    RELATED: "the sandbox's records with `with=tasks,tags`",
}

NETWORK: Final = "150 ms"
FULL: Final = "full"
NOTHING_NEW: Final = "nothing new"
PACED: Final = "paced"
SLOW: Final = "2 s"
SLOW_ALONE: Final = "2 s, one at a time"
LITTLE: Final = "memory, few records"
MUCH: Final = "memory, many records"

#: The cap in the paced scenario.
REQUESTS_PER_MINUTE: Final = 600


def few(kind: str) -> str:
    """Return the name of the scenario with few records of a kind."""
    return f"{kind}, few"


def many(kind: str) -> str:
    """Return the name of the scenario with many records of a kind."""
    return f"{kind}, many"


class Target(NamedTuple):
    """What the tap has to reach.

    Attributes:
        what: What is measured.
        wanted: The target.
        measured: What was measured.
        met: Whether that is good enough.
    """

    what: str
    wanted: str
    measured: str
    met: bool


@dataclass
class Results:
    """All that was measured.

    Attributes:
        quick: Whether the lists were small and the rounds few.
        readings: Runs that went well, by scenario and contender.
        starts: Start-ups, by contender and argument.
        versions: What each contender is, with its version.
        failures: Why a contender was left out or stopped, by its name.
    """

    quick: bool
    readings: dict[tuple[str, str], list[Reading]] = field(default_factory=dict)
    starts: dict[tuple[str, str], list[Cost]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def middle(self, scenario: str, name: str, value: Callable[[Reading], float]) -> float | None:
        """Return the median of a value over the rounds, or None if there were none.

        Args:
            scenario: The scenario.
            name: The contender.
            value: What to take from a run.
        """
        readings = self.readings.get((scenario, name))
        return median(map(value, readings)) if readings else None

    def slope(self, kind: str, name: str) -> float | None:
        """Return the CPU time each further record costs, in microseconds.

        Args:
            kind: The kind of records.
            name: The contender.
        """
        pairs = zip(self.readings.get((few(kind), name), ()), self.readings.get((many(kind), name), ()), strict=False)
        slopes = [(much.cost.cpu - little.cost.cpu) / (much.rows - little.rows) * 1e6 for little, much in pairs]
        return median(slopes) if slopes else None

    def speed(self, scenario: str, name: str) -> float | None:
        """Return records per second, start-up included.

        Args:
            scenario: The scenario.
            name: The contender.
        """
        return self.middle(scenario, name, lambda reading: reading.rows / reading.cost.wall)

    def seconds(self, scenario: str) -> float | None:
        """Return how long the tap took, start-up included.

        Args:
            scenario: The scenario.
        """
        return self.middle(scenario, TAP.name, lambda reading: reading.cost.wall)

    def records(self, scenario: str) -> str:
        """Return how many records the tap wrote, as text.

        Args:
            scenario: The scenario.
        """
        return _number(self.middle(scenario, TAP.name, lambda reading: reading.rows))

    @property
    def targets(self) -> list[Target]:
        """What the tap has to reach, and what was measured."""
        targets = []
        for kind in (DOCUMENTED, SANDBOX, UNKNOWN):
            ratio = _ratio(self.slope(kind, TAP.name), self.slope(kind, PLAIN.name))
            what = f"CPU time per record divided by the plain singer-sdk tap's, {KINDS[kind]}"
            targets.append(Target(what, "≤ 1", _number(ratio, 3), ratio is not None and ratio <= 1))
        share = self.middle(PACED, TAP.name, _share)
        what = f"Share of the requests allowed by `requests_per_minute: {REQUESTS_PER_MINUTE}` that are sent"
        targets.append(Target(what, "≥ 95 %", _number(share, 1, " %"), share is not None and share >= 95))  # noqa: PLR2004
        ratio = _ratio(self.seconds(SLOW_ALONE), self.seconds(SLOW))
        what = "Times as fast as with `concurrency: 1`, at 2 s per answer"
        targets.append(Target(what, "≥ 4.5", _number(ratio, 2), ratio is not None and ratio >= 4.5))  # noqa: PLR2004
        more = self.memory
        what = f"Extra peak memory for {self.records(MUCH)} records over {self.records(LITTLE)}"
        targets.append(Target(what, "≤ 25 MiB", _number(more, 1, " MiB"), more is not None and more <= 25))  # noqa: PLR2004
        return targets

    @property
    def memory(self) -> float | None:
        """How much higher the tap's peak is with many records than with few, in MiB."""
        low, high = (self.middle(scenario, TAP.name, lambda reading: reading.cost.peak) for scenario in (LITTLE, MUCH))
        return None if low is None or high is None else high - low


def _share(reading: Reading) -> float:
    """Return the share of the allowed requests that a run sent after its first one, in per cent."""
    return (reading.requests - 1) / (REQUESTS_PER_MINUTE / 60 * reading.span) * 100


def _number(value: float | None, digits: int = 0, unit: str = "") -> str:
    return "-" if value is None else f"{value:,.{digits}f}{unit}"


def _times(rounds: int) -> str:
    return "1 round" if rounds == 1 else f"{rounds} rounds"


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or not base else value / base


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
    parts = (_introduction, _cpu, _network, _paced, _slow, _memory, _start_up, _notes)
    return "\n".join(line for part in parts for line in part(results)) + "\n"


def _introduction(results: Results) -> Iterator[str]:
    yield "# Benchmarks"
    yield ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield (
        f"Written by `python -m benchmarks{' --quick' if results.quick else ''}` on"
        f" {datetime.now(timezone.utc):%Y-%m-%d}, with {cores} cores ({platform.machine()}), {platform.system()} and"
        f" Python {platform.python_version()}. The sandbox runs on the same machine and answers over the loopback"
        " interface. Numbers are medians over the rounds; contenders take turns within each round."
    )
    yield ""
    if results.quick:
        yield "This was a quick run: lists are short and rounds few, so the numbers are rough."
        yield ""
    yield "## Targets"
    yield ""
    yield from _table(
        ("", "target", "measured", "met"),
        ((what, wanted, measured, "yes" if met else "**no**") for what, wanted, measured, met in results.targets),
    )
    yield "![CPU time per record, and records per second](results.svg)"
    yield ""


def _cpu(results: Results) -> Iterator[str]:
    rounds = len(results.readings.get((many(SANDBOX), TAP.name), ()))
    yield f"## CPU time per record ({_times(rounds)})"
    yield ""
    yield from _table(
        ("", "tap-tallyfy, µs", "plain singer-sdk tap, µs", "ratio"),
        (
            (text, _number(tap, 1), _number(plain, 1), _number(_ratio(tap, plain), 3))
            for kind, text in KINDS.items()
            for tap, plain in ((results.slope(kind, TAP.name), results.slope(kind, PLAIN.name)),)
        ),
    )
    yield (
        "User and system time of the whole process, without start-up: the difference between a sync of"
        f" {results.records(many(DOCUMENTED))} records and one of {results.records(few(DOCUMENTED))}, divided by the"
        f" difference in records. The sandbox's lists have {results.records(many(SANDBOX))} and"
        f" {results.records(few(SANDBOX))}, as archived records are left out."
    )
    yield ""
    yield f"All contenders on the sandbox's records, {results.records(many(SANDBOX))} of them, with no latency:"
    yield ""
    base = results.slope(SANDBOX, TAP.name)
    yield from _table(
        ("", "CPU µs per record", "relative to the tap", "records/s", "peak MiB", "requests"),
        (
            (
                contender.name,
                _number(results.slope(SANDBOX, contender.name), 1),
                _number(_ratio(results.slope(SANDBOX, contender.name), base), 2),
                _number(results.speed(many(SANDBOX), contender.name)),
                _number(results.middle(many(SANDBOX), contender.name, lambda reading: reading.cost.peak)),
                _number(results.middle(many(SANDBOX), contender.name, lambda reading: reading.requests)),
            )
            for contender in CONTENDERS
        ),
    )


def _network(results: Results) -> Iterator[str]:
    rounds = len(results.readings.get((NETWORK, TAP.name), ()))
    yield f"## 150 ms per answer: {results.records(NETWORK)} records ({_times(rounds)})"
    yield ""
    base = results.speed(NETWORK, TAP.name)
    yield from _table(
        ("", "records/s", "relative to the tap", "seconds", "requests"),
        (
            (
                contender.name,
                _number(results.speed(NETWORK, contender.name)),
                _number(_ratio(results.speed(NETWORK, contender.name), base), 2),
                _number(results.middle(NETWORK, contender.name, lambda reading: reading.cost.wall), 2),
                _number(results.middle(NETWORK, contender.name, lambda reading: reading.requests)),
            )
            for contender in CONTENDERS
        ),
    )
    yield "A full sync, then a second one with nothing new (once):"
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


def _paced(results: Results) -> Iterator[str]:
    yield f"## `requests_per_minute: {REQUESTS_PER_MINUTE}`, 150 ms per answer: {results.records(PACED)} records (once)"
    yield ""
    sent = results.middle(PACED, TAP.name, lambda reading: reading.requests)
    span = results.middle(PACED, TAP.name, lambda reading: reading.span)
    yield (
        f"The tap sent {_number(sent)} requests, the last one {_number(span, 1)} s after the first. That is"
        f" {_number(results.middle(PACED, TAP.name, _share), 1, ' %')} of what the setting allows in that time."
    )
    yield ""


def _slow(results: Results) -> Iterator[str]:
    yield f"## 2 s per answer: {results.records(SLOW)} records (once)"
    yield ""
    yield from _table(
        ("tap-tallyfy", "seconds", "requests", "times as fast"),
        (
            (
                label,
                _number(results.seconds(scenario), 1),
                _number(results.middle(scenario, TAP.name, lambda reading: reading.requests)),
                _number(_ratio(results.seconds(SLOW_ALONE), results.seconds(scenario)), 2),
            )
            for label, scenario in (("default concurrency", SLOW), ("`concurrency: 1`", SLOW_ALONE))
        ),
    )


def _memory(results: Results) -> Iterator[str]:
    rounds = len(results.readings.get((MUCH, TAP.name), ()))
    yield f"## Memory ({_times(rounds)})"
    yield ""
    yield from _table(
        ("tap-tallyfy", "peak MiB"),
        (
            (
                f"{results.records(scenario)} records",
                _number(results.middle(scenario, TAP.name, lambda reading: reading.cost.peak), 1),
            )
            for scenario in (LITTLE, MUCH)
        ),
    )


ABOUT: Final = ("--version", "--about")


def _start_up(results: Results) -> Iterator[str]:
    yield "## Start-up"
    yield ""
    yield from _table(
        ("", "seconds", "CPU seconds", "relative to a bare singer-sdk tap"),
        (_start(results, argument) for argument in ABOUT),
    )


def _start(results: Results, argument: str) -> tuple[str, ...]:
    tap, bare = (results.starts.get((contender.name, argument), []) for contender in (TAP, BARE_TAP))
    if not tap or not bare:
        return (f"`tap-tallyfy {argument}`", "-", "-", "-")
    wall, cpu = median(cost.wall for cost in tap), median(cost.cpu for cost in tap)
    ratio = wall / median(cost.wall for cost in bare)
    return (f"`tap-tallyfy {argument}`", f"{wall:.2f}", f"{cpu:.2f}", f"{ratio:.2f}")


def _notes(results: Results) -> Iterator[str]:
    yield "## What is compared"
    yield ""
    yield (
        "- Pages of 100. Where there are peers, only the default list is read, as they know no other: the tap is set to"
        " `runs.archived: exclude`. On its own the tap reads archived records as well. Other settings are the defaults."
    )
    yield (
        "- Output goes to a file. All rows are read back, and a contender that does not write each record exactly once"
        " is left out."
    )
    yield (
        "- The tap sends more requests than its peers, because its pages overlap so that nothing is missed where they"
        " meet."
    )
    yield (
        "- Plain singer-sdk tap: `benchmarks/peers/plain_sdk.py`, as one writes it from the documentation, with the"
        " SDK's defaults and its schema made once. With `with=tasks,tags` it passes related data on as it comes, still"
        ' wrapped in `{"data": ...}`; the tap unwraps it.'
    )
    yield "- Bare singer-sdk tap, for the start-up only: a tap with one stream of one column."
    yield "- Vendor's client: its `get_organization_runs`, page by page; the models are written as JSON."
    yield "- dlt: the `rest_api` resource is iterated and written as JSON lines, without normalising or loading."
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
        (
            "CPU time per record in µs, start-up excluded (shorter is better)",
            {name: results.slope(SANDBOX, name) for name in names},
        ),
        (
            "Records per second when every answer takes 150 ms (longer is better)",
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
