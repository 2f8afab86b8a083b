"""Makes rows out of forms: one for each answer, and one for each field that asks for them; see `nested`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from tap_tallyfy.records.nested import Misfit, as_object, nested_list, nested_value
from tap_tallyfy.records.normalise import json_text
from tap_tallyfy.records.shapes import Record, as_list, inside, is_list_in_disguise, json_type

#: Whom a form can assign, and where each one's name is; the ID of a guest is an access code, which has been removed.
_ASSIGNEES: Final[Mapping[str, Sequence[str]]] = {
    "users": ("full_name", "email", "id"),
    "guests": ("full_name", "email"),
    "groups": ("name", "id"),
}
_EMPTY: Final[tuple[object, ...]] = (None, "", [], {})
_NOT_CHOSEN: Final = frozenset({"0", "false"})


def task_answers(task: Record, misfits: set[Misfit]) -> Iterator[Record]:
    """Yield a row for each field of a task's form that has been sent, answered or not."""
    belongs = {name: task.get(name) for name in ("run_id", "checklist_id", "step_id", "last_updated")}
    belongs["task_id"] = task.get("id")
    for field_id, answer in _answers(task, "taskdata", misfits):
        yield {**belongs, "field_id": field_id, **_columns(answer)}


def kickoff_answers(run: Record, misfits: set[Misfit]) -> Iterator[Record]:
    """Yield a row for each field of a process's kick-off form that has been sent, answered or not."""
    belongs = {name: run.get(name) for name in ("checklist_id", "last_updated")}
    belongs["run_id"] = run.get("id")
    for field_id, answer in _answers(run, "prerun", misfits):
        yield {**belongs, "field_id": field_id, **_columns(answer)}


def form_fields(checklist: Record, misfits: set[Misfit]) -> Iterator[Record]:
    """Yield a row for each field of a template: those of its kick-off form, then those of its steps."""
    belongs = {"checklist_id": checklist.get("id")}
    for field in nested_list(checklist, "prerun", misfits):
        yield {**as_object(field), **belongs, "step_id": None}
    for step in map(as_object, nested_list(checklist, "steps", misfits, asked=True)):
        for field in nested_list(step, "captures", misfits, field="steps.captures"):
            yield {**as_object(field), **belongs, "step_id": step.get("id")}


def _answers(record: Record, name: str, misfits: set[Misfit]) -> Iterable[tuple[object, object]]:
    """Return the ID and the answer of each field of a form: an object by ID, or in old servers an array of fields."""
    # LIVE: an array of fields is known from an old client alone; goes if a live form is an object.
    form = nested_value(record, name)
    if isinstance(form, dict):
        return form.items()
    if form is not None and not isinstance(form, list):
        misfits.add(Misfit(name, json_type(form)))
    return [(field.get("id"), _answer_of(field)) for field in map(as_object, as_list(form) or ())]


# The columns of an answer


def _columns(sent: object) -> Record:
    """Return an answer as the two columns of a row: as a person would write it down, and whole."""
    if isinstance(sent, str):
        return {"value": sent or None, "value_json": json_text(sent) if sent else None}
    answer = _with_lists(_without_field(sent))
    if answer in _EMPTY:
        return {"value": None, "value_json": None}
    return {"value": _text(answer), "value_json": json_text(answer)}


def _without_field(answer: object) -> object:
    """Return the answer that is inside a field; a choice has an ID and a value as well, but also a text."""
    if not isinstance(answer, dict):
        return answer
    # LIVE: sources disagree on where an answer is; goes if live answers never come inside of their field.
    is_field = "value" in answer and "text" not in answer and not answer.keys().isdisjoint({"id", "field_type"})
    return _answer_of(answer) if is_field or "field_value" in answer else answer


def _answer_of(field: Record) -> object:
    answer = field.get("field_value")
    return field.get("value") if answer is None else answer


def _with_lists(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return an answer with the lists in it that PHP wrote as objects as lists."""
    if isinstance(value, dict) and not is_list_in_disguise(value):
        parts = {}
        for name, part in value.items():
            parts[name] = _with_lists(part)
        return parts
    if not isinstance(value, (dict, list)):
        return value
    items = []
    for item in as_list(value) or ():
        items.append(_with_lists(item))  # noqa: PERF401 - a comprehension would need two frames a level
    return items


def _text(answer: object) -> str | None:
    """Return an answer as a person would write it down, or None for a table and for anything unknown."""
    answer = inside(answer)
    while isinstance(answer, dict) and "value" in answer and answer.keys() <= {"label", "value"}:
        answer = answer["value"]  # LIVE: how a mistyped answer is said to be kept; goes if none is found
    if isinstance(answer, list):
        return _list_text(answer)
    if not isinstance(answer, dict):
        return _simple_text(answer)
    if "filename" in answer or "text" in answer:
        return _list_text([answer])
    return _assignees(answer)


def _simple_text(value: object) -> str | None:
    """Return a text, or a number or a boolean as JSON writes it, or None for all else."""
    if isinstance(value, str):
        return value or None
    return json_text(value) if isinstance(value, (bool, int, Decimal)) else None


def _assignees(form: Record) -> str | None:
    """Return the names of those that a form assigns; where only an ID was sent, that."""
    people = [
        (person, names) for group, names in _ASSIGNEES.items() for person in as_list(inside(form.get(group))) or ()
    ]
    return _joined(_name(person, names) for person, names in people)


def _name(person: object, names: Sequence[str]) -> str | None:
    if not isinstance(person, dict):
        return _simple_text(person)
    return next(filter(None, (_simple_text(person.get(name)) for name in names)), None)


def _list_text(items: Sequence[object]) -> str | None:
    """Return texts, the names of files, or the texts of chosen options; anything else is a table or unknown."""
    objects = [item for item in items if isinstance(item, dict)]
    if not objects:
        return None if any(isinstance(item, list) for item in items) else _joined(map(_simple_text, items))
    if len(objects) < len(items):
        return None
    if all("filename" in item for item in objects):
        return _joined(_simple_text(item["filename"]) for item in objects)
    if all("text" in item or "selected" in item for item in objects):
        return _joined(_choice(item) for item in objects if _is_chosen(item.get("selected", True)))
    return None


def _is_chosen(selected: object) -> bool:
    return bool(selected) and str(selected).lower() not in _NOT_CHOSEN


def _choice(choice: Record) -> str | None:
    return _simple_text(choice.get("text")) or _simple_text(choice.get("value"))


def _joined(texts: Iterable[str | None]) -> str | None:
    return ", ".join(filter(None, texts)) or None
