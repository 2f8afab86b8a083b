from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from singer_sdk.testing import get_tap_test_class

from sandbox import Behaviour, Sandbox
from tap_tallyfy.records.contract import CONTRACT, EXTRA
from tap_tallyfy.streams import STREAMS
from tap_tallyfy.tap import TapTallyfy
from tests.tap import run_command, run_tap, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syrupy.assertion import SnapshotAssertion

PATH = "/organizations/{org_id}/runs"
RELATED = sorted(CONTRACT.with_words(PATH))

# The SDK makes its tests as this file is read, so the account has to be there by then.
SANDBOX = Sandbox(runs=120, seed=3).start()


@pytest.fixture(scope="module", autouse=True)
def _sandbox() -> Iterator[None]:
    yield
    SANDBOX.stop()


class WithoutComments(TapTallyfy):
    """All streams that are selected unless somebody says otherwise, which is what the SDK's tests are for."""

    stream_types = tuple(stream for stream in STREAMS if stream.selected_by_default)


TestStandard = get_tap_test_class(WithoutComments, config=settings_for(SANDBOX, runs={"with": RELATED}))


def discovered(*args: str) -> dict[str, Any]:
    result = run_command(*args, "--discover")
    assert result.code == 0, result.stderr
    assert result.errors == []
    catalog: dict[str, Any] = json.loads("\n".join(result.lines))
    return catalog


