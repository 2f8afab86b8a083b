"""Processes and their tasks in memory, in which people work between any two requests, and a warehouse of the tasks.

Everything but the wire is real: the tap, its streams and state, the SDK. What a server can do to tasks and processes is
drawn; that a live list is read completely is shown elsewhere, so the lists here are plain.
"""

from __future__ import annotations

import copy
import heapq
import json
import logging
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from singer_sdk.exceptions import SingerSDKError
from typing_extensions import override

from tap_tallyfy.api.errors import ListRefusedError
from tap_tallyfy.api.listing import ListSource
from tap_tallyfy.dates import to_second, to_text
from tap_tallyfy.reading.page import Page, Pagination, Window
from tap_tallyfy.records.contract import EXTRA
from tap_tallyfy.singer import list_reading
from tap_tallyfy.streams import RunsStream, TasksStream
from tap_tallyfy.tap import TapTallyfy
from tests.model import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from random import Random

    Row = dict[str, Any]

HOUR: Final = 3600
DAY: Final = 24 * HOUR
START: Final = 1_767_225_600
LOOKBACK: Final = 60
#: What happens to a task.
CHANGES: Final = frozenset({"complete", "edit", "assign", "comment", "create", "archive"})


@dataclass
class Server:
    """How the API treats tasks and their processes; by default the claim holds.

    Attributes:
        dates: The changes of a task that date its process.
        offset: Seconds from the date of a task to that of its process.
        delay: Seconds until the process is dated.
        heartbeat: Whether every process is dated at midnight, whatever happened.
        unlisted: The share of processes that no list shows, though their tasks are shown.
        alone: The list of one-off tasks is "honoured", "ignored" (it shows all), "empty", or it "hides" archived ones.
        archived: The form in which the tasks of a process show archived ones: "absent", "true", "only", "none".
        hides: The tasks that the list of a process leaves out: "skipped", "completed", or none of them.
        poor: Whether that list leaves out a field.
        refuses: The status by which all these lists are refused, or 0.
        sort: Whether processes can be sorted by their last change.
        hushed: Whether nothing that breaks the claim has happened before the first sync.
    """

    dates: frozenset[str] = CHANGES
    offset: int = 0
    delay: int = 0
    heartbeat: bool = False
    unlisted: float = 0.0
    alone: str = "honoured"
    archived: str = "true"
    hides: str = ""
    poor: bool = False
    refuses: int = 0
    sort: bool = True
    hushed: bool = False

    @property
    def keeps_the_claim(self) -> bool:
        """Whether a sync by the changed processes alone can never be wrong."""
        on_time = abs(self.offset) + self.delay <= LOOKBACK
        shows_all = not self.unlisted and not self.hides and self.alone in {"honoured", "ignored"}
        return self.dates == CHANGES and on_time and shows_all


