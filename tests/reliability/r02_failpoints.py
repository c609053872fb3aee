"""R02: a worker killed at every failpoint of Act III, under every policy."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from duly import Policy
from duly.failpoints import NAMES
from duly.runtime.store_url import store_from_url
from duly.testing.history import History
from duly.testing.process import ProcessUnderTest
from tests.reliability.application import SLOTS, Options, PlaceOrder, application
from tests.reliability.checks import all_invariants, lost_attempts, unknown
from tests.reliability.clock import move_clock, shift
from tests.reliability.ledger_rows import Rows, read_rows
from tests.reliability.provider import Mood, Provider, providing
from tests.reliability.scenario import Run, Scenario, Told

ORDERS_PER_KILL_MAX: Final = 60
DRAIN_TIME_MAX: Final = timedelta(seconds=60)
CLOCK_MOVE: Final = timedelta(minutes=20)
CLOCK_MOVES_MAX: Final = 12
"""Together less than the lifetime of a key."""
SENDING: Final = tuple(name for name in NAMES if name.startswith("sender."))
LOOKING_UP: Final = tuple(name for name in NAMES if name.startswith("reconciler."))
MOODS: Final = (Mood.TAKES, Mood.TAKES, Mood.TAKES, Mood.TAKES_AND_DROPS, Mood.TAKES_AND_FAILS, Mood.IS_BUSY)


def points(policy: Policy) -> tuple[str, ...]:
    """The failpoints that a worker can come to under *policy*."""
    return (*SENDING, *LOOKING_UP) if policy is Policy.RECONCILE else SENDING


async def every_failpoint(run: Run) -> Told:
    """Kill a worker at each point; the next worker, which is killed at the next one, recovers what it left."""
    results = await asyncio.gather(*(_under(run, policy) for policy in Policy))
    hit = sum(len(result) for result, _, _ in results)
    planned = sum(len(_planned(run, policy)) for policy in Policy)
    violations = [said for _, _, found in results for said in found]
    rows = [rows for _, rows, _ in results]
    return Told(
        faults=hit,
        figures={
            "points hit": f"{hit} of {planned}",
            "effects": str(sum(len(one.effects) for one in rows)),
            "attempts lost with their worker": str(sum(map(lost_attempts, rows))),
            "unknown at the end": str(sum(len(unknown(one)) for one in rows)),
            "possible duplicates, marked": str(sum(effect.marked for one in rows for effect in one.effects)),
        },
        violations=tuple(violations),
    )


def _planned(run: Run, policy: Policy) -> list[str]:
    return [point for _ in range(run.counts["rounds"]) for point in points(policy)]


async def _under(run: Run, policy: Policy) -> tuple[list[str], Rows, list[str]]:
    """The points that were hit, what is in the database at the end, and what is wrong with it."""
    history = run.history(policy.value)
    lots = run.random(policy.value)
    store = run.new_database()
    moods: dict[str, Mood] = {}

    def mood(reference: str, call: int) -> Mood:
        return moods.setdefault(reference, lots.choice(MOODS)) if call == 1 else Mood.TAKES

    hit: list[str] = []
    found: list[str] = []
    async with providing(history, mood) as provider:
        if store.startswith("postgres"):
            await application(store, provider.url, policy).migrate()
        for number, point in enumerate(_planned(run, policy)):
            options = Options(
                store=store,
                provider=provider.url,
                policy=policy,
                kill_at=point,
                hit_number=lots.randint(1, 3),
                bug=run.bug,
            )
            doomed = await ProcessUnderTest.start("tests.reliability.application", [options.text()], history)
            if await _feed(doomed, f"{number}") == -9:
                hit.append(point)
            else:
                found.append(f"the failpoint {point} was not hit under {policy.value}")
            await doomed.kill()
        await _recover(store, provider, policy, history)
    rows = await read_rows(store)
    found += all_invariants(history, rows)
    if lost_attempts(rows) > SLOTS * len(hit):
        found.append(f"{lost_attempts(rows)} attempts were lost with {len(hit)} workers of {SLOTS} slots")
    return hit, rows, [f"{policy.value}: {said}" for said in found]


async def _feed(doomed: ProcessUnderTest, batch: str) -> int | None:
    """Order after order until the process ends; its status, None when it does not end."""
    for number in range(ORDERS_PER_KILL_MAX):
        await doomed.ask(f"o-{batch}-{number}")
        if number >= 2 and (status := await doomed.ended(seconds_max=0.05)) is not None:
            return status
    return await doomed.ended(seconds_max=20)


async def _recover(store: str, provider: Provider, policy: Policy, history: History) -> None:
    """The normal start is the recovery; the client sends again what was not acknowledged, and one that is refused."""
    acknowledged = {entry.about for entry in history.of("acknowledged")}
    keeper = store_from_url(store)
    # Leases of the dead and waits are over at once; while a call of our own is under way, the clock is left alone.
    shift(keeper, CLOCK_MOVE)
    async with application(keeper, provider.url, policy) as app:
        for order_id in dict.fromkeys(entry.about for entry in history.of("asked")):
            if order_id not in acknowledged:
                await app.execute(PlaceOrder(order_id=order_id), command_id=f"place {order_id}")
                history.add("acknowledged", order_id)
        for _ in range(CLOCK_MOVES_MAX):
            await app.until_quiet(time_max=DRAIN_TIME_MAX, within=timedelta(seconds=1))
            if not await keeper.unsettled(timedelta(days=1)):
                break
            await move_clock(keeper, CLOCK_MOVE)


R02: Final = Scenario(
    id="R02",
    title="exit at every failpoint of Act III × policy",
    scene=every_failpoint,
    tier_1={"rounds": 1},
    tier_2={"rounds": 5},
    bugs=("lost_attempts_are_queued", "attempts_are_written_after_the_call", "possible_duplicates_are_not_marked"),
)
