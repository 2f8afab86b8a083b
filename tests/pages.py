"""The pages of the documentation, and what is in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.tap import ROOT

if TYPE_CHECKING:
    from pathlib import Path

README = ROOT / "README.md"
DOCS = {page.stem: page for page in sorted((ROOT / "docs").glob("*.md"))}
PAGES = (README, *DOCS.values())


def text_of(*pages: Path) -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def blocks(language: str, *pages: Path) -> list[str]:
    """The blocks of code in a language."""
    return re.findall(rf"^```(?:{language})\n(.*?)^```", text_of(*pages), re.DOTALL | re.MULTILINE)
