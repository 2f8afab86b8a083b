"""Every way in which servers differ, as values: a further kind of server is one more line of KINDS or SERVERS.

`Behaviour` has a field for each way; its docstring is the table of them. A field with names for values has these names
in KINDS, each with the value that the sandbox works with. SERVERS are whole servers, each a set of fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sandbox.order import both_ways
from sandbox.people import full_name, guest_token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    Size = Callable[[int, int, int, Random], int]
    """The size of a page, by the size asked for, the number of the page, how many pages of the list were sent before,
    and a source of chance."""

ABSENT: Final = object()
"""The value of a field that is not sent at all."""

_LISTED = (10, 25, 50, 100)
_OFF_BY = 3
_TASK_WORDS = {
    **both_ways("deadline"),
    "newest": ("created_at", True),
    "problems": ("problem", True),
    "completed_newest": ("completed_at", True),
}
_FEED_ARRAYS = (
    "verb", "source", "type", "actor_type", "description", "actor_id", "actor", "field", "old_value", "text",
)  # fmt: skip


def _known_or(size: int) -> Size:
    return lambda asked, *_: asked if asked in _LISTED else size


def _from_answer(nth: int, size: int) -> Size:
    return lambda asked, _, before, __: min(asked, 100 if before < nth - 1 else size)


def _from_page(nth: int, size: int) -> Size:
    return lambda asked, page, *_: min(asked, 100 if page < nth else size)


KINDS: Final[Mapping[str, Mapping[str, Any]]] = {
    # Pages
    "sizes": {
        "as_asked": lambda asked, *_: asked,
        "listed_down": lambda asked, *_: max((size for size in _LISTED if size <= asked), default=_LISTED[0]),
        "listed_up": lambda asked, *_: min((size for size in _LISTED if size >= asked), default=_LISTED[-1]),
        "listed_nearest": lambda asked, *_: min(_LISTED, key=lambda size: abs(size - asked)),
        "powers_of_two": lambda asked, *_: 1 << (max(1, asked).bit_length() - 1),
        "unknown_10": _known_or(10),
        "unknown_20": _known_or(20),
        "unknown_50": _known_or(50),
        "tens": lambda asked, *_: max(10, asked // 10 * 10),
        "third_answer_50": _from_answer(3, 50),
        "third_answer_33": _from_answer(3, 33),
        "third_page_50": _from_page(3, 50),
        "random": lambda asked, _page, _before, random: random.randint(1, max(1, asked)),
    },
    "meta": {
        "right": lambda pagination: {"pagination": pagination},
        "absent": lambda _: None,
        "capital": lambda pagination: {"Pagination": pagination},
        "total_only": lambda pagination: {"pagination": {"total": pagination["total"]}},
    },
    "total": {"right": 0, "absent": None, "low": -_OFF_BY, "high": _OFF_BY},
    "total_pages": {"right": 0, "absent": None, "wrong": 10},
    "links": {"object": {}, "array": [], "null": None, "absent": ABSENT},
    # Orders
    "sort": {
        "last_updated": both_ways("created_at", "name", "last_updated"),
        "updated_at": both_ways("created_at", "name", updated_at="last_updated"),
        "created_at": both_ways("created_at", "name"),
        "ignored": None,
    },
    "task_sort": {
        "words": _TASK_WORDS,
        "created_at": {**_TASK_WORDS, **both_ways("created_at")},
        "last_updated": {**_TASK_WORDS, **both_ways("created_at", "last_updated")},
        "ignored": {},
    },
    "default_order": {"-created_at": ("created_at", True), "name": ("name", False)},
    "unknown_sort": {"ignored": None, "422": 422, "500": 500},
    # Filters
    "archived": {"both": {"status", "param"}, "status": {"status"}, "param": {"param"}, "none": set()},
    "completed_word": {
        "complete": {"complete"},
        "completed": {"completed"},
        "both": {"complete", "completed"},
    },
    "folders": {"nested": True, "flat": False},
    "is_oneoff": {
        "honoured": lambda task, wanted: task["is_oneoff_task"] is wanted,
        "ignored": lambda *_: True,
        "empty": lambda *_: False,
        "hides_archived": lambda task, wanted: task["is_oneoff_task"] is wanted and not task["archived_at"],
    },
    # The tasks of one process
    "process_tasks_archived": {
        "true_or_only": lambda asked, archived: archived if asked == "only" else not archived or asked == "true",
        "absent": lambda asked, archived: archived or asked != "only",
        "true": lambda asked, archived: not archived or asked == "true",
        "only": lambda asked, archived: archived is (asked == "only"),
        "none": lambda _, archived: not archived,
    },
    "process_tasks_hide": {
        "nothing": lambda _: False,
        "skipped": lambda task: task["status"] == "auto-skipped",
        "completed": lambda task: task["status"] == "completed",
        "archived": lambda task: bool(task["archived_at"]),
        "one_off": lambda task: task["is_oneoff_task"],
    },
    "process_tasks_order": {"position": ("position", False), "-created_at": ("created_at", True)},
    # Limits
    "rate_window": {"fixed": "fixed", "rolling": "rolling"},
    # Records
    "date_format": {
        "ms": None,
        "z": ("T", "Z"),
        "offset": ("T", "+00:00"),
        "microseconds": ("T", ".000000Z"),
        "no_zone": (" ", ""),
    },
    "owner_users": {"ids": lambda user: user, "objects": lambda user: {"id": user, "full_name": full_name(user)}},
    "guest_id": {
        "integer": lambda guest: guest["id"],
        "code": lambda guest: guest_token(guest["email"]),
        "absent": lambda _: ABSENT,
    },
    "guest_names": {"top": (), "details": ("first_name", "last_name")},
    "changed_name": {"last_updated": "last_updated", "updated_at": "updated_at"},
    "active_name": {"is_active": "is_active", "active": "active"},
    "feed_values": {"scalars": (), "arrays": _FEED_ARRAYS},
}
"""For each field of Behaviour that has names for values: the names, with the values that the sandbox works with."""

TASK_CHANGES: Final = frozenset({"complete", "edit", "assign", "comment", "create", "archive", "delete"})
"""The kinds of change of a task: "assign" is an edit of its owners, "archive" a restoring too."""

TASK_SERVERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "a task dates its process": {},
    "a task never dates its process": {"task_dates_run": frozenset()},
    "only completing a task dates its process": {"task_dates_run": frozenset({"complete"})},
    "all but assigning a task dates its process": {"task_dates_run": TASK_CHANGES - {"assign"}},
    "all but comments and edits date the process": {"task_dates_run": TASK_CHANGES - {"comment", "edit"}},
    "the process is dated 40 s before its task": {"run_date_offset": -40},
    "the process is dated 40 s after its task": {"run_date_offset": 40},
    "the process is dated 10 min before its task": {"run_date_offset": -600},
    "the process is dated 50 s late": {"run_date_delay": 50},
    "the process is dated 15 min late": {"run_date_delay": 900},
    "the process is dated 15 min late, with that time": {"run_date_delay": 900, "run_date_offset": 900},
    "one process in five is in no list": {"unlisted_runs": 5},
    "is_oneoff is ignored": {"is_oneoff": "ignored"},
    "is_oneoff is answered with nothing": {"is_oneoff": "empty"},
    "is_oneoff hides archived tasks": {"is_oneoff": "hides_archived"},
    "tasks of a process are 404": {"missing": frozenset({"runs/tasks"})},
    "tasks of a process are 403": {"forbidden": frozenset({"runs/tasks"})},
    "tasks of a process hide skipped ones": {"process_tasks_hide": "skipped"},
    "tasks of a process hide completed ones": {"process_tasks_hide": "completed"},
    "tasks of a process hide archived ones": {"process_tasks_hide": "archived"},
    "tasks of a process hide one-off ones": {"process_tasks_hide": "one_off"},
    "tasks of a process lack taskdata": {"process_tasks_lack": frozenset({"taskdata"})},
    "archived tasks of a process always come": {"process_tasks_archived": "absent"},
    "archived tasks of a process come by archived=true": {"process_tasks_archived": "true"},
    "archived tasks of a process come by archived=only": {"process_tasks_archived": "only"},
    "archived tasks of a process never come": {"process_tasks_archived": "none"},
    "tasks of a process come in tens, newest first": {
        "process_tasks_per_page": 10,
        "process_tasks_order": "-created_at",
    },
}
"""Servers that differ in how tasks and their processes hang together."""

SERVERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "as documented": {},
    "paging is ignored": {"paged": False},
    "made-up rows without end": {"endless": True, "without_pagination": False},
    "an unknown order is a 500": {"sort": "created_at", "unknown_sort": "500"},
    "an unknown parameter is a 500": {"refused": frozenset({"without_pagination"}), "refused_status": 500},
    "the clock is an hour ahead": {"date_ahead": 3600},
    "one row in ten has no key": {"keyless": 10},
    **TASK_SERVERS,
}
"""Whole servers by name: `Behaviour(**SERVERS[name])`, or `python -m sandbox --server NAME`."""


@dataclass
class Behaviour:
    """One version of the API; every field can be changed while the sandbox runs.

    Attributes:
        sizes: How many rows a page has if so many are asked for. "as_asked"; of 10, 25, 50 and 100 the one below
            ("listed_down"), above ("listed_up") or nearest ("listed_nearest"); "powers_of_two" and "tens" round down;
            any other becomes 10, 20 or 50 ("unknown_10" and so on); 100, but from the third answer of the list on 50
            or 33 ("third_answer_50"), or from its page 3 on ("third_page_50"); "random".
        per_page_cap: The largest page that can be asked for, 0 for no cap.
        per_page_fixed: The size of every page whatever was asked, 0 for what was asked.
        reported_per_page: meta tells the real page size, else the one asked for.
        meta: "right", "absent" for pages without any, "total_only", or "capital" for `Pagination`, as an old
            description spells it.
        total: "right", "absent", or off by 3: "low", "high".
        total_pages: "right", "absent", or "wrong": computed with pages of 10.
        links: What `links` is on the last page.
        links_host: Replaces the host in links.next.
        numbers_as_strings: Numbers in meta.pagination are strings.
        ignore_page: Every page is page 1.
        paged: Without it every answer has all rows and no meta, whatever page is asked for.
        without_pagination: The parameter of that name is honoured, and `pagination=false` by folders.
        always_paged: The lists that ignore it all the same.
        most_rows: Pages are empty beyond so many rows of a list, 0 for no such limit; totals stay.
        endless: Every page beyond the rows is full of rows that are made up anew.
        sort: Sort fields of processes that are honoured. "last_updated": created_at, name, last_updated.
            "updated_at": created_at, name and updated_at, which means last_updated. "created_at": created_at, name.
            "ignored": none, and none of any other list but tasks.
        task_sort: Sort words of tasks that are honoured: the documented "words", also "created_at", also
            "last_updated" (and created_at), or "ignored": none.
        unknown_sort: A sort that is not honoured is "ignored", or answered with "422" or "500".
        default_order: The order of processes and tasks with no sort, or one that is ignored; the name of a task is its
            title.
        shuffle_ties: Rows equal in the sort value come in another order at every read, else by id.
        archived: How archived runs are reached: `status=archived` ("status"), the parameter `archived` ("param"),
            "both" or "none".
        hide_completed_tasks: Completed tasks are absent from the list of tasks unless a status is asked for.
        completed_word: The status that finds completed tasks: "complete", "completed" or "both".
        is_oneoff: The parameter of tasks is "honoured", "ignored", unknown and answered with nothing ("empty"), or
            honoured without archived tasks ("hides_archived").
        unlisted_runs: One process in so many is in no list, though its tasks are; 0 for none. `Sandbox.unlisted` says
            which.
        process_tasks_archived: The form in which the tasks of one process (the list "runs/tasks") show archived ones:
            as the list of all tasks does ("true_or_only"), always ("absent"), only with archived=true ("true") or
            archived=only ("only"), or "none".
        process_tasks_hide: What that list leaves out: "nothing", "skipped", "completed", "archived" or "one_off" tasks.
        process_tasks_lack: The fields that it leaves out.
        process_tasks_order: Its order where no sort is asked for: "position" or "-created_at".
        process_tasks_per_page: The size of its pages, 0 for the size asked for, or 10.
        folders: "nested": folders in others come only as their children, or by parent_id; "flat": all are listed.
        forbidden: The lists that are answered with 403, also "runs/tasks" and "organization".
        missing: The lists that are answered with 404.
        refused: Query parameters that are refused, whatever their value.
        refused_status: The status of that refusal.
        rate_limit: So many list requests per so many seconds, None for no limit.
        rate_window: Whether the window of rate_limit is "fixed" or "rolling".
        rate_remaining_header: Answers say X-RateLimit-Limit and X-RateLimit-Remaining.
        date_header: Answers have a Date.
        date_ahead: Seconds the Date is ahead of the clock that stamps the rows.
        wrapped: Related data arrives as {"data": ...}, else bare.
        empty_object_as_list: An empty object is sent as [].
        date_format: "ms" (10:00:00.000Z), "z" (10:00:00Z), "offset" (10:00:00+00:00), "microseconds"
            (10:00:00.000000Z) or "no_zone" (2026-01-15 10:00:00).
        keyless: One row in so many has null for its key, 0 for none; `Sandbox.keyless` says which.
        comment_moves_task: A comment moves last_updated of its task.
        archive_moves_tasks: Archiving or restoring a process moves last_updated of its tasks.
        task_dates_run: The changes of a task that also move last_updated of its process, of TASK_CHANGES. The progress
            of the process follows its tasks all the same; a process that is complete is dated by that.
        run_date_offset: Seconds its process is then dated after the task; negative: before.
        run_date_delay: Seconds until the process shows that date.
        owner_users: Whether the members in owners of a task are "ids" or "objects".
        guest_id: Whether the id of a guest is an "integer", the "code" that lets the guest in, or "absent".
        guest_names: Whether the names of a guest are at the "top" or in "details".
        changed_name: What members and groups call the date of their last change.
        active_name: What members call whether they are active.
        feed_values: Whether values in the feed are "scalars" or "arrays" of one.
    """

    sizes: str = "as_asked"
    per_page_cap: int = 100
    per_page_fixed: int = 0
    reported_per_page: bool = True
    meta: str = "right"
    total: str = "right"
    total_pages: str = "right"
    links: str = "object"
    links_host: str = ""
    numbers_as_strings: bool = False
    ignore_page: bool = False
    paged: bool = True
    without_pagination: bool = True
    always_paged: frozenset[str] = frozenset({"groups", "tags"})
    most_rows: int = 0
    endless: bool = False
    sort: str = "last_updated"
    task_sort: str = "words"
    unknown_sort: str = "ignored"
    default_order: str = "-created_at"
    shuffle_ties: bool = False
    archived: str = "both"
    hide_completed_tasks: bool = False
    completed_word: str = "complete"
    is_oneoff: str = "honoured"
    unlisted_runs: int = 0
    process_tasks_archived: str = "true_or_only"
    process_tasks_hide: str = "nothing"
    process_tasks_lack: frozenset[str] = frozenset()
    process_tasks_order: str = "position"
    process_tasks_per_page: int = 0
    folders: str = "nested"
    forbidden: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    refused_status: int = 422
    rate_limit: tuple[int, float] | None = None
    rate_window: str = "fixed"
    rate_remaining_header: bool = False
    date_header: bool = True
    date_ahead: int = 0
    wrapped: bool = True
    empty_object_as_list: bool = True
    date_format: str = "ms"
    keyless: int = 0
    comment_moves_task: bool = True
    archive_moves_tasks: bool = True
    task_dates_run: frozenset[str] = TASK_CHANGES
    run_date_offset: int = 0
    run_date_delay: int = 0
    owner_users: str = "ids"
    guest_id: str = "integer"
    guest_names: str = "top"
    changed_name: str = "last_updated"
    active_name: str = "is_active"
    feed_values: str = "scalars"

    def __setattr__(self, name: str, value: object) -> None:
        """Set a field; ValueError for a value that no version of the API has, so a typo never tests nothing."""
        if name not in Behaviour.__dataclass_fields__:
            raise ValueError(f"{name} is not a behaviour")
        if name in KINDS and value not in KINDS[name]:
            raise ValueError(f"{name}={value!r} is not one of {', '.join(KINDS[name])}")
        if name == "task_dates_run" and not TASK_CHANGES.issuperset(value):  # type: ignore[arg-type]  # a typo is caught
            raise ValueError(f"{name} knows {', '.join(sorted(TASK_CHANGES))}")
        super().__setattr__(name, value)

    def kind(self, name: str) -> Any:
        """The value in KINDS that a field names."""
        return KINDS[name][getattr(self, name)]

    @property
    def key(self) -> tuple[object, ...]:
        """All that can differ, to tell answers of different versions apart."""
        return tuple(vars(self).values())
