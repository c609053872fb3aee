"""Event-sourced aggregates through the whole application, on every store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from duly import (
    Aggregate,
    AggregateExists,
    Command,
    ConfigurationError,
    DomainEvent,
    Entity,
    EventSourced,
    Index,
    Module,
    Personal,
    Query,
    Repository,
    RuleBroken,
    Sql,
    Unique,
    UniqueViolation,
    UnrecordedChange,
    Upcasted,
    applies,
)
from duly.errors import InvalidInput, InvalidMessage, ReadOnlyUse, UnknownMessageType
from tests.scenarios.running import Running, Start, durable


class Opened(DomainEvent):
    iban: str
    branch: str


class Deposited(DomainEvent):
    amount: int


class Withdrawn(DomainEvent):
    amount: int


class LimitSet(DomainEvent):
    currency: str
    limit: int


class Looked(DomainEvent):
    pass


class Closed(DomainEvent):
    pass


class Limit(Entity):
    currency: str
    limit: int


class Account(EventSourced, ignores=(Looked,)):
    iban: Unique[str] | None = None
    branch: Index[str] = ""
    balance: int = 0
    limits: list[Limit] = []
    is_closed: bool = False

    @classmethod
    def open(cls, account_id: str, iban: str, branch: str = "Oslo") -> Account:
        account = cls(id=account_id)
        account.record(Opened(iban=iban, branch=branch))
        return account

    def withdraw(self, amount: int) -> None:
        if amount > self.balance:
            raise RuleBroken(f"There are {self.balance} left.")
        self.record(Withdrawn(amount=amount))

    @applies
    def opened(self, event: Opened) -> None:
        self.iban = event.iban
        self.branch = event.branch

    @applies
    def moved(self, event: Deposited | Withdrawn) -> None:
        self.balance += event.amount if isinstance(event, Deposited) else -event.amount

    @applies
    def limit_set(self, event: LimitSet) -> None:
        for limit in self.limits:
            if limit.currency == event.currency:
                limit.limit = event.limit
                return
        self.limits.append(Limit(currency=event.currency, limit=event.limit))

    @applies
    def closed(self, event: Closed) -> None:
        self.iban = None
        self.is_closed = True


class Till(Aggregate):
    cash: int = 0


class Open(Command):
    id: str
    iban: str | None = None
    branch: str = "Oslo"


class Deposit(Command[int]):
    id: str
    amount: int = 1
    times: int = 1


class PayOut(Command):
    """Changes an account and a till."""

    id: str
    amount: int


class SetLimit(Command):
    id: str
    currency: str
    limit: int


class Close(Command):
    id: str


class Meddle(Command):
    id: str
    how: str


class Show(Query[tuple[str | None, int, dict[str, int]]]):
    id: str


class At(Query[list[str]]):
    branch: str


class ByIban(Query[str | None]):
    iban: str


async def meddle_with(account: Account, how: str) -> None:
    match how:
        case "field":
            account.balance = 1_000_000
        case "entity":
            account.limits[0].limit = 1_000_000
        case "entity, then an event":
            account.limits.append(Limit(currency="EUR", limit=1))
            account.record(Deposited(amount=1))
        case _:
            account.opened(Opened(iban="mine", branch="mine"))


bank = Module("bank")


@bank.command
async def open_account(command: Open, accounts: Repository[Account]) -> None:
    accounts.add(Account.open(command.id, command.iban or f"NO-{command.id}", command.branch))


@bank.command
async def deposit(command: Deposit, accounts: Repository[Account]) -> int:
    account = await accounts.get(command.id)
    for _ in range(command.times):
        account.record(Deposited(amount=command.amount))
    return account.balance


@bank.command
async def pay_out(command: PayOut, accounts: Repository[Account], tills: Repository[Till]) -> None:
    account, till = await accounts.get(command.id), await tills.find("till")
    if till is None:
        till = Till(id="till")
        tills.add(till)
    till.cash -= command.amount
    till.record(Looked())
    account.withdraw(command.amount)


@bank.command
async def set_limit(command: SetLimit, accounts: Repository[Account]) -> None:
    account = await accounts.get(command.id)
    account.record(LimitSet(currency=command.currency, limit=command.limit))


@bank.command
async def close(command: Close, accounts: Repository[Account]) -> None:
    (await accounts.get(command.id)).record(Closed())


@bank.command
async def meddle(command: Meddle, accounts: Repository[Account]) -> None:
    await meddle_with(await accounts.get(command.id), command.how)


@bank.in_transaction
async def note(event: Withdrawn, accounts: Repository[Account]) -> None:
    for account in await accounts.by(branch="Oslo"):
        account.record(Looked())


@bank.query
async def show(query: Show, accounts: Repository[Account]) -> tuple[str | None, int, dict[str, int]]:
    account = await accounts.get(query.id)
    return account.iban, account.balance, {limit.currency: limit.limit for limit in account.limits}


@bank.query
async def at(query: At, accounts: Repository[Account]) -> list[str]:
    return [account.id for account in await accounts.by(branch=query.branch)]


@bank.query
async def by_iban(query: ByIban, accounts: Repository[Account]) -> str | None:
    account = await accounts.one_by(iban=query.iban)
    return None if account is None else account.id


async def rows(running: Running, statement: str) -> list[dict[str, object]]:
    """Rows of duly's own tables, which are written ``duly.name``."""
    if not running.app.store_url.startswith("postgres"):
        statement = statement.replace("duly.", "duly_")
    return [dict(row) for row in await running.app._store.select(statement, {})]


