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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from typing_extensions import override

from sandbox.api import HOST, Api
from sandbox.wire import Reply, Request


class Server(ThreadingHTTPServer):
    """One thread for each connection, which stays open between requests."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, api: Api) -> None:
        """Listen on the API's port, or on a free one if that is 0."""
        self.api = api
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

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Write no log: `Api.requests` has it all."""

    def do_GET(self) -> None:
        """Answer a request."""
        api = self.server.api
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        request = Request(self.command, url.path, query, dict(self.headers.items()))
        if url.path == "/sandbox/requests":  # for another process, and not recorded
            self._send(Reply(200, {"data": list(api.requests)}))
            return
        api.requests.append(request)
        reply = api.answer(request, body)
        # Before the answer leaves, so that whoever has the answer finds it recorded.
        request.status = reply.status
        self._send(reply)

    def do_POST(self) -> None:
        """Answer a POST, which asks for a token."""
        self.do_GET()

    def _send(self, reply: Reply) -> None:
        body = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
        api = self.server.api
        lines = [
            f"HTTP/1.1 {reply.status} ",
            f"Content-Type: {reply.content_type}",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in reply.headers.items()),
        ]
        if api.behaviour.date_header:
            date = api.now() + timedelta(seconds=api.behaviour.date_ahead)
            lines.append(f"Date: {format_datetime(date, usegmt=True)}")
        head = "\r\n".join((*lines, "", "")).encode("latin-1")
        match reply.delivery:
            case "cut":
                self.close_connection = True
                self.wfile.write(head + body[: len(body) // 2])
            case "reset":
                self.close_connection = True
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            case _:
                self.wfile.write(head + body)
