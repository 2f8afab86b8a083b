"""The API's contract, `schemas/openapi.json`, as the rest of the tap asks for it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from singer_sdk.schema.source import OpenAPISchema
from typing_extensions import override

JsonSchema = dict[str, Any]

#: The tap adds to every record whose it is, and the fields and values that fit no column, as the API sent them.
ORG_ID: Final = "org_id"
EXTRA: Final = "_extra"
_ORG_ID_COLUMN: Final = {"type": "string", "description": "ID of the organization."}
_EXTRA_COLUMN: Final = {
    "type": ["object", "null"],
    "description": "Fields and values that fit no other column, as the API sent them.",
    "additionalProperties": True,
}

_HERE = Path(__file__).parents[1]
#: Where the JSON documents are: in a wheel inside the package, in a checkout beside it.
SCHEMAS: Final = next(folder for folder in (_HERE / "schemas", _HERE.parent / "schemas") if folder.is_dir())
_ROWS: Final[dict[str, JsonSchema]] = json.loads((SCHEMAS / "rows.json").read_text(encoding="utf-8"))

#: Types of which a value that has them all may be anything.
_ANY_JSON: Final = frozenset({"string", "number", "boolean", "object", "array"})
_NESTING: Final = {"array": ("items",), "object": ("properties", "additionalProperties")}

# Marks of the contract on a property:
_CREDENTIAL: Final = "x-credential"  # it opens something to whoever has it
_SAME_AS: Final = "x-same-as"  # another name that some servers have for the property named here
_ARRAY_OF_ONE: Final = "x-array-of-one"  # some servers put the value into an array
JSON_TEXT: Final = "x-json"  # values other than texts are kept as JSON
TEXT_AS: Final = "x-text-as"  # on items: the name that a plain text gets in an object
# Marks on a whole record:
_EXTENDS: Final = "x-extends"  # a component whose properties a row has as well
_ALLOW_LIST: Final = "x-allow-list"  # fields that it does not describe must not be kept


class Contract(OpenAPISchema[str]):
    """An OpenAPI document, and the rows that the tap makes itself.

    A key is a path of the document, such as `/organizations/{org_id}/runs`, the name of one of its components, such as
    `Step`, or that of a row in `schemas/rows.json`.
    """

    def __init__(self, source: Path) -> None:
        super().__init__(source)
        self._records: dict[str, JsonSchema] = {}
        self._columns: dict[str, dict[str, JsonSchema]] = {}

    def operation(self, path: str) -> dict[str, Any]:
        """Return the GET operation of a path.

        Raises:
            KeyError: If the document has no such path.
        """
        operation: dict[str, Any] = self.spec["paths"][path]["get"]
        return operation

    def query_parameters(self, path: str) -> dict[str, dict[str, Any]]:
        """Return the query parameters of a path by name, without deprecated aliases."""
        shared = self.spec["components"]["parameters"]
        parameters = (
            shared[parameter["$ref"].rsplit("/", 1)[-1]] if "$ref" in parameter else parameter
            for parameter in self.operation(path)["parameters"]
        )
        return {
            parameter["name"]: parameter
            for parameter in parameters
            if parameter["in"] == "query" and not parameter.get("deprecated")
        }

    def with_words(self, key: str) -> frozenset[str]:
        """Return the words of the `with` parameter, which ask for related data; rows have none."""
        if not key.startswith("/"):
            return frozenset()
        return frozenset(self.query_parameters(key).get("with", {}).get("schema", {}).get("items", {}).get("enum", ()))

    def related(self, key: str, words: Iterable[str] | None = None) -> frozenset[str]:
        """Return the columns that a record has only when words of the `with` parameter ask for them.

        Args:
            words: None for all that there are. `tasks.step` asks for more in the column `tasks`.
        """
        second_names = self.second_names(key)
        names = (word.partition(".")[0] for word in (self.with_words(key) if words is None else words))
        return frozenset(second_names.get(name, name) for name in names)

    def columns(self, key: str) -> dict[str, JsonSchema]:
        """Return the properties that a record can have in a table, related data among them, each of one type.

        They are those of all callers; none may change them.
        """
        if key not in self._columns:
            self._columns[key] = {
                name: _column(described)
                for name, described in self._properties(key).items()
                if not (_CREDENTIAL in described or _SAME_AS in described)
            }
        return self._columns[key]

    def credentials(self, key: str) -> frozenset[str]:
        """Return the properties of a record that open something to whoever has them."""
        return self._marked(key, _CREDENTIAL)

    def arrays_of_one(self, key: str) -> frozenset[str]:
        """Return the properties that some servers send as an array with the value in it."""
        return self._marked(key, _ARRAY_OF_ONE)

    def second_names(self, key: str) -> dict[str, str]:
        """Return the names that some servers have for a property, with the one that the others have for it."""
        return {name: self._properties(key)[name][_SAME_AS] for name in self._marked(key, _SAME_AS)}

    def keeps_extra(self, key: str) -> bool:
        """Return whether fields that a record's description lacks may be kept."""
        return not self._record(key).get(_ALLOW_LIST)

    def _marked(self, key: str, mark: str) -> frozenset[str]:
        return frozenset(name for name, described in self._properties(key).items() if mark in described)

    def _properties(self, key: str) -> dict[str, JsonSchema]:
        properties: dict[str, JsonSchema] = self._record(key)["properties"]
        return properties

    def _record(self, key: str) -> JsonSchema:
        if key not in self._records:  # the SDK takes a document's schema apart anew each time, which takes long
            self._records[key] = self.get_schema(key)
        return self._records[key]

    @override
    def get_unresolved_schema(self, key: str) -> JsonSchema:
        if key in _ROWS:
            base = self.get_unresolved_schema(_ROWS[key][_EXTENDS]) if _EXTENDS in _ROWS[key] else {"properties": {}}
            return {**_ROWS[key], "properties": {**_ROWS[key]["properties"], **base["properties"]}}
        if not key.startswith("/"):
            return dict(self.spec["components"]["schemas"][key])
        envelope = self.operation(key)["responses"]["200"]["content"]["application/json"]["schema"]
        data = envelope["properties"]["data"]
        return dict(data.get("items", data))


