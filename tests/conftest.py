from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Where fixtures of several files are; each is named before what imports it, so that its assertions are explained.
pytest_plugins = ["tests.postgres", "tests.meltano", "tests.loaders", "tests.organizations", "tests.scenarios"]

#: Tests that need engines, a browser, many builds or minutes: `make models`, `make organizations` and `make soak` run
#: them, not `make test`.
APART = (
    "test_airflow.py",
    "test_dagster.py",
    "test_large.py",
    "test_models.py",
    "test_models_meltano.py",
    "test_organization_meltano.py",
    "test_page.py",
    "test_questions.py",
)
collect_ignore = [] if os.environ.get("APART") else [*APART]

# Tests make many small objects that live as long as they do: looking for garbage so often takes a tenth of their time.
gc.set_threshold(50_000)
settings.register_profile("untimed", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("untimed")


@pytest.fixture
def account() -> Iterator[Sandbox]:
    """A small account of this test's own: pages, archived runs and every kind of value, but quick to read."""
    with Sandbox(runs=120, seed=3) as running:
        yield running


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that `make coverage` does not measure: that imports modules, and writes a file, of its own."""
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)


#: The files whose tests take longest; they begin first, so that none of them is what all others wait for in the end.
SLOWEST = (
    "test_demo",
    "test_account_to_page",
    "test_meltano",
    "test_connection",
    "test_guarantees",
    "test_deletions",
    "test_postgres",
    "test_lists_loaded",
    "test_organization",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in SLOWEST)
