"""Command line: `python -m tests.many_organizations` runs 20 organizations on Dagster, and compares every table.

All get a full load. Then people work in eight of the accounts, and Dagster syncs these again: five from where they
were, five in full, two of them both ways at once. Meanwhile processes are killed with SIGKILL.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import psycopg

from sandbox import Sandbox
from tests import postgres
from tests.organizations import Platform, execute, listed
from tests.tap import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ORGANIZATIONS, RUNS, CHANGES = 20, 12, 400
DAGSTER = ROOT / ".venv-dagster/bin"
PATIENCE = 900
VICTIMS = ("tap", "loader", "meltano", "unit", "worker")


def main() -> None:
    """Do it, and say so in one line; exit 1 with the differences if a table is wrong."""
    began, random = time.monotonic(), Random(7)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        server = stack.enter_context(postgres.serve())
        accounts = {
            f"organization{number:02}": stack.enter_context(Sandbox(runs=RUNS, seed=number))
            for number in range(1, ORGANIZATIONS + 1)
        }
        platform, names = Platform.make(folder, server, accounts), list(accounts)
        # The first sync makes tables, which two at once may fail to do.
        by_hand = platform.start(names[0])
        stack.enter_context(dagster(platform))
        if (first := platform.end(by_hand)).code:
            sys.exit(first.log)
        say("Dagster runs; a full load of 20 organizations begins")
        left = sync(platform, 1, {"incremental": names})
        again = {"incremental": names[:5], "full": names[3:8]}
        for number in range(CHANGES):
            accounts[names[number % 8]].mutate(random, everything=True)
        say(f"{CHANGES} changes; syncs begin, and processes are killed")
        left += sync(platform, 2, again, Killer(folder, random))
        in_full = [name for name in names if name not in again["incremental"] or name in again["full"]]
        wrong = {name: found for name in names if (found := platform.wrong(name, deleted=name in in_full))}
        ((overlaps,),) = platform.query(
            "SELECT count(*) FROM ops.syncs a JOIN ops.syncs b ON a.org_id = b.org_id AND a.id <> b.id"
            " AND a.began <= b.began AND b.began < a.ended"
        )
        ((syncs, failed, marked),) = platform.query(
            "SELECT count(*), count(*) FILTER (WHERE outcome <> 'done'), sum(marked) FROM ops.syncs"
        )
        tokens = [account.access_token for account in accounts.values()]
        leaks = platform.files_with(*tokens) + platform.tables_with(*tokens)
        leaks += platform.tables_with(*tokens, database="dagster")
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = f"{time.monotonic() - began:.0f} s, {usage.ru_utime + usage.ru_stime:.0f} CPU s"
    if wrong or overlaps or leaks:
        say(f"NOT OK: {wrong=} {overlaps=} {leaks=} ({cost})")
        sys.exit(1)
    say(
        f"OK: every table equals its account: {len(names)} organizations, {syncs} syncs, no two at once of the same;"
        f" killed: {', '.join(VICTIMS)}; {failed} tries failed, {len(left)} syncs waited for the next tick;"
        f" {marked} rows marked as deleted ({cost})"
    )


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - what is seen of `make organizations`


@contextmanager
def dagster(platform: Platform) -> Iterator[None]:
    """Run Dagster's daemon with the definitions, and a database of its own."""
    home, server = platform.folder / "home", platform.database
    home.mkdir()
    (home / "dagster.yaml").write_text((ROOT / "orchestrate/dagster/dagster.yaml").read_text(encoding="utf-8"))
    execute(server, "CREATE DATABASE dagster")
    environment = platform.environment() | {
        "DAGSTER_HOME": str(home),
        "DAGSTER_DATABASE_URL": f"postgresql://{server.user}@{server.host}:{server.port}/dagster",
        "DEFINITIONS": str(platform.folder / "dagster"),
        "ORGANIZATIONS": str(platform.folder / "organizations.csv"),
        "ASKED": str(platform.folder / "asked.json"),
    }
    command = [str(DAGSTER / "dagster-daemon"), "run", "-f", str(ROOT / "tests/in_dagster/asked.py"), "-d", str(home)]
    with (platform.folder / "dagster.log").open("w") as log:
        daemon = subprocess.Popen(
            command, cwd=platform.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            wait(lambda: count(platform, "dynamic_partitions") == len(platform.accounts), "Dagster saw no organization")
            yield
        except BaseException:
            say((platform.folder / "dagster.log").read_text()[-5000:])
            raise
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(120)


def count(platform: Platform, table: str, condition: str = "true") -> int:
    """Count rows of Dagster's own tables; 0 before it has made them."""
    database = dataclasses.replace(platform.database, database="dagster")
    with suppress(psycopg.errors.UndefinedTable):
        ((found,),) = database.query(f"SELECT count(*) FROM {table} WHERE {condition}")
        return int(found)
    return 0


def wait(done: Callable[[], bool], failure: str) -> None:
    until = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > until:
            raise TimeoutError(failure)
        time.sleep(0.5)


def sync(
    platform: Platform, number: int, kinds: dict[str, list[str]], killer: Killer | None = None
) -> list[tuple[str, str]]:
    """Have Dagster sync, until all is done; return the organizations and kinds that were left to the next tick."""
    ((began,),) = platform.query("SELECT now()::text")
    before = count(platform, "runs", "pipeline_name = 'sync'")
    beside = platform.folder / "asked.new"
    beside.write_text(json.dumps({"number": number, "kinds": kinds}))
    beside.replace(platform.folder / "asked.json")
    asked = before + sum(map(len, kinds.values()))

    def has_ended() -> bool:
        if killer:
            killer.kill()
        at_work = "status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')"
        return (
            count(platform, "runs", "pipeline_name = 'sync'") >= asked
            and count(platform, "runs", at_work) == 0
            and not platform.query("SELECT 1 FROM ops.syncs WHERE ended IS NULL")
        )

    wait(has_ended, "the syncs did not end")
    done = set(platform.query(f"SELECT organization, kind FROM ops.syncs WHERE outcome = 'done' AND began > '{began}'"))
    left = [(name, kind) for kind, names in kinds.items() for name in names if (name, kind) not in done]
    if left:
        say(f"the next tick, for {left}")
        again = {kind: [name for name, of_kind in left if of_kind == kind] for kind in kinds}
        return left + sync(platform, number + 10, again)
    return left


@dataclass
class Killer:
    """Kills one process of each sort, of any organization, at any time."""

    folder: Path
    random: Random
    left: list[str] = field(default_factory=lambda: list(VICTIMS))

    def kill(self) -> None:
        """Kill a process of the sort whose turn it is, if there is one and chance wills it."""
        if self.left and self.random.random() < 0.2 and (found := self._processes()[self.left[0]]):
            with suppress(ProcessLookupError):
                os.kill(self.random.choice(found), signal.SIGKILL)
                del self.left[0]

    def _processes(self) -> dict[str, list[int]]:
        rows = [line.split(None, 2) for line in listed("pid,ppid,args")]
        known = [(int(pid), int(parent), command) for pid, parent, command in rows if "defunct" not in command]
        units = {pid: parent for pid, parent, command in known if f"{self.folder}/sync_organization.py" in command}
        meltanos = {pid for pid, parent, _ in known if parent in units}
        plugins = {pid: command for pid, parent, command in known if parent in meltanos}
        return {
            "tap": [pid for pid, command in plugins.items() if "bin/tap-tallyfy" in command],
            "loader": [pid for pid, command in plugins.items() if "bin/target-postgres" in command],
            "meltano": list(meltanos),
            "unit": list(units),
            "worker": [parent for parent in units.values() if parent > 1],
        }


if __name__ == "__main__":
    main()
