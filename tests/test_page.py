"""The page of answers: its numbers are those of the views, and it can be read wherever it is opened."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cards import Cards, analyze, assert_that_numbers_are_those_of_the_views, written
from tests.metrics import models
from tests.models import shared
from tests.scenarios import account
from tests.tap import ROOT, require

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.scenarios import Scenario

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (360, 800, 1280)
#: Shows the page in a frame of each width, and says what is outside its card or was fetched.
HARNESS = """
<!DOCTYPE html><meta charset="utf-8"><body></body><script>
const page = PAGE, widths = WIDTHS, found = [];
const look = (frame, width) => {
  const inside = frame.contentDocument, view = frame.contentWindow;
  if (inside.documentElement.scrollWidth > width) found.push([width, "the page scrolls sideways"]);
  for (const details of inside.querySelectorAll("details")) details.open = true;
  if (inside.documentElement.scrollWidth > width) found.push([width, "the page scrolls sideways with its numbers"]);
  for (const card of inside.querySelectorAll("section")) {
    const edge = card.getBoundingClientRect();
    for (const each of card.querySelectorAll("h2, p, .large, svg, svg text, summary")) {
      const at = each.getBoundingClientRect();
      if (at.width && (at.left < edge.left || at.right > edge.right || at.top < edge.top || at.bottom > edge.bottom))
        found.push([width, card.dataset.view, each.textContent.slice(0, 60)]);
    }
    const svg = card.querySelector("svg");
    if (svg && svg.getBoundingClientRect().width < 0.85 * edge.width) found.push([width, card.dataset.view, "narrow"]);
  }
  for (const entry of view.performance.getEntriesByType("resource")) found.push([width, "fetched", entry.name]);
  const dark = view.getComputedStyle(inside.body).backgroundColor;
  return [width, inside.querySelectorAll("section").length, dark];
};
let shown = [];
const next = () => {
  const width = widths[shown.length];
  if (!width) { document.body.textContent = JSON.stringify({found, shown}); return; }
  const frame = document.createElement("iframe");
  frame.style = `width:${width}px;height:900px;border:0`;
  frame.onload = () => { shown.push(look(frame, width)); frame.remove(); next(); };
  frame.srcdoc = page;
  document.body.append(frame);
};
next();
</script>
"""


@pytest.fixture
def page(two_organizations: Scenario, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> str:
    """The page of the larger of the two organizations."""
    two_organizations()
    return written(shared(tmp_path_factory, "two-organizations"), tmp_path, "--org-id", account(3).org_id)


def test_every_number_is_that_of_its_view(page: str, two_organizations: Scenario) -> None:
    assert_that_numbers_are_those_of_the_views(page, two_organizations()[0], account(3).org_id)


def test_a_card_has_its_question_an_answer_and_a_picture(page: str) -> None:
    questions = {model["name"]: model["config"]["meta"]["question"] for model in models("questions")}
    for name, card in Cards(page).cards.items():
        assert card["h2"] == questions[name]
        assert card["p"].endswith(".")
        assert not re.search(r"[a-z]_[a-z]|\(\d|None|nan", card["p"]), card["p"]
        assert all(svg["role"] == "img" and svg["aria-label"] for svg in card["svg"])
        assert card["svg"] or name in {"tasks_on_time", "throughput"}


def test_the_exposure_names_the_views_of_the_page(page: str) -> None:
    exposures = yaml.safe_load((ROOT / "transform/models/questions/_exposures.yml").read_text(encoding="utf-8"))
    (report,) = exposures["exposures"]
    named = {re.sub(r"ref\('(.+)'\)", r"\1", each) for each in report["depends_on"]}
    assert named == {"organization", *Cards(page).cards}


def test_it_is_one_file_that_asks_for_nothing(page: str) -> None:
    assert len(page.encode()) < 1_000_000
    assert not re.search(r"<script|<link|<img|<iframe|\ssrc=|url\((?!#)|@import", page)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"https?://[^\"' ]+", page)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_no_raw_name_is_to_be_read(page: str) -> None:
    body = re.sub(r"<style>.*?</style>|<code>.*?</code>", "", page, flags=re.DOTALL)
    shown = unescape(" ".join(re.findall(r">([^<>]+)<", body)))
    assert re.findall(r"\b[a-z]+_[a-z_]+\b", shown) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_at_each_width_without_a_network(page: str, scheme: str, tmp_path: Path) -> None:
    require(CHROMIUM, "Chromium was not found: install it (Debian: apt-get install chromium)")
    harness = tmp_path / "harness.html"
    # What closes a script may not stand in one.
    quoted = json.dumps(page).replace("</", "<\\/")
    harness.write_text(HARNESS.replace("PAGE", quoted, 1).replace("WIDTHS", str(list(WIDTHS)), 1), encoding="utf-8")
    result, log = in_chromium(harness, ("--blink-settings=preferredColorScheme=0",) if scheme == "dark" else ())
    assert result["found"] == []
    assert [width for width, _, _ in result["shown"]] == list(WIDTHS)
    assert {background for _, _, background in result["shown"]} == {
        "rgb(18, 23, 29)" if scheme == "dark" else "rgb(243, 245, 247)"
    }
    assert "CONSOLE" not in log


def in_chromium(file: Path, options: Sequence[str]) -> tuple[dict[str, Any], str]:
    """What a page writes into its body, and what the browser logged."""
    command = [
        str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        f"--user-data-dir={file.parent / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND",
        "--virtual-time-budget=20000", *options, "--dump-dom", file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=180)
    body = re.findall(r"<body>(.*?)</body>", done.stdout, re.DOTALL)[-1]
    result: dict[str, Any] = json.loads(unescape(re.sub(r"<script>.*", "", body, flags=re.DOTALL)))
    return result, done.stderr


def test_an_account_without_anything_has_sentences_and_no_empty_charts() -> None:
    shown = analyze("-c", "from analyze.cards import CARDS\nfor card in CARDS.values(): print(card([]))")
    answers = shown.splitlines()
    assert len(answers) >= 12
    assert all("chart=''" in answer and re.search(r"sentence=.+\.['\"], chart", answer) for answer in answers)


def test_comments_that_were_not_loaded_are_not_0(
    default_selection: Scenario, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    default_selection()
    cards = Cards(written(shared(tmp_path_factory, "default-selection"), tmp_path)).cards
    for name in ("steps_with_issues", "most_discussed_steps"):
        assert "not loaded" in cards[name]["p"]
        assert cards[name]["svg"] == []


def test_of_several_organizations_one_is_to_be_named(
    two_organizations: Scenario, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    two_organizations()
    file = str(shared(tmp_path_factory, "two-organizations") / "duckdb/tallyfy.duckdb")
    said = analyze("-m", "analyze", file, code=1)
    assert all(account(seed).org_id in said for seed in (3, 5))
    assert "does not exist" in analyze("-m", "analyze", str(tmp_path / "none.duckdb"), code=1)
