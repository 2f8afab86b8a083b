"""Sync one organization into PostgreSQL, once: the command that an engine schedules, limits and tries again.

It writes a line of JSON and a row of `ops.syncs`; its exit code says whether to try again: docs/many-organizations.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import Connection, sql

HERE: Final = Path(__file__).resolve().parent
EXTRACTORS: Final = {"incremental": "tap-tallyfy", "often": "tap-tallyfy--often", "full": "tap-tallyfy--full"}
BUG, BUSY, LOADER, PASSING, SETTINGS, STOPPED = 70, 73, 74, 75, 78, 128
# Whoever left a row open has lost the lock, so it is over.
BEGIN: Final = """WITH killed AS (UPDATE ops.syncs SET ended = now(), outcome = 'retry', code = 75, message = 'Killed.'
    WHERE org_id = %(org_id)s AND ended IS NULL) INSERT INTO ops.syncs (id, organization, org_id, kind, began)
    VALUES (%(id)s, %(organization)s, %(org_id)s, %(kind)s, now())"""
END: Final = """UPDATE ops.syncs SET ended = clock_timestamp(), outcome = %(outcome)s, code = %(code)s, rows = %(rows)s,
    requests = %(requests)s, waited = %(waited)s, marked = %(marked)s, message = %(message)s WHERE id = %(id)s"""
MARK: Final = """UPDATE {} SET _sdc_deleted_at = now()
    WHERE org_id = %s AND _sdc_extracted_at < %s::timestamptz AND _sdc_deleted_at IS NULL"""
received: list[int] = []  # the signals that ask this process to end, as they come


class EndedError(Exception):
    """The sync has ended with an exit code (the first argument) and a sentence on why (the second)."""


def main() -> int:
    """Sync the organization that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("organization", help="its name in the file of organizations")
    group = parser.add_mutually_exclusive_group()
    for kind in ("full", "often"):
        group.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind, help=f"run {EXTRACTORS[kind]}")
    given, began = parser.parse_args(), time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: received.append(number))
    result: dict[str, Any] = {"organization": given.organization, "org_id": None, "kind": given.kind or "incremental"}
    result |= {"outcome": "done", "code": 0} | dict.fromkeys(("rows", "requests", "waited", "seconds", "marked"), 0)
    result["message"], secrets = "", set[str]()
    try:
        begin(result, secrets)
    except Exception as error:  # noqa: BLE001 - each has an exit code
        end(result, error, secrets)
    print(json.dumps({**result, "seconds": round(time.monotonic() - began, 3)}))  # noqa: T201 - for the engine
    return int(result["code"])


def begin(result: dict[str, Any], secrets: set[str]) -> None:
    """Look up the organization, and sync it; put into `secrets` what no message may show."""
    account, variables = read_organizations(result["organization"])
    result["org_id"], url = account["org_id"], os.environ.get("DATABASE_URL", "")
    token, (_, _, place) = os.environ.get(account["secret"], ""), url.partition("://")
    # An error of the database may quote any part of a URI whose password has signs that need escaping.
    secrets |= {token, *re.split("[:/@]", place.rpartition("@")[0])[1:]} - {""}
    if not token or not place:
        raise EndedError(SETTINGS, f"The variable {'DATABASE_URL' if token else account['secret']} is not set.")
    # Without bytecode each sync compiles Meltano and its plugins anew, which takes as long as all the rest.
    environment = {k: v for k, v in os.environ.items() if k not in {*variables, "PYTHONDONTWRITEBYTECODE"}}
    values = {"ORG_ID": account["org_id"], "ACCESS_TOKEN": token, "API_URL": account.get("api_url")}
    values["REPORT"] = str(folder_of(result) / "report.json")
    # Variables by the extractor's own name go before those for all of them.
    prefix = EXTRACTORS[result["kind"]].replace("-", "_").upper()
    environment |= {f"{prefix}_{name}": value for name, value in values.items() if value}
    # Meltano's table `runs` must not be looked for among the tap's.
    schema = f"{'&' if '?' in place else '?'}options=-csearch_path%3Dmeltano"
    environment.setdefault("MELTANO_DATABASE_URI", f"postgresql+psycopg://{place}{schema}")
    if not any(environment.get(f"TARGET_POSTGRES_{name}") for name in ("SQLALCHEMY_URL", "HOST", "USER", "DATABASE")):
        environment["TARGET_POSTGRES_SQLALCHEMY_URL"] = f"postgresql+psycopg://{place}"
    # Where this machine is lost, the server gives up the lock within two minutes.
    options = "-c tcp_keepalives_idle=60 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=6 -c timezone=UTC"
    with psycopg.connect(url, autocommit=True, connect_timeout=30, keepalives_idle=60, options=options) as database:
        sync(database, result, environment, secrets)


def read_organizations(name: str) -> tuple[dict[str, str], set[str]]:
    """Return the row of an organization, and the variables that hold the tokens of all of them."""
    path = Path(os.environ.get("ORGANIZATIONS") or HERE / "organizations.csv")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in csv.DictReader(file)]
    found = [row for row in rows if row.get("organization") == name]
    if len(found) != 1 or not found[0].get("secret") or not re.fullmatch(r"[\w-]+", found[0].get("org_id", "")):
        raise EndedError(SETTINGS, f"{path} needs one row for '{name}', with an org_id and the name of a secret.")
    return found[0], {row["secret"] for row in rows if row.get("secret")}


