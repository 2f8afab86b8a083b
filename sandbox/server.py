"""The HTTP server around the sandbox, on the loopback interface only."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import sys
import threading
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from typing_extensions import override

from sandbox.api import Reply
from sandbox.behaviour import Request
from sandbox.lists import LISTS

if TYPE_CHECKING:
    from sandbox.sandbox import Sandbox

HOST = "127.0.0.1"


class Server(ThreadingHTTPServer):
    """One thread for each connection, which stays open between requests."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, sandbox: Sandbox, port: int) -> None:
        """Listen on this port, 0 for a free one."""
        self.sandbox = sandbox
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__((HOST, port), Handler)

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
        """Write no log: `Sandbox.requests` has it all."""

    def _handle(self) -> None:
        sandbox = self.server.sandbox
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        request = Request(self.command, url.path, query, dict(self.headers.items()))
        if url.path.startswith("/sandbox/"):
            self._send(_control(sandbox, request))
            return
        sandbox.requests.append(request)
        reply = sandbox.answer(request, body)
        # Before the answer leaves, so that whoever has the answer finds it recorded.
        request.status = int(reply.status)
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        if reply.reset:
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        body = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
        try:
            phrase = HTTPStatus(reply.status).phrase
        except ValueError:
            phrase = "Unknown"
        sandbox = self.server.sandbox
        lines = [
            f"HTTP/1.1 {int(reply.status)} {phrase}",
            f"Content-Type: {reply.content_type}",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in reply.headers.items()),
        ]
        if sandbox.behaviour.date_header:
            lines.append(f"Date: {format_datetime(sandbox.now(), usegmt=True)}")
        if reply.cut:
            self.close_connection = True
            body = body[: len(body) // 2]
        self.wfile.write("\r\n".join((*lines, "", "")).encode("latin-1") + body)


def _control(sandbox: Sandbox, request: Request) -> Reply:
    """What another process can ask of the sandbox itself; these requests are not recorded."""
    match request.method, request.path.removeprefix("/sandbox/"):
        case "GET", "requests":
            return Reply(200, {"data": list(sandbox.requests)})
        case "GET", "credentials":
            return Reply(200, {"data": sorted(sandbox.credentials)})
        case "GET", name if name in LISTS:
            return Reply(200, {"data": list(sandbox.records(name).values())})
        case "POST", "mutate":
            random, count = Random(int(request.query.get("seed", "0"))), int(request.query.get("count", "1"))
            return Reply(200, {"data": sandbox.mutate(random, count, everything="everything" in request.query)})
        case _:
            return Reply(404, {"error": "the sandbox has no such path"})
