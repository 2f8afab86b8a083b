"""Makes rows out of forms: one for each answer, and one for each field that asks for them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tap_tallyfy.records.contract import EXTRA
from tap_tallyfy.records.redact import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Record = dict[str, Any]

#: What a row takes over from the definition of a field.
_DEFINITION: Final = (
    "alias",
    "label",
    "field_type",
    "guidance",
    "position",
    "required",
    "options",
    "columns",
    "created_at",
    "last_updated",
)
#: Whom a form can assign, and where each one's name is; the ID of a guest may be an access code.
_ASSIGNEES: Final[Mapping[str, Sequence[str]]] = {
    "users": ("full_name", "email", "id"),
    "guests": ("full_name", "email"),
    "groups": ("name", "id"),
}
_EMPTY: Final[tuple[object, ...]] = (None, "", [], {})
_NOT_CHOSEN: Final[tuple[object, ...]] = (False, 0, "0", "false")


def task_answers(task: Record) -> Iterator[Record]:
    """Return a row for each field of a task's form that has been sent, answered or not.

    Args:
        task: A task as the decoder hands it on.
    """
    for field_id, answer in _answers(sent(task, "taskdata")):
        yield {
            "run_id": task.get("run_id"),
            "task_id": task.get("id"),
            "checklist_id": task.get("checklist_id"),
            "step_id": task.get("step_id"),
            "field_id": field_id,
            **_columns(answer),
            "last_updated": task.get("last_updated"),
        }


def kickoff_answers(run: Record) -> Iterator[Record]:
    """Return a row for each field of a process's kick-off form that has been sent, answered or not.

    Args:
        run: A process as the decoder hands it on.
    """
    for field_id, answer in _answers(sent(run, "prerun")):
        yield {
            "run_id": run.get("id"),
            "checklist_id": run.get("checklist_id"),
            "field_id": field_id,
            **_columns(answer),
            "last_updated": run.get("last_updated"),
        }


def form_fields(checklist: Record) -> Iterator[Record]:
    """Return a row for each field of a template: those of its kick-off form, then those of its steps.

    Args:
        checklist: A template as the decoder hands it on, with its steps.
    """
    yield from _field_rows(sent(checklist, "prerun"), checklist.get("id"), None)
    for step in items_of(sent(checklist, "steps")):
        if isinstance(step, dict):
            yield from _field_rows(step.get("captures"), checklist.get("id"), _simple_text(step.get("id")))


def _field_rows(definitions: object, checklist_id: object, step_id: str | None) -> Iterator[Record]:
    for definition in items_of(definitions):
        if isinstance(definition, dict) and (field_id := _simple_text(definition.get("id"))):
            yield {
                "id": field_id,
                "checklist_id": checklist_id,
                "step_id": step_id,
                **{name: definition.get(name) for name in _DEFINITION},
            }


# What was sent


def sent(record: Record, name: str) -> object:
    """Return a nested value of a record; one that fits no column is in `_extra`.

    Args:
        record: A record as the decoder hands it on.
        name: The field.
    """
    value, extra = record.get(name), record.get(EXTRA)
    return extra.get(name) if value is None and isinstance(extra, dict) else value


def _answers(form: object) -> Iterator[tuple[str, object]]:
    """Return the ID and the answer of each field of a form: an object by ID, or in old servers an array of fields."""
    if isinstance(form, msgspec.Raw):
        form = _read(form, _PARTS)  # each answer by itself: one that cannot be read does no harm to the others
    if isinstance(form, dict):
        yield from form.items()
    elif isinstance(form, list):
        for field in map(_parsed, form):
            if isinstance(field, dict) and (field_id := _simple_text(field.get("id"))):
                yield field_id, _answer_of(field)


def items_of(value: object) -> Iterable[object]:
    """Return what an array holds that may arrive as `{"data": [...]}`.

    Args:
        value: Any JSON, parsed or as it was sent.
    """
    value = _parsed(value)
    value = value.get("data") if isinstance(value, dict) else value
    return value if isinstance(value, list) else []


def _number(digits: str) -> Decimal | msgspec.Raw:
    try:
        return Decimal(digits)
    except InvalidOperation:  # an exponent that no decimal can have
        return msgspec.Raw(digits.encode())


_ANY: Final = msgspec.json.Decoder(float_hook=_number)
_PARTS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw])
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def _parsed(value: object) -> object:
    return _read(value, _ANY) if isinstance(value, msgspec.Raw) else value


def _read(raw: msgspec.Raw, decoder: msgspec.json.Decoder[Any]) -> object:
    """Return what JSON says, or the JSON itself where it goes beyond what can be read, such as thousands of digits."""
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError):
        return raw


def _written(value: object) -> str | None:
    try:
        return _ENCODER.encode(value).decode()
    except (ValueError, OverflowError, RecursionError):
        return None


# What an answer says


def _columns(sent: object) -> Record:
    """Return an answer as the two columns of a row: as a person would write it down, and whole."""
    answer = _unwrapped(_parsed(without_credentials(sent)))
    value_json = None if answer in _EMPTY else _written(answer)
    return {"value": None if value_json is None else _text(answer), "value_json": value_json}


def _unwrapped(answer: object) -> object:
    """Return the answer that is inside a field; a choice has an ID and a value as well, but also a text."""
    if not isinstance(answer, dict):
        return answer
    is_field = (
        "value" in answer and "text" not in answer and not answer.keys().isdisjoint({"id", "label", "field_type"})
    )
    return _answer_of(answer) if is_field or "field_value" in answer else answer


def _answer_of(field: Record) -> object:
    answer = field.get("field_value")
    return field.get("value") if answer is None else answer


def _text(answer: object) -> str | None:
    """Return an answer as a person would write it down, or None for a table and for what nobody knows."""
    while isinstance(answer, dict) and answer.keys() == {"value"}:  # some servers keep a mistyped answer like this
        answer = answer["value"]
    if isinstance(answer, dict):
        return _choice(answer) if "text" in answer else _assignees(answer)
    return _list_text(answer) if isinstance(answer, list) else _simple_text(answer)


def _simple_text(value: object) -> str | None:
    """Return a text, or a number or a boolean as JSON writes it, or None for all else."""
    if isinstance(value, str):
        return value or None
    if value is None or isinstance(value, (dict, list)):
        return None
    written = _written(value)
    # JSON that could not be read may be anything.
    return None if written is None or written.startswith(('"', "[", "{")) else written


def _choice(choice: Record) -> str | None:
    return _simple_text(choice.get("text")) or _simple_text(choice.get("value"))


def _assignees(form: Record) -> str | None:
    """Return the names of those that a form assigns; where only an ID was sent, that."""
    people = [(person, names) for group, names in _ASSIGNEES.items() for person in items_of(form.get(group))]
    return _joined(_name(person, names) for person, names in people)


def _name(person: object, names: Sequence[str]) -> str | None:
    if not isinstance(person, dict):
        return _simple_text(person)
    return next(filter(None, (_simple_text(person.get(name)) for name in names)), None)


def _list_text(items: Sequence[object]) -> str | None:
    """Return the names of files, or the texts of what was chosen; anything else is a table or unknown."""
    objects = [item for item in items if isinstance(item, dict)]
    if len(objects) < len(items):
        return None
    if all("filename" in item for item in objects):
        return _joined(_simple_text(item["filename"]) for item in objects)
    if all("text" in item or "selected" in item for item in objects):
        return _joined(_choice(item) for item in objects if item.get("selected", True) not in _NOT_CHOSEN)
    return None


def _joined(texts: Iterable[str | None]) -> str | None:
    return ", ".join(filter(None, texts)) or None
