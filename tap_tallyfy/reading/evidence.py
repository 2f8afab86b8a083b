"""Whether the API sorts by the last change at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

from tap_tallyfy.dates import to_second
from tap_tallyfy.reading.page import Record


# LIVE: a live account that is asked for `sort=-last_updated` shows whether the order is honoured; then this file goes.
class SortEvidence:
    """Whether the API really sorts by the last change when it is asked to.

    Pages that happen to fall by the last change prove nothing on a server that sorts by creation. So two things are
    asked for: an order that creation cannot explain, and a list that begins at its other end when the opposite order is
    asked for. What an earlier sync has shown counts for one of them.
    """

    def __init__(self, *, proven: bool = False, of_creation: bool = False) -> None:
        """Begin a sync.

        Args:
            proven: Whether an earlier sync has shown both.
            of_creation: Whether records never change, so that the order of creation is the one that is wanted.
        """
        self.proven = proven  #: Whether this sync or an earlier one has shown both.
        self._newest_first_excluded = of_creation
        self._oldest_first_excluded = of_creation

    def add(self, records: Iterable[Record]) -> None:
        """Take in the records of a page, in the order received."""
        created = [to_second(record["created_at"]) for record in records if record.get("created_at")]
        self._newest_first_excluded |= any(later > earlier for earlier, later in pairwise(created))
        self._oldest_first_excluded |= any(later < earlier for earlier, later in pairwise(created))

    def suffices(self, turns: Callable[[], bool]) -> bool:
        """Return whether the order can be relied on.

        Args:
            turns: Asks for the opposite order and returns whether the list begins at its other end; called only where
                the answer matters.
        """
        excluded = self._newest_first_excluded and self._oldest_first_excluded
        if not (self.proven and excluded):
            self.proven = (self.proven or excluded) and turns()
        return self.proven
