from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sandbox import Sandbox
from tap_tallyfy.settings import settings_schema
from tap_tallyfy.streams import STREAMS
from tap_tallyfy.tap import TapTallyfy, lists_among
from tests.meltano import MELTANO, PLUGINS, Project, variables
from tests.pages import README, blocks
from tests.tap import ROOT, environment, run_command, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.wire import Request
    from tests.postgres import Postgres


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(runs=60, seed=3) as sandbox:
        yield sandbox


def runs_of(sandbox: Sandbox) -> dict[str, str]:
    """The environment variables for the processes of an account; what is not about the others does without."""
    chosen = {f"{extractor}__SELECT": '["runs.*"]' for extractor in ("TAP_TALLYFY", "TAP_TALLYFY__FULL")}
    return {**variables("tap-tallyfy", **settings_for(sandbox)), **chosen, "MELTANO_AUTO_INSTALL": "false"}


def sync(project: Project, sandbox: Sandbox, loader: str, extractor: str = "tap-tallyfy", **settings: str) -> None:
    project.meltano("run", extractor, loader, **runs_of(sandbox), **settings)


def change(sandbox: Sandbox) -> None:
    archived = sorted(run_id for run_id, run in sandbox.runs.items() if run["archived_at"])
    listed = sorted(run_id for run_id, run in sandbox.runs.items() if not run["archived_at"])
    for run_id in listed[:10]:
        sandbox.touch(run_id, name=f"Renamed → {run_id[:4]} 🎯")
    for run_id in listed[10:13]:
        sandbox.archive(run_id)
    sandbox.restore(archived[0])
    for number in range(3):
        sandbox.create(name=f"Launched meanwhile {number}")


def truth(sandbox: Sandbox) -> list[tuple[str, str, str, str]]:
    return sorted((run["id"], run["status"], run["name"], run["last_updated"][:19]) for run in sandbox.runs.values())


PROJECT_FILE, PLUGIN_FILE = ROOT / "meltano.yml", ROOT / "meltano-plugin.yml"
#: Between these two lines of the project file.
BEGINNING = (
    "    # Renew what follows with `python -m tests.test_meltano`; nothing is excluded, so `meltano select` adds.\n"
)
END = "    # A new field of the API is a new column at the next run, not when a cache is next cleared.\n"


def generated() -> str:
    """The part of the project file that follows from the tap: what is selected, and the settings, the SDK's too."""
    select = [f"{stream.name}.*" for stream in STREAMS if stream.selected_by_default]
    known = by_full_name(settings_of_the_tap())
    declared = [setting(name, schema) for name, schema in known.items()]
    lines = yaml.safe_dump({"select": select}, sort_keys=False)
    lines += yaml.safe_dump(
        {"settings": declared}, sort_keys=False, width=1000, allow_unicode=True, default_flow_style=None
    )
    return textwrap.indent(lines, "    ")


def settings_of_the_tap() -> dict[str, dict[str, Any]]:
    schema = settings_schema(lists_among(STREAMS))
    TapTallyfy.append_builtin_config(schema)
    found: dict[str, dict[str, Any]] = schema["properties"]
    return found


#: Above the definition that other projects add.
ABOUT_THE_PLUGIN = """\
# The tap as a plugin of any Meltano project that lies beside this checkout:
#   meltano add tap-tallyfy --from-ref ../tap-tallyfy/meltano-plugin.yml
# Renew this file with `python -m tests.test_meltano`. Meltano would drop `select` if it stood outside the variant.
"""
#: What a definition says of the plugin, not of a variant.
OF_THE_PLUGIN = ("name", "namespace", "label")


def plugin_definition() -> str:
    """The extractor of the project file as other projects add it, from a checkout beside them."""
    tap, *_ = yaml.safe_load(PROJECT_FILE.read_text(encoding="utf-8"))["plugins"]["extractors"]
    tap["pip_url"] = "../tap-tallyfy"
    plugin = {name: tap.pop(name) for name in OF_THE_PLUGIN}
    definition = {**plugin, "variants": [{"name": "original", **tap}]}
    text = yaml.safe_dump(definition, sort_keys=False, width=1000, allow_unicode=True, default_flow_style=None)
    return f"{ABOUT_THE_PLUGIN}{text}"


