"""Command line: `python -m sandbox --runs 1000 --seed 1` serves until it is told to stop."""

from __future__ import annotations

import argparse
import gc
import json
import signal
import sys
import threading
from dataclasses import fields
from typing import Any

from sandbox import SERVERS, Behaviour, Sandbox


def _value(name: str, text: str) -> Any:
    """The value of a behaviour from its text; ValueError if it is none."""
    default = getattr(Behaviour(), name)
    if name == "rate_limit":
        requests, seconds = text.split(",")
        return int(requests), float(seconds)
    if isinstance(default, bool):
        return {"true": True, "false": False}[text.lower()]
    if isinstance(default, frozenset):
        return frozenset(part for part in text.split(",") if part)
    return type(default)(text)


def _behaviour(pairs: list[str], server: str = "as documented") -> Behaviour:
    behaviour = Behaviour(**SERVERS[server])
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            setattr(behaviour, name, _value(name, text))
        except (AttributeError, KeyError, ValueError) as error:
            names = ", ".join(field.name for field in fields(Behaviour))
            raise SystemExit(
                f"--behaviour {pair}: {error}. Known: {names}; booleans are true or false, rate_limit is N,SECONDS, "
                "lists are NAME,NAME."
            ) from error
    return behaviour


def main() -> None:
    """Serve until SIGTERM or SIGINT, after one line of JSON that says where."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=main.__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="how many runs to make up (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same runs (default: 1)")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--latency", type=float, default=0, help="seconds before each answer (default: 0)")
    parser.add_argument("--server", choices=SERVERS, default="as documented", help="kind of server to stand in for")
    parser.add_argument("--behaviour", metavar="NAME=VALUE", nargs="+", action="extend", default=[])
    arguments = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    # The runs live as long as the process: looking for garbage among them would only take time.
    gc.disable()
    sandbox = Sandbox(
        runs=arguments.runs,
        seed=arguments.seed,
        behaviour=_behaviour(arguments.behaviour, arguments.server),
        latency=arguments.latency,
        port=arguments.port,
    )
    gc.freeze()
    gc.enable()
    with sandbox:
        names = ("api_url", "org_id", "access_token", "client_id", "client_secret", "token_url")
        # The line is a config for the tap as it stands.
        print(json.dumps({name: getattr(sandbox, name) for name in names}), flush=True)
        print(f"as of {sandbox.as_of:%Y-%m-%dT%H:%M:%SZ}", file=sys.stderr, flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
