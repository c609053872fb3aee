"""Removes what log and inbox need no more, in small steps, by the database's clock."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import msgspec

from duly.errors import StoreError
from duly.ports.housekeeping import (
    BEFORE_EVERY_PROCESS,
    ROWS_PER_SWEEP_STEP_MAX,
    HousekeepingStore,
    ProcessPlace,
)
from duly.states.log_retention import LogRetention
from duly.telemetry import log


class Tidied(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep has removed."""

    command_ids: int
    """Inbox rows whose time was over."""
    messages: int
    """Commands that were sent, public events and timeouts that nobody waits for."""
    histories: int
    """Steps in the histories of processes that have ended."""


class Housekeeping:
    """Several processes may sweep at once, and a sweep may end at any point."""

    def __init__(
        self,
        store: HousekeepingStore,
        retention: LogRetention | None,
        *,
        interval: timedelta,
        rows_max: int = ROWS_PER_SWEEP_STEP_MAX,
    ) -> None:
        self._store = store
        self._retention = retention
        self._interval = interval
        self._rows_max = rows_max
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begin no further step."""
        self._stopping.set()

    async def run(self) -> None:
        """Sweep at each interval, until `stop`."""
        while not await self._stopped_within(self._interval):
            try:
                tidied = await self.sweep()
                if tidied.command_ids or tidied.messages or tidied.histories:
                    log(logging.INFO, "housekeeping", **msgspec.structs.asdict(tidied))
            except StoreError as error:
                log(logging.ERROR, "housekeeping cannot be done", error=type(error).__name__)

    async def sweep(self) -> Tidied:
        """Remove all that is not needed any more; how much. Raises `StoreError`."""
        kept = self._retention or LogRetention()
        return Tidied(
            command_ids=await self._sweep_ids(),
            messages=0 if kept.handled is None else await self._sweep_messages(kept.handled),
            histories=0 if kept.histories is None else await self._sweep_histories(kept.histories),
        )

    async def _sweep_ids(self) -> int:
        dropped = 0
        after: tuple[str, str] | None = ("", "")
        while after is not None and not self._stopping.is_set():
            step = await self._store.drop_expired_ids(after, self._rows_max)
            dropped, after = dropped + step.dropped, step.after
        return dropped

    async def _sweep_histories(self, age: timedelta) -> int:
        dropped = 0
        after: ProcessPlace | None = BEFORE_EVERY_PROCESS
        while after is not None and not self._stopping.is_set():
            step = await self._store.drop_histories(age, after, self._rows_max)
            dropped, after = dropped + step.dropped, step.after
        return dropped

    async def _sweep_messages(self, age: timedelta) -> int:
        dropped = 0
        after: int | None = None
        while not self._stopping.is_set():
            step = await self._store.drop_handled(age, after, self._rows_max)
            dropped, after = dropped + step.dropped, step.after
            if after is None:
                break
        return dropped

    async def _stopped_within(self, time: timedelta) -> bool:
        try:
            async with asyncio.timeout(time.total_seconds()):
                return await self._stopping.wait()
        except TimeoutError:
            return False
