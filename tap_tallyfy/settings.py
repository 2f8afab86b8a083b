"""The tap's settings: what there is, and what no JSON schema can say about them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
from singer_sdk import typing as th

from tap_tallyfy.dates import ConversionError, date_time, lies_in_the_future
from tap_tallyfy.records.contract import CONTRACT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tap_tallyfy.singer.list_stream import ListStream

SECRETS: Final = ("access_token", "client_secret")
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
        th.IntegerType(minimum=1),
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
        parameters = CONTRACT.query_parameters(stream.path)
        schema["properties"][stream.name] = {
            "type": "object",
            "title": stream.name.capitalize(),
            "description": f"Query parameters of the API for {stream.name}: filters, and related data to include.",
            "additionalProperties": False,
            "properties": {
                name: _property(name, parameter)
                for name, parameter in parameters.items()
                if name not in _PAGING | stream.decided
            },
        }
    return schema


def _property(name: str, parameter: Mapping[str, Any]) -> dict[str, Any]:
    described = {**copy.deepcopy(parameter["schema"]), "description": parameter["description"], **_OWN.get(name, {})}
    return {"title": name.replace("_", " ").capitalize(), **described}


def with_text_ids(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are given, IDs among them as text.

    Args:
        config: The settings as given; null is the same as not given.
    """
    # The SDK would read an ID from the environment as a number if the schema allowed one.
    return {
        name: str(value) if name in _IDS and type(value) is int else value
        for name, value in config.items()
        if value is not None
    }


#: What the SDK takes for true, and what people write for false.
_BOOLEANS: Final = frozenset({"true", "1", "yes", "on", "false", "0", "no", "off"})


def environment_errors(schema: Mapping[str, Any], environment: Mapping[str, str], prefix: str) -> Iterator[str]:
    """Yield what is wrong with variables that the SDK would fail to read, or take for false whatever they say.

    Args:
        schema: The JSON schema of the settings.
        environment: The environment.
        prefix: What the variables' names begin with.
    """
    for name, described in schema["properties"].items():
        text = environment.get(f"{prefix}{name}".upper())
        kinds = described.get("type", ())
        if text is None:
            continue
        if "integer" in kinds and not text.strip().lstrip("+-").isdecimal():
            yield f"'{name}' in the environment must be a whole number."
        if "boolean" in kinds and text.lower() not in _BOOLEANS:
            yield f"'{name}' in the environment must be true or false."
        if "object" in kinds:
            try:
                msgspec.json.decode(text, type=dict)
            except msgspec.DecodeError:
                yield f"'{name}' in the environment must be a JSON object."


def unknown_variables(schema: Mapping[str, Any], environment: Iterable[str], prefix: str) -> list[str]:
    """Return the variables that look like settings of the tap and are none.

    Args:
        schema: The JSON schema of the settings.
        environment: The names of all variables.
        prefix: What the names of settings begin with.
    """
    known = {f"{prefix}{name}".upper() for name in (*schema["properties"], "loglevel")}
    return sorted(name for name in environment if name.startswith(prefix) and name not in known)


def errors_before_schema(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield what must not reach the check against the JSON schema.

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
    for name, described in schema["properties"].items():
        if described.get("type") == "object" and not isinstance(config.get(name, {}), dict):
            yield f"'{name}' must be an object."


def errors(config: Mapping[str, Any], streams: Iterable[type[ListStream]]) -> Iterator[str]:
    """Yield what is wrong with settings that are valid against the schema, a sentence each.

    Args:
        config: The settings.
        streams: The streams.
    """
    yield from _credential_errors(config)
    if not config["org_id"].strip():
        yield "'org_id' is not set; set it to the ID in the address of your organization."
    elif not _is_path_segment(config["org_id"]):
        yield "'org_id' must be the ID alone, as in the address of your organization."
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
        if (status == "archived" and archived == "exclude") or (archived == "only" and status in _ACTIVE_ONLY):
            yield (
                f"'{stream.name}.status' is '{status}' and '{stream.name}.archived' is '{archived}', but no record"
                " is both; remove one of them."
            )


def state_errors(state: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a state as a whole.

    Args:
        state: The state as given.
    """
    bookmarks = state.get("bookmarks", {})
    is_state = isinstance(bookmarks, dict) and all(isinstance(each, dict) for each in bookmarks.values())
    if not is_state or "type" in state:
        yield "The file given with --state holds no state; give it the 'value' of a STATE message."


#: Values of `status` that an archived process no longer has, since archiving changes it (vendor docs).
_ACTIVE_ONLY: Final = frozenset({"active", "complete"})


def _credential_errors(config: Mapping[str, Any]) -> Iterator[str]:
    given = {name for name in ("access_token", "client_id", "client_secret") if config.get(name, "").strip()}
    token = config.get("access_token", "").strip()
    if token and (" " in token or not _fits_header(token)):
        yield "'access_token' must be one word of ASCII characters; copy it whole, and nothing else with it."
    if not given:
        yield "'access_token' is not set; set it, or 'client_id' and 'client_secret' of an application."
    for one, other in (("client_id", "client_secret"), ("client_secret", "client_id")):
        if one in given and other not in given and "access_token" not in given:
            yield f"'{other}' is not set, but '{one}' is; set both."


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
