"""The vendor's own client, `tallyfy`: its models of all pages, written as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from tallyfy import TallyfySDK  # type: ignore[import-not-found, unused-ignore] # in an environment of its own

PAGE_SIZE = 100


def main() -> None:
    """Read all pages in turn."""
    api_url, org_id, token = sys.argv[1:]
    client = TallyfySDK(api_key=token, base_url=api_url)
    # The client names itself TallyfySDK; the sandbox takes the one name the API's documentation gives.
    client.session.headers["X-Tallyfy-Client"] = "APIClient"
    page = pages = 1
    while page <= pages:
        runs = client.get_organization_runs(org_id, per_page=PAGE_SIZE, page=page)
        for run in runs.data:
            sys.stdout.write(json.dumps(asdict(run)) + "\n")
        pages = runs.meta.total_pages
        page += 1


if __name__ == "__main__":
    main()
