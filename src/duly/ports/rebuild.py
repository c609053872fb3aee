"""What a rebuild needs of a store: shadows of tables, and the exchange of names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final, Protocol

from duly.ports.log import LogPage
from duly.ports.projections import Generation

REPLACED: Final = -1
"""The position of a generation that another one has taken the place of: no checkpoint moves from there."""


class RebuildingTransaction(Protocol):
    """What an open transaction does for rebuilds."""

    async def wait_for_locks(self, at_most: timedelta) -> None:
        """From now on statements fail with `StoreBusy` that wait longer for a lock: who queues behind waits as long."""

    async def lock_generations(self, name: str) -> list[Generation]:
        """The generations of a projection, the live one first; no checkpoint of them moves until the end."""

    async def number_commits(self, commits_max: int) -> int:
        """As `LogStore.number_commits`, within this transaction: nobody else numbers until its end."""

    async def read_log(self, after: int, positions_max: int, *, names: Collection[str] | None = None) -> LogPage:
        """As `LogStore.read_log`, as this transaction sees it."""

    async def tables_present(self, tables: Collection[str]) -> list[str]:
        """Those of these names that a table, view or index has."""

    async def table_dependents(self, tables: Collection[str]) -> list[str]:
        """What would stay with the old tables, or be in the way of removing them, by kind and name."""

    async def exchange_tables(self, *, live: Generation, shadow: Generation) -> None:
        """Give the live tables the names of their generation, and the shadow's tables the plain names."""

    async def exchange_generations(self, *, live: Generation, shadow: Generation) -> None:
        """The shadow is the live generation from now on, with its documents; the live one is replaced."""

    async def abandon(self, generation: Generation) -> None:
        """A shadow that will not be gone on with is replaced, too."""

    async def drop_tables(self, tables: Sequence[str]) -> None:
        """Remove these tables, as far as they are there."""

    async def drop_documents(self, generation: int, models: Collection[str], rows_max: int) -> int:
        """Remove documents of a generation, with their findable values; how many."""

    async def forget_generation(self, name: str, number: int) -> None:
        """Remove the row of a generation that is not live."""
