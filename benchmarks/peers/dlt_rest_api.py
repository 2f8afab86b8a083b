"""The REST API source of dlt; its resource is iterated and written as JSON, without dlt's normalising and loading."""

from __future__ import annotations

import sys

from dlt.common.json import json  # type: ignore[import-not-found, unused-ignore] # in an environment of its own
from dlt.sources.rest_api import rest_api_resources  # type: ignore[import-not-found, unused-ignore]

PAGE_SIZE = 100


def main() -> None:
    """Read all pages in turn."""
    api_url, org_id, token = sys.argv[1:]
    (runs,) = rest_api_resources(
        {
            "client": {
                "base_url": f"{api_url}/",
                "auth": {"type": "bearer", "token": token},
                "headers": {"X-Tallyfy-Client": "APIClient"},
                "paginator": {"type": "page_number", "base_page": 1, "total_path": "meta.pagination.total_pages"},
            },
            "resources": [
                {
                    "name": "runs",
                    "primary_key": "id",
                    "endpoint": {
                        "path": f"organizations/{org_id}/runs",
                        "params": {"per_page": PAGE_SIZE},
                        "data_selector": "data",
                    },
                }
            ],
        }
    )
    for record in runs:
        sys.stdout.buffer.write(json.dumpb(record) + b"\n")


if __name__ == "__main__":
    main()
