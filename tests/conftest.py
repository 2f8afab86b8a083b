from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def account() -> Iterator[Sandbox]:
    """A small account of this test's own: pages, archived runs and every kind of value, but quick to read."""
    with Sandbox(runs=120, seed=3) as running:
        yield running
