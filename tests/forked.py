"""Runs a module of the tap as a process of its own, forked from one that has imported the tap: half a second less each.

What depends on how a process starts (the installed command, the environment of Python, signals) is tested without it.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONTEXT = multiprocessing.get_context("forkserver")
_OUTPUTS = ("out", "err")
_CONTEXT.set_forkserver_preload(["tap_tallyfy.tap"])


def run(command: Sequence[str], cwd: str, env: Mapping[str, str], timeout: float) -> tuple[int, str, str]:
    """Run `python -m module arguments`; return the exit code and both outputs."""
    _, _, module, *args = command
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in _OUTPUTS]
        process = _CONTEXT.Process(target=_run, args=(module, args, cwd, dict(env), folder))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            raise subprocess.TimeoutExpired(list(command), timeout, *(output.read_bytes() for output in outputs))
        out, err = (output.read_bytes().decode() for output in outputs)
        return process.exitcode or 0, out, err


def _run(module: str, args: Sequence[str], cwd: str, env: Mapping[str, str], folder: str) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, name in enumerate(_OUTPUTS, start=1):
        os.dup2(os.open(Path(folder, name), os.O_WRONLY | os.O_CREAT), descriptor)
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 - multiprocessing puts another one in its place
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = [module, *args]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # noqa: SLF001 - `multiprocessing` leaves them out
