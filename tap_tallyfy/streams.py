"""The streams, one class each."""

from __future__ import annotations

from tap_tallyfy.list_stream import ListStream


class RunsStream(ListStream):
    """Processes (`runs` in the API), launched from templates."""

    name = "runs"
    path = "/organizations/{org_id}/runs"


STREAMS: tuple[type[ListStream], ...] = (RunsStream,)
