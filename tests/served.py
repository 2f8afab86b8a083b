"""A real server on loopback that answers as a test says, and the tap's client in process, which never waits."""

from __future__ import annotations

import json
import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tap_tallyfy.api.client import Client
from tap_tallyfy.api.endpoint import Endpoint
from tap_tallyfy.api.listing import DEFAULT, Listing, ListSource

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from tap_tallyfy.reading.page import Page

TOKEN = "t0ken-of-somebody"
PATH = "/organizations/{org_id}/runs"


class Exchange(BaseHTTPRequestHandler):
    """One request, and what answers it."""

    protocol_version = "HTTP/1.1"

    def reply(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        pass


@dataclass
class Served:
    """Where the server is, and what it was asked, as path with query and headers."""

    url: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def served(answer: Callable[[Exchange], None], encryption: ssl.SSLContext | None = None) -> Iterator[Served]:
    """A server that answers each request with a function."""
    seen = Served()

    class Handler(Exchange):
        def do_GET(self) -> None:
            seen.asked.append((self.path, dict(self.headers)))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                answer(self)
            except OSError:  # the client has hung up
                self.close_connection = True

        do_POST = do_CONNECT = do_GET  # noqa: N815 - the names the server looks for

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if encryption:
            server.socket = encryption.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        seen.url = f"http://127.0.0.1:{server.server_port}"
        yield seen
        server.shutdown()


def in_turn(*replies: tuple[int, bytes] | tuple[int, bytes, dict[str, str]]) -> Callable[[Exchange], None]:
    """Answer with each of these in turn, and with the last one for ever."""
    left = list(replies)

    def answer(exchange: Exchange) -> None:
        exchange.reply(*(left.pop(0) if len(left) > 1 else left[0]))

    return answer


def listed(rows: list[dict[str, Any]], **envelope: Any) -> bytes:
    return json.dumps({"data": rows, **envelope}).encode()


@dataclass
class Asking:
    """A client in process, and the seconds that it would have waited."""

    client: Client
    url: str
    waits: list[float]

    def endpoint(self, **fields: Any) -> Endpoint:
        given = {
            "name": "runs",
            "path": PATH,
            "url": f"{self.url}{PATH.replace('{org_id}', 'acme')}",
            "headers": {"Accept": "application/json"},
            "params": {},
            "sort": None,
            "sort_parameter": "sort",
            "unpaginated": {"without_pagination": "true"},
            "parse": dict,
            "key": "id",
        }
        return Endpoint(**{**given, **fields})

    def source(self, listing: Listing = DEFAULT, pages: list[Page] | None = None, **fields: Any) -> ListSource:
        note: Callable[[Page], None] = (lambda _: None) if pages is None else pages.append
        return ListSource(self.endpoint(**fields), self.client, listing, note, logging.getLogger("test"))


def asking(url: str, **settings: Any) -> Asking:
    """A client of this server."""
    waits: list[float] = []
    config = {"api_url": url, "access_token": TOKEN, "request_timeout": 120, "concurrency": 4, **settings}
    return Asking(Client(config, logging.getLogger("test"), sleep=waits.append), url, waits)
