"""A block of `sql.savepoint()` that raises takes back what the database and the unit of work have done since."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from duly import (
    Aggregate,
    Command,
    DomainEvent,
    Effects,
    Entity,
    EventSourced,
    Module,
    Query,
    Reader,
    Repository,
    RuleBroken,
    Sms,
    Sql,
    Unique,
    UniqueViolation,
    applies,
)
from duly.errors import ScopeClosed, StoreError, UserSqlError
from tests.scenarios.running import Running, Start

PHONE = "+4915123456789"


class Line(Entity):
    text: str


class Account(Aggregate):
    owner: Unique[str]
    balance: int = 0
    lines: list[Line] = []


class Moved(DomainEvent):
    account_id: str
    text: str


class Counted(DomainEvent):
    number: int


class Counter(EventSourced):
    total: int = 0
    numbers: list[int] = []

    @applies
    def counted(self, event: Counted) -> None:
        if event.number < 0:
            raise ValueError("no number to count")
        self.total += event.number
        self.numbers.append(event.number)


@dataclass(frozen=True, slots=True)
class Hands:
    """What a handler has in hand."""

    accounts: Repository[Account]
    effects: Effects
    sql: Sql
    counters: Repository[Counter]

    def open(self, account_id: str, balance: int = 0) -> Account:
        account = Account(id=account_id, owner=account_id, balance=balance)
        self.accounts.add(account)
        return account

    def text(self, text: str) -> str:
        return self.effects.request(Sms(to=PHONE, text=text))

    async def note(self, text: str) -> None:
        await self.sql.execute("INSERT INTO note (text) VALUES (:text)", text=text)


Body = Callable[[Hands], Awaitable[object]]


class Do(Command):
    body: str


class Notes(Query[list[str]]):
    pass


class Holdings(Query[dict[str, int]]):
    ids: list[str]


bank = Module("bank", tables=["CREATE TABLE note (text TEXT NOT NULL UNIQUE)"])
_bodies: dict[str, Body] = {}
_subscribed: list[Body] = []
heard: list[str] = []


@bank.command
async def do(
    command: Do, accounts: Repository[Account], counters: Repository[Counter], effects: Effects, sql: Sql
) -> None:
    await _bodies[command.body](Hands(accounts, effects, sql, counters))


@bank.in_transaction
async def hear(event: Moved, effects: Effects) -> None:
    heard.append(event.text)
    effects.request(Sms(to=PHONE, text=f"heard {event.text}"))


@bank.after_commit
async def hear_afterwards(
    event: Moved, accounts: Repository[Account], counters: Repository[Counter], effects: Effects, sql: Sql
) -> None:
    for body in _subscribed:
        await body(Hands(accounts, effects, sql, counters))


@bank.query
async def read_notes(query: Notes, reader: Reader) -> list[str]:
    return [str(row["text"]) for row in await reader.fetch_all("SELECT text FROM note ORDER BY text")]


@bank.query
async def read_holdings(query: Holdings, accounts: Repository[Account]) -> dict[str, int]:
    found = [await accounts.find(account_id) for account_id in query.ids]
    return {account.id: account.balance for account in found if account is not None}


@pytest.fixture
async def app(start: Start) -> Running:
    """The bank, open, with two accounts of 10 and 20."""
    _bodies.clear()
    _subscribed.clear()
    running = await start(bank)

    async def opened(hands: Hands) -> None:
        hands.open("a", 10)
        hands.open("b", 20)

    await run(running, opened)
    heard.clear()
    return running


async def run(running: Running, body: Body, command_id: str | None = None) -> None:
    """Run *body* as a handler."""
    name = f"{id(body)}"
    _bodies[name] = body
    await running.app.execute(Do(body=name), tenant="acme", command_id=command_id)


async def notes(running: Running) -> list[str]:
    return await running.app.ask(Notes(), tenant="acme")


async def holdings(running: Running, *ids: str) -> dict[str, int]:
    return await running.app.ask(Holdings(ids=list(ids or "abcd")), tenant="acme")


async def texts(running: Running) -> list[str]:
    """What has gone out, by alphabet."""
    await running.quiet()
    return sorted(effect.summary for effect in await running.effects())


# What is taken back, and what is not.


async def test_everything_of_the_block_is_taken_back_and_everything_else_is_committed(app: Running) -> None:
    async def body(hands: Hands) -> None:
        a, b = await hands.accounts.get("a"), await hands.accounts.get("b")
        a.balance = 11
        a.record(Moved(account_id="a", text="before"))
        hands.text("sms before")
        await hands.note("before")
        with suppress(RuleBroken):
            async with hands.sql.savepoint():
                a.balance = 99
                a.lines.append(Line(text="never"))
                a.record(Moved(account_id="a", text="never"))
                hands.accounts.remove(b)
                hands.open("c", 30).record(Moved(account_id="c", text="never, too"))
                hands.text("sms never")
                await hands.note("never")  # with what was changed until here written into the transaction
                a.balance = 98
                raise RuleBroken("never mind")
        a.record(Moved(account_id="a", text="after"))
        hands.text("sms after")
        await hands.note("after")

    await run(app, body)
    assert await holdings(app) == {"a": 11, "b": 20}
    assert await notes(app) == ["after", "before"]
    assert heard == ["before", "after"]
    assert await texts(app) == ["heard after", "heard before", "sms after", "sms before"]
    assert len(app.gateway.calls) == 4


async def test_a_block_that_does_not_raise_is_kept(app: Running) -> None:
    async def body(hands: Hands) -> None:
        async with hands.sql.savepoint():
            (await hands.accounts.get("a")).record(Moved(account_id="a", text="kept"))
            hands.open("c", 30)
            await hands.note("kept")
        async with hands.sql.savepoint():
            hands.text("sms kept")

    await run(app, body)
    assert await holdings(app) == {"a": 10, "b": 20, "c": 30}
    assert (await notes(app), heard) == (["kept"], ["kept"])
    assert await texts(app) == ["heard kept", "sms kept"]


async def test_the_objects_in_hand_get_their_fields_back(app: Running) -> None:
    seen: list[object] = []

    async def body(hands: Hands) -> None:
        a = await hands.accounts.get("a")
        a.lines = [Line(text="one")]
        (line,) = lines = a.lines
        with suppress(RuleBroken):
            async with hands.sql.savepoint():
                line.text = "changed"
                lines.append(Line(text="two"))
                a.lines = []
                a.balance = 0
                raise RuleBroken("never mind")
        seen.append((await hands.accounts.get("a")) is a and a.lines is lines and a.lines[0] is line)
        seen.append(([line.text for line in a.lines], a.balance))
        line.text = "one, and changed again"

    await run(app, body)
    assert seen == [True, (["one"], 10)]

    async def look(hands: Hands) -> None:
        seen.append([line.text for line in (await hands.accounts.get("a")).lines])

    await run(app, look)
    assert seen[-1] == ["one, and changed again"]


async def test_what_was_got_inside_stays_in_hand_as_it_was_read(app: Running) -> None:
    async def body(hands: Hands) -> None:
        with suppress(RuleBroken):
            async with hands.sql.savepoint():
                a, (b,) = await hands.accounts.get("a"), await hands.accounts.by(owner="b")
                a.balance = b.balance = 99
                await hands.note("never")
                hands.accounts.remove(b)
                await hands.note("never again")
                raise RuleBroken("never mind")
        assert (a.balance, b.balance) == (10, 20)
        a.balance += 1
        b.balance += 1

    await run(app, body)
    assert await holdings(app) == {"a": 11, "b": 21}


async def test_what_was_added_inside_is_forgotten_and_may_be_added_again(app: Running) -> None:
    async def body(hands: Hands) -> None:
        new = Account(id="c", owner="c", balance=1)
        new.record(Moved(account_id="c", text="opened"))
        for attempt in range(3):
            with suppress(RuleBroken):
                async with hands.sql.savepoint():
                    hands.accounts.add(new)
                    await hands.note("opened")
                    if attempt < 2:
                        raise RuleBroken("never mind")

    await run(app, body)
    assert await holdings(app) == {"a": 10, "b": 20, "c": 1}
    assert (await notes(app), heard) == (["opened"], ["opened"])


async def test_an_event_sourced_aggregate_goes_back_to_the_events_that_it_had(app: Running) -> None:
    seen: list[object] = []

    async def opened(hands: Hands) -> None:
        counter = Counter(id="a")
        counter.record(Counted(number=1))
        hands.counters.add(counter)

    async def body(hands: Hands) -> None:
        counter = await hands.counters.get("a")
        counter.record(Counted(number=2))
        for number in (30, -1):
            with suppress(RuleBroken, ValueError):
                async with hands.sql.savepoint():
                    counter.record(Counted(number=number))
                    await hands.note("never")  # with the events until here written into the transaction
                    counter.record(Counted(number=number))
                    raise RuleBroken("never mind")
        counter.record(Counted(number=3))
        seen.append((counter.total, counter.numbers))

    async def look(hands: Hands) -> None:
        counter = await hands.counters.get("a")
        seen.append((counter.total, counter.numbers))

    await run(app, opened)
    await run(app, body)
    await run(app, look)
    assert seen == [(6, [1, 2, 3])] * 2
    assert await notes(app) == []


# What was read inside is checked by the commit.


@pytest.mark.parametrize("account_id", ["a", "c"])
async def test_a_decision_by_what_was_read_inside_is_checked(app: Running, account_id: str) -> None:
    """Another command comes between the reading and the commit; on SQLite it cannot, once a transaction is open."""
    runs = 0

    async def open_or_raise(hands: Hands) -> None:
        account = await hands.accounts.find(account_id) or hands.open(account_id)
        account.balance += 5

    async def body(hands: Hands) -> None:
        nonlocal runs
        runs += 1
        decided = "text"
        try:
            async with hands.sql.savepoint():
                account = await hands.accounts.find(account_id)
                raise RuleBroken(str(account.balance if account else 0))
        except RuleBroken as error:
            decided = str(error)
        if runs == 1 and app.app.store_url.startswith("postgres"):
            await run(app, open_or_raise)
        hands.text(f"decided by {decided}")

    if not app.app.store_url.startswith("postgres"):
        await run(app, open_or_raise)
    await run(app, body)
    before = 10 if account_id == "a" else 0
    assert await texts(app) == [f"decided by {before + 5}"]
    assert runs == (2 if app.app.store_url.startswith("postgres") else 1)


async def test_what_was_flushed_and_taken_back_conflicts_with_nobody(app: Running) -> None:
    runs = 0

    async def body(hands: Hands) -> None:
        nonlocal runs
        runs += 1
        a = await hands.accounts.get("a")
        for number in range(3):
            a.balance += 1
            with suppress(RuleBroken):
                async with hands.sql.savepoint():
                    a.balance = 99
                    await hands.note(f"never {number}")
                    a.owner = "somebody else"
                    await hands.note("never")
                    raise RuleBroken("never mind")
        a.record(Moved(account_id="a", text="kept"))

    await run(app, body)
    assert (runs, await holdings(app, "a")) == (1, {"a": 13})

    async def somebody_else(hands: Hands) -> None:
        hands.accounts.add(Account(id="c", owner="somebody else"))

    await run(app, somebody_else)


# Statements that fail.


async def test_a_statement_that_fails_inside_is_over_with_the_block(app: Running) -> None:
    async def body(hands: Hands) -> None:
        await hands.note("before")
        for wrong in ("INSERT INTO note (text) VALUES ('before')", "SELEC 1", "SELECT * FROM nowhere WHERE a = :a"):
            with suppress(UserSqlError):
                async with hands.sql.savepoint():
                    hands.text("never")
                    await hands.sql.fetch_all(wrong)
        await hands.note("after")
        hands.text("after")

    await run(app, body)
    assert await notes(app) == ["after", "before"]
    assert await texts(app) == ["after"]


async def test_looking_away_inside_of_the_block_does_not_keep_it(app: Running) -> None:
    async def look_away(hands: Hands) -> None:
        async with hands.sql.savepoint():
            await hands.note("never")
            with suppress(UserSqlError):
                await hands.sql.execute("DELETE FROM nowhere")

    async def body(hands: Hands) -> None:
        with pytest.raises(UserSqlError, match="nowhere"):
            await look_away(hands)
        await hands.note("after")

    await run(app, body)
    assert await notes(app) == ["after"]


async def test_a_statement_that_failed_before_the_block_dooms_it(app: Running) -> None:
    async def body(hands: Hands) -> None:
        with suppress(UserSqlError):
            await hands.sql.execute("DELETE FROM nowhere")
        with suppress(UserSqlError):
            async with hands.sql.savepoint():
                hands.text("never")

    with pytest.raises(UserSqlError, match="nowhere"):
        await run(app, body)
    assert await texts(app) == []


# Blocks within blocks.


async def test_an_inner_block_is_taken_back_by_itself_or_with_the_outer_one(app: Running) -> None:
    async def body(hands: Hands) -> None:
        a = await hands.accounts.get("a")
        async with hands.sql.savepoint():
            a.balance = 11
            hands.text("outer")
            with suppress(UserSqlError):
                async with hands.sql.savepoint():
                    a.balance = 12
                    hands.text("never")
                    await hands.sql.execute("DELETE FROM nowhere")
            await hands.note(f"a has {a.balance}")
        with suppress(RuleBroken):
            async with hands.sql.savepoint():
                a.balance = 13
                async with hands.sql.savepoint():
                    hands.text("never, too")
                    b = await hands.accounts.get("b")
                    b.balance = 0
                    await hands.note("never")
                raise RuleBroken("never mind")
        b.balance += 1

    await run(app, body)
    assert await holdings(app) == {"a": 11, "b": 21}
    assert await notes(app) == ["a has 11"]
    assert await texts(app) == ["outer"]


# Conflicts and cancellation.


async def test_a_conflict_inside_runs_the_whole_command_again_whoever_catches_it(app: Running) -> None:
    runs = 0

    async def elsewhere(hands: Hands) -> None:
        (await hands.accounts.get("a")).balance = 50

    async def body(hands: Hands) -> None:
        nonlocal runs
        runs += 1
        a = await hands.accounts.get("a")
        if runs == 1:
            await run(app, elsewhere)
        with suppress(Exception):
            async with hands.sql.savepoint():
                a.balance += 1
                await hands.note(f"run {runs}")
        hands.text(f"run {runs}")

    await run(app, body)
    assert (runs, await holdings(app, "a"), await notes(app)) == (2, {"a": 51}, ["run 2"])
    assert await texts(app) == ["run 2"]


async def test_a_unique_value_that_is_taken_ends_the_command_whoever_catches_it(app: Running) -> None:
    async def body(hands: Hands) -> None:
        with suppress(Exception):
            async with hands.sql.savepoint():
                hands.accounts.add(Account(id="c", owner="a"))
                await hands.note("never")

    with pytest.raises(UniqueViolation):
        await run(app, body)
    assert (await notes(app), await holdings(app)) == ([], {"a": 10, "b": 20})


async def test_a_command_that_is_cancelled_inside_leaves_nothing(app: Running) -> None:
    inside = asyncio.Event()

    async def body(hands: Hands) -> None:
        hands.text("never")
        async with hands.sql.savepoint():
            await hands.note("never")
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(run(app, body))
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def next_one(hands: Hands) -> None:
        await hands.note("next")

    await run(app, next_one)
    assert (await notes(app), await texts(app)) == (["next"], [])


async def test_a_limit_of_time_belongs_inside_of_the_block(app: Running) -> None:
    async def inside(hands: Hands) -> None:
        with suppress(TimeoutError):
            async with hands.sql.savepoint(), asyncio.timeout(None) as limit:
                await hands.note("never")
                hands.text("never")
                limit.reschedule(0)
                await asyncio.Event().wait()
        hands.text("too late")

    async def around(hands: Hands) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as limit, hands.sql.savepoint():
                await hands.note("never")
                limit.reschedule(0)
                await asyncio.Event().wait()
        hands.text("never")

    await run(app, inside)
    with pytest.raises(StoreError, match=r"Put asyncio\.timeout\(\) inside of the block"):
        await run(app, around)
    assert (await notes(app), await texts(app)) == ([], ["too late"])


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
async def test_a_statement_that_takes_too_long_is_taken_back_with_its_block(app: Running) -> None:
    async def body(hands: Hands) -> None:
        for _ in range(3):
            with suppress(TimeoutError):
                async with hands.sql.savepoint(), asyncio.timeout(0.05):
                    hands.text("never")
                    await hands.sql.fetch_value("SELECT 1 FROM pg_sleep(60)")
        await hands.note("after")

    async with asyncio.timeout(20):
        await run(app, body)
    assert (await notes(app), await texts(app)) == (["after"], [])


# Blocks that are not left in their turn.


async def test_a_handler_that_returns_inside_of_a_block_commits_nothing(app: Running) -> None:
    blocks: list[Any] = []

    async def body(hands: Hands) -> None:
        blocks.append(hands.sql.savepoint())
        await blocks[0].__aenter__()
        hands.text("never")

    with pytest.raises(ScopeClosed, match="not left in its turn"):
        await run(app, body)
    with pytest.raises(ScopeClosed, match="not left in its turn"):
        await blocks[0].__aexit__(None, None, None)
    assert (await notes(app), await texts(app)) == ([], [])


async def test_a_block_cannot_begin_after_the_handler(app: Running) -> None:
    kept: list[Hands] = []

    async def body(hands: Hands) -> None:
        kept.append(hands)

    await run(app, body)
    with pytest.raises(ScopeClosed, match="The handler has ended"):
        await kept[0].sql.savepoint().__aenter__()


async def test_blocks_that_overlap_in_two_tasks_commit_nothing(app: Running) -> None:
    async def body(hands: Hands) -> None:
        entered, left = asyncio.Event(), asyncio.Event()

        async def first() -> None:
            try:
                async with hands.sql.savepoint():
                    await entered.wait()
            finally:
                left.set()

        async def second() -> None:
            async with hands.sql.savepoint():
                entered.set()
                await left.wait()
                raise RuleBroken("never mind")

        tasks = [asyncio.create_task(first()), asyncio.create_task(second())]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert any(isinstance(one, ScopeClosed) for one in found)
        hands.text("never")

    with pytest.raises(ScopeClosed, match="not left in its turn"):
        await run(app, body)
    assert await texts(app) == []


async def test_statements_that_a_handler_runs_at_the_same_time_belong_to_one_transaction(app: Running) -> None:
    async def body(hands: Hands) -> None:
        hands.open("c", 30)
        await asyncio.gather(*(hands.note(str(number)) for number in range(5)))

    await run(app, body)
    assert await notes(app) == ["0", "1", "2", "3", "4"]
    assert await holdings(app, "c") == {"c": 30}


# Ids.


async def test_a_redelivery_requests_the_same_effects_whatever_its_blocks_took_back(app: Running) -> None:
    requested: list[list[str]] = []

    async def subscriber(hands: Hands) -> None:
        ids = [hands.text("one")]
        with suppress(RuleBroken):
            async with hands.sql.savepoint():
                ids.append(hands.text("never"))
                raise RuleBroken("never mind")
        ids.append(hands.text("two"))
        requested.append(ids)
        if len(requested) == 1:
            raise LookupError("the first time")

    async def body(hands: Hands) -> None:
        (await hands.accounts.get("a")).record(Moved(account_id="a", text="moved"))

    _subscribed.append(subscriber)
    await run(app, body)
    assert await texts(app) == ["heard moved", "one", "two"]
    assert len(requested) == 2
    assert requested[0] == requested[1]
    assert len(set(requested[0])) == 3  # the id of what was taken back never comes to mean something else
    kept = {effect.id for effect in await app.effects()}
    assert {requested[0][0], requested[0][2]} < kept
    assert requested[0][1] not in kept


async def test_a_command_that_rolled_back_makes_the_same_ids_again(app: Running) -> None:
    requested: list[str] = []

    async def body(hands: Hands) -> None:
        with suppress(UserSqlError):
            async with hands.sql.savepoint():
                hands.text("never")
                await hands.sql.execute("DELETE FROM nowhere")
        requested.append(hands.text("kept"))
        if len(requested) == 1:
            raise RuleBroken("the first time")

    with pytest.raises(RuleBroken):
        await run(app, body, "click-1")
    await run(app, body, "click-1")
    assert requested[0] == requested[1]
    await app.quiet(within=timedelta(seconds=1))
    assert [effect.id for effect in await app.effects()] == requested[:1]
