"""Answers of any kind: the tap syncs, or fails with an error of its own; it never breaks."""

from __future__ import annotations

import copy
import io
import json
from contextlib import redirect_stdout, suppress
from decimal import Decimal, InvalidOperation
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, SupportsIndex

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from singer_sdk.exceptions import SingerSDKError

from sandbox import Behaviour, Fault, Sandbox
from tap_tallyfy.api import client
from tap_tallyfy.api.retry import Retry
from tap_tallyfy.records.contract import CONTRACT
from tap_tallyfy.singer.writer import LineWriter
from tap_tallyfy.streams import RunsStream
from tap_tallyfy.tap import TapTallyfy
from tests.tap import run_tap, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import DrawFn, SearchStrategy

PATH = "/organizations/{org_id}/runs"
ENVELOPE = CONTRACT.operation(PATH)["responses"]["200"]["content"]["application/json"]["schema"]

IDS = st.sampled_from([f"{number:032x}" for number in range(12)])
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([2**63, 2**64, -(2**70), 10**400]),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
        st.sampled_from(["", "0", "true", "0000-00-00", "1e999", "9" * 5000, "\0", "\u2028"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | IDS, inner, max_size=3),
    max_leaves=6,
)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        found: Any = CONTRACT.spec
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


@st.composite
def conforming(draw: DrawFn, schema: dict[str, Any]) -> Any:  # noqa: C901, PLR0911 - one case for each type
    """A value the contract allows."""
    schema = resolved(schema)
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return draw(conforming(draw(st.sampled_from(schema[choice]))))
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    kinds = schema.get("type", ["string", "integer", "null"])
    match draw(st.sampled_from(kinds if isinstance(kinds, list) else [kinds])):
        case "object":
            parts = schema.get("properties", {})
            kept = [name for name in parts if name in schema.get("required", ()) or draw(st.integers(0, 3))]
            return {name: draw(conforming(parts[name])) for name in kept}
        case "array":
            return [draw(conforming(schema.get("items", {}))) for _ in range(draw(st.integers(0, 3)))]
        case "string" if schema.get("format") == "date-time":
            return f"{draw(st.datetimes()):%Y-%m-%dT%H:%M:%S}.000Z".rjust(24, "0")
        case "string":
            return draw(st.text(max_size=6))
        case "integer":
            return draw(st.integers(0, 50))
        case "number":
            return draw(st.integers(0, 100) | st.floats(0, 100))
        case "boolean":
            return draw(st.booleans())
    return None


@st.composite
def pages(draw: DrawFn) -> Any:
    """A page the contract allows; ids repeat among pages, as they do in a list that moves."""
    page = draw(conforming(ENVELOPE))
    for row in page["data"]:
        row["id"] = draw(IDS)
    return page


@st.composite
def damaged(draw: DrawFn) -> Any:
    """A page with some of its parts taken away, doubled or replaced."""
    page = copy.deepcopy(draw(pages()))
    for _ in range(draw(st.integers(1, 4))):
        found = list(places(page))
        if not found:
            break
        holder, key = draw(st.sampled_from(found))
        match draw(st.sampled_from(["delete", "replace", "nest", "list", "rename", "stringify"])):
            case "delete":
                del holder[key]
            case "replace":
                holder[key] = draw(JSON)
            case "nest":
                holder[key] = {draw(st.sampled_from(["data", "0", "x"])): holder[key]}
            case "list":
                holder[key] = [holder[key], holder[key]]
            case "rename" if isinstance(holder, dict):
                holder[draw(st.text(max_size=5))] = holder.pop(key)
            case "stringify":
                holder[key] = json.dumps(holder[key])
    return page


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a value where something is, as what holds it and under which key."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def encoded(page: Any, encoding: str) -> bytes:
    return json.dumps(page, ensure_ascii=False).encode(encoding, "replace")


@st.composite
def broken(draw: DrawFn) -> bytes:
    """A page as bytes that went wrong on their way."""
    body = encoded(draw(pages()), draw(st.sampled_from(["utf-8", "utf-16", "latin-1", "utf-8-sig"])))
    where = draw(st.integers(0, len(body)))
    match draw(st.sampled_from(["cut", "insert", "overwrite", "double", "as it is"])):
        case "cut":
            return body[:where]
        case "insert":
            return body[:where] + draw(st.binary(max_size=4)) + body[where:]
        case "overwrite":
            return body[:where] + draw(st.binary(max_size=4)) + body[where + 4 :]
        case "double":
            return body + body
    return body


BODIES: SearchStrategy[bytes] = st.one_of(
    pages().map(lambda page: encoded(page, "utf-8")),
    damaged().map(lambda page: encoded(page, "utf-8")),
    damaged().map(lambda page: encoded(page, "utf-8")),
    JSON.map(lambda value: encoded(value, "utf-8")),
    broken(),
    st.binary(max_size=20),
)


