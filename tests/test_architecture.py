"""The folders of the tap know each other in one direction only."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

import pytest
from singer_sdk import Stream

from tap_tallyfy.streams import STREAMS
from tests.tap import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE = ROOT / "tap_tallyfy"
#: What each part may import; parts are the folders, and the modules beside them.
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "__main__": {"settings", "tap"},
    "tap": {"command", "settings", "streams", "singer", "api", "records", "reading", "dates"},
    "command": {"singer", "api", "reading"},
    "settings": {"singer", "api", "records", "dates"},
    "streams": {"singer", "api", "reading", "records"},
    "singer": {"api", "reading", "records", "dates"},
    "api": {"reading", "records", "dates"},
    "reading": {"dates"},
    "records": {"dates"},
    "dates": set(),
}
#: Packages that a part must not know.
FOREIGN: dict[str, set[str]] = {
    "reading": {"singer_sdk", "requests", "urllib"},
    "records": {"requests"},
    "dates": {"singer_sdk", "requests"},
}


def part_of(module: str) -> str:
    """The folder of a module of the tap, or the module itself where it is in none."""
    return module.split(".")[1] if "." in module else "__init__"


def module_of(file: Path) -> str:
    return ".".join(("tap_tallyfy", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {module_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imported(source: str) -> Iterator[str]:
    """The modules that a text imports, under `TYPE_CHECKING` and inside of functions too."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                for name in names:
                    full = f"{module}.{name.name}"
                    yield full if full in MODULES else module
            case ast.ImportFrom():
                pytest.fail("imports are absolute")


IMPORTS = {module: set(imported(file.read_text(encoding="utf-8"))) for module, file in MODULES.items()}


def test_what_is_imported_is_seen() -> None:
    source = "import a.b\nif TYPE_CHECKING:\n    from tap_tallyfy.api import client\ndef f():\n    from c import d"
    assert set(imported(source)) == {"a.b", "tap_tallyfy.api.client", "c"}
    assert "tap_tallyfy.singer.session" in IMPORTS["tap_tallyfy.singer.base"], "which is imported for types alone"


def test_parts_know_each_other_in_one_direction_only() -> None:
    assert {part_of(module) for module in MODULES} == MAY_IMPORT.keys()
    tuple(TopologicalSorter(MAY_IMPORT).static_order())  # this table has no circle itself
    wrong = {
        (module, other)
        for module, others in IMPORTS.items()
        for other in others
        if other.split(".")[0] == "tap_tallyfy"
        if part_of(other) not in MAY_IMPORT[part_of(module)] | {part_of(module)}
    }
    assert wrong == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        tuple(TopologicalSorter({module: others & MODULES.keys() for module, others in IMPORTS.items()}).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("part", FOREIGN)
def test_what_could_stand_alone_knows_nothing_of_what_uses_it(part: str) -> None:
    known = {other.split(".")[0] for module in IMPORTS if part_of(module) == part for other in IMPORTS[module]}
    assert known.isdisjoint(FOREIGN[part])


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_stream_adds_few_names_to_those_of_the_sdk(stream: type[Stream]) -> None:
    known = {*dir(Stream), "name"}  # which the SDK sets on each stream
    assert len(set(dir(stream)) - known) <= 40
