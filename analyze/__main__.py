"""Command line: `python -m analyze output/tallyfy.duckdb` writes output/tallyfy.html."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from analyze.account import AccountError, read
from analyze.page import page


def main() -> int:
    """Write the page; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m analyze", description="Write a page of what the views say.")
    parser.add_argument("database", type=Path, help="DuckDB file that dbt has worked in")
    parser.add_argument("--org-id", default=os.environ.get("TAP_TALLYFY_ORG_ID"), help="needed if it holds several")
    parser.add_argument("--output", type=Path, help="file to write (default: beside the database)")
    arguments = parser.parse_args()
    output = arguments.output or arguments.database.with_suffix(".html")
    try:
        account = read(arguments.database, arguments.org_id)
    except AccountError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command says what it misses
        return 1
    output.write_text(page(account), encoding="utf-8")
    print(output)  # noqa: T201 - the one line that a command like this is to say
    return 0


if __name__ == "__main__":
    sys.exit(main())
