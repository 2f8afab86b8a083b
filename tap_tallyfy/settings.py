"""The tap's settings, and the checks that a JSON schema cannot make."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from decimal import Decimal
from logging import Logger
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

from dotenv import dotenv_values, find_dotenv
from singer_sdk import typing as th
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.singerlib import Catalog

from tap_tallyfy.dates import ConversionError, date_time, lies_in_the_future
from tap_tallyfy.records.contract import CONTRACT
from tap_tallyfy.singer.list_stream import ListStream

SECRETS: Final = ("access_token", "client_secret")
_PREFIX: Final = "TAP_TALLYFY_"
#: Settings that are IDs, which some write as numbers.
_IDS: Final = ("org_id", "client_id")

_COMMON: Final = th.PropertiesList(
    th.Property(
        "access_token",
        th.StringType,
        nullable=False,
        secret=True,
        title="Access token",
        description="Personal or user token. The tap sees what its user sees.",
    ),
    th.Property(
        "client_id",
        th.StringType,
        nullable=False,
        title="Client ID",
        description="Client ID of an application. Give it with `client_secret`, instead of `access_token`.",
    ),
    th.Property(
        "client_secret",
        th.StringType,
        nullable=False,
        secret=True,
        title="Client secret",
        description="Client secret of the application.",
    ),
    th.Property(
        "token_url",
        th.StringType,
        nullable=False,
        default="https://go.tallyfy.com/oauth/token",
        title="Token URL",
        description="URL where an application gets its token.",
    ),
    th.Property(
        "org_id",
        th.StringType,
        required=True,
        nullable=False,
        title="Organization ID",
        description="ID of the organization to read.",
    ),
    th.Property(
        "api_url",
        th.StringType,
        nullable=False,
        default="https://go.tallyfy.com/api",
        title="API URL",
        description="Base URL of the API.",
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        nullable=False,
        title="Start date",
        description="Read only records last updated at or after this date-time, which is in UTC if it has no zone.",
    ),
    th.Property(
        "lookback_seconds",
        th.IntegerType(minimum=0, maximum=86_400),
        nullable=False,
        default=60,
        title="Lookback",
        description="Seconds before the bookmark at which a sync starts, because the API may show changes late.",
    ),
    th.Property(
        "page_size",
        th.IntegerType(minimum=1, maximum=100),
        nullable=False,
        default=100,
        title="Page size",
        description="Records to request per page, 1 to 100.",
    ),
    th.Property(
        "request_timeout",
        th.IntegerType(minimum=1, maximum=3600),
        nullable=False,
        default=60,
        title="Request timeout",
        description="Seconds to wait for an answer before retrying a request.",
    ),
    th.Property(
        "user_agent",
        th.StringType,
        nullable=False,
        title="User agent",
        description="`User-Agent` header of all requests, `tap-tallyfy/<version>` by default.",
    ),
    th.Property(
        "requests_per_minute",
        th.IntegerType(minimum=1, maximum=1_000_000),
        nullable=False,
        title="Requests per minute",
        description="Maximum number of requests a minute. Set it if other clients share the account's limit.",
    ),
    th.Property(
        "concurrency",
        th.IntegerType(minimum=1, maximum=64),
        nullable=False,
        default=8,
        title="Concurrency",
        description="Maximum number of pages to read in parallel.",
    ),
    th.Property(
        "emit_activate_version_messages",
        th.BooleanType,
        nullable=False,
        default=True,
        title="Mark deleted rows",
        description="Tell the target which rows are deleted; false where organizations share tables.",
    ),
    th.Property(
        "trust_totals",
        th.BooleanType,
        nullable=False,
        default=True,
        title="Trust totals",
        description="Fail if a list shows fewer rows than its total; false if totals count rows the token cannot see.",
    ),
    th.Property(
        "full_task_sync_hours",
        th.NumberType(minimum=0),
        nullable=False,
        default=24,
        title="Full task sync",
        description="Read all tasks after so many hours; in between, those of changed processes. 0: always all.",
    ),
    th.Property(
        "report",
        th.StringType,
        nullable=False,
        title="Report",
        description="File to write a JSON summary of each sync to, whatever ends the sync.",
    ),
)

#: The settings whose meaning the tap gives them; all others are query parameters as the contract describes them.
_OWN: Final[Mapping[str, Mapping[str, Any]]] = {
    "archived": {
        "type": "string",
        "enum": ["include", "exclude", "only"],
        "default": "include",
        "description": "Whether to read archived records too, to exclude them, or to read only them.",
    }
}
_PAGING: Final = frozenset({"page", "per_page"})


def settings_schema(streams: Iterable[type[ListStream]]) -> dict[str, Any]:
    """Return the JSON schema of the settings.

    Args:
        streams: The streams; each has an object of settings of its own, made from its query parameters.
    """
    schema: dict[str, Any] = {**_COMMON.to_dict(), "additionalProperties": False}
    for stream in streams:
        parameters = CONTRACT.query_parameters(stream.contract_key)
        if not parameters:
            continue
        schema["properties"][stream.name] = {
            "type": "object",
            "title": stream.name.capitalize(),
            "description": f"Query parameters of the API for {stream.name}: filters, and related data to include.",
            "additionalProperties": False,
            "properties": {
                name: _property(name, parameter)
                for name, parameter in parameters.items()
                if name not in _PAGING | stream.managed_params
            },
        }
    return schema


def _property(name: str, parameter: Mapping[str, Any]) -> dict[str, Any]:
    described = {**copy.deepcopy(parameter["schema"]), "description": parameter["description"], **_OWN.get(name, {})}
    return {"title": name.replace("_", " ").capitalize(), **described}


def given(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are given, trimmed, and IDs among them as text.

    Args:
        config: The settings; null and blank text mean that a setting is not given, filters of lists included.
        schema: The JSON schema of the settings.
    """
    found = {name: _trimmed(name, value) for name, value in config.items()}
    for name in _lists(schema):
        if isinstance(found.get(name), dict):
            found[name] = {filter_: value for filter_, value in found[name].items() if not _is_blank(value)}
    return {name: value for name, value in found.items() if not _is_blank(value)}


