"""Command line: `python -m benchmarks.serve` runs a sandbox with records of one kind until it is told to stop."""

from __future__ import annotations

import argparse
import gc
import json
import signal
import sys
from random import Random
from typing import TYPE_CHECKING, Any, Final

from benchmarks.measure import DOCUMENTED, SANDBOX, UNKNOWN
from sandbox import Sandbox
from sandbox.data import DAY, END, stamp
from sandbox.filters import is_archived
from sandbox.processes import generate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SEED: Final = 1
_DAYS: Final = 400
#: The example in the vendor's documentation, with its `{ ... }` filled in.
_EXAMPLE: Final[Mapping[str, Any]] = json.loads("""{
"id": "run_id_abc", "increment_id": 5012, "checklist_id": "template_id_123", "checklist_title": "Customer Onboarding",
"name": "Onboarding - ACME Corp", "summary": "", "status": "active",
"progress": {"complete": 5, "total": 10, "percent": 50},
"whole_progress": {"complete": 5, "total": 12, "percent": 41.67, "approved": 1, "rejected": 0},
"started_by": 1001, "owner_id": 1001,
"prerun": {"field_1": "ACME Corp", "field_2": {"id": 2, "text": "Large", "value": null}, "field_3": ["a", "b"]},
"prerun_status": "complete", "starred": false, "created_at": "2025-01-15T10:00:00.000Z",
"started_at": "2025-01-15T10:00:00.000Z", "last_updated": "2025-01-17T15:30:00.000Z", "archived_at": null,
"completed_at": null, "due_date": "2025-02-15T10:00:00.000Z", "due_date_passed": false, "due_soon": false,
"late_tasks": 0, "collaborators": [], "type": "procedure", "is_public": false, "users": [], "groups": [],
"parent_id": null, "can_add_oot": true}""")


def _documented(runs: int) -> Iterator[dict[str, Any]]:
    """Yield records like the vendor's example, each with its own ID, number, name and dates."""
    random = Random(_SEED)  # noqa: S311 - made-up data needs a seed, not a secret
    for number in range(1, runs + 1):
        created = random.randrange(END - _DAYS * DAY, END)
        yield {
            **_EXAMPLE,
            "id": f"{random.getrandbits(128):032x}",
            "increment_id": number,
            "name": f"Onboarding - ACME Corp {number}",
            "created_at": stamp(created),
            "started_at": stamp(created),
            "last_updated": stamp(random.randrange(created, END)),
            "due_date": stamp(created + 31 * DAY),
        }


def _made_up(runs: int) -> Iterator[dict[str, Any]]:
    """Yield the sandbox's own records."""
    for record in generate(runs, _SEED):
        yield {**record.sent, **record.hidden}


def _unknown(runs: int) -> Iterator[dict[str, Any]]:
    """Yield the sandbox's records with a field that the schema does not know."""
    for number, record in enumerate(_made_up(runs)):
        yield {**record, "region": f"EMEA-{number % 10}"}


_KINDS: Final[Mapping[str, Callable[[int], Iterator[dict[str, Any]]]]] = {
    DOCUMENTED: _documented,
    SANDBOX: _made_up,
    UNKNOWN: _unknown,
}


def main() -> None:
    """Serve until SIGTERM, after one line of JSON that says where, and how many records there are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=main.__doc__)
    parser.add_argument("kind", choices=_KINDS)
    parser.add_argument("runs", type=int)
    parser.add_argument("latency", type=float)
    arguments = parser.parse_args()
    # Waited for, not handled: a second signal within a handler that takes a lock would wait for itself for ever.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    # The records live as long as the process: looking for garbage among them would only take time.
    gc.disable()
    sandbox = Sandbox(data=list(_KINDS[arguments.kind](arguments.runs)), seed=_SEED, latency=arguments.latency)
    gc.freeze()
    gc.enable()
    with sandbox:
        said = {name: getattr(sandbox, name) for name in ("api_url", "org_id", "access_token")}
        records = sandbox.collections["runs"].records.values()
        live = sum(not is_archived(record) for record in records)
        sys.stdout.write(json.dumps({**said, "all": len(records), "live": live}) + "\n")
        sys.stdout.flush()
        signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    main()
