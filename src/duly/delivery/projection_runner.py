"""Keeps projections up with the log: each by itself, in batches, in the order of positions.

1. A batch that fails is taken back as a whole, then its events go one by one, so that it is known which one fails.
2. The projection stands still at that event, since what follows may build on it, and tries again with growing waits,
   without end. Nothing is skipped: correct the code, or rebuild. Nobody else waits for it.
3. An event that this code does not know yet waits for the code that does; that is no failure.
4. Of several workers one has the lease of a projection, which saves work. That nothing is done twice is the doing of
   the checkpoint, which moves from where it was read, or not at all.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from duly.delivery.projector import EventFailed, Overtaken, ProjectingStore, Projector, Terms
from duly.errors import DulyError, StoreError, UnknownMessageType
from duly.messages.catalog import Catalog
from duly.ports.log import LogPage
from duly.ports.projections import Advance, Generation
from duly.states.retry import RetrySchedule
from duly.telemetry import log
from duly.work.projecting import ProjectionRoute

REASON_CHARACTERS_MAX: Final = 2_000


class _Line:
    """One projection in this process: where it is, as far as is known here."""

    def __init__(self, projector: Projector) -> None:
        self.projector = projector
        self.at: Generation | None = None
        self.owned_until = 0.0
        """By the loop's clock."""
        self.retry_at = 0.0
        self.careful_through = 0
        """Up to this position, events go one by one."""
        self.ahead: tuple[int, asyncio.Task[LogPage]] | None = None
        """The page after a position, which is read while the one before it is handled."""
        self.woken = asyncio.Event()


