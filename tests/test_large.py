"""What a sync of tasks costs in a large account; `make soak` runs it, since reading so much takes a minute or two."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from sandbox.api import Api
from tests.in_process import Warehouse, check_costs

if TYPE_CHECKING:
    from collections.abc import Iterator

PROCESSES, TASKS, ONE_OFFS = 20_000, 160_000, 200


@pytest.fixture
def account() -> Iterator[Api]:
    gc.disable()  # what is made here stays: looking through it again and again takes longer than the test
    yield Api(runs=PROCESSES, seed=2, one_offs=ONE_OFFS, template="Stocktaking", port=1)
    gc.enable()


def test_a_sync_of_a_large_account_costs_what_changed(account: Api) -> None:
    assert len(account.records("tasks")) == TASKS + ONE_OFFS
    account.set_clock(account.now())
    few = {10: 24, 1000: 1040}  # 1,000 processes fill ten pages of their list
    check_costs(Warehouse(account), few=few, many=5000)
