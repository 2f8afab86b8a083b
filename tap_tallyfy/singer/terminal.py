"""Draws one line on a terminal, again and again in the same place."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import suppress
from typing import TextIO


class LiveLine:
    """The last line of a terminal. While it is there, whatever is logged is written above it, whole."""

    def __init__(self, terminal: TextIO) -> None:
        """Draw nothing yet.

        Args:
            terminal: The terminal.
        """
        self._terminal = terminal
        self._text = ""
        # A signal's handler may log in the middle of a drawing, in the same thread.
        self._lock = threading.RLock()

    def take_log(self) -> None:
        """Have the log written above the line from now on."""
        self._hand_log(self._terminal, self)

    def give_log_back(self) -> None:
        """Take the line away, and let the log have the terminal."""
        self.show("")
        self._hand_log(self, self._terminal)

    def show(self, text: str) -> None:
        """Draw the line anew.

        Args:
            text: What it says; what is too long for the terminal is cut off.
        """
        with self._lock, suppress(OSError):  # a terminal that is gone ends no sync
            width = (os.get_terminal_size(self._terminal.fileno()).columns or 80) - 1
            text = text[:width]
            # The cursor rests at the left, where another program's line covers this one.
            self._terminal.write(f"\r{text.ljust(min(len(self._text), width))}\r")
            self._terminal.flush()
            self._text = text

    def write(self, text: str) -> None:
        """Write above the line, as the log does.

        Args:
            text: One line or several, with their ends.
        """
        with self._lock, suppress(OSError):
            line = self._text
            self.show("")
            self._terminal.write(text)
            self.show(line)

    def flush(self) -> None:
        """Do nothing: all is written at once."""

    @staticmethod
    def _hand_log(before: object, after: object) -> None:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is before:
                handler.setStream(after)
