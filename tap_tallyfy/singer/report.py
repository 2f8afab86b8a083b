"""A summary of a sync as a file, for whoever started it; `schemas/report.json` describes it."""

from __future__ import annotations

import importlib.metadata
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import msgspec

from tap_tallyfy.api.secrets import hidden
from tap_tallyfy.singer.progress import Cost
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
            retry: Whether another try may help.
            message: Why it failed, in a sentence, or `""`.

        Raises:
            OSError: If it cannot be written.
        """
        if self.path is None:
            return
        content: dict[str, Any] = {
            "outcome": outcome,
            "code": code,
            "retry": retry,
            "message": hidden(message)[:_LONGEST_MESSAGE],
            "version": importlib.metadata.version("tap-tallyfy"),
            "started": _iso(self._began),
            "seconds": round(time.time() - self._began, 3),
            "streams": {},
            "complete": {},
        }
        if self.session:
            costs, sync = self.session.progress.costs, self.session.sync
            content["streams"] = {name: _cost(cost) for name, cost in costs.items()}
            content["complete"] = {
                name: {"began": _iso(sync.began), "rows": rows} for name, rows in sync.complete.items()
            }
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            beside.write_bytes(msgspec.json.encode(content))
            beside.replace(self.path)
        except OSError:
            with suppress(OSError):
                beside.unlink()
            raise


def _cost(cost: Cost) -> dict[str, Any]:
    times = {"waited": round(cost.waited, 3), "seconds": round(cost.seconds, 3)}
    return {**asdict(cost), **times, "bookmark": cost.bookmark or None, "way": cost.way or None}


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
