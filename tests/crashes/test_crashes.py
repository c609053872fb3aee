"""R02 and R03, smallest: a process killed at every named failpoint, and one killed under load.

I1 nothing acknowledged is lost, I2 nothing is sent from a transaction that rolled back, I3 a provider takes each effect
once or the ledger says unknown, I4 order within a key, I5 a handler's own effects happen once, I7 it drains.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from duly import Dispatch, Query, Repository
from duly.failpoints import NAMES
from duly.testing.history import History
from duly.testing.process import ProcessUnderTest
from tests.crashes.application import Tally, application, shop
from tests.crashes.provider import provider

SLOTS = 4
ORDERS = [f"o-{number:02}" for number in range(12)]


class Tallied(Query[list[str]]):
    pass


@shop.query
async def tallied(query: Tallied, tallies: Repository[Tally]) -> list[str]:
    tally = await tallies.find("all")
    return [] if tally is None else tally.orders


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'shop.db'}"
    else:
        yield request.getfixturevalue("postgres_server").create_database()


@pytest.mark.parametrize("failpoint", NAMES)
async def test_a_process_killed_at_any_failpoint_loses_nothing_and_sends_nothing_twice(
    store: str, failpoint: str, tmp_path: Path
) -> None:
    history = History(tmp_path / "history.jsonl")
    async with provider(history) as url:
        await migrate(store, url)
        doomed = await ProcessUnderTest.start("tests.crashes.application", [store, url, failpoint, "3"], history)
        for order_id in ORDERS:
            await doomed.ask(order_id)
        status = await doomed.ended(seconds_max=20)
        assert status == -9, f"the failpoint {failpoint} was not hit"
        await doomed.kill()
        await recover_and_check(store, url, history, kills=1)


async def test_a_process_killed_again_and_again_under_load_loses_nothing(store: str, tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    kills = 3
    async with provider(history) as url:
        await migrate(store, url)
        for kill in range(kills):
            victim = await ProcessUnderTest.start("tests.crashes.application", [store, url], history)
            for order_id in ORDERS:
                await victim.ask(order_id)
            # Killed when some are acknowledged: in the middle of what follows from them.
            await victim.acknowledged(set(ORDERS[: 4 * (kill + 1)]), seconds_max=20)
            await victim.kill()
        assert sum(1 for _ in history.of("killed")) == kills
        await recover_and_check(store, url, history, kills=kills)


async def migrate(store: str, url: str) -> None:
    if store.startswith("postgres"):
        await application(store, url).migrate()


async def recover_and_check(store: str, url: str, history: History, *, kills: int) -> None:
    """The normal start is the recovery; the client sends again what was not acknowledged."""
    async with application(store, url) as app:
        from tests.crashes.application import PlaceOrder

        acknowledged = {entry.about for entry in history.of("acknowledged")}
        for order_id in ORDERS:
            await app.execute(PlaceOrder(order_id=order_id), command_id=f"place {order_id}")
        await app.until_quiet(time_max=timedelta(seconds=30))
        effects = await app.ledger().all_effects()
        tally = await app.ask(Tallied())
        parked = await app.parked()
    assert acknowledged <= set(ORDERS)
    assert parked == []
    # I1, I5: every order has its one effect and its one place in the tally.
    assert sorted(tally) == ORDERS
    assert len(effects) == len(ORDERS)
    # I3: taken exactly once by the provider, or unknown here; at most the gateway's slots per kill are unknown.
    states = {effect.state for effect in effects}
    assert states <= {Dispatch.ACCEPTED, Dispatch.UNKNOWN}, states
    unknown = [effect for effect in effects if effect.state is Dispatch.UNKNOWN]
    assert len(unknown) <= SLOTS * kills
    for effect in effects:
        taken = history.count("taken", effect.id)
        assert taken == 1 if effect.state is Dispatch.ACCEPTED else taken <= 1
        assert effect.attempts[-1].outcome == effect.state.value
    assert all("worker was lost" in effect.reason for effect in unknown)
    # I2: the provider took nothing that the ledger does not have.
    assert {entry.about for entry in history.of("taken")} <= {effect.id for effect in effects}
