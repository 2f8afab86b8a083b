"""A declarative source of Airbyte's CDK: what its connector builder makes, run by the CDK's own entry point."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from airbyte_cdk.entrypoint import launch  # type: ignore[import-not-found, unused-ignore] # in an environment of its own
from airbyte_cdk.sources.declarative.concurrent_declarative_source import (  # type: ignore[import-not-found, unused-ignore]
    ConcurrentDeclarativeSource,
)

PAGE_SIZE = 100
SCHEMA = {"type": "object", "additionalProperties": True, "properties": {"id": {"type": "string"}}}


def manifest(api_url: str, org_id: str) -> dict[str, Any]:
    """Return the source's manifest."""
    stream = {
        "type": "DeclarativeStream",
        "name": "runs",
        "primary_key": "id",
        "schema_loader": {"type": "InlineSchemaLoader", "schema": SCHEMA},
        "retriever": {
            "type": "SimpleRetriever",
            "requester": {
                "type": "HttpRequester",
                "url_base": api_url,
                "path": f"/organizations/{org_id}/runs",
                "http_method": "GET",
                "request_headers": {"X-Tallyfy-Client": "APIClient"},
                "authenticator": {"type": "BearerAuthenticator", "api_token": "{{ config['access_token'] }}"},
            },
            "record_selector": {
                "type": "RecordSelector",
                "extractor": {"type": "DpathExtractor", "field_path": ["data"]},
            },
            "paginator": {
                "type": "DefaultPaginator",
                "pagination_strategy": {"type": "PageIncrement", "page_size": PAGE_SIZE, "start_from_page": 1},
                "page_token_option": {
                    "type": "RequestOption",
                    "field_name": "page",
                    "inject_into": "request_parameter",
                },
                "page_size_option": {
                    "type": "RequestOption",
                    "field_name": "per_page",
                    "inject_into": "request_parameter",
                },
            },
        },
    }
    return {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["runs"]},
        "streams": [stream],
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
    }


def main() -> None:
    """Read all pages in turn."""
    api_url, org_id, token = sys.argv[1:]
    config = {"access_token": token}
    catalog = {
        "streams": [
            {
                "stream": {"name": "runs", "json_schema": SCHEMA, "supported_sync_modes": ["full_refresh"]},
                "sync_mode": "full_refresh",
                "destination_sync_mode": "overwrite",
            }
        ]
    }
    with tempfile.TemporaryDirectory() as folder:
        files = {"config": config, "catalog": catalog}
        for name, content in files.items():
            (Path(folder) / name).write_text(json.dumps(content), encoding="utf-8")
        source = ConcurrentDeclarativeSource(
            catalog=None, config=config, state=None, source_config=manifest(api_url, org_id)
        )
        launch(source, ["read", *(part for name in files for part in (f"--{name}", f"{folder}/{name}"))])


if __name__ == "__main__":
    main()
