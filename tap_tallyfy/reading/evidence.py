"""Whether the API sorts by the last change at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

from tap_tallyfy.dates import to_second
from tap_tallyfy.reading.page import Record


# LIVE: a live account that is asked for `sort=-last_updated` shows whether the order is honoured; then this file goes.
class SortEvidence:
    """Whether the API really sorts by the last change when it is asked to.

    Pages that happen to fall by the last change prove nothing on a server that sorts by creation. So the proof has two
    parts: an order that creation cannot explain, and a list that begins at its other end when the opposite order is
    asked for. The proof of an earlier sync counts for one of them.
    """

    def __init__(self, *, proven: bool = False, of_creation: bool = False) -> None:
        self.proven = proven  #: Whether this sync or an earlier one has shown both.
        # Records that never change are wanted in the order of creation.
        self._newest_first_excluded = of_creation
        self._oldest_first_excluded = of_creation

    def add(self, records: Iterable[Record]) -> None:
        """Take in the records of a page, in the order received."""
        created = [to_second(record["created_at"]) for record in records if record.get("created_at")]
        self._newest_first_excluded |= any(later > earlier for earlier, later in pairwise(created))
        self._oldest_first_excluded |= any(later < earlier for earlier, later in pairwise(created))

    def suffices(self, turns: Callable[[], bool]) -> bool:
        """Return whether the order can be relied on; `turns` judges the opposite one, and is asked where it matters."""
        excluded = self._newest_first_excluded and self._oldest_first_excluded
        if not (self.proven and excluded):
            self.proven = (self.proven or excluded) and turns()
        return self.proven
