"""What a sync of tasks costs in a large account; `make soak` runs it, since reading so much takes a minute or two."""

from __future__ import annotations

import gc
from random import Random
from typing import TYPE_CHECKING

import pytest

from sandbox.api import Api
from tests.in_process import Warehouse, touch_tasks, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR = 3600
PROCESSES, TASKS, ONE_OFFS = 20_000, 160_000, 200


@pytest.fixture
def account() -> Iterator[Api]:
    gc.disable()  # what is made here stays: looking through it again and again takes longer than the test
    yield Api(runs=PROCESSES, seed=2, one_offs=ONE_OFFS, template="Stocktaking", port=1)
    gc.enable()


def test_a_sync_of_a_large_account_costs_what_changed(account: Api) -> None:
    assert len(account.records("tasks")) == TASKS + ONE_OFFS
    account.set_clock(account.now())
    warehouse, random = Warehouse(account), Random(1)
    full = warehouse.sync()
    assert (full.way, full.error) == ("full", "")

    account.advance(2 * HOUR)
    for _ in range(2):
        nothing = warehouse.sync()
        assert nothing.way == "changed"
        assert len(nothing.requests) <= 12
        account.advance(HOUR)

    touch_tasks(account, 10, random)
    account.advance(600)
    ten = warehouse.sync()
    assert ten.way == "changed"
    assert len(ten.requests) <= 24
    assert not wrong(warehouse)

    account.advance(HOUR)
    touch_tasks(account, 1000, random)
    account.advance(600)
    thousand = warehouse.sync()
    assert thousand.way == "changed"
    assert len(thousand.requests) <= 1040  # ten more for the list of these processes
    assert not wrong(warehouse)

    account.advance(HOUR)
    touch_tasks(account, 5000, random)
    account.advance(600)
    many = warehouse.sync()
    assert many.way == "full"
    assert len(many.requests) <= len(full.requests) + 10
    assert not wrong(warehouse)
