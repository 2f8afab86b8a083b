"""The made-up company: its processes and all other lists, the clock they are stamped by, and what changes them."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from sandbox.account import Account
from sandbox.behaviour import Behaviour
from sandbox.changes import change
from sandbox.clock import Clock
from sandbox.data import AS_OF, HIDDEN_FIELDS, stamp
from sandbox.filters import is_archived
from sandbox.lists import LISTS, is_keyless, is_unlisted, key_of
from sandbox.made import tokens_in
from sandbox.organization import organization
from sandbox.processes import generate, launch
from sandbox.render import redated, rendered
from sandbox.store import Collection, Record
from sandbox.tasks import has_tasks, progress
from sandbox.templates import ALL_TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime

_ELSEWHERE = 0.7


class Company:
    """A Tallyfy organization with made-up runs.

    Attributes:
        behaviour: The version of the API, which also says what a change brings along.
        account: Changes the other lists.
        collections: Every list by the name it has in its path, as it is held.
    """

    def __init__(
        self,
        *,
        runs: int = 1000,
        seed: int = 1,
        behaviour: Behaviour | None = None,
        data: list[dict[str, Any]] | None = None,
        template: str | None = None,
        one_offs: int | None = None,
    ) -> None:
        """Make the runs.

        Args:
            runs: How many runs to make up.
            seed: The same seed makes the same runs.
            behaviour: The version of the API.
            data: Exactly these runs, as the API sends them; their HIDDEN_FIELDS too, which it does not send.
            template: The title of the template of all made-up runs ("Stocktaking" has eight steps), None for several.
            one_offs: How many tasks of no process there are, None for about one in ten runs.
        """
        self.behaviour = behaviour or Behaviour()
        self.seed = seed
        self.org_id = f"{seed * 0x8CB92BA72F3D8DD7A9D7F4B1C3E5A6B7 % 2**128:032x}"
        self._template = next((each for each in ALL_TEMPLATES if each.title == template), None)
        records = generate(runs, seed, self._template) if data is None else (_record(fields) for fields in data)
        self.clock = Clock(AS_OF)
        self._runs = Collection(records)
        self.account = Account(self._runs, seed, self.org_id, self.clock, lambda: self.behaviour, one_offs)
        self.collections = self.account.collections
        self._random = Random(f"{seed} later")
        self._snapshot: tuple[Hashable, dict[str, dict[str, Any]]] = (None, {})

    # What there is

    @property
    def runs(self) -> dict[str, dict[str, Any]]:
        """All runs by id as the API would send them now, archived ones too: a snapshot, to be read only."""
        with self._runs.lock:
            self.account.settle()
            behaviour = self.behaviour
            key = (self._runs.version, behaviour.empty_object_as_list, behaviour.date_format)
            if self._snapshot[0] != key:
                runs = {record.id: rendered(record, behaviour) for record in self._runs.records.values()}
                self._snapshot = (key, runs)
            return self._snapshot[1]

    def records(self, name: str) -> dict[Any, dict[str, Any]]:
        """All records of a list by id (guests by email) as the API would send them now, archived ones too.

        Of "organization" the one there is.
        """
        if name == "runs":
            return self.runs
        if name == "organization":
            return {self.org_id: self.organization}
        collection, shape = self.collections[name], LISTS[name].shape
        with collection.lock:
            records = list(collection.records.values())
            return {record.sent[key_of(name)]: rendered(record, self.behaviour, shape) for record in records}

    @property
    def organization(self) -> dict[str, Any]:
        """The organization as the API would send it now, secrets included."""
        users = self.collections["users"]
        with users.lock:
            active = sum(user.sent["is_active"] for user in users.records.values())
        made: dict[str, Any] = redated(organization(self.org_id, self.seed, active), self.behaviour)
        return made

    def hidden(self, name: str) -> dict[Any, dict[str, Any]]:
        """What the records of a list have but the API sends only when asked, or only filters by: threads, tag_ids."""
        collection = self.collections[name]
        with collection.lock:
            return {record.sent[key_of(name)]: record.hidden for record in collection.records.values()}

    def keyless(self, name: str) -> set[Any]:
        """The keys of the records that this version of the API sends without their key."""
        collection = self.collections[name]
        with collection.lock:
            chosen = [each for each in collection.records.values() if is_keyless(each, self.behaviour)]
            return {record.sent[key_of(name)] for record in chosen}

    @property
    def unlisted(self) -> set[str]:
        """The ids of the runs that this version of the API has in no list."""
        with self._runs.lock:
            return {run.id for run in self._runs.records.values() if is_unlisted(run, self.behaviour)}

    @property
    def credentials(self) -> set[str]:
        """Every token that any record of any list holds or ever held: none may be in anything a reader puts out."""
        return self.account.credentials | tokens_in(str(self.organization))

    # Time

    def now(self) -> datetime:
        """The server's clock, in whole seconds."""
        return self.clock.now()

    def set_clock(self, now: datetime) -> None:
        """Freeze the clock at this time, which has a time zone."""
        self.clock.set(now)

    def advance(self, seconds: float) -> None:
        """Move the clock, frozen or not."""
        self.clock.advance(seconds)

    # Changes of processes

    def create(self, **fields: Any) -> dict[str, Any]:
        """Launch a run now, with these fields instead of made-up ones."""
        return self._launch(self._random, fields)

    def touch(self, run_id: str, **fields: Any) -> dict[str, Any]:
        """Change fields of a run; KeyError if there is none."""
        with self._runs.lock:
            record = self._runs.records[run_id]
            after = _record({**record.sent, **record.hidden, "last_updated": self._stamp(), **fields})
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
                    run_id = archived.pick(random)
                    self.restore(run_id) if kind == "restore" else self.delete(run_id)
                elif kind == "create" or not live:
                    run_id = self._launch(random, {})["id"]
                elif kind == "archive":
                    run_id = live.pick(random)
                    self.archive(run_id)
                else:
                    run_id = live.pick(random)
                    self.touch(run_id, **self._some_change(random, run_id))
                changed.append(run_id)
        return changed

    def _stamp(self) -> str:
        return stamp(self.clock.seconds())

    def _launch(self, random: Random, fields: dict[str, Any]) -> dict[str, Any]:
        with self._runs.lock:
            number = len(self._runs.records) + self._runs.version + 1
            made = launch(random, self.clock.seconds(), number, self._template)
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


def _record(fields: dict[str, Any]) -> Record:
    sent = {name: value for name, value in fields.items() if name not in HIDDEN_FIELDS}
    hidden = {name: value for name, value in fields.items() if name in HIDDEN_FIELDS}
    return Record(str(fields["id"]), sent, hidden)
