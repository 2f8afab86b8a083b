"""Command line: `tap-tallyfy`, and `python -m tap_tallyfy`."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Run the tap."""
    # Ctrl-C would end the imports with a traceback, before the tap handles it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from tap_tallyfy.settings import log_level_errors  # noqa: PLC0415
    from tap_tallyfy.tap import TapTallyfy  # noqa: PLC0415

    refused = log_level_errors(os.environ)  # before `cli` is looked up: that sets up the log
    TapTallyfy.cli(refused=refused)


if __name__ == "__main__":
    main()
