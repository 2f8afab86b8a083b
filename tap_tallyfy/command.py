"""The command line: exit codes, error messages and signals."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

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
from tap_tallyfy.singer.base import EXPECTED, refusal
from tap_tallyfy.singer.deletions import ShrunkError
from tap_tallyfy.singer.report import Report
from tap_tallyfy.singer.session import SyncFailedError
from tap_tallyfy.singer.writer import OutputError

_PASSING: Final = 75
_BUG: Final = 70
_WRONG_SETTING: Final = 78
_OTHER: Final = 1
#: Exit codes by class of error, after sysexits.h; `docs/troubleshooting.md` explains each.
_CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (ShrunkError, 65),
    (OutputError, 74),
    (LoginError, 77),
    (ListRefusedError, 77),
    (ListFailedError, _PASSING),
    (UnreadListError, _PASSING),
    (FilterRefusedError, _WRONG_SETTING),
    (ListUnsupportedError, _WRONG_SETTING),
    (NetworkSettingsError, _WRONG_SETTING),
    (ConfigValidationError, _WRONG_SETTING),
    (MapExpressionError, _WRONG_SETTING),
    (StreamMapConfigError, _WRONG_SETTING),
    (ImportError, _WRONG_SETTING),
    (SingerSDKError, _OTHER),
    (OSError, 74),
)
#: Another try may help after these: the loader or the disk, the API or the network.
_RETRIED: Final = frozenset({74, _PASSING})
_STOPPED: Final = 128
#: Objects to make before looking for garbage: records are in no cycles, and looking more often takes a tenth of a sync.
_GARBAGE: Final = 50_000
#: With these the process does something other than a sync, and only a sync has a report.
_NO_SYNC: Final = frozenset({"--about", "--discover", "--help", "--test", "--version"})
#: Signals that end a sync in an orderly way; Windows knows only some of them.
_SIGNALS: Final = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def exit_code(error: BaseException) -> int:
    """Return the exit code that an error ends the process with."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0
    if isinstance(error, click.ClickException):
        return error.exit_code
    if isinstance(error, SyncFailedError):
        codes = [exit_code(each) for each in error.errors.values()]
        # An error that a person has to mend does not pass by itself.
        return next((code for code in codes if code != _PASSING), _PASSING)
    return next((code for kind, code in _CODES if isinstance(error, kind)), _BUG)


def is_retried(code: int) -> bool:
    """Return whether another try may help after an exit code."""
    return code in _RETRIED or code > _STOPPED


def _sentences(error: BaseException) -> Sequence[str]:  # noqa: PLR0911 - one for each kind
    if isinstance(error, SystemExit):
        return []
    if isinstance(error, click.ClickException):
        return [error.format_message()]
    if isinstance(error, ConfigValidationError):
        return [str(each) for each in error.errors]
    if isinstance(error, SyncFailedError):
        return list(dict.fromkeys(map(str, error.errors.values())))
    if isinstance(error, ImportError):
        package = f"'{error.name}'" if error.name else f"of which this is said: {error}"
        return [f"A setting needs the package {package} beside the tap; install it."]
    if isinstance(error, OSError) and error.strerror:
        about = f"'{error.filename}'" if error.filename else "The output or a file"
        return [f"{about} cannot be used ({error.strerror}); check the path, its rights and the disk."]
    if isinstance(error, EXPECTED):
        return [str(error)]
    return [f"The tap has a bug ({type(error).__name__}); its log shows where."]


def write_report(report: Report, error: BaseException | None) -> None:
    """Write how a sync ended.

    Args:
        report: The report.
        error: Its cause, or None.

    Raises:
        OutputError: If the sync went well, but its report cannot be written.
    """
    code = exit_code(error) if error else 0
    outcome = "stopped" if code > _STOPPED else "failed" if code else "done"
    message = " ".join(_sentences(error)) if error else ""
    try:
        with signals_sent_to(signal.SIG_IGN):  # the file has to be whole
            report.write(outcome, code, retry=is_retried(code), message=message)
    except OSError as why:
        if error is None:
            raise OutputError(f"The file that 'report' names cannot be written ({why.strerror}).") from None


def _report_path(args: Sequence[str]) -> Path | None:
    """Return where a command line wants a report, as far as that can be seen before it is understood."""
    if any(arg.partition("=")[0] in _NO_SYNC for arg in args):
        return None
    after = [value for name, value in pairwise(args) if name == "--config"]
    given = [*after, *(arg.partition("=")[2] for arg in args if arg.startswith("--config="))]
    found = ""
    for path in map(Path, given):
        with suppress(OSError, ValueError, AttributeError, RecursionError):
            found = (path.is_file() and json.loads(path.read_bytes()).get("report")) or found  # a pipe is read once
    found = ("ENV" in given and os.environ.get("TAP_TALLYFY_REPORT")) or found
    return Path(found.strip()) if isinstance(found, str) and found.strip() else None


def _refuse_to_start(sentences: Sequence[str]) -> None:
    if sentences:
        raise refusal(*sentences)
    if sys.stdout is None:
        raise OutputError("Nothing can be written, since standard output is closed; check the target.")


def _stop_at_once(number: int, _frame: FrameType | None) -> None:
    sys.exit(_STOPPED + number)


@contextmanager
def signals_sent_to(stop: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
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
    def main(
        self, args: Sequence[str] | None = None, *more: Any, refused: Sequence[str] = (), **kwargs: Any
    ) -> NoReturn:
        """Run the tap, report how it ended, and end the process.

        Args:
            args: The command line, or None for that of the process.
            *more: As for click's command.
            refused: Why the tap cannot even start, in sentences.
            **kwargs: As for click's command.
        """
        args = sys.argv[1:] if args is None else list(args)
        gc.set_threshold(_GARBAGE)
        report = Report()
        try:
            with signals_sent_to(_stop_at_once):
                _refuse_to_start(refused)
                if code := super().main(args, *more, **kwargs | {"standalone_mode": False, "obj": report}):
                    sys.exit(code)
                write_report(report, None)
        except BaseException as error:
            report.path = report.path or _report_path(args)
            write_report(report, error)
            if isinstance(error, click.ClickException):
                error.show()
            elif isinstance(error, (*EXPECTED, ImportError)):
                self.logger.debug("Where that happened:", exc_info=True)
                for sentence in _sentences(error):
                    self.logger.error("%s", sentence)  # noqa: TRY400 - expected, so without a traceback
            elif isinstance(error, Exception):
                self.logger.critical("The tap has a bug; please report it with these lines.", exc_info=True)
            sys.exit(exit_code(error))
        sys.exit(0)
