"""A Tallyfy in memory that people work in between any two requests, and a warehouse that syncs from it.

Everything but the wire is real: the tap, its stream and state, the SDK. Over the wire the same is shown elsewhere.
"""

from __future__ import annotations

import copy
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
from singer_sdk.exceptions import SingerSDKError

from tap_tallyfy.api.endpoint import Endpoint
from tap_tallyfy.api.errors import ListFailedError
from tap_tallyfy.api.listing import ListSource
from tap_tallyfy.api.response import Response
from tap_tallyfy.reading.page import Page, Pagination, Window
from tap_tallyfy.reading.seen import Seen
from tap_tallyfy.reading.walk import Walk
from tap_tallyfy.records.contract import CONTRACT, EXTRA
from tap_tallyfy.singer import list_reading
from tap_tallyfy.singer.writer import LineWriter
from tap_tallyfy.streams import RunsStream
from tap_tallyfy.tap import TapTallyfy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tap_tallyfy.singer.list_stream import ListStream

from typing_extensions import override

Row = dict[str, Any]
Rows = dict[Any, Row]

START = datetime(2026, 1, 1, tzinfo=timezone.utc)

#: The sizes of pages that many servers know.
_LISTED = (2, 3, 5, 10, 20, 100)


def _at_most(sizes: Iterable[int], asked: int) -> int:
    """The largest of some sizes that is not above another, or the smallest."""
    return max((size for size in sizes if size <= asked), default=min(sizes))


#: What servers make of the size of a page that is asked for.
RULES: dict[str, Callable[[Server, int], int]] = {
    "as asked": lambda server, asked: min(asked, server.cap),
    "fixed": lambda server, _: server.cap,
    "down": lambda _, asked: _at_most(_LISTED, asked),
    "up": lambda _, asked: min(size for size in _LISTED if size >= asked),
    "nearest": lambda _, asked: min(_LISTED, key=lambda size: abs(size - asked)),
    "powers": lambda _, asked: 1 << (asked.bit_length() - 1),
    "unknown": lambda server, asked: asked if asked in _LISTED else server.cap,
    "threes": lambda _, asked: max(asked - asked % 3, 3),
    "changes": lambda server, asked: asked if server.requests <= 2 else min(asked, server.cap),
    "random": lambda server, asked: server.random.randint(1, asked),
}


_ENDPOINT = Endpoint(
    name="runs", path="/", url="/", headers={}, params={}, sort=None, sort_parameter="sort", unpaginated={}, parse=dict,
    key="id",
)  # fmt: skip


