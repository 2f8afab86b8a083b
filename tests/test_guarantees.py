"""The guarantees of the README, against a server that is changed between any two requests.

Everything but the wire is real: settings, stream, walk, state, the SDK. `tests/test_postgres.py` does the same over it.
`make soak` looks at many more worlds than `make test` does.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tap_tallyfy.reading import repeated
from tap_tallyfy.reading.evidence import SortEvidence
from tap_tallyfy.reading.metered import MeteredSource
from tap_tallyfy.reading.page import Pagination
from tap_tallyfy.reading.paginator import BOTTOM, ListPaginator, Order
from tap_tallyfy.reading.seen import Seen, changed_at
from tap_tallyfy.reading.walk import Walk
from tap_tallyfy.streams import RunsStream, TagsStream, TasksStream
from tests.model import RULES, Server, Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from tap_tallyfy.reading.page import Page
    from tap_tallyfy.singer.list_stream import ListStream

from typing_extensions import override

MOST_REQUESTS = 6000
#: How many more worlds to look at than a test run does.
SOAK = int(os.environ.get("SOAK", "1"))


@dataclass(frozen=True)
class World:
    """A server, and how it is read."""

    server: Server
    page_size: int
    concurrency: int
    rows: int


@st.composite
def worlds(draw: st.DrawFn, fixed: dict[str, object]) -> World:
    often = st.sampled_from
    drawn: dict[str, Any] = {
        "random": Random(draw(st.integers(0, 2**32))),
        "sort": draw(often(["last_updated", "last_updated", "updated_at", "created_at", ""])),
        "default": draw(often(["-created_at", "-created_at", "created_at", "name", "id"])),
        "ties": draw(often(["id", "id", "shuffled", "page"])),
        "rule": draw(often(["as asked", "as asked", "fixed", *RULES])),
        "archived_sorted": draw(often([True, True, True, False])),
        "cap": draw(often([100, 100, 3, 10])),
        "archived": draw(often(["both", "param", "status"])),
        "whole": draw(often([True, False])),
        "date": draw(often([True, True, True, False])),
        "total": draw(often([True, True, True, True, False])),
        "meta": draw(often([True, True, True, True, False])),
        "off_by": draw(often([0, 0, 0, 0, -3, 3])),
        "blank": draw(often([0, 0, 0, 10])),
        "depth": draw(often([0, 0, 0, 0, 0, 10])),
        "keyless": draw(often([False, False, False, True])),
        "gaps": draw(often([False, False, True])),
        "ahead": draw(often([0, 0, 0, 3600])),
        "total_lags": draw(often([False, False, False, True])),
        "lag": draw(often([0, 0, 0, 8, 60])),
        "dates": draw(often(["real", "real", "real", "equal", "none"])),
        "integers": draw(st.booleans()),
        "wrong_total_pages": draw(st.booleans()),
        "page_size": draw(often([1, 2, 3, 4, 5, 7, 10, 20])),
        "concurrency": draw(often([1, 1, 2, 4])),
        "rows": draw(st.integers(0, 60)),
    }
    drawn |= fixed
    reading = {name: drawn.pop(name) for name in ("page_size", "concurrency", "rows")}
    # Two readings of a list agree by chance now and then if replicas lag: the README says so.
    drawn["whole"] |= drawn["lag"] > 0
    return World(Server(**drawn), **reading)


class Guarantees(RuleBasedStateMachine):
    """A warehouse that syncs from a server in which people work, also while it does."""

    stream: ClassVar[type[ListStream]] = RunsStream
    walk_type: ClassVar[type[Walk]] = Walk
    seen_type: ClassVar[type[Seen]] = Seen
    fixed: ClassVar[dict[str, object]] = {}
    settings: ClassVar[dict[str, object]] = {}

    @initialize(data=st.data())
    def start(self, data: st.DataObject) -> None:
        logging.disable(logging.CRITICAL)
        world = data.draw(worlds(self.fixed))
        self.server = world.server
        self.warehouse = Warehouse(
            world.server,
            page_size=world.page_size,
            concurrency=world.concurrency,
            base=self.stream,
            walk_type=self.walk_type,
            seen_type=self.seen_type,
            settings=dict(self.settings),
        )
        self.server.fill(world.rows)

    @override
    def teardown(self) -> None:
        logging.disable(logging.NOTSET)

    @rule(changes=st.integers(1, 12), seconds=st.sampled_from([0, 1, 100]))
    def work(self, changes: int, seconds: int) -> None:
        self.server.clock += seconds
        self.server.work(changes)

    @rule(runs=st.integers(4, 12))
    def rush(self, runs: int) -> None:
        """Sync several pages of changes while more come in."""
        for _ in range(runs):
            self.server.clock += self.server.random.choice([0, 1, 1])
            self.server.touch()
        self.sync(most=2, changes=10, faulty=False)

    @rule(most=st.integers(0, 4), changes=st.sampled_from([3, 10, 60]), faulty=st.sampled_from([False, False, True]))
    def sync(self, most: int, changes: int, faulty: bool) -> None:
        """Sync while people work and, perhaps, the API fails for good."""
        server, warehouse = self.server, self.warehouse
        server.requests, left = 0, [changes]
        there, bookmark, deleted = set(server.rows), warehouse.bookmark(), set(warehouse.deleted)
        clock, changes_before = server.clock, server.changes

        def meanwhile() -> None:
            assert server.requests < MOST_REQUESTS, "the sync does not end"
            if left[0] and server.random.random() < 0.5:
                left[0] -= 1
                server.work(most)

        if warehouse.sync(meanwhile, lambda: faulty and server.random.random() < 0.1):
            changed = {
                identity
                for identity, (at, number) in server.touched.items()
                if number > changes_before or (server.lag and at >= clock - server.lag)
            }
            assert not warehouse.wrong(there - changed), "complete: a run that nobody touched is missing or stale"
            there_still = (there - changed) & server.rows.keys()
            assert not warehouse.deleted & there_still, "deletions: a run that is there is marked"
        else:
            assert warehouse.deleted <= deleted, "deletions: a failed sync marked rows"
            # A list that has shrunk was read to its end.
            is_kept = warehouse.bookmark() == bookmark
            assert self.accept() or is_kept, "no false success: a failed sync moved the bookmark"

    @rule()
    def rest(self) -> None:
        """Sync while nobody works, when all replicas have caught up."""
        server, warehouse = self.server, self.warehouse
        server.requests = 0
        server.rest()

        def meanwhile() -> None:
            assert server.requests < MOST_REQUESTS, "the sync does not end"

        if warehouse.sync(meanwhile):
            assert not warehouse.wrong(server.rows), "fresh: the warehouse differs from a list at rest"
            gone = warehouse.rows.keys() - server.rows.keys()
            assert warehouse.deleted <= gone, "deletions: rows are marked that are there"
            reads_all = issubclass(self.stream, AllRunsStream) or self.stream.replication_key is None
            # A total of another moment may say that the list falls short.
            marks = reads_all and not server.total_lags and not server.keyless
            assert warehouse.deleted == gone or not marks, "deletions: rows are not marked"
        elif not self.accept() and server.shows_all:
            assert server.ties != "id", f"a list at rest was not read: {warehouse.error}"
            assert not (server.whole and server.meta), f"one answer holds it all, and was not taken: {warehouse.error}"

    def accept(self) -> bool:
        """Accept that the list has shrunk, if that is why the sync failed, as its message says one can."""
        has_shrunk = "so no row made from this list is marked" in self.warehouse.error
        if has_shrunk:
            self.warehouse.state["bookmarks"][self.stream.name].pop("rows")
        return has_shrunk


class AllRunsStream(RunsStream):
    """All of it each time, as the nightly sync reads it."""

    @property
    @override
    def replication_method(self) -> str:
        return "FULL_TABLE"


def check(
    stream: type[ListStream],
    examples: int,
    fixed: dict[str, object],
    settings_: dict[str, object],
    walk_type: type[Walk] = Walk,
    seen_type: type[Seen] = Seen,
) -> None:
    """Look for a sequence of events that breaks a guarantee with this stream."""

    class Checked(Guarantees):
        pass

    Checked.stream, Checked.fixed, Checked.settings = stream, fixed, settings_
    Checked.walk_type, Checked.seen_type = walk_type, seen_type
    run_state_machine_as_test(
        Checked,
        settings=settings(
            max_examples=examples,
            stateful_step_count=8,
            derandomize=SOAK == 1,
            database=None,
            report_multiple_bugs=False,
            phases=[Phase.generate] if fixed else list(Phase),
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize(
    ("stream", "fixed"),
    [
        pytest.param(RunsStream, {}, id="runs"),
        pytest.param(AllRunsStream, {}, id="all runs"),
        # No order by change, and an archived part: all of it is read each time.
        pytest.param(TasksStream, {"sort": "created_at", "archived": "param"}, id="tasks"),
        pytest.param(TagsStream, {"dates": "none", "archived": "none", "whole": False, "lag": 0}, id="no dates"),
    ],
)
def test_guarantees_hold(stream: type[ListStream], fixed: dict[str, object]) -> None:
    check(stream, (50 if stream is RunsStream else 25) * SOAK, fixed, {})


class JoinsAtAnEqualKey(ListPaginator):
    """R1: takes a page for one that goes on where the last one ended although it may begin below unread records."""

    @override
    def _joins(self, page: Page, keys: Sequence[float]) -> bool:
        return super()._joins(page, keys) or (bool(keys) and keys[0] == self.low)


class MeetsAtAnEqualKey(ListPaginator):
    """R3: takes parts to meet, and the bookmark to be reached, in the middle of records of one second."""

    @override
    def has_passed(self, key: float | None) -> bool:
        return self.ended or (key is not None and self.low <= key)


class BelievesTheTotal(ListPaginator):
    """R4: takes the end from a total, which may have been counted at another moment."""

    @override
    def advance(self, page: Page) -> None:
        super().advance(page)
        total = page.pagination.total
        self.ended = self.ended or (total is not None and page.window.start + page.count >= total)


class TakesShortForLast(ListPaginator):
    """A1: takes a page that is shorter than was asked for to be the last one."""

    @override
    def advance(self, page: Page) -> None:
        before, was_read = self.low, self.high is not None
        super().advance(page)
        joined = self.low < before or (bool(page.records) and self._order.key(page.records[0]) > before)
        self.ended = self.ended or (was_read and joined and page.count < page.window.size)


class BelievesBlankPages(MeteredSource):
    """A3: takes a page without rows for one that lies behind the list, whatever the total says."""

    @override
    def _metered(self, page: Page) -> Page:
        page = super()._metered(page)
        return page if page.count else replace(page, trusts_totals=False, pagination=Pagination())


class BlankPages(Walk):
    source_type = BelievesBlankPages


class UntrustedTotals(MeteredSource):
    @override
    def _metered(self, page: Page) -> Page:
        return super()._metered(replace(page, trusts_totals=False, pagination=Pagination()))


class IgnoresTotals(Walk):
    """A2: takes a list for read although the API counts more."""

    source_type = UntrustedTotals


class TiesBeginWhereTheyWere(Walk):
    """A4: takes a tie to begin on the page that showed it before."""

    @override
    def _through_a_tie(self, *args: Any) -> Generator[dict[str, Any], None, None]:
        with patch.object(repeated, "_begins_above", lambda *_: True):
            yield from super()._through_a_tie(*args)


class SortedInAnyCase(SortEvidence):
    """Takes the order received for the order asked for."""

    @override
    def suffices(self, turns: Callable[[], bool]) -> bool:
        return True


class NoEvidence(Walk):
    """Asks for no evidence of the order."""

    @override
    def _newest_first(
        self, order: Order, evidence: SortEvidence, source: MeteredSource
    ) -> Generator[dict[str, Any], None, int | None]:
        return super()._newest_first(order, SortedInAnyCase(), source)


class OneReading(Walk):
    """Takes one reading of a list for all of it."""

    @override
    def _until_two_readings_agree(self, source: MeteredSource) -> Generator[dict[str, Any], None, int | None]:
        yield from repeated.of_everything(source, self.seen, self.size)
        return None


class ClockAlone(Seen):
    """A5: lets the server's clock alone limit the bookmark."""

    @property
    @override
    def bookmark_limit(self) -> float:
        return self.newest if self.clock is None else self.clock


