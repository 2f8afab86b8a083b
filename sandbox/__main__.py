"""Command line: `python -m sandbox --runs 1000 --seed 1` serves until it is told to stop."""

from __future__ import annotations

import argparse
import gc
import json
import signal
import sys

from sandbox import SERVERS, Behaviour, Sandbox
from sandbox.data import AS_OF


def main() -> None:
    """Serve until SIGTERM or SIGINT, after one line of JSON that says where."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=main.__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="how many runs to make up (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same runs (default: 1)")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--server", choices=SERVERS, default="as documented", help="kind of server to stand in for")
    arguments = parser.parse_args()
    stops = {signal.SIGTERM, signal.SIGINT}
    # Waited for, not handled: a second signal within a handler that takes a lock would wait for itself for ever.
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    # The runs live as long as the process: looking for garbage among them would only take time.
    gc.disable()
    sandbox = Sandbox(
        runs=arguments.runs,
        seed=arguments.seed,
        behaviour=Behaviour(**SERVERS[arguments.server]),
        port=arguments.port,
    )
    gc.freeze()
    gc.enable()
    with sandbox:
        names = ("api_url", "org_id", "access_token", "client_id", "client_secret", "token_url")
        # The line is a config for the tap as it stands.
        print(json.dumps({name: getattr(sandbox, name) for name in names}), flush=True)
        print(f"as of {AS_OF:%Y-%m-%dT%H:%M:%SZ}", file=sys.stderr, flush=True)
        signal.sigwait(stops)


if __name__ == "__main__":
    main()
