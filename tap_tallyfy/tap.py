"""The tap: from the command line and its settings to streams."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from functools import cached_property, partial
from pathlib import Path
from types import FrameType
from typing import IO, Any

import click
from singer_sdk import Tap
from singer_sdk.exceptions import MapExpressionError, StreamMapConfigError
from singer_sdk.plugin_base import PluginBase
from singer_sdk.singerlib import Catalog
from singer_sdk.singerlib.messages import StateMessage
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_tallyfy import command, settings
from tap_tallyfy.api.client import Client
from tap_tallyfy.api.errors import APIError
from tap_tallyfy.api.secrets import Secrets, hide_in_log
from tap_tallyfy.singer.base import TallyfyStream, refusal
from tap_tallyfy.singer.list_reading import ListReading
from tap_tallyfy.singer.list_stream import ListStream
from tap_tallyfy.singer.nested_stream import NestedStream
from tap_tallyfy.singer.progress import Progress
from tap_tallyfy.singer.report import Report
from tap_tallyfy.singer.session import Session, Sync, SyncFailedError, next_version
from tap_tallyfy.singer.shared_reading import SharedList
from tap_tallyfy.singer.writer import LineWriter
from tap_tallyfy.streams import STREAMS


def lists_among(streams: Iterable[type[ListStream | NestedStream]]) -> list[type[ListStream]]:
    """Return the streams that read a list; only they have settings."""
    return [stream for stream in streams if issubclass(stream, ListStream)]


class TapTallyfy(Tap):
    """Singer tap for Tallyfy: moves a company's account into its own warehouse."""

    name = "tap-tallyfy"
    config_jsonschema = settings.settings_schema(lists_among(STREAMS))
    message_writer_class = LineWriter
    #: The streams the tap offers; those that are made from a list come after it.
    stream_types: Sequence[type[ListStream | NestedStream]] = STREAMS

    def __init__(
        self,
        *,
        config: Any = None,  # noqa: ANN401 - as the SDK takes it
        parse_env_config: bool = False,
        validate_config: bool = True,
        **kwargs: Any,
    ) -> None:
        """Make a tap.

        Raises:
            ConfigValidationError: If settings, the catalog or the state are wrong.
        """
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        if parse_env_config:
            config = {**(config or {}), **settings.read_environment(schema, os.environ, self.logger)}
        config = settings.given(config or {}, schema)
        if validate_config:
            _refuse(settings.errors_before_schema(config, schema))
        self._settings_checked = validate_config
        self._secrets = Secrets(config)
        hide_in_log(self._secrets)
        # The SDK warns at each record without a date, as if bookmarks were made of the records.
        logging.getLogger("singer_sdk").addFilter(_is_no_lack_of_a_date)
        with command.signals_kept():  # the SDK takes over those of the whole process
            super().__init__(config=config, validate_config=validate_config, **kwargs)

    # Streams

    @cached_property
    def session(self) -> Session:
        """The session that all streams share."""
        client = Client(self.config, self.logger, secrets=self._secrets)
        versions = (bookmark.get("version") for bookmark in self.state.get("bookmarks", {}).values())
        progress, sync, writer = Progress(client, self.logger), Sync(next_version(versions)), self.message_writer
        if not isinstance(writer, LineWriter):  # it writes rows without versions, so that none may be marked by them
            return Session(client, progress, lambda _: None, lambda: None, sync)
        session = Session(client, progress, self.write_message, writer.flush, sync)
        writer.versions = session.versions
        return session

    @cached_property
    @override
    def streams(self) -> dict[str, Any]:
        # The SDK takes them by name; parents come first, so that their own rows need not wait in a file.
        found = super().streams
        return {stream.name: found[stream.name] for stream in self.stream_types}

    @override
    def discover_streams(self) -> Sequence[TallyfyStream]:
        lists = {kind: SharedList(kind(self, lambda: self.session)) for kind in lists_among(self.stream_types)}
        for kind in self.stream_types:
            if issubclass(kind, NestedStream):
                lists[kind.parent].add(kind(self, lambda: self.session))
        return [stream for shared in lists.values() for stream in shared.streams]

    @override
    def setup_mapper(self) -> None:
        # The first hook after the SDK's own check of the settings, and before any stream is made.
        if self._settings_checked:
            _refuse(settings.errors(self.config, lists_among(self.stream_types)))
        PluginBase.setup_mapper(self)
        for name, entry in self.catalog.items():
            entry.stream = name  # some call it otherwise, and the SDK would look for its maps by that name
            if name in self.streams:
                entry.key_properties = list(self.streams[name].primary_keys)
            # A map need not fit the columns of a stream that is off.
            is_on = name in self.streams and self.streams[name].selected
            with nullcontext() if is_on else suppress(StreamMapConfigError, MapExpressionError):
                self._register_maps(Catalog({name: entry}))

    def _register_maps(self, catalog: Catalog) -> None:
        try:
            self.mapper.register_raw_streams_from_catalog(catalog)
        except (ValueError, TypeError, LookupError, SyntaxError, StreamMapConfigError, MapExpressionError) as error:
            why = str(error).rstrip(".")
            sentence = f"'stream_maps' or the settings of flattening cannot be used ({why}); correct them."
            raise StreamMapConfigError(sentence) from None

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        state = settings.bare_state(state)
        _refuse(settings.state_errors(state))
        super().load_state(state)

    def stream_finished(self, stream: TallyfyStream) -> None:
        """Sum a sync up once its last stream is done.

        Raises:
            SyncFailedError: If a list could not be read, or not be believed.
            OutputError: If the output is closed or full.
        """
        if stream is not list(self.streams.values())[-1]:
            return
        failures, session = self.session.sync.failures, self.session
        self.write_message(StateMessage(value=self.state))  # targets give back the one that follows all records
        session.progress.sum_up()
        if failures:
            only_refused = not session.client.has_answered
            raise SyncFailedError(dict(list(failures.items())[:1]) if only_refused else failures)

    # The command line

    def check_access(self) -> None:
        """Ask for a page of each list, and say which streams the token can read.

        Raises:
            APIError: If no list can be read, or the token is refused.
        """
        failed = self.session.sync.failures
        for stream in self.streams.values():
            if isinstance(stream, ListStream):
                try:
                    with self.session.progress.booked_on(stream.name):
                        ListReading(stream, stream.load_bookmark()).sample()
                except APIError as error:
                    self.session.fail(stream.name, error)
        refused = [name for name, stream in self.streams.items() if stream.shared.parent.name in failed]
        readable = [name for name in self.streams if name not in refused]
        if not readable:
            raise SyncFailedError(dict(list(failed.items())[:1]))
        but_not = f", but not {', '.join(refused)}" if refused else ""
        self.logger.info(
            "Reached organization '%s'; the token can read %s%s.", self.config["org_id"], ", ".join(readable), but_not
        )

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        merged = super().cb_config(ctx, param, ())
        for name in value:
            if name == "ENV":
                merged.parse_env = True
            else:
                read = partial(Path(name).read_text, encoding="utf-8")
                merged.config.update(settings.json_content("--config", name, read))
        return merged

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        if value == CliTestOptionValue.All.value:
            given = ctx.params["config"]
            cls(config=given.config, parse_env_config=given.parse_env).check_access()
            ctx.exit()
        super().cb_test(ctx, param, value)

    @classmethod
    @override
    def invoke(  # type: ignore[override] # as the SDK's tap does
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: Any = None,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
    ) -> None:
        PluginBase.invoke.__func__(cls, about=about, about_format=about_format)  # type: ignore[attr-defined]
        cls.print_version(print_fn=cls.logger.info)
        tap = cls(
            config=config.config,
            state=settings.json_content("--state", state.name, state.read) if state else None,
            catalog=settings.catalog(catalog) if catalog else None,
            parse_env_config=config.parse_env,
        )
        report: Report = click.get_current_context().obj
        report.path = Path(tap.config["report"]) if "report" in tap.config else None
        report.session = tap.session

        def stop(number: int, _frame: FrameType | None) -> None:
            name, code = signal.Signals(number).name, 128 + number
            say = partial(tap.logger.error, "Stopped by %s; the bookmark stays where it was.", name)
            try:
                say()
            except RuntimeError:  # the log is in the middle of a line, and takes no other one inside of it
                atexit.register(say)
            if not isinstance(tap.message_writer, LineWriter):
                sys.exit(code)
            tap.message_writer.stop(code, lambda: command.write_report(report, SystemExit(code)))

        with command.signals_sent_to(stop):
            tap.sync_all()

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        made = super().get_singer_command()
        return command.TallyfyCommand(
            name=made.name,
            callback=made.callback,
            params=made.params,
            context_settings=made.context_settings,
            help=made.help,
            logger=cls.logger,
        )


def _is_no_lack_of_a_date(record: logging.LogRecord) -> bool:
    return record.msg != "New replication value is null"


def _refuse(errors: Iterable[str]) -> None:
    if found := list(errors):
        raise refusal(*found)
