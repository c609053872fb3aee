"""Aggregates under concurrent commands, uniqueness, look-ups, and what may not be changed."""

from __future__ import annotations

import asyncio

import pytest

from duly import (
    Aggregate,
    AggregateExists,
    Command,
    DomainEvent,
    Index,
    Module,
    Query,
    Repository,
    Unique,
    UniqueViolation,
)
from duly.errors import InvalidField, ReadOnlyUse, ScopeClosed, TooManyFound
from tests.scenarios.running import Start


class Account(Aggregate):
    owner: Index[str]
    iban: Unique[str]
    email: Unique[str] | None = None
    balance: int = 0


class Deposited(DomainEvent):
    account_id: str
    amount: int


class Open(Command):
    account_id: str
    owner: str = "ann"
    iban: str | None = None
    email: str | None = None


class Deposit(Command[int]):
    account_id: str
    amount: int = 1


class Rename(Command):
    account_id: str
    iban: str


class Look(Command[int]):
    account_id: str
    meddle: bool = False


class OwnedBy(Query[list[str]]):
    owner: str | None
    meddle: bool = False


class Keep(Command):
    account_id: str


class OpenTwice(Command):
    account_id: str


bank = Module("bank")
kept: list[Repository[Account]] = []


@bank.command
async def open_account(command: Open, accounts: Repository[Account]) -> None:
    iban = command.iban or f"UA-{command.account_id}"
    accounts.add(Account(id=command.account_id, owner=command.owner, iban=iban, email=command.email))


@bank.command
async def deposit(command: Deposit, accounts: Repository[Account]) -> int:
    account = await accounts.get(command.account_id)
    await asyncio.sleep(0)
    account.balance += command.amount
    account.record(Deposited(account_id=account.id, amount=command.amount))
    return account.balance


@bank.command
async def rename(command: Rename, accounts: Repository[Account]) -> None:
    (await accounts.get(command.account_id)).iban = command.iban


@bank.command
async def look(command: Look, accounts: Repository[Account]) -> int:
    account = await accounts.peek(command.account_id)
    assert account is not None
    if command.meddle:
        account.balance = 1_000_000
    return account.balance


@bank.query
async def owned_by(query: OwnedBy, accounts: Repository[Account]) -> list[str]:
    found = await accounts.by(owner=query.owner)
    if query.meddle:
        found[0].balance = 1_000_000
    return [account.id for account in found]


@bank.command
async def keep(command: Keep, accounts: Repository[Account]) -> None:
    kept.append(accounts)


@bank.command
async def open_twice(command: OpenTwice, accounts: Repository[Account]) -> None:
    accounts.add(Account(id=command.account_id, owner="ann", iban="UA-1"))
    accounts.add(Account(id=command.account_id, owner="bob", iban="UA-2"))


async def test_no_deposit_is_lost_when_many_come_at_once(start: Start) -> None:
    app = (await start(bank)).app
    await app.execute(Open(account_id="a"), tenant="acme")
    balances = await asyncio.gather(*(app.execute(Deposit(account_id="a"), tenant="acme") for _ in range(8)))
    assert sorted(balances) == list(range(1, 9))


async def test_a_hundred_commands_at_once_on_one_account_all_come_through(start: Start) -> None:
    app = (await start(bank)).app
    await app.execute(Open(account_id="a"), tenant="acme")
    balances = await asyncio.gather(*(app.execute(Deposit(account_id="a"), tenant="acme") for _ in range(100)))
    assert sorted(balances) == list(range(1, 101))


async def test_a_look_up_that_finds_too_much_says_so_instead_of_cutting(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duly.work.repository.FOUND_ROWS_MAX", 2)
    app = (await start(bank)).app
    for number in range(3):
        await app.execute(Open(account_id=f"a{number}"), tenant="acme")
    with pytest.raises(TooManyFound, match="More than 2 Account have owner 'ann'"):
        await app.ask(OwnedBy(owner="ann"), tenant="acme")


async def test_nothing_can_be_looked_up_by_none(start: Start) -> None:
    app = (await start(bank)).app
    with pytest.raises(InvalidField, match="looked up by None"):
        await app.ask(OwnedBy(owner=None), tenant="acme")


async def test_an_account_that_exists_cannot_be_added_again(start: Start) -> None:
    app = (await start(bank)).app
    await app.execute(Open(account_id="a"), tenant="acme")
    with pytest.raises(AggregateExists, match="Account/a exists already"):
        await app.execute(Open(account_id="a", iban="other"), tenant="acme")
    with pytest.raises(AggregateExists, match="in hand already"):
        await app.execute(OpenTwice(account_id="b"), tenant="acme")


async def test_a_unique_value_belongs_to_one_aggregate_and_is_free_when_it_gives_it_up(start: Start) -> None:
    app = (await start(bank)).app
    await app.execute(Open(account_id="a", iban="UA-1"), tenant="acme")
    with pytest.raises(UniqueViolation, match="Account.iban 'UA-1' belongs to another Account") as caught:
        await app.execute(Open(account_id="b", iban="UA-1"), tenant="acme")
    assert (caught.value.field, caught.value.value) == ("iban", "UA-1")
    await app.execute(Open(account_id="b", iban="UA-1"), tenant="globex")
    await app.execute(Rename(account_id="a", iban="UA-2"), tenant="acme")
    await app.execute(Open(account_id="b", iban="UA-1"), tenant="acme")


async def test_two_accounts_without_an_email_do_not_collide(start: Start) -> None:
    app = (await start(bank)).app
    await app.execute(Open(account_id="a"), tenant="acme")
    await app.execute(Open(account_id="b"), tenant="acme")


async def test_accounts_are_found_by_an_index_in_their_own_tenant(start: Start) -> None:
    app = (await start(bank)).app
    for account_id, owner in (("b", "ann"), ("a", "ann"), ("c", "bob")):
        await app.execute(Open(account_id=account_id, owner=owner), tenant="acme")
    await app.execute(Open(account_id="x", owner="ann"), tenant="globex")
    assert await app.ask(OwnedBy(owner="ann"), tenant="acme") == ["a", "b"]


async def test_what_was_peeked_at_cannot_be_changed(start: Start) -> None:
    app = (await start(bank)).app
    await app.execute(Open(account_id="a"), tenant="acme")
    assert await app.execute(Look(account_id="a"), tenant="acme") == 0
    with pytest.raises(ReadOnlyUse, match="peeked at"):
        await app.execute(Look(account_id="a", meddle=True), tenant="acme")


async def test_a_query_changes_nothing(start: Start) -> None:
    app = (await start(bank)).app
    await app.execute(Open(account_id="a"), tenant="acme")
    with pytest.raises(ReadOnlyUse, match="Queries only read"):
        await app.ask(OwnedBy(owner="ann", meddle=True), tenant="acme")
    assert await app.execute(Look(account_id="a"), tenant="acme") == 0


async def test_a_repository_is_of_no_use_after_its_handler(start: Start) -> None:
    app = (await start(bank)).app
    await app.execute(Keep(account_id="a"), tenant="acme")
    with pytest.raises(ScopeClosed, match="handler has ended"):
        await kept.pop().find("a")


async def test_an_index_value_that_is_too_long_is_refused(start: Start) -> None:
    app = (await start(bank)).app
    with pytest.raises(InvalidField, match="too long to be indexed"):
        await app.execute(Open(account_id="a", owner="x" * 1_001), tenant="acme")