def folder_of(result: dict[str, Any]) -> Path:
    """Return where Meltano keeps the files of a sync, and the tap its report."""
    return HERE / f".meltano/run/elt/tallyfy-{result['org_id']}-{result['kind']}"


def sync(database: Connection[Any], result: dict[str, Any], environment: dict[str, str], secrets: set[str]) -> None:
    """Sync under the organization's lock, and note in `ops.syncs` how it went."""
    lock = "SELECT pg_try_advisory_lock(hashtextextended('tallyfy ' || %s, 0))"
    if database.execute(lock, [result["org_id"]]).fetchone() != (True,):
        raise EndedError(BUSY, "Another sync of this organization is running.")
    run_id = str(uuid.uuid4())
    database.execute(BEGIN, {**result, "id": run_id})
    try:
        remove_traces(result)  # of a sync that was killed, with its token
        try:
            complete = read_report(result, run_meltano(database, result, run_id, environment))
        finally:
            remove_traces(result)
        schema = environment.get("TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA") or "tallyfy"
        with database.transaction():
            marks = [sql.SQL(MARK).format(sql.Identifier(schema, stream)) for stream in complete]
            began = [[result["org_id"], reading["began"]] for reading in complete.values()]
            result["marked"] = sum(database.execute(*each).rowcount for each in zip(marks, began, strict=True))
    except Exception as error:  # noqa: BLE001 - `ops.syncs` has to have it
        end(result, error, secrets)
    database.execute(END, {**result, "id": run_id})


def remove_traces(result: dict[str, Any]) -> None:
    """Remove what Meltano keeps of syncs of an organization: settings with the token, catalogs, logs."""
    for folder in (HERE / ".meltano").glob(f"*/elt/tallyfy-{result['org_id']}-*"):
        shutil.rmtree(folder)


def run_meltano(database: Connection[Any], result: dict[str, Any], run_id: str, environment: dict[str, str]) -> int:
    """Run Meltano, which inherits the lock with the connection, until nothing of it is left; return its exit code."""
    installed = shutil.which("meltano", path=HERE.parent / ".venv-meltano/bin")
    command = [os.environ.get("MELTANO") or installed or "meltano", "el", "--force", "--no-install"]
    command += [f"--state-id={folder_of(result).name}", f"--run-id={run_id}"]
    command += [EXTRACTORS[result["kind"]], "target-postgres"]
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": sys.stderr, "pass_fds": [database.fileno()]}
    folder_of(result).mkdir(parents=True)
    meltano = subprocess.Popen(command, cwd=HERE, env=environment, start_new_session=True, **streams)  # noqa: S603
    passed_on, until = 0, float("inf")
    try:
        while meltano.poll() is None and time.monotonic() < until:
            if passed_on < len(received):
                passed_on, until = len(received), time.monotonic() + 20  # seconds to end in
                with suppress(ProcessLookupError):
                    os.killpg(meltano.pid, received[-1])
            if select.select([database], [], [], 0.2)[0]:
                database.execute("SELECT 1")  # the server speaks up only if it goes, and the lock with it
    finally:
        until = time.monotonic() + 10  # but for zombies, which may stay in a container
        # A loader that outlived Meltano would write old rows over those of the next sync.
        with suppress(ProcessLookupError, PermissionError):
            while time.monotonic() < until:
                os.killpg(meltano.pid, signal.SIGKILL)
                meltano.poll()
                time.sleep(0.02)
    return int(meltano.returncode)


def read_report(result: dict[str, Any], status: int) -> dict[str, Any]:
    """Take over what the tap reports; return the streams that it has read completely, or raise EndedError."""
    report: dict[str, Any] = {"outcome": "stopped", "streams": {}}
    with suppress(FileNotFoundError, ValueError):
        report = json.loads((folder_of(result) / "report.json").read_bytes())
    result |= {name: sum(cost[name] for cost in report["streams"].values()) for name in ("rows", "requests", "waited")}
    if status == 0 and report["outcome"] == "done":
        return dict(report["complete"])
    if received:
        raise EndedError(STOPPED + received[0], f"Stopped by {signal.Signals(received[0]).name}.")
    if report["outcome"] == "stopped":
        raise EndedError(PASSING, "The sync was killed, or never began; Meltano's log says more.")
    raise EndedError(report["code"] or LOADER, report["message"] or "The loader failed; Meltano's log says why.")


def end(result: dict[str, Any], error: Exception, secrets: set[str]) -> None:
    """Note an error as the end of a sync."""
    code, message = BUG, f"{type(error).__name__}: {error}".partition("\n")[0]
    if isinstance(error, EndedError):
        code, message = error.args
    elif isinstance(error, (psycopg.Error, OSError)):
        lasting = isinstance(error, (psycopg.ProgrammingError, FileNotFoundError, PermissionError))
        code = SETTINGS if lasting else LOADER
    else:
        traceback.print_exception(error)
    for secret in secrets:
        message = message.replace(secret, "***")
    retry = code in {LOADER, PASSING} or code > STOPPED
    result |= {"outcome": "busy" if code == BUSY else "retry" if retry else "failed", "code": code, "message": message}


if __name__ == "__main__":
    sys.exit(main())