def _trimmed(name: str, value: Any) -> Any:  # noqa: ANN401 - a setting may be any JSON
    # The SDK would read an ID from the environment as a number if the schema allowed one.
    if name in _IDS and type(value) is int:
        return str(value)
    return value.strip() if isinstance(value, str) else value


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _lists(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the settings that hold the filters of a list; the SDK's own objects allow any name."""
    properties: Mapping[str, Mapping[str, Any]] = schema["properties"]
    return {name: described for name, described in properties.items() if described.get("additionalProperties") is False}


def read_environment(
    schema: Mapping[str, Any], environment: MutableMapping[str, str], logger: Logger
) -> dict[str, Any]:
    """Return the settings in `TAP_TALLYFY_*` variables; a blank variable is not set.

    The SDK's own reader fails on blank variables and takes any text for false.

    Args:
        schema: The JSON schema of the settings, the SDK's own among them.
        environment: The environment; the variables of a `.env` file are added to it, as the SDK would do.
        logger: Where to warn of variables that have no effect.

    Raises:
        ConfigValidationError: If the value of a variable does not suit its setting.
    """
    _read_dotenv(environment, logger)
    variables = {name: text for name, text in environment.items() if name.startswith(_PREFIX) and text.strip()}
    settings = {f"{_PREFIX}{name}".upper(): name for name in schema["properties"]}
    if errors := [*_misplaced(schema, variables), *_unreadable(schema, variables, settings)]:
        raise ConfigValidationError(" ".join(errors), errors=errors)
    if unknown := sorted(variables.keys() - settings.keys() - {f"{_PREFIX}LOGLEVEL"}):
        more = [f"{len(unknown) - _MOST_NAMES} more"] if len(unknown) > _MOST_NAMES else []
        logger.warning(
            "The tap ignores %s in the environment: no setting has that name.",
            ", ".join([*unknown[:_MOST_NAMES], *more]),
        )
    return {
        name: _read(schema["properties"][name], variables[variable])
        for variable, name in settings.items()
        if variable in variables
    }


def _read_dotenv(environment: MutableMapping[str, str], logger: Logger) -> None:
    """Add the variables of the `.env` file beside or above the tap, which wins as it does in the SDK."""
    path = find_dotenv()
    if not path:
        return
    try:
        found = {name: text for name, text in dotenv_values(path).items() if text}
    except UnicodeDecodeError:
        sentence = f"The file '{path}' is not UTF-8 text; save it as UTF-8."
        raise ConfigValidationError(sentence, errors=[sentence]) from None
    changed = (name for name, text in found.items() if environment.get(name, text) != text)
    if replaced := sorted(name for name in changed if name.startswith(_PREFIX)):
        logger.warning("'%s' replaces %s of the environment; set each in one place.", path, ", ".join(replaced))
    environment.update(found)


def _misplaced(schema: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[str]:
    """Yield an error for each filter that has a variable of its own: without the filter, every row would be sent."""
    for name, described in _lists(schema).items():
        for filter_ in described["properties"]:
            variable = f"{_PREFIX}{name}_{filter_}".upper()
            if variable in variables:
                yield (
                    f"'{variable}' is a variable for Meltano; with --config ENV, give all filters of a list as one JSON"
                    f""" object, such as {_PREFIX}{name.upper()}='{{"{filter_}": ...}}'."""
                )


def _unreadable(schema: Mapping[str, Any], variables: Mapping[str, str], settings: Mapping[str, str]) -> Iterator[str]:
    for variable, name in settings.items():
        described = schema["properties"][name]
        try:
            _read(described, variables.get(variable))
        except (ValueError, TypeError, RecursionError):
            yield f"'{name}' in the environment must be {_KINDS[_kind(described)]}."


#: Most names that one line of the log lists.
_MOST_NAMES: Final = 20
#: How the kinds of settings are called that are not read as they are.
_KINDS: Final = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a JSON object",
}
#: The SDK takes the former for true; people write the latter for false.
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


def _kind(described: Mapping[str, Any]) -> str:
    return next((kind for kind in _KINDS if kind in described.get("type", ())), "text")


def _read(described: Mapping[str, Any], text: str | None) -> Any:  # noqa: ANN401 - a setting may be any JSON
    if text is None:
        return None
    match _kind(described):
        case "integer":
            return int(text)
        case "number":
            if not math.isfinite(float(text)):
                raise ValueError(text)
            return float(text)
        case "boolean":
            word = text.strip().lower()
            if word not in _TRUE | _FALSE:
                raise ValueError(word)
            return word in _TRUE
        case "object":
            value = json.loads(text, parse_float=Decimal)  # as the SDK reads a file
            if not isinstance(value, dict):
                raise TypeError(text)
            return value
        case _:
            return text


@contextmanager
def json_file(option: str, name: str) -> Iterator[None]:
    """Name a file of the command line if it cannot be read, or turns out to hold no JSON object.

    Args:
        option: The option that the file is given with, such as `--config`.
        name: The name of the file as given.

    Raises:
        ConfigValidationError: If the file cannot be read, or holds no JSON object.
    """
    # Some give the settings themselves, secrets among them, in place of a file.
    name = name if not {"{", "=", '"'} & set(name) else "…"
    try:
        yield
    except (ValueError, TypeError, RuntimeError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        sentence = f"The file given with {option}, '{name}', holds no JSON object: {reason}"
        raise ConfigValidationError(sentence, errors=[sentence]) from error
    except OSError as error:
        sentence = f"The file given with {option}, '{name}', cannot be read: {error.strerror or 'it is not there'}."
        raise ConfigValidationError(sentence, errors=[sentence]) from error


def json_content(option: str, file: IO[str] | None) -> dict[str, Any] | None:
    """Return the content of a file of the command line, or None where there is no file.

    Args:
        option: The option that the file is given with, such as `--state`.
        file: The file, which may be a pipe.

    Raises:
        ConfigValidationError: If the file holds no JSON object.
    """
    if file is None:
        return None
    with json_file(option, file.name):
        content: dict[str, Any] = json.loads(file.read())
        if not isinstance(content, dict):
            raise TypeError("there is other JSON in it")
    return content


def catalog(option: str, file: IO[str] | None) -> Catalog | None:
    """Return the catalog that a file of the command line holds, or None where there is no file.

    Raises:
        ConfigValidationError: If the file holds no catalog.
    """
    content = json_content(option, file)
    if file is None or content is None:
        return None
    try:
        for entry in content["streams"]:
            str.strip(entry["tap_stream_id"])
            dict.keys(entry["schema"]["properties"])
        return Catalog.from_dict(content)
    except (TypeError, LookupError, AttributeError, ValueError):
        sentence = f"The file given with {option}, '{file.name}', holds no catalog; make one with --discover."
        raise ConfigValidationError(sentence, errors=[sentence]) from None


def errors_before_schema(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error for each setting that must not reach the check against the JSON schema.

    Args:
        config: The settings as given.
        schema: The JSON schema of the settings.
    """
    # Its messages would show secrets.
    for name in SECRETS:
        value = config.get(name)
        if value is not None and not isinstance(value, str):
            yield f"'{name}' must be a string."
    # It sets defaults in the settings of streams before it looks at their type.
    for name in _lists(schema):
        if not isinstance(config.get(name, {}), dict):
            yield f"'{name}' must be an object."
    # It would not say where to find them.
    if "org_id" not in config:
        yield "'org_id' is not set; set it to the ID in the address of your organization."
    yield from _missing_credentials(config)


def _missing_credentials(config: Mapping[str, Any]) -> Iterator[str]:
    if "access_token" in config:
        return
    if "client_id" not in config and "client_secret" not in config:
        yield "'access_token' is not set; set it, or 'client_id' and 'client_secret' of an application."
    for one, other in (("client_id", "client_secret"), ("client_secret", "client_id")):
        if one in config and other not in config:
            yield f"'{other}' is not set, but '{one}' is; set both."


def errors(config: Mapping[str, Any], streams: Iterable[type[ListStream]]) -> Iterator[str]:
    """Yield an error for each wrong setting that is valid against the schema.

    Args:
        config: The settings.
        streams: The streams.
    """
    token = config.get("access_token", "")
    if token and (" " in token or not _fits_header(token)):
        yield "'access_token' must be one word of ASCII characters; copy it whole, and nothing else with it."
    if not _is_path_segment(config["org_id"]):
        yield "'org_id' must be the ID alone, as in the address of your organization."
    yield from _odd_values(config)
    for name in ("api_url", "token_url"):
        if not _is_http_url(config[name]):
            yield f"'{name}' must be an http(s) URL without a user name or a query, such as https://go.tallyfy.com/api."
    if (agent := config.get("user_agent")) is not None and not _fits_header(agent):
        yield "'user_agent' must be a line of ASCII text."
    try:
        if lies_in_the_future(date_time(config.get("start_date"))):
            yield "'start_date' lies in the future, so that nothing would be read; set an earlier one."
    except ConversionError:
        yield "'start_date' must be a date-time such as 2025-01-15T10:00:00Z, or a date such as 2025-01-15."
    for stream in streams:
        settings: Mapping[str, Any] = config.get(stream.name, {})
        status, archived = settings.get("status"), settings.get("archived")
        loses_status = stream.archived is not None and any("status" in each for each in stream.archived.param_variants)
        is_only_active = loses_status and archived == "only" and status in _ACTIVE_ONLY
        if (status == "archived" and archived == "exclude") or is_only_active:
            yield (
                f"'{stream.name}.status' is '{status}' and '{stream.name}.archived' is '{archived}', but no record"
                " is both; remove one of them."
            )


def bare_state(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state without the wrapping of Meltano and others: `completed` and `singer_state`."""
    for wrapping in ("completed", "singer_state"):
        inner = state.get(wrapping)
        state = inner if isinstance(inner, dict) and "bookmarks" not in state else state
    return state


def state_errors(state: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error if a state as a whole is none.

    Args:
        state: The state as given.
    """
    bookmarks = state.get("bookmarks", {})
    is_state = isinstance(bookmarks, dict) and all(isinstance(each, dict) for each in bookmarks.values())
    if not is_state or "type" in state:
        yield "The file given with --state holds no state; give it the 'value' of a STATE message."


#: Values of `status` that an archived process no longer has, since archiving changes it (vendor docs).
_ACTIVE_ONLY: Final = frozenset({"active", "complete"})


def _odd_values(config: Mapping[str, Any]) -> Iterator[str]:
    if not math.isfinite(config["full_task_sync_hours"]):
        yield "'full_task_sync_hours' must be a number of hours; 0 reads all tasks in each sync."
    if (report := config.get("report")) and not Path(report).absolute().parent.is_dir():
        yield "'report' names a file in a folder that does not exist; make the folder, or name another."


def _fits_header(value: str) -> bool:
    return value.isascii() and value.isprintable() and value.strip() == value and bool(value)


def _is_path_segment(value: str) -> bool:
    return bool(value.strip(".")) and not any(sign.isspace() or sign in "/?#%&{}" for sign in value)


def _is_http_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        return False
    right = parts.scheme in {"http", "https"} and parts.hostname and port_is_right
    extra = parts.query or parts.fragment or parts.username
    return bool(right and not extra) and not any(sign.isspace() or sign in "{}" for sign in value)
