"""The sandbox: a made-up company whose API is served on 127.0.0.1."""

from __future__ import annotations

import threading

from typing_extensions import Self

from sandbox.api import Api
from sandbox.server import Server


class Sandbox(Api):
    """A Tallyfy organization with made-up runs; start it with `with` or `start()`."""

    _server: Server | None = None

    def start(self) -> Self:
        """Start to serve in the background."""
        self._server = Server(self)
        self.port = self._server.server_port
        # Polled often, because stopping waits for the next poll.
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop to serve; the runs stay readable."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        """Start to serve."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop to serve."""
        self.stop()
