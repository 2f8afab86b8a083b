"""What a test can ask of the sandbox: versions of the API, faults, and the record of what was requested."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

_CHOICES: dict[str, tuple[str, ...]] = {
    "sort": ("last_updated", "updated_at", "created_at", "ignored"),
    "default_order": ("-created_at", "created_at", "-id", "id", "-name", "name"),
    "total_pages": ("right", "absent", "wrong"),
    "links": ("object", "array", "null", "absent"),
    "total": ("right", "absent", "low", "high"),
    "meta": ("right", "absent", "capital", "capital_tasks"),
    "archived": ("both", "status", "param", "none"),
    "rate_window": ("fixed", "rolling"),
    "date_format": ("ms", "z", "offset", "microseconds", "no_zone"),
    "task_sort": ("words", "created_at", "last_updated", "ignored"),
    "completed_word": ("complete", "completed", "both"),
    "owner_users": ("ids", "objects"),
    "guest_id": ("integer", "code", "absent"),
    "guest_names": ("top", "details"),
    "changed_name": ("last_updated", "updated_at"),
    "active_name": ("is_active", "active"),
    "feed_values": ("scalars", "arrays"),
    "folders": ("nested", "flat"),
}


@dataclass
class Behaviour:
    """One version of the API; every field can be changed while the sandbox runs.

    Attributes:
        sort: Sort fields of processes that are honoured. "last_updated": created_at, name, last_updated.
            "updated_at": created_at, name and updated_at, which means last_updated. "created_at": created_at, name.
            "ignored": none, and none of any other list but tasks.
        default_order: The order of processes and tasks with no sort, or one that is ignored; the name of a task is its
            title.
        shuffle_ties: Rows equal in the sort value come in another order at every read, else by id.
        per_page_cap: The largest page that can be asked for, 0 for no cap.
        per_page_fixed: The size of every page whatever was asked, 0 for what was asked.
        reported_per_page: meta tells the real page size, else the one asked for.
        total_pages: "right", "absent", or "wrong": computed with pages of 10.
        links: What `links` is on the last page.
        links_host: Replaces the host in links.next.
        numbers_as_strings: Numbers in meta.pagination are strings.
        total: "right", "absent", or off by 3: "low", "high".
        meta: "right", "absent" for pages without any, or "capital" for `Pagination`, as an old description spells it,
            "capital_tasks" for that on tasks and the activity feed only.
        ignore_page: Every page is page 1.
        archived: How archived runs are reached: `status=archived` ("status"), the parameter `archived` ("param"),
            "both" or "none".
        without_pagination: The parameter of that name is honoured, and `pagination=false` by folders.
        always_paged: The lists that ignore it all the same.
        wrapped: Related data arrives as {"data": ...}, else bare.
        empty_object_as_list: An empty object is sent as [].
        date_header: Answers have a Date.
        require_client_header: Without X-Tallyfy-Client the path does not exist.
        rate_limit: So many list requests per so many seconds, None for no limit.
        rate_window: Whether the window of rate_limit is "fixed" or "rolling".
        rate_remaining_header: Answers say X-RateLimit-Limit and X-RateLimit-Remaining.
        date_format: "ms" (10:00:00.000Z), "z" (10:00:00Z), "offset" (10:00:00+00:00), "microseconds"
            (10:00:00.000000Z) or "no_zone" (2026-01-15 10:00:00).
        forbidden: The lists that are answered with 403.
        refused: Query parameters that are answered with 422, whatever their value.
        archived_parameter: Tasks and templates honour `archived`.
        hide_completed_tasks: Completed tasks are absent from the list of tasks unless a status is asked for.
        completed_word: The status that finds completed tasks: "complete", "completed" or "both".
        task_sort: Sort words of tasks that are honoured: the documented "words", also "created_at", also
            "last_updated" (and created_at), or "ignored": none.
        comment_moves_task: A comment moves last_updated of its task.
        archive_moves_tasks: Archiving or restoring a process moves last_updated of its tasks.
        owner_users: Whether the members in owners of a task are "ids" or "objects".
        guest_id: Whether the id of a guest is an "integer", the "code" that lets the guest in, or "absent".
        guest_names: Whether the names of a guest are at the "top" or in "details".
        changed_name: What members and groups call the date of their last change.
        active_name: What members call whether they are active.
        feed_values: Whether values in the feed are "scalars" or "arrays" of one.
        folders: "nested": folders in others come only as their children, or by parent_id; "flat": all are listed.
    """

    sort: str = "last_updated"
    default_order: str = "-created_at"
    shuffle_ties: bool = False
    per_page_cap: int = 100
    per_page_fixed: int = 0
    reported_per_page: bool = True
    total_pages: str = "right"
    links: str = "object"
    links_host: str = ""
    numbers_as_strings: bool = False
    total: str = "right"
    meta: str = "right"
    ignore_page: bool = False
    archived: str = "both"
    without_pagination: bool = True
    wrapped: bool = True
    empty_object_as_list: bool = True
    date_header: bool = True
    require_client_header: bool = True
    rate_limit: tuple[int, float] | None = None
    rate_window: str = "fixed"
    rate_remaining_header: bool = False
    date_format: str = "ms"
    always_paged: frozenset[str] = frozenset({"groups", "tags"})
    forbidden: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    archived_parameter: bool = True
    hide_completed_tasks: bool = False
    completed_word: str = "complete"
    task_sort: str = "words"
    comment_moves_task: bool = True
    archive_moves_tasks: bool = True
    owner_users: str = "ids"
    guest_id: str = "integer"
    guest_names: str = "top"
    changed_name: str = "last_updated"
    active_name: str = "is_active"
    feed_values: str = "scalars"
    folders: str = "nested"

    def __setattr__(self, name: str, value: object) -> None:
        """Set a field; ValueError for a value that no version of the API has, so a typo never tests nothing."""
        if name not in Behaviour.__dataclass_fields__:
            message = f"{name} is not a behaviour"
            raise ValueError(message)
        if name in _CHOICES and value not in _CHOICES[name]:
            message = f"{name}={value!r} is not one of {', '.join(_CHOICES[name])}"
            raise ValueError(message)
        super().__setattr__(name, value)


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one list request.

    Attributes:
        kind: "status" (value is the status), "rate_limit" (429), "reset" (the connection is reset), "cut" (the
            body stops half way), "html" (200 with a web page), "body" (200 with value as the body).
        value: The status, or the body.
        body: The body of a "status", else an error body in JSON.
        retry_after: The Retry-After header of a "status" or "rate_limit", None for no such header.
    """

    kind: str
    value: int | bytes = 0
    body: bytes | None = None
    retry_after: str | None = None

    def __post_init__(self) -> None:
        """Refuse a kind that does not exist (ValueError)."""
        if self.kind not in {"status", "rate_limit", "reset", "cut", "html", "body"}:
            message = f"{self.kind!r} is not a fault"
            raise ValueError(message)


@dataclass
class Request:
    """One request the sandbox received.

    Its status is 0 until it is answered, and stays 0 if it was reset; `at` is when it came, by `time.monotonic`.
    """

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 0
    at: float = field(default_factory=time.monotonic)
