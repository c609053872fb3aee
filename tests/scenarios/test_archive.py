"""Finished streams are put away: everything that reads the log, or an aggregate, finds what it found before."""

from __future__ import annotations

import zlib
from datetime import timedelta
from typing import Any

import pytest

from duly import (
    Aggregate,
    Archived,
    Command,
    ConfigurationError,
    DomainEvent,
    Duly,
    Effects,
    EventSourced,
    InvalidInput,
    LogRetention,
    Module,
    Personal,
    ProcessNotFound,
    Projection,
    Query,
    ReadModel,
    ReadModels,
    Repository,
    Sms,
    applies,
    failpoints,
)
from tests.scenarios.desk import shift_clock
from tests.scenarios.running import Running, Start, durable
from tests.scenarios.welcoming import Hasten, Order, Register, Welcome, welcoming

BY = {"tenant": "acme", "by": "anna", "reason": "closed"}
CANARY = "Zyxgundula"


class Opened(DomainEvent):
    account_id: str


class Deposited(DomainEvent):
    account_id: str
    amount: int


class Welcomed(DomainEvent, subject="customer_id"):
    customer_id: str
    name: Personal[str]


class Open(Command):
    account_id: str
    amounts: list[int] = []


class OpenPlain(Command):
    account_id: str
    amounts: list[int] = []


class Deposit(Command):
    account_id: str
    amount: int


class DepositPlain(Command):
    account_id: str
    amount: int


class Meet(Command, subject="customer_id"):
    customer_id: str
    name: Personal[str]


class Balance(Query[int]):
    account_id: str
    plain: bool = False


class Total(Query[int]):
    account_id: str


class Account(EventSourced, snapshot_every=100):
    balance: int = 0

    @applies
    def opened(self, event: Opened) -> None:
        self.balance = 0

    @applies
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount


class PlainAccount(EventSourced):
    balance: int = 0

    @applies
    def opened(self, event: Opened) -> None:
        self.balance = 0

    @applies
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount


class Customer(Aggregate):
    visits: int = 0


class Sum(ReadModel):
    id: str
    total: int = 0


totals = Projection("totals")


@totals.on
async def add_up(event: Deposited, sums: ReadModels[Sum]) -> None:
    found = await sums.find(event.account_id) or Sum(id=event.account_id)
    sums.put(Sum(id=found.id, total=found.total + event.amount))


async def opened(accounts: Repository[Any], account: Any, amounts: list[int]) -> None:
    account.record(Opened(account_id=account.id))
    for amount in amounts:
        account.record(Deposited(account_id=account.id, amount=amount))
    accounts.add(account)


def bank(*, texting: bool = False) -> Module:
    """The module, with a subscriber that not every version of the application has."""
    module = Module("bank", projections=[totals], messages=[Opened, Deposited, Welcomed])

    @module.command
    async def open_account(command: Open, accounts: Repository[Account]) -> None:
        await opened(accounts, Account(id=command.account_id), command.amounts)

    @module.command
    async def open_plain(command: OpenPlain, accounts: Repository[PlainAccount]) -> None:
        await opened(accounts, PlainAccount(id=command.account_id), command.amounts)

    @module.command
    async def deposit(command: Deposit, accounts: Repository[Account]) -> None:
        account = await accounts.get(command.account_id)
        account.record(Deposited(account_id=account.id, amount=command.amount))

    @module.command
    async def deposit_plain(command: DepositPlain, accounts: Repository[PlainAccount]) -> None:
        account = await accounts.get(command.account_id)
        account.record(Deposited(account_id=account.id, amount=command.amount))

    @module.command
    async def meet(command: Meet, customers: Repository[Customer]) -> None:
        customer = await customers.find(command.customer_id)
        if customer is None:
            customer = Customer(id=command.customer_id)
            customers.add(customer)
        customer.visits += 1
        customer.record(Welcomed(customer_id=customer.id, name=command.name))

    @module.query
    async def balance(query: Balance, accounts: Repository[Account], plain: Repository[PlainAccount]) -> int:
        return (await (plain if query.plain else accounts).get(query.account_id)).balance

    @module.query
    async def total(query: Total, sums: ReadModels[Sum]) -> int:
        found = await sums.find(query.account_id)
        return 0 if found is None else found.total

    if texting:

        @module.after_commit
        async def text(event: Deposited, effects: Effects) -> None:
            effects.request(Sms(to="+4915123456789", text=f"{event.account_id} {event.amount}"))

    return module


