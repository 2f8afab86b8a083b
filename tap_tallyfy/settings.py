"""The tap's settings, and the checks that a JSON schema cannot make."""

from __future__ import annotations

import copy
import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

from dotenv import dotenv_values, find_dotenv
from fsspec import available_protocols  # type: ignore[import-untyped] # it has none
from singer_sdk.singerlib import Catalog

from tap_tallyfy.api.secrets import SECRET_SETTINGS, listed
from tap_tallyfy.dates import ConversionError, date_time, is_future
from tap_tallyfy.records.contract import CONTRACT, SCHEMAS
from tap_tallyfy.singer.base import refusal
from tap_tallyfy.singer.list_stream import ListStream

_PREFIX: Final = "TAP_TALLYFY_"
#: Settings that are IDs, which some write as numbers.
_IDS: Final = ("org_id", "client_id")

#: The settings that concern no single list.
_COMMON: Final[dict[str, Any]] = json.loads((SCHEMAS / "settings.json").read_text(encoding="utf-8"))
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
#: Values of `status` that an archived process no longer has, since archiving changes it (vendor docs).
_ACTIVE_ONLY: Final = frozenset({"active", "complete"})
#: Kinds of settings whose text is converted, as a sentence calls them.
_KINDS: Final = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a JSON object",
}
#: The SDK takes the former for true; people write the latter for false.
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


