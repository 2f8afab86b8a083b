"""The guarantees of the README, against a server that is changed between any two requests.

Everything but the wire is real: settings, stream, walk, state, the SDK. `tests/test_postgres.py` does the same over it.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tap_tallyfy.streams import RunsStream
from tap_tallyfy.walk import Page, Walk, Window
from tests.model import Server, Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_tallyfy.list_stream import ListStream

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

MOST_REQUESTS = 6000


@dataclass(frozen=True)
class World:
    """A server, and how it is read."""

    server: Server
    page_size: int
    concurrency: int
    stretch: int
    rows: int


@st.composite
def worlds(draw: st.DrawFn, fixed: dict[str, object]) -> World:
    often = st.sampled_from
    drawn: dict[str, Any] = {
        "random": Random(draw(st.integers(0, 2**32))),
        "sort": draw(often(["last_updated", "last_updated", "updated_at", "created_at", ""])),
        "default": draw(often(["-created_at", "-created_at", "created_at", "name", "id"])),
        "shuffle_ties": draw(often([False, False, True])),
        "cap": draw(often([100, 100, 3, 10])),
        "fixed": draw(often([0, 0, 0, 3, 10])),
        "archived": draw(often(["both", "param", "status"])),
        "whole": draw(often([True, False])),
        "date": draw(often([True, True, True, False])),
        "total": draw(often([True, True, True, True, False])),
        "wrong_total_pages": draw(st.booleans()),
        "page_size": draw(often([1, 2, 3, 4, 5, 7, 10, 20])),
        "concurrency": draw(often([1, 1, 2, 4])),
        "stretch": draw(often([2, 3, 5, 100])),
        "rows": draw(st.integers(0, 40)),
    }
    drawn |= fixed
    reading = {name: drawn.pop(name) for name in ("page_size", "concurrency", "stretch", "rows")}
    return World(Server(**drawn), **reading)


class Guarantees(RuleBasedStateMachine):
    """A warehouse that syncs from a server in which people work, also while it does."""

    stream: ClassVar[type[ListStream]] = RunsStream

    fixed: ClassVar[dict[str, object]] = {}

    @initialize(data=st.data())
    def start(self, data: st.DataObject) -> None:
        logging.disable(logging.CRITICAL)
        world = data.draw(worlds(self.fixed))
        self.server = world.server
        self.warehouse = Warehouse(
            world.server,
            page_size=world.page_size,
            concurrency=world.concurrency,
            stretch=world.stretch,
            base=self.stream,
        )
        for _ in range(world.rows):
            self.server.clock += self.server.random.choice([0, 0, 1, 10])
            self.server.mutate()

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

    @rule(most=st.integers(0, 2), changes=st.sampled_from([3, 10, 60]), faulty=st.sampled_from([False, False, True]))
    def sync(self, most: int, changes: int, faulty: bool) -> None:  # noqa: FBT001
        """Sync while people work and, perhaps, the API fails for good."""
        server, warehouse = self.server, self.warehouse
        server.touched.clear()
        server.requests, left = 0, [changes]
        there, bookmark = set(server.rows), warehouse.bookmark()

        def meanwhile() -> None:
            assert server.requests < MOST_REQUESTS, "the sync does not end"
            if left[0] and server.random.random() < 0.5:
                left[0] -= 1
                server.work(most)

        if warehouse.sync(meanwhile, lambda: faulty and server.random.random() < 0.1):
            assert not warehouse.wrong(there - server.touched), (
                "complete: a run that nobody touched is missing or stale"
            )
        else:
            assert warehouse.bookmark() == bookmark, "no false success: a failed sync moved the bookmark"

    @rule()
    def rest(self) -> None:
        """Sync while nobody works."""
        server, warehouse = self.server, self.warehouse
        server.requests = 0

        def meanwhile() -> None:
            assert server.requests < MOST_REQUESTS, "the sync does not end"

        if warehouse.sync(meanwhile):
            assert not warehouse.wrong(server.rows), "fresh: the warehouse differs from a list at rest"
        else:
            assert not server.whole, "a list at rest that can be had in one response was not read"
            assert server.shuffle_ties or not server.total, f"a list at rest was not read: {warehouse.error}"


def check(stream: type[ListStream], examples: int, **fixed: object) -> None:
    """Look for a sequence of events that breaks a guarantee with this stream."""

    class Checked(Guarantees):
        pass

    Checked.stream, Checked.fixed = stream, fixed
    run_state_machine_as_test(
        Checked,
        settings=settings(
            max_examples=examples,
            stateful_step_count=8,
            deadline=None,
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
            phases=[Phase.generate] if fixed else list(Phase),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_guarantees_hold() -> None:
    check(RunsStream, 800)


class NoStepBack(Walk):
    """Takes a list that shrank for one that did not."""

    @override
    def _joins(self, page: Page) -> bool:
        self._chain = replace(self._chain, total=None)
        return super()._joins(page)


class NoEvidence(Walk):
    """Takes the order received for the order asked for."""

    @override
    def _may_stop(self) -> bool:
        return bool(self._bookmark) and self._chain.position > 0 and self._chain.value < self._bookmark


class NoTies(Walk):
    """Takes records of one second to keep their places."""

    @override
    def _joins(self, page: Page) -> bool:
        self._chain = replace(self._chain, tie=frozenset())
        return super()._joins(page)


class NoCount(Walk):
    """Takes the end of the list for all of it."""

    @override
    def _accounts_for_total(self) -> bool:
        return True


class NoHeadCheck(NoCount):
    """Takes pages read side by side for one moment; on most servers the count would show what that hides."""

    @override
    def _read_still(self, windows: Sequence[Window]) -> Iterator[dict[str, object]]:
        for page in self._source.read_ahead(windows):
            yield from self._take(page)


class HastyLooks(NoCount):
    """Lets a look at the front vouch for pages that were under way with it."""

    @override
    def _read_still(self, windows: Sequence[Window]) -> Iterator[dict[str, object]]:
        self._ahead = 1
        return super()._read_still(windows)


def weakened(walk: type[Walk]) -> type[ListStream]:
    class Weakened(RunsStream):
        walk_type = walk

    return Weakened


class NoClock(RunsStream):
    """Lets the bookmark pass changes that were made while the sync ran."""

    @override
    def limit_bookmark(self, page: Page, context: object = None) -> None:
        pass


ORDERLY = {"sort": "last_updated", "fixed": 0, "cap": 100, "total": True, "date": True, "whole": False}


@pytest.mark.parametrize(
    ("stream", "fixed"),
    [
        pytest.param(
            weakened(NoStepBack),
            {**ORDERLY, "shuffle_ties": False, "page_size": 3, "kinds": ("touch", "delete", "create"), "rows": 40},
            id="without-step-back",
        ),
        pytest.param(weakened(NoEvidence), {**ORDERLY, "sort": "", "page_size": 3}, id="without-evidence-of-order"),
        pytest.param(weakened(NoTies), {**ORDERLY, "shuffle_ties": True, "page_size": 4}, id="without-regard-to-ties"),
        pytest.param(weakened(NoCount), {"sort": "", "shuffle_ties": True, "fixed": 3}, id="without-the-count"),
        pytest.param(weakened(NoHeadCheck), {**ORDERLY, "page_size": 3, "concurrency": 4}, id="without-the-head-check"),
        pytest.param(
            weakened(HastyLooks),
            {**ORDERLY, "page_size": 3, "concurrency": 4, "stretch": 2, "rows": 40},
            id="with-hasty-head-checks",
        ),
        pytest.param(NoClock, {"sort": "created_at", "date": True}, id="without-the-clock"),
    ],
)
def test_a_weakened_tap_breaks_a_guarantee(stream: type[ListStream], fixed: dict[str, object]) -> None:
    with pytest.raises(AssertionError, match=r"complete|fresh|false success"):
        check(stream, 1500, **fixed)
