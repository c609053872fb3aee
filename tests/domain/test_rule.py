"""Rules are values, and a broken one is an error that holds it."""

from __future__ import annotations

import pickle
from decimal import Decimal

import pytest

from duly import Rule, RuleBroken, check
from tests.domain.credit import CreditLimit, NotEmpty


def test_a_rule_that_is_broken_is_an_error_with_its_message_and_itself() -> None:
    rule = CreditLimit(limit=Decimal(5), asked=Decimal(6))
    with pytest.raises(RuleBroken, match="^6 is more than the limit of 5$") as broken:
        check(rule)
    assert broken.value.rule is rule
    match broken.value.rule:
        case CreditLimit(limit=limit, asked=asked):
            assert asked - limit == 1
        case _:
            pytest.fail("another rule")


def test_a_rule_that_holds_says_nothing() -> None:
    check()
    check(CreditLimit(limit=Decimal(5), asked=Decimal(5)), NotEmpty(count=1))


def test_of_several_rules_the_first_that_is_broken_is_told_and_those_behind_it_are_not_asked() -> None:
    class Unasked(Rule):
        def is_broken(self) -> bool:
            raise AssertionError("a rule behind a broken one was asked")

        def message(self) -> str:
            return ""

    with pytest.raises(RuleBroken) as broken:
        check(CreditLimit(limit=Decimal(5), asked=Decimal(1)), NotEmpty(count=0), Unasked())
    assert broken.value.rule == NotEmpty(count=0)


def test_rules_are_equal_by_their_fields_and_never_change() -> None:
    rule = NotEmpty(count=1)
    assert rule == NotEmpty(count=1) != NotEmpty(count=2)
    assert len({rule, NotEmpty(count=1)}) == 1
    with pytest.raises(AttributeError, match="immutable"):
        rule.count = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        NotEmpty(1)  # type: ignore[call-arg]


def test_a_rule_says_when_it_is_broken_and_what_then() -> None:
    class Silent(Rule):
        def is_broken(self) -> bool:
            return True

    with pytest.raises(TypeError, match="message"):
        Silent()  # type: ignore[abstract]


def test_an_error_that_was_raised_with_a_text_has_no_rule() -> None:
    class OwnError(RuleBroken):
        def __init__(self, order: str) -> None:
            self.order = order
            Exception.__init__(self, f"Order {order} is closed.")

    assert (str(RuleBroken("It is closed.")), RuleBroken("It is closed.").rule) == ("It is closed.", None)
    assert (str(OwnError("7")), OwnError("7").rule) == ("Order 7 is closed.", None)


def test_the_error_goes_through_processes_with_its_rule() -> None:
    error = RuleBroken("It is empty.", rule=NotEmpty(count=0))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.rule) == ("It is empty.", NotEmpty(count=0))
