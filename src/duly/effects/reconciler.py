"""Settles unknown effects by asking their provider: after a settle delay, by our reference."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from uuid import uuid4

from duly.effects.calling import ask_gateway, told_answer
from duly.effects.settings import SenderSettings
from duly.errors import StoreError
from duly.failpoints import hit
from duly.ports.gateway import Gateway
from duly.ports.ledger import LookUpDue, LookUpEnded, SendingStore
from duly.states.effect import Standing, Step, after_look_up
from duly.states.look_up import Found
from duly.telemetry import log, span


class Reconciler:
    """Looks up the unknown effects of one gateway. A look-up changes nothing over there: it may be made again."""

    def __init__(
        self,
        store: SendingStore,
        gateway: Gateway,
        settings: SenderSettings,
        *,
        on_promise: Callable[[], None],
        on_due: Callable[[], None],
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._settings = settings
        self._terms = settings.terms(gateway)
        self._on_promise = on_promise
        self._on_due = on_due
        self._woken = asyncio.Event()
        self._stopping = False

    @property
    def looks_up(self) -> bool:
        """Whether the gateway has a look-up. One that has it no more may have left effects that wait for one."""
        return self._terms.keeps.look_up is not None

    def wake(self) -> None:
        """There may be something to look up."""
        self._woken.set()

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Reconcile until `stop`."""
        while not self._stopping:
            self._woken.clear()
            try:
                if not await self.reconcile():
                    await self._woken.wait()
            except StoreError as error:
                log(logging.ERROR, "unknown effects cannot be looked up", gateway=self._gateway.name, error=str(error))
                await asyncio.sleep(self._settings.poll_interval.total_seconds())

    async def reconcile(self) -> bool:
        """Look up what is due, as many at once as the gateway has slots; whether there was anything."""
        gateway = self._gateway
        due = await self._store.claim_look_ups(
            gateway.name, gateway.slots, token=uuid4().hex, lease=self._settings.lease(gateway)
        )
        if not due:
            return False
        hit("reconciler.after_claim")
        ended = await asyncio.gather(*(self._look_up(one) for one in due))
        hit("reconciler.after_look_up")
        turned = await self._store.end_look_ups(ended)
        hit("reconciler.after_record")
        if turned.has_promised:
            self._on_promise()
        self._on_due()
        return True

    async def _look_up(self, due: LookUpDue) -> LookUpEnded:
        claimed = due.claimed
        facts = {"duly.tenant": claimed.tenant, "duly.effect_id": claimed.effect_id, "duly.gateway": claimed.gateway}
        limit = self._gateway.call_timeout + self._settings.attempt_margin / 10
        with span(f"look up {claimed.type}", facts, parent=claimed.trace):
            answer = await ask_gateway(self._gateway, claimed, limit, confirming=due.step is Step.CONFIRM)
        standing = Standing(
            policy=claimed.policy,
            attempts=claimed.counted,
            unsettled=claimed.unsettled,
            key_age=claimed.key_age,
            look_ups=due.look_ups,
        )
        settled = after_look_up(answer, due.step, standing, self._terms, fraction=random.random())
        name, evidence, provider_id = told_answer(answer)
        receipts = self._terms.keeps.receipts
        return LookUpEnded(
            effect_id=claimed.effect_id,
            token=claimed.token,
            step=due.step,
            answer=name,
            evidence=evidence,
            provider_id=provider_id,
            settled=settled,
            confirm_within=receipts.within if receipts is not None and isinstance(answer, Found) else None,
        )