async def run_sql(running: Running, statement: str) -> None:
    """Change duly's own tables, as nobody should."""
    if not running.app.store_url.startswith("postgres"):
        statement = statement.replace("duly.", "duly_")
    async with running.app._store.begin() as transaction:
        await transaction.execute(statement, {})
        await transaction.commit()


async def numbers(running: Running, stream: str) -> list[object]:
    found = await rows(
        running,
        f"SELECT stream_version FROM duly.message WHERE stream = '{stream}' AND kind = 'event' "
        "ORDER BY commit_id, ordinal",
    )
    return [row["stream_version"] for row in found]


async def test_an_account_is_what_its_events_say_when_it_is_loaded_again(start: Start) -> None:
    running = await start(bank)
    app = running.app
    await app.execute(Open(id="a"), tenant="acme")
    assert await app.execute(Deposit(id="a", amount=5, times=3), tenant="acme") == 15
    await app.execute(SetLimit(id="a", currency="NOK", limit=100), tenant="acme")
    await app.execute(SetLimit(id="a", currency="EUR", limit=10), tenant="acme")
    await app.execute(SetLimit(id="a", currency="NOK", limit=200), tenant="acme")
    assert await app.ask(Show(id="a"), tenant="acme") == ("NO-a", 15, {"NOK": 200, "EUR": 10})
    assert await numbers(running, "Account/a") == [1, 2, 3, 4, 5, 6, 7]
    (head,) = await rows(running, "SELECT version, body FROM duly.document WHERE type = 'Account'")
    assert head == {"version": 7, "body": ""}


async def test_an_account_and_a_document_change_in_one_command_or_neither_does(start: Start) -> None:
    running = await start(bank)
    app = running.app
    await app.execute(Open(id="a"), tenant="acme")
    await app.execute(Deposit(id="a", amount=5), tenant="acme")
    with pytest.raises(RuleBroken, match="There are 5 left"):
        await app.execute(PayOut(id="a", amount=6), tenant="acme")
    assert await rows(running, "SELECT 1 FROM duly.document WHERE type = 'Till'") == []
    await app.execute(PayOut(id="a", amount=2), tenant="acme")
    assert (await app.ask(Show(id="a"), tenant="acme"))[1] == 3
    (till,) = await rows(running, "SELECT body FROM duly.document WHERE type = 'Till'")
    assert till["body"] == '{"id":"till","cash":-2}'


async def test_what_a_handler_inside_the_transaction_records_is_numbered_on(start: Start) -> None:
    running = await start(bank)
    app = running.app
    for account in ("a", "b"):
        await app.execute(Open(id=account), tenant="acme")
    await app.execute(Deposit(id="a", amount=5), tenant="acme")
    await app.execute(PayOut(id="a", amount=2), tenant="acme")
    assert await numbers(running, "Account/a") == [1, 2, 3, 4]
    assert await numbers(running, "Account/b") == [1, 2]
    assert (await app.ask(Show(id="a"), tenant="acme"))[1] == 3


async def test_no_deposit_is_lost_when_many_come_at_once(start: Start) -> None:
    running = await start(bank)
    await running.app.execute(Open(id="a"), tenant="acme")
    balances = await asyncio.gather(*(running.app.execute(Deposit(id="a"), tenant="acme") for _ in range(20)))
    assert sorted(balances) == list(range(1, 21))
    assert await numbers(running, "Account/a") == list(range(1, 22))


