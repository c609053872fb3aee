"""Attempts due effects: commits the attempt, calls the gateway, writes the outcome down."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from duly.errors import StoreError
from duly.failpoints import hit
from duly.ports.gateway import Call, Gateway
from duly.ports.ledger import Claimed, Ended, LedgerStore
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.effect import after_attempt
from duly.telemetry import log, span

WORKER_LOST: Final = "the worker was lost during the call"
NOT_LIVE: Final = "not live"
EVIDENCE_CHARACTERS_MAX: Final = 2_000


class SenderSettings:
    """How the sender works."""

    def __init__(
        self,
        *,
        poll_interval: timedelta,
        attempt_margin: timedelta,
        gateway_hold: timedelta,
        retry_after_max: timedelta,
    ) -> None:
        self.poll_seconds = poll_interval.total_seconds()
        self.attempt_margin = attempt_margin
        self.gateway_hold = gateway_hold
        self.retry_after_max = retry_after_max


class Sender:
    """Act III for one gateway, in one process. What a kill can leave unknown is bounded by the gateway's slots."""

    def __init__(
        self,
        store: LedgerStore,
        gateway: Gateway,
        settings: SenderSettings,
        *,
        owner: str,
    ) -> None:
        self.gateway = gateway
        self._store = store
        self._settings = settings
        self._owner = owner
        self._calls: set[asyncio.Task[None]] = set()
        self._ended: list[tuple[Ended, asyncio.Future[None]]] = []
        self._woken = asyncio.Event()
        self._has_ended = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """There may be something due."""
        self._woken.set()

    def stop(self) -> None:
        """Claim nothing new."""
        self._stopping = True
        self.wake()

    async def run(self) -> None:
        """Send until `stop`, then let the calls under way come to their end and write them down."""
        recorder = asyncio.create_task(self._record(), name=f"duly-recorder-{self.gateway.name}")
        try:
            await self.gateway.open()
            while not self._stopping:
                self._woken.clear()
                if not await self._claim():
                    await self._woken.wait()
            if self._calls:
                await asyncio.wait(self._calls)
        finally:
            for task in self._calls:
                task.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)
            recorder.cancel()
            await asyncio.gather(recorder, return_exceptions=True)
            await self.gateway.close()

    # Before the call.

    async def _claim(self) -> bool:
        """Start what is due and has a slot; whether there may be more at once."""
        gateway = self.gateway
        try:
            if not gateway.live:
                return await self._store.suppress(gateway.name, NOT_LIVE) > 0
            free = gateway.slots - len(self._calls)
            if free <= 0:
                return False
            hit("sender.before_claim")
            lease = gateway.call_timeout + self._settings.attempt_margin
            begun = asyncio.get_running_loop().time()
            claimed = await self._store.claim(gateway.name, free, owner=self._owner, lease=lease)
        except StoreError as error:
            log(logging.ERROR, "the sender cannot claim effects", gateway=gateway.name, error=str(error))
            return False
        hit("sender.after_claim")
        for claim in claimed:
            task = asyncio.create_task(self._attempt(claim, begun), name=f"duly-call-{claim.effect_id}")
            self._calls.add(task)
            task.add_done_callback(self._call_ended)
        return len(claimed) == free

    def _call_ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self.wake()

    # The call.

    async def _attempt(self, claim: Claimed, begun: float) -> None:
        facts = {"duly.tenant": claim.tenant, "duly.effect_id": claim.effect_id, "duly.gateway": claim.gateway}
        with span(f"attempt {claim.type}", facts, parent=claim.trace):
            outcome = await self._call(claim, begun)
            hit("sender.after_call")
            settled = after_attempt(
                outcome,
                attempts=claim.counted,
                retry=self.gateway.retry,
                hold=self._settings.gateway_hold,
                wait_max=self._settings.retry_after_max,
                fraction=random.random(),
            )
            recorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            name, evidence, provider_id = _told(outcome)
            ended = Ended(
                effect_id=claim.effect_id,
                number=claim.number,
                token=claim.token,
                outcome=name,
                evidence=evidence,
                provider_id=provider_id,
                settled=settled,
            )
            self._ended.append((ended, recorded))
            self._has_ended.set()
            await asyncio.shield(recorded)
            hit("sender.after_record")

    async def _call(self, claim: Claimed, begun: float) -> Outcome:
        loop = asyncio.get_running_loop()
        # What is left of the lease must be longer than the call may take, with time to write the outcome down.
        if loop.time() - begun > self._settings.attempt_margin.total_seconds() / 2:
            return NotSent(reason="never started: the process was too busy", permanent=False, fault=Fault.PROVIDER)
        call = Call(
            effect_id=claim.effect_id,
            key=claim.key,
            tenant=claim.tenant,
            number=claim.number,
            prepared=claim.prepared,
            requested_at=claim.requested_at,
        )
        # A little longer than the gateway's own limit: it knows better what it was waiting for.
        limit = self.gateway.call_timeout + self._settings.attempt_margin / 10
        try:
            async with asyncio.timeout(limit.total_seconds()):
                return await self.gateway.call(call)
        except TimeoutError:
            return Unknown(evidence=f"no answer within {limit.total_seconds():.1f} s")
        except asyncio.CancelledError:
            # Only at a stop whose time has run out; the call may have gone through.
            return Unknown(evidence="the worker was stopped during the call")
        except Exception as error:
            log(logging.ERROR, "a gateway raised", gateway=claim.gateway, error=type(error).__name__)
            return Unknown(evidence=f"the gateway raised {type(error).__name__}")

    # After the call.

    async def _record(self) -> None:
        """Write outcomes down; those of one moment share a commit. Kept and tried again while the store is away."""
        try:
            while True:
                await self._has_ended.wait()
                self._has_ended.clear()
                await self._record_waiting()
        finally:
            if self._ended:
                await self._record_waiting()

    async def _record_waiting(self) -> None:
        batch, self._ended = self._ended, []
        try:
            written = await self._store.end_attempts([ended for ended, _ in batch])
        except StoreError as error:
            log(logging.ERROR, "outcomes cannot be written down yet", gateway=self.gateway.name, error=str(error))
            self._ended = batch + self._ended
            await asyncio.sleep(self._settings.poll_seconds)
            self._has_ended.set()
            return
        for (ended, recorded), is_written in zip(batch, written, strict=True):
            if not is_written:
                text = f"an outcome of effect {ended.effect_id} came too late to count; it is kept as evidence"
                log(logging.WARNING, text, effect_id=ended.effect_id)
            if not recorded.done():
                recorded.set_result(None)


