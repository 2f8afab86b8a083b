"""The loop everyone writes first: requests, json, and no thought of what can go wrong."""

from __future__ import annotations

import json
import sys

import requests

PAGE_SIZE = 100


def main() -> None:
    """Read all pages in turn."""
    api_url, org_id, token = sys.argv[1:]
    session = requests.Session()
    session.headers.update({"Authorization": f"Bearer {token}", "X-Tallyfy-Client": "APIClient"})
    page = pages = 1
    while page <= pages:
        response = session.get(
            f"{api_url}/organizations/{org_id}/runs", params={"page": page, "per_page": PAGE_SIZE}, timeout=60
        )
        response.raise_for_status()
        body = response.json()
        for record in body["data"]:
            sys.stdout.write(json.dumps(record) + "\n")
        pages = body["meta"]["pagination"]["total_pages"]
        page += 1


if __name__ == "__main__":
    main()
