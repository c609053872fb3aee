"""The kit for tests of aggregates: given what has happened, when it is asked, then these events follow."""

from __future__ import annotations

import pytest

from duly import Aggregate, DomainEvent, EventSourced, Personal, Rule, RuleBroken, UnrecordedChange, applies, check
from duly.errors import InvalidMessage
from duly.testing.given import given


class Opened(DomainEvent):
    owner: Personal[str]


class Deposited(DomainEvent):
    amount: float


class Withdrawn(DomainEvent):
    amount: float


class Drawn(DomainEvent):
    pass


class Covered(Rule):
    balance: float
    asked: float

    def is_broken(self) -> bool:
        return self.asked > self.balance

    def message(self) -> str:
        return f"{self.asked} is more than {self.balance}."


class Account(EventSourced):
    owner: str = ""
    balance: float = 0
    draws: int = 0

    def withdraw(self, amount: float) -> float:
        check(Covered(balance=self.balance, asked=amount))
        self.record(Withdrawn(amount=amount))
        return self.balance

    def withdraw_twice(self, amount: float) -> None:
        for _ in range(2):
            self.withdraw(amount)

    @applies
    def opened(self, event: Opened) -> None:
        self.owner = event.owner

    @applies
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount

    @applies
    def withdrawn(self, event: Withdrawn) -> None:
        self.balance -= event.amount

    @applies
    def drawn(self, event: Drawn) -> None:
        self.draws += next(draws)


draws = iter(range(1, 100))


class Order(Aggregate):
    total: float
    is_paid: bool = False

    def pay(self) -> None:
        if self.is_paid:
            raise RuleBroken("It is paid.")
        self.is_paid = True
        self.record(Deposited(amount=self.total))


def test_events_follow_from_what_was_asked() -> None:
    done = given(Account, Opened(owner="Ann"), Deposited(amount=5), id="a-1").when(lambda account: account.withdraw(2))
    done.then(Withdrawn(amount=2)).then_holds(lambda account: (account.id, account.balance) == ("a-1", 3))
    assert (done.result, done.recorded) == (3, (Withdrawn(amount=2),))


def test_nothing_may_follow() -> None:
    given(Account).when(lambda account: account.balance).then()
    with pytest.raises(AssertionError, match=r"Expected nothing; Withdrawn\(amount=2\) followed"):
        given(Account, Deposited(amount=5)).when(lambda account: account.withdraw(2)).then()


def test_a_document_is_given_as_it_is() -> None:
    done = given(Order(id="o-1", total=5)).when(lambda order: order.pay())
    done.then(Deposited(amount=5)).then_holds(lambda order: order.is_paid)
    given(Order(id="o-1", total=5, is_paid=True)).when(lambda order: order.pay()).then_refuses(RuleBroken)


def test_what_a_document_recorded_before_it_was_given_does_not_count() -> None:
    order = Order(id="o-1", total=5)
    order.record(Drawn())
    given(order).when(lambda order: order.pay()).then(Deposited(amount=5))


def test_a_refusal_is_by_a_rule_of_these_values_or_of_any_or_by_an_error() -> None:
    asked_too_much = given(Account, Deposited(amount=5)).when(lambda account: account.withdraw(6))
    asked_too_much.then_refuses(Covered(balance=5, asked=6))
    asked_too_much.then_refuses(Covered)
    asked_too_much.then_refuses(RuleBroken)
    with pytest.raises(AssertionError, match="Expected a refusal by Covered.*RuleBroken was raised: 6 is more than 5"):
        asked_too_much.then_refuses(Covered(balance=5, asked=7))
    with pytest.raises(AssertionError, match="Expected a refusal by KeyError"):
        asked_too_much.then_refuses(KeyError)
    with pytest.raises(RuleBroken, match="6 is more than 5"):
        asked_too_much.then(Withdrawn(amount=6))
    with pytest.raises(RuleBroken):
        assert asked_too_much.result


def test_what_was_expected_to_be_refused_and_was_not_is_told() -> None:
    with pytest.raises(AssertionError, match=r"Expected a refusal by RuleBroken; Withdrawn\(amount=2\) followed"):
        given(Account, Deposited(amount=5)).when(lambda account: account.withdraw(2)).then_refuses(RuleBroken)


def test_a_refusal_after_something_was_recorded_is_none() -> None:
    with pytest.raises(AssertionError, match=r"Withdrawn\(amount=3\) had been recorded before. Check rules first"):
        given(Account, Deposited(amount=5)).when(lambda account: account.withdraw_twice(3)).then_refuses(Covered)


def test_a_state_that_is_not_as_expected_is_shown() -> None:
    with pytest.raises(AssertionError, match=r"not as expected: Account\(id='it'.*balance=5"):
        given(Account, Deposited(amount=5)).when(lambda account: None).then_holds(lambda account: account.balance == 6)


def test_an_event_that_cannot_be_stored_is_noticed() -> None:
    unstorable = given(Account).when(lambda account: account.record(Deposited(amount=float("nan"))))
    with pytest.raises(InvalidMessage, match="not finite"):
        unstorable.then(*unstorable.recorded)


def test_an_applies_method_that_depends_on_something_else_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"(?s)Loaded again it would be Account\(.*draws=2.*draws=1"):
        given(Account).when(lambda account: account.record(Drawn())).then(Drawn())


def test_a_change_without_an_event_is_noticed() -> None:
    with pytest.raises(UnrecordedChange, match="Account.balance"):
        given(Account).when(lambda account: setattr(account, "balance", 5)).then()