class Account:
    """An account from its beginning on.

    Attributes:
        clock: Seconds since the epoch.
        parents: The processes by their IDs.
        children: The tasks by their IDs.
        versions: For each task, when it came to say what.
        touched: For each task and process, when it changed last.
    """

    def __init__(self, random: Random, server: Server) -> None:
        self.random, self.server, self.clock = random, server, START
        self.kinds = sorted(server.dates if server.hushed and server.dates else CHANGES)
        self.parents: dict[str, Row] = {}
        self.children: dict[str, Row] = {}
        self.versions: dict[str, list[tuple[int, Row]]] = {}
        self.touched: dict[str, int] = {}
        self._unlisted: set[str] = set()
        self._late: list[tuple[int, str, int]] = []
        self._number = 0

    # What happens

    def live(self, until: int, changes: int) -> None:
        """Let some changes happen until a moment."""
        moments = sorted(self.random.randrange(self.clock, max(until, self.clock + 1)) for _ in range(changes))
        for moment in moments:
            self._pass(moment)
            self.change()
        self._pass(until)

    def change_some(self, left: list[int]) -> None:
        """Let something happen now, perhaps.

        Args:
            left: How often, at most; counted down.
        """
        if left[0] and self.random.random() < 0.1:
            left[0] -= 1
            self.change()

    def change(self) -> None:
        """Let something happen now."""
        if self.random.random() < 0.12 or not self.parents:
            self.random.choice([self.launch, self.archive, self.rename] if self.parents else [self.launch])()
            return
        kind = self.random.choice(self.kinds)
        child = self.random.choice(list(self.children.values()))
        run = child["run_id"]
        if kind == "create":
            run = None if self.random.random() < 0.15 else run
            self._create(run)
        elif kind == "complete":
            self._put(child, status="completed", completed_at=to_text(self.clock))
        elif kind == "archive" and run is None:
            self._put(child, archived_at=to_text(self.clock))
        else:
            self._put(child)
        if run and kind in self.server.dates:
            heapq.heappush(self._late, (self.clock + self.server.delay, run, self.clock + self.server.offset))
            self._pass(self.clock)

    def launch(self) -> None:
        """Launch a process."""
        identity = self._identity()
        now = to_text(self.clock)
        self.parents[identity] = {
            "id": identity, "name": identity, "status": "active", "archived_at": None, "completed_at": None,
            "created_at": now, "last_updated": now, "progress": {"total": 4},
        }  # fmt: skip
        self.touched[identity] = self.clock
        if self.random.random() < self.server.unlisted:
            self._unlisted.add(identity)
        for _ in range(self.random.randrange(2, 6)):
            self._create(identity)

    def archive(self) -> None:
        """Archive a process with its tasks, or restore it; both date it."""
        parent = self.random.choice(list(self.parents.values()))
        at = None if parent["archived_at"] else to_text(self.clock)
        self._date(parent["id"], self.clock, archived_at=at, status="archived" if at else "active")
        for child in list(self.children.values()):
            if child["run_id"] == parent["id"]:
                self._put(child, archived_at=at)

    def rename(self) -> None:
        """Change a process and none of its tasks."""
        self._date(self.random.choice(list(self.parents)), self.clock)

    def _create(self, run: str | None) -> None:
        self.clock += 1  # rows of one second are another matter
        identity, now = self._identity(), to_text(self.clock)
        parent = self.parents.get(run or "", {"archived_at": None})
        status = self.random.choice(["in-progress", "in-progress", "completed", "auto-skipped"])
        self._put({
            "id": identity, "run_id": run, "title": "0", "status": status, "created_at": now, "alias": "a field",
            "is_oneoff_task": run is None, "archived_at": parent["archived_at"],
            "completed_at": now if status == "completed" else None,
        })  # fmt: skip

    def _put(self, child: Row, **fields: Any) -> None:
        row = {**child, "last_updated": to_text(self.clock), "title": str(int(child["title"]) + 1), **fields}
        self.children[row["id"]] = row
        self.versions.setdefault(row["id"], []).append((self.clock, row))
        self.touched[row["id"]] = self.clock

    def _date(self, run: str, stamp: int, **fields: Any) -> None:
        parent = self.parents[run]
        date = max(parent["last_updated"], to_text(stamp))
        self.parents[run] = {**parent, "last_updated": date, **fields}
        self.touched[run] = self.clock

    def _pass(self, until: int) -> None:
        while self.clock <= until:
            midnight = (self.clock // DAY + 1) * DAY
            if self._late and self._late[0][0] <= until:
                self.clock, run, stamp = (max(self._late[0][0], self.clock), *self._late[0][1:])
                heapq.heappop(self._late)
                self._date(run, stamp)
            elif self.server.heartbeat and midnight <= until:
                self.clock = midnight
                for run in self.parents:
                    self._date(run, midnight)
            else:
                break
        self.clock = max(self.clock, until)

    def _identity(self) -> str:
        self._number += 1
        return f"{self.random.getrandbits(100):025x}{self._number:07x}"

    # What the API shows

    def page(self, url: str, params: dict[str, Any], window: Window) -> Page:
        """Answer a request."""
        path, asked = url.split("/organizations/o/")[1], {**params, **window.parameters}
        rows = list(self._listed(path, asked))
        descending, name = _ORDERS.get(window.sort or "", (True, "created_at"))
        if name == "last_updated" and not self.server.sort:
            descending, name = True, "created_at"
        rows.sort(key=lambda row: (row[name] or "", row["id"]), reverse=descending)
        total = len(rows)
        if not window.unpaginated:
            rows = rows[window.start : window.end]
        pagination = Pagination() if window.unpaginated else Pagination(total=total, per_page=window.size)
        return Page(window, [_parsed(row) for row in rows], pagination, float(self.clock))

    def _listed(self, path: str, asked: dict[str, Any]) -> Iterator[Row]:
        server, only = self.server, asked.get("archived") == "only"
        if path == "runs":
            rows = (row for row in self.parents.values() if row["id"] not in self._unlisted)
            yield from (row for row in rows if bool(row["archived_at"]) == only)
        elif path == "tasks":
            for row in self.children.values():
                if bool(row["archived_at"]) != only or not row["status"].startswith(asked.get("status", "")):
                    continue
                is_shown = row["is_oneoff_task"] and server.alone != "empty" and not (only and server.alone == "hides")
                if is_shown or "is_oneoff" not in asked or server.alone == "ignored":
                    yield row
        else:
            run = path.split("/")[1]
            if server.refuses:
                raise ListRefusedError("The list is refused.", server.refuses)
            form = asked.get("archived", "absent")
            for row in (row for row in self.children.values() if row["run_id"] == run):
                shown = server.archived in {"absent", form} if row["archived_at"] else form != "only"
                if shown and row["status"] != {"skipped": "auto-skipped"}.get(server.hides, server.hides):
                    yield {**row, "alias": None} if server.poor else row


_ORDERS: Final = {
    "-last_updated": (True, "last_updated"),
    "last_updated": (False, "last_updated"),
    "newest": (True, "created_at"),
    "-created_at": (True, "created_at"),
    "completed_newest": (True, "completed_at"),
}


def _parsed(row: Row) -> Row:
    return {**row, EXTRA: None}


class _Tap(TapTallyfy):
    stream_types = (RunsStream, TasksStream)


@dataclass
class Warehouse:
    """A target that holds what was sent, and the state that goes with it.

    Attributes:
        rows: The tasks by their IDs.
        way: How the last sync read the list.
        wrong_rows: Rows that are as no task ever was.
    """

    account: Account
    settings: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    way: str = ""
    error: str = ""
    requests: int = 0

    def sync(self, before_request: Callable[[], None] = lambda: None, **settings: Any) -> bool:
        """Sync once, with people at work before every request; return whether the tap called it a success."""
        account, warehouse = self.account, self

        class Source(ListSource):
            """Answers from memory, one request after the other."""

            @override
            def _fetch(self, window: Window) -> Page:
                warehouse.requests += 1
                account.live(account.clock + account.random.choice([0, 0, 1, 5]), 0)
                before_request()
                return account.page(self._endpoint.url, dict(self._endpoint.params), window)

            @override
            def submit(self, window: Window) -> Future[Any]:
                future: Future[Any] = Future()
                future.set_result(None)
                return future

            @override
            def result(self, window: Window, future: Future[Any]) -> Page:
                return self.read(replace(window))

        config = {"org_id": "o", "access_token": "t", "page_size": 5, "concurrency": 2, **self.settings, **settings}
        writer, self.requests = Collector(), 0
        tap = _Tap(config=config, catalog=_catalog(), state=copy.deepcopy(self.state), message_writer=writer)
        self.error = ""
        with patch.object(list_reading, "ListSource", Source):
            try:
                tap.sync_all()
            except SingerSDKError as error:
                self.error = str(error)
        writer.flush()
        self.way = tap.session.progress.of("tasks").way
        for message in writer.messages:
            self.take(message)
        return not self.error

    def take(self, message: dict[str, Any]) -> None:
        """Do what a target does with a message."""
        if message["type"] == "RECORD":
            row = {name: value for name, value in message["record"].items() if value is not None}
            self.rows[row["id"]] = {name: value for name, value in row.items() if name != "org_id"}
        elif message["type"] == "STATE":
            self.state = message["value"]

    def stale(self, ids: Iterable[str], before: float) -> dict[str, int]:
        """Return which of these tasks are not as they were at a moment, with the first change that is not there."""
        found: dict[str, int] = {}
        for identity in ids:
            have = int(self.rows.get(identity, {}).get("title", 0))
            missed = [at for at, row in self.account.versions[identity] if at < before and int(row["title"]) > have]
            if missed:
                found[identity] = missed[0]
        return found

    @property
    def never_were(self) -> list[str]:
        """The tasks that the warehouse has as they never were."""
        wrong = []
        for identity, row in self.rows.items():
            version = next(
                row for row in self.account.versions[identity] if row[1]["title"] == self.rows[identity]["title"]
            )
            if row != {name: value for name, value in version[1].items() if value is not None}:
                wrong.append(identity)
        return wrong


_CATALOG: list[str] = []


def _catalog() -> Any:
    if not _CATALOG:
        catalog = _Tap(config={"org_id": "o", "access_token": "t"}).catalog_dict
        for stream in catalog["streams"]:
            chosen = stream["tap_stream_id"] == "tasks"
            next(each for each in stream["metadata"] if not each["breadcrumb"])["metadata"]["selected"] = chosen
        _CATALOG.append(json.dumps(catalog))
    return json.loads(_CATALOG[0])


# The search

ODD: Final[dict[str, tuple[Any, ...]]] = {
    "dates": (
        frozenset(), frozenset({"complete"}), CHANGES - {"assign"}, CHANGES - {"comment", "edit"}, CHANGES - {"create"},
    ),
    "offset": (-600, -40, 40),
    "delay": (30, 50, 900),
    "unlisted": (0.2,),
    "alone": ("ignored", "empty", "hides"),
    "archived": ("absent", "only", "none"),
    "hides": ("skipped", "completed"),
    "poor": (True,),
    "refuses": (403, 404),
    "sort": (False,),
}  # fmt: skip


def drawn(random: Random) -> Server:
    """Draw a server that is odd in no, one or two ways."""
    names = random.sample([*sorted(ODD), "dates", "dates"], random.choice([0, 1, 1, 2]))
    often: dict[str, Any] = {"heartbeat": random.random() < 0.15, "hushed": random.random() < 0.4}
    return Server(**often, **{name: random.choice(ODD[name]) for name in names})


def search(random: Random, server: Server, *, busy: int = 25) -> tuple[int, int, int]:
    """Sync an account for some days, and fail if a promise is broken.

    Args:
        random: Decides everything.
        server: How the API treats tasks and their processes.
        busy: The most changes from one sync to the next.

    Returns:
        How many syncs there were, how many of them went the short way, and the rows that were stale after one.
    """
    account = Account(random, server)
    for _ in range(random.randrange(8, 14)):
        account.live(account.clock + random.randrange(DAY // 4), 1)
        account.launch()
    account.live(START + 4 * DAY, random.choice([5, 80, 120, 160]))
    account.live(account.clock + HOUR, 0)
    account.kinds = sorted(CHANGES)
    warehouse, longest, ways, stale_rows = Warehouse(account), 0, [], 0
    known_until, evidence_at, before = 0, 0, 0
    logging.disable(logging.CRITICAL)
    try:
        for _ in range(random.randrange(14, 28)):
            began, settled = account.clock, account.clock - LOOKBACK
            shown = _counter_example(account, settled)
            meanwhile = partial(account.change_some, [min(random.choice([0, 0, 3]), busy - 1)])
            assert warehouse.sync(meanwhile), f"failed: {warehouse.error}"
            ways.append(warehouse.way)
            resting = [
                identity
                for identity, child in account.children.items()
                if max(account.touched[identity], account.touched.get(child["run_id"], 0)) < settled
            ]
            stale = warehouse.stale(resting, settled)
            stale_rows += len(stale)
            assert not any(began - missed > DAY + longest for missed in stale.values()), "late: stale for too long"
            assert not (stale and server.keeps_the_claim), "honest: a row is stale where the claim holds"
            assert not (stale and began < known_until), "known: the short way was taken after a counter-example"
            assert not warehouse.never_were, "faithful: a row is as no task ever was"
            if warehouse.way == "full" and (not evidence_at or began + (began - before) - evidence_at > DAY):
                evidence_at = began
                known_until = max(known_until, shown + 30 * DAY if shown else 0)
            step = random.choice([HOUR // 2, HOUR, 2 * HOUR, 4 * HOUR])
            before, longest = began, max(longest, step)
            account.live(account.clock + step, min(random.choice([0, 1, 3, random.randrange(busy)]), busy))
        account.live(account.clock + 2 * HOUR, 0)
        assert warehouse.sync(full_task_sync_hours=0), warehouse.error
        assert not warehouse.stale(account.children, account.clock), "lost: a row is stale at rest"
        assert not warehouse.never_were, "faithful: a row is as no task ever was"
    finally:
        logging.disable(logging.NOTSET)
    return len(ways), ways.count("changed"), stale_rows


def _counter_example(account: Account, settled: int) -> int:
    """Return the newest date by which a task speaks against the claim, as a full reading shows it, or 0."""
    found = 0
    for child in account.children.values():
        date, run = int(to_second(child["last_updated"])), child["run_id"]
        if run and date < settled and account.touched[run] < settled:
            parent = None if run in account._unlisted else account.parents[run]  # noqa: SLF001 - one module
            if parent is None or date > to_second(parent["last_updated"]) + LOOKBACK:
                found = max(found, date)
    return found
