"""Builds a projection anew beside the one that is read, then puts it in its place.

1. A shadow, with tables of its own and a generation of its own, is fed from the first event on by the same handlers,
   each batch with its checkpoint, as a live one is. Whoever comes after a crash goes on from there.
2. When it is near the head of the log, one transaction stops the live checkpoint, brings the shadow to it or past it,
   exchanges the names and the generations, and commits: no reader sees time go backwards, or neither of the two.
3. Writers of an in-transaction projection are locked out in that transaction, so that nothing is missed.
4. What was replaced is removed afterwards. Nothing in here could reach a gateway: handlers of projections have no
   parameter for it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from duly.delivery.projector import EventFailed, Overtaken, ProjectingStore, Projector
from duly.delivery.read_ahead import ReadAhead, dropped
from duly.domain.projection import physical_table
from duly.errors import DulyError, RebuildFailed, RebuildRefused, StoreBusy, UserSqlError
from duly.failpoints import hit
from duly.ports.projections import Generation
from duly.ports.store import OpenTransaction
from duly.telemetry import log

LOCK_WAIT: Final = timedelta(milliseconds=200)
"""How long the exchange waits for readers that are in the middle of something; others queue behind it as long."""
BEGIN_WAIT: Final = timedelta(seconds=10)
ATTEMPTS_MAX: Final = 300
"""How often the exchange is tried when readers do not make room in time."""
PAUSE_SECONDS_MAX: Final = 0.5
PAGES_IN_EXCHANGE_MAX: Final = 3
"""Pages of the log that are handled while the live checkpoint is held."""
NUMBERED_MAX: Final = 5_000
DOCUMENTS_PER_COMMIT_MAX: Final = 5_000


class RebuildPhase(Enum):
    """What a rebuild is at."""

    BUILDING = "building"
    EXCHANGING = "exchanging"
    REMOVING = "removing what was replaced"
    DONE = "done"


class RebuildProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a rebuild is, after each batch."""

    projection: str
    phase: RebuildPhase
    done: int
    """Positions of the log that the shadow has seen."""
    total: int
    """Positions that the log has, as of now: it grows meanwhile."""
    rate: float
    """Positions a second, since this rebuild began or was gone on with."""
    left: timedelta | None
    """How long it still takes at this rate; None while that is not known."""


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """A projection was built anew, and is read now."""

    projection: str
    generation: int
    position: int
    """Of the last event that it had seen when it took its place."""
    took: timedelta
    resumed_at: int
    """The position that an earlier, interrupted rebuild had come to; 0 when it began at the first event."""


OnRebuild: TypeAlias = Callable[[RebuildProgress], None]


class _Taken(Exception):
    """Another rebuild has put this very shadow in its place."""

    def __init__(self, at: Generation) -> None:
        self.at = at


class _NotYet(Exception):
    """The exchange could not be made now; nothing was."""


