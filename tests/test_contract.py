"""The contract is a valid OpenAPI document, the vendor's samples fit it, and secrets are marked in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tap_tallyfy.records.contract import CONTRACT, ORG_ID, table_schema
from tap_tallyfy.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "schemas" / "openapi.json").read_text(encoding="utf-8")
)
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
PATHS: dict[str, Any] = DOCUMENT["paths"]
ORGANIZATION = "/organizations/{org_id}"
RUNS = "/organizations/{org_id}/runs"

#: The schema of the records of each list.
RECORDS: dict[str, str] = {
    path: each["get"]["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["data"]["items"][
        "$ref"
    ].rsplit("/", 1)[-1]
    for path, each in PATHS.items()
    if path != ORGANIZATION
}
#: What other schemas describe is inside of records.
PARTS = ["Asset", "Comment", "FormField", "Step", "Watcher"]
#: Guests are told apart by their address: sources disagree on what their ID is.
KEYS = {name: "email" if name == "Guest" else "id" for name in (*RECORDS.values(), *PARTS)}
FIELDS = [
    (name, field, schema)
    for name in (*KEYS, "Organization", "TaskOwners", "Progress")
    for field, schema in SCHEMAS[name]["properties"].items()
]
DATES = {"created_on", "last_updated", "due_date", "deadline", "max_task_deadline"}

# The vendor's sample response, with its `{ ... }` filled in.
SAMPLE = """
{
  "data": [
    {
      "id": "run_id_abc",
      "increment_id": 5012,
      "checklist_id": "template_id_123",
      "checklist_title": "Customer Onboarding",
      "name": "Onboarding - ACME Corp",
      "summary": "",
      "status": "active",
      "progress": {"complete": 5, "total": 10, "percent": 50},
      "whole_progress": {"complete": 5, "total": 12, "percent": 41.67, "approved": 1, "rejected": 0},
      "started_by": 1001,
      "owner_id": 1001,
      "prerun": {"field_1": "ACME Corp", "field_2": {"id": 2, "text": "Large", "value": null}, "field_3": ["a", "b"]},
      "prerun_status": "complete",
      "starred": false,
      "created_at": "2025-01-15T10:00:00.000Z",
      "started_at": "2025-01-15T10:00:00.000Z",
      "last_updated": "2025-01-17T15:30:00.000Z",
      "archived_at": null,
      "completed_at": null,
      "due_date": "2025-02-15T10:00:00.000Z",
      "due_date_passed": false,
      "due_soon": false,
      "late_tasks": 0,
      "collaborators": [],
      "type": "procedure",
      "is_public": false,
      "users": [],
      "groups": [],
      "parent_id": null,
      "can_add_oot": true
    }
  ],
  "meta": {
    "pagination": {
      "total": 55,
      "count": 10,
      "per_page": 10,
      "current_page": 1,
      "total_pages": 6,
      "links": {
        "next": "https://go.tallyfy.com/api/organizations/{org_id}/runs?status=active&per_page=10&page=2"
      }
    }
  }
}
"""


#: The vendor's examples of other lists, shortened.
EXAMPLES = {
    "Task": """
{
  "id": "task_id_abc",
  "increment_id": 1205,
  "title": "Review Proposal",
  "run_id": "run_id_xyz",
  "step_id": "step_id_123",
  "status": "active",
  "task_type": "task",
  "position": 2,
  "is_oneoff_task": false,
  "owners": {"users": [{"id": 1001, "full_name": "Alice"}], "guests": [], "groups": []},
  "deadline": "2026-03-15T17:00:00Z",
  "created_at": "2026-03-01T09:00:00Z",
  "last_updated": "2026-03-01T09:30:00Z",
  "completed_at": null
}
""",
    "Checklist": """
{
  "id": "c15bf2be31c3a7fbded5d13fce7aaab9",
  "title": "Customer Onboarding Process",
  "type": "procedure",
  "status": "active",
  "steps_count": 8,
  "is_pinned": false,
  "created_at": "2025-01-10T10:00:00.000Z",
  "last_updated": "2025-05-15T14:30:00.000Z"
}
""",
}


#: What sources show in different ways.
VARIANTS: list[tuple[str, str, Any]] = [
    ("Run", "progress", 50),
    ("Run", "whole_progress", 42),
    ("Run", "next_task", {"id": "a"}),
    ("Run", "next_task", [{"id": "a"}]),
    ("Run", "next_task", []),
    ("Run", "groups", ["a", {"group_id": "b", "name": "Sales"}]),
    ("Run", "assets", [{"id": "a", "filename": "contract.pdf", "subject": {"id": "b", "type": "Run"}}]),
    (
        "Task",
        "owners",
        {"users": [1001], "guests": ["ann@example.com"], "groups": ["a"], "taskUrls": ["https://…"]},
    ),
    ("Task", "owners", {"users": [{"id": 1001, "full_name": "Alice"}], "guests": [], "groups": [7]}),
    ("Task", "roles", ["a"]),
    ("Task", "taskdata", {"a": "text", "b": {"id": 1}, "c": [["cell"]], "d": None}),
    (
        "Task",
        "form_fields",
        [{"id": "a", "field_value": value} for value in ("text", {"id": 1}, [{"id": 1}], None)],
    ),
    ("Task", "form_fields", [{"id": "a", "value": ["text"], "options": [{"id": 1, "text": "Yes"}], "new": 1}]),
    ("Task", "threads", [{"id": "a", "content": "<p>Done</p>", "label": "comment", "sent_to": [1001]}]),
    ("Checklist", "prerun", [{"id": "a", "field_type": "table", "columns": [{"id": 1, "label": "Price"}]}]),
    ("Checklist", "steps", [{"id": "a", "deadline": {"value": 2, "unit": "days"}, "captures": [{"id": "b"}]}]),
    ("Checklist", "member_watchers", [{"id": 1, "user_id": 1001}, {"id": "a", "user_id": "1001"}]),
    ("User", "is_active", True),
    ("User", "active", True),
    ("User", "updated_at", "2025-01-15T10:00:00Z"),
    ("User", "last_updated", "2025-01-15T10:00:00+00:00"),
    ("Group", "members", [1001, 1002]),
    ("Group", "members", ["1001", {"id": 1002}]),
    ("Run", "users", [1, "2", {"id": 3}]),
    ("Group", "updated_at", "2025-01-15T10:00:00.000000Z"),
    ("Tag", "statistics", {"active_template": 2, "active_process": 5}),
    ("Guest", "id", 7),
    ("Guest", "id", "code"),
    ("Guest", "details", {"status": "active", "associated_members": [1001]}),
    ("Folder", "parent", "a"),
    ("Folder", "parent", {"id": "a", "name": "Sales"}),
    ("Folder", "children", [{"id": "a", "children": [{"id": "b"}]}]),
    *(("Activity", field, value) for field in ("verb", "source", "type", "text") for value in ("a", ["a", "b"])),
    *(("Activity", "actor_id", value) for value in (1001, [1001])),
    *(("Activity", "actor", value) for value in ({"email": "ann@example.com"}, [{"email": "ann@example.com"}])),
    *(("Activity", "old_value", value) for value in ("a", 1, ["a", None], {"id": 1})),
    *(("Activity", "references", value) for value in (["a"], [{"id": 1}], {"id": 1})),
]
WRONG: list[tuple[str, str, Any]] = [
    ("Run", "id", None),
    ("Run", "late_tasks", "0"),
    ("Run", "created_at", "yesterday"),
    ("Run", "progress", {"complete": "5"}),
    ("Run", "progress", "50%"),
    ("Run", "next_task", "a"),
    ("Run", "users", [True]),
    ("Run", "groups", [None]),
    ("Run", "tags", [None]),
    ("Task", "deadline", "soon"),
    ("Task", "starter_id", "1001"),
    ("Task", "owners", {"users": [["Alice"]]}),
    ("Task", "threads", [{"content": "no ID"}]),
    ("Checklist", "steps", [{"id": "a", "created_at": "yesterday"}]),
    ("Checklist", "prerun", [{"id": "a", "required": "yes"}]),
    ("User", "id", "1001"),
    ("Group", "members", [None]),
    ("Tag", "auto_generated", "no"),
    ("Guest", "email", 7),
    ("Folder", "position", "first"),
    ("Activity", "actor_id", "1001"),
    ("Activity", "verb", {"name": "created"}),
]

every_list = pytest.mark.parametrize("path", RECORDS, ids=[path.rsplit("/", 1)[1] for path in RECORDS])


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference inside the document, if `part` is one."""
    found: Any = DOCUMENT
    if "$ref" not in part:
        return part
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    assert isinstance(found, dict)
    return found


