"""Odd rows in every list at once: each right row arrives, and every record fits its schema."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from jsonschema import Draft202012Validator

from tests.lists import catalog
from tests.served import served
from tests.tap import run_command

if TYPE_CHECKING:
    from tests.lists import Row
    from tests.served import Exchange

NAMES = ("runs", "tasks", "checklists", "users", "groups", "tags", "guests", "folders", "activity-feeds")
STAMPS = {"created_at": "2026-01-01T10:00:00.000Z", "last_updated": "2026-01-02T10:00:00.000Z"}
#: Rows that no list should hold.
NO_KEYS: list[Any] = [None, "", [], {}, {"a": 1}, True, 1.5]
NO_ROWS: list[Any] = [None, 5, "x", [], [1], {}, *({"id": key} for key in NO_KEYS)]
#: Values that no field should have.
ODD: list[Any] = [
    *("", 0, -1, 1.5, True, [], {}, None, 10**400, "9" * 5000, 1e308, "\ud83d", "2026-02-30T00:00:00Z"),
    *([1, "2", None, {"id": 3}, [4]], {"0": {"id": "p"}, "2": {"id": "q"}}, {"a\0": {"\udc00": 1}}, [[[]]], [None]),
    *({"data": {"data": []}}, {"data": None}, [{"id": None}], {"date": "2026-01-01", "timezone": "UTC"}),
]


def rows_of(name: str, random: Random) -> list[Any]:
    """Thirty rows with odd values, ten right ones, and some that are none, in any order."""
    key, columns = ("email" if name == "guests" else "id"), columns_of(name)
    rows: list[Any] = []
    for number in range(40):
        row: Row = {**STAMPS, key: number + 1 if name in {"users", "activity-feeds"} else f"{name}-{number}"}
        row |= {column: random.choice(ODD) for column in random.sample(columns, min(8, len(columns))) if number > 9}
        rows.append(row)
        nested = [{"id": f"{name}-{number}-{each}", **STAMPS} for each in range(2)]
        odd = [*nested, *random.sample(NO_ROWS, 3)]
        if name == "checklists":
            row["steps"] = as_php(number, [{**each, "captures": as_php(number + 1, odd)} for each in nested] + odd)
            row["stages"] = as_php(number, odd)
        elif name == "tasks":
            row |= {"threads": as_php(number, odd), "taskdata": {"f": random.choice(ODD), "": 1, "\0": {}}}
        elif name == "runs":
            row |= {"tags": as_php(number, [1, "a", *odd]), "prerun": {"f": random.choice(ODD), "": 1}}
        elif name == "folders":
            row["children"] = as_php(number, odd)
    rows += ({key: each["id"]} if isinstance(each, dict) and "id" in each else each for each in NO_ROWS)
    random.shuffle(rows)
    return rows


def as_php(number: int, items: list[Any]) -> Any:
    """A list, or how PHP writes one that has gaps."""
    return items if number % 2 else {str(2 * place): item for place, item in enumerate(items)}


def columns_of(name: str) -> list[str]:
    (entry,) = [each for each in catalog()["streams"] if each["tap_stream_id"] == name.replace("-feeds", "_feed")]
    return [column for column in entry["schema"]["properties"] if column not in {"org_id", "id", "email", "_extra"}]


def test_no_odd_row_costs_another() -> None:
    random = Random(1)
    lists = {name: rows_of(name, random) for name in NAMES}

    def answer(exchange: Exchange) -> None:
        url = urlsplit(exchange.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        rows: Any = {"id": "acme", "name": random.choice(ODD)}
        if (name := url.path.rsplit("/", 1)[-1]) in lists:
            special = "archived" in query or "status" in query
            rows = lists[name] if not special and query.get("page", "1") == "1" else []
        exchange.reply(200, json.dumps({"data": rows}).encode())

    with served(answer) as server, tempfile.TemporaryDirectory() as folder:
        account = {"api_url": server.url, "org_id": "acme", "access_token": "a-token-of-somebody"}
        given: Row = {"config": {**account, "full_task_sync_hours": 0}, "catalog": catalog()}
        for option, content in given.items():
            Path(folder, option).write_text(json.dumps(content), encoding="utf-8")
        result = run_command(*(part for name in given for part in (f"--{name}", f"{folder}/{name}")))
    assert result.code == 0, result.stderr
    assert "Traceback" not in result.stderr
    warnings = [line.split(" | ", 1)[1] for line in result.stderr.splitlines() if "| WARNING" in line]
    assert len(warnings) == len(set(warnings)) > len(NAMES), "no line for each odd row"
    assert "ACTIVATE_VERSION" not in {message["type"] for message in result.messages}
    schemas = {message["stream"]: message["schema"] for message in result.schemas}
    found: dict[str, list[Row]] = {}
    for message in result.messages:
        if message["type"] == "RECORD":
            found.setdefault(message["stream"], []).append(message["record"])
    for stream, records in found.items():
        validator = Draft202012Validator(schemas[stream])
        assert [error.message for record in records for error in validator.iter_errors(record)] == []
        assert {frozenset(record) for record in records} == {frozenset(schemas[stream]["properties"])}
    for name in NAMES:
        key = "email" if name == "guests" else "id"
        right = {row[key] for row in lists[name] if isinstance(row, dict) and "created_at" in row}
        assert right <= {record[key] for record in found[name.replace("-feeds", "_feed")]}, name
    for stream in ("steps", "form_fields", "stages", "comments"):
        assert len({record["id"] for record in found[stream]}) >= 80, stream
    assert {"kickoff_answers", "task_answers", "run_tags", "organization"} <= found.keys()
