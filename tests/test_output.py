"""The writer by itself: one message, one whole line, whoever stops it."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.singerlib.messages import RecordMessage, StateMessage
from typing_extensions import override

from tap_tallyfy.singer.writer import LineWriter, OutputError
from tap_tallyfy.tap import TapTallyfy
from tests.lists import catalog, sync
from tests.tap import settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox import Sandbox


def record(**fields: Any) -> RecordMessage:
    return RecordMessage(stream="runs", record=fields)


class Output(io.RawIOBase):
    """An output that takes so many bytes at once, and so many in all."""

    def __init__(self, *, at_once: int = 10**6, in_all: int = 10**6) -> None:
        super().__init__()
        self.content = b""
        self._at_once = at_once
        self._in_all = in_all

    @override
    def writable(self) -> bool:
        return True

    @override
    def write(self, data: Any) -> int:
        taken = bytes(data)[: min(self._at_once, self._in_all - len(self.content))]
        if not taken:
            raise OSError(28, "No space left on device")
        self.content += taken
        return len(taken)


def as_stdout(monkeypatch: pytest.MonkeyPatch, raw: io.RawIOBase, *, buffered: bool) -> None:
    binary: Any = io.BufferedWriter(raw) if buffered else raw
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(binary, write_through=True))


@pytest.mark.parametrize("buffered", [False, True])
@pytest.mark.parametrize("at_once", [1, 7, 10**6])
def test_a_line_is_written_whole_however_little_is_taken_at_once(
    monkeypatch: pytest.MonkeyPatch, *, at_once: int, buffered: bool
) -> None:
    output = Output(at_once=at_once)
    with monkeypatch.context() as patch:
        as_stdout(patch, output, buffered=buffered)
        writer = LineWriter()
        for number in range(3):
            writer.write_message(record(id=str(number), text="ü\n" * 100))
        writer.write_message(StateMessage(value={"bookmarks": {}}))
    lines = output.content.decode().removesuffix("\n").split("\n")
    assert [json.loads(line)["type"] for line in lines] == ["RECORD"] * 3 + ["STATE"]
    assert json.loads(lines[2])["record"] == {"id": "2", "text": "ü\n" * 100}


def test_no_digit_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output()
    with monkeypatch.context() as patch:
        as_stdout(patch, output, buffered=False)
        writer = LineWriter()
        writer.write_message(record(big=2**80, exact=Decimal("0.1234567890123456789"), trailing=Decimal("1.50")))
        writer.write_message(StateMessage(value={}))
    assert b'{"big":1208925819614629174706176,"exact":0.1234567890123456789,"trailing":1.50}' in output.content


@pytest.fixture
def redirected(tmp_path: Path) -> Iterator[Path]:
    """Standard output's descriptor in a file, as the shell does it; what lies behind a full disk is the same."""
    file = tmp_path / "out.jsonl"
    kept = os.dup(1)
    try:
        yield file
    finally:
        os.dup2(kept, 1)
        os.close(kept)


