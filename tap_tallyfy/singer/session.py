"""The session that the streams of a tap share, and the sync that is under way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from singer_sdk.exceptions import FatalSyncError
from singer_sdk.singerlib.messages import Message

from tap_tallyfy.api.client import Client
from tap_tallyfy.api.errors import ListFailedError, LoginError, NetworkSettingsError
from tap_tallyfy.singer.progress import Progress

#: Some loaders keep versions in 32 bits.
_LARGEST_VERSION: Final = 2**31 - 1


class SyncFailedError(FatalSyncError):
    """Some lists could not be read, or not be believed; all others were synced."""

    def __init__(self, errors: Mapping[str, Exception]) -> None:
        super().__init__(" ".join(map(str, errors.values())))
        self.errors = dict(errors)  #: Why, by the name of the list.


@dataclass
class Sync:
    """One sync of a tap, made new for each."""

    version: int  #: Marks the rows of streams that are read completely.
    #: When it began by this machine's clock, in seconds since the epoch.
    began: float = field(default_factory=time.time)
    #: Why a list could not be read, or not be believed, by its name.
    failures: dict[str, Exception] = field(default_factory=dict)
    #: For each stream all of whose rows were sent, how many there were.
    complete: dict[str, int] = field(default_factory=dict)


@dataclass
class Session:
    """Everything that the streams of a tap share."""

    client: Client  #: Sends the requests of all streams.
    progress: Progress  #: Says how far the sync is.
    mark: Callable[[Message], None]  #: Writes the message that marks rows as deleted.
    flush: Callable[[], None]  #: Hands on all messages that were written.
    sync: Sync  #: The sync that is under way.
    #: The version that marks the rows of a table, or None for no version.
    versions: dict[str, int | None] = field(default_factory=dict)

    def begin_next(self) -> None:
        """End the sync that is under way; the next one begins."""
        self.sync = Sync(next_version([self.sync.version]))
        self.progress.costs.clear()

    def fail(self, name: str, error: Exception) -> None:
        """Note that a list has failed, so that the others go on.

        Raises:
            LoginError: If the token is refused: it is for every list.
            NetworkSettingsError: If the environment lets no request through.
            ListFailedError: If no list has answered yet, and this is not the first one to fail so.
        """
        failures = self.sync.failures
        if isinstance(error, (LoginError, NetworkSettingsError)):
            raise error
        others = [why for each, why in failures.items() if each != name and isinstance(why, ListFailedError)]
        if isinstance(error, ListFailedError) and others and not self.client.has_answered:
            raise error
        failures.setdefault(name, error)


def next_version(known: Iterable[object]) -> int:
    """Return the present second, or more where a version is known that is no smaller."""
    versions = [version for version in known if type(version) is int and version < _LARGEST_VERSION]
    return max([int(time.time()), *(version + 1 for version in versions)])
