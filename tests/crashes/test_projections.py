"""R02 for projections: a worker killed at its failpoints; whoever comes next goes on where it ended."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from duly import Duly
from tests.architecture.tree import ROOT
from tests.crashes.projecting import SETTINGS
from tests.scenarios.tallies import Add, check_against_the_log, module

EVENTS = 60


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'tallies.db'}"
    else:
        yield request.getfixturevalue("postgres_server").create_database()


@pytest.mark.parametrize("failpoint", ["projection.before_commit", "projection.after_commit"])
async def test_a_killed_worker_leaves_read_models_that_the_next_one_goes_on_with(store: str, failpoint: str) -> None:
    client = Duly(modules=module(), store=store, worker=False)
    await client.migrate()
    async with client:
        for number in range(EVENTS):
            await client.execute(Add(counter=f"c-{number % 5}", amount=number), tenant=f"t-{number % 2}")
        kills = 0
        for hit_number in (1, 2, 4):
            victim = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.crashes.projecting", store, failpoint, str(hit_number), cwd=ROOT
            )
            async with asyncio.timeout(30):
                kills += await victim.wait() == -9
        assert kills == 3
        async with Duly(modules=module(), store=store, settings=SETTINGS) as app:
            await app.until_quiet()
            assert await check_against_the_log(app, app._store) == EVENTS
