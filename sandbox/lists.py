"""The lists of the API: how each filters and sorts. A further list is one more entry of LISTS."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sandbox import filters, render
from sandbox.filters import Filter, InvalidQueryError, Predicate, is_archived, is_completed, is_true
from sandbox.order import Order, both_ways, sort_key
from sandbox.related import (
    CHECKLIST_RELATED,
    FOLDER_RELATED,
    GROUP_RELATED,
    GUEST_RELATED,
    RUN_RELATED,
    TAG_RELATED,
    TASK_RELATED,
    USER_RELATED,
    Collections,
    Related,
)
from sandbox.render import redated, rendered

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sandbox.behaviour import Behaviour
    from sandbox.store import Record

Scope = Callable[[Mapping[str, str], "Behaviour"], tuple["Hashable", Predicate]]


def _honoured(asked: str, words: Mapping[str, Order], default: Order, behaviour: Behaviour) -> Order:
    """The order for a value of `sort`, after this version of the API did what it does with one it does not know."""
    if asked and asked not in words and (status := behaviour.kind("unknown_sort")):
        raise InvalidQueryError("sort", status)
    return words.get(asked, default)


def run_order(asked: str, behaviour: Behaviour) -> Order:
    """The order of processes."""
    return _honoured(asked, behaviour.kind("sort") or {}, behaviour.kind("default_order"), behaviour)


def task_order(asked: str, behaviour: Behaviour) -> Order:
    """The order of tasks."""
    field, descends = behaviour.kind("default_order")
    default = ("title" if field == "name" else field, descends)
    return _honoured(asked, behaviour.kind("task_sort"), default, behaviour)


def by_words(words: Mapping[str, Order], default: Order) -> Callable[[str, Behaviour], Order]:
    """The order of a list that knows these words."""
    return lambda asked, behaviour: _honoured(
        asked, {} if behaviour.kind("sort") is None else words, default, behaviour
    )


def by_any_field(default: Order) -> Callable[[str, Behaviour], Order]:
    """The order of a list that can be sorted by any field."""

    def order(asked: str, behaviour: Behaviour) -> Order:
        known = {} if behaviour.kind("sort") is None else {asked: (asked.removeprefix("-"), asked.startswith("-"))}
        return _honoured(asked, known, default, behaviour) if asked else default

    return order


def _everything(*_: Any) -> tuple[Hashable, Predicate]:
    return None, lambda _: True


@dataclass(frozen=True)
class ListEndpoint:
    """How one list works.

    Attributes:
        filters: Makes a predicate from the value of each parameter.
        related: What `with` can ask for.
        scope: A key and a predicate for what the list holds at all, by its parameters.
        order: The order, by the value of `sort` or `sort_by`.
        pinned_first: Pinned records come first in any order.
        per_page: How many records a page has if nothing else is asked for.
        shape: Makes the record as it is sent from the record as it is held.
        unpaged: Whether a query asks for everything at once.
        inline: What `with` can ask for that is a text or a number, so never wrapped.
        lacks: The fields that its records are sent without.
        fixed_size: The size of every page, 0 for what is asked for.
    """

    filters: Mapping[str, Filter]
    related: Mapping[str, Related] = field(default_factory=dict)
    scope: Scope = _everything
    order: Callable[[str, Behaviour], Order] = run_order
    pinned_first: bool = False
    per_page: int = 10
    shape: render.Shape | None = None
    unpaged: Callable[[Mapping[str, str]], bool] = lambda query: is_true(query.get("without_pagination"))
    inline: frozenset[str] = frozenset()
    lacks: Callable[[Behaviour], frozenset[str]] = lambda _: frozenset()
    fixed_size: Callable[[Behaviour], int] = lambda behaviour: behaviour.per_page_fixed

    def select(self, query: Mapping[str, str], behaviour: Behaviour) -> tuple[tuple[object, ...], Predicate]:
        """A key and the predicate for a query; InvalidQueryError for a value that the API refuses."""
        for name in behaviour.refused.intersection(query):
            raise InvalidQueryError(name, behaviour.refused_status)
        asked = tuple(sorted((name, value) for name, value in query.items() if name in self.filters and value))
        predicates = [self.filters[name](value) for name, value in asked]
        key, held = self.scope(query, behaviour)
        return (asked, key), _all(held, *predicates)

    def sorted_by(self, query: Mapping[str, str], behaviour: Behaviour) -> tuple[Order, Callable[[Record], Any]]:
        """The order for a query, and the key that sorts by it."""
        order = self.order(query.get("sort") or query.get("sort_by") or "", behaviour)
        key = sort_key(order[0], descending=order[1])
        return order, (lambda record: (not record.sent["is_pinned"], key(record))) if self.pinned_first else key

    def with_related(
        self, record: Record, names: Iterable[str], collections: Collections, behaviour: Behaviour
    ) -> dict[str, Any]:
        """A record as this version of the API sends it, with related data."""
        sent = dict(rendered(record, behaviour, self.shape))
        for name in names:
            value = redated(self.related[name](record, collections, behaviour), behaviour)
            if name not in self.inline:
                value = [] if value is None and behaviour.empty_object_as_list else value
                value = {"data": value} if behaviour.wrapped else value
            sent[name] = value
        return sent


def key_of(name: str) -> str:
    """The field that tells the records of a list apart."""
    return "email" if name == "guests" else "id"


def _one_in(every: int, record: Record) -> bool:
    return bool(every) and zlib.crc32(record.id.encode()) % every == 0


def is_keyless(record: Record, behaviour: Behaviour) -> bool:
    """Whether this version of the API sends the record without its key."""
    return _one_in(behaviour.keyless, record)


def is_unlisted(record: Record, behaviour: Behaviour) -> bool:
    """Whether this version of the API has a process in no list."""
    return _one_in(behaviour.unlisted_runs, record)


def _process_scope(query: Mapping[str, str], behaviour: Behaviour) -> tuple[Hashable, Predicate]:
    ways = behaviour.kind("archived")
    archived = ("status" in ways and query.get("status") == "archived") or (
        "param" in ways and query.get("archived") in {"only", "true"}
    )
    key = (archived, behaviour.unlisted_runs)
    return key, lambda run: is_archived(run) is archived and not is_unlisted(run, behaviour)


def _archivable(query: Mapping[str, str], *_: Any) -> tuple[Hashable, Predicate]:
    """Tasks and templates: `archived=only` for the archived ones alone, anything else that is true for both."""
    asked = query.get("archived")
    if asked == "only":
        return asked, is_archived
    if is_true(asked):
        return "both", lambda _: True
    return None, lambda record: not is_archived(record)


def _task_scope(query: Mapping[str, str], behaviour: Behaviour) -> tuple[Hashable, Predicate]:
    key, held = _archivable(query)
    status = query.get("status")
    if status in {"complete", "completed"} - behaviour.kind("completed_word"):
        raise InvalidQueryError("status")
    if not status and behaviour.hide_completed_tasks:
        key, held = (key, "open"), _all(held, lambda task: not is_completed(task))
    if query.get("is_oneoff"):
        wanted, fits = is_true(query["is_oneoff"]), behaviour.kind("is_oneoff")
        key, held = (key, behaviour.is_oneoff, wanted), _all(held, lambda task: fits(task.sent, wanted))
    return key, held


def _process_task_scope(query: Mapping[str, str], behaviour: Behaviour) -> tuple[Hashable, Predicate]:
    asked, shows = query.get("archived"), behaviour.kind("process_tasks_archived")
    hides = behaviour.kind("process_tasks_hide")
    return None, lambda task: shows(asked, is_archived(task)) and not hides(task.sent)


def _all(*predicates: Predicate) -> Predicate:
    return lambda record: all(holds(record) for holds in predicates)


def _tag_scope(query: Mapping[str, str], *_: Any) -> tuple[Hashable, Predicate]:
    if query.get("all") == "true":
        return "all", lambda _: True
    return "own", lambda tag: not str(tag.sent["title"]).startswith(("from:", "task:", "step:"))


def _folder_scope(query: Mapping[str, str], behaviour: Behaviour) -> tuple[Hashable, Predicate]:
    kind = "run" if query.get("folder_type") == "run" else "checklist"
    top_only = behaviour.kind("folders") and not query.get("parent_id")
    key = (kind, top_only)
    return key, lambda folder: folder.sent["folder_type"] == kind and not (top_only and folder.sent["parent_id"])


LISTS: dict[str, ListEndpoint] = {
    "runs": ListEndpoint(filters=filters.RUN_FILTERS, related=RUN_RELATED, scope=_process_scope),
    "tasks": ListEndpoint(
        filters=filters.TASK_FILTERS,
        related=TASK_RELATED,
        scope=_task_scope,
        order=task_order,
        shape=render.task,
        inline=frozenset({"summary", "threads_count"}),
    ),
    "checklists": ListEndpoint(
        filters=filters.CHECKLIST_FILTERS,
        related=CHECKLIST_RELATED,
        scope=_archivable,
        order=by_words(
            both_ways("created_at", "title", updated="last_updated", updated_at="last_updated", name="title"),
            ("last_updated", True),
        ),
        pinned_first=True,
    ),
    "users": ListEndpoint(
        filters=filters.USER_FILTERS,
        related=USER_RELATED,
        order=by_any_field(("id", False)),
        per_page=9999,
        shape=render.user,
    ),
    "guests": ListEndpoint(
        filters=filters.GUEST_FILTERS,
        related=GUEST_RELATED,
        order=by_any_field(("created_at", False)),
        per_page=999,
        shape=render.guest,
    ),
    "groups": ListEndpoint(
        filters=filters.GROUP_FILTERS,
        related=GROUP_RELATED,
        order=by_words(both_ways("name", "created_at", updated_at="last_updated"), ("created_at", False)),
        shape=render.group,
    ),
    "tags": ListEndpoint(
        filters=filters.TAG_FILTERS,
        related=TAG_RELATED,
        scope=_tag_scope,
        order=by_words(both_ways("title", "color"), ("title", False)),
    ),
    "folders": ListEndpoint(
        filters=filters.FOLDER_FILTERS,
        related=FOLDER_RELATED,
        scope=_folder_scope,
        order=by_words(both_ways("position", title="name", updated="created_at"), ("position", False)),
        unpaged=lambda query: query.get("pagination") == "false",
    ),
    "activity-feeds": ListEndpoint(
        filters=filters.FEED_FILTERS,
        order=by_words(both_ways("created_at", "id"), ("created_at", True)),
        per_page=20,
        shape=render.entry,
    ),
}

PROCESS_TASKS = replace(
    LISTS["tasks"],
    filters={"status": filters.TASK_FILTERS["status"]},
    scope=_process_task_scope,
    order=lambda asked, behaviour: _honoured(
        asked, both_ways("position", "deadline"), behaviour.kind("process_tasks_order"), behaviour
    ),
    lacks=lambda behaviour: behaviour.process_tasks_lack,
    fixed_size=lambda behaviour: behaviour.process_tasks_per_page or behaviour.per_page_fixed,
)
"""The tasks of one process, `runs/{run}/tasks`."""
