"""Keeps the promises of the outbox: owns buckets, looks for what is due, runs lanes side by side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Mapping
from datetime import timedelta
from time import monotonic
from typing import Final

from duly.delivery.delivery import Delivery, DeliveryStore, Fate, Held, Kept, Lost
from duly.delivery.intake import Intake
from duly.errors import StoreError
from duly.ports.store import Due
from duly.telemetry import log
from duly.work.routes import Handler

_SUSPECTS: Final = "suspects"


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
        self._numbers = list(subscribers)
        self._owner = owner
        self._lease = lease
        self._poll_seconds = poll_interval.total_seconds()
        self._deliveries_max = deliveries_max
        self._intake = Intake(rows_max, self._slot_of)
        self._lanes = self._intake.lanes
        self._tokens: dict[int, str] = {}
        self._surplus: set[int] = set()
        self._careful: dict[int, int] = {}
        """Buckets of workers that were lost, with the last row there was then: up to it we are careful."""
        self._running: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._is_looking = False
        self._stopping = False

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until `stop`, then let what has begun come to its end and give the buckets back."""
        ownership = asyncio.create_task(self._keep_buckets(), name="duly-relay-ownership")
        try:
            while not self._stopping:
                self._woken.clear()
                more = await self._guarded_look()
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
        if self._woken.is_set():
            return
        until_full_look = self._intake.full_look_at - monotonic()
        soon = 0 < until_full_look < self._poll_seconds
        try:
            async with asyncio.timeout(until_full_look if soon else self._poll_seconds):
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
        for bucket in lost:
            self._careful.pop(bucket, None)
        self._careful.update(owned.unclean)
        self._tokens = dict(owned.tokens)
        self._surplus = set(sorted(self._tokens)[owned.share :])
        self._intake.drop_waiting(lost | self._surplus)
        if owned.unclean:
            log(logging.WARNING, "a worker was lost; what it left is handled with care", buckets=len(owned.unclean))
        if is_new:
            self.wake()

    def _wanted(self) -> dict[int, str]:
        return {bucket: token for bucket, token in self._tokens.items() if bucket not in self._surplus}

    # Rows.

    async def _guarded_look(self) -> bool:
        try:
            return await self._look()
        except StoreError as error:
            self._intake.give_up()
            log(logging.ERROR, "the relay cannot read the outbox", error=str(error))
            return False

    async def _look(self) -> bool:
        """Take due rows in hand; whether another look should follow at once."""
        wanted = self._wanted()
        if not wanted or not self._numbers:
            return False
        if self._intake.wants_mark(monotonic()):
            asked_at = monotonic()
            self._intake.marked(await self._store.mark(), asked_at)
            wanted = self._wanted()
        look = self._intake.begin(wanted, self._numbers, monotonic())
        if look is None:
            return False
        self._is_looking = True
        try:
            seen = await self._store.look(look)
        finally:
            self._is_looking = False
        now = monotonic()
        taken = self._intake.end(seen, self._wanted(), now)
        return self._intake.needs_look or now >= self._intake.full_look_at or (taken > 0 and self._intake.wants_more)

    def _start_ready(self) -> None:
        while len(self._running) < self._deliveries_max and not self._stopping:
            due = self._lanes.start()
            if due is None:
                return
            task = asyncio.create_task(self._run_lanes(due), name="duly-delivery")
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run_lanes(self, first: Due) -> None:
        """Deliver one head after the other, until there is none that nobody else is handling."""
        due: Due | None = first
        while due is not None:
            await self._deliver(due)
            if not self._is_looking and (self._intake.needs_look or self._intake.wants_more):
                self.wake()
            if self._stopping:
                return
            due = self._lanes.start()
            if due is not None and self._lanes.is_ready:
                self._start_ready()

    async def _deliver(self, due: Due) -> None:
        token = self._tokens.get(due.bucket)
        if token is None:
            self._intake.put_back(due, is_held=False)
            return
        handler = self._subscribers[due.subscriber]
        try:
            if self._slot_of(due) is None:
                fate = await self._delivery.deliver(due, handler, token)
            else:
                self._intake.close(due)
                fate = await self._delivery.deliver_carefully(due, handler, token, self._owner)
            self._settle(due, fate)
        except StoreError as error:
            log(logging.ERROR, "the store is away; a delivery will be repeated", error=str(error), row=due.row)
            try:
                await asyncio.sleep(self._poll_seconds)
            finally:
                self._intake.put_back(due, is_held=False)
                self._intake.look_for_hold(monotonic())
                self.wake()
        except BaseException:
            self._intake.put_back(due, is_held=False)
            raise

    def _settle(self, due: Due, fate: Fate) -> None:
        match fate:
            case Kept():
                self._intake.finish(due)
            case Held(wait=wait):
                self._intake.put_back(due, is_held=True)
                self._intake.look_for_hold(monotonic() + wait.total_seconds())
                if wait.total_seconds() < self._poll_seconds:
                    self.wake()
            case Lost():
                self._intake.put_back(due, is_held=False)

    def _slot_of(self, due: Due) -> Hashable | None:
        """One row at a time of a bucket that we are careful in; and of what has failed before, one in all of them."""
        if due.row > self._careful.get(due.bucket, 0):
            return None
        return _SUSPECTS if due.attempts else due.bucket
