"""Projections in SQL stores: what a store does, and what an open transaction does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import TypeVar

from duly.ports.projections import (
    Advance,
    DocumentKey,
    Generation,
    ReadModelPlace,
    ReadModelRange,
    ReadModelWrite,
    Shape,
    StoredReadModel,
)
from duly.ports.store import OpenTransaction
from duly.stores import projection_scripts
from duly.stores.engine import Engine
from duly.stores.projection_scripts import ALL_PROJECTIONS
from duly.stores.read_model_scripts import read_models_in_script, read_models_script, write_read_models_script
from duly.stores.script import Script

T = TypeVar("T")


class SqlProjections(ABC):
    """The part of a SQL store that keeps projections."""

    _engine: Engine

    @abstractmethod
    def begin(self) -> AbstractAsyncContextManager[OpenTransaction]:
        """Open a transaction."""

    async def make_projections(self, shapes: Sequence[Shape]) -> list[str]:
        """Make those that the database does not know: their tables and their rows; what was done, by line."""
        known = {generation.projection for generation in await self.projections()}
        if all(shape.name in known for shape in shapes):
            return []
        done: list[str] = []
        async with self.begin() as transaction:
            await transaction.lock_projection(ALL_PROJECTIONS)
            for shape in shapes:
                if await transaction.generations(shape.name):
                    continue
                for statement in shape.statements:
                    await transaction.execute(statement, {})
                await transaction.add_generation(shape, 1, is_live=True)
                done.append(f"projection {shape.name}")
            await transaction.commit()
        return done

    async def projections(self, names: Collection[str] | None = None) -> list[Generation]:
        """All generations, or those of some projections, by name, the live one first."""
        return await self._engine.read(lambda: projection_scripts.generations_script(names))

    async def claim_generation(self, name: str, number: int, owner: str, lease: timedelta) -> Generation | None:
        """A generation, now *owner*'s if nobody else has it; None when it is gone."""
        return await self._engine.write(lambda: projection_scripts.claim_script(name, number, owner, lease))

    async def release_generations(self, owner: str) -> None:
        """Let go of all of *owner*'s generations at once."""
        await self._engine.write(lambda: projection_scripts.release_script(owner))

    async def fail_generation(self, at: Advance, *, attempts: int, wait: timedelta, reason: str) -> bool:
        """Write down that the next event failed; False when somebody else has moved on."""
        return await self._engine.write(lambda: projection_scripts.fail_script(at, attempts, wait, reason))

    async def unprojected(self, digests: Collection[str], within: timedelta) -> int:
        """How many live generations of these shapes are behind the log, but for those that wait longer."""
        return await self._engine.read(lambda: projection_scripts.unprojected_script(sorted(digests), within))

    async def read_models(self, place: ReadModelPlace, keys: Collection[DocumentKey]) -> list[StoredReadModel]:
        """Those of *keys* that exist, in no order."""
        return await self._engine.read(lambda: read_models_script(place, keys))

    async def read_models_in(self, place: ReadModelPlace, wanted: ReadModelRange) -> list[StoredReadModel]:
        """A stretch of documents."""
        return await self._engine.read(lambda: read_models_in_script(place, wanted))


class SqlProjecting(ABC):
    """The part of an open transaction that serves projections."""

    _shared: Mapping[str, Generation] = {}

    @abstractmethod
    async def _run(self, make: Callable[[], Script[T]]) -> T:
        """Run a script in this transaction."""

    async def advance(self, advance: Advance) -> bool:
        """Move a checkpoint, which is locked from then on; False when it was elsewhere."""
        return await self._run(lambda: projection_scripts.advance_script(advance))

    async def read_models(self, place: ReadModelPlace, keys: Collection[DocumentKey]) -> list[StoredReadModel]:
        """Those of *keys* that exist, in no order."""
        return await self._run(lambda: read_models_script(place, keys))

    async def read_models_in(self, place: ReadModelPlace, wanted: ReadModelRange) -> list[StoredReadModel]:
        """A stretch of documents."""
        return await self._run(lambda: read_models_in_script(place, wanted))

    async def write_read_models(self, generation: int, writes: Sequence[ReadModelWrite]) -> None:
        """Write documents."""
        await self._run(lambda: write_read_models_script(generation, writes))

    async def share_projection(self, name: str) -> Generation:
        """Keep rebuilds of an in-transaction projection away until the end; its live generation."""
        if name not in self._shared:  # the lock stays: projections run outside of savepoints
            generation = await self._run(lambda: projection_scripts.share_script(name))
            self._shared = {**self._shared, name: generation}
        return self._shared[name]

    async def lock_projection(self, name: str) -> None:
        """Wait for all who share a projection, and keep them away until the end."""
        await self._run(lambda: projection_scripts.lock_script(name))

    async def add_generation(self, shape: Shape, number: int, *, is_live: bool) -> None:
        """Write the row of a new generation, at position 0."""
        await self._run(lambda: projection_scripts.add_generation_script(shape, number, is_live=is_live))

    async def generations(self, name: str) -> list[Generation]:
        """The generations of a projection as this transaction sees them, the live one first."""
        return await self._run(lambda: projection_scripts.generations_script((name,)))