def parameters(path: str) -> list[dict[str, Any]]:
    return [resolve(parameter) for parameter in PATHS[path]["get"]["parameters"]]


def validator(pointer: str) -> Draft202012Validator:
    """Check values against the schema at a JSON pointer of the document, dates included."""
    contract = DRAFT202012.create_resource(DOCUMENT)
    return Draft202012Validator(
        {"$ref": f"urn:contract#{pointer}"},
        registry=Registry().with_resource("urn:contract", contract),
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )


def list_validator(path: str = RUNS) -> Draft202012Validator:
    pointer = path.replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
    return validator(f"/paths/{pointer}/get/responses/200/content/application~1json/schema")


def types(schema: dict[str, Any]) -> list[str]:
    declared = resolve(schema)["type"]
    return [declared] if isinstance(declared, str) else list(declared)


def inner(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield a schema and all within it."""
    if isinstance(schema, list):
        for item in schema:
            yield from inner(item)
    elif isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from inner(value)


# The document


def test_the_document_is_valid_openapi() -> None:
    validate(DOCUMENT)
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)


def test_every_component_is_in_use() -> None:
    used = {part["$ref"] for part in inner(DOCUMENT) if isinstance(part.get("$ref"), str)}
    components = {kind: DOCUMENT["components"][kind] for kind in ("parameters", "headers", "responses", "schemas")}
    assert used == {f"#/components/{kind}/{name}" for kind, parts in components.items() for name in parts}


def test_lists_are_sent_comma_separated() -> None:
    for path in PATHS:
        for parameter in parameters(path):
            is_list = parameter["schema"]["type"] == "array"
            assert (parameter.get("style"), parameter.get("explode")) == (("form", False) if is_list else (None, None))


@every_list
def test_related_data_are_fields(path: str) -> None:
    described = SCHEMAS[RECORDS[path]]["properties"].items()
    only_with = {word for _, field in described for word in re.findall("only with `with=(.*?)`", field["description"])}
    assert only_with == {word for word in CONTRACT.with_words(path) if "." not in word}
    assert CONTRACT.related(path) <= CONTRACT.columns(path).keys()


# Records


def test_only_the_key_is_not_nullable_and_the_main_type_comes_first() -> None:
    for name, field, schema in FIELDS:
        if field == KEYS.get(name):
            assert "null" not in types(schema) or name == "Guest"
            assert SCHEMAS[name]["required"] == [field]
        else:
            assert types(schema)[-1] == "null", (name, field)
            assert types(schema)[0] != "null", (name, field)


def test_no_record_closes_a_set_of_values() -> None:
    for name in KEYS:
        for part in inner(SCHEMAS[name]):
            assert part.keys().isdisjoint({"enum", "const", "pattern"}), name


def test_the_date_times() -> None:
    for name, field, schema in FIELDS:
        is_date = (field.endswith("_at") or field in DATES) and "object" not in types(schema)
        assert schema.get("format") == ("date-time" if is_date else None), (name, field)
        assert not is_date or schema["type"] == ["string", "null"], (name, field)


def test_free_keys_stay_free() -> None:
    maps = ["Run.prerun", "Run.custom_fields", "Task.taskdata", "Task.custom_fields", "Guest.details"]
    for name, field in (each.split(".") for each in maps):
        schema = SCHEMAS[name]["properties"][field]
        assert schema["type"] == ["object", "null"]
        assert schema["additionalProperties"] is True
        assert "properties" not in schema


def test_credentials_are_marked() -> None:
    marked = {f"{name}.{field}" for name, field, schema in FIELDS if schema.get("x-credential")}
    assert marked == {
        "Asset.public_link",
        "Asset.url",
        "Checklist.webhook",
        "Guest.id",
        "Guest.link",
        "Step.webhook",
        "Task.webhook",
        "TaskOwners.taskUrls",
        "Watcher.guest_id",
        "Watcher.webhook",
    }
    for name, field, schema in FIELDS:
        assert ("credential" in schema["description"]) is (f"{name}.{field}" in marked), (name, field)


def test_a_second_name_is_that_of_another_field() -> None:
    second = {(name, field): schema["x-same-as"] for name, field, schema in FIELDS if "x-same-as" in schema}
    assert second == {
        ("User", "active"): "is_active",
        ("User", "updated_at"): "last_updated",
        ("User", "UTC_offset"): "utc_offset",
        ("Group", "updated_at"): "last_updated",
        ("Run", "starredByUsers"): "starred_by_users",
        ("Checklist", "starredByUsers"): "starred_by_users",
    }
    for (name, field), first in second.items():
        of_record = SCHEMAS[name]["properties"]
        assert of_record[field]["deprecated"]
        assert of_record[field]["type"] == of_record[first]["type"]


# Columns


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_every_column_has_one_type_and_so_have_the_items_of_every_array(stream: Any) -> None:
    key = stream.contract_key
    schema = table_schema(key, stream.primary_keys, CONTRACT.with_words(key))
    assert next(iter(schema["properties"])) == ORG_ID
    assert schema["required"] == list(stream.primary_keys)
    for name, column in schema["properties"].items():
        kinds = types(column)
        assert kinds[1:] == ([] if name in stream.primary_keys else ["null"]), name
        assert name == name.lower()
        for part in inner(column):
            assert not any(word.startswith("x-") for word in part), name
            if part.get("items") and part["type"] in ("array", ["array", "null"]):
                assert isinstance(part["items"]["type"], str), name


# Answers


def page_of(name: str, /, **fields: Any) -> tuple[Draft202012Validator, dict[str, Any]]:
    """Return what checks a page of such records, and one with a record that has these fields."""
    (path,) = [path for path, record in RECORDS.items() if record == name]
    keys: dict[str, dict[str, Any]] = {
        "Guest": {"email": "ann@example.com"},
        "User": {"id": 1001},
        "Activity": {"id": 1},
    }
    meta = json.loads(SAMPLE)["meta"]
    return list_validator(path), {"data": [{**keys.get(name, {"id": "a"}), **fields}], "meta": meta}


def test_the_vendors_sample_fits() -> None:
    list_validator().validate(json.loads(SAMPLE))
    assert set(json.loads(SAMPLE)["data"][0]) <= set(SCHEMAS["Run"]["properties"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_vendors_examples_fit(name: str) -> None:
    record = json.loads(EXAMPLES[name])
    checks, page = page_of(name, **record)
    checks.validate(page)
    assert set(record) <= set(SCHEMAS[name]["properties"])


@every_list
def test_a_record_needs_its_key_only_and_a_page_no_pagination(path: str) -> None:
    name = RECORDS[path]
    checks, page = page_of(name, **dict.fromkeys(set(SCHEMAS[name]["properties"]) - {KEYS[name]}))
    checks.validate(page)
    checks.validate({"data": page_of(name)[1]["data"]})
    checks.validate({"data": [], "meta": {"Pagination": page["meta"]["pagination"]}})
    wrong: dict[str, Any]
    for wrong in ({}, {KEYS[name]: None}, {KEYS[name]: []}):
        assert not checks.is_valid({"data": [wrong]})


def test_every_form_of_no_links_fits() -> None:
    page = json.loads(SAMPLE)
    links: Any
    for links in ({}, [], None):
        page["meta"]["pagination"] |= {"links": links}
        list_validator().validate(page)


@pytest.mark.parametrize("name", RECORDS.values())
def test_every_version_fits_where_sources_disagree_and_what_is_wrong_is_seen(name: str) -> None:
    for field, value in ((field, value) for each, field, value in VARIANTS if each == name):
        checks, page = page_of(name, **{field: value})
        checks.validate(page)
        assert field in SCHEMAS[name]["properties"]
    for field, value in ((field, value) for each, field, value in WRONG if each == name):
        checks, page = page_of(name, **{field: value})
        assert [list(error.absolute_path)[:3] for error in checks.iter_errors(page)] == [["data", 0, field]]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("401", {"error": True, "message": "Unauthenticated.", "code": "UNAUTHENTICATED"}),
        ("403", {"error": {"code": "FORBIDDEN", "message": "Not yours."}}),
        ("404", {"error": True, "message": "No such path.", "code": "ENDPOINT_NOT_FOUND"}),
        ("404", {"error": True, "message": "No such run.", "code": "RESOURCE_NOT_FOUND"}),
        ("422", {"error": True, "errors": {"status": ["The selected status is invalid."]}}),
        ("429", {"message": "Too many requests.", "code": "RATE_LIMIT_EXCEEDED"}),
        ("500", {"error": True, "message": "Server error.", "code": "SERVER_ERROR"}),
    ],
)
def test_every_known_form_of_an_error_fits(status: str, body: dict[str, Any]) -> None:
    name = PATHS[RUNS]["get"]["responses"][status]["$ref"].rsplit("/", 1)[1]
    checks = validator(f"/components/responses/{name}/content/application~1json/schema")
    checks.validate(body)
    assert not checks.is_valid({"data": []})


def test_items_that_are_objects_list_their_properties() -> None:
    # singer-sdk looks up `properties` of such items without asking whether there are any.
    for name, field, schema in FIELDS:
        items = schema.get("items")
        assert (items is None) is ("array" not in types(schema)), (name, field)
        if items and "object" in types(items):
            assert isinstance(resolve(items)["properties"], dict), (name, field)
