"""A Tallyfy in memory that people work in between any two requests, and a warehouse that syncs from it.

Everything but the wire is real: the tap, its stream and state, the SDK. Over the wire the same is shown elsewhere.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import FatalAPIError, SingerSDKError
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.messages import Message

from tap_tallyfy.paginator import Pagination
from tap_tallyfy.streams import RunsStream
from tap_tallyfy.tap import TapTallyfy
from tap_tallyfy.walk import Page, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from random import Random

    from tap_tallyfy.list_stream import ListStream

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

Row = dict[str, Any]

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


@dataclass
class Server:
    """What the API is like, and what it holds."""

    random: Random
    sort: str = "last_updated"  # the name it knows this order by; "created_at" or "" for one that knows less
    default: str = "-created_at"
    shuffle_ties: bool = False
    cap: int = 100
    fixed: int = 0
    archived: str = "both"
    whole: bool = True
    date: bool = True
    total: bool = True
    wrong_total_pages: bool = False
    kinds: tuple[str, ...] = ("create", "create", "touch", "touch", "touch", "archive", "restore", "delete", "bulk")
    clock: int = 1000
    rows: dict[str, Row] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    made: int = 0
    requests: int = 0
    failing: bool = False

    def stamp(self) -> str:
        return f"{START + timedelta(seconds=self.clock):%Y-%m-%dT%H:%M:%S}.000Z"

    def create(self) -> None:
        self.made += 1
        identity = f"{self.random.getrandbits(64):016x}{self.made:016x}"
        self.rows[identity] = {
            "id": identity,
            "name": f"{self.random.random():.6f}",
            "status": "active",
            "archived_at": None,
            "created_at": self.stamp(),
            "last_updated": self.stamp(),
            "summary": "0",
        }
        self.touched.add(identity)

    def mutate(self) -> None:
        kind = self.random.choice(self.kinds)
        if kind == "create" or not self.rows:
            self.create()
            return
        if kind == "bulk":
            for _ in range(self.random.randint(2, 5)):
                self.create()
            return
        if kind == "delete":
            identity = self.random.choice(sorted(self.rows))
            self.touched.add(identity)
            del self.rows[identity]
            return
        row = self.touch()
        if kind == "archive":
            row.update(archived_at=self.stamp(), status="archived")
        elif kind == "restore":
            row.update(archived_at=None, status="active")

    def touch(self) -> Row:
        if not self.rows:
            self.create()
        row = self.rows[self.random.choice(sorted(self.rows))]
        self.touched.add(row["id"])
        row["last_updated"] = self.stamp()
        row["summary"] = str(int(row["summary"]) + 1)
        return row

    def work(self, most: int) -> None:
        for _ in range(self.random.randint(0, most)):
            self.clock += self.random.choice([0, 0, 1, 5])
            self.mutate()

    def ordered(self, rows: list[Row], sort: str) -> list[Row]:
        fields = {"created_at": "created_at", "name": "name", "id": "id"}
        if self.sort in {"last_updated", "updated_at"}:
            fields[self.sort] = "last_updated"
        name = sort.removeprefix("-")
        if self.sort == "" or name not in fields:
            sort, name = self.default, self.default.removeprefix("-")
        rows.sort(key=lambda row: row["id"])
        if self.shuffle_ties:
            self.random.shuffle(rows)
        return sorted(rows, key=lambda row: str(row[fields[name]]), reverse=sort.startswith("-"))

    def page(self, window: Window) -> Page:
        self.requests += 1
        parameters = dict(window.parameters)
        rows = list(self.rows.values())
        knows_param, knows_status = self.archived in {"both", "param"}, self.archived in {"both", "status"}
        only = (knows_param and parameters.get("archived") == "only") or (
            knows_status and parameters.get("status") == "archived"
        )
        rows = [row for row in rows if bool(row["archived_at"]) == only]
        if "status" in parameters:
            rows = [row for row in rows if row["status"] == parameters["status"]]
        rows = self.ordered(rows, window.sort or "")
        stamp = self.stamp() if self.date else None
        if window.whole and self.whole:
            return Page(window, copy.deepcopy(rows), Pagination(len(rows)), stamp)
        size = self.fixed or min(window.size, self.cap)
        shown = rows[(window.page - 1) * size : window.page * size]
        pages = -(-len(rows) // (10 if self.wrong_total_pages else size))
        pagination = Pagination(
            count=len(shown),
            total=len(rows) if self.total else None,
            per_page=size,
            total_pages=pages,
            next_link=window.page * size < len(rows),
            paged=True,
        )
        return Page(window, copy.deepcopy(shown), pagination, stamp)


class Collector(GenericSingerWriter[str, Message]):
    """Keeps messages instead of writing them."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []

    @override
    def serialize_message(self, message: Message) -> str:
        return ""

    @override
    def write_message(self, message: Message) -> None:
        self.messages.append(copy.deepcopy(message.to_dict()))


