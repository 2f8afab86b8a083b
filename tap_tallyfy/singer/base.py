"""The base of all streams: settings, columns, and the hooks that the SDK calls."""

from __future__ import annotations

import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Final

from singer_sdk import Stream, Tap
from singer_sdk.exceptions import ConfigValidationError, SingerSDKError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.helpers.types import Context
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform, StreamMap
from singer_sdk.singerlib import Catalog, Schema
from singer_sdk.singerlib.catalog import MetadataMapping, StreamMetadata
from typing_extensions import override

from tap_tallyfy.api.secrets import listed
from tap_tallyfy.dates import date_time, second
from tap_tallyfy.records.contract import CONTRACT, ORG_ID, table_schema
from tap_tallyfy.records.nested import Misfit
from tap_tallyfy.records.shapes import Record
from tap_tallyfy.singer import bookmark
from tap_tallyfy.singer.bookmark import Bookmark, MadeFor, fingerprint
from tap_tallyfy.singer.columns import Columns, typed
from tap_tallyfy.singer.maps import explained
from tap_tallyfy.singer.session import Session

#: Errors that end a sync with one sentence: settings, the API, the target or this machine are at fault, not the tap.
EXPECTED: Final = (SingerSDKError, OSError)
#: Settings under a list's name that do not change which records match.
_NO_FILTERS: Final = frozenset({"archived", "sort", "without_pagination"})
#: The length of a column's breadcrumb in a catalog; parts of it have longer ones.
_TOP: Final = 2


def refusal(*sentences: str) -> ConfigValidationError:
    """Return the error that says each of these sentences, on settings, a catalog or a state, to the user."""
    return ConfigValidationError(" ".join(sentences), errors=list(sentences))


class StreamsOfList(ABC):
    """A list of the API, and the streams that are made from it."""

    def __init__(self, parent: TallyfyStream) -> None:
        self.parent = parent  #: The stream of the list itself.
        self.streams: list[TallyfyStream] = []  #: All of them, the parent first.
        self.add(parent)

    def add(self, stream: TallyfyStream) -> None:
        """Add a stream that is made from the list."""
        stream.shared = self
        self.streams.append(stream)

    @property
    def selected(self) -> list[TallyfyStream]:
        """The streams that are selected."""
        return [stream for stream in self.streams if stream.selected]

    @property
    def required_related(self) -> list[str]:
        """The related data that selected streams are made from, for the `with` parameter."""
        return sorted({name for stream in self.selected for name in stream.required_related})

    @property
    def internal_related(self) -> frozenset[str]:
        """The related data that is asked for only since streams are made from it."""
        return frozenset(self.required_related).difference(self.parent.settings.get("with", ()))

    @abstractmethod
    def server_clock(self) -> float | None:
        """Return the server's clock, in seconds since the epoch, or None where it tells none."""

    @abstractmethod
    def records_of(self, stream: TallyfyStream) -> Iterator[Record]:
        """Yield the records of a stream.

        Raises:
            FatalSyncError: If the sync cannot go on; a failure of this list alone is noted, and reported at its end.
        """


