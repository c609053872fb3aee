"""Rules: typed values with two methods; a broken one is matched by its type."""

from __future__ import annotations

from decimal import Decimal
from typing import assert_type

from duly import Rule, RuleBroken, check


class CreditLimit(Rule):
    limit: Decimal
    asked: Decimal

    def is_broken(self) -> bool:
        return self.asked > self.limit

    def message(self) -> str:
        return f"{self.asked} is more than {self.limit}."


class Silent(Rule):
    def is_broken(self) -> bool:
        return True


class Mistyped(Rule):
    def is_broken(self) -> str:  # type: ignore[override]
        return "no"

    def message(self) -> str:
        return ""


def rules_are_checked_and_matched() -> None:
    rule = CreditLimit(limit=Decimal(1), asked=Decimal(2))
    assert_type(rule.limit, Decimal)
    assert_type(rule.is_broken(), bool)
    assert_type(rule.message(), str)
    try:
        check(rule, rule)
    except RuleBroken as error:
        match error.rule:
            case CreditLimit(limit=limit):
                assert_type(limit, Decimal)
            case _:
                raise
    raise RuleBroken("a text alone")


def mistakes_are_seen(rule: CreditLimit) -> None:
    CreditLimit(Decimal(1), Decimal(2))  # type: ignore[call-arg]
    CreditLimit(limit=Decimal(1))  # type: ignore[call-arg]
    CreditLimit(limit=Decimal(1), asked="2")  # type: ignore[arg-type]
    Silent()  # type: ignore[abstract]
    rule.limit = Decimal(3)  # type: ignore[misc]
    check("a text")  # type: ignore[arg-type]
    check(rule.is_broken())  # type: ignore[arg-type]
