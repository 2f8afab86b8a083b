"""Maps responses to errors with actionable messages.

Each class says who can help: see its docstring. All but `LoginError` and `NetworkSettingsError` concern one list, so
that others may still be read.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_tallyfy.api.response import Response
from tap_tallyfy.api.retry import retry_after
from tap_tallyfy.api.secrets import repeats
from tap_tallyfy.records.body import Body, loads

_NO_ENDPOINT: Final = "ENDPOINT_NOT_FOUND"
#: Longer words are no codes and no names, and more of them than this help nobody.
_LONGEST_WORD: Final = 64
_MOST_WORDS: Final = 10
#: Refusals of the moment, beside all 5xx.
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class APIError(FatalAPIError):
    """The API refused or failed, and no further try is made."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status  #: The status of the response, or None where none came.


class LoginError(APIError):
    """The API, or the token URL, refuses the credentials: no list can be read."""


class NetworkSettingsError(APIError):
    """The environment names a proxy or certificates that cannot be used: no list can be read."""


class ListRefusedError(APIError):
    """The token may not read this list, or this organization has none."""


class ListUnsupportedError(APIError):
    """Whatever answers is not the API as the tap knows it; a setting has to change, such as `api_url`."""


class FilterRefusedError(APIError):
    """The API refuses a query parameter."""

    def __init__(self, message: str, status: int | None = None, fields: Iterable[str] = ()) -> None:
        super().__init__(message, status)
        self.fields = frozenset(fields)  #: The parameters that it names; empty where it names none.


class ListFailedError(APIError):
    """The list could not be read this time; the network, the server or the rate limit are at fault."""


class ResponseTooLargeError(ListFailedError):
    """A response unpacks to more bytes than the tap takes."""


class PassingError(RetriableAPIError):
    """A request failed, and another try may help."""

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status  #: The status of the response, or None where none came.
        self.retry_after = retry_after  #: Seconds the server asks to wait, or None where it does not.


class ConnectionFailedError(PassingError):
    """No whole response came; the text names the cause alone, without a URL."""


def parse(response: Response) -> Body:
    """Return the JSON that a response holds.

    Raises:
        PassingError: If it holds none.
    """
    try:
        return loads(response.body)
    except ValueError:
        raise PassingError(
            f"GET {response.path} returned something that is not JSON; check 'api_url'.", response.status
        ) from None


def is_passing(status: int) -> bool:
    """Return whether a status may well be another one at the next try."""
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING


def check(response: Response, stream: str) -> None:
    """Refuse a response to a stream's request that is no success.

    Raises:
        PassingError: If it may well be another one the next time.
        APIError: If the API refuses.
    """
    status = response.status
    if status == HTTPStatus.OK:
        return
    said = f"GET {response.path} returned {status}"
    if is_passing(status):
        raise PassingError(
            f"{said}: the API failed; if this persists, ask Tallyfy's support.", status, retry_after(response.headers)
        )
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise ListUnsupportedError(
            f"{said}, a redirect, which the tap does not follow to keep the token safe; check 'api_url'.", status
        )
    raise _refusal(response, said, stream)


def _refusal(response: Response, said: str, stream: str) -> APIError:  # noqa: PLR0911 - one for each kind
    status, body = response.status, _body(response)
    code, fields = _code(body, response), _refused_fields(body, response)
    coded = f"{said} ({code})" if code else said
    if status == HTTPStatus.UNAUTHORIZED:
        return LoginError(
            f"{said}: the API refused the token; set a new 'access_token' (a personal one expires when its user logs"
            " out, and after 6 months), or check 'client_id' and 'client_secret'.",
            status,
        )
    if status in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND} and body is None:
        elsewhere = f"{said} without the API's JSON, so something else answered, such as"
        if status == HTTPStatus.FORBIDDEN:
            return ListFailedError(
                f"{elsewhere} a firewall; check 'api_url', and whether it lets this machine through.", status
            )
        return ListUnsupportedError(f"{elsewhere} another server; check 'api_url' and 'org_id'.", status)
    if status == HTTPStatus.FORBIDDEN:
        return ListRefusedError(
            f"{said}: the token's user may not read this list; use the token of a user who may, or deselect"
            f" '{stream}'.",
            status,
        )
    if status == HTTPStatus.NOT_FOUND and code == _NO_ENDPOINT:
        return ListUnsupportedError(f"{coded}: there is no such endpoint; check 'api_url'.", status)
    if status == HTTPStatus.NOT_FOUND:
        return ListRefusedError(f"{coded}: no such organization for this token; check 'org_id'.", status)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        named = ", ".join(f"'{stream}.{field}'" for field in fields[:_MOST_WORDS])
        return FilterRefusedError(
            f"{said}: the API rejected a filter; check {named or f'the filters under {stream!r}'}.", status, fields
        )
    unexpected = f"{coded}, which the tap does not expect; check 'api_url' and the filters."
    if status == HTTPStatus.BAD_REQUEST:
        return FilterRefusedError(unexpected, status, fields)
    return ListUnsupportedError(unexpected, status)


def _body(response: Response) -> dict[str, Any] | None:
    """Return the object that an error's body holds, or None: then it does not come from the API."""
    try:
        body = parse(response).value
    except PassingError:
        return None
    return body if isinstance(body, dict) else None


def _code(body: dict[str, Any] | None, response: Response) -> str | None:
    """Return the API's code for an error, `{"code"}` or `{"error": {"code"}}`, if it is one and not a sentence."""
    body = body or {}
    # LIVE: sources have both forms; one goes once an error of the API has been seen.
    nested = body.get("error")
    code = body.get("code") or (nested.get("code") if isinstance(nested, dict) else None)
    return code if isinstance(code, str) and code.isupper() and _is_word(code, response) else None


def _refused_fields(body: dict[str, Any] | None, response: Response) -> list[str]:
    errors = (body or {}).get("errors")
    return [field for field in errors if _is_word(field, response)] if isinstance(errors, dict) else []


def _is_word(text: str, response: Response) -> bool:
    """Return whether a text from the server may be repeated: one plain word that shows nothing of the token."""
    is_plain = text.isascii() and text.replace("_", "").isalnum() and len(text) <= _LONGEST_WORD
    return is_plain and not repeats(text, response.authorization.removeprefix("Bearer "))
