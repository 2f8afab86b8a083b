"""Holds README.md and docs/ to the code; `python -m tests.test_readme` renews their tables."""

from __future__ import annotations

import ast
import json
import re
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tap_tallyfy.contract import CONTRACT
from tap_tallyfy.stream import ListStream
from tap_tallyfy.tap import TapTallyfy
from tests.tap import ROOT, run_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

README = ROOT / "README.md"
SOURCE = sorted((ROOT / "tap_tallyfy").glob("*.py"))
#: The first setting that is not the tap's own in what `--about` lists.
SDK_SETTINGS = "| stream_maps |"


def readme() -> str:
    return README.read_text(encoding="utf-8")


def section(page: Path, name: str) -> str:
    """What stands between two markers."""
    text = page.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n\n(.*?)\n\n<!-- /{name} -->", text, re.DOTALL)
    assert found, f"{page.name} has no section between markers '{name}'"
    return found[1]


@cache
def about() -> tuple[str, ...]:
    """The table of settings, the SDK's own among them."""
    done = run_command("--about", "--format=markdown")
    assert done.code == 0, done.stderr
    return tuple(line for line in done.lines[done.lines.index("## Settings") :] if line.startswith("|"))


@cache
def paths() -> dict[str, str]:
    """The path of each stream's list."""
    tap = TapTallyfy(config={}, validate_config=False)
    return {stream.name: stream.path or "" for stream in tap.discover_streams() if isinstance(stream, ListStream)}


@cache
def catalog() -> list[dict[str, Any]]:
    """The streams, with all data that can be related to their records."""
    config = {name: {"with": sorted(CONTRACT.related(path))} for name, path in paths().items()}
    tap = TapTallyfy(config=config, validate_config=False)
    streams: list[dict[str, Any]] = tap.catalog_dict["streams"]
    return streams


def settings_table(*, lists: bool) -> str:
    """The settings of the tap, those of the lists or the others."""
    lines = about()
    ours = lines[2 : next(i for i, line in enumerate(lines) if line.startswith(SDK_SETTINGS))]
    names = [line.split("|")[1].strip().split(".")[0] for line in ours]
    chosen = [line for line, name in zip(ours, names, strict=True) if (name in paths()) is lists]
    return "\n".join([*lines[:2], *chosen])


def stream_table() -> str:
    rows = ["| Stream | From | Key | Replication |", "|---|---|---|---|"]
    for entry in catalog():
        name, key = entry["tap_stream_id"], ", ".join(f"`{field}`" for field in entry["key_properties"][1:])
        method = str(entry["replication_method"]).lower().replace("_", " ")
        replication = f"{method}, by `{entry['replication_key']}`" if "replication_key" in entry else method
        rows.append(f"| `{name}` | {origins()[name]} | {key} | {replication} |")
    return "\n".join(rows)


@cache
def origins() -> dict[str, str]:
    """Where each stream comes from."""
    tap = TapTallyfy(config={}, validate_config=False)
    heads = {stream.name: stream.family.head.name for stream in tap.discover_streams()}
    return {
        name: f"`GET {paths()[name]}`" if name == head else f"`{head}`, read once for both"
        for name, head in heads.items()
    }


def all_fields() -> str:
    return "\n\n".join(f"## `{entry['tap_stream_id']}`\n\n{field_table(entry)}" for entry in catalog())


def field_table(entry: dict[str, Any]) -> str:
    rows = ["| Field | Type | What it is |", "|---|---|---|"]
    for name, schema in entry["schema"]["properties"].items():
        rows.append(f"| `{name}` | {kind(schema)} | {schema['description']} |")
    return "\n".join(rows)


def kind(schema: dict[str, Any]) -> str:
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    names = [name for name in types if name != "null"]
    if schema.get("format") == "date-time":
        return "date-time"
    return f"array of {plural(schema['items'])}" if names == ["array"] else " or ".join(names)


def plural(schema: dict[str, Any]) -> str:
    return " or ".join(f"{name}s" for name in kind(schema).split(" or "))


def choices() -> str:
    """The values of the settings that have a choice of them."""
    lines = []
    for stream, path in paths().items():
        for name in settings_of(stream):
            schema = CONTRACT.query_parameters(path)[name]["schema"]
            values = schema.get("enum") or schema.get("items", {}).get("enum")
            if values and name != "archived":
                lines.append(f"- `{stream}.{name}`: {', '.join(f'`{value}`' for value in values)}.")
    return "\n".join(lines)


