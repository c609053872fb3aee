"""Tier 1: every scenario once, with the smallest counts that still inject a fault."""

from __future__ import annotations

from random import SystemRandom
from typing import Final

import pytest

from tests.reliability.play import play
from tests.reliability.scenario import Scenario
from tests.reliability.scenarios import SCENARIOS

PLAYED: Final = [(one, store) for one in SCENARIOS if not one.only_tier_2 for store in one.stores]


@pytest.mark.parametrize(("scenario", "store"), PLAYED, ids=[f"{one.id}-{store}" for one, store in PLAYED])
async def test_a_scenario_holds_with_the_smallest_counts(
    scenario: Scenario, store: str, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("postgres_server") if store == "postgres" else None
    seed = SystemRandom().randrange(10_000)
    told = await play(scenario, store, scenario.tier_1, seed, server)
    again = f"make reliability ONLY={scenario.id} STORE={store} SEED={seed}"
    assert told.failures == (), f"seed {seed}; the full counts with it: {again}"