class Senders:
    """All gateways of an application, and the sweep for attempts whose worker was lost."""

    def __init__(self, store: LedgerStore, senders: Sequence[Sender], settings: SenderSettings) -> None:
        self._store = store
        self._senders = {sender.gateway.name: sender for sender in senders}
        self._settings = settings
        self._woken = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """There may be something due."""
        self._woken.set()

    def stop(self) -> None:
        """Claim nothing new."""
        self._stopping = True
        self.wake()
        for sender in self._senders.values():
            sender.stop()

    async def run(self) -> None:
        """Run every sender, wake those with something due, and sweep. Without gateways there is nothing to do."""
        if not self._senders:
            return
        async with asyncio.TaskGroup() as group:
            for sender in self._senders.values():
                group.create_task(sender.run(), name=f"duly-sender-{sender.gateway.name}")
            group.create_task(self._watch(), name="duly-sender-watch")

    async def _watch(self) -> None:
        while not self._stopping:
            self._woken.clear()
            try:
                for gateway in await self._store.due_gateways():
                    if gateway in self._senders:
                        self._senders[gateway].wake()
                if await self._store.has_lost_attempts():
                    lost = await self._store.lose_attempts(WORKER_LOST)
                    for effect_id in lost:
                        log(logging.WARNING, f"effect {effect_id} is unknown: {WORKER_LOST}", effect_id=effect_id)
            except StoreError as error:
                log(logging.ERROR, "the ledger cannot be read", error=str(error))
            try:
                async with asyncio.timeout(self._settings.poll_seconds):
                    await self._woken.wait()
            except TimeoutError:
                pass


def _told(outcome: Outcome) -> tuple[str, str, str | None]:
    """An outcome as it is written down: its name, its evidence, the provider's id."""
    match outcome:
        case Accepted(provider_id=provider_id, evidence=evidence):
            return "accepted", evidence[:EVIDENCE_CHARACTERS_MAX], provider_id
        case NotSent(reason=reason):
            return "not sent", reason[:EVIDENCE_CHARACTERS_MAX], None
        case Unknown(evidence=evidence):
            return "unknown", evidence[:EVIDENCE_CHARACTERS_MAX], None
