"""Keeps the promises of the outbox: owns buckets, fetches what is due, runs lanes side by side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from duly.delivery.delivery import Delivery, DeliveryStore, Fate
from duly.delivery.lanes import Lanes, lane_key
from duly.errors import StoreError
from duly.ports.store import Due, LaneKey
from duly.telemetry import log
from duly.work.routes import Handler

SECOND_LOOK_SECONDS: Final = 0.005
"""How soon the outbox is read again for lanes that were left out of the last reading."""


class Relay:
    """Act II, in one process. Start it with `run`; `wake` tells it that there may be something to do."""

    def __init__(
        self,
        store: DeliveryStore,
        delivery: Delivery,
        subscribers: Mapping[int, Handler],
        *,
        owner: str,
        lease: timedelta,
        poll_interval: timedelta,
        deliveries_max: int,
        rows_max: int,
    ) -> None:
        self._store = store
        self._delivery = delivery
        self._subscribers = dict(subscribers)
        self._owner = owner
        self._lease = lease
        self._poll_seconds = poll_interval.total_seconds()
        self._deliveries_max = deliveries_max
        self._rows_max = rows_max
        self._lanes = Lanes()
        self._tokens: dict[int, str] = {}
        self._surplus: set[int] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._stopping = False
        self._has_more = False
        """Whether the last fetch has left rows where they were."""
        self._left_out: set[LaneKey] = set()
        """Lanes that the last fetch has left out, since they were in hand: there may be more of them."""
        self._second_look: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until `stop`, then let what has begun come to its end and give the buckets back."""
        ownership = asyncio.create_task(self._keep_buckets(), name="duly-relay-ownership")
        try:
            while not self._stopping:
                self._woken.clear()
                more = await self._guarded_fetch()
                self._start_ready()
                if not more:
                    await self._pause()
            if self._running:
                await asyncio.wait(self._running)
        finally:
            ownership.cancel()
            for task in self._running:
                task.cancel()
            await asyncio.gather(ownership, *self._running, return_exceptions=True)
            try:
                await self._store.disown(self._owner)
            except StoreError as error:
                log(logging.WARNING, "the buckets were not given back; their leases will run out", error=str(error))

    def stop(self) -> None:
        """Take nothing new."""
        self._stopping = True
        self.wake()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._woken.wait()
        except TimeoutError:
            pass

    # Buckets.

    async def _keep_buckets(self) -> None:
        while True:
            try:
                await self._renew()
            except StoreError as error:
                log(logging.ERROR, "the relay cannot renew its leases", error=str(error))
            await asyncio.sleep(self._lease.total_seconds() / 3)

    async def _renew(self) -> None:
        # What is being handled in a surplus bucket ends first: a planned change of owner drains.
        let_go = self._surplus - self._lanes.busy_buckets()
        owned = await self._store.own_buckets(self._owner, self._lease, let_go=sorted(let_go))
        # A bucket with another token was somebody else's in between.
        lost = {bucket for bucket, token in self._tokens.items() if owned.tokens.get(bucket) != token}
        is_new = any(self._tokens.get(bucket) != token for bucket, token in owned.tokens.items())
        self._tokens = dict(owned.tokens)
        self._surplus = set(sorted(self._tokens)[owned.share :])
        self._lanes.drop_waiting(lost | self._surplus)
        if is_new:
            self.wake()

    # Rows.

    async def _guarded_fetch(self) -> bool:
        try:
            return await self._fetch()
        except StoreError as error:
            log(logging.ERROR, "the relay cannot read the outbox", error=str(error))
            return False

    async def _fetch(self) -> bool:
        """Take due rows in hand; whether another fetch should follow at once."""
        tokens = dict(self._tokens)
        buckets = sorted(set(tokens) - self._surplus)
        room = self._rows_max - len(self._lanes)
        if not buckets or not self._subscribers or room <= 0:
            return False
        # One statement sees one moment: of each lane it shows a beginning, and nothing in front of it is skipped.
        in_hand = self._lanes.in_hand()
        self._left_out = set(in_hand)
        found = await self._store.due(buckets, list(self._subscribers), in_hand, room)
        before = len(self._lanes)
        for due in found:
            if self._tokens.get(due.bucket) == tokens[due.bucket]:
                self._lanes.offer(due)
        taken = len(self._lanes) - before
        self._has_more = len(found) == room or taken < len(found)
        return len(found) == room and taken > 0 and len(self._lanes) < self._rows_max

    def _start_ready(self) -> None:
        while len(self._running) < self._deliveries_max and not self._stopping:
            due = self._lanes.start()
            if due is None:
                return
            task = asyncio.create_task(self._deliver(due), name=f"duly-delivery-{due.row}")
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start_ready()
        if not self._running or (self._has_more and len(self._lanes) < self._rows_max // 2):
            self.wake()

    async def _deliver(self, due: Due) -> None:
        token = self._tokens.get(due.bucket)
        if token is None:
            self._lanes.put_back(due)
            return
        try:
            fate = await self._delivery.deliver(due, self._subscribers[due.subscriber], token)
        except StoreError as error:
            log(logging.ERROR, "the store is away; a delivery will be repeated", error=str(error), row=due.row)
            await asyncio.sleep(self._poll_seconds)
            fate = Fate.LEFT
        except BaseException:
            self._lanes.put_back(due)
            raise
        match fate:
            case Fate.DONE:
                self._lanes.finish(due)
                self._look_again_at(lane_key(due))
            case Fate.LEFT | Fate.LOST:
                self._lanes.put_back(due)

    def _look_again_at(self, lane: LaneKey) -> None:
        """Fetch soon if there may be more of a lane that is no longer in hand; many such lanes share one fetch."""
        if lane not in self._left_out or self._lanes.holds(lane):
            return
        self._left_out.discard(lane)
        if self._second_look is None:
            self._second_look = asyncio.get_running_loop().call_later(SECOND_LOOK_SECONDS, self._look_now)

    def _look_now(self) -> None:
        self._second_look = None
        self.wake()
