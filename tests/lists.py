"""What every stream is to hold, worked out from the sandbox alone, and what a run of the tap wrote of it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any

from sandbox.templates import TEMPLATE_OF, stages
from tap_tallyfy.records.contract import CONTRACT
from tests.tap import TAP, Result, run_command, run_tap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sandbox import Sandbox
    from sandbox.api import Api

Row = dict[str, Any]
Key = tuple[Any, ...]
Tables = dict[str, dict[Key, Row]]

#: The streams of each list, its head first, and what `with` asks for where a stream is made from more than the record.
FAMILIES: dict[str, tuple[str, ...]] = {
    "organization": ("organization",),
    "runs": ("runs", "kickoff_answers", "run_tags"),
    "tasks": ("tasks", "task_answers", "comments"),
    "checklists": ("checklists", "steps", "form_fields", "stages"),
    "users": ("users",),
    "groups": ("groups",),
    "tags": ("tags",),
    "guests": ("guests",),
    "folders": ("folders",),
    "activity_feed": ("activity_feed",),
}
#: The name of a list in its path, where that is not the stream's.
PATHS = {"activity_feed": "activity-feeds"}
#: All related data that the API is known to have, as settings that ask for it.
EVERYTHING = {
    name: {"with": sorted(related)}
    for name in FAMILIES
    if name != "organization"
    if (related := CONTRACT.with_words(f"/organizations/{{org_id}}/{PATHS.get(name, name)}"))
}
STREAMS = tuple(stream for family in FAMILIES.values() for stream in family)
KEYS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(STREAMS, ("org_id", "id")),
    "organization": ("org_id",),
    "guests": ("org_id", "email"),
    "run_tags": ("org_id", "run_id", "tag_id"),
    "stages": ("org_id", "checklist_id", "id"),
    "task_answers": ("org_id", "task_id", "field_id"),
    "kickoff_answers": ("org_id", "run_id", "field_id"),
}
INCREMENTAL = {*FAMILIES["runs"], *FAMILIES["tasks"], *FAMILIES["activity_feed"]}
_ORGANIZATION = (
    "name", "timezone", "working_days", "default_deadline", "created_on", "last_updated", "plan_code", "users_count",
)  # fmt: skip
_OBJECTS = ("progress", "whole_progress", "custom_fields", "taskdata")
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)?")
_FIELD = (
    "id", "alias", "label", "field_type", "guidance", "position", "required", "options", "columns", "created_at",
    "last_updated", "field_validation", "default_value", "default_value_enabled", "replaced_default_value",
    "collect_time", "use_wysiwyg_editor",
)  # fmt: skip


# What the account holds


def expected(sandbox: Sandbox) -> Tables:
    """Every stream's rows by key: the account's records, without credentials and with dates in one form."""
    rows = {name: [_row(name, record) for record in records_of(sandbox, name)] for name in FAMILIES if name != "tasks"}
    steps = {checklist_id: hidden["steps"] for checklist_id, hidden in sandbox.hidden("checklists").items()}
    tags = {run_id: hidden.get("tag_ids", ()) for run_id, hidden in sandbox.hidden("runs").items()}
    rows |= {
        "run_tags": [
            {"run_id": run["id"], "tag_id": tag, "last_updated": run["last_updated"]}
            for run in rows["runs"]
            for tag in tags[run["id"]]
        ],
        "stages": [
            {**stage, "checklist_id": checklist["id"], "id": str(stage["id"])}
            for checklist in rows["checklists"]
            if checklist["id"] in TEMPLATE_OF
            for stage in stages(TEMPLATE_OF[checklist["id"]])
        ],
        "kickoff_answers": [row for run in rows["runs"] for row in _kickoff_answers(run)],
        "steps": [without(step, "webhook") for of_checklist in steps.values() for step in of_checklist],
        "form_fields": [
            row for checklist in rows["checklists"] for row in _form_fields(checklist, steps[checklist["id"]])
        ],
    }
    tables = _tables(sandbox, rows) | expected_tasks(sandbox)
    return {name: tables[name] for name in STREAMS}


def expected_tasks(sandbox: Api) -> Tables:
    """The same of the streams that are made from the list of tasks, alone."""
    tasks = [_row("tasks", record) for record in sandbox.records("tasks").values()]
    threads = {task_id: hidden["threads"] for task_id, hidden in sandbox.hidden("tasks").items()}
    answers = [row for task in tasks for row in _task_answers(task)]
    comments = [
        {**comment, "run_id": task["run_id"], "task_last_updated": task["last_updated"]}
        for task in tasks
        for comment in threads[task["id"]]
    ]
    return _tables(sandbox, {"tasks": tasks, "task_answers": answers, "comments": comments})


def _tables(sandbox: Api, rows: dict[str, list[Row]]) -> Tables:
    return {name: by_key(name, ({"org_id": sandbox.org_id, **row} for row in given)) for name, given in rows.items()}


def records_of(sandbox: Sandbox, name: str) -> Iterable[Row]:
    """The records of a list, by the name of the stream that reads it."""
    return sandbox.records(PATHS.get(name, name)).values()


def list_in(path: str) -> str:
    """The list that a path is about, as `Behaviour.forbidden` names it: "runs/tasks" for the tasks of one process."""
    match path.removeprefix("/api").split("/")[3:]:
        case []:
            return "organization"
        case [name, _, part]:
            return f"{name}/{part}"
        case [name, *_]:
            return name
    raise AssertionError(path)


def has_no_misfit(name: str, extra: Any) -> bool:
    """Whether all values of a record had a column: of the feed, old values that are no single ones have none.

    Owners that came as objects are there as they came, beside the column with their IDs.
    """
    match name, extra:
        case _, None:
            return True
        case "activity_feed", {"old_value": _}:
            return len(extra) == 1
        case "tasks", {"owners": {"users": users}}:
            return len(extra) == 1 and all(isinstance(user, dict) for user in users)
        case _:
            return False


def by_key(name: str, rows: Iterable[Row]) -> dict[Key, Row]:
    """Rows by their key, and what they hold comparable: a column is null where the API sent nothing."""
    return {
        key_of(name, row): {column: comparable(value) for column, value in row.items() if value is not None}
        for row in rows
    }


def key_of(name: str, row: Row) -> Key:
    """The key of a row."""
    return tuple(row[column] for column in KEYS[name])


def comparable(value: Any) -> Any:
    """A value with all dates in one form, so that rows can be compared."""
    if isinstance(value, dict):
        return {name: comparable(part) for name, part in value.items()}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    date = _DATE.fullmatch(value) if isinstance(value, str) else None
    return f"{date[1]}T{date[2]}" if date else value


def without(record: Row, *names: str) -> Row:
    return {name: value for name, value in record.items() if name not in names}


def _row(name: str, record: Row) -> Row:
    row = {_SAME.get((name, field), field): value for field, value in record.items()}
    row |= {field: {} for field in (*_OBJECTS, *(["prerun"] if name == "runs" else [])) if row.get(field) == []}
    match name:
        case "tasks":
            owners = without(row["owners"], "taskUrls")
            owners["users"] = [user["id"] if isinstance(user, dict) else user for user in owners["users"]]
            return {**without(row, "webhook"), "owners": owners, "taskdata": _without_addresses(row["taskdata"])}
        case "checklists":
            return without(row, "webhook")
        case "activity_feed":
            row = {field: _lone(value) for field, value in row.items()}
            return {**row, "old_value": _as_text(row["old_value"]), **_hidden_guests(row)}
        case "guests":
            return without(row, "id", "link")
        case "organization":
            return {field: row[field] for field in _ORGANIZATION}
        case _:
            return row


_SAME = {
    ("users", "updated_at"): "last_updated",
    ("users", "active"): "is_active",
    ("users", "UTC_offset"): "utc_offset",
    ("groups", "updated_at"): "last_updated",
}


def _hidden_guests(entry: Row) -> Row:
    """Nothing of an entry's guests, whose IDs are credentials; `actor_type` says of whom an actor is."""
    kinds = {"actor_type": ("actor_id", "actor"), "auditable_type": ("auditable_id", "old_value")}
    return {name: None for kind, names in kinds.items() if "guest" in entry[kind].lower() for name in names}


