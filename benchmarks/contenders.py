"""Who takes part: the tap and its peers, each with what starts it and the environment it needs."""
# ruff: noqa: S603 - all commands are its own

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE: Final = Path(__file__).resolve().parent
_ENVIRONMENTS: Final = _HERE / ".envs"


@dataclass(frozen=True)
class Contender:
    """One way to read the list.

    Attributes:
        name: What the results call it.
        script: The peer's file, or None for the tap itself.
        package: The package it shows.
        version: That package's version to install in an environment of its own, or None for the one that is here.
        singer: Whether it takes a config file, and a state, as Singer taps do.
    """

    name: str
    script: str | None
    package: str
    version: str | None = None
    singer: bool = False

    @property
    def python(self) -> str:
        """The interpreter of its environment."""
        return str(_ENVIRONMENTS / self.package / "bin" / "python") if self.version else sys.executable

    def command(self, api: Mapping[str, str], folder: Path, settings: Mapping[str, Any], state: object) -> list[str]:
        """Return what starts it.

        Args:
            api: The sandbox's `api_url`, `org_id` and `access_token`.
            folder: Where to put files it reads.
            settings: Further settings.
            state: The Singer state to start from, or None.
        """
        if not self.singer:
            return [self.python, str(_HERE / "peers" / str(self.script)), *api.values()]
        given = {**api, **settings}
        config = folder / "config.json"
        config.write_text(json.dumps(given), encoding="utf-8")
        command = [*self.start, "--config", str(config)]
        if state is not None:
            (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
            command += ["--state", str(folder / "state.json")]
        return command

    @property
    def start(self) -> list[str]:
        """The command without arguments; the tap reads processes alone, as the others do."""
        return [self.python, *((str(_HERE / "peers" / self.script),) if self.script else ("-m", "tests.runs"))]

    def install(self) -> str | None:
        """Make its environment unless that is there; returns why that cannot be, or None."""
        if self.version is None or self._installed() == self.version:
            return None
        folder = _ENVIRONMENTS / self.package
        beside = Path(sys.executable).with_name("uv")
        uv = str(beside) if beside.exists() else shutil.which("uv")
        if uv is None:
            return "there is no uv to install it with"
        for step in (
            [uv, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", self.python, f"{self.package}=={self.version}"],
        ):
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                return f"it does not install: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}"
        return None

    def _installed(self) -> str | None:
        return installed_version(self.python, self.package) if os.access(self.python, os.X_OK) else None


def installed_version(python: str, package: str) -> str | None:
    """Return a package's version in an environment, or None where it is not installed.

    Args:
        python: The environment's interpreter.
        package: The package.
    """
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


TAP: Final = Contender("tap-tallyfy", None, "tap-tallyfy", singer=True)
PLAIN: Final = Contender("plain singer-sdk tap", "plain_sdk.py", "singer-sdk", singer=True)
BARE_TAP: Final = Contender("bare singer-sdk tap", "bare_tap.py", "singer-sdk", singer=True)
CONTENDERS: Final = (
    TAP,
    PLAIN,
    Contender("requests and json", "bare_loop.py", "requests"),
    Contender("vendor's client", "vendor_client.py", "tallyfy", "3.1.0"),
    Contender("dlt rest_api", "dlt_rest_api.py", "dlt", "1.31.0"),
    Contender("Airbyte CDK", "airbyte_source.py", "airbyte-cdk", "7.39.1"),
)
