"""How the tap is laid out: its imports run one way, those for types alone too."""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.tap import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = ROOT / "tap_tallyfy"
#: What may import what: a room those behind it, and of those in one place none the other.
FLOORS = (
    ("tap_tallyfy.__main__",),
    ("tap_tallyfy.tap",),
    ("tap_tallyfy.command", "tap_tallyfy.settings", "tap_tallyfy.streams"),
    ("tap_tallyfy.singer",),
    ("tap_tallyfy.api",),
    ("tap_tallyfy.reading", "tap_tallyfy.records"),
    ("tap_tallyfy.dates",),
)


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports() -> dict[str, frozenset[str]]:
    """The tap's own modules that each of them imports, inside of `if TYPE_CHECKING` as well."""
    files = {module_of(file): file for file in PACKAGE.rglob("*.py")}
    found: dict[str, frozenset[str]] = {}
    for module, file in files.items():
        names: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{module} imports relatively"
        found[module] = frozenset(names & files.keys())
    return found


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_imports_run_one_way() -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    assert {room_of(module) for module in imports()} - {"tap_tallyfy"} == floor.keys()
    wrong = [
        (module, other)
        for module, others in imports().items()
        for other in others - {"tap_tallyfy"}
        if room_of(module) != room_of(other) and floor[room_of(module)] > floor[room_of(other)]
    ]
    assert wrong == []
    beside = {
        (room_of(module), room_of(other)) for module, others in imports().items() for other in others - {"tap_tallyfy"}
    }
    assert not beside & {("tap_tallyfy.reading", "tap_tallyfy.records"), ("tap_tallyfy.records", "tap_tallyfy.reading")}
    assert not {room for room, other in beside if other == "tap_tallyfy.settings"} - {
        "tap_tallyfy.settings",
        "tap_tallyfy.tap",
    }


@pytest.mark.parametrize("module", sorted(imports()))
def test_no_module_is_part_of_a_circle(module: str) -> None:
    reached: set[str] = set()
    waiting = list(imports()[module])
    while waiting:
        other = waiting.pop()
        if other not in reached:
            reached.add(other)
            waiting += imports()[other]
    assert module not in reached
