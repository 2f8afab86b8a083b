"""Exchanges one HTTP request for one response, within bounds of time, size and trust that no server can lift."""

from __future__ import annotations

import gzip
import io
import logging
import os
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Mapping
from copy import copy
from functools import cached_property
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from tap_tallyfy.api.errors import ConnectionFailedError, NetworkSettingsError
from tap_tallyfy.api.response import Response

#: Bytes that a body may have once it is unpacked.
MAX_BODY: Final = 256 * 2**20

# Of a header that it cannot read it would show the text, with the address and a traceback.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)

_CHUNK: Final = 2**16
_PACKED: Final = frozenset({"gzip", "x-gzip"})


class TooLargeError(Exception):
    """A response unpacks to more than `MAX_BODY` bytes."""


class Transport:
    """Connections to one server; safe to use from several threads."""

    def __init__(self, url: str, *, timeout: float, connections: int = 1) -> None:
        """Prepare to connect.

        Args:
            url: Any URL of the server; it decides which proxy of the environment is used.
            timeout: Seconds in which a connection has to stand, and in which a response has to be there in full.
            connections: Most connections to keep open.
        """
        self._url = url
        self._timeout = timeout
        self._session = requests.Session()
        self._session.headers["Accept-Encoding"] = "gzip"
        # A cookie would tie requests of several threads to one session of the server, and is a secret in its own right.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        adapter = _Adapter(pool_maxsize=connections)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def prepare(
        self, request: requests.Request, sign: Callable[[requests.PreparedRequest], requests.PreparedRequest]
    ) -> requests.PreparedRequest:
        """Return a request as it is sent.

        Args:
            request: Stays as it is.
            sign: Adds credentials. Nothing else does: no `.netrc` is consulted.
        """
        signed = copy(request)
        signed.auth = sign
        return self._session.prepare_request(signed)

    def send(self, request: requests.PreparedRequest) -> Response:
        """Send a request once, and return the response.

        Raises:
            ConnectionFailedError: If no whole response came.
            NetworkSettingsError: If the environment names a proxy or certificates that cannot be used.
            TooLargeError: If the response is too large.
        """
        try:
            # No redirect is followed: secrets go to this server and nowhere else, whatever a response says.
            with self._session.send(
                request, stream=True, timeout=self._timeout, allow_redirects=False, **self._environment
            ) as response:
                body = _unpacked(response.raw, response.headers.get("Content-Encoding", ""))
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL):
            raise NetworkSettingsError(self._proxy_sentence()) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise ConnectionFailedError(cause(error)) from None
        return Response(
            response.status_code,
            response.headers,
            body,
            urlsplit(str(request.url)).path,
            str(request.headers.get("Authorization", "")),
            response.elapsed.total_seconds(),
        )

    def close(self) -> None:
        """Close all connections that nobody uses."""
        self._session.close()

    @cached_property
    def _environment(self) -> Mapping[str, Any]:
        """The proxies and certificates that the environment names, the same for all requests of a process."""
        merged = self._session.merge_environment_settings(self._url, {}, None, None, None)
        found = {name: merged[name] for name in ("proxies", "verify", "cert")}
        if self._url.startswith("https") and isinstance(certificates := found["verify"], str):
            _check_certificates(certificates)
        return found

    def _proxy_sentence(self) -> str:
        if any(str(proxy).lower().startswith("socks") for proxy in self._environment["proxies"].values()):
            return (
                "The environment names a SOCKS proxy (ALL_PROXY, HTTPS_PROXY or HTTP_PROXY), which needs PySocks;"
                f" install 'requests[socks]' beside the tap, or add '{urlsplit(self._url).hostname}' to NO_PROXY."
            )
        return (
            "The environment names a proxy whose address cannot be understood; correct HTTPS_PROXY, HTTP_PROXY or"
            " ALL_PROXY, such as http://proxy.example:3128."
        )


def cause(error: BaseException) -> str:
    """Name the cause of an error of `requests` or `urllib3`, whose own text may show the URL and the query."""
    text = str(error)
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return "no response in time"
    if isinstance(error, (requests.exceptions.SSLError, urllib3.exceptions.SSLError)):
        if "CERTIFICATE_VERIFY_FAILED" in text:
            other = "; the tap does not use SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else ""
            return (
                "the server's certificate is not trusted: if a proxy on the way signs connections anew, set"
                f" REQUESTS_CA_BUNDLE to a file with its certificate{other}"
            )
        return "no TLS connection could be made"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy that the environment names could not be used"
    if isinstance(error, (urllib3.exceptions.ProtocolError, urllib3.exceptions.DecodeError)):  # of a body
        return "the response was cut off"
    return "the connection failed"


def _check_certificates(path: str) -> None:
    """Refuse the path that REQUESTS_CA_BUNDLE names if no certificates are there."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if os.path.isdir(path):  # noqa: PTH112 - as the library asks, whatever the text
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except OSError:  # `ssl.SSLError` is one
        raise NetworkSettingsError(
            f"'{path}', which REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names, is no file of certificates in PEM format;"
            " correct the variable, or unset it."
        ) from None


def _unpacked(raw: Any, encoding: str) -> bytes:  # noqa: ANN401 - urllib3's response has no type of its own
    """Return a body unpacked, as long as it has no more than `MAX_BODY` bytes."""
    body, encoding = bytearray(), encoding.strip().lower()
    if encoding in _PACKED:
        raw = gzip.GzipFile(fileobj=raw, mode="rb")
    elif encoding not in {"", "identity"}:  # packed several times over, a little could unpack to anything
        raise urllib3.exceptions.DecodeError
    try:
        while part := raw.read(_CHUNK):
            body += part
            if len(body) > MAX_BODY:
                raise TooLargeError
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise urllib3.exceptions.DecodeError from None
    return bytes(body)


# A socket's timeout begins anew with each byte that comes, so that a server which drips holds a request for ever.


class _UntilDeadline(io.RawIOBase):
    """Reads from a socket for as long as its timeout says, all reads together."""

    def __init__(self, connected: socket.socket, raw: io.RawIOBase) -> None:
        self._socket = connected
        self._raw = raw
        self._ends = time.monotonic() + (connected.gettimeout() or 0.0)

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int | None:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(HTTPResponse):
    """A response whose status line, headers and body have to be there within one timeout."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: Any = io.BufferedReader(_UntilDeadline(sock, self.fp.detach()))


def _timed(pool: type[HTTPConnectionPool], connection: type[HTTPConnection]) -> type[HTTPConnectionPool]:
    """Return a class of pools whose connections make timed responses."""
    timed = type(connection.__name__, (connection,), {"response_class": _TimedResponse})
    return type(pool.__name__, (pool,), {"ConnectionCls": timed})


_POOLS: Final = {
    "http": _timed(HTTPConnectionPool, HTTPConnection),
    "https": _timed(HTTPSConnectionPool, HTTPSConnection),
}


class _Adapter(HTTPAdapter):
    """Makes connections whose responses have a deadline, also through an HTTP proxy."""

    @override
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    @override
    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager
