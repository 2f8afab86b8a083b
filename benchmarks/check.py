"""Counts what a run wrote and what it asked for, in a process of its own so that the measuring one stays small.

Linux counts the memory of the process that starts another towards the other's peak.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

import requests


def main() -> None:
    """Write what is in the output of a run, and which requests the sandbox has received since a number, as JSON."""
    path, api_url, before = sys.argv[1:]
    rows, ids, state = 0, set(), None
    with Path(path).open("rb") as lines:
        for line in lines:
            parsed = json.loads(line)
            if "id" not in parsed:  # a message of Singer or Airbyte, whose records have one more layer or two
                state = parsed["value"] if parsed["type"] == "STATE" and "value" in parsed else state
                if parsed["type"] != "RECORD":
                    continue
                parsed = parsed["record"].get("data", parsed["record"])
            rows += 1
            ids.add(int(parsed["id"], 16))
    parts = urlsplit(api_url)
    asked = requests.get(f"{parts.scheme}://{parts.netloc}/sandbox/requests", timeout=600).json()["data"]
    asked = asked[int(before) :]
    times = [request["at"] for request in asked]
    counts = {
        "rows": rows,
        "distinct": len(ids),
        "state": state,
        "requests": len(asked),
        "refused": sum(1 for request in asked if request["status"] == 429),  # noqa: PLR2004
        "span": max(times) - min(times) if times else 0.0,
    }
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main()
