"""The contracts of import-linter: read from pyproject.toml, and run on any tree of sources."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.architecture.tree import ROOT

CONFIG: Final = ROOT / "pyproject.toml"
_LINT: Final = "from importlinter.cli import lint_imports_command; lint_imports_command()"


@dataclass(frozen=True)
class Contract:
    """One contract: its layers, if it has some, are lists of neighbours, the highest first."""

    id: str
    name: str
    kind: str
    container: str
    layers: tuple[tuple[str, ...], ...]
    exhaustive: bool
    guidance: str


def contracts() -> list[Contract]:
    """Every contract of pyproject.toml."""
    found: list[dict[str, Any]] = tomllib.loads(CONFIG.read_text())["tool"]["importlinter"]["contracts"]
    return [
        Contract(
            id=options["id"],
            name=options["name"],
            kind=options["type"],
            container=next(iter(options.get("containers", [])), ""),
            layers=tuple(
                tuple(name.strip(" ()") for name in re.split(r"[|:]", layer)) for layer in options.get("layers", [])
            ),
            exhaustive=options.get("exhaustive", False),
            guidance=options.get("broken_contract_guidance", ""),
        )
        for options in found
    ]


@dataclass(frozen=True)
class Verdict:
    """What import-linter says of a tree."""

    kept: frozenset[str]
    broken: frozenset[str]
    output: str


def lint(source: Path) -> Verdict:
    """Run all contracts on the tree *source*, as ``make check`` does on ``src``."""
    done = subprocess.run(
        [sys.executable, "-c", _LINT, "--config", str(CONFIG), "--no-cache", "--no-logo"],
        # Wide, so that no name of a contract is broken into two lines; elsewhere, so that no other tree is found.
        env={**os.environ, "PYTHONPATH": str(source), "COLUMNS": "250", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=source,
        capture_output=True,
        text=True,
        timeout=60,
    )
    output = done.stdout + done.stderr
    verdicts = re.findall(r"^(.+?) (KEPT|BROKEN)(?: \(.*\))?\s*$", output, re.MULTILINE)
    assert verdicts, f"import-linter did not run:\n{output}"
    return Verdict(
        kept=frozenset(name for name, verdict in verdicts if verdict == "KEPT"),
        broken=frozenset(name for name, verdict in verdicts if verdict == "BROKEN"),
        output=output,
    )
