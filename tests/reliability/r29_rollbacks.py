"""R29: effects were requested, and the transaction did not commit, or only what was around a block of a savepoint."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from duly import (
    Aggregate,
    Command,
    ConcurrencyConflict,
    DomainEvent,
    Duly,
    Effect,
    Effects,
    Module,
    Policy,
    Repository,
    RuleBroken,
    Settings,
    Sql,
    Unique,
    UniqueViolation,
)
from duly.errors import UserSqlError
from duly.gateways.recording import RecordingGateway
from duly.ports.change import Change, DocumentWrite
from duly.ports.gateway import Call
from duly.ports.store import Store
from duly.runtime.store_url import store_from_url
from duly.states.attempt import Accepted
from duly.testing.process import ProcessUnderTest
from tests.reliability.application import Options
from tests.reliability.application import application as killed_application
from tests.reliability.checks import nothing_is_sent_from_a_rollback
from tests.reliability.ledger_rows import read_rows
from tests.reliability.provider import providing
from tests.reliability.scenario import Run, Scenario, Told

AT_ONCE: Final = 8
HOT: Final = 8
"""How many aggregates there are conflicts about."""
NEVER_RESOLVED: Final = "a conflict is never resolved"
SLOW: Final = 0.1
"""A conflict is met thirteen times, with waits: there are fewer of them than of the other ways."""
WAYS: Final[Mapping[str, type[BaseException]]] = {
    "the handler raises": RuleBroken,
    "a later handler in the cascade raises": RuleBroken,
    NEVER_RESOLVED: ConcurrencyConflict,
    "a unique value is taken": UniqueViolation,
    "a statement of its own fails": UserSqlError,
    "it is cancelled": asyncio.CancelledError,
    "a block is taken back, then the handler raises": RuleBroken,
}
BLOCKS: Final[Mapping[str, type[BaseException]]] = {
    "a block raises, the rest is committed": RuleBroken,
    "a statement fails in a block, the rest is committed": UserSqlError,
}
"""Ways in which only what was done inside of a block is taken back."""
INSIDE: Final = "-inside"
COMMITTED_EVERY: Final = 20
"""One command in so many commits, so that it is seen that effects do go out."""


class Ask(Command):
    number: str
    way: str


class Asked(DomainEvent):
    number: str
    way: str


class Letter(Effect):
    to: str


class Desk(Aggregate):
    name: Unique[str]
    visits: int = 0


office = Module("office")
_asking: dict[str, asyncio.Event] = {}
_stores: dict[str, Any] = {}


@office.command
async def ask(command: Ask, desks: Repository[Desk], effects: Effects, sql: Sql) -> None:
    effects.request(Letter(to=command.number), reference=command.number)
    match command.way:
        case "the handler raises":
            raise RuleBroken("never mind")
        case way if way == NEVER_RESOLVED:
            hot = f"hot-{int(command.number.removeprefix('r-')) % HOT}"
            desk = await desks.get(hot)
            desk.visits += 1
            await _visit_from_elsewhere(hot)
        case "a unique value is taken":
            desks.add(Desk(id=command.number, name="reception"))
        case "a statement of its own fails":
            await sql.execute("INSERT INTO nowhere (nothing) VALUES (1)")
        case "a block is taken back, then the handler raises":
            await _take_a_block_back(command, RuleBroken, desks, effects, sql)
            raise RuleBroken("never mind")
        case way if way in BLOCKS:
            await _take_a_block_back(command, BLOCKS[way], desks, effects, sql)
        case "it is cancelled":
            _asking[command.number].set()
            await asyncio.Event().wait()
        case _:
            desk = Desk(id=command.number, name=command.number)
            desk.record(Asked(number=command.number, way=command.way))
            desks.add(desk)


@office.in_transaction
async def write_again(event: Asked, effects: Effects) -> None:
    effects.request(Letter(to=event.number), reference=f"{event.number}-again")
    if event.way == "a later handler in the cascade raises":
        raise RuleBroken("never mind")


async def _take_a_block_back(
    command: Ask, kind: type[BaseException], desks: Repository[Desk], effects: Effects, sql: Sql
) -> None:
    """Request a letter in a block, and one in the cascade of an event that is recorded there; neither may be sent."""
    number = f"{command.number}{INSIDE}"
    with suppress(kind):
        async with sql.savepoint():
            effects.request(Letter(to=number), reference=number)
            desk = Desk(id=number, name=number)
            desk.record(Asked(number=number, way=command.way))
            desks.add(desk)
            await sql.fetch_value("SELECT 1")  # with the desk written into the transaction
            if kind is UserSqlError:
                await sql.execute("INSERT INTO nowhere (nothing) VALUES (1)")
            raise RuleBroken("never mind")


async def _visit_from_elsewhere(desk_id: str) -> None:
    """Another process changes the aggregate, between each reading and its commit."""
    store = _stores["elsewhere"]
    hot = await store.document("acme", Desk.__duly__.name, desk_id)
    write = DocumentWrite(type=Desk.__duly__.name, id=desk_id, expected=hot.version, schema=hot.schema, body=hot.body)
    await store.commit(Change(tenant="acme", documents=(write,)))


async def rollbacks(run: Run) -> Told:
    """So many rollbacks, *AT_ONCE* at a time, with commits between them; then processes killed before the commit."""
    history = run.history()
    url = run.new_database()
    lots = run.random()

    async def take(call: Call) -> Accepted:
        reference = call.prepared.recipient
        history.add("called", reference)
        return Accepted(provider_id=f"L{call.effect_id}")

    gateway = RecordingGateway(Letter, name="post", channel="post", outcomes=take)
    settings = Settings(poll_interval=timedelta(milliseconds=20))
    store: Store = store_from_url(url)
    app = Duly(modules=[office], store=store, gateways=[gateway], tenant="acme", settings=settings)
    if url.startswith("postgres"):
        await app.migrate()
    _stores["elsewhere"] = store
    done: Counter[str] = Counter()
    known = (*WAYS, *BLOCKS)
    ways = lots.choices(known, [SLOW if way == NEVER_RESOLVED else 1 for way in known], k=run.counts["rollbacks"])
    ways[: len(known)] = known
    queue = list(enumerate(ways))
    async with app:
        for number in ("reception", *(f"hot-{place}" for place in range(HOT))):
            await app.execute(Ask(number=number, way="commit"))

        async def work() -> None:
            while queue:
                number, way = queue.pop()
                done[await _roll_back(app, history, f"r-{number}", way)] += 1
                if number % COMMITTED_EVERY == 0:
                    await app.execute(Ask(number=f"c-{number}", way="commit"))

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        await app.until_quiet(time_max=timedelta(seconds=60))
    committed = 1 + HOT + len(range(0, len(ways), COMMITTED_EVERY))
    rows = await read_rows(url)
    refused = {entry.about for entry in history.of("refused")}
    found = nothing_is_sent_from_a_rollback(history, rows)
    phantoms = [e for e in rows.effects if e.reference.removesuffix("-again") in refused]
    sent = sum(entry.about in refused for entry in history.of("called"))
    around = sum(done[way] for way in BLOCKS)
    letters = 2 * committed + around
    if len(rows.effects) != letters + len(phantoms) or any(e.state != "accepted" for e in rows.effects):
        found.append(f"{committed + around} commits asked for {letters} letters; the ledger has {len(rows.effects)}")
    if committing := [way for way in done if way not in known]:
        found.append(f"not every rollback was one: {committing}")
    killed, said = await _killed_before_the_commit(run)
    return Told(
        faults=len(refused) + killed,
        figures={
            "rollbacks": str(len(refused) + killed),
            "ways": str(len(done) + (1 if killed else 0)),
            "sent": str(sent),
            "effect rows": str(len(phantoms)),
            "of them blocks of savepoints, with a letter around each that was sent": str(around),
            "commits between, with their letters": str(committed),
        },
        violations=(*found, *said),
    )


async def _roll_back(app: Duly, history: Any, number: str, way: str) -> str:
    """Run one command that must not commit; the way by which it did not, or what happened instead."""
    history.add("asked", number, way)
    _asking[number] = asyncio.Event()
    task = asyncio.ensure_future(app.execute(Ask(number=number, way=way), command_id=number))
    if way == "it is cancelled":
        await _asking[number].wait()
        task.cancel()
    try:
        await task
        if way in BLOCKS:
            history.add("refused", f"{number}{INSIDE}", way)
            return way
    except WAYS.get(way, ()):
        history.add("refused", number, way)
        return way
    except Exception as error:
        return f"{way}: {error!r}"
    finally:
        del _asking[number]
    history.add("acknowledged", number)
    return f"{way}: it was committed"


async def _killed_before_the_commit(run: Run) -> tuple[int, list[str]]:
    """Kill a process before the commit of one order, so many times; nothing of it is there until it is sent again."""
    history = run.history("killed")
    found: list[str] = []
    kills = 0
    url = run.new_database()
    async with providing(history) as provider:
        if url.startswith("postgres"):
            await killed_application(url, provider.url, Policy.AT_MOST_ONCE).migrate()
        for number in range(run.counts["kills"]):
            options = Options(
                store=url,
                provider=provider.url,
                policy=Policy.AT_MOST_ONCE,
                kill_at="command.before_commit",
                bug=run.bug,
            )
            doomed = await ProcessUnderTest.start("tests.reliability.application", [options.text()], history)
            await doomed.ask(f"k-{number}", text=True)
            kills += await doomed.ended(seconds_max=20) == -9
            await doomed.kill()
        async with killed_application(url, provider.url, Policy.AT_MOST_ONCE) as app:
            await app.until_quiet()
        with suppress(asyncio.CancelledError):
            rows = await read_rows(url)
            if rows.effects or rows.orders or list(history.of("called")):
                found.append(f"{len(rows.effects)} effects of killed transactions are there")
    if kills != run.counts["kills"]:
        found.append(f"only {kills} of {run.counts['kills']} processes were killed before the commit")
    return kills, found


R29: Final = Scenario(
    id="R29",
    title="rollbacks after effects were requested",
    scene=rollbacks,
    tier_1={"rollbacks": 200, "kills": 1},
    tier_2={"rollbacks": 10_000, "kills": 20},
    bugs=("intents_are_written_outside_of_the_transaction", "blocks_take_back_the_database_only"),
)
