"""R27: the provider is away for a while, and comes back. Scaled: the figures of the docs divided by sixty."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from duly import Command, Duly, Effects, Module, RetrySchedule, Settings
from duly.errors import NotQuiet
from duly.gateways.json_http import JsonHttpGateway
from duly.states.breaker import BreakerTerms
from duly.states.retry import EFFECT_RETRY
from tests.reliability.application import Bill
from tests.reliability.checks import taken_once_or_unknown, unknown
from tests.reliability.ledger_rows import AttemptRow, read_rows
from tests.reliability.provider import Provider
from tests.reliability.scenario import Run, Scenario, Told

SLOTS: Final = 8
SCALE: Final = 60
CALLS_PER_EFFECT_MAX: Final = 1.2


class Demand(Command):
    numbers: list[str]


cashier = Module("cashier")


@cashier.command
async def demand(command: Demand, effects: Effects) -> None:
    for number in command.numbers:
        effects.request(Bill(order_id=number), reference=number)


def _application(url: str, provider: Provider) -> Duly:
    gateway = JsonHttpGateway(
        Bill,
        provider.url,
        recipient="order_id",
        name="billing",
        live=True,
        slots=SLOTS,
        idempotency_header=None,
        retry=RetrySchedule(tuple(wait / SCALE for wait in EFFECT_RETRY.waits[:4])),
    )
    standard = BreakerTerms()
    settings = Settings(
        poll_interval=timedelta(milliseconds=20),
        breaker=BreakerTerms(window=standard.window / SCALE, half_open_after=standard.half_open_after / SCALE),
        gateway_hold=timedelta(seconds=1),
    )
    return Duly(modules=[cashier], store=url, gateways=[gateway], tenant="acme", settings=settings)


async def outage(run: Run) -> Told:
    """Half of the effects are there when it begins, the others come while it lasts."""
    history = run.history()
    url = run.new_database()
    count, seconds = run.counts["effects"], run.counts["seconds"]
    numbers = [f"b-{number}" for number in range(count)]
    provider = Provider(history)
    await provider.bind()
    app = _application(url, provider)
    if url.startswith("postgres"):
        await app.migrate()
    loop = asyncio.get_running_loop()
    try:
        async with app:
            first, rest = numbers[: count // 2], numbers[count // 2 :]
            begun = loop.time()
            history.add("away", provider.url)
            for start in range(0, len(first), 500):
                await app.execute(Demand(numbers=first[start : start + 500]))
            portions = max(1, seconds * 5)
            size = -(-len(rest) // portions)
            for number in range(portions):
                if portion := rest[number * size : (number + 1) * size]:
                    await app.execute(Demand(numbers=portion))
                await asyncio.sleep(max(0.0, begun + (number + 1) * seconds / portions - loop.time()))
            during = await read_rows(url)
            history.add("back", provider.url)
            await provider.listen()
            back = loop.time()
            left = await _drain(app, timedelta(seconds=run.counts["drain"]))
            drained = loop.time() - back
    finally:
        await provider.close()
    rows = await read_rows(url)
    attempts = [attempt for effect in rows.effects for attempt in effect.attempts]
    calls = len(attempts) / count
    peak = _peak(attempts)
    failed = sum(effect.state == "failed" for effect in rows.effects)
    found = taken_once_or_unknown(history, rows)
    if failed:
        found.append(f"R27: {failed} effects were given up")
    if unknown(rows):
        found.append(f"R27: {len(unknown(rows))} effects are unknown after connections that were refused")
    if calls > CALLS_PER_EFFECT_MAX:
        found.append(f"R27: {calls:.2f} calls per effect")
    if peak > SLOTS or provider.peak > SLOTS:
        found.append(f"R27: {max(peak, provider.peak)} calls were under way at once, with {SLOTS} slots")
    if [effect.state for effect in rows.effects] != ["accepted"] * count:
        found.append("R27: not every effect was accepted in the end")
    found += left
    refused = [attempt for effect in during.effects for attempt in effect.attempts]
    return Told(
        faults=len(refused),
        figures={
            "away": f"{seconds} s",
            "effects": str(count),
            "calls refused": str(len(refused)),
            "calls per effect": f"{calls:.3f}",
            "dead-lettered": str(failed),
            "peak of calls under way": f"{peak} of {SLOTS}",
            "drained after": f"{drained:.1f} s",
        },
        violations=tuple(found),
    )


async def _drain(app: Duly, within: timedelta) -> list[str]:
    try:
        await app.until_quiet(time_max=within, within=timedelta(hours=1))
    except NotQuiet as error:
        return [f"I7: {error}"]
    return []


def _peak(attempts: list[AttemptRow]) -> int:
    """The most attempts that were under way at once, by the times in the ledger; touching ends do not count."""
    changes = sorted(
        [(attempt.started_ms, 1) for attempt in attempts]
        + [(attempt.ended_ms, -1) for attempt in attempts if attempt.ended_ms is not None]
    )
    peak = under_way = 0
    for _, change in changes:
        under_way += change
        peak = max(peak, under_way)
    return peak


R27: Final = Scenario(
    id="R27",
    title="gateway down for 30 min (scaled 1:60), then back",
    scene=outage,
    tier_1={"effects": 300, "seconds": 2, "drain": 60},
    tier_2={"effects": 3_000, "seconds": 30, "drain": 60},
    revert={"effects": 300, "seconds": 8, "drain": 10},
    bugs=("breakers_never_open",),
)
