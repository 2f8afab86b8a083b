"""What all streams share: where they get their settings from, what their bookmark means, and whose rows they are."""

from __future__ import annotations

import hashlib
import logging
import sys
from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from singer_sdk import Stream, metrics
from singer_sdk.exceptions import FatalSyncError, SingerSDKError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import RemoveRecordTransform
from singer_sdk.singerlib.messages import ActivateVersionMessage
from typing_extensions import override

from tap_tallyfy.api.errors import explain
from tap_tallyfy.dates import ConversionError, date_time, date_time_or_none, earlier, lies_in_the_future, second
from tap_tallyfy.records.contract import EXTRA, ORG_ID
from tap_tallyfy.singer.counter import RowCounter
from tap_tallyfy.singer.writer import LineWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from singer_sdk.helpers.types import Context

    from tap_tallyfy.api.errors import RefusedListError
    from tap_tallyfy.reading.page import Record
    from tap_tallyfy.singer.shared_reading import Family

#: What ends a sync with one sentence: the settings, the API, the target or this machine are at fault, not the tap.
EXPECTED: Final = (SingerSDKError, OSError)
#: Settings under a list's name that are no query parameters of that meaning, or do not change which records match.
_NO_FILTERS = frozenset({"archived", "sort", "without_pagination"})