def _lone(value: Any) -> Any:
    """A value, also where a server puts it into an array."""
    return (value[0] if value else None) if isinstance(value, list) and len(value) <= 1 else value


def _as_text(value: Any) -> str | None:
    """A value of any type as the text its column holds: of several the first; all of them are in `_extra`."""
    match value:
        case None | str():
            return value
        case [first, *_]:
            return _as_text(first)
        case bool() | list() | dict():
            return None
        case _:
            return str(value)


def _without_addresses(answers: Row) -> Row:
    """Answers without the addresses of files."""
    return {
        field: [without(item, "url") if "filename" in item else item for item in answer]
        if isinstance(answer, list)
        else answer
        for field, answer in answers.items()
    }


def _task_answers(task: Row) -> Iterator[Row]:
    belongs = {name: task[name] for name in ("run_id", "checklist_id", "step_id", "last_updated")}
    for field_id, answer in task["taskdata"].items():
        yield {**belongs, "task_id": task["id"], "field_id": field_id, **_answer(answer)}


def _kickoff_answers(run: Row) -> Iterator[Row]:
    belongs = {name: run[name] for name in ("checklist_id", "last_updated")}
    for field_id, answer in run["prerun"].items():
        yield {**belongs, "run_id": run["id"], "field_id": field_id, **_answer(answer)}


