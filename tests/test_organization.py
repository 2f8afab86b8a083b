"""One organization of many: the command in `orchestrate/`, with a real database, Meltano, loader and sandbox."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sandbox import Sandbox
from tests.organizations import (
    ALL_COMPLETE,
    PASSWORD,
    PATIENCE,
    PROJECT,
    TAP_ALONE,
    UNIT,
    Platform,
    child,
    held,
    marked,
    processes,
    wait_for_end,
    wait_for_lock,
)
from tests.tap import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.organizations import Make


def test_the_slim_project_reads_what_the_other_one_reads() -> None:
    of_all = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]
    for kind, name, keys in (
        ("extractors", "tap-tallyfy", ("select",)),
        ("extractors", "tap-tallyfy--full", ("metadata",)),
        ("extractors", "tap-tallyfy--often", ("select",)),
        ("loaders", "target-postgres", ("pip_url",)),
    ):
        (slim,) = (plugin for plugin in PROJECT["plugins"][kind] if plugin["name"] == name)
        (full,) = (plugin for plugin in of_all[kind] if plugin["name"] == name)
        assert [slim[key] for key in keys] == [full[key] for key in keys]
    assert sum(len(plugin.get("settings", ())) for of_kind in PROJECT["plugins"].values() for plugin in of_kind) < 20


#: A list that fails, and one that is filtered, with what says so to the tap.
UNREAD: dict[str, tuple[set[str], dict[str, str], int]] = {
    "tasks": ({"tasks"}, {}, 77),
    "runs": (set(), {"TAP_TALLYFY_RUNS": '{"status": "active"}'}, 0),
}


@pytest.mark.parametrize("strong", [True, False])
@pytest.mark.parametrize("stream", UNREAD)
def test_a_list_that_failed_or_is_filtered_has_nothing_marked(make: Make, stream: str, strong: bool) -> None:
    platform = make()
    platform.make_tables()  # nothing is loaded, so that their rows seem to be gone
    platform.instead_of_meltano(TAP_ALONE)
    if not strong:
        platform.weaken('dict(report["complete"])', "dict.fromkeys(report['streams'], {'began': 'now'})")
        platform.weaken('if status == 0 and report["outcome"] == "done":', "if report['outcome']:")
    forbidden, variables, code = UNREAD[stream]
    platform.accounts["acme"].behaviour.forbidden = frozenset(forbidden)
    ended = platform.sync("acme", variables=variables)
    assert ended.code == (code if strong else 0), ended.log[-5000:]
    assert marked(platform, stream) == (0 if strong else 1)
    if strong and code:
        assert (ended.line["outcome"], ended.line["marked"]) == ("failed", 0)
        assert "403" in ended.line["message"]
    else:
        assert marked(platform, "tags") == 1


# Processes that are killed


@pytest.mark.parametrize("strong", [True, False])
def test_the_lock_stays_with_meltano_when_the_unit_is_killed(make: Make, strong: bool) -> None:
    platform = make()
    os.mkfifo(platform.folder / "gate")
    platform.instead_of_meltano("echo began >&2; read line < gate")
    if not strong:
        platform.weaken('"pass_fds": [database.fileno()]', '"pass_fds": []')
    unit = platform.start("acme")
    wait_for_line(platform, "began")
    group = child(unit.pid)
    unit.kill()
    platform.end(unit)
    platform.instead_of_meltano("exit 1")
    assert platform.sync("acme").code == (73 if strong else 75)
    os.killpg(group, signal.SIGKILL)
    wait_for_end(group)
    wait_for_lock(platform)
    assert platform.sync("acme").code == 75
    assert len(platform.syncs()) == (2 if strong else 3), "a busy one is not noted"


@pytest.mark.parametrize("strong", [True, False])
def test_nothing_outlives_a_sync(make: Make, strong: bool) -> None:
    platform = make()
    platform.instead_of_meltano("sleep 1000 & echo $$ > group; exit 1")
    if not strong:
        platform.weaken("os.killpg(meltano.pid, signal.SIGKILL)", "raise ProcessLookupError")
    assert platform.sync("acme").code == 75
    group = int((platform.folder / "group").read_text())
    try:
        assert (processes(group) == {}) is strong
    finally:
        if not strong:
            os.killpg(group, signal.SIGKILL)


def wait_for_line(platform: Platform, line: str) -> None:
    for _ in range(PATIENCE * 10):
        if line in (platform.folder / "log").read_text(encoding="utf-8"):
            return
        threading.Event().wait(0.1)
    pytest.fail(f"{line} was not logged")


# Exit codes


def test_a_signal_is_passed_on_to_all_processes(make: Make) -> None:
    platform = make()
    platform.instead_of_meltano(TAP_ALONE)
    with held(platform.accounts["acme"], 3) as reached:
        unit = platform.start("acme")
        assert reached.wait(PATIENCE)
        group = child(unit.pid)
        unit.terminate()
        ended = platform.end(unit)
    assert (ended.code, ended.line["outcome"]) == (128 + signal.SIGTERM, "retry")
    assert processes(group) == {}
    assert platform.syncs() == [("incremental", "retry", 143)]


def test_processes_that_do_not_heed_a_signal_are_killed(make: Make) -> None:
    platform = make()
    platform.weaken("time.monotonic() + 20", "time.monotonic() + 1")
    platform.instead_of_meltano("trap '' TERM; echo began >&2; while true; do sleep 1; done")
    unit = platform.start("acme")
    wait_for_line(platform, "began")
    group = child(unit.pid)
    unit.terminate()
    assert platform.end(unit).code == 143
    assert processes(group) == {}


def refuse_token(account: Sandbox) -> None:
    account.revoke_tokens()


def refuse_list(account: Sandbox) -> None:
    account.behaviour.forbidden = frozenset({"runs"})


@pytest.mark.parametrize(("breakage", "code"), [(refuse_token, 77), (refuse_list, 77)])
def test_the_tap_says_how_a_sync_has_failed(make: Make, breakage: Callable[[Sandbox], None], code: int) -> None:
    platform = make()
    breakage(platform.accounts["acme"])
    platform.instead_of_meltano(TAP_ALONE)
    failed = platform.sync("acme")
    assert (failed.code, failed.line["outcome"]) == (code, "failed")
    assert failed.line["message"]
    assert platform.accounts["acme"].access_token not in failed.log + json.dumps(failed.line)
    assert platform.syncs() == [("incremental", "failed", code)]


REPORT = '{{"outcome": "{}", "code": {}, "message": "Why.", "streams": {{}}, "complete": {{}}}}'


@pytest.mark.parametrize(
    ("report", "status", "code", "outcome"),
    [
        (REPORT.format("done", 0), 0, 0, "done"),
        (REPORT.format("done", 0).replace("Why.", ""), 1, 74, "retry"),
        (REPORT.format("failed", 65), 1, 65, "failed"),
        (REPORT.format("failed", 70), 1, 70, "failed"),
        (REPORT.format("failed", 74), 1, 74, "retry"),
        (REPORT.format("failed", 75), 1, 75, "retry"),
        (REPORT.format("failed", 77), 1, 77, "failed"),
        (REPORT.format("failed", 78), 1, 78, "failed"),
        (REPORT.format("failed", 1), 1, 1, "failed"),
        (REPORT.format("stopped", 143), 1, 75, "retry"),
        ("", 1, 75, "retry"),
        ("", 0, 75, "retry"),
        ("{", 1, 75, "retry"),
    ],
)
def test_the_exit_code_is_that_of_the_report(make: Make, report: str, status: int, code: int, outcome: str) -> None:
    platform = make()
    write = f"printf %s '{report}' > \"$TAP_TALLYFY__FULL_REPORT\"; " if report else ""
    platform.instead_of_meltano(f"{write}exit {status}")
    ended = platform.sync("acme", "--full")
    assert (ended.code, ended.line["outcome"], ended.line["code"]) == (code, outcome, code)
    assert bool(ended.line["message"]) is (code != 0)
    assert platform.syncs() == [("full", outcome, code)]


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("kind", ["tap", "nothing can be written"])
def test_a_full_disk_is_tried_again(make: Make, kind: str) -> None:
    platform = make()
    platform.instead_of_meltano(TAP_ALONE)
    more: dict[str, Any] = {"variables": {"OUTPUT": "/dev/full"}}
    if kind != "tap":
        more = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))}
    ended = platform.sync("acme", **more)
    assert (ended.code in {74, 75}, ended.line["outcome"]) == (True, "retry")
    if kind == "tap":
        assert ended.code == 74


def test_an_organization_that_is_set_up_wrongly_asks_the_api_for_nothing(make: Make) -> None:
    platform = make()
    file = platform.folder / "organizations.csv"
    rows = file.read_text(encoding="utf-8")
    for changed, sentence in (
        (rows, "TOKEN_ACME is not set"),
        (rows.replace("acme,", "other,"), "needs one row for 'acme'"),
        (rows + rows.splitlines()[1], "needs one row for 'acme'"),
        (re.sub("acme,[^,]*", "acme,../up", rows), "needs one row for 'acme'"),
        (rows.replace("secret", "geheim"), "needs one row for 'acme'"),
        ("", "needs one row for 'acme'"),
        (None, "organizations.csv"),
    ):
        file.write_text(changed, encoding="utf-8") if changed is not None else file.unlink()
        ended = platform.sync("acme", variables={"TOKEN_ACME": ""})
        assert (ended.code, ended.line["outcome"]) == (78, "failed"), changed
        assert sentence in ended.line["message"]
    platform.write_organizations()
    assert platform.sync("acme", variables={"DATABASE_URL": ""}).code == 78
    assert platform.sync("acme", variables={"MELTANO": "/nowhere/meltano"}).code == 78
    platform.execute("DROP SCHEMA ops CASCADE")
    assert platform.sync("acme").code == 78
    assert platform.accounts["acme"].requests == []


# The database


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://tallyfy:{}@127.0.0.1:1/tallyfy", 74),
        ("postgresql://tallyfy:x@{}@127.0.0.1:1/tallyfy", 74),
        ("postgresql://tallyfy:x/{}@127.0.0.1:1/tallyfy", None),
        ("postgresql://tallyfy:%x{}@127.0.0.1:1/tallyfy", None),
        ("postgresql://tallyfy:x:{}@127.0.0.1:1/tallyfy", 74),
    ],
)
def test_an_error_of_the_database_shows_no_password(make: Make, url: str, code: int | None) -> None:
    platform = make()
    ended = platform.sync("acme", variables={"DATABASE_URL": url.format(PASSWORD)})
    assert ended.code in ({code} if code else {74, 78})
    assert ended.line["message"]
    assert PASSWORD not in ended.log + json.dumps(ended.line)
    assert platform.accounts["acme"].requests == []


def test_a_sync_ends_when_its_lock_is_lost(make: Make) -> None:
    platform = make()
    platform.instead_of_meltano("echo began >&2; sleep 1000")
    unit = platform.start("acme")
    wait_for_line(platform, "began")
    group = child(unit.pid)
    platform.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    ended = platform.end(unit)
    assert (ended.code, ended.line["outcome"]) == (74, "retry")
    assert processes(group) == {}


def test_children_get_no_secret_of_another_organization(make: Make) -> None:
    platform = make(seeds=(3, 4))
    platform.instead_of_meltano("env > environment; exit 1")
    given = {"ANYTHING": "else", "TARGET_POSTGRES_HOST": "elsewhere", "PYTHONDONTWRITEBYTECODE": "1"}
    platform.sync("acme", "--often", variables=given)
    lines = (platform.folder / "environment").read_text(encoding="utf-8").splitlines()
    variables = dict(line.split("=", 1) for line in lines if "=" in line)
    acme, globex = platform.accounts.values()
    assert globex.access_token not in variables.values()
    assert [name for name, value in variables.items() if value == acme.access_token] == [
        "TAP_TALLYFY__OFTEN_ACCESS_TOKEN"
    ]
    assert variables["ANYTHING"] == "else"
    assert "PYTHONDONTWRITEBYTECODE" not in variables, "each sync would compile all anew"
    assert variables["TAP_TALLYFY__OFTEN_API_URL"] == acme.api_url
    assert "TARGET_POSTGRES_SQLALCHEMY_URL" not in variables
    assert variables["MELTANO_DATABASE_URI"].startswith("postgresql+psycopg://")


# GitHub


def test_the_workflow_syncs_a_group_of_organizations_and_fails_with_those_that_failed(make: Make) -> None:
    platform = make(seeds=(3, 4))
    file = platform.folder / "organizations.csv"
    file.write_text(file.read_text(encoding="utf-8").replace(",hourly,", ",daily,", 1), encoding="utf-8")
    (platform.folder / "orchestrate").symlink_to(platform.folder)
    jobs = yaml.safe_load((UNIT / "github/tallyfy.yml").read_text(encoding="utf-8"))["jobs"]
    steps = [step.get("run", "") for job in ("groups", "sync") for step in jobs[job]["steps"]]
    read, sync = (step for step in steps if "<<'END'" in step)

    def run(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        program = script.partition("<<'END'\n")[2].rpartition("END")[0]
        env = platform.environment() | variables
        command = [sys.executable, "-c", program]
        return subprocess.run(
            command, cwd=platform.folder, env=env, capture_output=True, text=True, check=False, timeout=600
        )

    assert run(read, TIERS="hourly").stdout == 'groups=[["globex"]]\n'
    groups = run(read, TIERS="hourly daily").stdout
    assert groups == 'groups=[["acme", "globex"]]\n'
    platform.instead_of_meltano(ALL_COMPLETE.replace("$TAP_TALLYFY_REPORT", "$TAP_TALLYFY__FULL_REPORT"))
    platform.make_tables()
    group = {"GROUP": '["acme", "globex"]', "OPTION": "--full"}
    assert run(sync, **group).returncode == 0
    failed = run(sync, **group, TOKEN_ACME="")
    assert (failed.returncode, failed.stderr.splitlines()[-1]) == (1, "Failed: acme (78)")
    assert [code for (code,) in platform.syncs("code")] == [0, 0, 0]
