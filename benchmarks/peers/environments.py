"""A virtual environment for each peer, from pinned requirements with hashes; made once, until the pins change."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.benchmark import NotRun

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / ".venv" / "peers"
PINS: Final = ROOT / "requirements" / "peers"
INSTALL_SECONDS_MAX: Final = 300
# No user's settings that break an environment, no questions.
QUIET: Final = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_USER": "0",
    "PIP_ROOT_USER_ACTION": "ignore",
}


class Environments:
    """One folder with an environment for each requirement file of *pins*. A name is that of a file."""

    def __init__(self, folder: Path = FOLDER, pins: Path = PINS) -> None:
        self._folder = folder
        self._pins = pins
        self._refusals: dict[str, str] = {}

    def version(self, name: str) -> str:
        """The version of the peer itself that is pinned."""
        found = re.search(rf"^{re.escape(name)}==([^\s;]+)", self._requirements(name).read_text(), re.MULTILINE)
        if found is None:
            raise ValueError(f"{self._requirements(name)} pins no {name}. Resolve it anew: make pins")
        return found[1]

    def prepare(self, names: Sequence[str], say: Callable[[str], None]) -> None:
        """Make those that are not there, telling *say* of each. What cannot be made is remembered for `python`."""
        for number, name in enumerate(names, 1):
            if self._stamp(name).exists() and self._stamp(name).read_text() == self._wanted(name):
                continue
            say(f"peers {number}/{len(names)}: setting up {name} {self.version(name)} (once)")
            try:
                self._make(name)
            except NotRun as refusal:
                self._refusals[name] = str(refusal)
                say(f"peers {number}/{len(names)}: {name} is not run: {refusal}")

    def python(self, name: str) -> Path:
        """The interpreter of a prepared environment. Raises `NotRun` when it could not be made."""
        if name in self._refusals:
            raise NotRun(self._refusals[name])
        return self._folder / name / "bin" / "python"

    def _make(self, name: str) -> None:
        place = self._folder / name
        shutil.rmtree(place, ignore_errors=True)
        _run([sys.executable, "-m", "venv", "--without-pip", str(place)], "its virtual environment cannot be made")
        pip = [sys.executable, "-m", "pip", "--python", str(self.python(name))]
        options = ["--quiet", "--no-deps", "--require-hashes", "-r", str(self._requirements(name))]
        _run([*pip, "install", *options], "it cannot be installed")
        # Written last: what was interrupted is done again.
        self._stamp(name).write_text(self._wanted(name))

    def _requirements(self, name: str) -> Path:
        return self._pins / f"{name}.txt"

    def _stamp(self, name: str) -> Path:
        return self._folder / name / ".ready"

    def _wanted(self, name: str) -> str:
        digest = hashlib.sha256(self._requirements(name).read_bytes()).hexdigest()
        return f"{sys.version_info[:3]} {sys.executable} {digest}\n"


def _run(command: list[str], failure: str) -> None:
    try:
        ran = subprocess.run(
            command,
            env={**os.environ, **QUIET},
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotRun(f"{failure} within {INSTALL_SECONDS_MAX} s") from None
    if ran.returncode != 0:
        raise NotRun(f"{failure}: {_reason(ran.stderr)}")


def _reason(said: str) -> str:
    """The last error that was said, without addresses: it stands in the report."""
    lines = [line for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["it said nothing"]
    return re.sub(r"\S*://\S*", "…", errors[-1].removeprefix("ERROR:").strip())