class ProjectionRunner:
    """Runs all projections of an application that are not in-transaction ones. `wake` tells it of new positions."""

    def __init__(
        self,
        routes: Sequence[ProjectionRoute],
        catalog: Catalog,
        store: ProjectingStore,
        terms: Terms,
        *,
        owner: str,
        poll_interval: timedelta,
        retry: RetrySchedule,
        unknown_type_wait: timedelta,
        on_projected: Callable[[], None] = lambda: None,
    ) -> None:
        """*on_projected* hears of each batch that was committed."""
        self._store = store
        self._terms = terms
        self._owner = owner
        self._poll_seconds = poll_interval.total_seconds()
        self._retry = retry
        self._unknown_type_wait = unknown_type_wait
        self._on_projected = on_projected
        self._lines = [_Line(Projector(route, catalog, store, terms, owner=owner)) for route in routes]
        self._stopping = asyncio.Event()

    def wake(self) -> None:
        """There may be new positions in the log."""
        for line in self._lines:
            line.woken.set()

    def stop(self) -> None:
        """Begin no new batch."""
        self._stopping.set()
        self.wake()

    async def run(self) -> None:
        """Project until `stop`, then give the leases back."""
        if not self._lines:
            await self._stopping.wait()
            return
        async with asyncio.TaskGroup() as group:
            for line in self._lines:
                group.create_task(self._keep_up(line), name=f"duly-projection-{line.projector.route.name}")
        try:
            await self._store.release_generations(self._owner)
        except StoreError as error:
            log(logging.WARNING, "projections were not given back; their leases will run out", error=str(error))

    async def _keep_up(self, line: _Line) -> None:
        try:
            await self._take_turns(line)
        finally:
            if line.ahead is not None:
                line.ahead[1].cancel()
                await asyncio.gather(line.ahead[1], return_exceptions=True)

    async def _take_turns(self, line: _Line) -> None:
        while not self._stopping.is_set():
            line.woken.clear()
            try:
                goes_on = await self._turn(line)
            except StoreError as error:
                log(logging.ERROR, "a projection cannot reach the store", projection=_name(line), error=str(error))
                line.at, goes_on = None, False
            if not goes_on:
                await self._pause(line)

    async def _pause(self, line: _Line) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await line.woken.wait()
        except TimeoutError:
            pass

    async def _turn(self, line: _Line) -> bool:
        """One batch, if there is one to do; whether another may follow at once."""
        clock = asyncio.get_running_loop().time
        if clock() < line.retry_at:
            return False
        at = line.at or await self._look(line)
        if at is None:
            return False
        page = await self._read(line, at.position)
        if page.through == at.position:
            return False
        if clock() > line.owned_until:
            at = await self._claim(line, at)
            if at is None:
                return line.at is not None
        careful = at.attempts > 0 or at.position < line.careful_through
        if not careful and page.through - at.position == self._terms.events_max:
            line.ahead = page.through, asyncio.create_task(line.projector.read(page.through))
        try:
            position = await line.projector.project(at, page, one_event=careful)
        except Overtaken:
            line.at, line.owned_until = None, 0.0
            return True
        except EventFailed as failure:
            return await self._failed(line, at, page.through, failure, careful=careful or len(page.events) == 1)
        line.at = replace(at, position=position, attempts=0, reason="")
        self._on_projected()
        line.owned_until = clock() + self._terms.lease.total_seconds() / 2
        return True

    async def _read(self, line: _Line, after: int) -> LogPage:
        ahead, line.ahead = line.ahead, None
        if ahead is not None:
            position, reading = ahead
            if position == after:
                page = await reading
                if page.through > after:
                    return page
                # It was the end of the log then; what was written since may have woken us before.
            else:
                await asyncio.gather(reading, return_exceptions=True)
        return await line.projector.read(after)

    async def _look(self, line: _Line) -> Generation | None:
        """Where the projection is; None when it waits, somebody else has it, or other code has built it."""
        found = await self._store.projections((_name(line),))
        at = next((generation for generation in found if generation.is_live), None)
        if at is None or at.owner not in (None, self._owner) or at.digest != line.projector.route.digest:
            return None
        line.retry_at = asyncio.get_running_loop().time() + at.wait.total_seconds()
        if at.wait:
            return None
        line.at = at
        return at

    async def _claim(self, line: _Line, at: Generation) -> Generation | None:
        """The generation, if it is ours and where we think; else None, and what was learned is in the line."""
        claimed = await self._store.claim_generation(at.projection, at.number, self._owner, self._terms.lease)
        if claimed is None or claimed.owner != self._owner or claimed.digest != at.digest:
            line.at = None
            return None
        line.at = claimed
        line.owned_until = asyncio.get_running_loop().time() + self._terms.lease.total_seconds() / 2
        return claimed if claimed.position == at.position and not claimed.wait else None

    async def _failed(self, line: _Line, at: Generation, through: int, failure: EventFailed, *, careful: bool) -> bool:
        error = failure.__cause__
        assert error is not None
        if not careful:
            line.careful_through = through
            return True
        if isinstance(error, UnknownMessageType):
            attempts, wait = at.attempts, self._unknown_type_wait
        else:
            attempts = at.attempts + 1
            last = self._retry.attempts_max - 1
            wait = self._retry.wait_after(min(attempts, last), random.random()) or timedelta()
        log(
            logging.WARNING if isinstance(error, UnknownMessageType) else logging.ERROR,
            "a projection stands still",
            projection=at.projection,
            position=at.position,
            attempts=attempts,
            error=type(error).__name__,
        )
        advance = Advance(
            projection=at.projection,
            generation=at.number,
            begins=at.position,
            ends=at.position,
            owner=self._owner,
            lease=self._terms.lease,
        )
        reason = _reason(error)
        if not await self._store.fail_generation(advance, attempts=attempts, wait=wait, reason=reason):
            line.at, line.owned_until = None, 0.0
            return True
        line.at = replace(at, attempts=attempts, reason=reason)
        line.retry_at = asyncio.get_running_loop().time() + wait.total_seconds()
        return False


def _name(line: _Line) -> str:
    return line.projector.route.name


def _reason(error: BaseException) -> str:
    text = str(error) if isinstance(error, DulyError) else f"{type(error).__name__}: {error}"
    return text[:REASON_CHARACTERS_MAX]