CONTRACT: Final = Contract(SCHEMAS / "openapi.json")


def _column(described: JsonSchema) -> JsonSchema:
    """Return a property's schema with one type, and one type of the items of each array in it.

    The contract names the main type first; a value of another type is converted to it or kept in `_extra`.
    """
    column = copy.deepcopy(described)
    _narrow(column)
    return column


def _narrow(schema: JsonSchema) -> None:
    kinds = schema.get("type", ())
    main, *others = (kinds,) if isinstance(kinds, str) else (kind for kind in kinds if kind != "null")
    if others:
        for kind, keywords in _NESTING.items():
            for keyword in keywords if kind != main else ():
                schema.pop(keyword, None)
        schema["type"] = [main, "null"] if "null" in kinds else main
    schema.pop("required", None)
    if items := schema.get("items"):
        _narrow(items)
        items["type"] = items["type"] if isinstance(items["type"], str) else items["type"][0]
    properties = schema.get("properties", {})
    for name, part in list(properties.items()):
        if _CREDENTIAL in part:
            del properties[name]
        elif not _ANY_JSON.issubset(part.get("type", ())):
            _narrow(part)


def _without_marks(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    if isinstance(schema, list):
        return [_without_marks(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _without_marks(part) for name, part in schema.items() if not name.startswith("x-")}


def table_schema(key: str, primary_keys: Iterable[str], asked_with: Iterable[str] = ()) -> JsonSchema:
    """Return the JSON schema of a stream's records; see `Contract` for its key.

    Args:
        asked_with: The words of the `with` parameter that the user set: only they bring related data.
    """
    hidden = CONTRACT.related(key) - CONTRACT.related(key, asked_with)
    columns: dict[str, JsonSchema] = {ORG_ID: dict(_ORG_ID_COLUMN)}
    columns |= {name: _without_marks(column) for name, column in CONTRACT.columns(key).items() if name not in hidden}
    for name in primary_keys:
        kinds = columns[name]["type"]
        columns[name]["type"] = kinds if isinstance(kinds, str) else kinds[0]
    if CONTRACT.keeps_extra(key):
        columns[EXTRA] = dict(_EXTRA_COLUMN)
    return {"type": "object", "properties": columns, "required": list(primary_keys)}
