"""Command line: `python -m benchmarks.default CHECKOUT` measures syncs of all default streams, and writes default.md.

The tap of this checkout takes turns with that of another one, such as `git worktree add ../before COMMIT`.
"""
# ruff: noqa: S603 - all commands are its own

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.measure import run, sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Bench

_HERE: Final = Path(__file__).resolve().parent
#: What the CPU time per record may be, divided by that of the tap before its redesign (51b9dc6).
_TARGET: Final = 1.05


def sync(bench: Bench, checkout: Path) -> tuple[float, int]:
    """Sync once with the tap of a checkout; returns seconds of CPU time, and records."""
    config, output = bench.folder / "config.json", bench.folder / "output"
    config.write_text(json.dumps(bench.api), encoding="utf-8")
    command = ["env", f"PYTHONPATH={checkout}", sys.executable, "-m", "tap_tallyfy", "--config", str(config)]
    cost = run(command, output, bench.folder)
    if cost.code:
        raise SystemExit(output.with_suffix(".log").read_text(encoding="utf-8").splitlines()[-1])
    with output.open("rb") as lines:
        return cost.cpu, sum(line.startswith(b'{"type":"RECORD"') for line in lines)


def measured(checkouts: Sequence[Path], few: int, many: int, rounds: int) -> list[list[float]]:
    """Return microseconds of CPU time per record of each checkout in each round, without start-up."""
    found: list[list[float]] = [[] for _ in checkouts]
    with sandbox(few, 0) as small, sandbox(many, 0) as large:
        for checkout in checkouts:  # not counted: it compiles what is imported
            sync(small, checkout)
        for _ in range(rounds):
            for times, checkout in zip(found, checkouts, strict=True):
                (cpu_few, rows_few), (cpu_many, rows_many) = sync(small, checkout), sync(large, checkout)
                times.append(1e6 * (cpu_many - cpu_few) / (rows_many - rows_few))
                sys.stderr.write(f"{checkout}: {times[-1]:.1f} µs, {rows_many:,} records\n")
    return found


def commit_of(checkout: Path) -> str:
    """The commit of a checkout."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.default", description=main.__doc__)
    parser.add_argument("checkout", type=Path, help="the checkout whose tap is measured beside this one")
    parser.add_argument("--few", type=int, default=200, help="processes of the small account (default: 200)")
    parser.add_argument("--many", type=int, default=2000, help="processes of the large account (default: 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default: 5)")
    given = parser.parse_args()
    checkouts = (_HERE.parent, given.checkout.resolve())
    ours, theirs = measured(checkouts, given.few, given.many, given.rounds)
    ratios = [own / other for own, other in zip(ours, theirs, strict=True)]
    about = (
        f"Written by `python -m benchmarks.default`: {given.rounds} rounds, in which both taps take turns, on an"
        f" account of {given.many:,} processes and all that belongs to them. Start-up is left out, by the difference"
        f" to one of {given.few:,} processes. The sandbox runs on the same machine."
    )
    lines = [
        "# CPU time of a sync of all default streams",
        "",
        about,
        "",
        "| tap | median, µs per record | in each round |",
        "|---|---:|---|",
    ]
    for checkout, times in zip(checkouts, (ours, theirs), strict=True):
        lines.append(f"| {commit_of(checkout)} | {median(times):.1f} | {', '.join(f'{each:.1f}' for each in times)} |")
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    lines += ["", f"The median of the ratios is {median(ratios):.2f} ({spread}); wanted are at most {_TARGET}.", ""]
    (_HERE / "default.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
