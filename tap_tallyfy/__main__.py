"""Command line: `tap-tallyfy`, and `python -m tap_tallyfy`."""

from __future__ import annotations

import os

from tap_tallyfy.settings import log_level_errors
from tap_tallyfy.tap import TapTallyfy


def main() -> None:
    """Run the tap."""
    refused = log_level_errors(os.environ)  # before `cli` is looked up: that sets up the log
    TapTallyfy.cli(refused=refused)


if __name__ == "__main__":
    main()
