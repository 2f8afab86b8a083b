"""The answers to the questions, worked out in Python from what the sandbox's account holds, in UTC."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from sandbox.data import AS_OF as END_OF_PAST

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from sandbox import Sandbox

Row = dict[str, Any]
AS_OF = END_OF_PAST.replace(tzinfo=None)
WORKING_DAYS = range(1, 6)
WORKING_HOURS = (9, 17)
QUESTIONS = (
    "before_and_after_template_change", "completions_by_person", "cycle_time_by_answer", "elapsed_and_working_time",
    "late_steps_by_weekday", "most_discussed_steps", "on_time_by_month", "on_time_by_person", "open_processes_by_day",
    "overloaded_people", "process_owners", "process_variants", "slowest_steps", "stalled_processes",
    "steps_with_issues", "tasks_completed_by_day", "tasks_on_time", "template_usage", "throughput",
    "what_follows_what",
)  # fmt: skip


class Answers:
    """An account, and a method for each question that gives the rows of its view without `org_id`."""

    def __init__(self, sandbox: Sandbox, holidays: str) -> None:
        self.holidays = {date.fromisoformat(line.partition(",")[0]) for line in holidays.splitlines()}
        self.templates = sandbox.records("checklists")
        self.members = {str(key): member for key, member in sandbox.records("users").items()}
        self.guests = sandbox.records("guests")
        self.steps = {step["id"]: step for each in sandbox.hidden("checklists").values() for step in each["steps"]}
        self.fields = {field["id"]: field for each in self.templates.values() for field in each["prerun"]}
        self.runs = {key: dated(run) for key, run in sandbox.runs.items()}
        self.tasks = {key: dated(task) for key, task in sandbox.records("tasks").items()}
        self.threads = {key: hidden["threads"] for key, hidden in sandbox.hidden("tasks").items()}
        self.waits = dict(self._waits())

    # What the words mean

    def completed(self) -> list[Row]:
        return [task for task in self.tasks.values() if task["completed_at"]]

    def is_open(self, task: Row) -> bool:
        run = self.runs.get(task["run_id"] or "")
        process_ended = run is not None and bool(run["completed_at"] or run["archived_at"])
        done = task["completed_at"] or task["archived_at"] or task["status"] == "auto-skipped"
        return not done and not process_ended

    def is_waiting(self, task: Row) -> bool:
        return self.is_open(task) and task["status"] == "in-progress"

    def is_late(self, task: Row) -> bool:
        deadline, done = task["deadline"], task["completed_at"]
        return bool(deadline) and (done > deadline if done else self.is_open(task) and deadline < AS_OF)

    def outcome(self, run: Row) -> str:
        return "complete" if run["completed_at"] else "cancelled" if run["archived_at"] else "open"

    def name(self, kind: str, key: str) -> str:
        if kind == "member":
            full: str = self.members[key]["full_name"]
            return full
        return f"{self.guests[key]['first_name']} {self.guests[key]['last_name']}"

    def completer(self, task: Row) -> tuple[str, str]:
        return ("member", str(task["completer_id"])) if task["completer_id"] else ("guest", task["completer_guest"])

    def working_hours(self, first: datetime, last: datetime) -> float:
        """Day by day, as slow as it is plain."""
        hours, day = 0.0, first.date()
        while day <= last.date():
            if day.isoweekday() in WORKING_DAYS and day not in self.holidays:
                begins, ends = (datetime.combine(day, datetime.min.time()) + timedelta(hours=h) for h in WORKING_HOURS)
                hours += max(0.0, (min(last, ends) - max(first, begins)).total_seconds()) / 3600
            day += timedelta(days=1)
        return hours

    def step(self, step_id: str) -> Row:
        step = self.steps[step_id]
        template = self.templates[step["checklist_id"]]
        return {
            "checklist_id": template["id"],
            "template_name": template["title"],
            "step_id": step_id,
            "step_name": step["title"],
        }

    def template(self, checklist_id: str) -> Row:
        return {"checklist_id": checklist_id, "template_name": self.templates[checklist_id]["title"]}

    def path(self, run_id: str) -> list[tuple[str, datetime]]:
        done = [task for task in self.completed() if task["run_id"] == run_id]
        done.sort(key=lambda task: (task["completed_at"], task["position"], task["id"]))
        return [(self.steps[task["step_id"]]["title"], task["completed_at"]) for task in done]

    def _waits(self) -> Iterator[tuple[str, float]]:
        for of_run in grouped((t for t in self.completed() if t["run_id"]), lambda task: task["run_id"]).values():
            since = self.runs[of_run[0]["run_id"]]["started_at"]
            for task in sorted(of_run, key=lambda task: (task["completed_at"], task["position"], task["id"])):
                yield task["id"], days(since, task["completed_at"])
                since = task["completed_at"]

    # The questions

    def tasks_on_time(self) -> list[Row]:
        return [on_time(self.completed())]

    def on_time_by_person(self) -> list[Row]:
        rows = [
            {"person_type": kind, "person_id": key, "name": self.name(kind, key), **on_time(done)}
            for (kind, key), done in grouped(self.completed(), self.completer).items()
        ]
        return [row for row in rows if row["with_deadline"] >= 20]

    def on_time_by_month(self) -> list[Row]:
        done = grouped(self.completed(), lambda task: task["completed_at"].date().replace(day=1))
        month, rows = min(done), []
        while month <= AS_OF.date():
            rows.append({"month": str(month), **on_time(done.get(month, []))})
            month = (month + timedelta(days=31)).replace(day=1)
        return rows

    def process_owners(self) -> list[Row]:
        return [
            {
                "owner_id": owner,
                "name": self.name("member", str(owner)),
                "processes": len(owned),
                "open_processes": sum(self.outcome(run) == "open" for run in owned),
            }
            for owner, owned in grouped(self.runs.values(), lambda run: run["owner_id"]).items()
        ]

    def completions_by_person(self) -> list[Row]:
        return [
            {
                "person_type": kind,
                "person_id": key,
                "name": self.name(kind, key),
                "completed": len(done),
                "completed_in_30_days": sum(task["completed_at"] > AS_OF - timedelta(days=30) for task in done),
            }
            for (kind, key), done in grouped(self.completed(), self.completer).items()
        ]

    def late_steps_by_weekday(self) -> list[Row]:
        late = [task for task in self.tasks.values() if task["step_id"] and self.is_late(task)]
        of_step = Counter(task["step_id"] for task in late)
        return [
            {**self.step(step_id), "weekday": weekday, "late": len(found), "share": len(found) / of_step[step_id]}
            for (step_id, weekday), found in grouped(
                late, lambda task: (task["step_id"], task["deadline"].isoweekday())
            ).items()
        ]

    def template_usage(self) -> list[Row]:
        launched = grouped(self.runs.values(), lambda run: run["checklist_id"])
        recent = AS_OF - timedelta(days=90)
        return [
            {
                **self.template(key),
                "processes": len(launched.get(key, [])),
                "launched_in_90_days": sum(run["created_at"] >= recent for run in launched.get(key, [])),
                "is_unused": key not in launched,
            }
            for key, template in self.templates.items()
            if not template["archived_at"]
        ]

    def every_day(self) -> list[date]:
        first = min(each["created_at"] for each in (*self.runs.values(), *self.tasks.values())).date()
        return [first + timedelta(days=n) for n in range((AS_OF.date() - first).days + 1)]

    def tasks_completed_by_day(self) -> list[Row]:
        done = Counter(task["completed_at"].date() for task in self.completed())
        every = self.every_day()
        rows = []
        for number, day in enumerate(every):
            week = [done[each] for each in every[max(0, number - 6) : number + 1]]
            rows.append({"day": str(day), "tasks_completed": done[day], "week_average": sum(week) / len(week)})
        return rows

    def _discussed(self, column: str, label: str | None) -> list[Row]:
        rows = []
        for step_id, of_step in grouped(
            (t for t in self.tasks.values() if t["step_id"]), lambda t: t["step_id"]
        ).items():
            if all(task["status"] == "auto-skipped" for task in of_step):
                continue
            threads = [thread for task in of_step for thread in self.threads[task["id"]]]
            found = sum(label is None or thread["label"] == label for thread in threads)
            seen = sum(bool(task["completed_at"]) or self.is_waiting(task) for task in of_step)
            rows.append({**self.step(step_id), column: found, "per_task": found / seen if seen else None})
        return ranked(rows, lambda row: (-row[column], *in_step_order(row)))

    def most_discussed_steps(self) -> list[Row]:
        return self._discussed("comments", None)

    def steps_with_issues(self) -> list[Row]:
        return self._discussed("issues", "problem")

    def slowest_steps(self) -> list[Row]:
        rows = []
        for step_id, of_step in grouped(
            (t for t in self.tasks.values() if t["step_id"]), lambda t: t["step_id"]
        ).items():
            waiting = [task for task in of_step if self.is_waiting(task)]
            if waiting:
                rows.append(
                    {
                        **self.step(step_id),
                        "waiting": len(waiting),
                        "longest_open_days": max(days(task["started_at"], AS_OF) for task in waiting),
                        "median_days_waited": middle(self.waits[t["id"]] for t in of_step if t["id"] in self.waits),
                    }
                )
        return ranked(rows, lambda row: (-row["longest_open_days"], *in_step_order(row)))

    def throughput(self) -> list[Row]:
        ages = [days(run["completed_at"], AS_OF) for run in self.runs.values() if run["completed_at"]]
        return [
            {
                "last_30_days": sum(0 <= age < 30 for age in ages),
                "previous_30_days": sum(30 <= age < 60 for age in ages),
            }
        ]

    def stalled_processes(self) -> list[Row]:
        rows = []
        of_run = grouped((task for task in self.tasks.values() if task["run_id"]), lambda task: task["run_id"])
        for key, run in self.runs.items():
            tasks = sorted(of_run.get(key, []), key=lambda task: (task["position"], task["id"]))
            moved = max([run["last_updated"], *(task["completed_at"] for task in tasks if task["completed_at"])])
            if self.outcome(run) != "open" or days(moved, AS_OF) < 14:
                continue
            waiting = [task for task in tasks if self.is_waiting(task)]
            rows.append(
                {
                    "run_id": key,
                    **self.template(run["checklist_id"]),
                    "process_name": run["name"],
                    "owner_name": self.name("member", str(run["owner_id"])),
                    "current_steps": ", ".join(self.steps[task["step_id"]]["title"] for task in waiting) or None,
                    "age_days": days(run["created_at"], AS_OF),
                }
            )
        return ranked(rows, lambda row: (-row["age_days"], row["run_id"]))

    def cycle_time_by_answer(self) -> list[Row]:
        rows = []
        given: dict[tuple[str, str], list[float]] = defaultdict(list)
        for run in self.runs.values():
            for field_id, answer in (run["prerun"] or {}).items():  # empty it may be a list
                chosen = self.fields[field_id]["field_type"] in {"dropdown", "radio"}
                text = answer if not isinstance(answer, dict) else answer["text"] or answer["value"]
                if chosen and text and run["completed_at"]:
                    given[field_id, text].append(days(run["created_at"], run["completed_at"]))
        for (field_id, text), found in given.items():
            field = self.fields[field_id]
            rows.append(
                {
                    **self.template(field["checklist_id"]),
                    "field_id": field_id,
                    "question": field["label"],
                    "answer": text,
                    "processes": len(found),
                    "median_cycle_days": median(found),
                }
            )
        return rows

    def _completed_by_template(self) -> dict[Any, list[Row]]:
        return grouped((run for run in self.runs.values() if run["completed_at"]), lambda run: run["checklist_id"])

    def elapsed_and_working_time(self) -> list[Row]:
        return [
            {
                **self.template(key),
                "processes": len(runs),
                "median_hours": median(days(run["created_at"], run["completed_at"]) * 24 for run in runs),
                "median_working_hours": median(
                    self.working_hours(run["created_at"], run["completed_at"]) for run in runs
                ),
            }
            for key, runs in self._completed_by_template().items()
        ]

    def before_and_after_template_change(self) -> list[Row]:
        return [
            {
                **self.template(key),
                "is_after_change": after,
                "processes": len(found),
                "median_cycle_days": median(days(run["created_at"], run["completed_at"]) for run in found),
            }
            for key, runs in self._completed_by_template().items()
            for after, found in grouped(
                runs, lambda run: run["created_at"] >= moment(self.templates[run["checklist_id"]]["last_updated"])
            ).items()
        ]

    def process_variants(self) -> list[Row]:
        rows = []
        for key, runs in self._completed_by_template().items():
            ways = grouped(runs, lambda run: " > ".join(name for name, _ in self.path(run["id"])))
            of_template = [
                {
                    **self.template(key),
                    "processes": len(found),
                    "share_of_template": len(found) / len(runs),
                    "median_cycle_days": median(days(run["created_at"], run["completed_at"]) for run in found),
                    "path": way,
                }
                for way, found in ways.items()
            ]
            rows += ranked(of_template, lambda row: (-row["processes"], row["path"]))[:5]
        return rows

    def what_follows_what(self) -> list[Row]:
        moves: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        for key, run in self.runs.items():
            events = [("Process launched", run["created_at"]), *self.path(key)]
            if run["completed_at"]:
                events.append(("Process completed", run["completed_at"]))
            for (first, began), (second, ended) in pairwise(events):
                moves[run["checklist_id"], first, second].append(days(began, ended))
        return [
            {
                **self.template(key),
                "activity": first,
                "next_activity": second,
                "processes": len(found),
                "median_days": median(found),
            }
            for (key, first, second), found in moves.items()
        ]

    def open_processes_by_day(self) -> list[Row]:
        began = Counter(run["created_at"].date() for run in self.runs.values())
        ends = (run["completed_at"] or run["archived_at"] for run in self.runs.values())
        ended = Counter(end.date() for end in ends if end)
        rows, now = [], 0
        for day in self.every_day():
            now += began[day] - ended[day]
            rows.append({"day": str(day), "processes_open": now})
        return rows

    def overloaded_people(self) -> list[Row]:
        desks: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for task in self.tasks.values():
            if self.is_open(task):
                for kind, keys in (("member", task["owners"]["users"]), ("guest", task["owners"]["guests"])):
                    for key in keys:
                        desks[kind, str(key)].append(task)
        rows = [
            {
                "person_type": kind,
                "person_id": key,
                "name": self.name(kind, key),
                "team": self.members[key]["team"] if kind == "member" else None,
                "open_tasks": len(tasks),
                "waiting_tasks": sum(map(self.is_waiting, tasks)),
                "overdue_tasks": sum(map(self.is_late, tasks)),
                "next_deadline": text(min((task["deadline"] for task in tasks if task["deadline"]), default=None)),
            }
            for (kind, key), tasks in desks.items()
        ]
        return ranked(
            rows, lambda row: (-row["overdue_tasks"], -row["open_tasks"], row["person_type"], row["person_id"])
        )


def on_time(done: list[Row]) -> Row:
    """How many of these completed tasks with a deadline were on time."""
    with_deadline = [task for task in done if task["deadline"]]
    met = sum(task["completed_at"] <= task["deadline"] for task in with_deadline)
    share = met / len(with_deadline) if with_deadline else None
    return {"on_time": met, "with_deadline": len(with_deadline), "share": share}


def ranked(rows: list[Row], order: Callable[[Row], Any]) -> list[Row]:
    return [{**row, "rank": rank} for rank, row in enumerate(sorted(rows, key=order), 1)]


def in_step_order(row: Row) -> tuple[bytes, bytes, str]:
    return row["template_name"].encode(), row["step_name"].encode(), row["step_id"]


def grouped(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def middle(values: Iterable[float]) -> float | None:
    found = list(values)
    return median(found) if found else None


def days(first: datetime, last: datetime) -> float:
    return (last - first).total_seconds() / 86_400


def dated(record: Row) -> Row:
    """A record with its moments read."""
    names = ("created_at", "started_at", "completed_at", "archived_at", "deadline", "due_date", "last_updated")
    return {**record, **{name: moment(record[name]) for name in names if record.get(name)}}


def moment(written: str) -> datetime:
    return datetime.fromisoformat(written.replace("Z", "+00:00")).replace(tzinfo=None)


def text(when: datetime | None) -> str | None:
    return None if when is None else str(when)


def comparable(rows: list[dict[str, Any]], columns: set[str]) -> list[dict[str, Any]]:
    """The rows in one order, without the columns that are not worked out."""
    kept = [{name: value for name, value in row.items() if name in columns} for row in rows]
    return sorted(
        kept, key=lambda row: [str(row[name]) for name in sorted(columns) if not isinstance(row[name], float)]
    )
