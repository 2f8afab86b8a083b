"""Every list of an account in a warehouse: the real tap, piped into real loaders, into PostgreSQL and DuckDB."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from sandbox import Behaviour, Sandbox
from tests.lists import INCREMENTAL, differences, expected
from tests.loaders import filled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.wire import Request
    from tests.loaders import Warehouse


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A small account that people work in."""
    with Sandbox(runs=30, seed=3, behaviour=Behaviour(task_sort="created_at")) as running:
        yield running


def test_every_table_equals_the_account_after_people_have_worked_in_it(warehouse: Warehouse) -> None:
    sandbox, random = warehouse.sandbox, Random(11)

    def work(_: Request) -> None:
        sandbox.mutate(random, random.randrange(3), everything=True)

    for hook in (work, work, None):
        sandbox.before_list = hook
        warehouse.sync()
        sandbox.mutate(random, 0 if hook is None else 20, everything=True)
    assert warehouse.codes[-1] == 0, warehouse.log
    found, right = warehouse.tables(), expected(sandbox)
    # What was deleted for good stays in the tables, since nothing says that it was.
    still_there = {name: {key: row for key, row in rows.items() if key in right[name]} for name, rows in found.items()}
    wrong = differences(filled(still_there), filled(right))
    assert wrong == {}, wrong
    assert all(len(right[name]) > 10 for name in INCREMENTAL)
