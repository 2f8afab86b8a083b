"""Writes messages as whole lines, whatever ends the process."""

from __future__ import annotations

import atexit
import os
import signal
import stat
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.exceptions import FatalSyncError
from singer_sdk.singerlib.messages import Message, RecordMessage
from typing_extensions import override

#: Seconds that a target has to read the line under way once the process is to end.
_PATIENCE: Final = 5.0
#: Bytes of records to write at once, as many as a pipe holds on Linux.
_BLOCK: Final = 65_536


class OutputError(FatalSyncError):
    """The output can take no more."""


class LineWriter(MsgSpecWriter):
    """Writes messages as whole lines, records many at a time; a signal waits until the line under way is out."""

    def __init__(self) -> None:
        super().__init__()
        #: The version that marks the rows of a table, or None for no version.
        self.versions: Mapping[str, int | None] = {}
        self._lines = bytearray()
        self._writing = False
        self._exit_code: int | None = None
        atexit.register(self._hand_on)

    @override
    def write_message(self, message: Message) -> None:
        """Write a message: a record with the next ones, anything else at once, after the records before it.

        Raises:
            OutputError: If the output is closed or full.
        """
        if isinstance(message, RecordMessage):
            message.version = self.versions.get(message.stream)
        self._lines += self.format_message(message)
        if len(self._lines) >= _BLOCK or not isinstance(message, RecordMessage):
            self.flush()

    def flush(self) -> None:
        """Write the records that wait."""
        if self._lines:
            lines = bytes(self._lines)
            self._lines.clear()
            self.write_lines(lines)

    def _hand_on(self) -> None:
        """Write the records read before the process failed, although no bookmark counts them."""
        with suppress(OutputError):  # why it ends has been said
            self.flush()

    def write_lines(self, lines: bytes) -> None:
        """Write lines, each with its end; see `write_message`."""
        before = self._position()
        self._writing = True
        try:
            output, rest = sys.stdout.buffer, lines
            while rest:  # an unbuffered output may take a part only
                rest = rest[output.write(rest) or 0 :]
            output.flush()
        except OSError as error:
            self._drop_part_of_line(lines, before)
            if self._exit_code is not None:  # whoever stopped this process may have stopped the target as well
                sys.exit(self._exit_code)
            raise OutputError(
                f"Messages cannot be written ({error.strerror}); check the target, or the disk the output goes to."
            ) from None
        finally:
            self._writing = False
            if self._exit_code is not None:
                _set_alarm(0.0)
        if self._exit_code is not None:
            sys.exit(self._exit_code)

    def stop(self, exit_code: int, last_act: Callable[[], None]) -> None:
        """End the process, after the lines that are being written; the next sync reads the unwritten records again.

        A target that does not read would keep the process for ever: after five seconds, or a second signal, it ends in
        the middle of a line, after a last act.

        Raises:
            SystemExit: At once if nothing is being written.
        """

        def end(*_: object) -> None:
            last_act()
            os._exit(exit_code)

        if self._exit_code is not None:  # a second exception would hit what the first one is cleaning up
            end()
        self._exit_code = exit_code
        self._lines.clear()  # the target may have been stopped as well, and would keep the process waiting
        if not self._writing:
            sys.exit(exit_code)
        _set_alarm(_PATIENCE, end)

    @staticmethod
    def _position() -> int:
        """Return where in its file the output ends, or -1 where it is no file."""
        try:
            status = os.fstat(sys.stdout.fileno())
        except OSError:  # io.UnsupportedOperation is one
            return -1
        # Not the position: that of a file opened to append to is 0 until something is written.
        return status.st_size if stat.S_ISREG(status.st_mode) else -1

    def _drop_part_of_line(self, lines: bytes, before: int) -> None:
        """Take back the part of a line that a full disk still took, and write nothing more at exit."""
        if before >= 0:
            taken = max(self._position() - before, 0)
            os.ftruncate(sys.stdout.fileno(), before + lines.rfind(b"\n", 0, taken) + 1)
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - only the descriptor is used
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _set_alarm(seconds: float, act: Callable[..., None] | None = None) -> None:
    """Act after so many seconds, or never for 0; a thread for that may not be had. Windows has no such alarm."""
    if hasattr(signal, "SIGALRM"):
        if act:
            signal.signal(signal.SIGALRM, act)
        signal.setitimer(signal.ITIMER_REAL, seconds)
