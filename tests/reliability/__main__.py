"""Tier 2: full counts and revert tests. ``python -m tests.reliability --only R05 --store sqlite --seed 7``.

What has a result of the same code already is left out, so that a run that was interrupted goes on where it was; a
scenario that is named runs anyway.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from random import SystemRandom

from duly.testing.postgres_server import PostgresServer
from tests.reliability.play import play
from tests.reliability.scenario import STORES, Scenario
from tests.reliability.scenarios import SCENARIOS
from tests.reliability.scorecard import Result, Reverted, read_results, source_digest, versions, write_results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; 1 when something does not hold."""
    asked = _parsed(arguments)
    # What workers say while they are killed is no news here.
    logging.getLogger("duly").setLevel(logging.CRITICAL)
    digest = source_digest()
    holds = True
    with ExitStack() as stack:
        server: PostgresServer | None = None
        for scenario in SCENARIOS:
            for store in scenario.stores:
                name = f"{scenario.id}/{store}"
                is_wanted = asked.only in (None, scenario.id) and asked.store in (None, store)
                before = read_results().get(name)
                is_known = before is not None and before.source == digest and before.holds
                if not is_wanted or (is_known and asked.only is None and not asked.fresh):
                    continue
                if store == "postgres" and server is None:
                    server = stack.enter_context(PostgresServer())
                seed = SystemRandom().randrange(10_000) if asked.seed is None else asked.seed
                result = _result(scenario, store, seed, server, digest, without_reverts=asked.without_reverts)
                write_results({**read_results(), name: result})
                holds &= result.holds
    return 0 if holds else 1


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("--only", choices=[scenario.id for scenario in SCENARIOS], default=None)
    parser.add_argument("--store", choices=[*STORES, "postgresql", "none"], default=None)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--fresh", action="store_true", help="also what has a result of the same code")
    parser.add_argument("--without-reverts", action="store_true")
    asked = parser.parse_args(arguments)
    asked.store = "postgres" if asked.store == "postgresql" else asked.store
    return asked


def _result(
    scenario: Scenario, store: str, seed: int, server: PostgresServer | None, digest: str, *, without_reverts: bool
) -> Result:
    again = f"make reliability ONLY={scenario.id} STORE={store} SEED={seed}"
    print(f"{scenario.id} on {store}, seed {seed} ({again})", flush=True)
    begun = time.monotonic()
    told = asyncio.run(play(scenario, store, scenario.tier_2, seed, server))
    seconds = time.monotonic() - begun
    print(f"  {told.faults:,} faults in {seconds:.1f} s; {dict(told.figures)}", flush=True)
    for failure in told.failures:
        print(f"  NOT SO: {failure}", flush=True)
    reverts: list[Reverted] = []
    for bug in () if without_reverts else scenario.bugs:
        begun = time.monotonic()
        wrong = asyncio.run(play(scenario, store, scenario.revert or scenario.tier_1, seed, server, bug))
        reverted = Reverted(
            bug=bug,
            is_red=bool(wrong.violations),
            said=wrong.violations[0] if wrong.violations else "",
            seconds=round(time.monotonic() - begun, 1),
        )
        print(f"  with {bug}: {reverted.said or 'STAYED GREEN'} ({reverted.seconds} s)", flush=True)
        reverts.append(reverted)
    postgres = server.run_sql("SHOW server_version") if server is not None and store == "postgres" else ""
    return Result(
        scenario=scenario.id,
        store=store,
        seed=seed,
        counts=dict(scenario.tier_2),
        faults=told.faults,
        figures=dict(told.figures),
        failures=told.failures,
        seconds=round(seconds, 1),
        reverts=tuple(reverts),
        source=digest,
        versions=versions(postgres),
    )


if __name__ == "__main__":
    sys.exit(main())
