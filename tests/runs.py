"""Command line: `python -m tests.runs` is the tap with the stream of processes alone, which most tests are about."""

from __future__ import annotations

from tap_tallyfy.streams import RunsStream
from tap_tallyfy.tap import TapTallyfy

if __name__ == "__main__":
    TapTallyfy.stream_types = (RunsStream,)
    TapTallyfy.cli()