async def done(running: Running, *commands: Command[None]) -> None:
    for command in commands:
        await running.app.execute(command, tenant="acme")
    await running.quiet()


async def log(running: Running) -> list[tuple[int, str]]:
    return [(recorded.position, repr(recorded.event)) async for recorded in running.app.log("acme")]


@pytest.mark.parametrize("plain", [False, True], ids=["with_snapshots", "without_snapshots"])
async def test_an_event_sourced_aggregate_goes_on_after_it_was_archived(start: Start, plain: bool) -> None:
    running = await start(bank())
    first = (OpenPlain if plain else Open)(account_id="a", amounts=[1, 2, 3])
    await done(running, first)
    of: type[EventSourced] = PlainAccount if plain else Account
    before = await log(running)
    assert await running.app.archive(of, "a", **BY) == [Archived(stream=f"{of.__name__}/a", events=4)]
    assert await log(running) == before
    assert await running.app.ask(Balance(account_id="a", plain=plain), tenant="acme") == 6
    await done(running, (DepositPlain if plain else Deposit)(account_id="a", amount=10))
    assert await running.app.ask(Balance(account_id="a", plain=plain), tenant="acme") == 16
    assert await running.app.archive(of.__name__, ["a", "nobody"], **BY) == [
        Archived(stream=f"{of.__name__}/a", events=1),
        Archived(stream=f"{of.__name__}/nobody", events=0),
    ]
    assert await running.app.ask(Balance(account_id="a", plain=plain), tenant="acme") == 16
    assert len(await log(running)) == 5


async def test_a_document_stays_as_it_is(start: Start) -> None:
    running = await start(bank())
    await done(running, Meet(customer_id="c-1", name="Ann"), Meet(customer_id="c-1", name="Ann"))
    assert await running.app.archive(Customer, "c-1", **BY) == [Archived(stream="Customer/c-1", events=2)]
    await done(running, Meet(customer_id="c-1", name="Ann"))
    assert [text for _, text in await log(running)] == ["Welcomed(customer_id='c-1', name='Ann')"] * 3


@durable
async def test_a_projection_is_rebuilt_from_the_archive(start: Start) -> None:
    running = await start(bank())
    await done(running, *(Open(account_id=f"a-{number}", amounts=[number, 5]) for number in range(6)))
    await running.app.archive(Account, [f"a-{number}" for number in range(0, 6, 2)], **BY)
    await running.app.rebuild("totals", fresh=True)
    totals_now = [await running.app.ask(Total(account_id=f"a-{number}"), tenant="acme") for number in range(6)]
    assert totals_now == [number + 5 for number in range(6)]


@durable
async def test_a_new_subscriber_is_told_of_the_past_that_is_in_the_archive(start: Start) -> None:
    before = await start(bank())
    await done(before, Open(account_id="a", amounts=[1, 2]), Open(account_id="b", amounts=[3]))
    await before.app.archive(Account, "a", **BY)
    await done(before, Deposit(account_id="a", amount=4))
    whole = await log(before)
    await before.app.stop()

    after = await start(bank(texting=True))
    replay = after.app.replay("bank.text", tenant="acme")
    counted = await replay.count()
    assert counted.by_name == (("Deposited", 4),)
    dry = await replay.dry_run()
    assert (dry.messages, dry.effects[0].new, dry.errors) == (4, 4, ())
    told = await replay.backfill(counted, by="anna", reason="they want to know")
    assert told.promised == 4
    await after.quiet()
    said = [call.prepared.summary for call in after.gateway.calls]
    assert sorted(said) == ["a 1", "a 2", "a 4", "b 3"]
    assert [text for text in said if text != "b 3"] == ["a 1", "a 2", "a 4"], "a stream is heard in its order"
    again = await after.app.replay("bank.text", tenant="acme").count()
    assert (again.messages, again.heard) == (0, 4)
    assert await log(after) == whole
    # What was put back is taken out again, and is in the archive once.
    assert await after.app.archive(Account, "a", **BY) == [Archived(stream="Account/a", events=1)]
    assert await log(after) == whole
    assert await after.app.ask(Balance(account_id="a"), tenant="acme") == 7


async def test_what_somebody_is_promised_still_is_told_and_stays(start: Start) -> None:
    module = bank()

    @module.after_commit(after=timedelta(days=1))
    async def remind(event: Opened) -> None: ...

    running = await start(module)
    await done(running, Open(account_id="a", amounts=[1]))
    (archived,) = await running.app.archive(Account, "a", **BY)
    assert archived.events == 0
    assert archived.refused == "its event 1, a Opened, waits for its time to go to bank.remind"


