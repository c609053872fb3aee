"""The results of runs, kept in a file, and the page that is made of them."""

from __future__ import annotations

import hashlib
import platform
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from tests.reliability.scenario import Scenario
from tests.reliability.scenarios import NOT_RUN, SCENARIOS

ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = ROOT / "reliability/results.json"
SCORECARD: Final = ROOT / "reliability/SCORECARD.md"


class Reverted(msgspec.Struct, frozen=True, kw_only=True):
    """A run with a bug put back: it must have failed."""

    bug: str
    is_red: bool
    said: str
    seconds: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario on one store."""

    scenario: str
    store: str
    seed: int
    counts: dict[str, int]
    faults: int
    figures: dict[str, str]
    failures: tuple[str, ...]
    seconds: float
    reverts: tuple[Reverted, ...]
    source: str
    """A digest of the code that was run: another one makes the result stale."""
    versions: dict[str, str]

    @property
    def holds(self) -> bool:
        """Whether it showed what it should, and every bug made it fail."""
        return not self.failures and all(revert.is_red for revert in self.reverts)


def source_digest() -> str:
    """What tells one state of the code from another: duly, and the scenarios."""
    digest = hashlib.sha256()
    for folder in ("src/duly", "tests/reliability"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".sql"):
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def versions(postgres: str) -> dict[str, str]:
    """What it ran on."""
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "system": sys.platform}
    return {**found, "postgres": postgres} if postgres else found


def read_results() -> dict[str, Result]:
    """The results so far, by scenario and store."""
    if not RESULTS.exists():
        return {}
    return msgspec.json.decode(RESULTS.read_bytes(), type=dict[str, Result])


def write_results(results: Mapping[str, Result]) -> None:
    """Keep the results and draw the page anew."""
    RESULTS.parent.mkdir(exist_ok=True)
    ordered = dict(sorted(results.items()))
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(ordered), indent=2) + b"\n")
    SCORECARD.write_text(page(ordered))


def page(results: Mapping[str, Result]) -> str:
    """The scorecard."""
    lines = [
        "# Scorecard",
        "",
        "Written by `make reliability`, never by hand. What a scenario is, and what it must show, is said in",
        "`tests/reliability`. A revert test puts a bug back: it counts as *red* when the scenario then fails.",
        "",
        "| # | scenario | store | holds | faults | figures | reverts | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for scenario in SCENARIOS:
        for store in scenario.stores:
            result = results.get(f"{scenario.id}/{store}")
            lines.append(_row(scenario, store, result))
    lines += ["", "## Not run", "", "| # | why |", "|---|---|"]
    lines += [f"| {number} | {why} |" for number, why in NOT_RUN.items()]
    ran = sorted({tuple(sorted(result.versions.items())) for result in results.values()})
    lines += ["", "## Ran on", ""]
    lines += ["- " + ", ".join(f"{name} {version}" for name, version in one) for one in ran]
    return "\n".join(lines) + "\n"


def _row(scenario: Scenario, store: str, result: Result | None) -> str:
    if result is None:
        return f"| {scenario.id} | {scenario.title} | {store} | not run | | | | |"
    figures = "; ".join(f"{name}: {value}" for name, value in result.figures.items())
    reverts = "; ".join(
        f"{revert.bug.replace('_', ' ')}: {'red' if revert.is_red else '**stayed green**'}" for revert in result.reverts
    )
    holds = "yes" if not result.failures else f"**no**: {result.failures[0].replace('|', '/')}"
    return (
        f"| {scenario.id} | {scenario.title} | {store} | {holds} | {result.faults:,} | {figures} | "
        f"{reverts or 'not run'} | {result.seconds:.0f} |"
    )
