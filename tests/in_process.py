"""The tap in this process, against a sandbox that answers it without a network; all else is real.

Requests of one tap are answered one after the other, in the order in which they are sent, so that a seed gives the same
sync every time.
"""

from __future__ import annotations

import copy
import logging
from collections import defaultdict
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

import msgspec
from requests.structures import CaseInsensitiveDict
from singer_sdk.exceptions import SingerSDKError

from sandbox.data import AS_OF
from sandbox.wire import Request
from tap_tallyfy.api.client import Client
from tap_tallyfy.api.response import Response
from tap_tallyfy.api.transport import Transport
from tap_tallyfy.streams import CommentsStream, RunsStream, TaskAnswersStream, TasksStream
from tap_tallyfy.tap import TapTallyfy
from tests.lists import as_expected, by_key, expected_tasks
from tests.model import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import requests

    from sandbox.api import Api
    from tests.lists import Tables

HOUR = 3600
FAMILY = (TasksStream, TaskAnswersStream)
WITH_COMMENTS = (*FAMILY, CommentsStream)


class FamilyTap(TapTallyfy):
    """The tap with the streams that are made from the list of tasks; that of processes is there, and off."""

    stream_types = (RunsStream, *FAMILY)


class CommentsTap(TapTallyfy):
    """The same with comments."""

    stream_types = (RunsStream, *WITH_COMMENTS)


@dataclass
class Sync:
    """What one sync did.

    Attributes:
        requests: What was asked.
        lines: What the log says, from INFO on.
        way: How the list of tasks was read.
        error: Why it failed, or `""`.
    """

    requests: list[Request]
    lines: list[str]
    way: str
    error: str


@dataclass
class Warehouse:
    """What a target holds after some syncs of an account, and the state that goes with it.

    Attributes:
        tap: The tap with its streams.
        tables: The rows of each stream, by their keys.
        full: Whether all rows are taken, whatever the state says.
    """

    api: Api
    tap: type[TapTallyfy] = FamilyTap
    state: dict[str, Any] = field(default_factory=dict)
    tables: Tables = field(default_factory=lambda: defaultdict(dict))
    settings: dict[str, Any] = field(default_factory=dict)
    full: bool = False

    def sync(self, **settings: Any) -> Sync:
        """Sync once."""
        writer, lines = Collector(), _Lines()
        before = len(self.api.requests)
        tap = self.tap(
            config={
                "api_url": self.api.api_url,
                "org_id": self.api.org_id,
                "access_token": self.api.access_token,
                **self.settings,
                **settings,
            },
            catalog=self._catalog(),
            state=copy.deepcopy(self.state),
            message_writer=writer,
        )
        error = ""
        with ExitStack() as patches:
            patches.enter_context(patch.object(Transport, "send", _answered_by(self.api)))
            patches.enter_context(patch.object(Client, "submit", _submit_at_once))
            patches.enter_context(patch("tap_tallyfy.api.client.time.sleep"))
            patches.enter_context(patch.multiple(tap.logger, level=logging.INFO, handlers=[lines], propagate=False))
            patches.enter_context(patch.object(logging.getLogger("singer_sdk.metrics"), "disabled", True))
            try:
                tap.sync_all()
            except SingerSDKError as failed:
                error = str(failed)
        writer.flush()
        self.take(writer.messages)
        way = tap.session.progress.of("tasks").way
        return Sync(self.api.requests[before:], lines.lines, way, error)

    def take(self, messages: Sequence[dict[str, Any]]) -> None:
        """Do what a target does with messages."""
        for message in messages:
            if message["type"] == "RECORD":
                name = message["stream"]  # what is beside is another test's matter
                self.tables[name].update(by_key(name, [as_expected(name, {**message["record"], "_extra": None})]))
            elif message["type"] == "STATE":
                self.state = message["value"]

    def _catalog(self) -> Any:
        if (self.tap, self.full) not in _CATALOGS:
            tap = self.tap(config={"org_id": "o", "access_token": "t"})
            catalog = copy.deepcopy(tap.catalog_dict)
            for stream in catalog["streams"]:
                chosen = stream["tap_stream_id"] != "runs"
                next(each for each in stream["metadata"] if not each["breadcrumb"])["metadata"]["selected"] = chosen
                if self.full:
                    stream["replication_method"] = "FULL_TABLE"
            _CATALOGS[self.tap, self.full] = catalog
        return _CATALOGS[self.tap, self.full]


