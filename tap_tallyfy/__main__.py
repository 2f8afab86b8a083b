"""Lets `python -m tap_tallyfy` do what `tap-tallyfy` does."""

from __future__ import annotations

from tap_tallyfy.tap import TapTallyfy

if __name__ == "__main__":
    TapTallyfy.cli()