def by_full_name(settings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The settings, those under a list's name one by one."""
    lists = {stream.name for stream in lists_among(STREAMS)}
    known: dict[str, dict[str, Any]] = {}
    for name, schema in settings.items():
        if name in lists:
            known |= {f"{name}.{inner}": described for inner, described in schema["properties"].items()}
        else:
            known[name] = schema
    return known


def setting(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    stream, dot, _ = name.partition(".")
    title = f"{stream.replace('_', ' ').capitalize()}: {schema['title'].lower()}" if dot else schema["title"]
    described = {
        "name": name,
        "kind": kind(schema),
        "value": schema.get("default"),
        "label": title,
        "description": schema["description"],
        "sensitive": schema.get("secret"),
        "options": [{"label": value.replace("-", " ").capitalize(), "value": value} for value in choices(schema)],
    }
    return {key: value for key, value in described.items() if value not in (None, [])}


def choices(schema: dict[str, Any]) -> list[str]:
    """The texts that a setting may be; Meltano would not take a variable for one of several numbers."""
    return [] if schema.get("type") == "integer" else schema.get("enum", [])


def of_runs(sandbox: Sandbox) -> list[Request]:
    return [request for request in sandbox.requests if request.path.endswith("/runs")]


def test_the_project_file_declares_the_settings_of_the_tap() -> None:
    text = PROJECT_FILE.read_text(encoding="utf-8")
    assert f"{BEGINNING}{generated()}{END}" in text, "renew them: python -m tests.test_meltano"
    tap, *others = yaml.safe_load(text)["plugins"]["extractors"]
    assert {other["inherit_from"] for other in others} == {tap["name"]}
    secrets = {declared["name"] for declared in tap["settings"] if declared.get("sensitive")}
    assert secrets == {"access_token", "client_secret"}


def test_the_plugin_file_says_the_same_as_the_project_file() -> None:
    assert PLUGIN_FILE.read_text(encoding="utf-8") == plugin_definition(), "renew it: python -m tests.test_meltano"


def test_the_plugin_file_says_the_same_as_the_tap() -> None:
    about = json.loads("\n".join(run_command("--about", "--format=json").lines))
    said = by_full_name(about["settings"]["properties"])
    plugin = yaml.safe_load(PLUGIN_FILE.read_text(encoding="utf-8"))
    (variant,) = plugin["variants"]
    declared = {each["name"]: each for each in variant["settings"]}
    assert plugin["name"] == variant["executable"] == about["name"]
    assert set(variant["capabilities"]) <= set(about["capabilities"])
    assert declared.keys() == said.keys()
    for name, each in declared.items():
        assert each["description"] == said[name]["description"], name
        assert each.get("value") == said[name].get("default"), name
        assert [option["value"] for option in each.get("options", ())] == choices(said[name]), name
    assert {name for name, each in declared.items() if each.get("sensitive")} == {
        name for name, schema in said.items() if schema.get("secret")
    }


#: Nothing but this machine can be reached.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
OFFLINE = {**dict.fromkeys(PROXIES, "http://127.0.0.1:9"), "NO_PROXY": "127.0.0.1"}


def shell_of_the_readme(word: str) -> list[str]:
    """The commands of the one block of the README that has this word."""
    (lines,) = [block.splitlines() for block in blocks("shell|cron", README) if word in block]
    return lines


@pytest.mark.usefixtures("project")
def test_the_tap_is_added_to_an_empty_project_with_one_command(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("projects")
    (folder / "tap-tallyfy").mkdir()
    shutil.copy(PLUGIN_FILE, folder / "tap-tallyfy")
    Project(folder).meltano("init", "mine", **OFFLINE)
    mine = Project(folder / "mine")

    (command,) = shell_of_the_readme("meltano add")
    program, *arguments = shlex.split(command)
    assert program == "meltano"
    mine.meltano(*arguments, "--no-install", **OFFLINE)  # installing would need a package index

    (added,) = yaml.safe_load((mine.folder / "meltano.yml").read_text(encoding="utf-8"))["plugins"]["extractors"]
    ours, *_ = yaml.safe_load(PROJECT_FILE.read_text(encoding="utf-8"))["plugins"]["extractors"]
    assert (folder / "mine" / added["pip_url"]).resolve() == folder / "tap-tallyfy"
    assert added == {**ours, "variant": "original", "pip_url": added["pip_url"]}

    mine.folder.joinpath(".meltano").mkdir(exist_ok=True)
    (mine.folder / ".meltano/extractors").symlink_to(PLUGINS / "extractors")
    account = variables("tap-tallyfy", **settings_for(sandbox))
    messages = map(json.loads, mine.meltano("invoke", "--no-install", "tap-tallyfy", **account, **OFFLINE).splitlines())
    emitted = {message["stream"] for message in messages if message["type"] == "RECORD"}
    assert emitted == {stream.name for stream in STREAMS if stream.selected_by_default}


def test_the_schedule_of_the_readme_syncs(project: Project, sandbox: Sandbox) -> None:
    path = f"{MELTANO.parent}{os.pathsep}{os.environ['PATH']}"
    for command in shell_of_the_readme("schedule"):
        _, *arguments = shlex.split(command)
        project.meltano(*arguments, **runs_of(sandbox), PATH=path)
    assert [tuple(row) for row in project.duckdb("SELECT id FROM runs ORDER BY id")] == [
        (each,) for each in sorted(sandbox.runs)
    ]


@pytest.mark.skipif(not shutil.which("flock"), reason="flock is there on Linux only")
def test_the_cron_line_of_the_readme_syncs_unless_a_sync_is_busy(project: Project, sandbox: Sandbox) -> None:
    (line,) = shell_of_the_readme("flock -n")
    *when, command = line.split(" ", 5)
    assert len(when) == 5
    assert "%" not in command  # cron would make a line end of it
    command = command.replace("/srv/tap-tallyfy", shlex.quote(str(project.folder)))
    (project.folder / ".venv-meltano").symlink_to(MELTANO.parent.parent)
    env = environment(**runs_of(sandbox))

    # As cron does: with sh, in another folder, and with nothing to read.
    def run(command: str) -> int:
        return subprocess.run(["sh", "-c", command], cwd="/", env=env, stdin=subprocess.DEVNULL, check=False).returncode

    busy = f"cd {shlex.quote(str(project.folder))} && flock output/sync.lock sh -c {shlex.quote(command)}"
    assert run(busy) == 1
    assert sandbox.requests == []
    assert run(command) == 0, (project.folder / "output/sync.log").read_text(encoding="utf-8")
    assert len(project.duckdb("SELECT id FROM runs")) == len(sandbox.runs)


def kind(schema: dict[str, Any]) -> str:
    if choices(schema):
        return "options"
    if schema.get("format") == "date-time":
        return "date_iso8601"
    name = str(schema["type"] if isinstance(schema["type"], str) else schema["type"][0])
    return {"number": "decimal"}.get(name, name)


def test_settings_from_the_environment_reach_the_tap_and_unset_ones_do_not(project: Project) -> None:
    config = project.meltano(
        "config",
        "print",
        "tap-tallyfy",
        TAP_TALLYFY_RUNS_STATUS="active",
        TAP_TALLYFY_RUNS_OWNERS='["1001", "1002"]',
        TAP_TALLYFY_RUNS_STARRED="true",
        TAP_TALLYFY_PAGE_SIZE="7",
    )
    assert (project.folder / "meltano.yml").read_bytes() == (ROOT / "meltano.yml").read_bytes(), "it is left alone"
    assert json.loads(config) == {
        "api_url": "https://go.tallyfy.com/api",
        "concurrency": 8,
        "emit_activate_version_messages": True,
        "page_size": 7,
        "lookback_seconds": 60,
        "request_timeout": 60,
        "trust_totals": True,
        "full_task_sync_hours": 24,
        "tasks": {"archived": "include"},
        "checklists": {"archived": "include"},
        "runs": {"archived": "include", "owners": ["1001", "1002"], "starred": True, "status": "active"},
        "token_url": "https://go.tallyfy.com/oauth/token",
    }


def test_what_meltano_sets_reaches_the_tap_as_what_it_is(project: Project) -> None:
    settings = {  # one of each kind: that all kinds are declared as they are, the first tests show
        "stream_maps": {"runs": {"name": "__NULL__"}},
        "flattening_max_depth": 2,
        "trust_totals": False,
        "full_task_sync_hours": 1.5,
        "report": "output/report.json",
    }
    for name, value in settings.items():
        project.meltano("config", "set", "tap-tallyfy", name, value if isinstance(value, str) else json.dumps(value))
    config = json.loads(project.meltano("config", "print", "tap-tallyfy"))
    assert {name: config.get(name) for name in settings} == settings
    TapTallyfy(config={**config, "org_id": "some", "access_token": "some"})


def test_meltano_select_adds_what_is_off_by_default(project: Project, sandbox: Sandbox) -> None:
    by_default = {stream.name for stream in STREAMS if stream.selected_by_default}
    assert len(STREAMS) > len(by_default | {"comments", "activity_feed"}) > len(by_default) + 1
    project.meltano("select", "tap-tallyfy", "activity_feed", "actor")
    project.meltano("select", "tap-tallyfy", "comments", "*")
    account = {**variables("tap-tallyfy", **settings_for(sandbox)), "MELTANO_AUTO_INSTALL": "false"}
    messages = map(json.loads, project.meltano("invoke", "tap-tallyfy", **account).splitlines())
    columns = {message["stream"]: {*message["record"]} for message in messages if message["type"] == "RECORD"}
    assert columns.keys() == by_default | {"comments", "activity_feed"}
    assert "actor" in columns["activity_feed"]
    assert "verb" not in columns["activity_feed"]


def test_the_extractor_to_be_run_often_reads_what_changes_all_day_and_heeds_a_filter_of_the_environment(
    project: Project, sandbox: Sandbox
) -> None:
    account = {**variables("tap-tallyfy", **settings_for(sandbox)), "MELTANO_AUTO_INSTALL": "false"}
    filters = {"TAP_TALLYFY_RUNS_STATUS": "active", "TAP_TALLYFY_RUNS_ARCHIVED": "exclude"}
    project.meltano("run", "tap-tallyfy--often", "target-jsonl", **account, **filters)
    files = {file.stem: file for file in (project.folder / "output").glob("*.jsonl")}
    assert files.keys() == {"runs", "kickoff_answers", "tasks", "task_answers"}
    assert {request.path.rpartition("/")[2] for request in sandbox.requests} == {"runs", "tasks"}
    with files["runs"].open(encoding="utf-8") as lines:
        written = {json.loads(line)["id"] for line in lines}
    assert written == {run["id"] for run in sandbox.runs.values() if run["status"] == "active"}
    assert "active" in {request.query.get("status") for request in of_runs(sandbox)}, "the API does the filtering"


def test_postgres_holds_what_the_account_holds_after_syncs_of_both_kinds(
    project: Project, sandbox: Sandbox, postgres: Postgres
) -> None:
    loader = variables("target-postgres", **postgres.loader_settings)

    def stored() -> list[tuple[str, str, str, str]]:
        rows = postgres.query("SELECT id, status, name, last_updated FROM tallyfy.runs")
        return sorted((row[0], row[1], row[2], row[3].replace(tzinfo=None).isoformat()) for row in rows)

    sync(project, sandbox, "target-postgres", **loader)
    before = stored()
    assert before == truth(sandbox)

    change(sandbox)
    gone = sorted(run["id"] for run in sandbox.runs.values() if run["archived_at"])[-5:]
    for run_id in gone:
        sandbox.delete(run_id)
    sync(project, sandbox, "target-postgres", "tap-tallyfy--full", **loader)
    deleted = postgres.query("SELECT id FROM tallyfy.runs WHERE _sdc_deleted_at IS NOT NULL")
    assert sorted(row[0] for row in deleted) == gone

    # That has a state of its own, so the other one goes on where it was.
    sandbox.touch(min(sandbox.runs), name="Renamed once more")
    requests = len(of_runs(sandbox))
    sync(project, sandbox, "target-postgres", **loader)
    assert len(of_runs(sandbox)) - requests <= 3
    after = [row for row in stored() if row[0] not in gone]
    assert after == truth(sandbox)
    assert len(after) == len(before) + 3 - len(gone)


def renew() -> None:
    """Write the settings and the plugin file anew."""
    before, _, rest = PROJECT_FILE.read_text(encoding="utf-8").partition(BEGINNING)
    PROJECT_FILE.write_text(f"{before}{BEGINNING}{generated()}{END}{rest.partition(END)[2]}", encoding="utf-8")
    PLUGIN_FILE.write_text(plugin_definition(), encoding="utf-8")


if __name__ == "__main__":
    renew()