_CATALOGS: dict[tuple[type[TapTallyfy], bool], Any] = {}


# Accounts in which people work


def complete_one(api: Api, random: Random) -> str:
    """Complete a task that is under way, if there is one."""
    tasks = api.records("tasks").values()
    open_ones = sorted(each["id"] for each in tasks if each["status"] == "in-progress" and not each["archived_at"])
    return str(api.account.complete(random.choice(open_ones))["id"]) if open_ones else ""


def work_for_days(api: Api, random: Random) -> None:
    """Let people launch a process every four hours, and complete a task each time."""
    api.set_clock(AS_OF - timedelta(days=6))
    for _ in range(24):
        api.advance(4 * 3600)
        api.create()
        complete_one(api, random)
    api.advance(3600)


def tasks_of(api: Api, run: str) -> list[str]:
    return [task.id for task in api.account.tasks_of(run)]


def touch_tasks(api: Api, runs: int, random: Random) -> None:
    """Change a task in each of some processes."""
    for run in random.sample([run for run in sorted(api.runs) if tasks_of(api, run)], runs):
        api.account.edit("tasks", tasks_of(api, run)[0], deadline="2026-03-01T00:00:00.000Z")


def check_costs(warehouse: Warehouse, *, few: Mapping[int, int], many: int) -> Sync:
    """Check the requests of a first sync, of two with nothing new, and of further ones; return the last of them.

    Args:
        few: The most requests of a sync, by the number of processes in which a task has changed.
        many: A number of them for which following them would cost more than reading all.
    """
    api, random = warehouse.api, Random(1)
    full = warehouse.sync()
    assert (full.way, full.error) == ("full", "")
    api.advance(HOUR)
    for _ in range(2):
        api.advance(HOUR)
        nothing = warehouse.sync()
        assert nothing.way == "changed"
        assert len(nothing.requests) <= 12
    for changed, most in [*few.items(), (many, len(full.requests) + 10)]:
        api.advance(HOUR)
        touch_tasks(api, changed, random)
        api.advance(600)
        last = warehouse.sync()
        assert last.way == ("full" if changed == many else "changed")
        assert len(last.requests) <= most
        assert not wrong(warehouse)
    return last


def wrong(warehouse: Warehouse) -> dict[str, set[Any]]:
    """The keys of rows that are not as the account has them; rows that are gone there do not count."""
    there = expected_tasks(warehouse.api)
    streams = [stream.name for stream in warehouse.tap.stream_types if stream.name != "runs"]
    found = {
        name: {key for key, row in there[name].items() if _dated(row) != _dated(warehouse.tables[name].get(key, {}))}
        for name in streams
    }
    return {name: keys for name, keys in found.items() if keys}


def _dated(row: dict[str, Any]) -> dict[str, Any]:
    """What a date of the task speaks for: that its process is complete shows in it, and dates it not."""
    return {name: value for name, value in row.items() if name != "run_status"}


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _answered_by(api: Api) -> Callable[[Transport, requests.PreparedRequest], Response]:
    def send(_: Transport, prepared: requests.PreparedRequest) -> Response:
        url = urlsplit(str(prepared.url))
        request = Request("GET", url.path, dict(parse_qsl(url.query, keep_blank_values=True)), dict(prepared.headers))
        api.requests.append(request)
        reply = api.answer(request, b"")
        request.status = int(reply.status)
        headers = dict(reply.headers)
        if api.behaviour.date_header:
            date = api.now() + timedelta(seconds=api.behaviour.date_ahead)
            headers["Date"] = format_datetime(date, usegmt=True)
        body = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
        return Response(request.status, CaseInsensitiveDict(headers), body, url.path)

    return send


def _submit_at_once(asker: Client, request: Any, parse: Any, account: Any) -> Future[Any]:
    future: Future[Any] = Future()
    try:
        future.set_result(asker.get(request, parse, account))
    except Exception as error:  # noqa: BLE001 - raised again where the result is wanted
        future.set_exception(error)
    return future
