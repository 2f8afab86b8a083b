"""What a sync says while it goes on; `python -m tests.test_progress` renews the recording in docs/."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from sandbox import Fault, Sandbox
from tests.lists import STREAMS
from tests.tap import ROOT, TAP, environment, run_tap, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sandbox.wire import Request

RECORDING = ROOT / "docs" / "progress.txt"
# The tap itself, but for the seconds that pass before it says a word.
TALKATIVE = (
    sys.executable,
    "-c",
    """
from tap_tallyfy.singer import progress
from tap_tallyfy import streams, tap
progress._SECONDS_BETWEEN_LINES = 0
tap.TapTallyfy.stream_types = (streams.RunsStream,)
tap.TapTallyfy.cli()
""",
)
LINE = re.compile(r"runs: ([\d,]+) of ([\d,]+) runs, .*?(\d+) requests?\b")
SUMMARY = re.compile(
    r"(\w+): (\d+) rows written; (\d+) requests, (\d+) refused for the rate limit,"
    r" ([\d.]+) s waited, ([\d.]+) s in all\."
)
COLUMNS = 100


def number(text: str) -> int:
    return int(text.replace(",", ""))


# In a log


def test_progress_never_passes_its_goal() -> None:
    """Pages overlap, records change and vanish while they are read, and archived ones are a list of their own."""
    with Sandbox(runs=800, seed=4) as sandbox:
        everything = len(sandbox.runs)
        archived = sum(bool(run["archived_at"]) for run in sandbox.runs.values())
        oldest = iter(sorted(sandbox.runs, key=lambda identity: str(sandbox.runs[identity]["created_at"])))

        def live(_: Request) -> None:
            sandbox.touch(next(oldest))
            sandbox.delete(next(oldest))

        sandbox.after_list = live
        result = run_tap(sandbox, command=TALKATIVE)
    assert result.code == 0, result.stderr
    told = [tuple(map(number, match)) for match in LINE.findall(result.stderr)]
    assert len(told) == len(result.lists) + 1
    assert all(before[0] <= after[0] and before[2] <= after[2] for before, after in pairwise(told))
    assert all(done <= total for done, total, _ in told)
    assert told[0][1] == everything - archived
    # A page is counted as read once its records are.
    assert everything - archived - 2 * len(told) <= told[-2][0] <= told[-2][1] <= everything
    assert told[-1][0] == len(result.ids)
    ((_, written, requests, *_),) = SUMMARY.findall(result.stderr)
    assert int(written) == len(result.records)
    assert int(requests) == len(result.lists)


def test_a_log_has_one_line_for_each_stream_in_the_end(account: Sandbox) -> None:
    result = run_tap(account, command=TAP)
    assert result.code == 0, result.stderr
    told = {name: (int(written), int(requests)) for name, written, requests, *_ in SUMMARY.findall(result.stderr)}
    assert told.keys() == {message["stream"] for message in result.messages if message["type"] == "SCHEMA"}
    for name, (written, _) in told.items():
        assert written == sum(message["type"] == "RECORD" and message["stream"] == name for message in result.messages)
    assert sum(requests for _, requests in told.values()) == len(result.lists)
    assert "\r" not in result.stderr


# On a terminal


class Screen(NamedTuple):
    """What a terminal was sent."""

    code: int
    sent: str
    messages: str

    @property
    def drawn(self) -> list[str]:
        """Every text that was to be seen in one line of the terminal, one after the other."""
        return [shown for each in re.split(r"[\r\n]+", self.sent) if (shown := each.rstrip())]

    @property
    def kept(self) -> list[str]:
        """The lines that are to be seen in the end."""
        rows = [""]
        for line, ends in re.findall(r"([^\r\n]*)([\r\n]|\Z)", self.sent):
            rows[-1] = line + rows[-1][len(line) :]
            if ends == "\n":
                rows.append("")
        return [row.rstrip() for row in rows if row.strip()]


def on_a_terminal(
    sandbox: Sandbox, *args: str, command: Sequence[str] = TAP, messages_too: bool = False, **variables: str
) -> Screen:
    """Run the tap with its standard error, or both of its outputs, on a terminal of its own."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.json")
        config.write_text(json.dumps(settings_for(sandbox)), encoding="utf-8")
        with Path(folder, "out").open("w+", encoding="utf-8") as out:
            process = subprocess.Popen(
                [*command, "--config", str(config), *args],
                env=environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=theirs if messages_too else out,
                stderr=theirs,
            )
            os.close(theirs)
            sent = b"".join(received(ours))
            os.close(ours)
            code = process.wait(60)
            out.seek(0)
            return Screen(code, sent.decode().replace("\r\n", "\n"), out.read())


