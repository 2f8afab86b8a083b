"""Holds README.md and docs/ to the code; `python -m tests.test_readme` renews their generated parts."""

from __future__ import annotations

import ast
import builtins
import json
import os
import re
import subprocess
import sys
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
import yaml

from sandbox import Sandbox
from tap_tallyfy.records.contract import CONTRACT
from tap_tallyfy.singer.list_stream import ListStream
from tap_tallyfy.tap import TapTallyfy
from tests.pages import DOCS, PAGES, README, blocks, text_of
from tests.tap import ROOT, TAP, environment, run_command, run_tap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SOURCE = sorted((ROOT / "tap_tallyfy").rglob("*.py"))
#: The first setting that is not the tap's own in what `--about` lists.
SDK_SETTINGS = "| stream_maps |"


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
    return {stream.name: stream.contract_key for stream in tap.discover_streams() if isinstance(stream, ListStream)}


@cache
def catalog() -> list[dict[str, Any]]:
    """The streams, with all data that can be related to their records."""
    config = {name: {"with": sorted(CONTRACT.with_words(path))} for name, path in paths().items()}
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
        name = entry["tap_stream_id"]
        key = ", ".join(f"`{field}`" for field in entry["key_properties"][1:] or entry["key_properties"])
        method = str(entry["replication_method"]).lower().replace("_", " ")
        replication = f"{method}, by `{entry['replication_key']}`" if "replication_key" in entry else method
        rows.append(f"| `{name}` | {origins()[name]} | {key} | {replication} |")
    return "\n".join(rows)


@cache
def origins() -> dict[str, str]:
    """Where each stream comes from."""
    tap = TapTallyfy(config={}, validate_config=False)
    heads = {stream.name: stream.shared.parent.name for stream in tap.discover_streams()}
    return {name: f"`GET {paths()[name]}`" if name == head else f"read with `{head}`" for name, head in heads.items()}


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
    described: dict[str, Any] = TapTallyfy.config_jsonschema["properties"].get(stream, {})
    return list(described.get("properties", {}))


def record() -> str:
    """A record of a stream with few fields, as the tap reads it from the sandbox: the first answer that is a list."""
    with Sandbox(runs=20, seed=3) as sandbox:
        records = run_tap(sandbox, command=TAP).records
    answers = (record for record in records if record.keys() == ANSWER_FIELDS)
    chosen = next(answer for answer in answers if str(answer["value_json"]).startswith("["))
    return f"```json\n{json.dumps(chosen, indent=1, ensure_ascii=False)}\n```"


ANSWER_FIELDS = {"org_id", "run_id", "field_id", "checklist_id", "value", "value_json", "last_updated", "_extra"}
TABLES: dict[tuple[Path, str], Callable[[], str]] = {
    (README, "streams"): stream_table,
    (DOCS["streams"], "record"): record,
    (DOCS["settings"], "settings"): partial(settings_table, lists=False),
    (DOCS["settings"], "lists"): partial(settings_table, lists=True),
    (DOCS["settings"], "choices"): choices,
    (DOCS["streams"], "fields"): all_fields,
}


@pytest.mark.parametrize(("page", "name"), TABLES, ids=[f"{page.stem} {name}" for page, name in TABLES])
def test_tables_are_those_of_the_code(page: Path, name: str) -> None:
    assert section(page, name) == TABLES[page, name](), "renew it: python -m tests.test_readme"


def test_the_readme_is_short() -> None:
    assert len(text_of(README).splitlines()) <= 170


