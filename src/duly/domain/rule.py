"""Business rules as values: what a rule looked at is there when it is found broken."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from duly.domain.aggregate import Value
from duly.errors import RuleBroken

if TYPE_CHECKING:

    class _Abstract(Value, ABC):
        pass

else:

    class _AbstractMeta(type(Value), type(ABC)):
        """Makes rules values whose methods must be there."""

    class _Abstract(Value, metaclass=_AbstractMeta):
        pass


class Rule(_Abstract):
    """A rule with all that it looks at, frozen and equal by its fields::

    class CreditLimit(Rule):
        limit: Decimal
        asked: Decimal

        def is_broken(self) -> bool:
            return self.asked > self.limit

        def message(self) -> str:
            return f"{self.asked} is more than the limit of {self.limit}."
    """

    @abstractmethod
    def is_broken(self) -> bool:
        """Whether what the rule looked at is against it."""

    @abstractmethod
    def message(self) -> str:
        """What to tell whoever asked: one sentence, without personal data, since it may be kept."""


def check(*rules: Rule) -> None:
    """Raises `RuleBroken` for the first of *rules* that is broken; its `rule` is that rule, its text the message."""
    for rule in rules:
        if rule.is_broken():
            raise RuleBroken(rule.message(), rule=rule)
