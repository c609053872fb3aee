"""Work that is begun before its turn: the next page of the log, and a batch that may have to be given up."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from duly.delivery.projector import Projector
from duly.ports.log import LogPage


class ReadAhead:
    """Reads the next page of the log while this one is handled: what has a position never changes."""

    def __init__(self, projector: Projector) -> None:
        self._projector = projector
        self._after = -1
        self._reading: asyncio.Task[LogPage] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._drop()

    def fetch(self, after: int) -> None:
        """Begin to read the page after a position."""
        self._after = after
        self._reading = asyncio.create_task(self._projector.read(after))

    async def page(self, after: int) -> LogPage:
        """The page after a position: the one that was begun, if it is this one."""
        reading, self._reading = self._reading, None
        if reading is not None and self._after == after:
            return await reading
        self._reading = reading
        await self._drop()
        return await self._projector.read(after)

    async def _drop(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def dropped(batch: asyncio.Task[int] | None) -> None:
    """Give a batch up; if it is stored all the same, whoever comes next goes on from there."""
    if batch is not None:
        batch.cancel()
        await asyncio.gather(batch, return_exceptions=True)
