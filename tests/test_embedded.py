"""The tap as an object in somebody's program: it syncs again, is tested first, and leaves the process alone."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.exceptions import FatalAPIError
from singer_sdk.singerlib.encoding import SimpleSingerWriter

from sandbox import Sandbox
from tap_tallyfy.api.errors import (
    FilterRefusedError,
    ListFailedError,
    ListRefusedError,
    ListUnsupportedError,
    LoginError,
)
from tap_tallyfy.command import exit_code, is_retried
from tap_tallyfy.reading.page import UnreadListError
from tap_tallyfy.records.parser import RecordParser
from tap_tallyfy.singer import shared_reading
from tap_tallyfy.singer.deletions import ShrunkError
from tap_tallyfy.singer.session import SyncFailedError
from tap_tallyfy.singer.writer import OutputError
from tap_tallyfy.tap import TapTallyfy
from tests.lists import catalog, expected
from tests.model import Collector
from tests.tap import Result, run_tap, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from singer_sdk.singerlib.messages import Message

    from tests.lists import Row


class Embedded(TapTallyfy):
    """The tap, whose messages its embedder takes."""

    message_writer_class = Collector


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(runs=30, seed=3) as running:
        running.set_clock(running.now())
        yield running


def made(sandbox: Sandbox, selected: Iterable[str] | None = None, **given: Any) -> Embedded:
    state = given.pop("state", None)
    known = catalog(selected) if selected else None
    return Embedded(config=settings_for(sandbox, **given), catalog=known, state=state)


def messages_of(tap: Embedded, act: Callable[[], object]) -> list[Row]:
    """What the tap writes meanwhile."""
    writer = tap.message_writer
    assert isinstance(writer, Collector)
    before = len(writer.messages)
    act()
    return writer.messages[before:]


def timeless(value: Any) -> Any:
    """Messages without what tells one sync from another: versions, and times of this machine or of a sync."""
    if isinstance(value, dict):
        return {
            name: timeless(part) for name, part in value.items() if name not in {"version", "time_extracted", "marks"}
        }
    return [timeless(item) for item in value] if isinstance(value, list) else value


def told(messages: list[Row]) -> list[Row]:
    """What a target keeps: all but the states on the way, of which the SDK leaves out those that are as the last."""
    assert messages[-1]["type"] == "STATE"
    kept: list[Row] = timeless([*(each for each in messages if each["type"] != "STATE"), messages[-1]])
    return kept


def versions(messages: list[Row]) -> set[int]:
    return {message["version"] for message in messages if "version" in message}


# Another sync


@pytest.mark.parametrize("settings", [{}, {"emit_activate_version_messages": False}], ids=["marks", "no marks"])
def test_a_second_sync_sends_what_a_new_process_would(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    tap = made(sandbox, **settings)
    first = messages_of(tap, tap.sync_all)
    state = next(message["value"] for message in reversed(first) if message["type"] == "STATE")
    sandbox.touch(min(sandbox.runs), name="changed")
    sandbox.advance(60)
    second = messages_of(tap, tap.sync_all)
    other = made(sandbox, state=state, **settings)
    fresh = messages_of(other, other.sync_all)
    assert any(message["type"] == "RECORD" for message in second)
    assert told(second) == told(fresh)


def test_a_second_sync_has_a_version_of_its_own(sandbox: Sandbox) -> None:
    tap = made(sandbox, ["tags", "groups"])
    first, second = (versions(messages_of(tap, tap.sync_all)) for _ in range(2))
    assert len(first) == len(second) == 1
    assert max(first) < min(second)


def test_a_sync_that_failed_leaves_nothing_in_the_next_one(sandbox: Sandbox) -> None:
    tap = made(sandbox, ["tasks", "users"])
    sandbox.behaviour.forbidden = frozenset({"tasks"})
    with pytest.raises(SyncFailedError):
        tap.sync_all()
    sandbox.behaviour.forbidden = frozenset()
    messages = messages_of(tap, tap.sync_all)
    written = Counter(message["stream"] for message in messages if message["type"] == "RECORD")
    assert written == {name: len(expected(sandbox)[name]) for name in ("tasks", "users")}


def test_a_sync_follows_a_connection_test(sandbox: Sandbox) -> None:
    selected = ["runs", "kickoff_answers", "tags"]
    tap = made(sandbox, selected)
    messages_of(tap, tap.run_connection_test)
    messages = messages_of(tap, tap.sync_all)
    written = Counter(message["stream"] for message in messages if message["type"] == "RECORD")
    right = expected(sandbox)
    assert written == {name: len(right[name]) for name in selected}
    assert {message["stream"] for message in messages if message["type"] == "ACTIVATE_VERSION"} == set(selected)


class OtherWriter(SimpleSingerWriter):
    """A writer that knows nothing of the tap, and so of versions."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Row] = []

    def write_message(self, message: Message) -> None:
        self.messages.append(message.to_dict())


