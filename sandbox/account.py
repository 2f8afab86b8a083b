"""Everything in the account besides processes: made when first looked at, changed as processes change, and by hand."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from sandbox import labels, people, templates
from sandbox.data import MEMBERS, stamp
from sandbox.feed import Event, actor_of, commented, entry, history, task_completed
from sandbox.follow import changed_task, follow
from sandbox.made import made_id, tokens_in
from sandbox.new import NEW
from sandbox.store import Collection, Record
from sandbox.tasks import completed_steps, completion, has_tasks, one_off_tasks, progress, tasks_of, thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.behaviour import Behaviour
    from sandbox.clock import Clock

FEED = "activity-feeds"


class Collections(dict[str, Collection]):
    """The lists of the account by name; all but the processes are made when they are first looked up."""

    def __init__(self, runs: Collection, makers: dict[str, Callable[[], Collection]]) -> None:
        """Start with the processes only."""
        super().__init__(runs=runs)
        self._makers = makers

    def __missing__(self, name: str) -> Collection:
        """Make the list; KeyError if there is none of this name."""
        make = self._makers[name]
        with self["runs"].lock:
            if name not in self:
                self[name] = make()
            return self[name]


@dataclass
class Change:
    """What happened at one time: to a process, if it did, and what the feed tells of it."""

    at: str
    events: list[Event] = field(default_factory=list)
    before: Record | None = None
    after: Record | None = None


class Account:
    """The lists besides processes. One lock guards them all, that of the processes.

    A list that nobody has looked at does not exist. When it is made, it is made from the processes as they were at
    the start, and then follows what has happened since: so it is the same whenever it is looked at first.
    Methods return records as they are held; `Sandbox.records` has them as this version of the API sends them.
    """

    def __init__(
        self,
        runs: Collection,
        seed: int,
        org_id: str,
        clock: Clock,
        behaviour: Callable[[], Behaviour],
        one_offs: int | None = None,
    ) -> None:
        """Know the processes, and where to look up the time and the version of the API."""
        self._one_offs = one_offs
        self._runs, self._seed, self._org_id, self._clock, self._behaviour = runs, seed, org_id, clock, behaviour
        self._log: list[Change] = []
        self._tasks_of_run: dict[str, list[str]] = {}
        self._past_tokens: set[str] = set()
        self._made = 0
        self._late: list[tuple[int, str, int]] = []
        self.collections = Collections(
            runs,
            {
                "tasks": self._make_tasks,
                "checklists": lambda: Collection(templates.checklists(), runs.lock),
                "users": lambda: Collection(people.users(), runs.lock),
                "guests": lambda: Collection(people.guests(), runs.lock),
                "groups": lambda: Collection(people.groups(), runs.lock),
                "tags": lambda: Collection(labels.tags(), runs.lock),
                "folders": lambda: Collection(labels.folders(), runs.lock),
                FEED: self._make_feed,
            },
        )

    # What other changes bring along

    def run_changed(self, before: Record | None, after: Record | None, verb: str, changed: str | None = None) -> None:
        """Follow a change of a process that has been made: before is None for a launch, after for a deletion."""
        run = after or before
        if run is None:
            return
        old_value = before.sent.get(changed) if before and changed else None
        template = run.sent.get("checklist_id")
        parent = ("checklists", str(template)) if template else None
        event = Event(self._stamp(), verb, "runs", run.id, actor_of(run.sent), parent, changed, old_value)
        self._happened(Change(event.at, [event], before, after))

    def _happened(self, change: Change) -> None:
        self._log.append(change)
        if "tasks" in self.collections:
            self._follow(change, self.collections["tasks"])
        if FEED in self.collections:
            self._tell(change, self.collections[FEED])

    def _follow(self, change: Change, tasks: Collection) -> None:
        """Change the tasks of a process as it changed."""
        before, after = change.before, change.after
        if after is None:
            for task_id in self._tasks_of_run.pop(before.id, []) if before else []:
                self._past_tokens |= _tokens(tasks.records[task_id])
                tasks.remove(task_id)
        elif after.id not in self._tasks_of_run:
            made = tasks_of(after)
            self._tasks_of_run[after.id] = [task.id for task in made]
            for task in made:
                tasks.put(task)
        elif has_tasks(after) and before is not None:
            of_run = [tasks.records[task_id] for task_id in self._tasks_of_run[after.id]]
            moves = self._behaviour().archive_moves_tasks
            for task in follow(of_run, after, before, change.at, archive_moves=moves):
                if task.sent["completed_at"] and not tasks.records[task.id].sent["completed_at"]:
                    change.events.append(task_completed(task))
                tasks.put(task)

    def _tell(self, change: Change, feed: Collection) -> None:
        for event in change.events:
            feed.put(entry(len(feed.records) + 1, event, self._org_id))

    def _runs_at_start(self) -> dict[str, Record]:
        runs = dict(self._runs.records)
        for change in reversed(self._log):
            if change.before is not None:
                runs[change.before.id] = change.before
            elif change.after is not None:
                del runs[change.after.id]
        return runs

    def _make_tasks(self) -> Collection:
        runs = self._runs_at_start()
        records: list[Record] = []
        was_enabled = gc.isenabled()
        gc.disable()  # nothing here is garbage, and looking for some among so many takes most of the time
        for run in runs.values():
            made = tasks_of(run)
            self._tasks_of_run[run.id] = [task.id for task in made]
            records += made
        if was_enabled:
            gc.enable()
        tasks = Collection([*records, *self._one_off_tasks(len(runs))], self._runs.lock)
        for change in self._log:
            self._follow(change, tasks)
        return tasks

    def _one_off_tasks(self, runs: int) -> Iterable[Record]:
        return one_off_tasks(self._seed, runs // 10 + 5 if self._one_offs is None else self._one_offs)

    def _make_feed(self) -> Collection:
        tasks: Iterable[Record] = self.collections["tasks"].records.values()
        runs = self._runs_at_start()
        if self._log:
            tasks = [task for run in runs.values() for task in tasks_of(run)]
            tasks += self._one_off_tasks(len(runs))
        past = history((run for run in runs.values() if has_tasks(run)), tasks)
        feed = Collection((entry(number, event, self._org_id) for number, event in enumerate(past, 1)), self._runs.lock)
        for change in self._log:
            self._tell(change, feed)
        return feed

    # How tasks date their processes

    def tasks_of(self, run_id: str) -> list[Record]:
        """The tasks of a process."""
        tasks = self.collections["tasks"].records
        return [tasks[task_id] for task_id in self._tasks_of_run.get(run_id, ())]

    def settle(self) -> None:
        """Date the processes whose time has come, where a server does so late."""
        with self._runs.lock:
            now = self._clock.seconds()
            due = [each for each in self._late if each[0] <= now]
            self._late = [each for each in self._late if each[0] > now]
            for _, run_id, at in sorted(due):
                self._date(run_id, at)

    def _date_run(self, task: Record, kind: str) -> None:
        """Date the process of a task that was changed in this way, as this version of the API does it."""
        behaviour, run_id = self._behaviour(), task.sent["run_id"]
        if run_id is None or kind not in behaviour.task_dates_run:
            return
        now = self._clock.seconds()
        self._late.append((now + behaviour.run_date_delay, run_id, now + behaviour.run_date_offset))
        self.settle()

    def _date(self, run_id: str, at: int) -> None:
        before = self._runs.records.get(run_id)
        date = stamp(at)
        if before is not None and date > str(before.sent.get("last_updated") or ""):
            after = Record(run_id, {**before.sent, "last_updated": date}, before.hidden)
            self._runs.put(after)
            self._happened(Change(date, [], before, after))

    # Changes by hand

    def create(self, name: str, /, **fields: Any) -> dict[str, Any]:
        """Add something to a list now, with these fields instead of made-up ones: a task is a one-off task."""
        with self._runs.lock:
            record = self._new(name, fields)
            self._put(name, record, "created")
            if name == "tasks":
                if record.sent["run_id"] is not None:
                    self._tasks_of_run[record.sent["run_id"]].append(record.id)
                self._date_run(record, "create")
            return record.sent

    def edit(self, name: str, key: object, /, **fields: Any) -> dict[str, Any]:
        """Change fields, also hidden ones such as tag_ids; KeyError if there is no such record."""
        with self._runs.lock:
            record = self.collections[name].records[str(key)]
            sent = {field: value for field, value in fields.items() if field not in record.hidden}
            hidden = {field: value for field, value in fields.items() if field in record.hidden}
            if "last_updated" in record.sent:
                sent = {"last_updated": self._stamp(), **sent}
            after = Record(record.id, {**record.sent, **sent}, {**record.hidden, **hidden})
            self._put(name, after, "updated", next(iter(fields), None))
            if name == "tasks":
                self._date_run(after, "assign" if "owners" in fields else "edit")
            return after.sent

    def delete(self, name: str, key: object) -> None:
        """Delete a record for good; KeyError if there is none."""
        with self._runs.lock:
            records = self.collections[name]
            record = records.records[str(key)]
            self._past_tokens |= _tokens(record)
            records.remove(record.id)
            of_run = self._tasks_of_run.get(record.sent.get("run_id") or "")
            if name == "tasks" and of_run:
                of_run.remove(record.id)
            self._happened(Change(self._stamp(), [Event(self._stamp(), "deleted", name, record.id, MEMBERS[0])]))
            if name == "tasks":
                self._date_run(record, "delete")

    def archive(self, name: str, key: object) -> dict[str, Any]:
        """Archive a template or a one-off task."""
        return self._archived(name, key, self._stamp(), "archived")

    def restore(self, name: str, key: object) -> dict[str, Any]:
        """Bring an archived template or one-off task back."""
        return self._archived(name, key, None, "unarchived")

    def complete(self, task_id: str) -> dict[str, Any]:
        """Complete a task, which moves its process; KeyError if there is no such task."""
        with self._runs.lock:
            tasks = self.collections["tasks"]
            before = tasks.records[task_id]
            if before.sent["completed_at"]:
                return before.sent
            after = changed_task(before, completion(before.sent, self._stamp()))
            tasks.put(after)
            change = Change(self._stamp(), [task_completed(after)])
            run = self._runs.records.get(before.sent["run_id"] or "")
            if run is not None and before.sent["step_id"]:
                change.before, change.after = run, self._advanced(run)
                self._runs.put(change.after)
                if change.after.sent["status"] == "complete" != run.sent["status"]:
                    change.events.append(Event(change.at, "completed", "runs", run.id, actor_of(after.sent)))
            self._happened(change)
            self._date_run(after, "complete")
            return tasks.records[task_id].sent

    def comment(self, task_id: str, content: str, author: int = MEMBERS[0]) -> dict[str, Any]:
        """Comment on a task; whether that changes the task is up to the behaviour `comment_moves_task`."""
        with self._runs.lock:
            task = self.collections["tasks"].records[task_id]
            at = self._stamp()
            threads = task.hidden["threads"]
            made = thread(task_id, self._next(), author, at, content=content)
            sent = {**task.sent, "last_updated": at} if self._behaviour().comment_moves_task else task.sent
            self.collections["tasks"].put(Record(task_id, sent, {**task.hidden, "threads": [*threads, made]}))
            self._happened(Change(at, [commented(made)]))
            if self._behaviour().comment_moves_task:
                self._date_run(task, "comment")
            return made

    def _archived(self, name: str, key: object, at: str | None, verb: str) -> dict[str, Any]:
        with self._runs.lock:
            record = self.collections[name].records[str(key)]
            after = Record(record.id, {**record.sent, "archived_at": at, "last_updated": self._stamp()}, record.hidden)
            self._put(name, after, verb)
            if name == "tasks":
                self._date_run(after, "archive")
            return after.sent

    def _put(self, name: str, record: Record, verb: str, changed: str | None = None) -> None:
        collection = self.collections[name]
        before = collection.records.get(record.id)
        old_value = None
        if before is not None:
            self._past_tokens |= _tokens(before)
            old_value = before.sent.get(changed) if changed else None
        collection.put(record)
        event = Event(self._stamp(), verb, name, record.id, MEMBERS[0], None, changed, old_value)
        self._happened(Change(event.at, [event]))

    def _advanced(self, run: Record) -> Record:
        """The process after one more of its tasks was completed."""
        at = self._stamp()
        sent = {**run.sent, **progress(run, completed_steps(run) + 1)}
        if sent["progress"]["complete"] == sent["progress"]["total"] and sent["status"] == "active":
            sent |= {"status": "complete", "completed_at": at, "late_tasks": 0, "last_updated": at}
        return Record(run.id, sent, run.hidden)

    def _new(self, name: str, fields: dict[str, Any]) -> Record:
        number, at = self._next(), self._clock.seconds()
        if name == "users":
            members = self.collections["users"].records.values()
            fields.setdefault("id", max(member.sent["id"] for member in members) + 1)
        fields.setdefault("id", 1000 + number if name == "guests" else made_id(name, self._seed, number))
        return NEW[name](fields, number, at)

    def _next(self) -> int:
        self._made += 1
        return self._made

    def _stamp(self) -> str:
        return stamp(self._clock.seconds())

    @property
    def credentials(self) -> set[str]:
        """Every token that any record holds or ever held."""
        with self._runs.lock:
            lists = [self.collections[name] for name in ("runs", *NEW)]
            return self._past_tokens.union(*(_tokens(each) for made in lists for each in made.records.values()))


def _tokens(record: Record) -> set[str]:
    return tokens_in(msgspec.json.encode((record.sent, record.hidden)).decode())
