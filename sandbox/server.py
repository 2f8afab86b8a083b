"""The HTTP server around an API, on the loopback interface only."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import sys
import threading
from datetime import timedelta
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, islice
from random import Random
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec
from typing_extensions import override

from sandbox.api import HOST, Api
from sandbox.lists import LISTS
from sandbox.wire import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable

_COOKIE = 4000


class Server(ThreadingHTTPServer):
    """One thread for each connection, which stays open between requests."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, api: Api) -> None:
        """Listen on the API's port, or on a free one if that is 0."""
        self.api = api
        self.stopped = threading.Event()
        self.cookies = count()
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__((HOST, api.port), Handler)

    @override
    def server_bind(self) -> None:
        # HTTPServer's own asks the name service for the host's name, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    @override
    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client may hang up at any time
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Stop listening and hang up on the clients that are still connected."""
        self.stopped.set()
        self.shutdown()
        self.server_close()
        with self._connections_lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """Reads requests and writes answers; what they say is in sandbox.api."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        """Answer a GET."""
        self._handle()

    def do_POST(self) -> None:
        """Answer a POST."""
        self._handle()

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Write no log: `Api.requests` has it all."""

    def _handle(self) -> None:
        api = self.server.api
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        request = Request(self.command, url.path, query, dict(self.headers.items()))
        if url.path.startswith("/sandbox/"):
            self._send(_control(api, request))
            return
        api.requests.append(request)
        reply = api.answer(request, body)
        # Before the answer leaves, so that whoever has the answer finds it recorded.
        request.status = int(reply.status)
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        body = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
        try:
            phrase = HTTPStatus(reply.status).phrase
        except ValueError:
            phrase = "Unknown"
        api = self.server.api
        lines = [
            f"HTTP/1.1 {int(reply.status)} {phrase}",
            f"Content-Type: {reply.content_type}",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in reply.headers.items()),
        ]
        if api.behaviour.date_header:
            date = api.now() + timedelta(seconds=api.behaviour.date_ahead)
            lines.append(f"Date: {format_datetime(date, usegmt=True)}")
        numbers = islice(self.server.cookies, api.behaviour.cookies)
        lines += [f"Set-Cookie: crumb{number}={'x' * _COOKIE}; Path=/" for number in numbers]
        DELIVERIES[reply.delivery](self, reply, "\r\n".join((*lines, "", "")).encode("latin-1"), body)

    def whole(self, _: Reply, head: bytes, body: bytes) -> None:
        """Send all of it at once."""
        self.wfile.write(head + body)

    def cut(self, _: Reply, head: bytes, body: bytes) -> None:
        """Hang up in the middle of the body."""
        self.close_connection = True
        self.wfile.write(head + body[: len(body) // 2])

    def drip(self, reply: Reply, head: bytes, body: bytes) -> None:
        """Send the head at once, the body byte by byte."""
        self.wfile.write(head)
        self.drip_headers(reply, b"", body)

    def drip_headers(self, reply: Reply, head: bytes, body: bytes) -> None:
        """Send all byte by byte, until the client or the server ends it."""
        self.close_connection = True
        for byte in head + body:
            self.wfile.write(bytes((byte,)))
            if self.server.stopped.wait(reply.pause):
                return

    def reset(self, _: Reply, _head: bytes, _body: bytes) -> None:
        """Reset the connection without an answer."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


DELIVERIES: Final[dict[str, Callable[[Handler, Reply, bytes, bytes], None]]] = {
    each.__name__: each for each in (Handler.whole, Handler.cut, Handler.drip, Handler.drip_headers, Handler.reset)
}
"""The ways an answer can be sent, by the names that `Reply.delivery` has for them."""


def _control(api: Api, request: Request) -> Reply:
    """What another process can ask of the sandbox itself; these requests are not recorded."""
    match request.method, request.path.removeprefix("/sandbox/"):
        case "GET", "requests":
            return Reply(200, {"data": list(api.requests)})
        case "GET", "credentials":
            return Reply(200, {"data": sorted(api.credentials)})
        case "GET", name if name in LISTS or name == "organization":
            return Reply(200, {"data": list(api.records(name).values())})
        case "POST", "mutate":
            random, number = Random(int(request.query.get("seed", "0"))), int(request.query.get("count", "1"))
            return Reply(200, {"data": api.mutate(random, number, everything="everything" in request.query)})
        case _:
            return Reply(404, {"error": "the sandbox has no such path"})
