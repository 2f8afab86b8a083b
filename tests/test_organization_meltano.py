"""One organization of many with the real Meltano and loader; `make organizations` runs this."""

from __future__ import annotations

import os
import signal
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests import meltano
from tests.organizations import (
    ALL_COMPLETE,
    PASSWORD,
    PATIENCE,
    child,
    held,
    listed,
    marked,
    processes,
    wait_for_end,
    wait_for_lock,
)
from tests.tap import require

if TYPE_CHECKING:
    from tests.organizations import Make


@pytest.fixture
def real(make: Make) -> Make:
    require(meltano.installed(), "Meltano or a plugin is not installed: run `make test`, which installs them")
    return make


def test_organizations_share_tables_and_only_what_one_has_deleted_is_marked(real: Make) -> None:
    platform = real(seeds=(3, 4))
    loader = platform.limit_loader(15)
    first = platform.sync("globex")
    assert (first.code, first.line["outcome"], first.line["kind"]) == (0, "done", "incremental"), first.log[-5000:]
    assert first.line["rows"] > 100
    assert platform.wrong("globex") == {}
    platform.execute(f"ALTER ROLE {loader} CONNECTION LIMIT 6")
    often = platform.sync("acme", "--often")
    assert (often.code, often.line["kind"]) == (0, "often"), often.log[-5000:]
    assert {rows for (rows,) in platform.query("SELECT count(*) > 0 FROM tallyfy.tasks GROUP BY org_id")} == {True}
    platform.execute(f"ALTER ROLE {loader} CONNECTION LIMIT 15")
    acme = platform.accounts["acme"]
    acme.mutate(Random(5), 60, everything=True)
    for run in [run["id"] for run in acme.runs.values()][:4]:
        acme.delete(run)
    done = platform.sync("acme", "--full")
    assert done.code == 0, done.log[-5000:]
    assert platform.wrong("acme") == {}
    assert platform.wrong("globex") == {}, "nothing of the other organization is marked"
    assert marked(platform, "runs") >= 4
    assert done.line["marked"] >= marked(platform, "runs")
    assert platform.syncs() == [("incremental", "done", 0), ("often", "done", 0), ("full", "done", 0)]
    ((fresh, lag),) = platform.query(
        "SELECT last_success, lag < interval '1 hour' FROM ops.freshness WHERE kind = 'full'"
    )
    assert fresh
    assert lag

    # A removed organization keeps its rows, and is synced no more.
    del platform.accounts["globex"]
    platform.write_organizations()
    before = platform.query("SELECT count(*) FROM tallyfy.tasks")
    assert platform.sync("globex").code == 78
    assert platform.query("SELECT count(*) FROM tallyfy.tasks") == before

    # With a mark that knows no organization, the rows of all are taken for deleted.
    others = f"SELECT count(*) FROM tallyfy.tags WHERE org_id <> '{acme.org_id}' AND _sdc_deleted_at IS NOT NULL"
    platform.instead_of_meltano(ALL_COMPLETE)
    assert platform.sync("acme").line["marked"] > 0
    assert platform.query(others) == [(0,)]
    platform.weaken("WHERE org_id = %s AND", "WHERE %s <> '' AND")
    assert platform.sync("acme").code == 0
    assert platform.query(others) > [(0,)]


def test_a_killed_sync_is_made_good_by_the_next_and_leaves_no_secret(real: Make) -> None:
    platform = real()
    account = platform.accounts["acme"]
    secrets = (account.access_token, PASSWORD)
    log = ""
    for victim in ("tap", "loader", "meltano", "unit", "all"):
        with held(account, 5) as reached:
            unit = platform.start("acme")
            assert reached.wait(PATIENCE), victim
            group = child(unit.pid)
            running = processes(group)
            tap, loader = (
                next(pid for pid, args in running.items() if pid != group and name in args)
                for name in ("bin/tap-tallyfy", "bin/target-postgres")
            )
            commands = [*running.values(), *(line for line in listed("pid,args") if int(line.split()[0]) == unit.pid)]
            assert len(commands) == len(running) + 1
            assert not any(secret in command for command in commands for secret in secrets)
            victims = {"tap": [tap], "loader": [loader], "meltano": [group], "unit": [unit.pid]}
            victims["all"] = [unit.pid, *running]
            for process in victims[victim]:
                os.kill(process, signal.SIGKILL)
            if victim == "unit":
                assert platform.sync("acme").code == 73, "the processes that are left hold the lock"
        killed = platform.end(unit)
        log += killed.log
        if victim in {"unit", "all"}:
            assert killed.code == -signal.SIGKILL
            wait_for_end(group)
            wait_for_lock(platform)
        else:
            assert killed.code in {74, 75}, killed.log[-5000:]
            assert killed.line["outcome"] == "retry"
            assert processes(group) == {}, "what has outlived Meltano could write old rows later"
        assert (platform.files_with(*secrets) == []) is (victim != "all"), victim

    done = platform.sync("acme")
    assert done.code == 0, done.log[-5000:]
    assert platform.wrong("acme") == {}
    assert platform.files_with(*secrets) == []
    assert [outcome for (outcome,) in platform.syncs("outcome")] == ["retry"] * 5 + ["done"]
    assert platform.query("SELECT 1 FROM ops.syncs a JOIN ops.syncs b ON a.began < b.began AND b.began < a.ended") == []
    assert {"ops.syncs", "tallyfy.runs", "meltano.runs"} <= {*platform.tables_with(account.org_id)}
    assert platform.tables_with(*secrets) == []
    assert not any(secret in text for secret in secrets for text in (log, done.log))