def test_rows_that_another_writer_writes_without_a_version_are_not_marked(sandbox: Sandbox) -> None:
    writer = OtherWriter()
    TapTallyfy(config=settings_for(sandbox), catalog=catalog(["tags"]), message_writer=writer).sync_all()
    assert Counter(message["type"] for message in writer.messages)["RECORD"] == len(expected(sandbox)["tags"])
    assert versions(writer.messages) == set()


# The process it is in


def test_making_a_tap_and_syncing_leave_the_signals_alone(sandbox: Sandbox) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    tap = made(sandbox, ["tags"])
    assert [signal.getsignal(number) for number in numbers] == before
    tap.sync_all()
    assert [signal.getsignal(number) for number in numbers] == before


# Each record once, and by the shortest way


def test_each_row_is_made_valid_once(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: Counter[str] = Counter()
    parse = RecordParser.__call__

    def counted(parser: RecordParser, row: Row) -> Row:
        parsed[parser._kind] += 1  # noqa: SLF001 - nothing else says of what kind it is
        return parse(parser, row)

    monkeypatch.setattr(RecordParser, "__call__", counted)
    tap = made(sandbox, ["checklists", "steps", "form_fields"])
    messages = messages_of(tap, tap.sync_all)
    written = Counter(message["stream"] for message in messages if message["type"] == "RECORD")
    assert parsed["Step"] == written["steps"] > 0
    assert parsed["TemplateField"] == written["form_fields"] > 0


def test_no_row_of_a_selected_parent_waits_in_a_file(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[Row] = []
    put = shared_reading._Spool.put  # noqa: SLF001 - what waits is to be seen

    def noted(spool: Any, rows: Iterable[Row]) -> None:
        kept = list(rows)
        waited.extend(kept)
        put(spool, kept)

    monkeypatch.setattr(shared_reading._Spool, "put", noted)  # noqa: SLF001
    tap = made(sandbox)
    messages = messages_of(tap, tap.sync_all)
    rows = Counter(message["stream"] for message in messages if message["type"] == "RECORD")
    children = rows["kickoff_answers"] + rows["task_answers"] + rows["steps"] + rows["form_fields"]
    assert len(waited) == children > 0
    # The SDK takes streams in the order in which the tap names them.
    named = list(dict.fromkeys(message["stream"] for message in messages if message["type"] == "SCHEMA"))
    for parent, child in (("runs", "kickoff_answers"), ("tasks", "task_answers"), ("checklists", "steps")):
        assert named.index(parent) < named.index(child)


# How a process ends


def process_with(sandbox: Sandbox, error: str) -> Result:
    """A sync of processes in which our own code fails."""
    code = f"""
from tap_tallyfy.streams import RunsStream
from tap_tallyfy.tap import TapTallyfy
def fail(*_):
    raise {error}
RunsStream.records_from = fail
TapTallyfy.stream_types = (RunsStream,)
TapTallyfy.cli()
"""
    return run_tap(sandbox, command=(sys.executable, "-c", code))


@pytest.mark.parametrize("error", ["ValueError('odd')", "KeyError('id')", "TypeError('odd')", "AssertionError"])
def test_a_bug_of_ours_is_shown_as_one(sandbox: Sandbox, error: str) -> None:
    result = process_with(sandbox, error)
    assert result.code == 70
    assert "Traceback (most recent call last)" in result.stderr
    assert result.errors[-1] == "The tap has a bug; please report it with these lines."


@pytest.mark.parametrize(
    ("error", "code", "retried"),
    [
        (ShrunkError("less"), 65, False),
        (ValueError("odd"), 70, False),
        (OutputError("closed"), 74, True),
        (OSError(28, "No space left on device"), 74, True),
        (ListFailedError("500", 500), 75, True),
        (UnreadListError("unsteady"), 75, True),
        (LoginError("401", 401), 77, False),
        (ListRefusedError("403", 403), 77, False),
        (FilterRefusedError("422", 422), 78, False),
        (ListUnsupportedError("a redirect"), 78, False),
        (FatalAPIError("something"), 1, False),
        (SystemExit(143), 143, True),
    ],
    ids=repr,
)
def test_a_process_ends_by_the_class_of_its_error(error: BaseException, code: int, retried: bool) -> None:
    assert exit_code(error) == code
    assert is_retried(code) is retried


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([ListFailedError("500", 500), ListFailedError("502", 502)], 75),
        ([ListFailedError("500", 500), ListRefusedError("403", 403)], 77),
        ([ShrunkError("less"), ListFailedError("500", 500)], 65),
    ],
    ids=repr,
)
def test_what_needs_a_person_wins_over_what_passes(errors: list[Exception], code: int) -> None:
    assert exit_code(SyncFailedError({str(number): error for number, error in enumerate(errors)})) == code
