"""Lines of the scorecard that tests elsewhere show: these are run as they are, and counted."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from tests.reliability.scenario import NO_STORE, STORES, Run, Scenario, Scene, Told

ROOT: Final = Path(__file__).parents[2]
FAILED_SHOWN_MAX: Final = 5


def runs(*paths: str, about: str = "") -> Scene:
    """A scene that runs the tests of *paths*, those of its store, and of them those whose names say *about*."""

    async def scene(run: Run) -> Told:
        chosen = [words for words in ("" if run.store == "none" else run.store, about) if words]
        report = run.folder / "report.xml"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", f"--junitxml={report}"),
            *("-p", "tests.reliability.bug_plugin", f"--bug={run.bug}"),
            *paths,
            *(("-k", " and ".join(f"({words})" for words in chosen)) if chosen else ()),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if not report.exists():
            raise RuntimeError(f"pytest did not run: {said.decode()[-2_000:]}")
        return _told(report)

    return scene


def _told(report: Path) -> Told:
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    failed = [
        str(case.get("name")) for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = [case for case in cases if case.find("skipped") is not None]
    violations = [f"{name} is red" for name in failed[:FAILED_SHOWN_MAX]]
    violations += [f"{len(failed) - FAILED_SHOWN_MAX} more are red"] if len(failed) > FAILED_SHOWN_MAX else []
    return Told(
        faults=len(cases) - len(skipped),
        figures={"tests": str(len(cases) - len(skipped)), "red": str(len(failed)), "skipped": str(len(skipped))},
        violations=tuple(violations),
    )


def _wired(number: str, title: str, scene: Scene, *bugs: str, stores: tuple[str, ...] = STORES) -> Scenario:
    """A scenario whose tests are run by `make test` anyway."""
    return Scenario(
        id=number, title=title, scene=scene, tier_1={}, tier_2={}, bugs=bugs, stores=stores, only_tier_2=True
    )


_TENANTS: Final = runs("tests/scenarios", "tests/contract", about="tenant")

WIRED: Final = (
    _wired(
        "R36",
        "golden corpus of all envelopes, those of the unreleased version (there is no release yet)",
        runs("tests/golden"),
        "personal_parts_are_not_read",
        "older_versions_are_read_as_they_are",
        stores=NO_STORE,
    ),
    _wired(
        "R32",
        "late, duplicate, reordered, forged receipts",
        runs("tests/scenarios/test_receipts.py", "tests/contract/test_store_exam_receipts.py"),
        "signatures_are_not_compared",
        "deliveries_move_backwards",
    ),
    _wired(
        "S08",
        "tenant leak, also under cancellation",
        _TENANTS,
        "a_where_without_its_tenant",
        stores=("sqlite",),
    ),
    _wired(
        "S08",
        "tenant leak, also under cancellation",
        _TENANTS,
        "a_where_without_its_tenant",
        "connections_come_back_as_they_are",
        stores=("postgres",),
    ),
    _wired(
        "S09",
        "server-side request forgery through webhook targets",
        runs("tests/gateways/test_network_policy.py"),
        "addresses_are_not_checked",
        stores=NO_STORE,
    ),
    _wired(
        "S10",
        "secrets and personal data in outcomes, errors, logs",
        runs("tests/gateways", "tests/web", about="secret or quoted or logged or show or gateway"),
        "reasons_quote_the_body",
        stores=NO_STORE,
    ),
    _wired(
        "S11",
        "forged or replayed receipts",
        runs("tests/gateways", "tests/web", about="receipt or report or token or webhook"),
        "signatures_are_not_compared",
        stores=NO_STORE,
    ),
)
