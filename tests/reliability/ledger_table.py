"""What the ledger says, and what the provider took: mood of the provider × where the worker dies × policy.

``python -m tests.reliability.ledger_table`` writes docs/what-the-ledger-says.md from a run on both stores.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeAlias
from unittest.mock import patch

import msgspec

from duly import Command, Duly, Effects, Module, Policy, RetrySchedule, Sending, Settings
from duly.gateways.json_http import JsonHttpGateway
from duly.gateways.json_look_up import JsonLookUp
from duly.ports.store import Store
from duly.runtime.store_url import store_from_url
from duly.states.breaker import BreakerTerms
from duly.testing.failures import at_failpoints
from duly.testing.history import History
from duly.testing.postgres_server import PostgresServer
from tests.reliability.application import Bill
from tests.reliability.clock import move_clock, shift
from tests.reliability.ledger_page import PAGE, page
from tests.reliability.ledger_rows import EffectRow, Rows, read_rows
from tests.reliability.play import Databases
from tests.reliability.provider import Mood, Provider
from tests.reliability.scenario import STORES, NewDatabase

AWAY: Final = "cannot be reached"
MOODS: Final = (
    Mood.TAKES,
    Mood.REFUSES,
    Mood.WAITS,
    AWAY,
    Mood.IS_BUSY,
    Mood.HANGS,
    Mood.TAKES_AND_FAILS,
    Mood.TAKES_AND_DROPS,
    Mood.TAKES_AND_HANGS,
)
CRASHES: Final = {
    "nowhere": "",
    "before the call": "sender.before_call",
    "after the call": "sender.after_call",
    "after the record": "",
}
WAIT: Final = timedelta(hours=1)
CLOCK_MOVE: Final = WAIT + timedelta(minutes=1)
CLOCK_MOVES_MAX: Final = 12
CALL_TIMEOUT: Final = timedelta(seconds=5)
"""Long: on a busy machine a call that is answered must not take as long."""
PHASE_SECONDS_MAX: Final = 60.0

Cells: TypeAlias = dict[tuple[str, str, str], str]
"""By policy, mood and crash point: what the ledger says and what the provider took."""


class Charge(Command):
    references: list[str]


till = Module("till")


@till.command
async def charge(command: Charge, effects: Effects) -> None:
    for reference in command.references:
        effects.request(Bill(order_id=reference), reference=reference)


class _Crash(msgspec.Struct):
    """A place at which calls are given up, as if the process had ended there."""

    point: str
    given_up: int = 0


_crash: Final[ContextVar[_Crash | None]] = ContextVar("crash", default=None)


def _give_up(name: str) -> None:
    crash = _crash.get()
    if crash is not None and crash.point == name:
        crash.given_up += 1
        raise asyncio.CancelledError


def _gateway(url: str, name: str, policy: Policy) -> JsonHttpGateway[Bill]:
    keyed = policy is Policy.KEYED
    look_up = JsonLookUp(
        url=f"{url}?reference={{order_id}}",
        list_field="items",
        reference_field="reference",
        settle=timedelta(minutes=1),
        lag=timedelta(minutes=1),
    )
    return JsonHttpGateway(
        Bill,
        url,
        recipient="order_id",
        name=name,
        live=True,
        slots=len(MOODS),
        call_timeout=CALL_TIMEOUT,
        read_timeout=CALL_TIMEOUT * 2,
        idempotency_header="Idempotency-Key" if keyed else None,
        key_lifetime=timedelta(hours=48) if keyed else None,
        look_up=look_up if policy is Policy.RECONCILE else None,
        retry=RetrySchedule((WAIT,) * 2),
    )


def _application(store: Store, here: str, away: str) -> Duly:
    """A tenant for each policy, and one more for its provider that is away."""
    gateways = [
        _gateway(url, f"{policy.value}{suffix}", policy)
        for policy in Policy
        for url, suffix in ((here, ""), (away, "-away"))
    ]
    sending = [Sending(effect=Bill, gateway=Policy.KEYED.value, policy=Policy.KEYED)]
    sending += [
        Sending(effect=Bill, gateway=gateway.name, policy=policy, tenant=gateway.name)
        for policy in Policy
        for gateway in gateways
        if gateway.name in (policy.value, f"{policy.value}-away")
    ]
    settings = Settings(
        poll_interval=timedelta(milliseconds=20),
        breaker=BreakerTerms(calls_min=1_000_000),
        drain_time_max=timedelta(seconds=10),
    )
    return Duly(modules=[till], store=store, gateways=gateways, sending=sending, settings=settings)


async def column(url: str, folder: Path, where: str) -> Cells:
    """All moods and policies, with a worker that dies at *where*, and another one that comes after it.

    Every wait is as long as its schedule says: a short one would bring the second attempt before the provider is back.
    """
    with patch("random.random", return_value=1.0):
        return await _played(url, folder, where)


async def _played(url: str, folder: Path, where: str) -> Cells:
    history = History(folder / f"{where}.jsonl")
    here = Provider(history, lambda reference, call: Mood[reference.split(".")[1]] if call == 1 else Mood.TAKES)
    away = Provider(history)
    crash = _Crash(CRASHES[where])
    _crash.set(crash)
    expected = len(Policy) * len(MOODS)
    await here.bind()
    await here.listen()
    await away.bind()
    try:
        store = store_from_url(url)
        if url.startswith("postgres"):
            await _application(store, here.url, away.url).migrate()
        async with _application(store, here.url, away.url) as app:
            for policy in Policy:
                reached = [f"{policy.value}.{mood.name}" for mood in MOODS if isinstance(mood, Mood)]
                await app.execute(Charge(references=reached), tenant=policy.value)
                await app.execute(Charge(references=[f"{policy.value}.AWAY"]), tenant=f"{policy.value}-away")
            await _come_to(url, crash, expected)
            if where == "nowhere":
                await away.listen()
                await _to_the_end(app, store)
        if where != "nowhere":
            _crash.set(None)
            await away.listen()
            store = store_from_url(url)
            shift(store, CLOCK_MOVE)
            async with _application(store, here.url, away.url) as app:
                await _to_the_end(app, store)
        rows = await read_rows(url)
    finally:
        await here.close()
        await away.close()
    return {
        _place(effect, where): _said(effect, here.taken(effect.reference) + away.taken(effect.reference))
        for effect in rows.effects
    }


async def _come_to(url: str, crash: _Crash, expected: int) -> None:
    """Wait until every effect has come to where the worker dies."""

    def ended(rows: Rows) -> int:
        return sum(bool(e.attempts) and e.attempts[0].ended_ms is not None for e in rows.effects)

    deadline = asyncio.get_running_loop().time() + PHASE_SECONDS_MAX
    while (crash.given_up if crash.point else ended(await read_rows(url))) < expected:
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"Not every effect came to {crash.point or 'its outcome'} in {PHASE_SECONDS_MAX} s.")
        await asyncio.sleep(0.05)


async def _to_the_end(app: Duly, store: Store) -> None:
    """Let all waits pass, one after the other, until nothing comes by itself any more."""
    for _ in range(CLOCK_MOVES_MAX):
        await app.until_quiet(within=timedelta(seconds=1), time_max=timedelta(seconds=PHASE_SECONDS_MAX))
        if not await store.unsettled(timedelta(days=2)):
            return
        await move_clock(store, CLOCK_MOVE)
    raise AssertionError("There is always a next step: it does not come to an end.")


def _place(effect: EffectRow, where: str) -> tuple[str, str, str]:
    policy, mood = effect.reference.split(".")
    return policy, AWAY if mood == "AWAY" else Mood[mood].value, where


def _said(effect: EffectRow, taken: int) -> str:
    marked = f" ({effect.marked} marked)" if effect.marked else ""
    state = effect.state if effect.state == "accepted" else f"**{effect.state}**"
    return f"{state}, {len(effect.attempts)}{marked}, {taken}"


async def cells(new_database: NewDatabase, folder: Path) -> Cells:
    """The whole table on one store; the columns are played at the same time."""
    with at_failpoints(_give_up):
        columns = [asyncio.create_task(column(new_database(), folder, where)) for where in CRASHES]
        played = await asyncio.gather(*columns)
    return {place: said for one in played for place, said in one.items()}


@asynccontextmanager
async def databases(store: str) -> AsyncIterator[tuple[NewDatabase, Path]]:
    """New databases for a run of the table, and a folder."""
    with tempfile.TemporaryDirectory() as folder:
        if store == "sqlite":
            yield Databases(Path(folder), None), Path(folder)
        else:
            with PostgresServer() as server:
                yield Databases(Path(folder), server), Path(folder)


async def main() -> int:
    """Write the page; 1 when the stores do not agree."""
    logging.getLogger("duly").setLevel(logging.CRITICAL)
    found: list[Cells] = []
    for store in STORES:
        async with databases(store) as (new_database, folder):
            found.append(await cells(new_database, folder))
    first, second = found
    differing = [
        f"{place}: {first.get(place)} and {second.get(place)}"
        for place in first.keys() | second.keys()
        if first.get(place) != second.get(place)
    ]
    if differing:
        print("The stores do not agree:", *sorted(differing), sep="\n  ")
        return 1
    PAGE.write_text(page(first, moods_of_the_table(), list(CRASHES)))
    return 0


def moods_of_the_table() -> list[str]:
    """The words of the rows."""
    return [mood if isinstance(mood, str) else mood.value for mood in MOODS]


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
