"""A further endpoint costs its description in the contract and a class of a few lines; here one is added to a copy."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from sandbox import Sandbox
from sandbox.lists import LISTS, ListEndpoint
from sandbox.store import Collection, Record
from tests.pages import DOCS, blocks
from tests.tap import ROOT, TAP, Result, run_command, run_tap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = "/organizations/{org_id}/{name}"

STREAM = '''

class WidgetsStream(ListStream):
    """Widgets, which are made up."""

    name = "widgets"
    contract_key = "/organizations/{org_id}/widgets"
    replication_key = "last_updated"


class GadgetsStream(ListStream):
    """Gadgets, which do not say when they changed."""

    name = "gadgets"
    contract_key = "/organizations/{org_id}/gadgets"


STREAMS = (RunsStream, WidgetsStream, GadgetsStream)
'''

WIDGET: dict[str, Any] = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string", "description": "ID of the widget."},
        "color": {"type": ["string", "null"], "enum": ["red", "green", None], "description": "Color of the widget."},
        "weight": {"type": ["integer", "null"], "description": "Weight in grams."},
        "last_updated": {"type": ["string", "null"], "format": "date-time", "description": "Time of the last change."},
        "parts": {"type": ["array", "null"], "items": {"type": "object"}, "description": "What it is made of."},
    },
}


def describe(document: dict[str, Any]) -> None:
    """Add the endpoint to a contract, from the parts that its other lists are described with."""
    runs = document["paths"]["/organizations/{org_id}/runs"]["get"]
    shared = [parameter for parameter in runs["parameters"] if "$ref" in parameter or parameter["name"] == "sort"]
    text = {"type": "array", "items": {"type": "string"}}
    related = {"type": "array", "items": {"type": "string", "enum": ["parts"]}}
    own = [
        {"name": name, "in": "query", "description": name, "style": "form", "explode": False, "schema": schema}
        for name, schema in (("colors", text), ("with", related))
    ]
    undated = {name: property_ for name, property_ in WIDGET["properties"].items() if name != "last_updated"}
    for name, schema in (("widgets", WIDGET), ("gadgets", {**WIDGET, "properties": undated})):
        page = {
            "type": "object",
            "properties": {
                "data": {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}},
                "meta": {"$ref": "#/components/schemas/Meta"},
            },
        }
        answer = {"description": "Widgets.", "content": {"application/json": {"schema": page}}}
        operation = {"get": {"parameters": [*shared, *own], "responses": {"200": answer}}}
        document["paths"][PATH.replace("{name}", name)] = operation
        document["components"]["schemas"][name] = schema


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the tap with the endpoint added."""
    for name in ("tap_tallyfy", "schemas"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    contract = tmp_path / "schemas" / "openapi.json"
    document = json.loads(contract.read_text(encoding="utf-8"))
    describe(document)
    contract.write_text(json.dumps(document), encoding="utf-8")
    with (tmp_path / "tap_tallyfy" / "streams.py").open("a") as streams:
        streams.write(STREAM)
    return tmp_path


def widget(number: int) -> Record:
    changed = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=number)
    identity = f"{number:032x}"
    sent = {
        "id": identity,
        "color": ("red", "green", "blue")[number % 3],
        "weight": str(number),  # as text, which the schema does not want
        "last_updated": f"{changed:%Y-%m-%dT%H:%M:%S}+00:00",
        "serial": number,  # which the contract does not know
    }
    return Record(identity, sent, {})


def gadget(number: int) -> Record:
    made = widget(number)
    return Record(made.id, {name: value for name, value in made.sent.items() if name != "last_updated"}, {})


