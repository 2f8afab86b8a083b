"""A walk by itself, where a random search would take long to come by the case."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tap_tallyfy.reading.page import Page, Pagination, Window
from tap_tallyfy.reading.paginator import Order
from tap_tallyfy.reading.seen import Seen
from tap_tallyfy.reading.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future

    import pytest

BY_CREATION = Order("-created_at", "created_at")
CLOCK = "2026-01-02T00:00:00.000Z"


def record(name: str, second: int) -> dict[str, Any]:
    moment = f"2026-01-01T00:00:{second:02}.000Z"
    return {"id": name, "created_at": moment, "last_updated": moment}


class Scripted:
    """Pages as they are given, and the whole list on request."""

    has_whole = True

    def __init__(self, whole: list[dict[str, Any]], pages: list[list[dict[str, Any]]]) -> None:
        self.whole = whole
        self.pages = iter(pages)
        self.asked: list[Window] = []

    def read(self, window: Window) -> Page:
        self.asked.append(window)
        if window.whole or window.sort is None:
            rows = self.whole if window.whole else self.whole[: window.size]
        else:
            rows = next(self.pages)
        return Page(window, rows, Pagination(total=len(self.whole)), CLOCK)

    def ask(self, window: Window) -> Future[Any]:
        raise NotImplementedError

    def arrived(self, answers: Iterable[Future[Any]]) -> Iterable[Future[Any]]:
        raise NotImplementedError

    def receive(self, window: Window, answer: Future[Any]) -> Page:
        raise NotImplementedError


def test_a_record_that_turns_up_where_all_was_read_refutes_the_order(caplog: pytest.LogCaptureFixture) -> None:
    """All pages fall by the key, each joins the one before, and yet the server sorts by something else."""
    front = [record("a", 9), record("b", 8), record("c", 7), record("d", 6), record("e", 5)]
    behind = [record("hidden", 7), record("f", 3)]
    source = Scripted([*front, *behind, record("late", 8)], [front, behind])
    walk = Walk(
        source=source,
        seen=Seen(lookback=60),
        name="runs",
        size=5,
        floor="",
        by_change={},
        by_creation=[BY_CREATION],
        whole_first=False,
        concurrency=1,
        log=logging.getLogger("walk"),
    )
    with caplog.at_level("INFO"):
        read = [row["id"] for row in walk]
    assert sorted(read) == ["a", "b", "c", "d", "e", "f", "hidden", "late"]
    assert "records turn up where all had been read" in caplog.text
    assert source.asked[-1].whole