def test_the_settings_of_the_sdk_are_named() -> None:
    lines = about()
    first = next(i for i, line in enumerate(lines) if line.startswith(SDK_SETTINGS))
    names = {line.split("|")[1].strip().split(".")[0] for line in lines[first:]}
    assert len(names) > 1
    assert [name for name in names if f"`{name}`" not in text_of(DOCS["settings"])] == []


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)\.py::(test_\w+)`", text_of(*PAGES)))
    there = {(file.stem, name) for file in (ROOT / "tests").glob("test_*.py") for name in functions(file)}
    assert len(named) > 10
    assert named - there == set()


def functions(file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return (node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_every_file_module_and_make_target_that_is_named_exists() -> None:
    text = text_of(*PAGES)
    named = re.findall(r"`((?:tap_tallyfy|tests|sandbox|schemas|benchmarks|docs)/[\w./]*)`", text)
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []
    modules = {
        module.replace(".", "/") for module in re.findall(r"python -m ((?:tests|sandbox|benchmarks)[\w.]*)", text)
    }
    assert len(modules) > 2
    assert [path for path in modules if not (ROOT / f"{path}.py").exists() and not (ROOT / path).is_dir()] == []
    targets = set(re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)\b(?=`|\n| DEMO)", text)) <= targets


def test_every_module_of_the_tap_is_in_its_folder() -> None:
    (tree,) = re.findall(r"^```\ntap_tallyfy/\n(.*?)^```", text_of(DOCS["developing"]), re.DOTALL | re.MULTILINE)
    listed: set[str] = set()
    folder = ""
    for word in re.findall(r"[a-z_]+(?:/|\.py)?", tree.replace("a contributor starts here", "")):
        if word.endswith("/"):
            folder = word
        else:
            listed.add(word if word.endswith(".py") else f"{folder}{word}.py")
    there = (file.relative_to(ROOT / "tap_tallyfy").as_posix() for file in SOURCE if not file.name.startswith("__"))
    assert listed == set(there)


def test_versions_of_loaders_are_those_of_the_project_file() -> None:
    plugins = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]
    pins = [pin for loader in plugins["loaders"] for pin in loader["pip_url"].split()]
    assert [pin for pin in pins if f"`{pin}`" not in text_of(DOCS["loaders"])] == []


# Links


def without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "code", text, flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(text_of(page)))
    broken = []
    for link in links:
        path, _, anchor = unquote(link).partition("#")
        if "://" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or ROOT not in target.parents or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_linked_from_the_readme() -> None:
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text_of(README))}
    assert {f"docs/{page.name}" for page in DOCS.values()} <= links


def test_drawings_bring_a_background_of_their_own() -> None:
    drawings = list((ROOT / "docs").glob("*.svg"))
    assert drawings
    for drawing in drawings:
        root = ET.fromstring(text_of(drawing))
        shapes = [shape for shape in root if not shape.tag.endswith(("}title", "}desc"))]
        assert (shapes[0].get("width"), shapes[0].get("height")) == (root.get("width"), root.get("height"))
        assert drawing.name in text_of(README)


# Commands


@pytest.mark.parametrize(
    "block", [*blocks("shell", *PAGES), *(line.split(" ", 5)[5] for line in blocks("cron", *PAGES))]
)
def test_commands_are_shell_and_their_programs_are_ours(block: str) -> None:
    parsed = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
    assert (parsed.returncode, parsed.stderr) == (0, "")


#: Keeps all messages, and says how far it has come, as a target does.
SOME_TARGET = f"""#!{sys.executable}
import json, sys
with open("messages", "a", encoding="utf-8") as messages:
    for line in sys.stdin:
        messages.write(line)
        if (message := json.loads(line))["type"] == "STATE":
            print(json.dumps(message["value"]), flush=True)
"""