@pytest.fixture
def company(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """An account that has widgets too."""
    endpoint = ListEndpoint(
        filters={"colors": lambda value: lambda record: record.sent["color"] in value.split(",")},
        related={"parts": lambda record, *_: [{"of": record.id}]},
    )
    monkeypatch.setitem(LISTS, "widgets", endpoint)
    monkeypatch.setitem(LISTS, "gadgets", endpoint)
    with Sandbox(runs=30, seed=3) as running:
        running.set_clock(running.now())
        running.collections["widgets"] = Collection(widget(number) for number in range(250))
        running.collections["gadgets"] = Collection(gadget(number) for number in range(70))
        yield running


def at(checkout: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(checkout)}


def of(result: Result, stream: str) -> list[dict[str, Any]]:
    return [
        message["record"] for message in result.messages if message["type"] == "RECORD" and message["stream"] == stream
    ]


def test_an_added_endpoint_is_read(company: Sandbox, checkout: Path) -> None:
    result = run_tap(company, command=TAP, env=at(checkout))
    assert result.code == 0, result.stderr
    assert {record["id"] for record in of(result, "runs")} == company.runs.keys()
    widgets = of(result, "widgets")
    assert sorted(record["id"] for record in widgets) == [f"{number:032x}" for number in range(250)]
    (schema,) = [message for message in result.schemas if message["stream"] == "widgets"]
    assert schema["schema"]["properties"].keys() == {"org_id", "id", "color", "weight", "last_updated", "_extra"}
    assert schema["key_properties"] == ["org_id", "id"]
    validator = Draft202012Validator(schema["schema"])
    for record in widgets:
        validator.validate(record)
        number = int(record["id"], 16)
        assert record["weight"] == number
        assert record["last_updated"].endswith(":00.000Z")
        assert record["_extra"] == {"serial": number}
    bookmarks = result.states[-1]["bookmarks"]
    assert bookmarks["widgets"]["replication_key_value"] == max(record["last_updated"] for record in widgets)
    # Without a parameter for archived records in the contract, none is sent.
    asked = [request for request in result.lists if request.path.endswith("/widgets")]
    assert asked
    assert not [request for request in asked if request.query.keys() & {"archived", "status"}]


def test_an_added_endpoint_goes_on_from_its_bookmark(company: Sandbox, checkout: Path) -> None:
    first = run_tap(company, command=TAP, env=at(checkout))
    company.collections["widgets"].put(widget(1000))
    second = run_tap(company, command=TAP, env=at(checkout), state=first.states[-1])
    assert second.code == 0, second.stderr
    emitted = {record["id"] for record in of(second, "widgets")}
    assert widget(1000).id in emitted
    assert len(emitted) <= 3  # those of the last minute before the bookmark are read again
    assert len(of(second, "gadgets")) == 70


def test_an_added_endpoint_without_a_date_of_change_has_no_bookmark(company: Sandbox, checkout: Path) -> None:
    result = run_tap(company, command=TAP, env=at(checkout))
    assert result.code == 0, result.stderr
    (schema,) = [message for message in result.schemas if message["stream"] == "gadgets"]
    assert schema["schema"]["properties"].keys() == {"org_id", "id", "color", "weight", "_extra"}
    assert not schema.get("bookmark_properties")
    gadgets = of(result, "gadgets")
    assert len(gadgets) == 70
    assert not [record for record in gadgets if "last_updated" in record]
    assert not result.states[-1]["bookmarks"]["gadgets"].get("replication_key_value")


def test_an_added_endpoint_has_settings_of_its_own(company: Sandbox, checkout: Path) -> None:
    described = run_command("--about", "--format=json", env=at(checkout))
    settings = json.loads("\n".join(described.lines))["settings"]["properties"]
    assert settings["widgets"]["properties"].keys() == {"colors", "with", "sort"}
    assert "status" in settings["runs"]["properties"]

    result = run_tap(company, command=TAP, env=at(checkout), widgets={"colors": ["red", "blue"], "with": ["parts"]})
    assert result.code == 0, result.stderr
    asked = [request for request in result.lists if request.path.endswith("/widgets")]
    assert {(request.query["colors"], request.query["with"]) for request in asked} == {("red,blue", "parts")}
    widgets = of(result, "widgets")
    assert {record["id"] for record in widgets} == {f"{number:032x}" for number in range(250) if number % 3 != 1}
    assert all(record["parts"] == [{"of": record["id"]}] for record in widgets)
    assert not [request for request in result.lists if request.path.endswith("/runs") and "colors" in request.query]

    variable = run_command(
        "--config",
        "ENV",
        sandbox=company,
        env={
            **at(checkout),
            "TAP_TALLYFY_API_URL": company.api_url,
            "TAP_TALLYFY_ORG_ID": company.org_id,
            "TAP_TALLYFY_ACCESS_TOKEN": company.access_token,
            "TAP_TALLYFY_WIDGETS": '{"colors": ["green"]}',
        },
    )
    assert variable.code == 0, variable.stderr
    assert {record["color"] for record in of(variable, "widgets")} == {"green"}

    refused = run_tap(company, command=TAP, env=at(checkout), widgets={"colour": "red"})
    assert refused.code == 78
    assert refused.requests == []
    assert "'colour'" in refused.errors[0]


def test_the_recipe_in_the_documentation_works(
    company: Sandbox, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = blocks("python", DOCS["developing"])
    with (checkout / "tap_tallyfy" / "streams.py").open("a") as streams:
        streams.write(f"\n\n{code}")
    contract = checkout / "schemas" / "openapi.json"
    document = json.loads(contract.read_text(encoding="utf-8"))
    document["paths"][PATH.replace("{name}", "text-templates")] = document["paths"][PATH.replace("{name}", "gadgets")]
    contract.write_text(json.dumps(document), encoding="utf-8")
    monkeypatch.setitem(LISTS, "text-templates", LISTS["gadgets"])
    company.collections["text-templates"] = Collection(gadget(number) for number in range(120))

    result = run_tap(company, command=TAP, env=at(checkout), snippets={"colors": ["red", "green"]})
    assert result.code == 0, result.stderr
    snippets = of(result, "snippets")
    assert {record["id"] for record in snippets} == {f"{number:032x}" for number in range(120) if number % 3 != 2}
    assert len(of(result, "runs")) == len(company.runs)