def settings_schema(streams: Iterable[type[ListStream]]) -> dict[str, Any]:
    """Return the JSON schema of the settings; each stream has an object made from its query parameters."""
    schema: dict[str, Any] = copy.deepcopy(_COMMON)
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
    """Return the settings that are given, trimmed, and IDs as text.

    Null and blank text mean that a setting, or a filter of a list, is not given.
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
    schema: Mapping[str, Any], environment: MutableMapping[str, str], logger: logging.Logger
) -> dict[str, Any]:
    """Return the settings in `TAP_TALLYFY_*` variables; a blank variable is not set.

    The variables of a `.env` file are added to the environment, as the SDK would do. The SDK's own reader fails on
    blank variables and takes any text for false.

    Raises:
        ConfigValidationError: If the value of a variable does not suit its setting.
    """
    _read_dotenv(environment, logger)
    variables = {name: text for name, text in environment.items() if name.startswith(_PREFIX) and text.strip()}
    settings = {f"{_PREFIX}{name}".upper(): name for name in schema["properties"]}
    found: dict[str, Any] = {}
    errors = [*log_level_errors(environment), *_misplaced(schema, variables)]
    for variable, name in settings.items():
        described = schema["properties"][name]
        try:
            if variable in variables:
                found[name] = _read(described, variables[variable])
        except (ValueError, TypeError, RecursionError):
            errors.append(f"'{name}' in the environment must be {_KINDS[_kind(described)]}.")
    if errors:
        raise refusal(*errors)
    if unknown := variables.keys() - settings.keys() - {f"{_PREFIX}LOGLEVEL"}:
        logger.warning("The tap ignores %s in the environment: no setting has that name.", listed(unknown))
    return found


def _read_dotenv(environment: MutableMapping[str, str], logger: logging.Logger) -> None:
    """Add the variables of the `.env` file beside or above the tap, which wins as it does in the SDK."""
    path = find_dotenv()
    if not path:
        return
    try:
        found = {name: text for name, text in dotenv_values(path).items() if text}
        changed = (name for name, text in found.items() if environment.get(name, "").strip() not in {"", text})
        replaced = sorted(name for name in changed if name.startswith(_PREFIX))
        environment.update(found)
    except ValueError:  # such as `UnicodeDecodeError`; no variable can hold a zero byte
        raise refusal(f"The file '{path}' is not UTF-8 text with a variable in each line; correct it.") from None
    if replaced:
        logger.warning("'%s' replaces %s of the environment; set each in one place.", path, ", ".join(replaced))


def log_level_errors(environment: MutableMapping[str, str]) -> list[str]:
    """Return an error for each log level that there is not, and take it out: the SDK would fail with a traceback."""
    errors = []
    for name in (f"{_PREFIX}LOGLEVEL", "LOGLEVEL"):
        level = environment.get(name, "").strip()
        if level and isinstance(logging.getLevelName(level.upper()), int):
            continue
        environment.pop(name, None)
        if level:
            errors.append(f"'{name}' is '{level}', which is no level; set it to DEBUG, INFO, WARNING or ERROR.")
    return errors


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


def _kind(described: Mapping[str, Any]) -> str:
    return next((kind for kind in _KINDS if kind in described.get("type", ())), "text")


def _read(described: Mapping[str, Any], text: str) -> Any:  # noqa: ANN401 - a setting may be any JSON
    match _kind(described):
        case "integer":
            return int(text)
        case "number":
            return float(text)
        case "boolean":
            word = text.strip().lower()
            if word not in _TRUE | _FALSE:
                raise ValueError(word)
            return word in _TRUE
        case "object":
            value = json.loads(text)
            if not isinstance(value, dict):
                raise TypeError(text)
            return value
        case _:
            return text


def json_content(option: str, name: str, read: Callable[[], str]) -> dict[str, Any]:
    """Return the JSON object in a file, which may be a pipe.

    Args:
        option: The option that the file is given with, such as `--config`.
        name: The name of the file as given.
        read: Returns its text.

    Raises:
        ConfigValidationError: If the file cannot be read, or holds no JSON object.
    """
    # Some give the settings themselves, secrets among them, in place of a file.
    name = name if not {"{", "=", '"'} & set(name) else "…"
    try:
        content: dict[str, Any] = json.loads(read().removeprefix("\ufeff"))  # Windows begins a text with it
        if not isinstance(content, dict):
            raise TypeError("there is other JSON in it")  # noqa: TRY301 - as Python itself raises
    except (ValueError, TypeError, RuntimeError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise refusal(f"The file given with {option}, '{name}', holds no JSON object: {reason}") from error
    except OSError as error:
        raise refusal(f"The file given with {option}, '{name}', cannot be read: {error.strerror}.") from error
    return content


def catalog(file: IO[str]) -> Catalog:
    """Return the catalog in a file; see `json_content`."""
    content = json_content("--catalog", file.name, file.read)
    try:
        for entry in content["streams"]:
            str.strip(entry["tap_stream_id"])
            dict.keys(entry["schema"]["properties"])
        return Catalog.from_dict(content)
    except (TypeError, LookupError, AttributeError, ValueError):
        raise refusal(
            f"The file given with --catalog, '{file.name}', holds no catalog; make one with --discover."
        ) from None


def errors_before_schema(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error for each setting that must not reach the check against the JSON schema."""
    # Its messages would show secrets.
    for name in SECRET_SETTINGS:
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
    """Yield an error for each wrong setting that is valid against the schema."""
    token = config.get("access_token", "")
    if token and (" " in token or not _fits_header(token)):
        yield "'access_token' must be one word of ASCII characters; copy it whole, and nothing else with it."
    if not _is_path_segment(config["org_id"]):
        yield "'org_id' must be the ID alone, as in the address of your organization."
    if not math.isfinite(config["full_task_sync_hours"]):
        yield "'full_task_sync_hours' must be a number of hours; 0 reads all tasks in each sync."
    if (report := config.get("report")) and not Path(report).absolute().parent.is_dir():
        yield "'report' names a file in a folder that does not exist; make the folder, or name another."
    for name in ("api_url", "token_url"):
        if not _is_http_url(config[name]):
            yield f"'{name}' must be an http(s) URL without a user name or a query, such as https://go.tallyfy.com/api."
    if not _fits_header(config.get("user_agent", "tap")):
        yield "'user_agent' must be a line of ASCII text."
    if (batch := config.get("batch_config")) and not _names_a_store(batch):
        yield "'batch_config' needs an 'encoding' with a 'format', and a 'storage' with a 'root' such as file:///folder."
    yield from _wrong_start(config.get("start_date"))
    for stream in streams:
        yield from _contradictions(stream, config)


def _names_a_store(batch: Mapping[str, Any]) -> bool:
    encoding, storage = (batch.get(name) or {} for name in ("encoding", "storage"))
    scheme, colon, _ = (storage.get("root") or ":").partition(":")
    return bool(encoding.get("format")) and (not colon or scheme in available_protocols())


def _wrong_start(start_date: str | None) -> Iterator[str]:
    try:
        if is_future(date_time(start_date)):
            yield "'start_date' lies in the future, so that nothing would be read; set an earlier one."
    except ConversionError:
        yield "'start_date' must be a date-time such as 2025-01-15T10:00:00Z, or a date such as 2025-01-15."


def _contradictions(stream: type[ListStream], config: Mapping[str, Any]) -> Iterator[str]:
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
    """Yield an error if a state as a whole is none."""
    bookmarks = state.get("bookmarks", {})
    is_state = isinstance(bookmarks, dict) and all(isinstance(each, dict) for each in bookmarks.values())
    if not is_state or "type" in state:
        yield "The file given with --state holds no state; give it the 'value' of a STATE message."


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
