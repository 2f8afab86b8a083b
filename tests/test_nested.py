"""The rows made from nested lists, in whatever shape they come, and what is said of those that cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_tallyfy.records.nested import (
    Misfit,
    comments_of,
    folders_of,
    newest_comment,
    stages_of,
    steps_of,
    tags_of_run,
)
from tap_tallyfy.records.parser import RecordParser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Row = dict[str, Any]

KINDS: dict[str, tuple[str, str, Callable[[Row, set[Misfit]], Iterable[Row]], str]] = {
    "steps": ("checklists", "Step", steps_of, "id"),
    "stages": ("checklists", "Stage", stages_of, "id"),
    "threads": ("tasks", "TaskComment", comments_of, "id"),
    "tags": ("runs", "RunTag", tags_of_run, "tag_id"),
}
of_every_kind = pytest.mark.parametrize("field", KINDS)


def rows_of(field: str, **sent: Any) -> tuple[list[Any], set[Misfit]]:
    """Return the keys of the rows made from a record, and the misfits."""
    path, row, make, key = KINDS[field]
    misfits: set[Misfit] = set()
    record = RecordParser(f"/organizations/{{org_id}}/{path}")({"id": "a", **sent})
    parse = RecordParser(row)
    return [parse(each).get(key) for each in make(record, misfits)], misfits


@of_every_kind
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("value", "keys"),
    [
        ([{"id": "x"}, {"id": 7}], ["x", "7"]),
        ({"0": {"id": "x"}, "5": {"id": "y"}}, ["x", "y"]),
        ({"1": {"id": "x"}}, ["x"]),
        ([], []),
        ({}, []),
        (None, []),
        ([{"id": None}, {}, {"id": "x"}], [None, None, "x"]),
        ([None, {"id": "x"}], [None, "x"]),
    ],
)
def test_a_row_for_each_item(field: str, value: Any, keys: list[Any], wrapped: bool) -> None:
    assert rows_of(field, **{field: {"data": value} if wrapped else value}) == (keys, set())


@of_every_kind
@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("text", "string"),
        ("", "string"),
        (0, "integer"),
        (False, "boolean"),
        ({"id": "x"}, "object"),
        ({"0": {"id": "x"}, "a": {"id": "y"}}, "object"),
        ({"data": "text"}, "object"),
        ({"data": {"id": "x"}}, "object"),
    ],
)
def test_what_is_no_list_is_a_misfit(field: str, value: Any, sent: str) -> None:
    assert rows_of(field, **{field: value}) == ([], {(field, sent)})


@of_every_kind
def test_a_list_that_was_asked_for_and_is_absent_is_a_misfit(field: str) -> None:
    assert rows_of(field) == ([], {(field, "absent")})


def test_an_item_that_fits_no_column_has_its_row_all_the_same() -> None:
    assert rows_of("steps", steps=[{"id": "x", "position": "first"}, {"id": "y"}]) == (["x", "y"], set())


def test_a_row_keeps_what_fits_no_column() -> None:
    step = {"id": 1, "checklist_id": "x", "position": "first", "new": [1], "webhook": "https://secret"}
    (row,) = steps_of({"id": "c", "steps": [step]}, set())
    assert RecordParser("Step")(row) == {
        "id": "1",
        "checklist_id": "c",
        "position": None,
        "_extra": {"position": "first", "new": [1]},
    }


def test_a_stage_belongs_to_its_template() -> None:
    (row,) = stages_of({"id": "c", "stages": [{"id": 3, "title": "Review", "position": "2"}]}, set())
    assert RecordParser("Stage")(row) == {
        "id": "3",
        "checklist_id": "c",
        "title": "Review",
        "position": 2,
        "_extra": None,
    }


@pytest.mark.parametrize("tag", [{"id": "t", "title": "VIP"}, "t"])
def test_a_tag_of_a_process_carries_when_the_process_changed(tag: Any) -> None:
    run = {"id": "r", "last_updated": "2025-01-15T10:00:00.000Z", "tags": [tag]}
    (row,) = tags_of_run(RecordParser("/organizations/{org_id}/runs")(run), set())
    assert RecordParser("RunTag")(row) == {
        "run_id": "r",
        "tag_id": "t",
        "last_updated": "2025-01-15T10:00:00.000Z",
        "_extra": None,
    }


def test_a_comment_belongs_to_its_task() -> None:
    comment = {"id": 1, "task_id": "x", "author_type": "guest", "author_id": "code", "sent_to": [1, {"id": 2}]}
    task = {"id": "t", "run_id": "r", "last_updated": "2025-01-15", "threads": [comment]}
    (row,) = comments_of(RecordParser("/organizations/{org_id}/tasks")(task), set())
    assert RecordParser("TaskComment")(row) == {
        "id": "1",
        "task_id": "t",
        "run_id": "r",
        "task_last_updated": "2025-01-15T00:00:00.000Z",
        "author_type": "guest",
        "sent_to": [1, 2],
        "_extra": {"sent_to": [1, {"id": 2}]},
    }


@pytest.mark.parametrize(
    ("threads", "newest"),
    [
        (None, None),
        ("text", None),
        ([{"created_at": "2025-01-15"}, {"updated_at": "2025-01-16T00:00:00Z"}, {"archived_at": "soon"}, None], 16),
        ({"3": {"id": "x", "created_at": "2025-01-17"}}, 17),
    ],
)
def test_the_newest_comment(threads: Any, newest: int | None) -> None:
    task = RecordParser("/organizations/{org_id}/tasks")({"id": "t", "threads": threads})
    assert newest_comment(task) == (newest and f"2025-01-{newest}T00:00:00.000Z")


def folders(folder: Row) -> tuple[list[tuple[Any, ...]], set[Misfit]]:
    parse = RecordParser("/organizations/{org_id}/folders")
    misfits: set[Misfit] = set()
    found = list(folders_of(parse(folder), parse, misfits))
    return [tuple(each.get(name) for name in ("id", "parent_id", "folder_type")) for each in found], misfits


def test_folders_at_any_depth() -> None:
    inner = {"data": {"0": {"id": 3}, "7": {"id": 4, "parent_id": "own"}}}
    folder = {"id": 1, "folder_type": "run", "children": [{"id": 2, "children": inner}, None]}
    found, misfits = folders(folder)
    assert sorted(found, key=str) == sorted(
        [("1", None, "run"), ("2", "1", "run"), ("3", "2", "run"), ("4", "own", "run"), (None, "1", "run")], key=str
    )
    assert misfits == set()


def test_children_that_are_no_list_are_a_misfit_and_need_not_be_there() -> None:
    assert folders({"id": 1}) == ([("1", None, None)], set())
    assert folders({"id": 1, "children": [{"id": 2, "children": "none"}]})[1] == {("children", "string")}
