from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from singer_sdk import OpenAPISchema

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTRACT = Path(__file__).parent.parent / "schemas" / "openapi.json"
DOCUMENT: dict[str, Any] = json.loads(CONTRACT.read_text(encoding="utf-8"))
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
PATHS: dict[str, Any] = DOCUMENT["paths"]
RUNS = "/organizations/{org_id}/runs"
RUN: dict[str, Any] = SCHEMAS["Run"]["properties"]

#: The schema of the records of each list.
RECORDS = {
    RUNS: "Run",
    "/organizations/{org_id}/tasks": "Task",
    "/organizations/{org_id}/checklists": "Checklist",
    "/organizations/{org_id}/users": "User",
    "/organizations/{org_id}/groups": "Group",
    "/organizations/{org_id}/tags": "Tag",
    "/organizations/{org_id}/guests": "Guest",
    "/organizations/{org_id}/folders": "Folder",
    "/organizations/{org_id}/activity-feeds": "Activity",
}
#: What other schemas describe is inside of records.
PARTS = ["Asset", "Comment", "FormField", "Step", "Watcher"]
NAMED = [*RECORDS.values(), *PARTS]
#: Guests are told apart by their address: sources disagree on what their ID is.
KEYS = {name: "email" if name == "Guest" else "id" for name in NAMED}
FIELDS = [(name, field) for name in (*NAMED, "TaskOwners", "Progress") for field in SCHEMAS[name]["properties"]]
DATES = {"last_updated", "due_date", "deadline", "max_task_deadline"}

