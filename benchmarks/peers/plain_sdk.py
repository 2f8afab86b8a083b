"""A tap for the same list as one writes it with singer-sdk from its documentation: pages in turn, all defaults.

Only the schema is not a `StreamSchema`: singer-sdk 0.54 would make it anew for every record.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from singer_sdk import OpenAPISchema, RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.pagination import PageNumberPaginator
from singer_sdk.streams.rest import HTTPRequest
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence

    import requests
    from singer_sdk import Stream
    from singer_sdk.streams.rest import PageContext

PAGE_SIZE = 100
SCHEMAS = OpenAPISchema[str](Path(__file__).resolve().parents[2] / "schemas" / "openapi.json")


class Paginator(PageNumberPaginator):
    """Goes on while the API says that there are more pages."""

    @override
    def has_more(self, response: requests.Response) -> bool:
        pagination = response.json()["meta"]["pagination"]
        return bool(pagination["current_page"] < pagination["total_pages"])


class RunsStream(RESTStream[int]):
    """Processes."""

    name = "runs"
    path = "/organizations/{org_id}/runs"
    primary_keys = ("id",)
    replication_key = "last_updated"
    records_jsonpath = "$.data[*]"
    schema = SCHEMAS.get_schema("Run", key_properties=("id",))

    @property
    @override
    def url_base(self) -> str:
        return str(self.config["api_url"])

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {"Accept": "application/json", "X-Tallyfy-Client": "APIClient"}

    @property
    @override
    def authenticator(self) -> BearerTokenAuthenticator:
        return BearerTokenAuthenticator(token=self.config["access_token"])

    @override
    def get_new_paginator(self) -> Paginator:
        return Paginator(start_value=1)

    @override
    def get_http_request(self, *, page: PageContext[int]) -> HTTPRequest:
        params: dict[str, Any] = {"page": page.next_page_token, "per_page": PAGE_SIZE, **self.config["parameters"]}
        return HTTPRequest(url=self.get_url(page.stream_context), headers=self.http_headers, params=params)


class TasksStream(RunsStream):
    """Tasks: the API has no order by change for them, so all of them come each time."""

    name = "tasks"
    path = "/organizations/{org_id}/tasks"
    schema = SCHEMAS.get_schema("Task", key_properties=("id",))


class PlainTap(Tap):
    """The tap."""

    name = "plain-tap"
    config_jsonschema = th.PropertiesList(
        th.Property("access_token", th.StringType, required=True, secret=True),
        th.Property("org_id", th.StringType, required=True),
        th.Property("api_url", th.StringType, required=True),
        th.Property("list", th.StringType, default="runs"),
        th.Property("parameters", th.ObjectType(additional_properties=True), default={}),
    ).to_dict()

    @override
    def discover_streams(self) -> Sequence[Stream]:
        return [TasksStream(self) if self.config["list"] == "tasks" else RunsStream(self)]


if __name__ == "__main__":
    PlainTap.cli()
