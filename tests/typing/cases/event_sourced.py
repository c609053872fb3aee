"""Event-sourced aggregates: built from an id, changed by applies methods, kept by the same repositories."""

from __future__ import annotations

from typing import assert_type

from duly import Command, DomainEvent, Entity, EventSourced, Index, Repository, Rule, Unique, applies
from duly.testing.given import Given, When, given


class Opened(DomainEvent):
    owner: str


class Deposited(DomainEvent):
    amount: int


class Remind(Command):
    account_id: str


class Covered(Rule):
    balance: int

    def is_broken(self) -> bool:
        return self.balance < 0

    def message(self) -> str:
        return "It is not covered."


class Line(Entity):
    text: str


class Account(EventSourced, name="bank.account", version=2, ignores=(Deposited,), snapshot_every=100):
    owner: Index[str] = ""
    iban: Unique[str] | None = None
    lines: tuple[Line, ...] = ()

    def open(self, owner: str) -> int:
        self.record(Opened(owner=owner))
        return len(self.lines)

    @applies
    def opened(self, event: Opened) -> None:
        self.owner = event.owner
        self.lines = (*self.lines, Line(text=event.owner))


class Wrong(EventSourced, snapshot_every="often"):  # type: ignore[arg-type]
    @applies  # type: ignore[type-var]
    def reminded(self, event: Remind) -> None: ...

    @applies  # type: ignore[arg-type]
    def bare(self) -> None: ...

    @applies
    def opened(self, event: Opened | Deposited) -> None:
        assert_type(event, Opened | Deposited)


def aggregates_begin_with_their_id_and_are_typed() -> None:
    account = Account(id="a")
    assert_type(account.id, str)
    assert_type(account.owner, str)
    assert_type(account.iban, str | None)
    assert_type(account.lines[0].text, str)
    Account("a")  # type: ignore[call-arg]
    Account(id=1)  # type: ignore[arg-type]
    Account(id="a", limit=1)  # type: ignore[call-arg]


def only_domain_events_are_recorded(account: Account) -> None:
    account.record(Opened(owner="Ann"))
    account.record(Remind(account_id="a"))  # type: ignore[arg-type]


async def repositories_give_the_type_that_they_hold(accounts: Repository[Account]) -> None:
    assert_type(await accounts.get("a"), Account)
    assert_type(await accounts.find("a"), Account | None)
    assert_type(await accounts.by(owner="Ann"), list[Account])
    accounts.add(Account(id="a"))
    accounts.add(Line(text="a"))  # type: ignore[arg-type]


def a_test_of_an_aggregate_is_typed(account: Account) -> None:
    assert_type(given(Account, Opened(owner="Ann"), id="a"), Given[Account])
    assert_type(given(account), Given[Account])
    done = given(Account).when(lambda account: account.open("Ann"))
    assert_type(done, When[Account])
    assert_type(done.aggregate, Account)
    done.then(Opened(owner="Ann")).then_holds(lambda account: account.owner == "Ann")
    done.then_refuses(Covered)
    done.then_refuses(Covered(balance=1))
    done.then(Remind(account_id="a"))  # type: ignore[arg-type]
    done.then_refuses("it")  # type: ignore[arg-type]
    given(Account).when(lambda account: account.close())  # type: ignore[attr-defined]
