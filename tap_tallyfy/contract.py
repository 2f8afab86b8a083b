"""The API's contract, `schemas/openapi.json`, as the rest of the tap asks for it."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singer_sdk.schema.source import OpenAPISchema, StreamSchema

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from singer_sdk import Stream

    JsonSchema = dict[str, Any]

#: What the tap adds to every record: the fields and values that fit no column, as the API sent them.
EXTRA = "_extra"

_HERE = Path(__file__).parent
# In a wheel the folder lies inside the package, in a checkout beside it.
_SCHEMAS = next(folder for folder in (_HERE / "schemas", _HERE.parent / "schemas") if folder.is_dir())


class Contract(OpenAPISchema[str]):
    """An OpenAPI document whose schemas are asked for by the path of a list endpoint."""

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

    @override
    def get_unresolved_schema(self, key: str) -> JsonSchema:
        envelope = self.operation(key)["responses"]["200"]["content"]["application/json"]["schema"]
        return dict(envelope["properties"]["data"]["items"])


CONTRACT = Contract(_SCHEMAS / "openapi.json")


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
    """The JSON schema of a stream's records, from the contract of its path."""

    @override
    def get_stream_schema(self, stream: Stream, stream_class: type[Stream]) -> JsonSchema:
        path: str = getattr(stream, "path")  # noqa: B009 - the SDK declares it on HTTP streams only
        schema = copy.deepcopy(self.schema_source.get_schema(path, key_properties=stream.primary_keys))
        asked = stream.config.get(stream.name, {}).get("with", ())
        for name in CONTRACT.related(path).difference(asked):
            schema["properties"].pop(name, None)
        for property_ in schema["properties"].values():
            _keep_main_type(property_)
        schema["properties"][EXTRA] = {
            "type": ["object", "null"],
            "description": "What the API sent that fits no other column, by field name.",
            "additionalProperties": True,
        }
        # The SDK reads the schema once a record; kept on the stream it shadows this descriptor.
        stream.__dict__["schema"] = schema
        return schema
