"""What is left behind when the process is stopped or can write no more: whole lines, a state that holds, a word why."""

from __future__ import annotations

import array
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from random import Random
from textwrap import dedent
from typing import IO, TYPE_CHECKING, Any

import pytest

from sandbox import Fault, Sandbox
from tests.in_process import work_for_days
from tests.lists import catalog, expected_tasks, written
from tests.tap import ROOT, Result, environment, run_tap, settings_for
from tests.tap import TAP as EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sandbox.wire import Request

TAP = (sys.executable, "-m", "tests.runs")
#: The tap with a STATE after every few records, which the SDK otherwise writes after every 10,000.
STATES_OFTEN = (
    sys.executable,
    "-c",
    """
from tests.runs import RunsStream, TapTallyfy
RunsStream.STATE_MSG_FREQUENCY = 7
TapTallyfy.stream_types = (RunsStream,)
TapTallyfy.cli()
""",
)
#: The tap that would wait for its target for an hour.
PATIENT = (
    sys.executable,
    "-c",
    """
from tap_tallyfy.singer import writer
from tests.runs import RunsStream, TapTallyfy
writer._PATIENCE = 3600.0
TapTallyfy.stream_types = (RunsStream,)
TapTallyfy.cli()
""",
)
#: The tap on a machine that has no thread left.
THREADLESS = (
    sys.executable,
    "-c",
    """
import threading
from tests.runs import RunsStream, TapTallyfy
def start(_):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
TapTallyfy.stream_types = (RunsStream,)
TapTallyfy.cli()
""",
)
#: Seconds after which nothing is waited for any more; that something happens at once is shown by what did not happen.
LIMIT = 120


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def unbuffered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Container images tend to switch the buffer of standard output off, and then a write may be cut short."""
    monkeypatch.setenv("PYTHONUNBUFFERED", request.param)


@contextmanager
def tap(
    folder: Path,
    sandbox: Sandbox,
    *,
    state: Mapping[str, Any] | None = None,
    catalog: Mapping[str, Any] | None = None,
    stdout: int | IO[bytes] = subprocess.PIPE,
    before: Sequence[str] = (),
    command: Sequence[str] = TAP,
    **settings: Any,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the tap beside the test, which ends it in any case."""
    given: list[str] = []
    files = {
        "config": settings_for(sandbox, **settings),
        "state": state or {},
        **({"catalog": catalog} if catalog else {}),
    }
    for name, content in files.items():
        file = folder / f"{name}.json"
        file.write_text(json.dumps(content), encoding="utf-8")
        given += [f"--{name}", str(file)]
    with subprocess.Popen(
        [*before, *command, *given],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
    ) as process:
        watchdog = threading.Timer(2 * LIMIT, process.kill)  # so that nothing here is waited for in vain
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


