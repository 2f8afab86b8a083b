"""Command line: `tap-tallyfy`, and `python -m tap_tallyfy`."""

from __future__ import annotations

import logging
import os

from tap_tallyfy.tap import TapTallyfy


def main() -> None:
    """Run the tap; a log level that there is not is a wrong setting, which the SDK would fail on with a traceback."""
    refused = []
    for name in ("TAP_TALLYFY_LOGLEVEL", "LOGLEVEL"):
        level = os.environ.get(name, "").strip()
        if level and not isinstance(logging.getLevelName(level.upper()), int):
            refused = [f"'{name}' is '{level}', which is no level; set it to DEBUG, INFO, WARNING or ERROR."]
        if not level or refused:
            os.environ.pop(name, None)
    TapTallyfy.cli(refused=refused)


if __name__ == "__main__":
    main()