async def test_an_account_that_exists_cannot_be_opened_again(start: Start) -> None:
    app = (await start(bank)).app
    await app.execute(Open(id="a"), tenant="acme")
    with pytest.raises(AggregateExists, match="Account/a exists already"):
        await app.execute(Open(id="a", iban="other"), tenant="acme")
    await app.execute(Open(id="a"), tenant="globex")


async def test_unique_and_index_fields_follow_the_state(start: Start) -> None:
    app = (await start(bank)).app
    await app.execute(Open(id="b", iban="NO-1"), tenant="acme")
    await app.execute(Open(id="a", branch="Oslo"), tenant="acme")
    await app.execute(Open(id="c", branch="Rome"), tenant="acme")
    with pytest.raises(UniqueViolation, match="Account.iban 'NO-1' belongs to another Account"):
        await app.execute(Open(id="d", iban="NO-1"), tenant="acme")
    assert await app.ask(At(branch="Oslo"), tenant="acme") == ["a", "b"]
    assert await app.ask(At(branch="Oslo"), tenant="globex") == []
    assert await app.ask(ByIban(iban="NO-1"), tenant="acme") == "b"
    await app.execute(Close(id="b"), tenant="acme")
    assert await app.ask(ByIban(iban="NO-1"), tenant="acme") is None
    await app.execute(Open(id="d", iban="NO-1"), tenant="acme")


@pytest.mark.parametrize("how", ["field", "entity", "entity, then an event", "applies method"])
async def test_what_no_event_says_is_refused_and_not_lost(start: Start, how: str) -> None:
    app = (await start(bank)).app
    await app.execute(Open(id="a"), tenant="acme")
    await app.execute(SetLimit(id="a", currency="NOK", limit=100), tenant="acme")
    before = await app.ask(Show(id="a"), tenant="acme")
    with pytest.raises(UnrecordedChange, match=r"Record (an event|one)"):
        await app.execute(Meddle(id="a", how=how), tenant="acme")
    assert await app.ask(Show(id="a"), tenant="acme") == before


# Commands that need modules of their own.


class Do(Command):
    id: str = "a"


def bank_and(*handlers: Callable[..., object]) -> tuple[Module, ...]:
    module = Module("other")
    for handler in handlers:
        module.command(handler)
    return bank, module


async def remove(command: Do, accounts: Repository[Account]) -> None:
    accounts.remove(await accounts.get(command.id))


async def add_nothing(command: Do, accounts: Repository[Account]) -> None:
    accounts.add(Account(id=command.id))


async def peek_and_record(command: Do, accounts: Repository[Account]) -> None:
    account = await accounts.peek(command.id)
    assert account is not None
    account.record(Deposited(amount=1))


async def peek_and_meddle(command: Do, accounts: Repository[Account]) -> None:
    account = await accounts.peek(command.id)
    assert account is not None
    account.limits.append(Limit(currency="EUR", limit=1))


async def test_an_account_cannot_be_removed_and_the_error_says_what_to_do_instead(start: Start) -> None:
    app = (await start(*bank_and(remove))).app
    await app.execute(Open(id="a"), tenant="acme")
    with pytest.raises(InvalidInput, match="Account/a is event-sourced, and what has happened stays. Record an event"):
        await app.execute(Do(), tenant="acme")


async def test_an_account_without_an_event_is_nothing_to_store(start: Start) -> None:
    app = (await start(*bank_and(add_nothing))).app
    with pytest.raises(UnrecordedChange, match="Account/a was added and has recorded nothing"):
        await app.execute(Do(), tenant="acme")


@pytest.mark.parametrize("handler", [peek_and_record, peek_and_meddle])
async def test_what_was_peeked_at_cannot_be_changed(start: Start, handler: Callable[..., object]) -> None:
    app = (await start(*bank_and(handler))).app
    await app.execute(Open(id="a"), tenant="acme")
    with pytest.raises(ReadOnlyUse, match="Account/a was peeked at and then changed"):
        await app.execute(Do(), tenant="acme")


# With SQL of the user's own.