class AtPage:
    """Sends a signal while the tap waits for a certain page."""

    def __init__(self, sandbox: Sandbox, number: int, what: signal.Signals) -> None:
        self._number = number
        self._what = what
        self._lock = threading.Lock()
        self._started = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        sandbox.after_list = self

    def aim(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._started.set()

    def __call__(self, _: Request) -> None:
        self._started.wait(LIMIT)
        with self._lock:
            self._number -= 1
            if self._number == 0 and self._process:
                self._process.send_signal(self._what)


def whole_lines(output: bytes) -> list[dict[str, Any]]:
    """Return the messages of an output that must hold whole lines only."""
    assert output == b"" or output.endswith(b"\n")
    return [json.loads(line) for line in output.split(b"\n")[:-1]]


def sentences(stderr: bytes) -> list[str]:
    """Return what was logged as an error by the tap itself."""
    text = stderr.decode()
    assert "Traceback" not in text
    assert "Exception ignored" not in text
    return [line.split(" | ", 3)[3] for line in text.splitlines() if "| ERROR" in line or "| CRITICAL" in line]


def records(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message["record"] for message in messages if message["type"] == "RECORD"]


def states(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message["value"] for message in messages if message["type"] == "STATE"]


SIGNALS = [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
#: All signals have one handler; what matters is whether the tap waits in its main thread or for others.
WAITING = [(signal.SIGTERM, 143, 1), (signal.SIGINT, 130, 8)]


@pytest.mark.parametrize(
    ("what", "code", "page", "concurrency"),
    [
        *((signal.SIGKILL, -9, page, concurrency) for page, concurrency in ((1, 1), (3, 8), (17, 1), (17, 8))),
        (signal.SIGTERM, 143, 1, 1),
        (signal.SIGTERM, 143, 17, 8),
        (signal.SIGINT, 130, 3, 8),
        (signal.SIGINT, 130, 17, 1),
    ],
)
def test_a_stopped_sync_is_made_up_for_by_the_next(
    tmp_path: Path, what: signal.Signals, code: int, page: int, concurrency: int
) -> None:
    with Sandbox(runs=400, seed=page) as sandbox:
        killer = AtPage(sandbox, page, what)
        with tap(tmp_path, sandbox, command=STATES_OFTEN, page_size=20, concurrency=concurrency) as process:
            killer.aim(process)
            output, stderr = process.communicate(timeout=LIMIT)
        assert process.returncode == code
        if what == signal.SIGKILL:  # which nobody can prepare for: a target does without the rest of a line
            output = output[: output.rfind(b"\n") + 1]
            assert sentences(stderr) == []
        else:
            (sentence,) = sentences(stderr)
            assert what.name in sentence
        messages = whole_lines(output)
        if page == 17:  # the state fed to the next sync is one from the middle of this one
            types = [message["type"] for message in messages]
            assert types.index("RECORD") < types.index("STATE")
        target = {record["id"]: record for record in records(messages)}
        assert len(target) < len(sandbox.runs)
        sandbox.after_list = None
        sandbox.mutate(Random(page), 20)
        state = states(messages)[-1] if states(messages) else None
        result = run_tap(sandbox, state=state, page_size=20, concurrency=concurrency)
        assert result.code == 0, result.stderr
        target.update((record["id"], record) for record in result.records)
        for identity, run in sandbox.runs.items():
            assert target[identity]["last_updated"] == run["last_updated"]


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_stopped_sync_does_not_move_a_bookmark_past_what_it_has_not_read(tmp_path: Path, concurrency: int) -> None:
    with Sandbox(runs=300, seed=9) as sandbox:
        first = run_tap(sandbox, page_size=20)
        random, changed = Random(1), set[str]()
        sandbox.advance(3600)
        for _ in range(150):
            sandbox.advance(60)
            changed.update(sandbox.mutate(random))
        killer = AtPage(sandbox, 3, signal.SIGTERM)
        settings: dict[str, Any] = {"state": first.states[-1], "page_size": 20, "concurrency": concurrency}
        with tap(tmp_path, sandbox, command=STATES_OFTEN, **settings) as process:
            killer.aim(process)
            output, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == 143
        messages = whole_lines(output)
        stopped_at = states(messages)[-1]
        # No more was read than what had changed: the bookmark was used, and it stayed.
        assert 0 < len(records(messages)) < len(changed)
        bookmark = first.states[-1]["bookmarks"]["runs"]["replication_key_value"]
        assert stopped_at["bookmarks"]["runs"]["replication_key_value"] == bookmark
        sandbox.after_list = None
        result = run_tap(sandbox, state=stopped_at, page_size=20)
        target = {record["id"]: record for record in (*first.records, *records(messages), *result.records)}
        for identity, run in sandbox.runs.items():
            assert target[identity]["last_updated"] == run["last_updated"]


def test_a_sync_of_changed_tasks_killed_at_any_page_is_made_up_for(tmp_path: Path) -> None:
    wanted = catalog(["tasks", "task_answers"])
    with Sandbox(data=[], one_offs=12) as sandbox:
        work_for_days(sandbox, Random(1))
        first = run_tap(sandbox, catalog=wanted, command=EVERYTHING, page_size=10)
        assert first.code == 0, first.stderr
        for run in Random(2).sample([run for run in sandbox.runs if sandbox.account.tasks_of(run)], 6):
            task = sandbox.account.tasks_of(run)[0]
            sandbox.account.edit("tasks", task.id, title="changed", deadline="2026-03-01T00:00:00.000Z")
        sandbox.advance(3600)
        whole = run_tap(sandbox, catalog=wanted, command=EVERYTHING, state=first.states[-1], page_size=10)
        assert "that changed: full readings have shown" in whole.stderr
        pages = len(whole.requests)
        for page in (pages // 2, pages):
            killer = AtPage(sandbox, page, signal.SIGKILL)
            settings: dict[str, Any] = {"state": first.states[-1], "page_size": 10, "catalog": wanted}
            with tap(tmp_path, sandbox, command=EVERYTHING, **settings) as process:
                killer.aim(process)
                output, _ = process.communicate(timeout=LIMIT)
            assert process.returncode == -signal.SIGKILL
            sandbox.after_list = None
            taken = Result(0, output[: output.rfind(b"\n") + 1].decode().split("\n")[:-1], "", [])
            state = taken.states[-1] if taken.states else first.states[-1]
            resumed = run_tap(sandbox, catalog=wanted, command=EVERYTHING, state=state, page_size=10)
            assert resumed.code == 0, resumed.stderr
            assert "that changed: full readings have shown" in resumed.stderr
            tables = [written(each) for each in (first, taken, resumed)]
            for name, rows in expected_tasks(sandbox).items():
                if name != "comments":
                    found = {key: row for each in tables for key, row in each.get(name, {}).items()}
                    assert found == rows, (page, name)


@pytest.mark.parametrize(("what", "code", "concurrency"), WAITING)
def test_a_process_that_waits_for_a_page_ends_at_once(
    tmp_path: Path, what: signal.Signals, code: int, concurrency: int
) -> None:
    asked, over = threading.Event(), threading.Event()

    def hold(request: Request) -> None:
        if request.query.get("page") == "2":
            asked.set()
            over.wait(LIMIT)

    with Sandbox(runs=100) as sandbox:
        sandbox.before_list = hold
        with tap(tmp_path, sandbox, page_size=20, concurrency=concurrency) as process:
            assert asked.wait(LIMIT)
            process.send_signal(what)
            output, stderr = process.communicate(timeout=LIMIT)
            assert not over.is_set()
        over.set()
    assert process.returncode == code
    assert len(sentences(stderr)) == 1
    whole_lines(output)


@pytest.mark.parametrize(("what", "code", "concurrency"), WAITING)
def test_a_process_that_waits_for_the_rate_limit_ends_at_once(
    tmp_path: Path, what: signal.Signals, code: int, concurrency: int
) -> None:
    with Sandbox(runs=100) as sandbox:
        sandbox.faults = [None, Fault("rate_limit", retry_after="3000")]
        with tap(tmp_path, sandbox, page_size=20, concurrency=concurrency) as process:
            until(lambda: any(request.status == 429 for request in sandbox.requests))
            process.send_signal(what)
            output, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == code
    assert len(sentences(stderr)) == 1
    whole_lines(output)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def read_until(text: str, log: IO[bytes]) -> bytes:
    """Return what is logged up to the line with this text."""
    lines: list[bytes] = []
    while not lines or text.encode() not in lines[-1]:
        lines.append(log.readline())
        assert lines[-1], f"the tap has ended without {text!r}"
    return b"".join(lines)


def waiting_to_be_read(pipe: IO[bytes]) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(pipe.fileno(), termios.FIONREAD, count)
    return count[0]


@contextmanager
def stuck_in_a_line(
    folder: Path, command: Sequence[str] = TAP
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]]:
    """A sync whose target has stopped reading in the middle of a line; with its output and its log."""
    last_updated = "2025-01-15T10:00:00.000Z"
    runs = [{"id": f"{number:032x}", "name": "x" * 50_000, "last_updated": last_updated} for number in range(10)]
    with Sandbox(data=runs) as sandbox, tap(folder, sandbox, command=command) as process:
        pipe, log = process.stdout, process.stderr
        assert pipe is not None
        assert log is not None
        until(lambda: waiting_to_be_read(pipe) >= 2**16 - 4096)
        yield process, pipe, log


@pytest.mark.usefixtures("unbuffered")
@pytest.mark.parametrize(("what", "code"), SIGNALS)
def test_a_line_that_is_being_written_is_finished_first(tmp_path: Path, what: signal.Signals, code: int) -> None:
    with stuck_in_a_line(tmp_path) as (process, pipe, log):
        process.send_signal(what)
        logged = read_until(what.name, log)
        output = pipe.read()
        logged += log.read()
        assert process.wait(LIMIT) == code
    assert len(sentences(logged)) == 1
    written = records(whole_lines(output))
    assert 0 < len(written) < 10
    assert all(len(record["name"]) == 50_000 for record in written)


@pytest.mark.usefixtures("unbuffered")
@pytest.mark.parametrize(("what", "code"), SIGNALS)
def test_a_target_that_is_stopped_too_is_no_second_reason(tmp_path: Path, what: signal.Signals, code: int) -> None:
    with stuck_in_a_line(tmp_path) as (process, pipe, log):
        process.send_signal(what)
        logged = read_until(what.name, log)
        pipe.close()
        logged += log.read()
        assert process.wait(LIMIT) == code
    (sentence,) = sentences(logged)
    assert what.name in sentence


def test_a_process_that_is_interrupted_before_it_has_begun_ends_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "singer_sdk.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)", encoding="utf-8")
    env = environment(PYTHONPATH=os.pathsep.join((str(tmp_path), str(ROOT))))
    ended = subprocess.run(EVERYTHING, env=env, capture_output=True, timeout=LIMIT, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"", b"")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_process_whose_target_does_not_read(tmp_path: Path, second: signal.Signals) -> None:
    with stuck_in_a_line(tmp_path, command=PATIENT) as (process, pipe, log):
        process.send_signal(signal.SIGTERM)
        logged = read_until("SIGTERM", log)
        process.send_signal(second)
        # The target reads nothing until the process is gone. The second signal may come while the first is being said.
        assert process.wait(LIMIT) in {128 + signal.SIGTERM, 128 + second}
        whole_but_the_last_line(pipe.read())
        sentences(logged + log.read())


def test_a_second_signal_raises_nothing_in_the_midst_of_the_first_ones_clean_up() -> None:
    """As when a shell stops its jobs and then ends: the two come within a millisecond."""
    script = """
        from contextlib import suppress
        from tap_tallyfy.singer.writer import LineWriter
        writer = LineWriter()
        with suppress(SystemExit):
            writer.stop(143, lambda: print("not yet"))
        try:
            writer.stop(130, lambda: print("report", flush=True))
        finally:
            print("interrupted")
    """
    ended = subprocess.run(
        [sys.executable, "-c", dedent(script)], cwd=ROOT, capture_output=True, timeout=LIMIT, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"report\n", b"")


def test_a_process_whose_target_does_not_read_ends_a_while_after_a_signal(tmp_path: Path) -> None:
    with stuck_in_a_line(tmp_path, command=THREADLESS) as (process, pipe, log):
        process.send_signal(signal.SIGTERM)
        logged = read_until("SIGTERM", log)
        assert process.wait(LIMIT) == 143
        whole_but_the_last_line(pipe.read())
        assert len(sentences(logged + log.read())) == 1


def whole_but_the_last_line(output: bytes) -> None:
    """Check that only the line is cut which the target did not take; it does without the rest, as after SIGKILL."""
    *lines, _ = output.split(b"\n")
    types = [json.loads(line)["type"] for line in lines]
    assert types[0] == "SCHEMA"


def test_a_signal_after_a_line_was_taken_ends_the_process_by_itself(tmp_path: Path) -> None:
    """What would end a process whose target does not read is called off."""
    with stuck_in_a_line(tmp_path) as (process, pipe, _):
        process.send_signal(signal.SIGHUP)
        whole_lines(pipe.read())
        assert process.wait(LIMIT) == 129


@pytest.mark.parametrize(("what", "code", "concurrency"), WAITING)
def test_a_process_that_waits_to_try_again_ends_at_once(
    tmp_path: Path, what: signal.Signals, code: int, concurrency: int
) -> None:
    with Sandbox(runs=100) as sandbox:
        sandbox.faults = [None, *[Fault("status", 503)] * 50]
        with tap(tmp_path, sandbox, page_size=20, concurrency=concurrency) as process:
            log = process.stderr
            assert log is not None
            read_until("Attempt 3 of", log)
            # The other threads are about to try for the third time; then all of them wait for two seconds or more.
            for _ in {request.query["page"] for request in sandbox.requests[1:]} - {sandbox.requests[-1].query["page"]}:
                read_until("Attempt 3 of", log)
            tried = len(sandbox.requests)
            process.send_signal(what)
            output, stderr = process.communicate(timeout=LIMIT)
        assert len(sandbox.requests) == tried
    assert process.returncode == code
    (sentence,) = sentences(stderr)
    assert what.name in sentence
    whole_lines(output)


@pytest.mark.usefixtures("unbuffered")
@pytest.mark.parametrize(("what", "code"), SIGNALS)
def test_a_signal_while_a_line_of_the_log_is_written_ends_the_process(
    tmp_path: Path, what: signal.Signals, code: int
) -> None:
    """The log takes no other line inside of that one, so the handler cannot say why the process ends."""
    with Sandbox(runs=2_000) as sandbox, tap(tmp_path, sandbox, page_size=1, concurrency=1) as process:
        log = process.stderr
        assert log is not None
        fcntl.fcntl(log.fileno(), fcntl.F_SETPIPE_SZ, 4096)
        counts = deque[int](maxlen=20)

        def is_stuck() -> bool:
            counts.append(waiting_to_be_read(log))
            return min(counts) > 2048 and counts.count(counts[0]) == counts.maxlen

        until(is_stuck)
        process.send_signal(what)
        output, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == code
    assert "Logging error" not in stderr.decode()
    (sentence,) = sentences(stderr)
    assert what.name in sentence
    assert records(whole_lines(output)) == [], "which the sync would have gone on to write"


# Outputs that take no more


@pytest.mark.usefixtures("unbuffered")
def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    with Sandbox(runs=500) as sandbox, tap(tmp_path, sandbox, concurrency=1) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(10)]
        process.stdout.close()
        assert process.stderr is not None
        stderr = process.stderr.read()
        code = process.wait(LIMIT)
    assert code == 74
    assert len(whole_lines(b"".join(lines))) == 10
    (sentence,) = sentences(stderr)
    assert "cannot be written" in sentence