async def test_archiving_goes_on_where_it_was_cut_short(start: Start) -> None:
    running = await start(bank())
    await done(running, Open(account_id="a", amounts=[1] * 119))
    before = await log(running)

    def cut(name: str) -> None:
        if name == "archive.after_step":
            raise ConnectionAbortedError("cut short")

    failpoints.arm(cut)
    try:
        with pytest.raises(ConnectionAbortedError):
            await running.app.archive(Account, "a", **BY)
    finally:
        failpoints.arm(None)
    assert await log(running) == before
    assert await running.app.archive(Account, "a", **BY) == [Archived(stream="Account/a", events=70)]
    assert await log(running) == before
    assert await running.app.ask(Balance(account_id="a"), tenant="acme") == 119


async def test_a_person_is_erased_from_the_archive_too(start: Start) -> None:
    running = await start(bank())
    await done(running, Meet(customer_id="c-1", name=CANARY), Meet(customer_id="c-2", name="Bert"))
    await running.app.archive(Customer, ["c-1", "c-2"], **BY)
    assert CANARY in repr(await log(running))
    await running.app.erase("c-1", tenant="acme", by="anna", reason="asked for it")
    assert [text for _, text in await log(running)] == [
        "Welcomed(customer_id='c-1', name='[erased]')",
        "Welcomed(customer_id='c-2', name='Bert')",
    ]
    store: Any = running.app._store
    prefix = "duly." if running.app.store_url.startswith("postgres") else "duly_"
    rows = await store.select(f"SELECT stream, body FROM {prefix}archived_stream", {})
    bodies = [zlib.decompress(row["body"]) for row in rows]
    assert len(bodies) == 2
    assert all(b"customer_id" in body for body in bodies)
    assert not any(name in body for body in bodies for name in (CANARY.encode(), b"Bert"))


@pytest.mark.parametrize(
    ("of", "parts", "said"),
    [
        ("Accunt", {}, "Types of aggregates are: Account, Customer, PlainAccount"),
        (Aggregate, {}, "No module has aggregates 'Aggregate'"),
        ("Account", {"by": " "}, "by has 1 to 200 printable characters"),
        ("Account", {"reason": ""}, "reason has 1 to 500 printable characters"),
    ],
)
async def test_an_order_that_says_nothing_is_refused(start: Start, of: Any, parts: dict[str, str], said: str) -> None:
    running = await start(bank())
    with pytest.raises(InvalidInput, match=said):
        await running.app.archive(of, "a", **{**BY, **parts})


# Histories of processes.


async def test_the_history_of_a_process_goes_when_it_has_ended_and_nothing_is_heard_twice(start: Start) -> None:
    running = await start(welcoming, log_retention=LogRetention(histories=timedelta(minutes=5)))
    await done(running, Register(customer_id="ann"), Register(customer_id="bob"), Hasten(customer_id="ann"))
    await running.quiet()
    (ann, bob) = await running.app.processes("acme").page(Welcome)
    assert (ann.id, ann.is_ended, bob.id, bob.is_ended) == ("ann", True, "bob", False)
    assert (await running.app.sweep_log()).histories == 0
    shift_clock(running, timedelta(minutes=6))
    assert (await running.app.sweep_log()).histories == 3
    assert (await running.app.sweep_log()).histories == 0
    with pytest.raises(ProcessNotFound, match="LogRetention has removed its history"):
        await running.app.processes("acme").history(Welcome, "ann")
    assert len((await running.app.processes("acme").history(Welcome, "bob")).steps) == 1
    counted = await running.app.replay("welcoming.Welcome", tenant="acme", even_if_heard=True).count()
    await running.app.replay("welcoming.Welcome", tenant="acme", even_if_heard=True).backfill(
        counted, by="anna", reason="to see"
    )
    await done(running, Order(order_id="o-1", customer_id="ann"))
    assert [process.is_ended for process in await running.app.processes("acme").page(Welcome)] == [True, False]
    assert [effect.type for effect in await running.effects()] == ["duly.email"]


def test_histories_that_are_kept_too_short_are_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"histories=0:01:00\) is not longer than Settings.retry"):
        Duly(modules=[], store="memory:", log_retention=LogRetention(histories=timedelta(minutes=1)))