async def sql_in_between(command: Do, accounts: Repository[Account], sql: Sql) -> None:
    account = await accounts.get(command.id)
    new = Account(id="new")
    accounts.add(new)
    await sql.fetch_all("SELECT 1 AS one")
    account.record(Deposited(amount=1))
    new.record(Opened(iban="NO-new", branch="Oslo"))
    await sql.fetch_all("SELECT 1 AS one")
    account.record(Deposited(amount=2))
    account.record(Deposited(amount=3))
    await sql.fetch_all("SELECT 1 AS one")
    peeked, peeked_new = await accounts.peek(command.id), await accounts.peek("new")
    assert (peeked is not None and peeked.balance, peeked_new) == (0, None)
    assert [each.id for each in await accounts.by(branch="Oslo")] == ["a", "new"]
    account.record(Deposited(amount=4))


async def test_events_recorded_between_statements_are_numbered_and_counted_once(start: Start) -> None:
    running = await start(*bank_and(sql_in_between))
    app = running.app
    await app.execute(Open(id="a"), tenant="acme")
    await app.execute(Do(), tenant="acme")
    assert await numbers(running, "Account/a") == [1, 2, 3, 4, 5]
    assert await numbers(running, "Account/new") == [1]
    assert (await app.ask(Show(id="a"), tenant="acme"))[1] == 10
    assert await app.execute(Deposit(id="a"), tenant="acme") == 11
    assert await app.execute(Deposit(id="new"), tenant="acme") == 1


async def taken_back(command: Do, accounts: Repository[Account], sql: Sql) -> None:
    account = await accounts.get(command.id)
    account.record(Deposited(amount=1))
    try:
        async with sql.savepoint():
            account.record(Deposited(amount=100))
            account.record(LimitSet(currency="NOK", limit=1))
            accounts.add(Account.open("gone", "NO-gone"))
            await sql.fetch_all("SELECT 1 AS one")
            account.record(Deposited(amount=1_000))
            raise RuleBroken("not this")
    except RuleBroken:
        assert (account.balance, account.limits) == (1, [])
    account.record(Deposited(amount=10))


async def test_a_block_that_is_taken_back_takes_its_events_back(start: Start) -> None:
    running = await start(*bank_and(taken_back))
    app = running.app
    await app.execute(Open(id="a"), tenant="acme")
    await app.execute(Do(), tenant="acme")
    assert await app.ask(Show(id="a"), tenant="acme") == ("NO-a", 11, {})
    assert await numbers(running, "Account/a") == [1, 2, 3]
    assert await numbers(running, "Account/gone") == []
    await app.execute(Open(id="gone"), tenant="acme")


# Snapshots.


class Counted(DomainEvent):
    pass


class Counter(EventSourced, snapshot_every=3):
    count: int = 0

    @applies
    def counted(self, event: Counted) -> None:
        self.count += 1


class CounterOfTomorrow(EventSourced, name="Counter", version=2, snapshot_every=3):
    total: int = 0

    @applies
    def counted(self, event: Counted) -> None:
        self.total += 1


async def count(command: Do, counters: Repository[Counter]) -> None:
    counter = await counters.find(command.id)
    if counter is None:
        counter = Counter(id=command.id)
        counters.add(counter)
    counter.record(Counted())


class Total(Query[int]):
    id: str = "a"


async def total_today(query: Total, counters: Repository[Counter]) -> int:
    return (await counters.get(query.id)).count


async def total_tomorrow(query: Total, counters: Repository[CounterOfTomorrow]) -> int:
    return (await counters.get(query.id)).total


async def count_tomorrow(command: Do, counters: Repository[CounterOfTomorrow]) -> None:
    (await counters.get(command.id)).record(Counted())


def counting(command: Callable[..., object], query: Callable[..., object]) -> Module:
    module = Module("counting")
    module.command(command)
    module.query(query)
    return module


async def snapshots(running: Running) -> list[tuple[object, ...]]:
    found = await rows(running, "SELECT version, schema, body FROM duly.snapshot")
    return [tuple(row.values()) for row in found]


async def test_a_snapshot_is_taken_after_so_many_events_and_what_it_holds_is_not_read_again(start: Start) -> None:
    running = await start(counting(count, total_today))
    app = running.app
    for expected in ([], [], [(3, 1, '{"id":"a","count":3}')], [(3, 1, '{"id":"a","count":3}')]):
        await app.execute(Do(), tenant="acme")
        assert await snapshots(running) == expected
    await run_sql(running, "DELETE FROM duly.message WHERE stream_version < 4")
    assert await app.ask(Total(), tenant="acme") == 4
    for _ in range(2):
        await app.execute(Do(), tenant="acme")
    assert await snapshots(running) == [(6, 1, '{"id":"a","count":6}')]
    assert await app.ask(Total(), tenant="acme") == 6


