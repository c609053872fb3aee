"""Attempts due effects: commits the attempt, calls the gateway, writes the outcome down."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Final
from uuid import uuid4

import msgspec

from duly.effects.breakers import Breakers
from duly.effects.calling import call_gateway, never_started, read_files, told
from duly.effects.settings import SenderSettings
from duly.errors import StoreError, StoreUnavailable
from duly.failpoints import hit
from duly.ports.attachments import AttachmentKeeper
from duly.ports.gateway import Gateway
from duly.ports.ledger import BreakerMove, Claim, Claimed, Ended, SendingStore, Turn, Turned
from duly.states.attempt import Accepted, NotSent, Outcome
from duly.states.effect import Dispatch, Standing, after_attempt
from duly.telemetry import listens, log, span

NOT_LIVE: Final = "not live"


class _Abandoned(msgspec.Struct, frozen=True):
    """A claim whose answer was lost. It may still be committed, until its lease is over."""

    token: str
    until: float


class Sender:
    """Act III for one gateway, in one process. What a kill can leave unknown is bounded by the gateway's slots.

    It takes turns with the ledger: each writes down what has ended and commits the next attempts, in one commit.
    """

    def __init__(
        self,
        store: SendingStore,
        gateway: Gateway,
        settings: SenderSettings,
        *,
        owner: str,
        on_promise: Callable[[], None],
        attachments: AttachmentKeeper | None = None,
    ) -> None:
        self.gateway = gateway
        self._store = store
        self._settings = settings
        self._terms = settings.terms(gateway)
        self._owner = owner
        self._on_promise = on_promise
        self._attachments = attachments
        self._limit = gateway.call_timeout + settings.attempt_margin / 10
        self._busy_seconds_max = settings.attempt_margin.total_seconds() / 2
        self._calls: set[asyncio.Task[None]] = set()
        self._not_begun: dict[str, Claimed] = {}
        self._ended: list[Ended] = []
        self._breakers = Breakers(gateway.name, settings.breaker, hold=settings.gateway_hold)
        self._breaker_moves: list[BreakerMove] = []
        self._abandoned: list[_Abandoned] = []
        self.is_behind = False
        """Whether the ledger was away when outcomes were to be written."""
        self._tenant = ""
        self._has_claimed = False
        self._is_due = True
        self._woken = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """There may be something due."""
        self._is_due = True
        self._woken.set()

    def stop(self) -> None:
        """Claim nothing new."""
        self._stopping = True
        self._woken.set()

    async def stopped(self, within: timedelta) -> None:
        """Wait until `stop`, but no longer than *within*."""
        deadline = asyncio.get_running_loop().time() + within.total_seconds()
        try:
            async with asyncio.timeout_at(deadline):
                while not self._stopping:
                    self._woken.clear()
                    await self._woken.wait()
        except TimeoutError:
            pass

    async def run(self) -> None:
        """Send until `stop`, then let the calls under way come to their end and write them down.

        The gateway is open meanwhile: whoever runs this sees to that.
        """
        try:
            while not self._stopping or self._calls or self._ended:
                self._woken.clear()
                if self._ended or self._wants_more():
                    await self._take_turn()
                else:
                    await self._woken.wait()
        finally:
            self._stopping = True
            await self._end_calls()

    async def _end_calls(self) -> None:
        """Cancel what is under way, and write down what is known by then."""
        for task in self._calls:
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        for claimed in self._not_begun.values():
            self._ended.append(self._end(claimed, never_started("the worker was stopped")))
        if self._ended or self._abandoned:
            await self._take_turn()

    # A turn with the ledger.

    def _wants_more(self) -> bool:
        return self._is_due and not self._stopping and len(self._calls) < self.gateway.slots

    async def _take_turn(self) -> None:
        """Write down what has ended; start what is due and has a slot."""
        gateway = self.gateway
        ended, self._ended = self._ended, []
        breakers, self._breaker_moves = self._breaker_moves, []
        lease = self._settings.lease(gateway)
        begun = asyncio.get_running_loop().time()
        claim: Claim | None = None
        if self._wants_more():
            hit("sender.before_claim")
            self._is_due = False
            claim = Claim(
                gateway=gateway.name,
                slots=gateway.slots - len(self._calls),
                owner=self._owner,
                token=uuid4().hex,
                lease=lease,
                terms=self._terms,
                after_tenant=self._tenant,
                barred="" if gateway.live else NOT_LIVE,
            )
        abandoned = tuple(lost.token for lost in self._abandoned)
        turn = Turn(ended=tuple(ended), breakers=tuple(breakers), abandoned=abandoned, claim=claim)
        try:
            turned = await self._store.turn(turn)
        except BaseException as error:
            # Outcomes that were learned while the database is away are kept, and tried again; at a stop, too.
            self._ended, self._breaker_moves = ended + self._ended, breakers + self._breaker_moves
            if claim is not None:
                self._abandoned.append(_Abandoned(claim.token, begun + lease.total_seconds()))
                self._is_due = True
            if not isinstance(error, StoreError):
                raise
            self.is_behind = isinstance(error, StoreUnavailable)
            log(logging.ERROR, "the ledger cannot be written", gateway=gateway.name, error=str(error))
            await asyncio.sleep(self._settings.poll_interval.total_seconds())
            return
        self.is_behind = False
        # A claim that has not shown until now, after its lease, never will.
        self._abandoned = [lost for lost in self._abandoned if lost.until > begun]
        if claim is not None:
            hit("sender.after_claim")
            self._is_due = self._goes_on(claim, turned) or self._is_due
        if ended:
            self._told_late(ended, turned.written)
            hit("sender.after_record")
        if turned.has_promised:
            self._on_promise()
        attempt = self._traced if listens() else self._attempt
        for claimed in turned.claimed:
            self._not_begun[claimed.effect_id] = claimed
            task = asyncio.create_task(attempt(claimed, begun), name=f"duly-call-{claimed.effect_id}")
            self._calls.add(task)
            task.add_done_callback(self._call_ended)

    def _goes_on(self, claim: Claim, turned: Turned) -> bool:
        """Whether another claim may find something at once."""
        self._has_claimed |= bool(turned.claimed)
        self._tenant = turned.tenant
        if turned.has_more or turned.tenant:
            return turned.has_more
        # Every tenant has had its turn. The first ones may have more, unless nobody had anything.
        goes_on, self._has_claimed = bool(claim.after_tenant) and self._has_claimed, False
        return goes_on

    def _told_late(self, ended: list[Ended], written: tuple[bool, ...]) -> None:
        for end, is_written in zip(ended, written, strict=True):
            if not is_written:
                text = f"an outcome of effect {end.effect_id} came too late to count; it is kept as evidence"
                log(logging.WARNING, text, effect_id=end.effect_id)

    def _call_ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._woken.set()

    # The call.

    async def _traced(self, claimed: Claimed, begun: float) -> None:
        facts = {"duly.tenant": claimed.tenant, "duly.effect_id": claimed.effect_id, "duly.gateway": claimed.gateway}
        with span(f"attempt {claimed.type}", facts, parent=claimed.trace):
            await self._attempt(claimed, begun)

    async def _attempt(self, claimed: Claimed, begun: float) -> None:
        del self._not_begun[claimed.effect_id]
        outcome = await self._call(claimed, begun)
        hit("sender.after_call")
        self._ended.append(self._end(claimed, outcome))
        at = timedelta(seconds=asyncio.get_running_loop().time())
        moves = self._breakers.observe(claimed, outcome, at)
        for move in moves[:1]:
            self._tell_breaker(move)
        self._breaker_moves += moves

    def _tell_breaker(self, move: BreakerMove) -> None:
        if move.open_for is None:
            log(logging.INFO, "a breaker closes", gateway=move.gateway, destination=move.destination)
        else:
            text = f"a breaker opens for {move.open_for}: {move.reason}"
            log(logging.ERROR, text, gateway=move.gateway, destination=move.destination)

    async def _call(self, claimed: Claimed, begun: float) -> Outcome:
        files: tuple[bytes, ...] = ()
        if claimed.prepared.attachments:
            try:
                read = await read_files(self._attachments, claimed)
            except asyncio.CancelledError:
                return never_started("the worker was stopped")
            if isinstance(read, NotSent):
                return read
            files = read
        # What is left of the lease must be longer than the call may take, with time to write the outcome down.
        if asyncio.get_running_loop().time() - begun > self._busy_seconds_max:
            return never_started("the process was too busy")
        hit("sender.before_call")
        return await call_gateway(self.gateway, claimed, files, self._limit)

    def _end(self, claimed: Claimed, outcome: Outcome) -> Ended:
        standing = Standing(
            policy=claimed.policy,
            attempts=claimed.counted,
            unsettled=claimed.unsettled,
            key_age=claimed.key_age,
            is_probe=claimed.is_probe,
        )
        settled = after_attempt(outcome, standing, self._terms, fraction=random.random())
        name, evidence, provider_id = told(outcome)
        receipts = self._terms.keeps.receipts
        return Ended(
            effect_id=claimed.effect_id,
            tenant=claimed.tenant,
            number=claimed.number,
            token=claimed.token,
            outcome=name,
            evidence=evidence,
            provider_id=provider_id,
            settled=settled,
            is_news=not (
                (settled.state is Dispatch.UNKNOWN and claimed.unsettled)
                or (settled.state is Dispatch.HELD and claimed.was_held)
            ),
            confirm_within=receipts.within if receipts is not None and isinstance(outcome, Accepted) else None,
            suppresses=outcome.suppresses if isinstance(outcome, NotSent) else "",
        )