class TallyfyStream(Stream):
    """A stream that is made from a list of the API, alone or together with others."""

    shared: StreamsOfList  #: The list, and all streams that are made from it.
    # `RecordParser` has made every record valid already.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE
    name: str = ""
    primary_keys: Sequence[str]
    #: The kind of its records, by the key in the contract: the path of a list, or the name of a row.
    contract_key: ClassVar[str]
    replication_key: str | None = None
    #: Whether nothing is ever deleted, so that rows which are no longer sent are history.
    append_only: ClassVar[bool] = False
    columns_off_by_default: ClassVar[Sequence[str]] = ()  #: Columns that are left out unless a catalog selects them.
    #: Related data of the list that the stream is made from, by the names that `with` has for it.
    required_related: ClassVar[Sequence[str]] = ()

    def __init__(self, tap: Tap, session: Callable[[], Session]) -> None:
        self.find_session = session
        super().__init__(tap)

    @property
    def session(self) -> Session:
        """The session that all streams of the tap share."""
        return self.find_session()

    @abstractmethod
    def records_from(self, record: Record, misfits: set[Misfit]) -> Iterable[Record]:
        """Return the stream's records made from a record of the list; `misfits` takes nested lists that are none."""

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        bookmark.begin(self.stream_state)
        try:
            yield from self.shared.records_of(self)
        finally:
            if self.ABORT_AT_RECORD_COUNT is not None:  # the SDK leaves the limit of a connection test behind
                self.ABORT_AT_RECORD_COUNT = None
                self.session.flush()
                Stream.selected.fset(self, self._selected_before)  # type: ignore[attr-defined] # it is a property

    # Settings

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings under the list's name."""
        settings: Mapping[str, Any] = self.config.get(self.shared.parent.name, {})
        return settings

    @cached_property
    def filters(self) -> Mapping[str, Any]:
        """The settings that are sent as they are, under the API's own names."""
        return {name: value for name, value in self.settings.items() if name not in _NO_FILTERS}

    # Selection and columns

    _selected_before: bool | None = None

    @property
    def selected(self) -> bool:
        """Whether the stream is selected."""
        return super().selected

    @selected.setter
    def selected(self, value: bool | None) -> None:
        if self.ABORT_AT_RECORD_COUNT is not None:  # a connection test selects every stream, and never undoes that
            self._selected_before = self.selected
        Stream.selected.fset(self, value)  # type: ignore[attr-defined] # it is a property

    @cached_property
    @override
    def schema(self) -> dict[str, Any]:
        return table_schema(self.contract_key, self.primary_keys, self.config.get(self.name, {}).get("with", ()))

    @property
    @override
    def metadata(self) -> MetadataMapping:
        metadata = super().metadata
        for name in self.columns_off_by_default:
            if described := metadata.get(("properties", name)):
                described.selected_by_default = False
        return metadata

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        entry = catalog.get(self.name)
        if entry is None:
            super().apply_catalog(catalog)
            return
        entry.schema = Schema.from_dict(self._with_own_types(entry.schema.to_dict()))
        super().apply_catalog(catalog)
        about = entry.metadata.get(())
        told = (entry.key_properties, about.table_key_properties if isinstance(about, StreamMetadata) else None)
        self.primary_keys = type(self).primary_keys
        keys = next((keys for keys in map(_names, filter(None, told)) if set(keys) != set(self.primary_keys)), None)
        replication_key, self.replication_key = self.replication_key, type(self).replication_key
        needed = [*self.primary_keys, *([self.replication_key] if self.replication_key and self.has_bookmark else [])]
        error = ""
        if keys:
            error = (
                f"says that its key is {', '.join(keys)}, but records are told apart by {', '.join(self.primary_keys)}"
            )
        elif replication_key and replication_key != self.replication_key:
            error = f"says that its replication key is {replication_key}, but it is {self.replication_key}"
        elif absent := [name for name in needed if name not in self.effective_schema.get("properties", {})]:
            error = f"lacks {', '.join(absent)}"
        if error:
            error = f"The catalog's entry of '{self.name}' {error}; run the tap with --discover to make a new catalog."
            raise refusal(error)

    def _with_own_types(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema of a catalog, in which every column has a type that takes the values of records."""
        theirs, own = schema.get("properties", {}), self.schema["properties"]
        properties = {name: typed(column, own.get(name)) for name, column in theirs.items()}
        if changed := [f"'{name}'" for name in properties.keys() & own if properties[name] != theirs[name]]:
            self.logger.warning(
                "The catalog's types of '%s' do not take the values of these columns, which keep the tap's own: %s.",
                self.name,
                listed(changed),
            )
        return {**schema, "properties": properties}

    def columns(self) -> Columns:
        """Return the columns that the catalog selects."""
        properties = self.effective_schema["properties"]
        selected = [name for name in properties if self.mask["properties", name]]
        deselected = set(properties).difference(selected) | (self.shared.internal_related - set(properties))
        second_names = CONTRACT.second_names(self.contract_key)
        parts: dict[str, set[str]] = {}
        for breadcrumb, is_selected in self.mask.items():
            if not is_selected and len(breadcrumb) > _TOP:
                parts.setdefault(breadcrumb[1], set()).add(breadcrumb[-1])
        return Columns(
            selected,
            deselected=deselected | {second for second, name in second_names.items() if name in deselected},
            deselected_parts=parts,
            org_id=self.config["org_id"] if ORG_ID in properties else None,
            flattened={
                name: properties[name]
                for name in selected
                if self.config.get("flattening_enabled") and properties[name].get("properties")
            },
            as_floats=any(type(each) is not SameRecordTransform for each in self.stream_maps),
        )

    @cached_property
    @override
    def stream_maps(self) -> list[StreamMap]:
        return [explained(each, self.name) for each in super().stream_maps]

    @property
    def tables(self) -> list[str]:
        """The names of the stream in the target: stream maps may rename it, copy it, or leave it out."""
        if not self.selected:
            return []
        return [map_.stream_alias for map_ in super().stream_maps if not isinstance(map_, RemoveRecordTransform)]

    @property
    def shares_a_table(self) -> bool:
        """Whether a stream map writes another stream's rows where this one's are."""
        others = (stream for stream in self._tap.streams.values() if stream is not self)
        return any(set(self.tables).intersection(getattr(other, "tables", ())) for other in others)

    # State

    @property
    def has_bookmark(self) -> bool:
        """Whether a sync goes on where the last one ended; one that does not moves the bookmark all the same."""
        return bool(self.replication_key) and self.replication_method != "FULL_TABLE"

    @property
    def made_for(self) -> MadeFor:
        """The conditions of a bookmark: under other settings, or in another shape, it would skip records."""
        settings = {
            "org_id": self.config["org_id"],
            "archived": self.settings.get("archived", "include"),
            **{name: _ids_as_text(value) for name, value in self.filters.items()},
        }
        types = {name: column.get("type") for name, column in self.schema["properties"].items()}
        start = second(date_time(self.config.get("start_date")))
        return MadeFor(fingerprint(settings), fingerprint([list(self.primary_keys), types]), start)

    def load_bookmark(self) -> Bookmark:
        """Return the stream's bookmark of earlier syncs, and warn if it is void."""
        found = Bookmark.load(self.stream_state, self.replication_key, self.made_for, self.shared.server_clock)
        if found.void and self.has_bookmark:
            self.logger.warning("The bookmark of '%s' %s; the stream starts over.", self.name, found.void)
        return found

    @override
    def compare_start_date(self, value: str, start_date_value: str) -> str:
        """Return the bookmark as it is: `Bookmark` knows of `start_date`, and of bookmarks that are no date-times."""
        return value

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Return None: the server's clock caps the bookmark, not this machine's, which may be wrong by hours."""

    # Log

    @override
    def log(self, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
        # The SDK calls every error unhandled, even the end of a test; the tap has a sentence of its own for these.
        hidden = level == logging.ERROR and isinstance(sys.exc_info()[1], EXPECTED)
        super().log(message, *args, level=logging.DEBUG if hidden else level, **kwargs)

    @override
    def log_sync_costs(self) -> None:
        """Tell the tap that the stream has been synced: the SDK calls this once all streams have been."""
        super().log_sync_costs()
        self._tap.stream_finished(self)  # type: ignore[attr-defined] # the tap is ours

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        """Return False: the SDK sends the message before anything has been read; see `deletions`."""
        return False


def _names(keys: object) -> list[str]:
    """Return the names of key columns, which a catalog may give in any JSON."""
    return [str(key) for key in (keys if isinstance(keys, (list, tuple)) else [keys])]


def _ids_as_text(value: object) -> object:
    """Return a filter with its numbers as text: an ID is the same either way."""
    if isinstance(value, list):
        return [_ids_as_text(item) for item in value]
    return str(value) if type(value) is int else value