def settings_of(stream: str) -> Iterable[str]:
    properties: dict[str, Any] = TapTallyfy.config_jsonschema["properties"][stream]["properties"]
    return properties.keys()


STREAMS_PAGE, SETTINGS_PAGE = ROOT / "docs" / "streams.md", ROOT / "docs" / "settings.md"
TABLES: dict[tuple[Path, str], Callable[[], str]] = {
    (README, "settings"): partial(settings_table, lists=False),
    (README, "streams"): stream_table,
    (SETTINGS_PAGE, "settings"): partial(settings_table, lists=True),
    (SETTINGS_PAGE, "choices"): choices,
    (STREAMS_PAGE, "fields"): all_fields,
}


@pytest.mark.parametrize(("page", "name"), TABLES, ids=[f"{page.stem} {name}" for page, name in TABLES])
def test_tables_are_those_of_the_code(page: Path, name: str) -> None:
    assert section(page, name) == TABLES[page, name](), "renew it: python -m tests.test_readme"


def test_the_settings_of_the_sdk_are_named() -> None:
    lines = about()
    first = next(i for i, line in enumerate(lines) if line.startswith(SDK_SETTINGS))
    names = {line.split("|")[1].strip().split(".")[0] for line in lines[first:]}
    assert len(names) > 1
    assert [name for name in names if f"`{name}`" not in readme()] == []


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)\.py::(test_\w+)`", readme()))
    there = {(file.stem, name) for file in (ROOT / "tests").glob("test_*.py") for name in functions(file)}
    assert len(named) > 10
    assert named - there == set()


def functions(file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return (node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_every_file_and_make_target_that_is_named_exists() -> None:
    paths = re.findall(r"`((?:tap_tallyfy|tests|sandbox|schemas|demo)/[\w./]*)`|\]\(([\w./]+)\)", readme())
    named = [path or link for path, link in paths]
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", readme())) <= targets


def test_versions_of_loaders_are_those_of_the_project_file() -> None:
    plugins = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]
    pins = [pin for loader in plugins["loaders"] for pin in loader["pip_url"].split()]
    assert [pin for pin in pins if f"`{pin}`" not in readme()] == []


# What the tap says


def sentences() -> Iterator[str]:
    """Everything the tap may say when something is unusual, with `…` for what differs from time to time."""
    for file in SOURCE:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for said in spoken(node):
                if (text := template(said)).strip("…%s: "):
                    yield text


def spoken(node: ast.AST) -> list[ast.expr]:
    """The expressions of a syntax node that people come to read."""
    if isinstance(node, ast.Assign):
        inside = [inner for target in node.targets for inner in ast.walk(target)]
        names = {getattr(inner, "id", getattr(inner, "attr", None)) for inner in inside}
        return [node.value] if names & {"msg", "why"} else []
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.args[:1] if node.func.attr in {"warning", "error"} else []
    if isinstance(node, ast.FunctionDef) and node.name in {"explain", "cause"}:
        return [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return) and inner.value]
    return [node.value] if isinstance(node, ast.Yield) and node.value else []


def template(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return re.sub(r"%[sd]|%\.\df", "…", node.value) if isinstance(node.value, str) else ""
    pieces = node.values if isinstance(node, ast.JoinedStr) else []
    return "".join(template(piece) if isinstance(piece, ast.Constant) else "…" for piece in pieces)


def explained() -> list[str]:
    """The first column of the tables under Troubleshooting, without the quotes."""
    rows = readme().split("## Troubleshooting", 1)[1].split("\n## ", 1)[0].splitlines()
    return [row.split(" | ")[0].removeprefix("| ") for row in rows if row.startswith("| ") and " | " in row][1:]


def test_every_sentence_that_is_explained_can_be_said() -> None:
    said = list(sentences())
    rows = explained()
    assert len(rows) > 30
    assert [row for row in rows if not any(row in sentence for sentence in said)] == []


def test_every_sentence_that_can_be_said_is_explained() -> None:
    rows = explained()
    assert [sentence for sentence in sentences() if not any(row in sentence for row in rows)] == []


def test_the_example_of_settings_is_valid() -> None:
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", readme(), re.DOTALL)]
    assert len(blocks) > 0
    for config in blocks:
        TapTallyfy(config=config)


def renew() -> None:
    """Write the tables anew."""
    for (page, name), table in TABLES.items():
        text = page.read_text(encoding="utf-8")
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(start)
        text = f"{before}{start}\n{table()}\n\n{end}{rest.partition(end)[2]}"
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    renew()
