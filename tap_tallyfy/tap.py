"""The tap: from the command line and its settings to streams."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from functools import cached_property
from io import StringIO
from typing import TYPE_CHECKING, Any, NoReturn

from singer_sdk import Tap
from singer_sdk.exceptions import ConfigValidationError, FatalSyncError
from singer_sdk.plugin_base import SingerCommand
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_tallyfy import settings
from tap_tallyfy.api.client import Client
from tap_tallyfy.api.errors import EXPECTED
from tap_tallyfy.singer.list_stream import ListStream
from tap_tallyfy.singer.nested_stream import RowStream
from tap_tallyfy.singer.writer import LineWriter
from tap_tallyfy.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import FrameType

    import click

    from tap_tallyfy.singer.base import Member

#: Some loaders keep versions in 32 bits.
_LARGEST_VERSION = 2**31 - 1


def lists_among(streams: Iterable[type[ListStream | RowStream]]) -> list[type[ListStream]]:
    """Return the streams that read a list; only they have settings.

    Args:
        streams: Streams.
    """
    return [stream for stream in streams if issubclass(stream, ListStream)]


class TapTallyfy(Tap):
    """Singer tap for Tallyfy: moves a company's account into its own warehouse."""

    name = "tap-tallyfy"
    config_jsonschema = settings.settings_schema(lists_among(STREAMS))
    message_writer_class = LineWriter
    #: The streams the tap offers; those that are made from a list come after it.
    stream_types: Sequence[type[ListStream | RowStream]] = STREAMS

    def __init__(
        self,
        *,
        config: Any = None,  # noqa: ANN401 - as the SDK takes it
        parse_env_config: bool = False,
        validate_config: bool = True,
        **kwargs: Any,
    ) -> None:
        """Make a tap.

        Args:
            config: Settings.
            parse_env_config: Whether to read `TAP_TALLYFY_*` variables too.
            validate_config: Whether wrong settings are an error.
            **kwargs: What else the SDK takes.

        Raises:
            ConfigValidationError: If settings are wrong.
        """
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        if parse_env_config:
            config = {**(config or {}), **settings.read_environment(schema, os.environ, self.logger)}
        config = settings.given(config or {}, schema)
        if validate_config:
            _refuse(settings.errors_before_schema(config, schema))
        self._settings_checked = validate_config
        super().__init__(config=config, validate_config=validate_config, **kwargs)
        if isinstance(self.message_writer, LineWriter) and self.config.get("emit_activate_version_messages"):
            self.message_writer.version = self._next_version()
        if threading.current_thread() is threading.main_thread():
            # The SDK's own handler ends a killed sync with exit code 0, as if it had been complete.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._stop)

    @cached_property
    def client(self) -> Client:
        """What sends the requests of all streams."""
        return Client(self.config, self.logger)

    @override
    def setup_mapper(self) -> None:
        # The first hook after the SDK's own check of the settings, and before any stream is made.
        if self._settings_checked:
            _refuse(settings.errors(self.config, lists_among(self.stream_types)))
        super().setup_mapper()

    @override
    def discover_streams(self) -> Sequence[Member]:
        lists = {stream: stream(self, self.client) for stream in lists_among(self.stream_types)}
        rows = [stream(self, lists[stream.head]) for stream in self.stream_types if issubclass(stream, RowStream)]
        return [*lists.values(), *rows]

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        _refuse(settings.state_errors(state))
        super().load_state(state)
        for name, bookmark in self.state.get("bookmarks", {}).items():
            stream = self.streams.get(name)
            if stream is not None:
                stream.check_state(bookmark)  # type: ignore[attr-defined] # all streams are ours

    def _next_version(self) -> int:
        """Return the present second, or more where the state knows of a version that is no smaller."""
        noted = (bookmark.get("version") for bookmark in self.state.get("bookmarks", {}).values())
        known = [version for version in noted if type(version) is int and version < _LARGEST_VERSION]
        return max([int(time.time()), *(version + 1 for version in known)])

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.logger.error("Stopped by %s; the bookmark stays where it was.", signal.Signals(number).name)
        if isinstance(self.message_writer, LineWriter):
            self.message_writer.stop(128 + number)
        else:
            sys.exit(128 + number)

    def report_test(self) -> None:
        """Say which streams a connection test could read.

        Raises:
            FatalSyncError: If it could read none.
        """
        org_id, streams = self.config["org_id"], self.streams.items()
        refused = [name for name, stream in streams if stream.failure]  # type: ignore[attr-defined] # all are ours
        readable = [name for name in self.streams if name not in refused]
        if not readable:
            msg = f"The token may not read any stream of organization '{org_id}'; use the token of a user who may."
            raise FatalSyncError(msg)
        but_not = f", but not {', '.join(refused)}" if refused else ""
        self.logger.info("Reached organization '%s'; the token can read %s%s.", org_id, ", ".join(readable), but_not)

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        merged = super().cb_config(ctx, param, ())
        for name in value:
            with settings.json_file("--config", name):
                one = super().cb_config(ctx, param, (name,))
                merged.config.update(one.config)
            merged.parse_env |= one.parse_env
        return merged

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        if value == CliTestOptionValue.All.value:
            given = ctx.params["config"]
            tap = cls(config=given.config, parse_env_config=given.parse_env)
            tap.run_connection_test()
            tap.report_test()
            ctx.exit()
        super().cb_test(ctx, param, value)

    @classmethod
    @override
    def invoke(cls, **kwargs: Any) -> None:
        try:
            for option in ("catalog", "state"):
                if file := kwargs.get(option):
                    kwargs[option] = StringIO(settings.json_text(f"--{option}", file))
            super().invoke(**kwargs)
        except ConfigValidationError as error:
            # The SDK would end with a line that says nothing, and Meltano's test shows the last one alone.
            raise SettingsError(*error.errors) from None

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        return TallyfyCommand(
            name=command.name,
            callback=command.callback,
            params=command.params,
            context_settings=command.context_settings,
            help=command.help,
            logger=cls.logger,
        )


def _refuse(errors: Iterable[str]) -> None:
    if found := list(errors):
        raise ConfigValidationError(" ".join(found), errors=found)


class SettingsError(Exception):
    """Settings are wrong; the arguments are a sentence for each."""


class TallyfyCommand(SingerCommand):
    """The command line: expected errors end it with one sentence, a non-zero exit code and no traceback."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except ConfigValidationError as error:
            self._fail(*error.errors)
        except SettingsError as error:
            self._fail(*error.args)
        except EXPECTED as error:
            self._fail(str(error))
        except ValueError as error:
            self._fail(str(error))

    def _fail(self, *sentences: str) -> NoReturn:
        self.logger.debug("Where that happened:", exc_info=True)  # noqa: LOG014 - called where an exception is handled
        for sentence in sentences:
            self.logger.error("%s", sentence)
        sys.exit(1)
