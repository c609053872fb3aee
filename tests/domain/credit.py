"""Two rules."""

from __future__ import annotations

from decimal import Decimal

from duly import Rule


class CreditLimit(Rule):
    limit: Decimal
    asked: Decimal

    def is_broken(self) -> bool:
        return self.asked > self.limit

    def message(self) -> str:
        return f"{self.asked} is more than the limit of {self.limit}"


class NotEmpty(Rule):
    count: int

    def is_broken(self) -> bool:
        return self.count == 0

    def message(self) -> str:
        return "There is at least one."
