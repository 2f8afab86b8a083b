"""The command line: exit codes, error messages and signals."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import click
from singer_sdk.exceptions import ConfigValidationError, MapExpressionError, SingerSDKError, StreamMapConfigError
from singer_sdk.plugin_base import SingerCommand
from typing_extensions import override

from tap_tallyfy.api.errors import (
    FilterRefusedError,
    ListFailedError,
    ListRefusedError,
    ListUnsupportedError,
    LoginError,
    NetworkSettingsError,
)
from tap_tallyfy.reading.page import UnreadListError
from tap_tallyfy.singer.base import EXPECTED
from tap_tallyfy.singer.deletions import ShrunkError
from tap_tallyfy.singer.session import SyncFailedError
from tap_tallyfy.singer.writer import OutputError

_PASSING: Final = 75
_BUG: Final = 70
WRONG_SETTING: Final = 78
_OTHER: Final = 1
#: Exit codes by class of error, after sysexits.h; `docs/troubleshooting.md` explains each.
_CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (ShrunkError, 65),
    (OutputError, 74),
    (LoginError, 77),
    (ListRefusedError, 77),
    (ListFailedError, _PASSING),
    (UnreadListError, _PASSING),
    (FilterRefusedError, WRONG_SETTING),
    (ListUnsupportedError, WRONG_SETTING),
    (NetworkSettingsError, WRONG_SETTING),
    (ConfigValidationError, WRONG_SETTING),
    (MapExpressionError, WRONG_SETTING),
    (StreamMapConfigError, WRONG_SETTING),
    (SingerSDKError, _OTHER),
    (OSError, 74),
)
#: Another try may help after these: the loader or the disk, the API or the network.
_RETRIED: Final = frozenset({74, _PASSING})
_STOPPED: Final = 128
#: Signals that end a sync in an orderly way; Windows knows only some of them.
_SIGNALS: Final = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def exit_code(error: BaseException) -> int:
    """Return the exit code that an error ends the process with."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0
    if isinstance(error, SyncFailedError):
        codes = [exit_code(each) for each in error.errors.values()]
        # An error that a person has to mend does not pass by itself.
        return next((code for code in codes if code != _PASSING), _PASSING)
    return next((code for kind, code in _CODES if isinstance(error, kind)), _BUG)


def is_retried(code: int) -> bool:
    """Return whether another try may help after an exit code."""
    return code in _RETRIED or code > _STOPPED


def outcome(code: int) -> str:
    """Return the outcome that an exit code stands for: `done`, `failed` or `stopped`."""
    return "stopped" if code > _STOPPED else "failed" if code else "done"


def sentences(error: BaseException) -> Sequence[str]:
    """Return the sentences that explain an error to the user."""
    if isinstance(error, ConfigValidationError):
        return [str(each) for each in error.errors]
    if isinstance(error, SyncFailedError):
        return list(dict.fromkeys(map(str, error.errors.values())))
    return [str(error)]


@contextmanager
def signals_sent_to(stop: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have signals that end a process handled inside, and as before afterwards."""
    with signals_kept():
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, stop)
        yield


@contextmanager
def signals_kept() -> Iterator[None]:
    """Put back the signal handlers that something inside replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class TallyfyCommand(SingerCommand):
    """The command line: expected errors end it with a sentence each and no traceback; a bug shows its traceback."""

    @override
    def invoke(self, ctx: click.Context) -> Any:
        # The SDK's own ends with 1 where settings are wrong, after a sentence that says nothing.
        logging.captureWarnings(capture=True)
        return click.Command.invoke(self, ctx)

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if sys.stdout is None:
                raise OutputError("Nothing can be written, since standard output is closed; check the target.")  # noqa: TRY301
            return super().main(*args, **kwargs)
        except ImportError as error:
            self.logger.error("A setting needs the package '%s' beside the tap; install it.", error.name)  # noqa: TRY400
            sys.exit(WRONG_SETTING)
        except EXPECTED as error:
            self.logger.debug("Where that happened:", exc_info=True)
            for sentence in sentences(error):
                self.logger.error("%s", sentence)  # noqa: TRY400 - expected, so without a traceback
            sys.exit(exit_code(error))
        except Exception as error:
            self.logger.critical("The tap has a bug; please report it with these lines.", exc_info=True)
            sys.exit(exit_code(error))
