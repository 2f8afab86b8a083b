"""Keeps secrets out of the log, whatever a server or a library puts into a message."""

from __future__ import annotations

import base64
import logging
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from typing_extensions import override

from tap_tallyfy.records.shapes import bare

#: Stands in place of a secret.
MASK: Final = "***"
#: Shorter ones are words such as "token", and hiding them would tear sentences.
_SHORTEST: Final = 8
#: Names in one line of the log; a server may send thousands.
_MOST_NAMES: Final = 10
_LONGEST_NAME: Final = 60
#: The settings that are secrets.
SECRET_SETTINGS: Final = ("access_token", "client_secret")
_MOST_SETS: Final = 16
#: The attributes of every log record; the rest came with `extra`.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({})))


class Secrets:
    """The secrets of this process: settings, passwords of proxies, and tokens that were fetched."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._lock = threading.Lock()
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for name in SECRET_SETTINGS:
            self.add(config.get(name))
        for address in getproxies().values():
            try:
                password = urlsplit(address).password or ""
            except ValueError:  # no URL; the tap says so when it connects
                continue
            self.add(password)
            self.add(unquote(password))

    def add(self, secret: object) -> None:
        """Hide one more secret from now on; anything but a text is none."""
        if not isinstance(secret, str) or len(secret := secret.strip()) < _SHORTEST:
            return
        with self._lock:
            self._values.add(secret)
            longest_first = sorted(self._values, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(_pattern, longest_first)), re.IGNORECASE)

    def hidden(self, text: str) -> str:
        """Return a text with `***` in place of each secret, in whatever form it is written."""
        return self._pattern.sub(MASK, text) if self._pattern else text


class SecretFilter(logging.Filter):
    """Rewrites log records that hold a secret, in the message, in `extra`, or in a traceback."""

    def __init__(self) -> None:
        super().__init__()
        # Several taps may run in one process, one after the other.
        self.known: deque[Secrets] = deque(maxlen=_MOST_SETS)

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - arguments that do not fit; logging says so itself
            message = ""
        if (rewritten := self.hidden(message)) != message:
            record.msg, record.args = rewritten, ()
        for name in vars(record).keys() - _STANDARD:
            if self.hidden(text := repr(vars(record)[name])) != text:
                setattr(record, name, MASK)
        if record.exc_info and not record.exc_text:
            text = logging.Formatter().formatException(record.exc_info)
            if (rewritten := self.hidden(text)) != text:
                record.exc_info, record.exc_text = None, rewritten
        return True

    def hidden(self, text: str) -> str:
        """Return a text with `***` in place of each secret that is known."""
        for secrets in tuple(self.known):
            text = secrets.hidden(text)
        return text


_FILTER: Final = SecretFilter()


def hide_in_log(secrets: Secrets) -> None:
    """Hide these secrets in all log output of the process; handlers that are made later are not covered."""
    _FILTER.known.append(secrets)
    for logger in (logging.getLogger(), *logging.Logger.manager.loggerDict.values()):
        for handler in getattr(logger, "handlers", ()):
            handler.addFilter(_FILTER)  # which logging does once


def hidden(text: str) -> str:
    """Return a text as the log would show it: with `***` in place of each secret."""
    return _FILTER.hidden(text)


def listed(names: Iterable[str]) -> str:
    """Return some names for a line of the log, however many and long they are."""
    whole = sorted(map(hidden, names))  # part of a secret could not be told
    shortened = [name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…" for name in whole]
    more = len(shortened) - _MOST_NAMES
    return ", ".join(shortened[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def repeats(text: str, secret: str) -> bool:
    """Return whether a text shows a secret, or a valuable part of it, whatever the case and punctuation."""
    shown, kept = bare(text), bare(secret)
    return bool(kept) and (kept in shown or (len(shown) >= _SHORTEST and shown in kept))


def _pattern(secret: str) -> str:
    """Return a regular expression for a secret however it is written down: escaped, in hex, or inside of base64."""
    sent = secret.encode()
    written = "".join(character if character.isalnum() else _escaped(character) for character in secret)
    return "|".join([written, sent.hex(), *map(re.escape, _in_base64(sent))])


def _escaped(character: str) -> str:
    """Return a regular expression for a sign as it is, and as URLs, JSON, Python and HTML escape it."""
    octets = "".join(f"%{octet:02x}" for octet in character.encode())
    return rf"(?:\\*{re.escape(character)}|{octets}|\\+[ux]0*{ord(character):x}|&#?\w+;)"


def _in_base64(sent: bytes) -> Iterator[str]:
    """Yield the signs that stand for a secret within a longer text: which, depends on its place."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + sent).decode().rstrip("=")
        # Those at the ends depend on its neighbours too.
        inner = encoded[-(-before * 8 // 6) : (before + len(sent)) * 8 // 6]
        yield from {inner, inner.translate(str.maketrans("+/", "-_"))}