@dataclass
class Server:
    """What the API is like, and what it holds.

    Attributes:
        sort: The name it knows the order by the last change by; "created_at" or "" for one that knows less.
        default: Its order where it is asked for none that it knows.
        ties: Records that are equal in it come in the order of their ids ("id"), in another one on every read
            ("shuffled"), or in one that depends on the page and its size ("page"), as databases do it.
        rule: What becomes of the size of a page that is asked for; one of `RULES`.
        cap: The largest page, or the one that another size becomes.
        archived_sorted: Whether it sorts archived records too.
        archived: How archived records are asked for: "param", "status" or "both"; "none" if its list holds them too.
        whole: Whether it sends the list in one answer.
        date: Whether it tells its clock.
        total, meta: Whether its pages have a total, and any `meta` at all.
        off_by: How much is added to the total that it tells.
        blank: How many of a hundred pages come without their rows.
        depth: How many rows it shows at most, or 0 for all; pages behind them are empty.
        keyless: Whether some rows come without their key.
        gaps: Whether it writes lists as objects with numbers as names.
        ahead: Seconds by which its clock is ahead of the dates in its rows.
        total_lags: Whether it counts the total some changes before it reads the page.
        lag: Seconds by which an answer may be behind.
        dates: "real", "equal" for records created and changed in one second, "none" for records without dates.
        integers: Whether ids are integers.
    """

    random: Random
    sort: str = "last_updated"
    default: str = "-created_at"
    ties: str = "id"
    rule: str = "as asked"
    cap: int = 100
    archived: str = "both"
    archived_sorted: bool = True
    whole: bool = True
    date: bool = True
    total: bool = True
    meta: bool = True
    total_lags: bool = False
    off_by: int = 0
    blank: int = 0
    depth: int = 0
    keyless: bool = False
    gaps: bool = False
    ahead: int = 0
    lag: int = 0
    dates: str = "real"
    integers: bool = False
    wrong_total_pages: bool = False
    kinds: tuple[str, ...] = ("create", "create", "touch", "touch", "touch", "archive", "restore", "delete", "bulk")
    clock: int = 1000
    rows: Rows = field(default_factory=dict)
    touched: dict[Any, tuple[int, int]] = field(default_factory=dict)
    changes: int = 0
    made: int = 0
    requests: int = 0
    past: list[tuple[int, Rows]] = field(default_factory=list)
    totals: dict[bool, int] = field(default_factory=dict)

    def stamp(self) -> str:
        return f"{START + timedelta(seconds=self.clock):%Y-%m-%dT%H:%M:%S}.000Z"

    def note(self, identity: Any) -> None:
        """Remember when a record was changed last: at what time, and as which of all changes."""
        self.changes += 1
        self.touched[identity] = self.clock, self.changes

    def create(self) -> None:
        self.made += 1
        number = self.random.getrandbits(40) * 1000 + self.made
        identity = number if self.integers else f"{number:032x}"
        created = {"real": self.stamp(), "equal": f"{START:%Y-%m-%dT%H:%M:%S}.000Z", "none": None}[self.dates]
        self.rows[identity] = {
            "id": identity,
            "name": f"{self.random.random():.6f}",
            "status": "active",
            "archived_at": None,
            "created_at": created,
            "last_updated": None if self.dates == "none" else self.stamp(),
            "summary": "0",
        }
        self.note(identity)

    def fill(self, rows: int) -> None:
        """Let some weeks of ordinary work pass."""
        for _ in range(rows):
            self.clock += self.random.choice([0, 0, 1, 10])
            self.mutate(("create", "create", "touch", "archive", "restore", "delete", "bulk"))

    def mutate(self, kinds: tuple[str, ...] = ()) -> None:
        if self.lag:
            self.past.append((self.clock, {identity: dict(row) for identity, row in self.rows.items()}))
        kind = self.random.choice(kinds or self.kinds)
        if kind == "create" or not self.rows:
            self.create()
        elif kind == "bulk":
            for _ in range(self.random.randint(2, 9)):
                self.create()
        elif kind == "purge":
            newest = sorted(self.rows, key=lambda identity: str(self.rows[identity]["created_at"]), reverse=True)
            for identity in newest[: self.random.randint(4, 6)]:
                self.note(identity)
                del self.rows[identity]
        elif kind == "delete":
            identity = self.random.choice(sorted(self.rows))
            self.note(identity)
            del self.rows[identity]
        else:
            row = self.touch()
            if kind == "archive":
                row.update(archived_at=self.stamp(), status="archived")
            elif kind == "restore":
                row.update(archived_at=None, status="active")

    def touch(self) -> Row:
        if not self.rows:
            self.create()
        row = self.rows[self.random.choice(sorted(self.rows))]
        self.note(row["id"])
        if self.dates != "none":
            row["last_updated"] = self.stamp()
        row["summary"] = str(int(row["summary"]) + 1)
        return row

    def work(self, most: int) -> None:
        for _ in range(self.random.randint(0, most)):
            self.clock += self.random.choice([0, 0, 1, 5])
            self.mutate()

    def rest(self) -> None:
        """Let all replicas catch up."""
        self.clock += self.lag + 1
        self.past.clear()

    @property
    def shows_all(self) -> bool:
        """Whether a list at rest can be read: all of it is shown, as it is counted, in pages that keep their size."""
        counts = self.meta and self.total
        return (
            self.rule not in {"changes", "random"} and not self.blank and not (counts and (self.off_by or self.depth))
        )

    def shown(self) -> Rows:
        """What a replica holds that is behind by no more than the lag."""
        while self.past and self.past[0][0] < self.clock - self.lag:
            del self.past[0]
        return self.random.choice([self.rows, *(rows for _, rows in self.past)])

    def ordered(self, rows: list[Row], sort: str, page: tuple[int, int]) -> list[Row]:
        fields = {"created_at": "created_at", "name": "name", "id": "id"}
        if self.sort in {"last_updated", "updated_at"}:
            fields[self.sort] = "last_updated"
        name = sort.removeprefix("-")
        if self.sort == "" or name not in fields:
            sort, name = self.default, self.default.removeprefix("-")
        rows.sort(key=lambda row: row["id"])
        if self.ties != "id":
            (self.random if self.ties == "shuffled" else Random(repr(page))).shuffle(rows)
        return sorted(rows, key=lambda row: str(row[fields[name]] or ""), reverse=sort.startswith("-"))

    def told_total(self, total: int, *, listing: bool) -> int:
        """Return the total of a list: perhaps the one of the request before."""
        before, self.totals[listing] = self.totals.get(listing, total), total
        return self.random.choice([before, total]) if self.total_lags else total

    def page(self, window: Window) -> Page:
        self.requests += 1
        rows = list(self.shown().values())
        knows_param, knows_status = self.archived in {"both", "param"}, self.archived in {"both", "status"}
        only = (knows_param and window.parameters.get("archived") == "only") or (
            knows_status and window.parameters.get("status") == "archived"
        )
        rows = [row for row in rows if bool(row["archived_at"]) == only or self.archived == "none"]
        if "status" in window.parameters:
            rows = [row for row in rows if row["status"] == window.parameters["status"]]
        size = RULES[self.rule](self, window.size)
        sort = (window.sort or "") if self.archived_sorted or not only else ""
        rows = self.ordered(rows, sort, (window.page, size))
        now = START.timestamp() + self.clock + self.ahead if self.date else None
        if window.unpaginated and self.whole:
            return self.sent(window, rows, Pagination(), now)
        # Where nothing is counted, nobody can tell that rows are kept back.
        is_counted = self.meta and self.total and self.off_by >= 0 and not self.total_lags
        depth = self.depth if is_counted else 0
        shown = rows[: depth or None][(window.page - 1) * size : window.page * size]
        if is_counted and self.random.randrange(100) < self.blank:
            shown = []
        pagination = Pagination(
            total=max(self.told_total(len(rows), listing=only) + self.off_by, 0) if self.total else None,
            per_page=size,
            total_pages=-(-len(rows) // (10 if self.wrong_total_pages else size)),
            next_link=window.page * size < len(rows),
        )
        return self.sent(window, shown, pagination if self.meta else Pagination(), now)

    def sent(self, window: Window, rows: list[Row], pagination: Pagination, now: float | None) -> Page:
        """Return a page as the tap's endpoint makes it of these rows."""
        sent = [{**row, "id": None} if self.lacks_key(row["id"]) else row for row in rows]
        # PHP writes a list that has gaps as an object.
        data: object = {str(2 * place): row for place, row in enumerate(sent)} if self.gaps else sent
        page = _ENDPOINT.page(window, Response(200, {}, msgspec.json.encode({"data": data}), "/"))
        return replace(page, pagination=pagination, server_time=now)

    def lacks_key(self, identity: Any) -> bool:
        """Whether the row comes without its key."""
        return self.keyless and int(str(identity)[-1], 16) == 0


class Collector(LineWriter):
    """Keeps messages instead of writing them."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []

    @override
    def write_lines(self, lines: bytes) -> None:
        self.messages += map(msgspec.json.decode, lines.splitlines())


@dataclass
class Warehouse:
    """A target that holds what was emitted, and the state that goes with it.

    Attributes:
        walk_type, seen_type: What reads, and remembers: a test may take a safeguard out.
        deleted: The ids of rows that are marked as deleted.
    """

    server: Server
    page_size: int = 100
    concurrency: int = 1
    base: type[ListStream] = RunsStream
    walk_type: type[Walk] = Walk
    seen_type: type[Seen] = Seen
    rows: Rows = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[Any, int] = field(default_factory=dict)
    deleted: set[Any] = field(default_factory=set)
    version: int = 0
    error: str = ""
    emitted: int = 0

    def sync(
        self, before_request: Callable[[], None] = lambda: None, fault: Callable[[], bool] = lambda: False
    ) -> bool:
        """Sync once, with people at work before every request; return whether the tap called it a success."""
        server, base = self.server, self.base

        class Source(ListSource):
            """Answers from memory: to pages asked for side by side in any order, with work going on in between."""

            @override
            def _fetch(self, window: Window) -> Page:
                before_request()
                if fault():
                    raise ListFailedError("The API has a problem.", status=500)
                page = server.page(window)
                return replace(page, records=[as_parsed(record) for record in page.records])

            @override
            def submit(self, window: Window) -> Future[Any]:
                return Future()

            @override
            def wait_any(self, futures: Iterable[Future[Any]]) -> Iterable[Future[Any]]:
                return [server.random.choice(list(futures))]

            @override
            def result(self, window: Window, future: Future[Any]) -> Page:
                return self.read(window)

        class Tap(TapTallyfy):
            stream_types = (base,)

        columns = CONTRACT.columns(base.contract_key)

        def as_parsed(row: Row) -> Row:
            known = {name: value for name, value in row.items() if name in columns}
            return {**known, EXTRA: {name: value for name, value in row.items() if name not in columns} or None}

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
        # Elsewhere a second goes by between two syncs.
        tap.session.sync.version = self.version = max(tap.session.sync.version, self.version + 1)
        try:
            with (
                patch.object(list_reading, "ListSource", Source),
                patch.object(list_reading, "Seen", self.seen_type),
                patch.object(list_reading, "Walk", self.walk_type),
            ):
                tap.sync_all()
        except SingerSDKError as error:
            self.error = str(error)
        writer.flush()  # as at the end of the process
        for message in writer.messages:
            self.take(message)
        return not self.error

    def take(self, message: dict[str, Any]) -> None:
        """Do what a target does with a message."""
        if message["type"] == "RECORD":
            row = message["record"]
            assert row.pop("org_id") == "o"
            row |= row.pop(EXTRA) or {}
            self.rows[row["id"]] = row
            self.versions[row["id"]] = message.get("version", 0)
            self.deleted.discard(row["id"])
            self.emitted += 1
        elif message["type"] == "ACTIVATE_VERSION":
            self.deleted |= {identity for identity, version in self.versions.items() if version < message["version"]}
        elif message["type"] == "STATE":
            self.state = message["value"]

    def bookmark(self) -> Any:
        return self.state.get("bookmarks", {}).get(self.base.name, {}).get("replication_key_value")

    def wrong(self, ids: Iterable[Any]) -> list[Any]:
        """Return which of these records the warehouse does not hold as the server has them."""
        return [
            identity
            for identity in ids
            if identity in self.server.rows
            and _sent(self.rows.get(identity, {})) != _sent(self.server.rows[identity])
            and not self.server.lacks_key(identity)
        ]


def _sent(row: Row) -> Row:
    """What the API sent of a row: a column of which it sent nothing is null."""
    return {name: value for name, value in row.items() if value is not None}
