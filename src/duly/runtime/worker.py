"""Runs Acts II and III in this process."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final
from uuid import uuid4

from duly.delivery.delivery import Delivery
from duly.delivery.housekeeping import Housekeeping
from duly.delivery.old_transactions import OldTransactionWatch
from duly.delivery.projection_runner import ProjectionRunner
from duly.delivery.projector import Terms
from duly.delivery.promoter import Promoter
from duly.delivery.relay import Relay
from duly.delivery.sequencer import Sequencer
from duly.effects.retention import RetentionSweep
from duly.effects.senders import Senders
from duly.effects.settings import SenderSettings
from duly.ports.gateway import Gateway
from duly.ports.store import Store
from duly.ports.wake_ups import News
from duly.runtime.projections import kept_up
from duly.runtime.settings import Settings
from duly.telemetry import log
from duly.work.contention import Contention
from duly.work.routes import Routes

NEWS_WITHOUT_WORKER: Final = {
    (False, False): News.COMMITS,
    (False, True): News.COMMITS | News.EFFECTS,
    (True, False): News.COMMITS | News.DELIVERIES,
    (True, True): News.COMMITS | News.DELIVERIES | News.EFFECTS,
}
"""What a commit leaves for others when its process has no worker: by whether it has promised, and requested effects."""


class Worker:
    """A relay and a sender per gateway. Recovery is its normal start: there is nothing to repair by hand."""

    def __init__(
        self,
        routes: Routes,
        store: Store,
        gateways: Sequence[Gateway],
        settings: Settings,
        contention: Contention,
        *,
        retention: RetentionSweep,
        housekeeping: Housekeeping,
        on_projected: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._settings = settings
        delivery = Delivery(
            routes,
            store,
            retry=settings.retry,
            handler_time_max=settings.handler_time_max,
            unknown_type_wait=settings.unknown_type_wait,
            contention=contention,
            on_commit=self.committed,
        )
        self._relay = Relay(
            store,
            delivery,
            {routes.number(handler.name): handler for handler in routes.all_subscribers()},
            owner=self.owner,
            lease=settings.lease,
            poll_interval=settings.poll_interval,
            deliveries_max=settings.deliveries_max,
            rows_max=settings.rows_max,
        )
        self._senders = Senders(
            store,
            gateways,
            SenderSettings(
                poll_interval=settings.poll_interval,
                attempt_margin=settings.attempt_margin,
                gateway_hold=settings.gateway_hold,
                breaker=settings.breaker,
                sweep_interval=settings.sweep_interval,
                retry_after_max=settings.retry_after_max,
            ),
            owner=self.owner,
            on_promise=self._promised,
            attachments=routes.attachments,
        )
        self._retention = retention
        self._housekeeping = housekeeping
        self._promoter = Promoter(store, poll_interval=settings.poll_interval, on_promise=self._promised)
        self._numbers_at_commit = store.numbers_at_commit
        self._projections = ProjectionRunner(
            kept_up(routes.projections),
            routes.catalog,
            store,
            Terms(
                events_max=settings.projection_events_max,
                batch_time_max=settings.projection_batch_time_max,
                handler_time_max=settings.handler_time_max,
                lease=settings.lease,
            ),
            owner=self.owner,
            poll_interval=settings.poll_interval,
            retry=settings.retry,
            unknown_type_wait=settings.unknown_type_wait,
            on_projected=on_projected,
        )
        self._sequencer = Sequencer(store, interval=settings.sequencer_interval, on_numbered=self.numbered)
        self._old_transactions = OldTransactionWatch(store, after=settings.old_transaction_after)
        self._tasks: list[asyncio.Task[None]] = []
        self._listening: asyncio.Task[None] | None = None

    def committed(self, promised: bool, intended: bool) -> None:
        """A commit in this process has promised deliveries, or requested effects."""
        if promised:
            self._promised()
        if intended:
            self._senders.wake()
            self._tell(News.EFFECTS)
        if self._numbers_at_commit:
            self._projections.wake()
        else:
            self._sequencer.wake()

    def numbered(self) -> None:
        """Somebody in this process has given events their positions."""
        self._projections.wake()
        self._tell(News.POSITIONS)

    def heard(self, news: News) -> None:
        """Another process has committed."""
        if News.DELIVERIES in news:
            self._relay.wake()
        if News.EFFECTS in news:
            self._senders.wake()
        if News.COMMITS in news and not self._numbers_at_commit:
            self._sequencer.wake()
        if News.POSITIONS in news:
            self._projections.wake()

    def _promised(self) -> None:
        self._relay.wake()
        # Its lane may be another process's.
        self._tell(News.DELIVERIES)

    def _tell(self, news: News) -> None:
        if self._settings.wake_ups:
            self._store.tell(news)

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._tasks = [
            asyncio.create_task(self._relay.run(), name="duly-relay"),
            asyncio.create_task(self._promoter.run(), name="duly-promoter"),
            asyncio.create_task(self._sequencer.run(), name="duly-sequencer"),
            asyncio.create_task(self._old_transactions.run(), name="duly-old-transactions"),
            asyncio.create_task(self._projections.run(), name="duly-projections"),
            asyncio.create_task(self._senders.run(), name="duly-senders"),
            asyncio.create_task(self._retention.run(), name="duly-retention"),
            asyncio.create_task(self._housekeeping.run(), name="duly-housekeeping"),
        ]
        if self._settings.wake_ups:
            self._listening = asyncio.create_task(self._store.listen(self.heard), name="duly-wake-ups")
            self._tasks.append(self._listening)
        for task in self._tasks:
            task.add_done_callback(_tell_if_failed)

    async def stop(self) -> None:
        """Take nothing new, let begun work end within `drain_time_max`, then cancel it."""
        self._relay.stop()
        self._promoter.stop()
        self._sequencer.stop()
        self._old_transactions.stop()
        self._projections.stop()
        self._senders.stop()
        self._retention.stop()
        self._housekeeping.stop()
        if self._listening is not None:
            self._listening.cancel()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=self._settings.drain_time_max.total_seconds())
        for task in late:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def raise_if_failed(self) -> None:
        """Raises what ended the worker before its time, if anything did."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error


def _tell_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log(logging.CRITICAL, f"{task.get_name()} ended before its time", error=repr(task.exception()))
