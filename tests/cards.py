"""The page of answers as a program reads it."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tests.tap import ROOT, require

if TYPE_CHECKING:
    from pathlib import Path

    from tests.models import Tables

PYTHON = ROOT / ".venv-analyze/bin/python"
#: How many rows of a view the page holds, and of one by days.
MOST, DAYS = 200, 366


class Cards(HTMLParser):
    """What the cards say: heading, answer, pictures, and the rows of their tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cards: dict[str, dict[str, Any]] = {}
        self._card: dict[str, Any] = {}
        self._text: list[str] | None = None
        self.feed(text)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "section":
            self._card = {"columns": [], "rows": [], "svg": [], "large": ""}
            self.cards[str(given["data-view"])] = self._card
        elif tag == "svg":
            self._card["svg"].append(given)
        elif tag == "tr":
            self._card["rows"].append([])
        elif tag == "th":
            self._card["columns"].append(given["data-column"])
        elif tag == "td":
            self._card["rows"][-1].append(given["data-value"])
        if tag in {"h2", "p"}:
            self._text = []

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag in {"h2", "p"} and self._text is not None:
            self._card[tag] = "".join(self._text)
            self._text = None

    @override
    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)


def written(scenario: Path, folder: Path, *args: str) -> str:
    """The page that is made of the file of a scenario."""
    output = folder / "page.html"
    analyze("-m", "analyze", str(scenario / "duckdb/tallyfy.duckdb"), "--output", str(output), *args)
    return output.read_text(encoding="utf-8")


def analyze(*args: str, code: int = 0) -> str:
    require(PYTHON.exists(), "What draws the charts is not installed: run `make test`, which installs it")
    done = subprocess.run([str(PYTHON), *args], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def assert_that_numbers_are_those_of_the_views(page: str, made: Tables, org_id: str) -> None:
    cards = Cards(page).cards
    assert 12 <= len(cards) <= 16
    for name, card in cards.items():
        rows = [record for record in made[name].records if record["org_id"] == org_id]
        wanted = Counter(tuple(exact(row[column]) for column in card["columns"]) for row in rows)
        found = Counter(map(tuple, filter(None, card["rows"])))
        assert found <= wanted, name
        by_day = {"day", "month"}.intersection(card["columns"])
        assert found.total() == min(len(rows), DAYS if by_day else MOST), name


def exact(value: Any) -> str:
    """A value as the page has it for programs; moments come from JSON as texts."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text.replace(" ", "T") if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", text) else text
