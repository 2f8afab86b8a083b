"""The least a singer-sdk tap can be; its start-up is what the framework itself costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence

    from singer_sdk import Stream


class BareStream(RESTStream[Any]):
    """A stream of one column."""

    name = "runs"
    path = "/runs"
    url_base = "http://127.0.0.1"
    schema = th.PropertiesList(th.Property("id", th.StringType)).to_dict()


class BareTap(Tap):
    """A tap of one stream."""

    name = "bare-tap"
    config_jsonschema = th.PropertiesList(th.Property("access_token", th.StringType, secret=True)).to_dict()

    @override
    def discover_streams(self) -> Sequence[Stream]:
        return [BareStream(self)]


if __name__ == "__main__":
    BareTap.cli()
