"""R02 and R03, smallest: a process killed at every failpoint of Acts I and II, and one killed under load.

I1 nothing acknowledged is lost, I2 nothing is sent from a transaction that rolled back, I3 a provider takes each effect
once or the ledger says unknown, I5 a handler's own effects happen once, I7 it drains, I9 what is unknown says why. The
failpoints of Act III, under every policy: tests/reliability.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from duly import Policy
from duly.failpoints import NAMES
from duly.testing.history import History
from duly.testing.process import ProcessUnderTest
from tests.reliability.application import SLOTS, Options, PlaceOrder, application
from tests.reliability.checks import WORKER_LOST, all_invariants, unknown
from tests.reliability.ledger_rows import read_rows
from tests.reliability.provider import providing
from tests.reliability.r02_failpoints import LOOKING_UP, SENDING

POLICY = Policy.AT_MOST_ONCE
ORDERS = [f"o-{number:02}" for number in range(12)]
ELSEWHERE = ("projection.", "rebuild.", "backfill.", "archive.")
"""Shown by R30 and by tests/scenarios: the application here has none of it."""
EARLIER = [name for name in NAMES if name not in (*SENDING, *LOOKING_UP) and not name.startswith(ELSEWHERE)]


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'shop.db'}"
    else:
        yield request.getfixturevalue("postgres_server").create_database()


@pytest.mark.parametrize("failpoint", EARLIER)
async def test_a_process_killed_at_any_failpoint_loses_nothing_and_sends_nothing_twice(
    store: str, failpoint: str, tmp_path: Path
) -> None:
    history = History(tmp_path / "history.jsonl")
    async with providing(history) as provider:
        await migrate(store, provider.url)
        options = Options(store=store, provider=provider.url, policy=POLICY, kill_at=failpoint, hit_number=3)
        doomed = await ProcessUnderTest.start("tests.reliability.application", [options.text()], history)
        for order_id in ORDERS:
            await doomed.ask(order_id)
        status = await doomed.ended(seconds_max=20)
        assert status == -9, f"the failpoint {failpoint} was not hit"
        await doomed.kill()
        await recover_and_check(store, provider.url, history, kills=1)


async def test_a_process_killed_again_and_again_under_load_loses_nothing(store: str, tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    kills = 3
    async with providing(history) as provider:
        await migrate(store, provider.url)
        options = Options(store=store, provider=provider.url, policy=POLICY)
        for kill in range(kills):
            victim = await ProcessUnderTest.start("tests.reliability.application", [options.text()], history)
            for order_id in ORDERS:
                await victim.ask(order_id)
            # Killed when some are acknowledged: in the middle of what follows from them.
            await victim.acknowledged(set(ORDERS[: 4 * (kill + 1)]), seconds_max=20)
            await victim.kill()
        assert sum(1 for _ in history.of("killed")) == kills
        await recover_and_check(store, provider.url, history, kills=kills)


def test_every_failpoint_is_hit_here_or_in_the_scenario_of_act_three() -> None:
    assert {*EARLIER, *SENDING, *LOOKING_UP} == {name for name in NAMES if not name.startswith(ELSEWHERE)}
    assert all(name.startswith(("command.", "relay.")) for name in EARLIER)
    assert SENDING
    assert LOOKING_UP


async def migrate(store: str, url: str) -> None:
    if store.startswith("postgres"):
        await application(store, url, POLICY).migrate()


async def recover_and_check(store: str, url: str, history: History, *, kills: int) -> None:
    """The normal start is the recovery; the client sends again what was not acknowledged."""
    async with application(store, url, POLICY) as app:
        for order_id in ORDERS:
            await app.execute(PlaceOrder(order_id=order_id), command_id=f"place {order_id}")
        await app.until_quiet(time_max=timedelta(seconds=30))
    rows = await read_rows(store)
    assert all_invariants(history, rows) == []
    assert sorted(rows.orders) == ORDERS
    assert {effect.state for effect in rows.effects} <= {"accepted", "unknown"}
    # At most the gateway's slots per kill are unknown, and say why.
    assert len(unknown(rows)) <= SLOTS * kills
    assert all(WORKER_LOST in effect.reason for effect in unknown(rows))