class Rebuilder:
    """Rebuilds one projection. Two at once do no harm: each batch is stored by one of them."""

    def __init__(
        self, projector: Projector, store: ProjectingStore, *, page_max: int, on_progress: OnRebuild | None = None
    ) -> None:
        self._projector = projector
        self._route = projector.route
        self._store = store
        self._page_max = page_max
        self._on_progress = on_progress
        self._began = time.monotonic()
        self._began_at = 0

    async def rebuild(self, *, fresh: bool = False) -> Rebuilt:
        """Build it anew. With *fresh* what an earlier rebuild has left is not gone on with.

        Raises `RebuildRefused`, `RebuildFailed`, `StoreError`.
        """
        self._began = time.monotonic()
        await self._remove_replaced()
        at = await self._begin(fresh=fresh)
        self._began_at = at.position
        try:
            at = await self._build(at)
        except _Taken as taken:
            at = taken.at
        await self._tell(RebuildPhase.REMOVING, at)
        await self._remove_replaced()
        await self._tell(RebuildPhase.DONE, at)
        return Rebuilt(
            projection=self._route.name,
            generation=at.number,
            position=at.position,
            took=timedelta(seconds=time.monotonic() - self._began),
            resumed_at=self._began_at,
        )

    # The shadow.

    async def _begin(self, *, fresh: bool) -> Generation:
        """The shadow, made now or found; in one transaction."""
        async with self._store.begin() as transaction:
            await transaction.wait_for_locks(BEGIN_WAIT)
            await transaction.lock_projection(f"rebuild of {self._route.name}")
            known = await transaction.generations(self._route.name)
            live = next((generation for generation in known if generation.is_live), None)
            if live is None:
                raise RebuildRefused(
                    f"The database does not know the projection {self._route.name!r} yet: there is nothing to rebuild. "
                    "Run: duly migrate module:application"
                )
            await self._check(transaction, live)
            shadow = next(
                (generation for generation in known if not generation.is_live and not generation.is_old), None
            )
            if shadow is not None:
                if shadow.digest == self._route.digest and not fresh:
                    return shadow
                await transaction.abandon(shadow)
            number = max(generation.number for generation in known) + 1
            for statement in self._route.projection.statements(number):
                try:
                    await transaction.execute(statement, {})
                except UserSqlError as error:
                    raise RebuildRefused(
                        f"The shadow of projection {self._route.name!r} cannot be made beside it: {error} Each name in "
                        "its statements must have a placeholder in it, those of indexes and constraints included, like "
                        "CREATE INDEX {order_line}_by_day ON {order_line} (day)."
                    ) from error
            await transaction.add_generation(self._route.shape(), number, is_live=False)
            await transaction.commit()
        await self._remove_replaced()
        return await self._look(number)

    async def _check(self, transaction: OpenTransaction, live: Generation) -> None:
        """Raises `RebuildRefused` when others hold on to the tables, or have those that are to be."""
        taken = await transaction.tables_present(set(self._route.projection.tables) - set(live.tables))
        if taken:
            raise RebuildRefused(
                f"Projection {self._route.name!r} is to have the tables {', '.join(taken)}, but there are such "
                "already, and they are not its own. Give its tables other names."
            )
        dependents = await transaction.table_dependents(live.tables)
        if dependents:
            raise RebuildRefused(
                f"Projection {self._route.name!r} cannot be rebuilt: its tables are known to {', '.join(dependents)}. "
                "These would go on to mean the old tables. Drop them, rebuild, and make them again."
            )

    async def _look(self, number: int) -> Generation:
        """The shadow as it is now. Raises `_Taken` when it is live, `RebuildRefused` when it is gone."""
        for generation in await self._store.projections((self._route.name,)):
            if generation.number == number and generation.is_live:
                raise _Taken(generation)
            if generation.number == number and not generation.is_old:
                return generation
        raise RebuildRefused(
            f"Another rebuild of {self._route.name!r} was begun afresh, or by other code, and this one gave way to it."
        )

    async def _build(self, at: Generation) -> Generation:
        for attempt in range(ATTEMPTS_MAX):
            at = await self._catch_up(at)
            await self._tell(RebuildPhase.EXCHANGING, at)
            try:
                return await self._exchange(at)
            except (_NotYet, StoreBusy) as reason:
                log(logging.DEBUG, "a shadow waits to take its place", projection=at.projection, reason=str(reason))
            await asyncio.sleep(random.uniform(0, min(PAUSE_SECONDS_MAX, 0.01 * 2 ** min(attempt, 10))))
            at = await self._look(at.number)
        raise StoreBusy(
            f"The shadow of projection {at.projection!r} is built, but in {ATTEMPTS_MAX} attempts readers of its "
            "tables did not make room. Look for transactions that stay open, then rebuild again: it goes on from here."
        )

    async def _catch_up(self, at: Generation) -> Generation:
        """Handle the log until there is less than a page left."""
        async with ReadAhead(self._projector) as ahead:
            return await self._catch_up_with(at, ahead)

    async def _catch_up_with(self, at: Generation, ahead: ReadAhead) -> Generation:
        """Handle page after page, each while the one before is stored. The checkpoint is the fence: it moves on from
        where a batch ended, or the next one is not stored."""
        batch: asyncio.Task[int] | None = None
        following: asyncio.Task[int] | None = None
        began = at
        try:
            while True:
                page = await ahead.page(at.position)
                is_last = page.through - at.position < self._page_max
                if not is_last:
                    ahead.fetch(page.through)
                if page.through > at.position:
                    following = asyncio.create_task(self._projector.project(at, page, after=batch))
                if batch is not None:
                    stored, batch = await self._stored(batch, began), None
                    if stored.position != at.position:
                        await dropped(following)
                        at, following = stored, None
                        continue
                if following is None:
                    if not await self._store.number_commits(NUMBERED_MAX):
                        return at
                    continue
                batch, following, began = following, None, at
                at = replace(at, position=page.through)
                if is_last or not self._may_overlap:
                    stored, batch = await self._stored(batch, began), None
                    if is_last and stored.position == at.position:
                        return stored
                    at = stored
        finally:
            await dropped(batch)
            await dropped(following)

    @property
    def _may_overlap(self) -> bool:
        """Whether a page can be handled before the one before is stored: documents are read as they were stored."""
        return not any(handler.read_models for handlers in self._route.handlers.values() for handler in handlers)

    async def _stored(self, batch: asyncio.Task[int], began: Generation) -> Generation:
        """Where the shadow is when a batch, which began there, has ended. Raises `RebuildFailed`."""
        at = began
        try:
            position = await batch
        except Overtaken:
            return await self._look(at.number)
        except EventFailed:
            at = await self._look(at.number)  # the tables of a shadow that took its place have other names
            position = await self._one_by_one(at)
        at = replace(at, position=position)
        hit("rebuild.after_batch")
        await self._tell(RebuildPhase.BUILDING, at)
        return at

    async def _one_by_one(self, at: Generation) -> int:
        """Handle the next page event by event, so that the one that fails is known. Raises `RebuildFailed`."""
        page = await self._projector.read(at.position)
        while page.through > at.position:
            try:
                position = await self._projector.project(at, page, one_event=True)
            except Overtaken:
                return (await self._look(at.number)).position
            except EventFailed as failure:
                await self._look(at.number)
                first = page.events[0] if page.events else None
                where = "" if first is None else f" {first.name} at position {first.position},"
                error = failure.__cause__
                told = str(error) if isinstance(error, DulyError) else f"{type(error).__name__}: {error}."
                raise RebuildFailed(
                    f"The rebuild of {self._route.name!r} stopped at{where} since {told} What is read is as it was. "
                    "Correct the code and rebuild again: it goes on from here; or, when what was built so far would be "
                    "other, begin afresh: rebuild(…, fresh=True), duly projections rebuild … --fresh."
                ) from error
            at = replace(at, position=position)
            page = await self._projector.read(at.position, through=page.through)
        return at.position

    # The exchange.

    async def _exchange(self, at: Generation) -> Generation:
        """Put the shadow in its place. Raises `_NotYet`, `_Taken`, `StoreBusy`."""
        async with self._store.begin() as transaction:
            await transaction.wait_for_locks(LOCK_WAIT)
            if self._route.projection.in_transaction:
                await transaction.lock_projection(self._route.name)
                while await transaction.number_commits(NUMBERED_MAX):
                    pass
            known = {generation.number: generation for generation in await transaction.lock_generations(at.projection)}
            shadow = known.get(at.number)
            if shadow is None or shadow.is_live or shadow.is_old:
                raise _NotYet("another rebuild was quicker")
            live = next(generation for generation in known.values() if generation.is_live)
            shadow = await self._finish(transaction, shadow, live)
            await self._check(transaction, live)
            hit("rebuild.before_swap")
            await transaction.exchange_tables(live=live, shadow=shadow)
            await transaction.exchange_generations(live=live, shadow=shadow)
            await transaction.commit()
        hit("rebuild.after_swap")
        return shadow

    async def _finish(self, transaction: OpenTransaction, shadow: Generation, live: Generation) -> Generation:
        """Bring the shadow to where readers are, who must not see time go backwards. Raises `_NotYet`."""
        in_transaction = self._route.projection.in_transaction
        for _ in range(PAGES_IN_EXCHANGE_MAX):
            page = await transaction.read_log(shadow.position, self._page_max, names=self._projector.names)
            if page.through == shadow.position:
                return shadow
            try:
                position = await self._projector.project_within(transaction, shadow, page)
            except Exception as error:
                raise _NotYet(f"{type(error).__name__}: {error}") from error
            shadow = replace(shadow, position=position)
            if not in_transaction and shadow.position >= live.position:
                return shadow
        raise _NotYet("the log was too far ahead")

    # What was replaced.

    async def _remove_replaced(self) -> None:
        """Remove the tables and documents of generations that were replaced, those of an interrupted rebuild, too."""
        for generation in await self._store.projections((self._route.name,)):
            if not generation.is_old:
                continue
            try:
                await self._remove(generation)
            except StoreBusy as error:
                log(
                    logging.WARNING,
                    "tables that were replaced are still in use; the next rebuild removes them",
                    projection=generation.projection,
                    error=str(error),
                )

    async def _remove(self, generation: Generation) -> None:
        models = {
            of.name for handlers in self._route.handlers.values() for handler in handlers for of in handler.read_models
        }
        removed = 1
        while models and removed:
            async with self._store.begin() as transaction:
                removed = await transaction.drop_documents(generation.number, models, DOCUMENTS_PER_COMMIT_MAX)
                await transaction.commit()
        hit("rebuild.after_drop")
        async with self._store.begin() as transaction:
            await transaction.wait_for_locks(BEGIN_WAIT)
            await transaction.drop_tables([physical_table(table, generation.number) for table in generation.tables])
            await transaction.forget_generation(generation.projection, generation.number)
            await transaction.commit()

    async def _tell(self, phase: RebuildPhase, at: Generation) -> None:
        if self._on_progress is None:
            return
        total = max(await self._store.log_head(), at.position)
        seconds = time.monotonic() - self._began
        rate = (at.position - self._began_at) / seconds if seconds else 0.0
        left = timedelta(seconds=(total - at.position) / rate) if rate else None
        self._on_progress(
            RebuildProgress(projection=at.projection, phase=phase, done=at.position, total=total, rate=rate, left=left)
        )
