"""The pages of the lists, as one version of the API (a Behaviour) sends them."""

from __future__ import annotations

from collections import Counter
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from sandbox.lists import is_keyless, key_of
from sandbox.made import made_id
from sandbox.render import rendered, set_or_absent
from sandbox.store import Record, View

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from sandbox.behaviour import Behaviour
    from sandbox.lists import ListEndpoint
    from sandbox.store import Collection
    from sandbox.wire import Request


class Pages:
    """Writes pages, and remembers how many it wrote of each list."""

    def __init__(self, collections: Mapping[str, Collection]) -> None:
        """Write pages of these lists, whose one lock the caller holds."""
        self._collections = collections
        self._random = Random(0)
        self._sent: Counter[Hashable] = Counter()
        self._made = count()

    def body(
        self,
        request: Request,
        endpoint: ListEndpoint,
        name: str,
        host: str,
        behaviour: Behaviour,
        only: Iterable[Record] | None = None,
    ) -> bytes:
        """The body of the answer; InvalidQueryError for a query that the API refuses.

        Args:
            name: The list, as in `collections`.
            host: The host in links to other pages.
            only: The records of the list that it is about, all if None.
        """
        query, collection = request.query, self._collections[name]
        asked = _positive(query.get("per_page"), endpoint.per_page)
        everything = not behaviour.paged or (
            behaviour.without_pagination and name not in behaviour.always_paged and endpoint.unpaged(query)
        )
        page = 1 if behaviour.ignore_page or everything else _positive(query.get("page"), 1)
        size = 0 if everything else self._size(request.path, page, asked, endpoint, behaviour)
        view = _view(collection, endpoint, query, behaviour, only)
        total = len(view)
        start, stop = (0, total) if everything else ((page - 1) * size, page * size)
        ids = view.ids(start, stop, self._random if behaviour.shuffle_ties else None)
        if behaviour.most_rows and not everything:
            ids = ids[: max(0, behaviour.most_rows - start)]
        records = self._written(ids, endpoint, name, query, behaviour)
        if behaviour.endless and not everything and collection.records:
            records += [self._invented(endpoint, name, behaviour) for _ in range(size - len(records))]
        body = b'{"data":[' + b",".join(records) + b"]"
        if not everything:
            numbers = {"total": total, "count": len(records), "per_page": size, "current_page": page}
            meta = _meta(numbers, asked, request, host, behaviour)
            body += b',"meta":' + msgspec.json.encode(meta) if meta is not None else b""
        return body + b"}"

    def _size(self, path: str, page: int, asked: int, endpoint: ListEndpoint, behaviour: Behaviour) -> int:
        key = (path, behaviour.sizes)
        before = self._sent[key]
        self._sent[key] += 1
        if fixed := endpoint.fixed_size(behaviour):
            return fixed
        if asked == endpoint.per_page:  # the cap is on what can be asked for: what some lists send by default is more
            return asked
        size: int = behaviour.kind("sizes")(asked, page, before, self._random)
        return min(size, behaviour.per_page_cap) if behaviour.per_page_cap else size

    def _written(
        self, ids: list[str], endpoint: ListEndpoint, name: str, query: Mapping[str, str], behaviour: Behaviour
    ) -> list[bytes]:
        """The records as they are sent, with the related data that is asked for."""
        collection = self._collections[name]
        parts = (query.get("with") or "").split(",")
        related = [part for part in parts if part in endpoint.related]
        if not related:
            return collection.encoded(
                ids,
                (endpoint.lacks(behaviour), behaviour.key),
                lambda record: _encoded(record, rendered(record, behaviour, endpoint.shape), endpoint, name, behaviour),
            )
        made = []
        for record in [collection.records[record_id] for record_id in ids]:
            sent = endpoint.with_related(record, related, self._collections, behaviour)
            made.append(_encoded(record, sent, endpoint, name, behaviour))
        return made

    def _invented(self, endpoint: ListEndpoint, name: str, behaviour: Behaviour) -> bytes:
        """A row that nobody has seen before, much like the first one; its key is text in any list."""
        like = next(iter(self._collections[name].records.values()))
        key = made_id("without end", next(self._made))
        record = Record(key, {**like.sent, key_of(name): key}, like.hidden)
        return _encoded(record, rendered(record, behaviour, endpoint.shape), endpoint, name, behaviour)


def _meta(
    numbers: dict[str, int], asked: int, request: Request, host: str, behaviour: Behaviour
) -> dict[str, Any] | None:
    """The meta of a page with these numbers, None for none."""
    total, page, size = numbers["total"], numbers["current_page"], numbers["per_page"]
    numbers = {**numbers, "per_page": size if behaviour.reported_per_page else asked}
    off, pages_of = behaviour.kind("total"), behaviour.kind("total_pages")
    if off is None:
        del numbers["total"]
    else:
        numbers["total"] = max(0, total + off)
    if pages_of is not None:
        numbers["total_pages"] = max(1, -(-total // (pages_of or size)))
    pagination: dict[str, Any] = dict(numbers)
    if behaviour.numbers_as_strings:
        pagination = {key: str(number) for key, number in numbers.items()}
    if page * size < total or behaviour.endless:
        query = urlencode({**request.query, "page": page + 1})
        pagination["links"] = {"next": f"http://{behaviour.links_host or host}{request.path}?{query}"}
    else:
        set_or_absent(pagination, "links", behaviour.kind("links"))
    meta: dict[str, Any] | None = behaviour.kind("meta")(pagination)
    return meta


def _view(
    collection: Collection,
    endpoint: ListEndpoint,
    query: Mapping[str, str],
    behaviour: Behaviour,
    only: Iterable[Record] | None,
) -> View:
    key, matches = endpoint.select(query, behaviour)
    order, sort_key = endpoint.sorted_by(query, behaviour)
    if only is not None:
        return View(only, matches, sort_key)
    return collection.view((*key, order), matches, sort_key)


def _encoded(record: Record, sent: dict[str, Any], endpoint: ListEndpoint, name: str, behaviour: Behaviour) -> bytes:
    """A record with all that this version of the API does to it last."""
    if lacks := endpoint.lacks(behaviour):
        sent = {field: value for field, value in sent.items() if field not in lacks}
    if is_keyless(record, behaviour):
        sent = {**sent, key_of(name): None}
    return msgspec.json.encode(sent)


def _positive(value: str | None, default: int) -> int:
    return int(value) if value and value.isascii() and value.isdigit() and int(value) > 0 else default
