"""A summary of a sync as a file, for whoever started it; `schemas/report.json` describes it."""

from __future__ import annotations

import importlib.metadata
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import msgspec

from tap_tallyfy.api.secrets import hidden
from tap_tallyfy.singer.session import Session

#: A sentence of a server may be any length.
_LONGEST_MESSAGE: Final = 2_000


@dataclass
class Report:
    """Summarises one sync."""

    path: Path | None = None  #: Where to, or None for no report.
    session: Session | None = None  #: The streams' shared session, or None before there is one.
    _began: float = field(default_factory=time.time)

    def write(self, outcome: str, code: int, *, retry: bool, message: str) -> None:
        """Write it, whole or not at all.

        Args:
            outcome: `done`, `failed` or `stopped`.
            code: The exit code.
            retry: Whether another try may help.
            message: Why it failed, in a sentence, or `""`.

        Raises:
            OSError: If it cannot be written.
        """
        if self.path is None:
            return
        content = {
            "outcome": outcome,
            "code": code,
            "retry": retry,
            "message": hidden(message)[:_LONGEST_MESSAGE],
            "version": importlib.metadata.version("tap-tallyfy"),
            "started": _iso(self._began),
            "seconds": round(time.time() - self._began, 3),
            "streams": self._streams(),
            "complete": self._complete(),
        }
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            beside.write_bytes(msgspec.json.encode(content))
            beside.replace(self.path)
        except OSError:
            with suppress(OSError):
                beside.unlink()
            raise

    def _streams(self) -> dict[str, Any]:
        if self.session is None:
            return {}
        return {
            name: {
                "rows": cost.rows,
                "requests": cost.requests,
                "refusals": cost.refused,
                "waited": round(cost.waited, 3),
                "seconds": round(cost.seconds, 3),
                "bookmark": cost.bookmark or None,
                "way": cost.way or None,
                "done": cost.done,
            }
            for name, cost in self.session.progress.costs.items()
        }

    def _complete(self) -> dict[str, Any]:
        if self.session is None:
            return {}
        sync = self.session.sync
        return {name: {"began": _iso(sync.began), "rows": rows} for name, rows in sync.complete.items()}


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