class NoClock(Seen):
    """R7: lets the bookmark pass changes that were made while the sync ran."""

    latest = BOTTOM

    @override
    def observe(self, page: Page) -> None:
        super().observe(page)
        self.latest = max([self.latest, *map(changed_at, page.records)])

    @property
    @override
    def bookmark_limit(self) -> float:
        return self.latest


def with_paginator(paginator: type[ListPaginator]) -> type[Walk]:
    class Weakened(Walk):
        paginator_type = paginator

    return Weakened


ORDERLY = {
    "sort": "last_updated",
    "rule": "as asked",
    "cap": 100,
    "off_by": 0,
    "blank": 0,
    "depth": 0,
    "keyless": False,
    "ahead": 0,
    "archived_sorted": True,
    "meta": True,
    "total": True,
    "date": True,
    "lag": 0,
    "dates": "real",
    "page_size": 4,
    "whole": True,
}
NO_LOOKBACK = {"lookback_seconds": 0}


@pytest.mark.parametrize(
    ("stream", "weakened", "fixed", "settings_"),
    [
        # Read in full each time: that is as many chances as syncs.
        pytest.param(
            AllRunsStream,
            with_paginator(JoinsAtAnEqualKey),
            {**ORDERLY, "ties": "shuffled", "page_size": 10, "concurrency": 1, "rows": 60, "kinds": ("delete",)},
            {},
            id="R1-join",
        ),
        pytest.param(
            AllRunsStream,
            with_paginator(MeetsAtAnEqualKey),
            {**ORDERLY, "page_size": 10, "concurrency": 4, "rows": 60},
            NO_LOOKBACK,
            id="R3-meet",
        ),
        pytest.param(
            AllRunsStream,
            with_paginator(BelievesTheTotal),
            {**ORDERLY, "page_size": 7, "rows": 40, "total_lags": True},
            {},
            id="R4-end",
        ),
        pytest.param(RunsStream, NoClock, {**ORDERLY, "sort": "created_at"}, NO_LOOKBACK, id="R7-clock"),
        pytest.param(RunsStream, Walk, {**ORDERLY, "lag": 8}, NO_LOOKBACK, id="R7-lookback"),
        pytest.param(
            RunsStream,
            NoEvidence,
            {**ORDERLY, "sort": "created_at", "default": "-created_at", "page_size": 3, "rows": 30},
            NO_LOOKBACK,
            id="evidence-of-the-order",
        ),
        pytest.param(
            RunsStream, OneReading, {**ORDERLY, "rule": "fixed", "cap": 3, "whole": False}, {}, id="second-reading"
        ),
        pytest.param(
            AllRunsStream,
            with_paginator(TakesShortForLast),
            {**ORDERLY, "rule": "down", "meta": False, "page_size": 5},
            {},
            id="A1-short",
        ),
        pytest.param(AllRunsStream, IgnoresTotals, {**ORDERLY, "depth": 10, "rows": 60}, {}, id="A2-total"),
        pytest.param(AllRunsStream, BlankPages, {**ORDERLY, "blank": 10, "rows": 60}, {}, id="A3-blank"),
        pytest.param(
            AllRunsStream,
            TiesBeginWhereTheyWere,
            {**ORDERLY, "rows": 40, "kinds": ("touch", "touch", "purge")},
            {},
            id="A4-tie",
        ),
        pytest.param(
            RunsStream, ClockAlone, {**ORDERLY, "sort": "created_at", "ahead": 3600}, NO_LOOKBACK, id="A5-clock-ahead"
        ),
    ],
)
def test_a_weakened_tap_breaks_a_guarantee(
    stream: type[ListStream], weakened: type[Walk | Seen], fixed: dict[str, object], settings_: dict[str, object]
) -> None:
    kind = "walk_type" if issubclass(weakened, Walk) else "seen_type"
    with pytest.raises(AssertionError, match=r"complete|fresh|false success|deletions"):
        check(stream, 1500, fixed, settings_, **{kind: weakened})  # type: ignore[arg-type] # of the kind that it says