@durable
async def test_a_snapshot_of_older_fields_is_left_aside_and_the_stream_is_read_from_its_beginning(start: Start) -> None:
    old = await start(counting(count, total_today))
    for _ in range(4):
        await old.app.execute(Do(), tenant="acme")
    await old.app.stop()
    new = await start(counting(count_tomorrow, total_tomorrow))
    assert await new.app.ask(Total(), tenant="acme") == 4
    await new.app.execute(Do(), tenant="acme")
    assert await snapshots(new) == [(5, 2, '{"id":"a","total":5}')]


@durable
async def test_a_snapshot_of_older_fields_is_upcast_where_the_module_says_how(start: Start) -> None:
    old = await start(counting(count, total_today))
    for _ in range(4):
        await old.app.execute(Do(), tenant="acme")
    await run_sql(old, "DELETE FROM duly.message WHERE stream_version < 4")
    await old.app.stop()
    module = counting(count_tomorrow, total_tomorrow)
    module.upcasts(CounterOfTomorrow, from_version=1)(lambda fields: {"id": fields["id"], "total": fields["count"]})
    new = await start(module)
    assert await new.app.ask(Total(), tenant="acme") == 4


async def test_a_stream_with_a_hole_is_refused_and_not_read_as_if_it_were_whole(start: Start) -> None:
    running = await start(bank)
    await running.app.execute(Open(id="a"), tenant="acme")
    await running.app.execute(Deposit(id="a", times=3), tenant="acme")
    await run_sql(running, "DELETE FROM duly.message WHERE stream_version = 3")
    with pytest.raises(InvalidMessage, match="Account/a has 4 events, and not all of them are there"):
        await running.app.ask(Show(id="a"), tenant="acme")
    await run_sql(running, "DELETE FROM duly.message WHERE stream_version = 4")
    with pytest.raises(InvalidMessage, match="not all of them are there"):
        await running.app.execute(Deposit(id="a"), tenant="acme")


# Events of older code.


class OldAdded(DomainEvent, name="Added"):
    amounts: list[int]


class OldSum(EventSourced, name="Sum", ignores=(Looked,)):
    total: int = 0

    @applies
    def added(self, event: OldAdded) -> None:
        self.total += sum(event.amounts)


class Added(DomainEvent, version=2):
    amount: int


class Emptied(DomainEvent):
    pass


class Sum(EventSourced, ignores=(Looked,)):
    total: int = 0
    seen: list[str] = []

    @applies
    def added(self, event: Added) -> None:
        self.total += event.amount
        self.seen.append(f"{event.amount}")

    @applies
    def emptied(self, event: Emptied) -> None:
        self.seen.append("emptied")


class Strange(EventSourced, name="Sum"):
    """Knows nothing of `Added`."""

    @applies
    def emptied(self, event: Emptied) -> None:
        pass


async def add_up(command: Do, sums: Repository[OldSum]) -> None:
    total = OldSum(id=command.id)
    for amounts in ([1, 2], [], [0], [3]):
        total.record(OldAdded(amounts=amounts))
    sums.add(total)


async def total_of_old(query: Total, sums: Repository[OldSum]) -> int:
    return (await sums.get(query.id)).total


async def add_today(command: Do, sums: Repository[Sum]) -> None:
    total = await sums.get(command.id)
    assert total.seen == ["1", "2", "emptied", "3"]
    total.record(Added(amount=10))


async def total_of_new(query: Total, sums: Repository[Sum]) -> int:
    return (await sums.get(query.id)).total


async def strange(command: Do, sums: Repository[Strange]) -> None:
    await sums.get(command.id)


async def total_of_strange(query: Total, sums: Repository[Strange]) -> int:
    await sums.get(query.id)
    return 0


def one_by_one(fields: dict[str, object]) -> list[Upcasted] | None:
    amounts = fields["amounts"]
    assert isinstance(amounts, list)
    if amounts == [0]:
        return [Upcasted(Emptied, {}, version=1)]
    return [Upcasted(Added, {"amount": amount}, version=2) for amount in amounts] or None


