"""The API's contract, `schemas/openapi.json`, as the rest of the tap asks for it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from singer_sdk.schema.source import OpenAPISchema, StreamSchema
from typing_extensions import override

if TYPE_CHECKING:
    from singer_sdk import Stream

    JsonSchema = dict[str, Any]

#: What the tap adds to every record: whose it is, and the fields and values that fit no column, as the API sent them.
ORG_ID: Final = "org_id"
EXTRA: Final = "_extra"
_ORG_ID_COLUMN: Final = {"type": "string", "description": "ID of the organization."}
_EXTRA_COLUMN: Final = {
    "type": ["object", "null"],
    "description": "What the API sent that fits no other column, by field name.",
    "additionalProperties": True,
}

_HERE = Path(__file__).parents[1]
# In a wheel the folder lies inside the package, in a checkout beside it.
_SCHEMAS = next(folder for folder in (_HERE / "schemas", _HERE.parent / "schemas") if folder.is_dir())


#: Marks a property of which the contract knows that some servers put it into an array.
_ARRAY_OF_ONE: Final = "x-array-of-one"


class Contract(OpenAPISchema[str]):
    """An OpenAPI document whose schemas are asked for by the path of a list endpoint."""

    def __init__(self, source: Path) -> None:
        """Read nothing yet.

        Args:
            source: The document.
        """
        super().__init__(source)
        self._records: dict[str, JsonSchema] = {}

    def operation(self, path: str) -> dict[str, Any]:
        """Return the GET operation of a path.

        Args:
            path: A path of the document, such as `/organizations/{org_id}/runs`.

        Raises:
            KeyError: If the document has no such path.
        """
        operation: dict[str, Any] = self.spec["paths"][path]["get"]
        return operation

    def query_parameters(self, path: str) -> dict[str, dict[str, Any]]:
        """Return the query parameters of a path by name, without deprecated aliases.

        Args:
            path: A path of the document.
        """
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

    def related(self, path: str) -> frozenset[str]:
        """Return the properties a record of this path has only when the `with` parameter asks for them.

        Args:
            path: A path of the document.
        """
        asked_with = self.query_parameters(path).get("with", {})
        return frozenset(asked_with.get("schema", {}).get("items", {}).get("enum", ()))

    def columns(self, key: str) -> dict[str, JsonSchema]:
        """Return the properties of a record, related data among them, each of one type.

        Args:
            key: A path of the document, or the name of a component or of a row.
        """
        properties: dict[str, JsonSchema] = copy.deepcopy(self._properties(key))
        for property_ in properties.values():
            property_.pop(_ARRAY_OF_ONE, None)
            _keep_main_type(property_)
        return properties

    def credentials(self, key: str) -> frozenset[str]:
        """Return the properties of a record that open something to whoever has them.

        Args:
            key: As for `columns`.
        """
        return frozenset(name for name, described in self._properties(key).items() if described.get("x-credential"))

    def second_names(self, key: str) -> dict[str, str]:
        """Return the names that some servers have for a property, and what the others call it.

        Args:
            key: As for `columns`.
        """
        return {
            name: described["x-same-as"]
            for name, described in self._properties(key).items()
            if "x-same-as" in described
        }

    def arrays_of_one(self, key: str) -> frozenset[str]:
        """Return the properties that some servers send as an array with the value in it.

        Args:
            key: As for `columns`.
        """
        return frozenset(name for name, described in self._properties(key).items() if _ARRAY_OF_ONE in described)

    def _properties(self, key: str) -> dict[str, JsonSchema]:
        if key not in self._records:  # the SDK takes a document's schema apart anew each time, which takes long
            self._records[key] = self.get_schema(key)
        properties: dict[str, JsonSchema] = self._records[key]["properties"]
        return properties

    @override
    def get_unresolved_schema(self, key: str) -> JsonSchema:
        if key in _ROWS:
            return _ROWS[key]
        if not key.startswith("/"):
            return dict(self.spec["components"]["schemas"][key])
        envelope = self.operation(key)["responses"]["200"]["content"]["application/json"]["schema"]
        return dict(envelope["properties"]["data"]["items"])


_ROWS: Final[dict[str, JsonSchema]] = json.loads((_SCHEMAS / "rows.json").read_text(encoding="utf-8"))
CONTRACT: Final = Contract(_SCHEMAS / "openapi.json")


def _keep_main_type(schema: JsonSchema) -> None:
    """Keep of several types the one named first: a column has one, and what does not fit it is turned aside."""
    kinds = schema.get("type", ())
    main, *others = (kinds,) if isinstance(kinds, str) else (kind for kind in kinds if kind != "null")
    if others:
        schema["type"] = [main, "null"] if "null" in kinds else main
        for kind, keywords in (("array", ("items",)), ("object", ("properties", "additionalProperties"))):
            if kind != main:
                for keyword in keywords:
                    schema.pop(keyword, None)


class RecordSchema(StreamSchema[str]):
    """The JSON schema of a stream's records, from the contract of its path or its rows."""

    @override
    def get_stream_schema(self, stream: Stream, stream_class: type[Stream]) -> JsonSchema:
        key: str = getattr(stream, "row", None) or getattr(stream, "path")  # noqa: B009 - not all streams have both
        hidden = {*CONTRACT.credentials(key), *CONTRACT.second_names(key)}
        if key.startswith("/"):
            hidden |= CONTRACT.related(key).difference(stream.config.get(stream.name, {}).get("with", ()))
        columns = {ORG_ID: dict(_ORG_ID_COLUMN), **getattr(stream, "further_columns", {})}
        columns |= {name: column for name, column in CONTRACT.columns(key).items() if name not in hidden}
        for name in stream.primary_keys:
            kinds = columns[name]["type"]
            columns[name]["type"] = kinds if isinstance(kinds, str) else kinds[0]
        if key not in _ROWS:
            columns[EXTRA] = dict(_EXTRA_COLUMN)
        schema = {"type": "object", "properties": columns, "required": list(stream.primary_keys)}
        # The SDK reads the schema once a record; kept on the stream it shadows this descriptor.
        stream.__dict__["schema"] = schema
        return schema