@pytest.mark.usefixtures("unbuffered")
def test_a_target_that_is_not_there(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with Sandbox(runs=20) as sandbox, os.fdopen(writing, "wb", buffering=0) as nobody:  # noqa: SIM117
        with tap(tmp_path, sandbox, stdout=nobody) as process:
            _, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 74
    assert len(sentences(stderr)) == 1


@pytest.mark.usefixtures("unbuffered")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    with (
        Sandbox(runs=20) as sandbox,
        Path("/dev/full").open("wb") as full,
        tap(tmp_path, sandbox, stdout=full) as process,
    ):
        _, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 74
    (sentence,) = sentences(stderr)
    assert "cannot be written" in sentence
    assert "disk" in sentence


def expect_whole_lines(file: Path, before: bytes = b"") -> None:
    content = file.read_bytes()
    assert content.startswith(before)
    written = records(whole_lines(content.removeprefix(before)))
    assert 0 < len(written) < 500


#: Lets a file grow to some dozen kilobytes: the write that would make it larger is cut off, as on a full disk. That
#: is true of the file of what was covered, too, so nothing is measured there.
LIMITED = ("sh", "-c", 'unset COVERAGE_PROCESS_CONFIG; ulimit -f 70; exec "$@"', "sh")


@pytest.mark.usefixtures("unbuffered")
@pytest.mark.parametrize(("mode", "before"), [("wb", b""), ("ab", b""), ("ab", b'{"type": "SCHEMA"}\n' * 1000)])
def test_a_file_that_may_grow_no_more_holds_whole_lines(tmp_path: Path, mode: str, before: bytes) -> None:
    file = tmp_path / "out.jsonl"
    file.write_bytes(before)
    with Sandbox(runs=500) as sandbox, file.open(mode) as output:  # noqa: SIM117
        with tap(tmp_path, sandbox, stdout=output, before=LIMITED) as process:
            _, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 74
    assert len(sentences(stderr)) == 1
    expect_whole_lines(file, before)


@pytest.mark.usefixtures("unbuffered")
def test_a_disk_that_fills_up_holds_whole_lines(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small disk can be mounted by root only")
    try:
        file = disk / "out.jsonl"
        with Sandbox(runs=500) as sandbox, file.open("wb") as output, tap(tmp_path, sandbox, stdout=output) as process:
            _, stderr = process.communicate(timeout=LIMIT)
        assert process.returncode == 74
        (sentence,) = sentences(stderr)
        assert "No space left" in sentence
        expect_whole_lines(file)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