class Member(Stream):
    """A stream that is made from a list of the API, alone or together with others."""

    #: All streams made from the same list.
    family: Family
    # `Normaliser` has made every record valid already.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE
    #: Whether nothing is ever deleted, so that rows which are no longer sent are history.
    append_only: ClassVar[bool] = False
    #: Related data of the list that the stream is made from, by the names that `with` has for it.
    needs: ClassVar[Sequence[str]] = ()
    #: Other fields of the list that it is made from.
    sources: ClassVar[Sequence[str]] = ()
    #: Why the sync fails for this stream once the others are done, or `""`.
    failure: str = ""

    @abstractmethod
    def rows(self, record: Record, floor: str) -> Iterator[Record]:
        """Yield what the stream makes of a record of the list.

        Args:
            record: A record of the list, normalised.
            floor: The second before which all changes are known, or `""`.
        """

    # Settings

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings under the list's name."""
        settings: Mapping[str, Any] = self.config.get(self.family.head.name, {})
        return settings

    @cached_property
    def filters(self) -> Mapping[str, Any]:
        """The settings that are sent as they are, under the API's own names."""
        return {name: value for name, value in self.settings.items() if name not in _NO_FILTERS}

    @property
    def fingerprint(self) -> str:
        """What a bookmark depends on, as a hash: under other filters it would skip records they let in."""
        depends_on = {
            "org_id": self.config["org_id"],
            "archived": self.settings.get("archived", "include"),
            **{name: _ids_as_text(value) for name, value in self.filters.items()},
        }
        return hashlib.sha256(msgspec.json.encode(depends_on, order="deterministic")).hexdigest()[:16]

    # State

    def check_state(self, state: dict[str, Any]) -> None:
        """Forget a bookmark that must not be used, and say why.

        Args:
            state: The stream's part of the state; changed in place.
        """
        bookmark = state.get("replication_key_value")
        if not bookmark:
            return
        why = ""
        if state.get("filters", self.fingerprint) != self.fingerprint:
            why = f"was made under other settings than 'org_id' and '{self.family.head.name}' now have"
        elif self._start < str(state.get("start_date") or self._start):
            why = "was made under a later 'start_date'"
        elif lies_in_the_future(date_time_or_none(bookmark)):
            why = "lies in the future"
        if why:
            self.logger.warning("The bookmark of '%s' %s; the stream starts over.", self.name, why)
            for key in ("replication_key", "replication_key_value", "sort"):
                state.pop(key, None)

    @override
    def compare_start_date(self, value: str, start_date_value: str) -> str:
        """Return the bookmark as it is: `floor` knows of `start_date`, and of bookmarks that are no date-times."""
        return value

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Return none: this machine's clock may be wrong by hours, so the server's is noted when it is known."""

    @property
    def _start(self) -> str:
        """The second of `start_date`, or `""` where there is none."""
        return second(date_time(self.config.get("start_date")))

    @property
    def _has_bookmark(self) -> bool:
        return bool(self.replication_key) and self.replication_method != "FULL_TABLE"

    def bookmark(self, context: Context | None) -> str:
        """Return the date-time from which on changes have not been read, or `""`.

        Args:
            context: The partition, if any.

        Raises:
            FatalSyncError: If the state's bookmark is no date-time.
        """
        # Not as the SDK notes it when the stream's turn comes: its list may be read before.
        state = self.get_context_state(context)
        if not self._has_bookmark or state.get("replication_key") != self.replication_key:
            return ""
        try:
            return date_time(state.get("replication_key_value")) or ""
        except ConversionError:
            msg = f"The bookmark of '{self.name}' in the state is no date-time; remove it to start over."
            raise FatalSyncError(msg) from None

    def floor(self, context: Context | None) -> str:
        """Return the second before which all changes are known, or `""`; streams without dates read everything.

        Args:
            context: The partition, if any.
        """
        if self.replication_key is None:
            return ""
        # A replica may have shown changes late, and transactions may have been committed late.
        return max(earlier(self.bookmark(context), self.config["lookback_seconds"]), self._start)

    def note_state(self, clock: str, context: Context | None) -> None:
        """Note what the bookmark depends on, and let it not pass the server's clock at the first page.

        Args:
            clock: A date-time; the next sync reads later changes.
            context: The partition, if any.
        """
        state = self.get_context_state(context)
        state.update(filters=self.fingerprint, start_date=self._start)
        if self.version is not None:
            state["version"] = self.version
        self.limit_bookmark(clock, context)

    def limit_bookmark(self, clock: str, context: Context | None) -> None:
        """Let the bookmark not pass a moment.

        Args:
            clock: A date-time.
            context: The partition, if any.
        """
        if self._has_bookmark:
            self.state_manager.write_replication_key_signpost(clock, context=context)

    # Records

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record:
        # IDs of users are the same in several organizations, which may share a table.
        if self._org_id:
            row[ORG_ID] = self._org_id
        return row

    @cached_property
    def _org_id(self) -> str:
        """The organization's ID, or `""` where a catalog from elsewhere has no column for it."""
        return str(self.config["org_id"]) if ORG_ID in self.effective_schema["properties"] else ""

    def fitted(self, record: Record) -> Record:
        """Return a record with the columns that the catalog knows; values of others go to `_extra`.

        What was read for other streams alone, and what is not selected, goes nowhere.
        """
        columns, dropped = self._columns, self._dropped
        row = {name: value for name, value in record.items() if name in columns}
        if EXTRA in row:
            extra = {**record, **(record[EXTRA] or {})}
            kept = {
                name: value
                for name, value in extra.items()
                if value is not None
                and name not in dropped
                and (name not in columns or name in (record[EXTRA] or ()))
                and name != EXTRA
            }
            row[EXTRA] = kept or None
        return row

    @cached_property
    def _columns(self) -> frozenset[str]:
        return frozenset(self.effective_schema["properties"])

    @cached_property
    def _dropped(self) -> frozenset[str]:
        top = len(("properties", "name"))
        not_selected = {path[1] for path, wanted in self.mask.items() if len(path) == top and not wanted}
        return self.borrowed | not_selected

    @property
    def borrowed(self) -> frozenset[str]:
        """Fields that are read for other streams alone."""
        return frozenset()

    # What a person sees

    @override
    def get_record_counter(
        self, endpoint: str | None = None, log_interval: float = metrics.DEFAULT_LOG_INTERVAL
    ) -> metrics.Counter:
        return RowCounter(self.name, self.family.head.progress)

    @override
    def log(self, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
        # The SDK calls every error unhandled, even the end of a test; the tap has a sentence of its own for these.
        hidden = level == logging.ERROR and isinstance(sys.exc_info()[1], EXPECTED)
        super().log(message, *args, level=logging.DEBUG if hidden else level, **kwargs)

    # Deletions

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        """Return False: the SDK sends the message before anything has been read; see `deletions`."""
        return False

    @property
    def version(self) -> int | None:
        """The version of the rows of this sync, or None where the target is told nothing of deletions."""
        writer = self._tap.message_writer
        return writer.version if isinstance(writer, LineWriter) else None

    @property
    def tables(self) -> list[str]:
        """What the target calls the stream: stream maps may rename it, copy it, or leave it out."""
        return [map_.stream_alias for map_ in self.stream_maps if not isinstance(map_, RemoveRecordTransform)]

    @property
    def shares_a_table(self) -> bool:
        """Whether a stream map writes another stream's rows where this one's are."""
        others = (stream for stream in self._tap.streams.values() if stream is not self and stream.selected)
        return any(set(self.tables).intersection(getattr(other, "tables", ())) for other in others)

    def write_version(self) -> None:
        """Tell the target that rows of an older version are no longer there."""
        if self.version is not None:
            for table in self.tables:
                self._tap.write_message(ActivateVersionMessage(stream=table, version=self.version))

    # Failures that wait until the other streams are done

    def refused(self, why: RefusedListError, context: Context | None) -> None:
        """Note that the list may not be read; the other streams are synced all the same.

        Args:
            why: What the API said.
            context: The partition, if any.
        """
        self.failure = explain(why.response, self.name)
        # What has been read may not be all there is up to its last change, which the SDK would make the bookmark.
        self.get_context_state(context).pop("progress_markers", None)
        self.logger.warning("'%s' is given up; the other streams go on.", self.name)

    @override
    def log_sync_costs(self) -> None:
        """Write what waits, and fail if the stream did: the SDK calls this when all streams have been synced.

        Raises:
            FatalSyncError: If it did, and no other one is left to say so.
            OutputError: If the output is closed or full.
        """
        super().log_sync_costs()
        if isinstance(self._tap.message_writer, LineWriter):
            self._tap.message_writer.flush()  # no state follows the last records where nothing in it has changed
        self.family.head.progress.sum_up()
        if self.failure:
            if self is [stream for stream in self._tap.streams.values() if getattr(stream, "failure", "")][-1]:
                raise FatalSyncError(self.failure)
            self.logger.error("%s", self.failure)


def _ids_as_text(value: object) -> object:
    """Return a filter with its numbers as text: an ID is the same either way."""
    if isinstance(value, list):
        return [_ids_as_text(item) for item in value]
    return str(value) if type(value) is int else value
