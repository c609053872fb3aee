"""S08 under cancellation, and a sender of PostgreSQL that is cancelled."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress

import pytest

from duly import (
    Aggregate,
    Command,
    Context,
    Dispatch,
    Duly,
    EffectNotFound,
    Effects,
    Module,
    Outcome,
    Policy,
    Query,
    Reader,
    Repository,
    RuleBroken,
    Sms,
    Sql,
)
from duly.gateways.recording import RecordingGateway
from duly.ports.gateway import Call
from duly.ports.ledger import Turn, Turned
from duly.ports.store import Store
from duly.runtime.store_url import store_from_url
from duly.stores.postgres import PostgresStore
from tests.contract.cancelling import at_await, cancel_this_task
from tests.scenarios.desk import Send, until
from tests.scenarios.running import durable, quick_settings
from tests.scenarios.test_a_store_that_fails import QUIET_MAX, Provider, application, effects

TENANTS = [f"tenant-{number}" for number in range(6)]
CALLS = 240
AWAITS_MAX = 12
CONNECTIONS_MAX = 3
SLOTS = 3
PHONE = "+4915123456789"


class Note(Aggregate):
    tenant: str
    changes: int = 0


class Write(Command[str]):
    note_id: str
    with_sql: bool = False


class ReadNote(Query[list[str]]):
    note_id: str


notebook = Module("notebook", tables=["CREATE TABLE jotting (tenant text NOT NULL, note_id text NOT NULL)"])
_leaks: list[str] = []


@notebook.command
async def write(command: Write, notes: Repository[Note], effects: Effects, sql: Sql, context: Context) -> str:
    """All tenants use the same ids: what is mixed up shows."""
    note = await notes.find(command.note_id)
    if note is None:
        note = Note(id=command.note_id, tenant=context.tenant)
        notes.add(note)
    _see(note.tenant, context.tenant, "a handler was given an aggregate")
    note.changes += 1
    if command.with_sql:
        await _jot(command, sql, context.tenant)
    text = f"{context.tenant} {'jotted' if command.with_sql else 'wrote'} {command.note_id}"
    return effects.request(Sms(to=PHONE, text=text), reference=command.note_id)


async def _jot(command: Write, sql: Sql, tenant: str) -> None:
    if _is_postgres:
        _see(await sql.fetch_value("SELECT current_setting('probe.tenant', true)") or tenant, tenant, "a session was")
        await sql.fetch_value("SELECT set_config('probe.tenant', :tenant, false)", tenant=tenant)
    with suppress(RuleBroken):
        async with sql.savepoint():
            await sql.execute("INSERT INTO jotting VALUES (:tenant, :id)", tenant="nobody", id=command.note_id)
            raise RuleBroken("never mind")
    await sql.execute("INSERT INTO jotting VALUES (:tenant, :id)", tenant=tenant, id=command.note_id)


@notebook.query
async def read_note(query: ReadNote, notes: Repository[Note], reader: Reader, context: Context) -> list[str]:
    note = await notes.find(query.note_id)
    rows = await reader.fetch_all("SELECT tenant FROM jotting WHERE tenant = :tenant", tenant=context.tenant)
    return [*([note.tenant] if note else []), *(str(row["tenant"]) for row in rows)]


_is_postgres = False


def _see(found: object, tenant: str, what: str) -> None:
    if found != tenant:
        _leaks.append(f"{what} of {found} for {tenant}")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[Duly, Store]]:
    """The notebook with a few connections, and an observer with connections of its own."""
    global _is_postgres
    _is_postgres = url.startswith("postgres")
    _leaks.clear()
    store = PostgresStore(url, connections_max=CONNECTIONS_MAX) if _is_postgres else store_from_url(url)
    app = Duly(modules=[notebook], store=store, gateways=[RecordingGateway(Sms)], settings=quick_settings())
    if _is_postgres:
        await app.migrate()
    async with app:
        observer = store_from_url(url)
        await observer.open()
        try:
            yield app, observer
        finally:
            await observer.close()


async def until_nothing_is_left_open(observer: Store) -> None:
    """Wait until no connection of duly is in a transaction, or holds a lock of its session: one left so stays so."""

    async def is_clean() -> bool:
        (row,) = await observer.select(
            "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%') "
            "+ (SELECT count(*) FROM pg_locks AS held JOIN pg_database AS db ON db.oid = held.database "
            "WHERE db.datname = current_database() AND held.locktype = 'advisory') AS left",
            {},
        )
        return int(str(row["left"])) == 0

    await until(is_clean, "connections without an open transaction")


async def call_once(app: Duly, lots: random.Random, known: dict[str, list[str]], number: int) -> None:
    """One command, query, or look into the ledger, of a tenant drawn by lot."""
    tenant, note_id = lots.choice(TENANTS), f"n-{lots.randrange(12)}"
    match number % 4:
        case 0 | 1:
            command = Write(note_id=note_id, with_sql=number % 8 < 4)
            known[tenant].append(await app.execute(command, tenant=tenant, command_id=f"c-{number}"))
        case 2:
            for found in await app.ask(ReadNote(note_id=note_id), tenant=tenant):
                _see(found, tenant, "a query was given a row")
        case _:
            for view in (await app.ledger(tenant).page()).effects:
                _see(view.tenant, tenant, "the ledger showed an effect")
                _see(view.summary.split()[0], tenant, "the ledger showed a text")
            foreign = lots.choice([one for one in TENANTS if one != tenant])
            if known[foreign]:
                with suppress(EffectNotFound):
                    _see((await app.ledger(tenant).effect(known[foreign][-1])).tenant, tenant, "by its id, an effect")


@durable
async def test_tenants_whose_calls_are_cancelled_at_any_await_see_nothing_of_each_other(store_url: str) -> None:
    lots = random.Random(seed := random.randrange(10_000))
    known: dict[str, list[str]] = {tenant: [] for tenant in TENANTS}
    async with opened(store_url) as (app, observer):

        def one(number: int) -> Awaitable[None]:
            call = call_once(app, lots, known, number)
            return at_await(lots.randint(1, AWAITS_MAX), call) if lots.random() < 0.5 else call

        tasks = [asyncio.ensure_future(one(number)) for number in range(CALLS)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        cancelled = sum(isinstance(result, asyncio.CancelledError) for result in results)
        failed = [result for result in results if isinstance(result, Exception)]
        assert not failed, f"seed {seed}: {failed[:3]}"
        assert CALLS // 10 < cancelled < CALLS * 9 // 10, f"seed {seed}: {cancelled} calls were cancelled"
        await app.until_quiet(time_max=QUIET_MAX)
        if _is_postgres:
            await until_nothing_is_left_open(observer)
        assert _leaks == [], f"seed {seed}: {len(_leaks)} foreign rows"
        await everything_is_whole(app, observer, known, f"seed {seed}")


async def everything_is_whole(app: Duly, observer: Store, known: dict[str, list[str]], where: str) -> None:
    """Each command is there with all that it did, or with nothing; what was acknowledged is there."""
    prefix = "duly." if _is_postgres else "duly_"
    for tenant in TENANTS:
        views = await app.ledger(tenant).all_effects()
        assert {view.id for view in views} >= set(known[tenant]), f"{where}: an acknowledged command is lost"
        bodies = await observer.select(f"SELECT body FROM {prefix}document WHERE tenant = :t", {"t": tenant})
        jotted = await observer.select("SELECT note_id FROM jotting WHERE tenant = :t", {"t": tenant})
        inbox = await observer.select(f"SELECT id FROM {prefix}inbox WHERE tenant = :t", {"t": tenant})
        changes = sum(json.loads(str(row["body"]))["changes"] for row in bodies)
        assert len(views) == len(inbox) == changes, f"{where}: half a command of {tenant} is there"
        assert sum("jotted" in view.summary for view in views) == len(jotted), f"{where}: half a command of {tenant}"
    (row,) = await observer.select("SELECT count(*) AS number FROM jotting WHERE tenant = 'nobody'", {})
    assert row["number"] == 0, f"{where}: a block was not taken back"


# The sender. Cancelled once, it writes down what it knows; what nobody knows is unknown.


class TurnCancelled(PostgresStore):
    """At the n-th await of the n-th turn, the task that takes it is cancelled."""

    def __init__(self, url: str, turn: int, wait: int) -> None:
        super().__init__(url, connections_max=CONNECTIONS_MAX)
        self._turns_left = turn
        self._wait = wait
        self.was_cancelled = asyncio.Event()

    async def turn(self, turn: Turn) -> Turned:
        """A turn of the sender."""
        self._turns_left -= 1
        taken = super().turn(turn)
        return await (at_await(self._wait, taken, self._cancel) if self._turns_left == 0 else taken)

    def _cancel(self) -> None:
        cancel_this_task()
        self.was_cancelled.set()


class CallsOut(Provider):
    """Says when so many calls have begun."""

    def __init__(self, calls: int) -> None:
        super().__init__(seconds_max=0.02)
        self._calls = calls
        self.are_out = asyncio.Event()

    async def answer(self, call: Call) -> Outcome:
        """Take it after a while."""
        if self.begun.total() + 1 == self._calls:
            self.are_out.set()
        return await super().answer(call)


async def request(app: Duly) -> list[str]:
    """Start the application on a database that may be new, and ask for twelve texts."""
    await app.migrate()
    await app.start()
    return await app.execute(Send(texts=[f"text {number}" for number in range(12)]), tenant="acme")


async def first_of(app: Duly, event: asyncio.Event) -> None:
    """Wait for *event*, or until the application is quiet without it."""
    tasks = [asyncio.ensure_future(app.until_quiet(time_max=QUIET_MAX)), asyncio.ensure_future(event.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def check_what_a_new_sender_makes_of_it(url: str, provider: Provider, requested: list[str], where: str) -> None:
    """Each effect was taken once, or is unknown because its call was under way; nothing is left open."""
    async with application(store_from_url(url), Policy.AT_MOST_ONCE, provider) as again:
        await again.until_quiet(time_max=QUIET_MAX)
        await until_nothing_is_left_open(again._store)
        views = [view for view in await effects(again) if view.id in requested]
    assert len(views) == len(requested) == 12, f"{where}: effects are lost"
    for view in views:
        assert provider.taken[view.id] <= provider.begun[view.id] <= 1, f"{where}: called twice: {view}"
        expected = Dispatch.ACCEPTED if view.id in provider.told else Dispatch.UNKNOWN
        assert view.state is expected, f"{where}: what the provider told is {expected}: {view}"
    # A claim whose COMMIT was on its way when it was given up may still arrive: its calls were never made, and nobody
    # knows that any more. A sender has no more of them than slots.
    assert sum(not provider.begun[view.id] for view in views) <= SLOTS, where


async def cancelled_in_a_turn(url: str, turn: int, wait: int) -> bool:
    """A sender cancelled there, and one that goes on; whether there was such a turn and await."""
    provider = Provider(seconds_max=0.02)
    store = TurnCancelled(url, turn, wait)
    app = application(store, Policy.AT_MOST_ONCE, provider)
    requested = await request(app)
    await first_of(app, store.was_cancelled)
    await app.stop()
    await check_what_a_new_sender_makes_of_it(url, provider, requested, f"turn {turn}, await {wait}")
    return store.was_cancelled.is_set()


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("turn", [1, 2, 3, 4])
async def test_a_sender_that_is_cancelled_at_any_await_of_its_turn_loses_no_effect_and_sends_none_twice(
    store_url: str, turn: int
) -> None:
    wait = 1
    while await cancelled_in_a_turn(store_url, turn, wait):
        wait += 1
    assert wait > 4, "a turn has more awaits than that"


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
async def test_a_worker_that_is_cancelled_while_calls_are_out_loses_no_effect_and_sends_none_twice(
    store_url: str,
) -> None:
    for calls in range(1, 13):
        provider = CallsOut(calls)
        app = application(PostgresStore(store_url, connections_max=CONNECTIONS_MAX), Policy.AT_MOST_ONCE, provider)
        requested = await request(app)
        await first_of(app, provider.are_out)
        assert provider.are_out.is_set()
        assert app._worker is not None
        for task in app._worker._tasks:
            task.cancel()
        await app.stop()
        await check_what_a_new_sender_makes_of_it(store_url, provider, requested, f"{calls} calls had begun")
