"""The streams, one class each."""

from __future__ import annotations

from tap_tallyfy.paginator import Order
from tap_tallyfy.source import ARCHIVED
from tap_tallyfy.stream import ListStream


class RunsStream(ListStream):
    """Processes (`runs` in the API), launched from templates."""

    name = "runs"
    path = "/organizations/{org_id}/runs"
    replication_key = "last_updated"
    archived = ARCHIVED
    # The API knows one of the two names at most.
    by_change = (Order("-last_updated", "last_updated"), Order("-updated_at", "last_updated"))


STREAMS: tuple[type[ListStream], ...] = (RunsStream,)
