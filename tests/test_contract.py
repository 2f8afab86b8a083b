from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from singer_sdk import OpenAPISchema

CONTRACT = Path(__file__).parent.parent / "schemas" / "openapi.json"
DOCUMENT: dict[str, Any] = json.loads(CONTRACT.read_text(encoding="utf-8"))
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
RUN: dict[str, Any] = SCHEMAS["Run"]["properties"]
OPERATION: dict[str, Any] = DOCUMENT["paths"]["/organizations/{org_id}/runs"]["get"]

DATE_TIMES = {
    "archived_at",
    "completed_at",
    "created_at",
    "due_date",
    "last_updated",
    "max_task_deadline",
    "prerun_completed_at",
    "started_at",
}

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


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference inside the document, if `part` is one."""
    found: Any = DOCUMENT
    if "$ref" not in part:
        return part
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    assert isinstance(found, dict)
    return found


PARAMETERS: dict[str, dict[str, Any]] = {
    parameter["name"]: parameter for parameter in map(resolve, OPERATION["parameters"])
}
WITH: list[str] = PARAMETERS["with"]["schema"]["items"]["enum"]


def validator(pointer: str) -> Draft202012Validator:
    """Check values against the schema at a JSON pointer of the document, dates included."""
    contract = DRAFT202012.create_resource(DOCUMENT)
    return Draft202012Validator(
        {"$ref": f"urn:contract#{pointer}"},
        registry=Registry().with_resource("urn:contract", contract),
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )


def list_validator() -> Draft202012Validator:
    return validator(
        "/paths/~1organizations~1%7Borg_id%7D~1runs/get/responses/200/content/application~1json/schema",
    )


def error_validator(status: str) -> Draft202012Validator:
    name = OPERATION["responses"][status]["$ref"].rsplit("/", 1)[1]
    return validator(f"/components/responses/{name}/content/application~1json/schema")


def types(schema: dict[str, Any]) -> set[str]:
    declared = resolve(schema)["type"]
    return {declared} if isinstance(declared, str) else set(declared)


def keywords(schema: Any) -> set[str]:
    """Every key at any depth; the references of a run are followed."""
    if isinstance(schema, list):
        return {key for item in schema for key in keywords(item)}
    if not isinstance(schema, dict):
        return set()
    return set(schema) | {key for value in resolve(schema).values() for key in keywords(value)}


def test_the_document_is_valid_openapi() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["openapi"] == "3.1.0"
    assert OPERATION["operationId"] == "listRuns"


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_component_is_a_valid_schema(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])


def test_only_the_key_of_a_run_is_not_nullable() -> None:
    assert {name for name, schema in RUN.items() if "null" not in types(schema)} == {"id"}
    assert SCHEMAS["Run"]["required"] == ["id"]


def test_a_run_closes_no_set_of_values() -> None:
    assert keywords(SCHEMAS["Run"]).isdisjoint({"enum", "const", "pattern"})


@pytest.mark.parametrize("name", sorted(RUN))
def test_every_field_of_a_run_is_described(name: str) -> None:
    assert RUN[name]["description"].endswith(".")


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_every_parameter_is_described(name: str) -> None:
    assert PARAMETERS[name]["description"].endswith(".")


def test_the_parameters_are_those_of_the_api() -> None:
    assert list(PARAMETERS) == [
        "org_id",
        "X-Tallyfy-Client",
        "q",
        "status",
        "owners",
        "checklist_id",
        "blueprint_id",
        "folder",
        "tag",
        "tag_ids",
        "untagged",
        "starred",
        "type",
        "groups",
        "with",
        "page",
        "per_page",
        "sort",
        "sort_by",
        "archived",
        "without_pagination",
    ]


def test_only_aliases_are_deprecated() -> None:
    deprecated = {name: each["description"] for name, each in PARAMETERS.items() if each.get("deprecated")}
    assert deprecated == {"blueprint_id": "Alias of `checklist_id`.", "sort_by": "Alias of `sort`."}


def test_lists_are_sent_comma_separated() -> None:
    lists = {name: each for name, each in PARAMETERS.items() if each["schema"]["type"] == "array"}
    assert set(lists) == {"owners", "tag_ids", "groups", "with"}
    assert {(each["style"], each["explode"]) for each in lists.values()} == {("form", False)}


def test_the_date_times_of_a_run() -> None:
    assert {name for name, schema in RUN.items() if "format" in schema} == DATE_TIMES
    assert {RUN[name]["format"] for name in DATE_TIMES} == {"date-time"}


def test_related_data_are_fields_of_a_run() -> None:
    assert len(WITH) == 11
    assert set(WITH) <= set(RUN)


@pytest.mark.parametrize("name", ["prerun", "custom_fields"])
def test_free_keys_stay_free(name: str) -> None:
    assert types(RUN[name]) == {"object", "null"}
    assert RUN[name]["additionalProperties"] is True
    assert "properties" not in RUN[name]


def test_the_vendors_sample_fits() -> None:
    list_validator().validate(json.loads(SAMPLE))


def test_a_list_without_pagination_fits() -> None:
    list_validator().validate({"data": json.loads(SAMPLE)["data"]})


def test_the_fields_of_the_vendors_sample_are_all_known() -> None:
    assert set(json.loads(SAMPLE)["data"][0]) <= set(RUN)


@pytest.mark.parametrize("links", [{}, [], None])
def test_every_form_of_no_links_fits(links: Any) -> None:
    page = json.loads(SAMPLE)
    page["meta"]["pagination"] |= {"links": links}
    list_validator().validate(page)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None),
        ("late_tasks", "0"),
        ("created_at", "yesterday"),
        ("progress", {"complete": "5"}),
        ("users", ["1001"]),
        ("tags", [None]),
    ],
)
def test_what_is_wrong_in_a_run_is_seen(field: str, value: Any) -> None:
    page = json.loads(SAMPLE)
    page["data"][0][field] = value
    errors = list(list_validator().iter_errors(page))
    assert [list(error.absolute_path)[:3] for error in errors] == [["data", 0, field]]


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
    error_validator(status).validate(body)
    assert not error_validator(status).is_valid({"data": []})


def test_a_refusal_for_haste_says_how_long_to_wait() -> None:
    assert set(resolve(OPERATION["responses"]["429"])["headers"]) == {"Retry-After", "X-RateLimit-Remaining"}


def test_what_the_sdk_reads_is_what_is_written() -> None:
    schema = OpenAPISchema(CONTRACT).get_schema("Run", key_properties=["id"])
    assert schema["type"] == "object"
    assert list(schema["properties"]) == list(RUN)
    for name, read in schema["properties"].items():
        assert types(read) == types(RUN[name]), name
        # A description on the component would replace the one beside its reference.
        assert read["description"] == RUN[name]["description"], name
        assert read.get("additionalProperties") == resolve(RUN[name]).get("additionalProperties"), name


def test_items_that_are_objects_list_their_properties() -> None:
    # singer-sdk looks up `properties` of such items without asking whether there are any.
    items = {name: schema["items"] for name, schema in RUN.items() if "items" in schema}
    objects = {name for name, item in items.items() if item["type"] == "object"}
    assert objects == {"tasks", "tags", "assets", "ko_form_fields", "form_fields", "stages", "folders"}
    assert {name for name in objects if items[name].get("properties") == {}} == objects
    assert {name for name in objects if items[name]["additionalProperties"] is True} == objects
