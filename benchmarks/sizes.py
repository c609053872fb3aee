"""How much each side does in a round."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """*operations* overrides what a benchmark asks for, as far as it bears it."""

    quick: bool
    operations: int | None = None
    finished: int | None = None
    """How many finished effects the ledgers that are to have grown hold, whatever is usual."""

    def grown(self, *, quick: int, full: int) -> int:
        """How many finished effects a ledger holds."""
        return self.finished or (quick if self.quick else full)

    def of(self, *, quick: int, full: int, at_most: int | None = None) -> int:
        """The size of one benchmark; *at_most* is for work that takes a process for each operation."""
        wanted = self.operations or (quick if self.quick else full)
        return wanted if at_most is None else min(wanted, at_most)
