"""All gateways of an application, and the sweeps: lost workers, what runs out by time."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from duly.effects.pauses import release_resumed
from duly.effects.reconciler import Reconciler
from duly.effects.sender import Sender
from duly.effects.settings import SenderSettings
from duly.errors import StoreError
from duly.ports.attachments import AttachmentKeeper
from duly.ports.gateway import Gateway
from duly.ports.ledger import SendingStore
from duly.states.attempt import Unknown
from duly.states.effect import Settled, Standing, Terms, after_attempt
from duly.states.policy import IdempotencyKey, Keeps, LookUp, Policy
from duly.states.retry import EFFECT_RETRY
from duly.telemetry import log

WORKER_LOST: Final = "the worker was lost during the call"
JOINS_PER_SWEEP_MAX: Final = 20
"""How many pages of waiting receipts one sweep looks at."""


class Senders:
    """Act III in one process. Without gateways there is nothing to do."""

    def __init__(
        self,
        store: SendingStore,
        gateways: Sequence[Gateway],
        settings: SenderSettings,
        *,
        owner: str,
        on_promise: Callable[[], None],
        attachments: AttachmentKeeper | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._on_promise = on_promise
        self._terms = {gateway.name: settings.terms(gateway) for gateway in gateways}
        self._senders = {
            gateway.name: Sender(store, gateway, settings, owner=owner, on_promise=on_promise, attachments=attachments)
            for gateway in gateways
        }
        self._reconcilers = {
            gateway.name: Reconciler(
                store, gateway, settings, on_promise=on_promise, on_due=self._senders[gateway.name].wake
            )
            for gateway in gateways
        }
        self._woken = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """There may be something due."""
        self._woken.set()

    def stop(self) -> None:
        """Claim nothing new."""
        self._stopping = True
        self.wake()
        for name, sender in self._senders.items():
            sender.stop()
            self._reconcilers[name].stop()

    async def run(self) -> None:
        """Run every sender and reconciler, wake those with something due, and sweep."""
        if not self._senders:
            return
        async with asyncio.TaskGroup() as group:
            for name in self._senders:
                group.create_task(self._run_gateway(name), name=f"duly-gateway-{name}")
            group.create_task(self._watch(), name="duly-sender-watch")

    async def _run_gateway(self, name: str) -> None:
        """Open a gateway, send and look up through it, close it. One that cannot be opened holds up no other."""
        sender, reconciler = self._senders[name], self._reconcilers[name]
        gateway = sender.gateway
        try:
            while not self._stopping:
                try:
                    await gateway.open()
                    break
                except Exception as error:
                    text = f"the gateway {name!r} cannot be opened; it is tried again in {self._settings.gateway_hold}"
                    log(logging.ERROR, text, gateway=name, error=repr(error))
                    await sender.stopped(self._settings.gateway_hold)
            async with asyncio.TaskGroup() as group:
                group.create_task(sender.run(), name=f"duly-sender-{name}")
                group.create_task(reconciler.run(), name=f"duly-reconciler-{name}")
        finally:
            await gateway.close()

    async def _watch(self) -> None:
        swept = float("-inf")
        while not self._stopping:
            self._woken.clear()
            try:
                now = asyncio.get_running_loop().time()
                sweeps = now - swept >= self._settings.sweep_interval.total_seconds()
                for name in await self._store.due_gateways():
                    if name in self._senders:
                        self._senders[name].wake()
                        if sweeps or self._reconcilers[name].looks_up:
                            self._reconcilers[name].wake()
                await self._find_lost()
                if sweeps:
                    swept = now
                    await self._sweep()
            except StoreError as error:
                log(logging.ERROR, "the ledger cannot be read", error=str(error))
            try:
                async with asyncio.timeout(self._settings.poll_interval.total_seconds()):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def _find_lost(self) -> None:
        if any(sender.is_behind for sender in self._senders.values()):
            # It knows what became of its calls, and writes it down first.
            return
        if not await self._store.has_lost_attempts():
            return
        lost = await self._store.lose_attempts(WORKER_LOST, self._settle_lost)
        for effect_id in lost.effect_ids:
            log(logging.WARNING, f"effect {effect_id} is unknown: {WORKER_LOST}", effect_id=effect_id)
        if lost.has_promised:
            self._on_promise()

    async def _sweep(self) -> None:
        if await self._store.expire():
            self._on_promise()
        await release_resumed(self._store, self._on_resumed)
        await self._join_receipts()

    async def _join_receipts(self) -> None:
        """Apply receipts that came before their effect could be found, or while it was being attempted."""
        for _ in range(JOINS_PER_SWEEP_MAX):
            joined = await self._store.join_receipts()
            if joined.has_promised:
                self._on_promise()
            if not joined.has_more:
                return

    def _on_resumed(self, promised: bool, due: bool) -> None:
        if promised:
            self._on_promise()
        if due:
            self.wake()

    def _settle_lost(self, gateway: str, standing: Standing) -> Settled:
        """First it is unknown; then its policy says what follows, as after any unknown outcome."""
        terms = self._terms.get(gateway) or _terms_elsewhere(standing.policy)
        return after_attempt(Unknown(evidence=WORKER_LOST), standing, terms, fraction=random.random())


def _terms_elsewhere(policy: Policy) -> Terms:
    """For a gateway that this process does not have: what its policy permits is left to a process that has it.

    Which also looks, before it sends anything, whether the key is still good.
    """
    key, look_up = IdempotencyKey(lifetime=timedelta.max), LookUp()
    keeps = {Policy.KEYED: Keeps(key=key), Policy.RECONCILE: Keeps(look_up=look_up)}.get(policy, Keeps())
    return Terms(keeps=keeps, retry=EFFECT_RETRY, hold=timedelta(), wait_max=timedelta(), probe_wait=timedelta())