def run_script(script: str, folder: Path, **variables: str) -> None:
    """Run commands of the README in a folder, with the programs of this environment."""
    (folder / ".venv").symlink_to(Path(sys.prefix))
    env = environment(**variables)
    env["PATH"] = os.pathsep.join((str(folder), str(folder / ".venv/bin"), env["PATH"]))
    bash = ["bash", "-euo", "pipefail", "-c", f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}"]
    done = subprocess.run(bash, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_commands_for_the_tap_alone_sync_an_account(tmp_path: Path) -> None:
    (block,) = [block for block in blocks("shell", README) if "some-target" in block]
    install, script = block.split("\n", 1)
    assert install.startswith("uv tool install")  # needs a package index, and the tap is here
    target = tmp_path / "some-target"
    target.write_text(SOME_TARGET, encoding="utf-8")
    target.chmod(0o755)
    with Sandbox(runs=30, seed=3) as sandbox:
        script = script.replace("ACCESS_TOKEN=...", f"ACCESS_TOKEN={sandbox.access_token}")
        script = script.replace("ORG_ID=...", f"ORG_ID={sandbox.org_id}")
        run_script(script, tmp_path, TAP_TALLYFY_API_URL=sandbox.api_url)
    messages = map(json.loads, (tmp_path / "messages").read_text(encoding="utf-8").splitlines())
    rows = (message for message in messages if message["type"] == "RECORD" and message["stream"] == "tasks")
    read = [message["record"]["id"] for message in rows]
    tasks = sandbox.records("tasks").keys()
    assert set(read) == tasks
    assert len(read) < 1.1 * len(tasks)  # the second sync reads only the last minute again


def test_the_sandbox_is_an_account_in_the_lines_of_the_readme(tmp_path: Path) -> None:
    (script,) = [block for block in blocks("shell", README) if "python -m sandbox" in block]
    assert len(script.splitlines()) == 4
    run_script(script, tmp_path)
    messages = map(json.loads, (tmp_path / "messages.jsonl").read_text(encoding="utf-8").splitlines())
    rows = [message["record"]["id"] for message in messages if message.get("stream") == "runs" and "record" in message]
    assert len(rows) == len(set(rows)) == 1000


# What the tap says


def sentences() -> Iterator[str]:
    """The sentences that the tap may log or end with, with `…` for what differs from time to time."""
    for tree in trees():
        for node in ast.walk(tree):
            for said in spoken(node):
                if (text := template(said)).strip("…%s: "):
                    yield text


def texts() -> Iterator[str]:
    """All texts in the code, the parts of sentences among them; with `…` for what differs from time to time."""
    for tree in trees():
        yield from filter(None, (template(node) for node in ast.walk(tree) if isinstance(node, ast.expr)))


def trees() -> Iterator[ast.Module]:
    return (ast.parse(file.read_text(encoding="utf-8")) for file in SOURCE)


def spoken(node: ast.AST) -> list[ast.expr]:
    """The expressions of a syntax node that people come to read."""
    match node:
        case ast.Call(func=ast.Attribute(attr="warning" | "error" | "critical"), args=[text, *_]):
            return [text]
        case ast.Raise(exc=ast.Call() as made) | ast.Return(value=ast.Call() as made) if made.args:
            name = getattr(made.func, "id", "")
            is_told = name.endswith("Error") and name != "SurpriseError" and not hasattr(builtins, name)
            return made.args[:1] if is_told else []
        case ast.Yield(value=ast.expr() as text):
            return [text]
        case ast.Assign(targets=[ast.Name(id="msg" | "sentence" | "why")], value=text):
            return [text]
    return []


def template(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return re.sub(r"%[sd]|%\.\df", "…", node.value) if isinstance(node.value, str) else ""
    pieces = node.values if isinstance(node, ast.JoinedStr) else []
    return "".join(template(piece) if isinstance(piece, ast.Constant) else "…" for piece in pieces)


def explained() -> list[str]:
    """The first column of the table of errors, without the quotes."""
    table = text_of(DOCS["troubleshooting"]).partition("\n| What it says | What to do |\n")[2].partition("\n\n")[0]
    return [row.split(" | ")[0].removeprefix("| ") for row in table.splitlines()[1:]]


def test_every_sentence_that_is_explained_can_be_said() -> None:
    said = list(texts())
    rows = explained()
    assert len(rows) > 30
    assert [row for row in rows if not any(row in text for text in said)] == []


def test_every_sentence_that_can_be_said_is_explained() -> None:
    rows = explained()
    assert sorted({sentence for sentence in sentences() if not any(row in sentence for row in rows)}) == []


def test_examples_of_settings_are_valid() -> None:
    configs = [json.loads(block) for block in blocks("json", DOCS["settings"])]
    assert configs
    for config in configs:
        TapTallyfy(config=config)


def renew() -> None:
    """Write the generated parts anew."""
    for (page, name), table in TABLES.items():
        text = page.read_text(encoding="utf-8")
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(start)
        text = f"{before}{start}\n{table()}\n\n{end}{rest.partition(end)[2]}"
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    renew()