def side_by_side(
    windows: list[Window], answer: Callable[[Window], Page], concurrency: int, random: Random
) -> Iterator[tuple[Window, Any]]:
    """Yield answers in order, of which so many at once are given in any order, with work going on in between."""
    answers: dict[int, Page] = {}
    for index, window in enumerate(windows):
        while index not in answers:
            under_way = range(index, min(index + concurrency, len(windows)))
            chosen = random.choice([other for other in under_way if other not in answers])
            answers[chosen] = answer(windows[chosen])
        yield window, answers.pop(index)


@dataclass
class Warehouse:
    """A target that holds what was emitted, and the state that goes with it."""

    server: Server
    page_size: int = 100
    concurrency: int = 1
    stretch: int = 100
    base: type[ListStream] = RunsStream
    rows: dict[str, Row] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    emitted: int = 0

    def sync(
        self, before_request: Callable[[], None] = lambda: None, fault: Callable[[], bool] = lambda: False
    ) -> bool:
        """Sync once, with people at work before every request; return whether the tap called it a success."""
        server = self.server

        def answer(window: Window) -> Page:
            before_request()
            if fault():
                msg = "The API has a problem."
                raise FatalAPIError(msg)
            return server.page(window)

        class Walk(self.base.walk_type):  # type: ignore[name-defined, misc]
            stretch = self.stretch

        class Stream(self.base):  # type: ignore[name-defined, misc]
            walk_type = Walk

            @override
            def read_page(self, window: Window, response: Any = None) -> Page:
                return answer(window) if response is None else response

            @override
            def fetch_ahead(self, windows: Iterable[Window]) -> Iterator[tuple[Window, Any]]:
                return side_by_side(list(windows), answer, self.config["concurrency"], server.random)

        class Tap(TapTallyfy):
            stream_types = (Stream,)

        writer = Collector()
        config = {
            "org_id": "o",
            "access_token": "t",
            "page_size": self.page_size,
            "concurrency": self.concurrency,
            **self.settings,
        }
        self.error, self.emitted = "", 0
        tap = Tap(config=config, state=copy.deepcopy(self.state), message_writer=writer)
        try:
            tap.sync_all()
        except SingerSDKError as error:
            self.error = str(error)
        for message in writer.messages:
            if message["type"] == "RECORD":
                self.rows[message["record"]["id"]] = message["record"]
                self.emitted += 1
            elif message["type"] == "STATE":
                self.state = message["value"]
        return not self.error

    def bookmark(self) -> Any:
        return self.state.get("bookmarks", {}).get("runs", {}).get("replication_key_value")

    def wrong(self, ids: Iterable[str]) -> list[str]:
        """Return which of these runs the warehouse does not hold as the server has them."""
        return [
            identity
            for identity in ids
            if identity in self.server.rows and self.rows.get(identity) != self.server.rows[identity]
        ]