QUERIES = {
    RUNS: "q status owners checklist_id blueprint_id folder tag tag_ids untagged starred type task_status"
    " form_fields_values groups with page per_page sort sort_by archived without_pagination",
    "/organizations/{org_id}/tasks": "q status owners guests groups roles tag folder created deadline_start_range"
    " deadline_end_range deadline_on deadline_before deadline_after is_oneoff unassigned archived custom_field_key"
    " custom_field_value with page per_page sort without_pagination",
    "/organizations/{org_id}/checklists": "q status type starred folder tag owner_id with page per_page sort_by"
    " archived",
    "/organizations/{org_id}/users": "q with page per_page sort",
    "/organizations/{org_id}/groups": "q with page per_page sort_by",
    "/organizations/{org_id}/tags": "q strict all auto_generated status with page per_page sort",
    "/organizations/{org_id}/guests": "q with page per_page sort sort_by without_pagination",
    "/organizations/{org_id}/folders": "folder_type parent_id q with page per_page sort pagination",
    "/organizations/{org_id}/activity-feeds": "entity_type entity_id type verb actor_type actor_id actor_email source"
    " created_after created_before search field origin_type origin_id page per_page sort",
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


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference inside the document, if `part` is one."""
    found: Any = DOCUMENT
    if "$ref" not in part:
        return part
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    assert isinstance(found, dict)
    return found


def operation(path: str) -> dict[str, Any]:
    found: dict[str, Any] = PATHS[path]["get"]
    return found


PARAMETERS: dict[str, list[dict[str, Any]]] = {
    path: [resolve(parameter) for parameter in operation(path)["parameters"]] for path in PATHS
}
EVERY_PARAMETER = [(path, parameter) for path, parameters in PARAMETERS.items() for parameter in parameters]
named_parameters = pytest.mark.parametrize(
    "parameter",
    [parameter for _, parameter in EVERY_PARAMETER],
    ids=[f"{path.rsplit('/', 1)[1]}-{parameter['name']}" for path, parameter in EVERY_PARAMETER],
)
every_list = pytest.mark.parametrize("path", PATHS, ids=[path.rsplit("/", 1)[1] for path in PATHS])
every_schema = pytest.mark.parametrize("name", NAMED)
every_group = pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in FIELDS))


def related(path: str) -> list[str]:
    """Return the words of the `with` parameter."""
    words = [each["schema"]["items"]["enum"] for each in PARAMETERS[path] if each["name"] == "with"]
    return list(words[0]) if words else []


def properties(name: str) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMAS[name]["properties"]
    return found


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


def error_validator(status: str) -> Draft202012Validator:
    name = operation(RUNS)["responses"][status]["$ref"].rsplit("/", 1)[1]
    return validator(f"/components/responses/{name}/content/application~1json/schema")


def types(schema: dict[str, Any]) -> set[str]:
    declared = resolve(schema)["type"]
    return {declared} if isinstance(declared, str) else set(declared)


def keywords(schema: Any) -> set[str]:
    """Every key at any depth; references are followed."""
    if isinstance(schema, list):
        return {key for item in schema for key in keywords(item)}
    if not isinstance(schema, dict):
        return set()
    return set(schema) | {key for value in resolve(schema).values() for key in keywords(value)}


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
    assert DOCUMENT["openapi"] == "3.1.0"


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_component_is_a_valid_schema(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])


def test_every_component_is_in_use() -> None:
    used = {part["$ref"] for part in inner(DOCUMENT) if isinstance(part.get("$ref"), str)}
    components = {kind: DOCUMENT["components"][kind] for kind in ("parameters", "headers", "responses", "schemas")}
    assert used == {f"#/components/{kind}/{name}" for kind, parts in components.items() for name in parts}


def test_every_list_is_there() -> None:
    assert list(PATHS) == list(RECORDS)
    operations = [operation(path) for path in PATHS]
    assert len({each["operationId"] for each in operations}) == len(operations)
    assert [each["tags"][0] for each in operations] == [tag["name"] for tag in DOCUMENT["tags"]]


@every_list
def test_every_list_has_the_same_envelope(path: str) -> None:
    responses = operation(path)["responses"]
    envelope = responses["200"]["content"]["application/json"]["schema"]
    assert envelope["properties"] == {
        "data": {"type": "array", "items": {"$ref": f"#/components/schemas/{RECORDS[path]}"}},
        "meta": {"$ref": "#/components/schemas/Meta"},
    }
    assert envelope["required"] == ["data"]
    assert set(responses["200"]["headers"]) == {"X-RateLimit-Remaining"}
    assert {status: each for status, each in responses.items() if status != "200"} == {
        status: each for status, each in operation(RUNS)["responses"].items() if status != "200"
    }


# Parameters


@every_list
def test_the_parameters_are_those_of_the_api(path: str) -> None:
    names = [parameter["name"] for parameter in PARAMETERS[path]]
    assert names == ["org_id", "X-Tallyfy-Client", *QUERIES[path].split()]


@named_parameters
def test_every_parameter_is_described(parameter: dict[str, Any]) -> None:
    assert parameter["description"].endswith(".")


@named_parameters
def test_lists_are_sent_comma_separated(parameter: dict[str, Any]) -> None:
    is_list = parameter["schema"]["type"] == "array"
    assert (parameter.get("style"), parameter.get("explode")) == (("form", False) if is_list else (None, None))


def test_only_aliases_are_deprecated() -> None:
    deprecated = {
        (RECORDS[path], each["name"]): each["description"] for path, each in EVERY_PARAMETER if each.get("deprecated")
    }
    assert deprecated == {
        ("Run", "blueprint_id"): "Alias of `checklist_id`.",
        ("Run", "sort_by"): "Alias of `sort`.",
        ("Guest", "sort_by"): "Alias of `sort`.",
    }


@every_list
def test_related_data_are_fields(path: str) -> None:
    described = properties(RECORDS[path]).items()
    only_with = {name for name, field in described if f"only with `with={name}`" in field["description"]}
    assert only_with == set(related(path))
    assert len(related(path)) == len(only_with)


# Records


@every_schema
def test_only_the_key_is_not_nullable(name: str) -> None:
    assert {field for field, schema in properties(name).items() if "null" not in types(schema)} == {KEYS[name]}
    assert SCHEMAS[name]["required"] == [KEYS[name]]


@every_schema
def test_no_record_closes_a_set_of_values(name: str) -> None:
    assert keywords(SCHEMAS[name]).isdisjoint({"enum", "const", "pattern"})


@every_group
def test_every_field_is_described(name: str) -> None:
    assert [field for field, schema in properties(name).items() if not schema["description"].endswith(".")] == []


@every_group
def test_the_date_times(name: str) -> None:
    for field, schema in properties(name).items():
        is_date = (field.endswith("_at") or field in DATES) and "object" not in types(schema)
        assert schema.get("format") == ("date-time" if is_date else None), field
        assert not is_date or schema["type"] == ["string", "null"], field


@every_group
def test_the_main_type_of_a_field_is_named_first_and_null_last(name: str) -> None:
    for field, schema in properties(name).items():
        declared = resolve(schema)["type"]
        assert declared[0] != "null", field
        assert field == KEYS.get(name) or declared[-1] == "null", field


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Run", "prerun"),
        ("Run", "custom_fields"),
        ("Task", "taskdata"),
        ("Task", "custom_fields"),
        ("Guest", "details"),
    ],
)
def test_free_keys_stay_free(name: str, field: str) -> None:
    schema = properties(name)[field]
    assert types(schema) == {"object", "null"}
    assert schema["additionalProperties"] is True
    assert "properties" not in schema


def test_credentials_are_marked() -> None:
    marked = {(name, field) for name, field in FIELDS if properties(name)[field].get("x-credential")}
    assert marked == {
        ("Asset", "public_link"),
        ("Asset", "url"),
        ("Checklist", "webhook"),
        ("Guest", "id"),
        ("Guest", "link"),
        ("Step", "webhook"),
        ("Task", "webhook"),
        ("TaskOwners", "taskUrls"),
        ("Watcher", "guest_id"),
        ("Watcher", "webhook"),
    }
    for name, field in FIELDS:
        schema = properties(name)[field]
        assert schema.get("x-credential", True) is True
        assert ("credential" in schema["description"]) is ((name, field) in marked)


def test_a_second_name_is_that_of_another_field() -> None:
    second = {
        (name, field, properties(name)[field]["x-same-as"])
        for name, field in FIELDS
        if "x-same-as" in properties(name)[field]
    }
    assert second == {
        ("User", "active", "is_active"),
        ("User", "updated_at", "last_updated"),
        ("Group", "updated_at", "last_updated"),
    }
    assert second == {
        (name, field, properties(name)[field].get("x-same-as"))
        for name, field in FIELDS
        if properties(name)[field].get("deprecated")
    }
    for name, field, first in second:
        schema = properties(name)[field]
        assert schema["description"] == f"Another name of `{first}`."
        assert {key: schema.get(key) for key in ("type", "format")} == {
            key: properties(name)[first].get(key) for key in ("type", "format")
        }


# Answers


def page_of(path: str, **fields: Any) -> dict[str, Any]:
    keys: dict[str, dict[str, Any]] = {
        "Guest": {"email": "ann@example.com"},
        "User": {"id": 1001},
        "Activity": {"id": 1},
    }
    return {"data": [{**keys.get(RECORDS[path], {"id": "a"}), **fields}], "meta": json.loads(SAMPLE)["meta"]}


def path_of(name: str) -> str:
    (path,) = [path for path, record in RECORDS.items() if record == name]
    return path


def test_the_vendors_sample_fits() -> None:
    list_validator().validate(json.loads(SAMPLE))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_vendors_examples_fit(name: str) -> None:
    record = json.loads(EXAMPLES[name])
    list_validator(path_of(name)).validate(page_of(path_of(name), **record))
    assert set(record) <= set(properties(name))


@every_list
def test_a_record_needs_its_key_only(path: str) -> None:
    list_validator(path).validate(page_of(path))
    key = KEYS[RECORDS[path]]
    wrong: dict[str, Any]
    for wrong in ({}, {key: None}, {key: []}):
        assert not list_validator(path).is_valid({"data": [wrong]})


@every_list
def test_every_field_can_be_null(path: str) -> None:
    name = RECORDS[path]
    fields = dict.fromkeys(set(properties(name)) - {KEYS[name]})
    list_validator(path).validate(page_of(path, **fields))


@every_list
def test_a_list_without_pagination_fits(path: str) -> None:
    list_validator(path).validate({"data": page_of(path)["data"]})
    list_validator(path).validate({"data": []})


def test_the_fields_of_the_vendors_sample_are_all_known() -> None:
    assert set(json.loads(SAMPLE)["data"][0]) <= set(RUN)


@every_list
def test_either_spelling_of_pagination_fits(path: str) -> None:
    page = page_of(path)
    page["meta"] = {"Pagination": page["meta"]["pagination"]}
    list_validator(path).validate(page)
    wrong: dict[str, Any]
    for wrong in ({}, {"pagination": {}}, {"Pagination": {"total": 1}}):
        assert not list_validator(path).is_valid({**page, "meta": wrong})


@pytest.mark.parametrize("links", [{}, [], None])
def test_every_form_of_no_links_fits(links: Any) -> None:
    page = json.loads(SAMPLE)
    page["meta"]["pagination"] |= {"links": links}
    list_validator().validate(page)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
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
        ("Group", "members", ["1001"]),
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
    ],
)
def test_every_version_fits_where_sources_disagree(name: str, field: str, value: Any) -> None:
    list_validator(path_of(name)).validate(page_of(path_of(name), **{field: value}))
    assert field in properties(name)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("Run", "id", None),
        ("Run", "late_tasks", "0"),
        ("Run", "created_at", "yesterday"),
        ("Run", "progress", {"complete": "5"}),
        ("Run", "progress", "50%"),
        ("Run", "next_task", "a"),
        ("Run", "users", ["1001"]),
        ("Run", "groups", [7]),
        ("Run", "tags", [None]),
        ("Task", "deadline", "soon"),
        ("Task", "starter_id", "1001"),
        ("Task", "owners", {"users": ["Alice"]}),
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
    ],
)
def test_what_is_wrong_in_a_record_is_seen(name: str, field: str, value: Any) -> None:
    errors = list(list_validator(path_of(name)).iter_errors(page_of(path_of(name), **{field: value})))
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
    assert set(resolve(operation(RUNS)["responses"]["429"])["headers"]) == {"Retry-After", "X-RateLimit-Remaining"}


# What the SDK makes of it


@every_schema
def test_what_the_sdk_reads_is_what_is_written(name: str) -> None:
    schema = OpenAPISchema(CONTRACT).get_schema(name, key_properties=[KEYS[name]])
    assert schema["type"] == "object"
    assert list(schema["properties"]) == list(properties(name))
    for field, read in schema["properties"].items():
        written = properties(name)[field]
        assert types(read) == types(written), field
        # A description on the component would replace the one beside its reference.
        assert read["description"] == written["description"], field
        assert read.get("additionalProperties") == resolve(written).get("additionalProperties"), field


@every_group
def test_items_that_are_objects_list_their_properties(name: str) -> None:
    # singer-sdk looks up `properties` of such items without asking whether there are any.
    for field, schema in properties(name).items():
        items = schema.get("items")
        assert (items is None) is ("array" not in types(schema)), field
        if items and "object" in types(items):
            assert isinstance(resolve(items)["properties"], dict), field
            assert "$ref" in items or items["additionalProperties"] is True, field