def _answer(answer: Any) -> Row:
    empty = answer in (None, "", [], {})
    return {"value": None if empty else _written_down(answer) or None, "value_json": None if empty else answer}


def _written_down(answer: Any) -> str | None:  # noqa: PLR0911 - a kind of answer each
    """An answer as a person would write it down; `tests/test_answers.py` looks at more kinds."""
    match answer:
        case str():
            return answer
        case {"text": text, "value": value}:
            return str(text or value)
        case {"value": value}:
            return str(value)
        case {"users": users, "groups": groups}:
            return ", ".join(map(str, (*users, *groups)))
        case [{"filename": _}, *_]:
            return ", ".join(file["filename"] for file in answer)
        case [{"selected": _}, *_]:
            return ", ".join(choice["text"] for choice in answer if choice["selected"])
        case _:
            return None


def _form_fields(checklist: Row, steps: list[Row]) -> Iterator[Row]:
    forms = [(None, checklist["prerun"]), *((step["id"], step["captures"]) for step in steps)]
    for step_id, form in forms:
        for field in form:
            yield {"checklist_id": checklist["id"], "step_id": step_id, **{name: field.get(name) for name in _FIELD}}


#: Columns that hold JSON as text.
JSON_TEXTS = {"value_json", "working_days", "default_deadline"}


# What the tap wrote


def written(result: Result) -> Tables:
    """Every stream's rows by key, as a target would hold them, without the columns that the API did not send."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for message in result.messages:
        if message["type"] == "RECORD":
            rows[message["stream"]].append(as_expected(message["stream"], message["record"]))
    return {name: by_key(name, of_stream) for name, of_stream in rows.items()}


def as_expected(name: str, record: Row) -> Row:
    """A record as `expected` has it: nothing may be beside, and answers are compared by what their JSON says."""
    row = dict(record)
    assert has_no_misfit(name, row.pop("_extra", None))
    for column in JSON_TEXTS & row.keys():
        if isinstance(row[column], str):
            row[column] = json.loads(row[column])
    return row


def emitted(result: Result) -> dict[str, list[Key]]:
    """The keys of the records of every stream, in the order written."""
    keys: dict[str, list[Key]] = defaultdict(list)
    for message in result.messages:
        if message["type"] == "RECORD":
            keys[message["stream"]].append(tuple(message["record"][column] for column in KEYS[message["stream"]]))
    return keys


def differences(found: Tables, right: Tables) -> dict[str, Any]:
    """What is wrong with each stream that is not as it should be; short enough to be read."""
    wrong: dict[str, Any] = {}
    for name in right:
        rows, true = found.get(name, {}), right[name]
        if rows != true:
            stale = {key: _unlike(rows[key], true[key]) for key in rows.keys() & true.keys() if rows[key] != true[key]}
            wrong[name] = {
                "missing": len(true.keys() - rows.keys()),
                "too many": len(rows.keys() - true.keys()),
                "unlike": (len(stale), next(iter(stale.values()), None)),
            }
    return wrong


def _unlike(row: Row, true: Row) -> Row:
    return {
        name: (row.get(name, "absent"), true.get(name, "absent"))
        for name in row.keys() | true.keys()
        if row.get(name, "absent") != true.get(name, "absent")
    }


# Running it


@cache
def _discovered() -> str:
    result = run_command("--discover")
    assert result.code == 0, result.stderr
    return "\n".join(result.lines)


def catalog(selected: Callable[[str], bool] | Iterable[str] = STREAMS, *, full: bool = False) -> dict[str, Any]:
    """The tap's own catalog with these streams selected and no others, to be read in full or as they are."""
    found: dict[str, Any] = json.loads(_discovered())
    chosen = set(selected) if not callable(selected) else {name for name in STREAMS if selected(name)}
    for stream in found["streams"]:
        (whole,) = (each["metadata"] for each in stream["metadata"] if each["breadcrumb"] == [])
        whole["selected"] = stream["tap_stream_id"] in chosen
        for column in stream["metadata"]:
            if column["breadcrumb"] and column["metadata"].get("selected-by-default") is False:
                column["metadata"]["selected"] = True
        if full:  # as Meltano writes what the extractor `tap-tallyfy--full` says
            stream["replication_method"] = whole["replication-method"] = "FULL_TABLE"
    return found


def sync(sandbox: Sandbox, selected: Iterable[str] = STREAMS, **settings: Any) -> Result:
    """Sync these streams."""
    return run_tap(sandbox, command=TAP, **{"catalog": catalog(selected), "timeout": 300, **settings})