@durable
async def test_old_events_are_several_others_or_nothing_today_and_keep_their_numbers(start: Start) -> None:
    old = await start(counting(add_up, total_of_old))
    await old.app.execute(Do(), tenant="acme")
    assert await old.app.ask(Total(), tenant="acme") == 6
    await old.app.stop()
    module = counting(add_today, total_of_new)
    module.upcasts(Added, from_version=1, into=(Added, Emptied))(one_by_one)
    new = await start(module)
    assert await new.app.ask(Total(), tenant="acme") == 6
    await new.app.execute(Do(), tenant="acme")
    assert await new.app.ask(Total(), tenant="acme") == 16
    assert await numbers(new, "Sum/a") == [1, 2, 3, 4, 5]


@durable
async def test_a_stream_with_an_event_that_nobody_knows_is_not_read_without_it(start: Start) -> None:
    old = await start(counting(add_up, total_of_old))
    await old.app.execute(Do(), tenant="acme")
    await old.app.stop()
    new = await start(counting(strange, total_of_strange))
    with pytest.raises(UnknownMessageType, match="Sum/a 1 is a 'Added'"):
        await new.app.ask(Total(), tenant="acme")


# Personal data.


class Registered(DomainEvent, subject="person"):
    person: str
    name: Personal[str]


class Customer(EventSourced):
    name: str = ""

    @applies
    def registered(self, event: Registered) -> None:
        self.name = event.name


async def register(command: Do, customers: Repository[Customer]) -> None:
    customer = Customer(id=command.id)
    customer.record(Registered(person=command.id, name="Ann"))
    customers.add(customer)


class NameOf(Query[str]):
    id: str = "a"


async def name_of(query: NameOf, customers: Repository[Customer]) -> str:
    return (await customers.get(query.id)).name


async def test_an_erased_person_reads_as_erased(start: Start) -> None:
    app = (await start(counting(register, name_of))).app
    await app.execute(Do(), tenant="acme")
    assert await app.ask(NameOf(), tenant="acme") == "Ann"
    await app.erase("a", tenant="acme", by="somebody", reason="asked for it")
    assert await app.ask(NameOf(), tenant="acme") == "[erased]"


# Names.


class Wallet(EventSourced, name="Account", ignores=(Looked, LimitSet, Closed)):
    """`Account`, renamed: its stored name stays."""

    balance: int = 0

    @applies
    def opened(self, event: Opened) -> None:
        pass

    @applies
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount


class Purse(EventSourced, formerly=("Account",), ignores=(Looked,)):
    pass


class CounterDocument(Aggregate, name="Counter"):
    count: int = 0


async def wallet_deposit(command: Do, wallets: Repository[Wallet]) -> None:
    (await wallets.get(command.id)).record(Deposited(amount=10))


async def wallet_balance(query: Total, wallets: Repository[Wallet]) -> int:
    return (await wallets.get(query.id)).balance


async def open_purse(command: Do, purses: Repository[Purse]) -> None: ...


async def add_document(command: Do, counters: Repository[CounterDocument]) -> None:
    counters.add(CounterDocument(id=command.id))


async def count_of_document(query: Total, counters: Repository[CounterDocument]) -> int:
    return (await counters.get(query.id)).count


@durable
async def test_a_renamed_class_keeps_its_stored_name_and_its_streams(start: Start) -> None:
    old = await start(bank)
    await old.app.execute(Open(id="a"), tenant="acme")
    await old.app.execute(Deposit(id="a"), tenant="acme")
    await old.app.stop()
    new = await start(counting(wallet_deposit, wallet_balance))
    await new.app.execute(Do(), tenant="acme")
    assert await new.app.ask(Total(), tenant="acme") == 11
    assert await numbers(new, "Account/a") == [1, 2, 3]


async def test_a_stored_name_that_would_change_is_refused_at_the_start(start: Start) -> None:
    with pytest.raises(ConfigurationError, match=r"Keep it: class Purse\(EventSourced, name='Account'\)"):
        await start(*bank_and(open_purse))


@durable
async def test_what_was_stored_as_a_document_is_not_read_as_a_stream(start: Start) -> None:
    old = await start(counting(add_document, count_of_document))
    await old.app.execute(Do(), tenant="acme")
    await old.app.stop()
    new = await start(counting(count, total_today))
    with pytest.raises(InvalidMessage, match="Counter/a was stored as a document"):
        await new.app.ask(Total(), tenant="acme")