def test_a_terminal_that_goes_away_ends_no_sync(account: Sandbox, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    config, out = tmp_path / "config.json", tmp_path / "out"
    config.write_text(json.dumps(settings_for(account)), encoding="utf-8")
    account.before_list = lambda _: os.close(ours) if len(account.requests) == 3 else None
    command = [*TAP, "--config", str(config)]
    with out.open("wb") as messages:
        subprocess.run(command, env=environment(), stdout=messages, stderr=theirs, check=False, timeout=60)
    os.close(theirs)
    *_, last = out.read_text(encoding="utf-8").splitlines()
    assert json.loads(last)["value"]["bookmarks"].keys() >= {"runs", "tasks", "users"}
    assert json.loads(last)["value"]["bookmarks"]["tasks"]["replication_key_value"]


def received(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # so Linux says that nobody has the other end any more
            return
        if not part:
            return
        yield part


LOGGED = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ +\| [A-Z]+ +\| [\w.-]+ +\| .+")
LIVE = re.compile(
    r"(?P<stream>\w+): [\d,]+( of [\d,]+)? \w+(, [\d,]+/s)?(, [\d,]+ (s|min) left)?,"
    r" [\d,]+ requests?(, [\d,]+ s waited)?"
)
ROW = re.compile(r"(?P<stream>\w+) +(?P<rows>[\d,]+) +(?P<requests>[\d,]+) +[\d,.]+ +[\d,.]+")
HEAD = "stream                  rows  requests  s waited  s in all"


@pytest.fixture(scope="module")
def screen() -> Screen:
    """A sync that is refused for the rate limit, so that several threads log while the line is drawn."""
    with Sandbox(runs=600, seed=3, latency=0.02) as sandbox:
        sandbox.behaviour.rate_limit = (20, 2)
        return on_a_terminal(sandbox)


def test_the_line_and_the_log_do_not_tear_each_other_apart(screen: Screen) -> None:
    assert screen.code == 0, screen.sent
    assert [
        text for text in screen.drawn if not any(kind.fullmatch(text) for kind in (LOGGED, LIVE, ROW)) and text != HEAD
    ] == []
    assert max(map(len, filter(LIVE.fullmatch, screen.drawn))) < COLUMNS


def test_every_stream_has_its_line(screen: Screen) -> None:
    streams = [match["stream"] for text in screen.drawn if (match := LIVE.fullmatch(text))]
    assert list(dict.fromkeys(streams)) == [
        name for name in sorted(STREAMS) if name not in {"comments", "activity_feed"}
    ]
    assert any("tasks, " in text and " left, " in text and " s waited" in text for text in screen.drawn)


def test_no_line_stays_and_a_table_closes_it(screen: Screen) -> None:
    assert [row for row in screen.kept if LIVE.fullmatch(row)] == []
    at = screen.kept.index(HEAD)
    assert all(LOGGED.fullmatch(row) for row in screen.kept[:at])
    table = {match["stream"]: match for row in screen.kept[at + 1 :] if (match := ROW.fullmatch(row))}
    assert len(table) == len(screen.kept[at + 1 :])
    types = [json.loads(line) for line in screen.messages.splitlines()]
    written = [message["stream"] for message in types if message["type"] == "RECORD"]
    assert list(table) == [*sorted(set(written)), "all"]
    assert {name: number(row["rows"]) for name, row in table.items()} == {
        **{name: written.count(name) for name in set(written)},
        "all": len(written),
    }
    assert SUMMARY.search(screen.sent) is None


@pytest.mark.parametrize("messages_too", [False, True], ids=["quiet", "messages on the same terminal"])
def test_no_line_is_drawn_where_it_would_be_in_the_way(account: Sandbox, *, messages_too: bool) -> None:
    shown = on_a_terminal(account, messages_too=messages_too, **({} if messages_too else {"LOGLEVEL": "WARNING"}))
    assert shown.code == 0
    assert "\r" not in shown.sent
    assert HEAD not in shown.sent
    assert (SUMMARY.search(shown.sent) is not None) is messages_too


def test_an_error_stands_alone_in_the_end(account: Sandbox) -> None:
    account.faults = [*[None] * 5, Fault("status", 401)]
    shown = on_a_terminal(account)
    assert shown.code == 1
    assert any(LIVE.fullmatch(text) for text in shown.drawn)
    assert all(LOGGED.fullmatch(row) for row in shown.kept)
    assert "| ERROR" in shown.kept[-1]
    assert [row for row in shown.kept if "| ERROR" in row] == shown.kept[-1:]


# The recording

EXPLAINED = """\
A sync of the sandbox on a terminal, with an API that allows 60 requests in 6 seconds. `python -m tests.test_progress`
made this recording. The tap redraws the last line of the terminal in place; here each drawing has a line of its own.
The lines of the log scroll by above it and are left out. The table stays.

$ tap-tallyfy --config config.json > messages.jsonl
"""


def recording() -> str:
    with Sandbox(runs=1000, seed=3, latency=0.1) as sandbox:
        sandbox.behaviour.rate_limit = (60, 6)
        drawn = [text for text in on_a_terminal(sandbox).drawn if not LOGGED.fullmatch(text)]
    changed = [text for before, text in pairwise(["", *drawn]) if text != before]
    return "\n".join((EXPLAINED.rstrip(), *changed, ""))


def test_the_recording_shows_what_a_terminal_shows(screen: Screen) -> None:
    head, _, shown = RECORDING.read_text(encoding="utf-8").partition("\n$ ")
    assert head + "\n" == EXPLAINED.partition("$ ")[0]
    _, *lines = shown.splitlines()
    at = lines.index(HEAD)
    assert all(LIVE.fullmatch(line) for line in lines[:at])
    assert all(ROW.fullmatch(line) for line in lines[at + 1 :])
    ends = [line.split()[0] for line in lines[at:]]
    assert ends == [row.split()[0] for row in screen.kept[screen.kept.index(HEAD) :]]


if __name__ == "__main__":
    RECORDING.write_text(recording(), encoding="utf-8")
