"""The sandbox: made-up processes, a clock, and an API on 127.0.0.1 that serves them."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from random import Random
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from sandbox.account import Account
from sandbox.api import Api, Reply
from sandbox.behaviour import Behaviour, Fault, Request
from sandbox.changes import change
from sandbox.data import HIDDEN_FIELDS, generate, launch, stamp
from sandbox.lists import LISTS, is_archived, rendered
from sandbox.server import HOST, Server
from sandbox.store import Collection, Record
from sandbox.tasks import has_tasks, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from types import TracebackType

    from sandbox.store import View


_ELSEWHERE = 0.7


class Sandbox:
    """A Tallyfy organization with made-up runs; start it with `with` or `start()`.

    Attributes:
        access_token: A personal token that is valid until `revoke_tokens()`.
        requests: Every request received, in order, except those of the control paths under /sandbox.
        faults: One is taken from the front for each list request; None there means that nothing goes wrong.
        before_list: Called before the rows of a page are looked up, under no lock.
        after_list: Called after they were, before the answer is sent.
        account: Changes the other lists.
        collections: Every list by the name it has in its path, as the sandbox holds it.
        token_lifetime: Seconds for which a token issued for client credentials is valid.
        clock_offset: Seconds the server's clock is ahead of the real one.
    """

    def __init__(
        self,
        *,
        runs: int = 1000,
        seed: int = 1,
        behaviour: Behaviour | None = None,
        data: list[dict[str, Any]] | None = None,
        latency: float = 0,
        port: int = 0,
    ) -> None:
        """Make the runs.

        Args:
            runs: How many runs to make up.
            seed: The same seed makes the same runs.
            behaviour: The version of the API.
            data: Exactly these runs, as the API sends them; fields of `internal` are taken from them too.
            latency: Seconds before each answer of the API.
            port: The port to listen on, 0 for a free one.
        """
        self.behaviour = behaviour or Behaviour()
        self.latency = latency
        self.org_id = f"{seed * 0x8CB92BA72F3D8DD7A9D7F4B1C3E5A6B7 % 2**128:032x}"
        self.access_token = f"sandbox-token-{seed}"
        self.client_id = f"sandbox-client-{seed}"
        self.client_secret = f"sandbox-secret-{seed}"
        self.token_lifetime = 604_800
        self.requests: list[Request] = []
        self.faults: list[Fault | None] = []
        self.before_list: Callable[[Request], object] | None = None
        self.after_list: Callable[[Request], object] | None = None
        self.clock_offset: float = 0
        records = generate(runs, seed) if data is None else (_record(fields) for fields in data)
        self._runs = Collection(records)
        self.account = Account(self._runs, seed, self.org_id, self.now, lambda: self.behaviour)
        self.collections = self.account.collections
        self._random = Random(f"{seed} later")
        self._frozen: datetime | None = None
        self._snapshot: tuple[Hashable, dict[str, dict[str, Any]]] = (None, {})
        self._api = Api(self)
        self._port = port
        self._server: Server | None = None

    def start(self) -> Self:
        """Start to serve in the background."""
        self._server = Server(self, self._port)
        self._port = self._server.server_port
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop to serve."""
        self.stop()

    @property
    def api_url(self) -> str:
        """The base of the API."""
        return f"http://{HOST}:{self._port}/api"

    @property
    def token_url(self) -> str:
        """Where client credentials are exchanged for a token."""
        return f"http://{HOST}:{self._port}/oauth/token"

    @property
    def runs(self) -> dict[str, dict[str, Any]]:
        """All runs by id as the API would send them now, archived ones too: a snapshot, to be read only."""
        with self._runs.lock:
            behaviour = self.behaviour
            key = (self._runs.version, behaviour.empty_object_as_list, behaviour.date_format)
            if self._snapshot[0] != key:
                runs = {record.id: rendered(record, behaviour) for record in self._runs.records.values()}
                self._snapshot = (key, runs)
            return self._snapshot[1]

    def records(self, name: str) -> dict[Any, dict[str, Any]]:
        """All records of a list by id (guests by email) as the API would send them now, archived ones too."""
        if name == "runs":
            return self.runs
        collection, shape = self.collections[name], LISTS[name].shape
        with collection.lock:
            records = list(collection.records.values())
            key = "email" if name == "guests" else "id"
            return {record.sent[key]: rendered(record, self.behaviour, shape) for record in records}

    def hidden(self, name: str) -> dict[Any, dict[str, Any]]:
        """What the records of a list have but the API sends only when asked, or only filters by: threads, tag_ids."""
        collection = self.collections[name]
        with collection.lock:
            key = "email" if name == "guests" else "id"
            return {record.sent[key]: record.hidden for record in collection.records.values()}

    @property
    def credentials(self) -> set[str]:
        """Every token that any record of any list holds or ever held: none may be in anything a reader puts out."""
        return self.account.credentials

    @property
    def internal(self) -> dict[str, dict[str, Any]]:
        """What runs have but the API filters by only, by id: tag_ids, folder_id, problem_open, improvement."""
        with self._runs.lock:
            return {record.id: record.hidden for record in self._runs.records.values()}

    def now(self) -> datetime:
        """The server's clock, in whole seconds: the frozen time, else the real one plus `clock_offset`."""
        now = self._frozen or datetime.now(timezone.utc) + timedelta(seconds=self.clock_offset)
        return now.replace(microsecond=0)

    def set_clock(self, now: datetime | None) -> None:
        """Freeze the clock at this time, which has a time zone; None lets it run again."""
        self._frozen = None if now is None else now.astimezone(timezone.utc)

    def advance(self, seconds: float) -> None:
        """Move a frozen clock; ValueError if it runs."""
        if self._frozen is None:
            message = "the clock is not frozen"
            raise ValueError(message)
        self._frozen += timedelta(seconds=seconds)

    def create(self, **fields: Any) -> dict[str, Any]:
        """Launch a run now, with these fields instead of made-up ones."""
        return self._launch(self._random, fields)

    def touch(self, run_id: str, **fields: Any) -> dict[str, Any]:
        """Change fields of a run; KeyError if there is none."""
        with self._runs.lock:
            record = self._runs.records[run_id]
            changes = {"last_updated": self._stamp(), **fields}
            sent = {name: value for name, value in changes.items() if name not in HIDDEN_FIELDS}
            hidden = {name: value for name, value in changes.items() if name in HIDDEN_FIELDS}
            after = Record(run_id, {**record.sent, **sent}, {**record.hidden, **hidden})
            self._runs.put(after)
            verb, field = _told(record.sent, after.sent, next(iter(fields), None))
            self.account.run_changed(record, after, verb, field)
            return rendered(after, self.behaviour)

    def archive(self, run_id: str) -> dict[str, Any]:
        """Archive a run."""
        with self._runs.lock:
            before = self._runs.records[run_id].sent.get("status")
            return self.touch(run_id, status="archived", archived_at=self._stamp(), status_before=before)

    def restore(self, run_id: str) -> dict[str, Any]:
        """Bring an archived run back with the status it had."""
        with self._runs.lock:
            status = self._runs.records[run_id].hidden.get("status_before") or "active"
            return self.touch(run_id, status=status, archived_at=None, status_before=None)

    def delete(self, run_id: str) -> None:
        """Delete a run for good, archived or not; KeyError if there is none."""
        with self._runs.lock:
            record = self._runs.records[run_id]
            self._runs.remove(run_id)
            self.account.run_changed(record, None, "deleted")

    def mutate(self, random: Random, count: int = 1, *, everything: bool = False) -> list[str]:
        """Make random changes: touch, create, archive, restore and delete (archived runs only); returns the ids.

        With `everything` most of the changes are those of other lists.
        """
        changed = []
        with self._runs.lock:
            for _ in range(count):
                if everything and random.random() < _ELSEWHERE:
                    changed.append(change(self.account, random))
                    continue
                live = self._runs.view("live", lambda record: not is_archived(record), lambda _: 0)
                archived = self._runs.view("archived", is_archived, lambda _: 0)
                kind = random.choices(("touch", "create", "archive", "restore", "delete"), (55, 15, 17, 8, 5))[0]
                if kind in {"restore", "delete"} and archived:
                    run_id = _pick(random, archived)
                    self.restore(run_id) if kind == "restore" else self.delete(run_id)
                elif kind == "create" or not live:
                    run_id = self._launch(random, {})["id"]
                elif kind == "archive":
                    run_id = _pick(random, live)
                    self.archive(run_id)
                else:
                    run_id = _pick(random, live)
                    self.touch(run_id, **self._some_change(random, run_id))
                changed.append(run_id)
        return changed

    def revoke_tokens(self) -> None:
        """Refuse all tokens issued so far, `access_token` too."""
        self._api.revoke_tokens()

    def answer(self, request: Request, body: bytes) -> Reply:
        """Answer one request of the API."""
        if self.latency:
            time.sleep(self.latency)
        return self._api.answer(request, body)

    def _stamp(self) -> str:
        return stamp(int(self.now().timestamp()))

    def _launch(self, random: Random, fields: dict[str, Any]) -> dict[str, Any]:
        with self._runs.lock:
            number = len(self._runs.records) + self._runs.version + 1
            made = launch(random, int(self.now().timestamp()), number)
            record = _record({**made.sent, **made.hidden, **fields})
            before = self._runs.records.get(record.id)
            self._runs.put(record)
            self.account.run_changed(before, record, "created")
            return rendered(record, self.behaviour)

    def _some_change(self, random: Random, run_id: str) -> dict[str, Any]:
        record = self._runs.records[run_id]
        run = record.sent
        match random.randrange(4):
            case 0:
                return {"name": f"{run.get('name') or ''} ({random.randrange(100)})"}
            case 1:
                done = progress(record) if has_tasks(record) else {}
                return {"status": "complete", "completed_at": self._stamp(), "late_tasks": 0, **done}
            case 2:
                return {"starred": not run.get("starred")}
            case _:
                return {"late_tasks": random.randrange(5), "owner_id": 1001 + random.randrange(40)}


def _told(before: dict[str, Any], after: dict[str, Any], field: str | None) -> tuple[str, str | None]:
    """What the feed tells of a change of a process: a verb, and the field that changed."""
    if before.get("archived_at") != after.get("archived_at"):
        return ("archived" if after.get("archived_at") else "unarchived"), None
    if before.get("status") != after.get("status") == "complete":
        return "completed", None
    return "updated", field


def _pick(random: Random, view: View) -> str:
    place = random.randrange(len(view))
    return view.ids(place, place + 1)[0]


def _record(fields: dict[str, Any]) -> Record:
    sent = {name: value for name, value in fields.items() if name not in HIDDEN_FIELDS}
    hidden = {name: value for name, value in fields.items() if name in HIDDEN_FIELDS}
    return Record(str(fields["id"]), sent, hidden)
