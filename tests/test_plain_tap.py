"""The output is that of a plain singer-sdk tap, message by message, with every way to select and map."""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.contenders import PLAIN
from sandbox import Behaviour, Sandbox
from tests.tap import ROOT, Result, run_command, run_tap

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = {"PLAIN_TAP_ACCESS_TOKEN": "unused", "PLAIN_TAP_ORG_ID": "unused", "PLAIN_TAP_API_URL": "http://unused"}
PLAIN_TAP = (sys.executable, str(ROOT / "benchmarks" / "peers" / str(PLAIN.script)))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    # A plain tap emits what it is sent, so the API sends what the schema says.
    with Sandbox(runs=330, seed=11, behaviour=Behaviour(empty_object_as_list=False)) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def catalog() -> dict[str, Any]:
    return run_command("--discover", command=PLAIN_TAP, env=ACCOUNT).catalog


def deselected(catalog: dict[str, Any], *breadcrumbs: tuple[str, ...]) -> dict[str, Any]:
    """Return the catalog with these properties deselected."""
    (entry,) = catalog["streams"]
    known = {tuple(metadata["breadcrumb"]): metadata["metadata"] for metadata in entry["metadata"]}
    changed = {breadcrumb: {**known.get(breadcrumb, {}), "selected": False} for breadcrumb in breadcrumbs}
    metadata = [{"breadcrumb": list(crumb), "metadata": about} for crumb, about in {**known, **changed}.items()]
    return {"streams": [{**entry, "metadata": metadata}]}


def of_the_tap(catalog: dict[str, Any]) -> dict[str, Any]:
    """Return a plain tap's catalog with the tap's own key, which a catalog may not change."""
    own = copy.deepcopy(catalog)
    (entry,) = own["streams"]
    entry["schema"]["properties"] = {"org_id": {"type": "string"}, **entry["schema"]["properties"]}
    entry["key_properties"] = None
    for metadata in entry["metadata"]:
        metadata["metadata"].pop("table-key-properties", None)
    return own


def messages(result: Result) -> list[dict[str, Any]]:
    """Return what was written, without what cannot be the same: times, versions, states, keys, the tap's own columns.

    A plain tap leaves out what the API does not send, where the tap writes null.
    """
    assert result.code == 0, result.stderr
    found = []
    for message in result.messages:
        if message["type"] == "RECORD":
            assert message.pop("time_extracted")
            message.pop("version", None)
            record = without_own_columns(message["record"])
            message["record"] = {name: value for name, value in record.items() if value is not None}
        elif message["type"] == "SCHEMA":
            message["schema"] |= {"properties": without_own_columns(message["schema"]["properties"])}
            message["key_properties"] = message["key_properties"][-1:]
            message["schema"].pop("required", None)
        if message["type"] != "STATE":
            found.append(message)
    return found


def without_own_columns(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in columns.items() if name not in {"org_id", "_extra"}}


NOTHING: dict[str, Any] = {}
MAPS: dict[str, Any] = {
    "an_expression": {"runs": {"shouted": "name.upper()", "summary": None}},
    "a_nested_value": {"runs": {"done": "progress['percent'] if progress else None"}},
    "a_filter": {"runs": {"__filter__": "record['status'] == 'active'"}},
    "a_nested_filter": {"runs": {"__filter__": "bool(record['custom_fields'])"}},
    "another_name": {"runs": {"__alias__": "processes"}},
    "only_some_columns": {"runs": {"id": "id", "name": "name", "progress": "progress", "__else__": None}},
    "a_copy": {
        "runs": {"name": "name"},
        "copied": {"__source__": "runs", "id": "id", "prerun": "prerun", "__else__": None},
    },
    "nothing_at_all": {"runs": None},
}


@pytest.mark.parametrize(
    ("breadcrumbs", "settings"),
    [
        pytest.param((), NOTHING, id="everything"),
        pytest.param((("properties", "name"), ("properties", "custom_fields")), NOTHING, id="columns"),
        pytest.param((("properties", "progress", "properties", "percent"),), NOTHING, id="a_nested_value"),
        pytest.param((("properties", "custom_fields", "properties", "cost_centre"),), NOTHING, id="a_free_value"),
        pytest.param((), {"flattening_enabled": True, "flattening_max_depth": 2}, id="flattened"),
        *(pytest.param((), {"stream_maps": maps}, id=f"mapped_{name}") for name, maps in MAPS.items()),
    ],
)
def test_as_a_plain_tap(
    sandbox: Sandbox, catalog: dict[str, Any], breadcrumbs: tuple[tuple[str, ...], ...], settings: dict[str, Any]
) -> None:
    chosen = deselected(catalog, *breadcrumbs)
    plain = run_tap(sandbox, catalog=chosen, command=PLAIN_TAP, **settings)
    of_its_own: dict[str, Any] = {"runs": {"archived": "exclude", "sort": "-created_at"}, "concurrency": 1, **settings}
    if maps := settings.get("stream_maps"):  # a map that names its columns has to name the key
        of_its_own["stream_maps"] = {
            name: {**map_, "org_id": "org_id"} if "__else__" in (map_ or {}) else map_ for name, map_ in maps.items()
        }
    tap = run_tap(sandbox, catalog=of_the_tap(chosen), **of_its_own)
    assert messages(tap) == messages(plain)
    assert tap.records or settings.get("stream_maps") == MAPS["nothing_at_all"]


@pytest.mark.parametrize("schema", [{}, {"type": ["string", "integer", "null"]}, {"anyOf": [{"type": "string"}]}])
def test_a_catalog_with_a_schema_of_its_own(sandbox: Sandbox, catalog: dict[str, Any], schema: dict[str, Any]) -> None:
    own = copy.deepcopy(catalog)
    own["streams"][0]["schema"]["properties"]["name"] = schema
    plain = run_tap(sandbox, catalog=own, command=PLAIN_TAP)
    tap = run_tap(sandbox, catalog=of_the_tap(own), runs={"archived": "exclude", "sort": "-created_at"}, concurrency=1)
    assert messages(tap) == messages(plain)
    assert tap.records