def types(schema: dict[str, Any]) -> list[str]:
    found = schema["type"]
    return [found] if isinstance(found, str) else found


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield a schema and all that it is made of."""
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from parts(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from parts(value)


# Without any settings


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def described(stream: dict[str, Any]) -> str:
    """Return what a stream of the catalog is, in a line that says in a diff what has changed."""
    (whole,) = (each["metadata"] for each in stream["metadata"] if not each["breadcrumb"])
    columns = stream["schema"]["properties"]
    key = ", ".join(stream["key_properties"])
    replication = f"{stream['replication_method']} {stream.get('replication_key') or ''}".strip()
    selected = whole.get("selected-by-default", whole.get("selected"))
    return f"{stream['tap_stream_id']}: {key} | {replication} | {selected} | {len(columns)} columns | {digest(stream)}"


def test_the_catalog_needs_no_settings(snapshot: SnapshotAssertion) -> None:
    assert "\n".join(map(described, discovered()["streams"])) == snapshot


def test_settings_are_described_without_any() -> None:
    text = run_command("--about")
    assert text.code == 0, text.stderr
    assert "tap-tallyfy" in text.lines[0]
    as_json = run_command("--about", "--format=json")
    assert as_json.code == 0, as_json.stderr
    described = json.loads("\n".join(as_json.lines))
    assert described["name"] == "tap-tallyfy"
    assert {"org_id", "access_token", "runs"} <= described["settings"]["properties"].keys()
    assert {"catalog", "discover", "state"} <= set(described["capabilities"])
    markdown = run_command("--about", "--format=markdown")
    assert markdown.code == 0, markdown.stderr
    for name in ("org_id", "access_token", "client_secret", "runs.status", "runs.with"):
        assert name in "\n".join(markdown.lines), name


def test_what_the_settings_may_be_stays_as_it_is(snapshot: SnapshotAssertion) -> None:
    described = json.loads("\n".join(run_command("--about", "--format=json").lines))
    # The SDK's own settings are its own affair.
    ours = {name: value for name, value in described["settings"]["properties"].items() if name in settings_of_the_tap()}
    lines = [f"{name}: {value['type']} | {value.get('default')} | {digest(value)}" for name, value in ours.items()]
    assert "\n".join(sorted(lines)) == snapshot


def settings_of_the_tap() -> set[str]:
    account = {"access_token", "client_id", "client_secret", "token_url", "org_id", "api_url"}
    return {
        *account,
        "start_date",
        "page_size",
        "request_timeout",
        "user_agent",
        "lookback_seconds",
        "requests_per_minute",
        "concurrency",
        "runs",
    }


def test_secrets_are_marked() -> None:
    described = json.loads("\n".join(run_command("--about", "--format=json").lines))["settings"]["properties"]
    assert {name for name in settings_of_the_tap() if described[name].get("secret")} == {
        "access_token",
        "client_secret",
    }


# The schema of the records


def test_the_key_is_there_and_all_else_may_be_missing() -> None:
    streams = discovered()["streams"]
    assert {stream["tap_stream_id"] for stream in streams} == {stream.name for stream in STREAMS}
    for stream in streams:
        key, properties = stream["key_properties"], stream["schema"]["properties"]
        assert key[0] == next(iter(properties)) == "org_id"
        assert len(key) > 1 or stream["tap_stream_id"] == "organization"
        assert types(properties["org_id"]) == ["string"]
        for name, schema in properties.items():
            assert ("null" in types(schema)) is (name not in key), name
        if stream.get("replication_key"):
            assert properties[stream["replication_key"]]["format"] == "date-time"
        Draft202012Validator.check_schema(stream["schema"])


def test_values_of_today_do_not_close_the_schema(tmp_path: Any) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"runs": {"with": RELATED}}))
    for catalog in (discovered(), discovered("--config", str(config))):
        for part in parts([stream["schema"] for stream in catalog["streams"]]):
            assert not part.keys() & {"enum", "const", "pattern", "$ref"}
            assert part.get("additionalProperties", True)


def test_related_data_has_columns_only_if_it_is_asked_for(tmp_path: Any) -> None:
    def columns(*names: str) -> set[str]:
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"runs": {"with": names}}))
        streams = discovered("--config", str(config))["streams"]
        return next(set(stream["schema"]["properties"]) for stream in streams if stream["tap_stream_id"] == "runs")

    related = CONTRACT.related(PATH)
    assert len(related) == 13
    always = columns()
    assert not always & related
    assert columns("tags", "next_task") == always | {"tags", "next_task"}
    assert columns("tasks.step", "starredByUsers") == always | {"tasks", "starred_by_users"}
    assert columns(*RELATED) == always | related


@pytest.mark.parametrize("wrapped", [True, False])
def test_related_data_arrives_unwrapped(wrapped: bool) -> None:
    with Sandbox(runs=40, seed=3, behaviour=Behaviour(wrapped=wrapped)) as sandbox:
        result = run_tap(sandbox, runs={"with": RELATED})
        assert result.code == 0, result.stderr
        assert {request.query["with"] for request in result.lists} == {",".join(RELATED)}
        assert result.ids == sandbox.runs.keys()
        validator = Draft202012Validator(result.schemas[0]["schema"])
        tagged = 0
        for record in result.records:
            validator.validate(record)
            assert record[EXTRA] is None or not record[EXTRA].keys() & set(RELATED)
            tags = sandbox.hidden("runs")[record["id"]]["tag_ids"]
            assert [tag["id"] for tag in record["tags"]] == list(tags)
            tagged += bool(tags)
            assert record["checklist"]["id"] == record["checklist_id"]
            assert [task["run_id"] for task in record["tasks"]] == [record["id"]] * len(record["tasks"])
            assert record["tasks"]
            assert record["permissions"] == {"process_read": [], "process_launch": []}
        assert tagged


def test_every_record_is_valid_against_the_schema_sent_before_it() -> None:
    result = run_tap(SANDBOX)
    (message,) = result.schemas
    assert result.messages.index(message) < next(i for i, m in enumerate(result.messages) if m["type"] == "RECORD")
    assert message["key_properties"] == ["org_id", "id"]
    validator = Draft202012Validator(message["schema"], format_checker=Draft202012Validator.FORMAT_CHECKER)
    for record in result.records:
        validator.validate(record)
        # Nothing that was sent is lost.
        sent = SANDBOX.runs[record["id"]]
        assert {**record, **(record[EXTRA] or {})}.keys() >= sent.keys()
        assert {name: record[name] for name in ("name", "status", "last_updated", "users")} == {
            name: sent[name] for name in ("name", "status", "last_updated", "users")
        }
    assert len(result.records) == len(SANDBOX.runs)
