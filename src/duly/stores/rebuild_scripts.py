"""Rebuilds, as scripts, and what open transactions of SQL stores have in common for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Final, TypeVar

from duly.ports.log import LogPage
from duly.ports.projections import Generation
from duly.ports.rebuild import REPLACED
from duly.stores.log_scripts import read_log_script
from duly.stores.projection_scripts import generations_script
from duly.stores.script import Script, Statement

T = TypeVar("T")

# In a statement of its own, before they are read: whoever waited sees what the one before has written.
LOCK: Final = "SELECT generation FROM duly.projection WHERE name = :name ORDER BY generation FOR UPDATE"
REPLACE: Final = """
UPDATE duly.projection SET state = 'old', position = :replaced, owner = NULL, until_ms = 0, changed_ms = duly.now_ms()
 WHERE name = :name AND generation = :generation
"""
# Whoever had the lease of the live one goes on with this one.
PROMOTE: Final = """
UPDATE duly.projection
   SET state = 'live', owner = NULL, until_ms = 0, attempts = 0, retry_ms = 0, reason = '', changed_ms = duly.now_ms()
 WHERE name = :name AND generation = :generation
"""
DROP_ENTRIES: Final = """
DELETE FROM duly.read_entry
 WHERE (model, generation, tenant, field, value, id) IN (
       SELECT model, generation, tenant, field, value, id FROM duly.read_entry
        WHERE model = ANY(:models) AND generation = :generation LIMIT :rows_max)
"""
DROP_DOCUMENTS: Final = """
DELETE FROM duly.read_model
 WHERE (model, generation, tenant, id) IN (
       SELECT model, generation, tenant, id FROM duly.read_model
        WHERE model = ANY(:models) AND generation = :generation LIMIT :rows_max)
"""
FORGET: Final = "DELETE FROM duly.projection WHERE name = :name AND generation = :generation AND state <> 'live'"


def lock_generations_script(name: str) -> Script[list[Generation]]:
    """Generations whose checkpoints move no more."""
    yield Statement(LOCK, {"name": name})
    return (yield from generations_script((name,)))


def replace_script(generation: Generation) -> Script[None]:
    """Nobody reads it, and its checkpoint never moves again."""
    where: dict[str, object] = {"name": generation.projection, "generation": generation.number}
    yield Statement(REPLACE, {**where, "replaced": REPLACED})


def exchange_generations_script(live: Generation, shadow: Generation) -> Script[None]:
    """Make the shadow the live generation."""
    yield from replace_script(live)
    yield Statement(PROMOTE, {"name": shadow.projection, "generation": shadow.number})


def drop_documents_script(generation: int, models: Collection[str], rows_max: int) -> Script[int]:
    """Remove a batch of documents and findable values; how many of them."""
    of: dict[str, object] = {"generation": generation, "models": sorted(models), "rows_max": rows_max}
    entries = yield Statement(DROP_ENTRIES, of)
    documents = yield Statement(DROP_DOCUMENTS, of)
    return entries.changed + documents.changed


class SqlRebuilding(ABC):
    """The part of an open transaction that serves rebuilds and is the same everywhere."""

    @abstractmethod
    async def _run(self, make: Callable[[], Script[T]]) -> T:
        """Run a script in this transaction."""

    async def lock_generations(self, name: str) -> list[Generation]:
        """The generations of a projection, whose checkpoints move no more until the end."""
        return await self._run(lambda: lock_generations_script(name))

    async def read_log(self, after: int, positions_max: int, *, names: Collection[str] | None = None) -> LogPage:
        """A stretch of the log, as this transaction sees it."""
        return await self._run(lambda: read_log_script(after, positions_max, names, None, None))

    async def exchange_generations(self, *, live: Generation, shadow: Generation) -> None:
        """The shadow is the live generation from now on."""
        await self._run(lambda: exchange_generations_script(live, shadow))

    async def abandon(self, generation: Generation) -> None:
        """A shadow that will not be gone on with is replaced, too."""
        await self._run(lambda: replace_script(generation))

    async def drop_documents(self, generation: int, models: Collection[str], rows_max: int) -> int:
        """Remove documents of a generation; how many."""
        return await self._run(lambda: drop_documents_script(generation, models, rows_max))

    async def forget_generation(self, name: str, number: int) -> None:
        """Remove the row of a generation that is not live."""
        await self._run(lambda: _forget(name, number))


def _forget(name: str, number: int) -> Script[None]:
    yield Statement(FORGET, {"name": name, "generation": number})
