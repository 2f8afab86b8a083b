"""Says what an answer of the API means, as a sentence that names the request, what happened and what to do."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_tallyfy.records.body import loads

if TYPE_CHECKING:
    from collections.abc import Iterable

_NO_ENDPOINT: Final = "ENDPOINT_NOT_FOUND"


class RefusedListError(FatalAPIError):
    """The token's user may not read a list.

    Attributes:
        response: What the API answered.
    """

    def __init__(self, message: str, response: requests.Response) -> None:
        """Say what is refused.

        Args:
            message: A sentence.
            response: What the API answered.
        """
        super().__init__(message)
        self.response = response


class RefusedFilterError(FatalAPIError):
    """The API refuses a query parameter.

    Attributes:
        fields: The parameters that it names.
    """

    def __init__(self, message: str, fields: Iterable[str]) -> None:
        """Say what is refused.

        Args:
            message: A sentence.
            fields: The parameters that the API names.
        """
        super().__init__(message)
        self.fields = frozenset(fields)


def parse(response: requests.Response) -> Any:  # noqa: ANN401 - any JSON
    """Return what an answer holds.

    Args:
        response: The API's answer.

    Raises:
        RetriableAPIError: If it is not JSON.
    """
    try:
        return loads(response.content).value
    except ValueError:
        msg = f"{_request(response)} returned something that is not JSON; check 'api_url'."
        raise RetriableAPIError(msg, response) from None


def check(response: requests.Response, stream: str) -> None:
    """Refuse an answer that is no success.

    Args:
        response: The API's answer.
        stream: Name of the stream that asked.

    Raises:
        RetriableAPIError: If it may well be another one the next time.
        RefusedFilterError: If the API refuses a query parameter.
        RefusedListError: If it does not let the token read the list.
        FatalAPIError: If it refuses otherwise.
    """
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    sentence = explain(response, stream)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise RetriableAPIError(sentence, response)
    if status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
        raise RefusedFilterError(sentence, _refused_fields(response))
    if status in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND} and _code(response) != _NO_ENDPOINT:
        raise RefusedListError(sentence, response)
    raise FatalAPIError(sentence)


def explain(response: requests.Response, stream: str) -> str:  # noqa: PLR0911 - a sentence for each case
    """Return what an answer that is no success means, and what to do.

    Args:
        response: The API's answer.
        stream: Name of the stream that asked.
    """
    status, code = response.status_code, _code(response)
    what = f"{_request(response)} returned {status}"
    if status == HTTPStatus.UNAUTHORIZED:
        return (
            f"{what}: the API refused the token; set a new 'access_token' (a personal one expires when its user logs"
            " out, and after 6 months), or check 'client_id' and 'client_secret'."
        )
    if status == HTTPStatus.FORBIDDEN:
        return (
            f"{what}: the token's user may not read this list; use the token of a user who may, or deselect '{stream}'."
        )
    if status == HTTPStatus.NOT_FOUND and code == _NO_ENDPOINT:
        return f"{what} ({code}): there is no such endpoint; check 'api_url'."
    if status == HTTPStatus.NOT_FOUND:
        return f"{what}{f' ({code})' if code else ''}: this token opens no such organization; check 'org_id'."
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        fields = ", ".join(f"'{stream}.{field}'" for field in _refused_fields(response))
        return f"{what}: the API rejected a filter; check {fields or f'the filters under {stream!r}'}."
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"{what}: the API failed; if this persists, ask Tallyfy's support."
    if status in range(HTTPStatus.MULTIPLE_CHOICES, HTTPStatus.BAD_REQUEST):
        return f"{what}, a redirect, which the tap does not follow to keep the token safe; check 'api_url'."
    return f"{what}{f' ({code})' if code else ''}, which the tap does not expect; check 'api_url' and the filters."


def cause(error: BaseException | None) -> str:
    """Name what went wrong with a connection, without the URL and the query that the exception's own text shows.

    Args:
        error: What `requests` raised.
    """
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return "the server's certificate is not trusted"
        return "no TLS connection could be made"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy that the environment names could not be used"
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError)):
        return "the answer was cut off"
    return "the connection failed"


def _request(response: requests.Response) -> str:
    """Name a request by its path: the query may hold what the user searches for."""
    return f"GET {urlsplit(response.url).path}"


def _body(response: requests.Response) -> dict[str, Any]:
    try:
        body = parse(response)
    except RetriableAPIError:
        return {}
    return body if isinstance(body, dict) else {}


def _code(response: requests.Response) -> str | None:
    """Return the API's code for an error, `{"code"}` or `{"error": {"code"}}`, if it is one and not a sentence."""
    body = _body(response)
    nested = body.get("error")
    code = body.get("code") or (nested.get("code") if isinstance(nested, dict) else None)
    return code if isinstance(code, str) and code.replace("_", "").isalnum() and code.isupper() else None


def _refused_fields(response: requests.Response) -> list[str]:
    errors = _body(response).get("errors")
    return [field for field in errors if field.replace("_", "").isalnum()] if isinstance(errors, dict) else []