@pytest.fixture(scope="module")
def account() -> Iterator[Sandbox]:
    """An account that is answered for with what a test makes up, and then with what it holds."""
    with pytest.MonkeyPatch.context() as patch, Sandbox(runs=12, behaviour=Behaviour(per_page_cap=5)) as sandbox:
        patch.setattr(client, "time", SimpleNamespace(sleep=lambda _: None, monotonic=lambda: 0.0))
        patch.setattr(client, "Retry", lambda: Retry(tries=2))
        yield sandbox


def faults(bodies: list[bytes | None]) -> list[Fault | None]:
    return [None if body is None else Fault("body", body) for body in bodies]


def number(text: str) -> Decimal | float:
    """Parse a number; inside a free object it may be one that no decimal can hold, as it was sent."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return float(text)


class RunsAlone(TapTallyfy):
    """The tap with the stream of processes alone."""

    stream_types = (RunsStream,)


def flush(tap: RunsAlone) -> None:
    """Do what happens at the end of the process."""
    assert isinstance(tap.message_writer, LineWriter)
    tap.message_writer.flush()


def sync(sandbox: Sandbox, bodies: list[bytes | None], **config: Any) -> bool:
    """Sync in this process; return whether that went well, and check all that was emitted."""
    sandbox.faults = faults(bodies)
    before = len(sandbox.requests)
    tap = RunsAlone(config=settings_for(sandbox, **config))
    with redirect_stdout(io.TextIOWrapper(io.BytesIO())) as stdout:
        try:
            tap.sync_all()
            well = True
        except SingerSDKError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017 - neither success nor failure is expected
            well = False
        finally:
            flush(tap)
            tap.session.client.close()
    assert len(sandbox.requests) - before < 200
    validators: dict[str, Draft202012Validator] = {}
    stdout.seek(0)
    for line in stdout.buffer:
        assert line.endswith(b"\n")
        message = json.loads(line, parse_float=number)
        if message["type"] == "SCHEMA":
            checker = FormatChecker(["date-time"])
            validators[message["stream"]] = Draft202012Validator(message["schema"], format_checker=checker)
        elif message["type"] == "RECORD":
            assert list(validators[message["stream"]].iter_errors(message["record"])) == []
    return well


SLOW = settings(max_examples=20, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


@SLOW
@given(st.lists(st.none() | BODIES, min_size=1, max_size=6), st.sampled_from([1, 4]))
def test_only_errors_of_its_own_escape(account: Sandbox, bodies: list[bytes | None], concurrency: int) -> None:
    sync(account, bodies, concurrency=concurrency, page_size=5)


@SLOW
@given(st.lists(damaged(), min_size=1, max_size=4), st.sampled_from(["include", "exclude", "only"]))
def test_damaged_pages_one_after_the_other(account: Sandbox, made: list[Any], archived: str) -> None:
    related = ["checklist", "tags", "tasks", "folders", "permissions"]
    bodies: list[bytes | None] = [encoded(page, "utf-8") for page in made]
    sync(account, bodies, page_size=5, runs={"archived": archived, "with": related})


@settings(SLOW, max_examples=10)
@given(st.lists(pages(), min_size=1, max_size=3))
def test_a_page_the_contract_allows_needs_no_extra(account: Sandbox, made: list[Any]) -> None:
    for page in made:
        page["meta"] = {"pagination": {"total": len(page["data"])}}
    account.faults = []
    bodies: list[bytes | None] = [encoded(page, "utf-8") for page in made]
    sync(account, bodies)


def test_the_account_itself_can_be_read(account: Sandbox) -> None:
    assert sync(account, [])


RUN = b'{"id": "a", "last_updated": "2025-01-15T10:00:00Z"}'
WORST: dict[str, list[bytes]] = {
    "a number no decimal can hold": [b'{"data": [{"id": "a", "new": 1e99999999999999999999999}]}'],
    "a number of 5,000 digits": [b'{"data": [{"id": "a", "late_tasks": ' + b"9" * 5000 + b"}]}"],
    "a number with a large exponent": [b'{"data": [{"id": "a", "progress": {"percent": 1e999999999999999999}}]}'],
    "a text with one": [b'{"data": [{"id": "a", "progress": {"percent": "1e99999999999999999999"}}]}'],
    "half a surrogate": [b'{"data": [{"id": "a", "name": "\\ud800"}]}'],
    "control characters in names": [b'{"data": [{"id": "a", "\\u0000\\n\\u001b[31m": 1}]}'],
    "deeply nested": [b'{"data": [{"id": "a", "prerun": {"x": ' + b"[" * 900 + b"]" * 900 + b"}}]}"],
    "nested too deep": [b'{"data": [{"id": "a", "prerun": {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}]}"],
    "deep in a text": [b'{"data": [{"id": "a", "name": ' + b"[" * 970 + b"]" * 970 + b"}]}"],
    "deep in an unknown field": [b'{"data": [{"id": "a", "new": ' + b'{"a":' * 970 + b"1" + b"}" * 970 + b"}]}"],
    "deep beside the data": [b'{"data": [%b], "meta": ' % RUN + b"[" * 980 + b"]" * 980 + b"}"],
    "no text of any encoding": [b'{"data": [{"id": "a", "name": "\xff"}], "meta": "\xff"}'],
    "a total beyond all bounds": [b'{"data": [%b], "meta": {"pagination": {"total": 1e300, "per_page": 0}}}' % RUN] * 9,
    "a total that is large": [b'{"data": [%b], "meta": {"pagination": {"total": 999999999999}}}' % RUN] * 9,
    "negative numbers": [b'{"data": [%b], "meta": {"pagination": {"total": -1, "total_pages": -1}}}' % RUN] * 9,
    "a link to nowhere": [b'{"data": [%b], "meta": {"pagination": {"links": {"next": {"a": 1}}}}}' % RUN] * 9,
    "rows with one id": [b'{"data": [%b, %b, {"id": "a"}]}' % (RUN, RUN)],
    "dates that are none": [b'{"data": [{"id": "a", "last_updated": "0000-00-00 00:00:00", "created_at": []}]}'],
    "UTF-16": ['{"data": [{"id": "a"}]}'.encode("utf-16")],
    "gzip, unannounced": [bytes.fromhex("1f8b0800000000000003ab56ca48cdc9c95700000000ffff")],
    "zeros": [bytes(10_000)],
    "nothing": [b""],
}


@pytest.mark.parametrize("bodies", WORST.values(), ids=WORST.keys())
def test_the_worst_through_the_whole_process(bodies: list[bytes]) -> None:
    with Sandbox(runs=3) as sandbox:
        sandbox.faults = [Fault("body", body) for body in bodies]
        result = run_tap(sandbox, page_size=1, concurrency=4)
    assert "Traceback" not in result.stderr
    assert result.code in {0, 75, 78}
    assert len(result.errors) == (result.code != 0)
    assert all(json.loads(line)["type"] in {"SCHEMA", "RECORD", "STATE", "ACTIVATE_VERSION"} for line in result.lines)


@pytest.mark.parametrize("bodies", WORST.values(), ids=WORST.keys())
def test_the_worst_on_a_later_page(account: Sandbox, bodies: list[bytes]) -> None:
    sync(account, [None, *bodies], page_size=5)


@pytest.mark.parametrize("place", ["prerun", "meta"])
def test_a_number_no_decimal_can_hold_after_a_page_as_the_contract_has_it(account: Sandbox, place: str) -> None:
    rows = list(account.runs.values())[:5]
    odd = {"prerun": {"x": "@"}} if place == "prerun" else {}
    page = {"data": [{**row, **odd} for row in rows], "meta": {"x": "@" if place == "meta" else 1}}
    body = json.dumps(page).replace('"@"', "1e99999999999999999999").encode()
    assert sync(account, [None, body], page_size=5, concurrency=1)


#: More requests than one record is worth, even to one who tries every way to read the list.
MOST_REQUESTS = 1500


class Endless(list[Fault | None]):
    """Answers that begin again when they are used up; a sync that does not end is refused."""

    def __init__(self, bodies: list[bytes | None]) -> None:
        super().__init__(faults(bodies))
        self.answered = 0

    def pop(self, _index: SupportsIndex = 0) -> Fault | None:
        self.answered += 1
        return Fault("status", 403) if self.answered > MOST_REQUESTS else self[(self.answered - 1) % len(self)]


@pytest.mark.parametrize("archived", ["include", "exclude", "only"])
@pytest.mark.parametrize("page_size", [1, 100])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"data": [%b], "meta": {"pagination": {"total": 99999999999999}}}' % RUN, id="total"),
        pytest.param(b'{"data": [{"id": "a"}], "meta": {"pagination": {"total": 99999999999999}}}', id="no-dates"),
        pytest.param(b'{"data": [%b], "meta": {"pagination": {"links": {"next": "/"}}}}' % RUN, id="link"),
        pytest.param(b'{"data": [], "meta": {"pagination": {"total": 9, "links": {"next": "/"}}}}', id="empty"),
    ],
)
def test_a_server_that_says_the_same_for_ever_does_not_keep_the_tap_for_ever(
    account: Sandbox, body: bytes, page_size: int, archived: str
) -> None:
    account.faults = answers = Endless([body])
    tap = RunsAlone(config=settings_for(account, page_size=page_size, runs={"archived": archived}))
    with redirect_stdout(io.TextIOWrapper(io.BytesIO())):
        with suppress(SingerSDKError):
            tap.sync_all()
        flush(tap)
    tap.session.client.close()
    assert 0 < answers.answered <= MOST_REQUESTS