class FullAfter(io.FileIO):
    """A file on a disk with so much room left, in bytes."""

    def __init__(self, descriptor: int, room: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._room = room

    @override
    def write(self, data: Any) -> int:
        if not stat.S_ISREG(os.fstat(self.fileno()).st_mode):
            return super().write(data)  # it leads elsewhere by now
        taken = bytes(data)[: self._room]
        if not taken:
            raise OSError(28, "No space left on device")
        self._room -= len(taken)
        return super().write(taken)


def fill(writer: LineWriter, written: list[int]) -> None:
    for number in range(100):
        writer.write_message(StateMessage(value={"id": "a", "name": "x" * 20}))
        written.append(number)


@pytest.mark.parametrize("room", [0, 1, 100, 250])
@pytest.mark.parametrize("flags", [os.O_TRUNC, os.O_APPEND])
@pytest.mark.parametrize("buffered", [False, True])
def test_a_full_disk_leaves_whole_lines(
    monkeypatch: pytest.MonkeyPatch, redirected: Path, *, room: int, flags: int, buffered: bool
) -> None:
    before = b'{"from": "an earlier run"}\n' * 10
    redirected.write_bytes(before)
    kept = before if flags == os.O_APPEND else b""
    descriptor = os.open(redirected, os.O_WRONLY | flags)
    os.dup2(descriptor, 1)
    os.close(descriptor)
    with monkeypatch.context() as patch:
        as_stdout(patch, FullAfter(1, room), buffered=buffered)
        written: list[int] = []
        with pytest.raises(OutputError, match="No space left"):
            fill(LineWriter(), written)
        sys.stdout.flush()
    content = redirected.read_bytes()
    assert content.startswith(kept)
    lines = content.removeprefix(kept)
    assert lines == b"" or lines.endswith(b"\n")
    assert len(lines.splitlines()) == len(written)
    assert all(json.loads(line)["value"]["id"] == "a" for line in lines.splitlines())


@pytest.mark.parametrize("buffered", [False, True])
def test_a_full_disk_keeps_the_records_it_has_room_for(
    monkeypatch: pytest.MonkeyPatch, redirected: Path, *, buffered: bool
) -> None:
    descriptor = os.open(redirected, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.close(descriptor)
    with monkeypatch.context() as patch:
        as_stdout(patch, FullAfter(1, 1000), buffered=buffered)
        writer = LineWriter()
        for _ in range(100):
            writer.write_message(record(id="a"))
        with pytest.raises(OutputError, match="No space left"):
            writer.write_message(StateMessage(value={}))
        sys.stdout.flush()
    content = redirected.read_bytes()
    lines = content.splitlines()
    assert content.endswith(b"\n")
    assert all(json.loads(line)["record"] == {"id": "a"} for line in lines)
    assert len(content) + len(lines[0]) >= 1000


def test_records_are_written_many_at_a_time_and_before_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output()
    with monkeypatch.context() as patch:
        as_stdout(patch, output, buffered=False)
        writer = LineWriter()
        for number in range(100):
            writer.write_message(record(id=str(number)))
        assert output.content == b""
        writer.write_message(StateMessage(value={}))
        assert [json.loads(line)["type"] for line in output.content.splitlines()] == ["RECORD"] * 100 + ["STATE"]
        writer.write_message(record(text="x" * 2**16))
        assert len(output.content) > 2**16


class StoppedMeanwhile(Output):
    """An output during whose first write a signal arrives."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__(at_once=10)
        self._writer = writer

    @override
    def write(self, data: Any) -> int:
        if not self.content:
            self._writer.stop(143, lambda: None)
        return super().write(data)


def test_a_signal_waits_for_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LineWriter()
    output = StoppedMeanwhile(writer)
    with monkeypatch.context() as patch:
        as_stdout(patch, output, buffered=False)
        with pytest.raises(SystemExit) as stopped:
            writer.write_message(StateMessage(value={"id": "a"}))
    assert stopped.value.code == 143
    assert json.loads(output.content)["value"] == {"id": "a"}
    assert output.content.endswith(b"\n")


def test_without_a_line_a_signal_ends_the_process_at_once() -> None:
    with pytest.raises(SystemExit) as stopped:
        LineWriter().stop(128 + signal.SIGINT, lambda: None)
    assert stopped.value.code == 130


@pytest.mark.parametrize("with_marks", [True, False])
def test_a_state_ends_every_sync(monkeypatch: pytest.MonkeyPatch, account: Sandbox, *, with_marks: bool) -> None:
    """Four targets return no state at all where a record follows the last one."""
    settings: dict[str, Any] = {"emit_activate_version_messages": with_marks}
    state = sync(account, ["runs", "tags"], **settings).states[-1]
    tap = TapTallyfy(config=settings_for(account, **settings), catalog=catalog(["runs", "tags"]), state=state)
    output = Output()
    with monkeypatch.context() as patch:
        as_stdout(patch, output, buffered=True)
        tap.sync_all()
    messages = [json.loads(line) for line in output.content.splitlines()]
    assert messages[-1]["type"] == "STATE"
    assert messages[-1]["value"]["bookmarks"].keys() >= {"runs", "tags"}
    written = {
        message["record"]["id"] for message in messages if message.get("stream") == "tags" if "record" in message
    }
    assert written == {*account.records("tags")}
