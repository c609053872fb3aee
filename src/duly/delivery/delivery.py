"""One promise: hands a message to its subscriber, in that subscriber's own transaction."""

from __future__ import annotations

import logging
import random
from datetime import timedelta
from typing import Final, Protocol, TypeAlias

import msgspec

from duly.delivery.rejections import is_refusal, notice_of, rejection
from duly.delivery.time_limit import TimeLimit
from duly.errors import (
    AggregateExists,
    CascadeTooDeep,
    DulyError,
    InvalidInput,
    InvalidMessage,
    StoreError,
    UniqueViolation,
    UnknownMessageType,
    UserSqlError,
)
from duly.failpoints import hit
from duly.messages.message import Message
from duly.ports.change import Conflict, Delivered, Done, Exists, Repeat, Taken, Verdict, Void
from duly.ports.store import Committing, Due, Notice, OutboxStore
from duly.states.outbox_row import Park, Wait, after_failure, before_attempt
from duly.states.retry import RetrySchedule
from duly.telemetry import listens, log, span
from duly.work.contention import CONFLICT_RETRIES_MAX, Contention
from duly.work.routes import Handler, Routes
from duly.work.unit_of_work import OnCommit, UnitOfWork, WriteRefused

CONFLICT_WAIT: Final = timedelta(seconds=1)
"""How long a lane waits that met nothing but conflicts; that is no failed attempt."""
REASON_CHARACTERS_MAX: Final = 2_000


class DeliveryStore(Committing, OutboxStore, Protocol):
    """What Act II needs of a store."""


class Kept(msgspec.Struct, frozen=True):
    """The row is gone, handled or parked: its lane goes on."""


class Held(msgspec.Struct, frozen=True):
    """Not handled: the lane waits in the store, so long."""

    wait: timedelta


class Lost(msgspec.Struct, frozen=True):
    """The row is gone, and nobody here has handled it, or its bucket is somebody else's."""


Fate: TypeAlias = Kept | Held | Lost
"""What has become of a row in hand."""

KEPT: Final = Kept()
LOST: Final = Lost()


class _Retry(Exception):
    """A conflict with another writer."""


class _WorkersLost(Exception):
    """Whoever handled it has not come back, time after time."""


class Delivery:
    """Delivers rows, and writes down what failed."""

    def __init__(
        self,
        routes: Routes,
        store: DeliveryStore,
        *,
        retry: RetrySchedule,
        handler_time_max: timedelta,
        unknown_type_wait: timedelta,
        contention: Contention,
        on_commit: OnCommit,
    ) -> None:
        self._routes = routes
        self._store = store
        self._retry = retry
        self._time_limit = TimeLimit(handler_time_max)
        self._unknown_type_wait = unknown_type_wait
        self._contention = contention
        self._on_commit = on_commit

    async def deliver(self, due: Due, handler: Handler, token: str) -> Fate:
        """Run the handler and commit, completion included. Raises `StoreError` when the store is away."""
        if not listens():
            return await self._deliver(due, handler, token)
        envelope = due.envelope
        facts = {"duly.tenant": envelope.tenant, "duly.message_id": envelope.id, "duly.subscriber": handler.name}
        with span(f"deliver {envelope.name} to {handler.name}", facts, parent=envelope.trace):
            return await self._deliver(due, handler, token)

    async def deliver_carefully(self, due: Due, handler: Handler, token: str, owner: str) -> Fate:
        """As `deliver`, with the attempt committed before it begins; park what has spent its attempts like that.

        Then a handler that ends the process has failed in the eyes of the next worker. Raises as `deliver` does.
        """
        match before_attempt(due.attempts, retry=self._retry, fraction=random.random()):
            case Park(attempts=attempts):
                lost = _WorkersLost(f"The worker was lost while this was handled, after {attempts - 1} failures.")
                return await self._park(due, handler, token, lost, attempts)
            case Wait(attempts=attempts, wait=wait):
                reason = f"Begun by {owner}. If that has ended, so did the attempt."
                if not await self._store.hold(due, token, attempts=attempts, wait=wait, reason=reason):
                    return LOST
        return await self.deliver(msgspec.structs.replace(due, is_held=True), handler, token)

    async def _deliver(self, due: Due, handler: Handler, token: str) -> Fate:
        try:
            with self._time_limit.call():
                return await self._until_settled(due, handler, token)
        except UnknownMessageType as error:
            # Nothing is wrong with the message: newer code will know it. It waits, and is never parked for this.
            return await self._hold(due, token, due.attempts, self._unknown_type_wait, error)
        except _Retry as error:
            return await self._hold(due, token, due.attempts, CONFLICT_WAIT, error)
        except StoreError as error:
            if not isinstance(error, UserSqlError):
                raise
            return await self._failed(due, handler, token, error)
        except Exception as error:
            return await self._failed(due, handler, token, error)

    async def _until_settled(self, due: Due, handler: Handler, token: str) -> Fate:
        verdict = await self._once(due, handler, token)
        for attempt in range(CONFLICT_RETRIES_MAX + 1):
            if attempt:
                async with self._contention.turn(due.envelope.tenant, verdict, attempt):
                    verdict = await self._once(due, handler, token)
            match verdict:
                case Done():
                    hit("relay.after_commit")
                    return KEPT
                case Void(reason=reason):
                    log(logging.INFO, "a delivery was void", reason=reason, subscriber=handler.name, row=due.row)
                    return LOST
                case Taken(type=type_name, field=field, value=value):
                    raise UniqueViolation(
                        type_name, field, value, f"{type_name}.{field} {value!r} belongs to another {type_name}."
                    )
                case Exists(type=type_name, id=aggregate_id) if attempt:
                    raise AggregateExists(
                        f"{type_name}/{aggregate_id} exists already. Get it and change it, or use another id."
                    )
                case Conflict() | Exists() | Repeat():
                    continue
        raise _Retry(f"{handler.name} met a conflict {CONFLICT_RETRIES_MAX + 1} times in a row")

    async def _once(self, due: Due, handler: Handler, token: str) -> Verdict:
        messages = self._heard(due, handler)
        calls = [(self._routes.called(handler, message), message) for message in messages]
        async with UnitOfWork(self._routes, self._store, due.envelope.tenant) as work:
            try:
                await work.run_each(calls, due.envelope)
                hit("relay.before_commit")
                verdict = await work.commit(
                    delivered=Delivered(due.row, due.bucket, token, due.subscriber, due.lane, due.is_held)
                )
            except WriteRefused as refused:
                return refused.verdict
        if isinstance(verdict, Done):
            self._on_commit(work.promised, work.intended)
        return verdict

    def _heard(self, due: Due, handler: Handler) -> list[Message]:
        """What a stored message is today, as far as *handler* hears it; of nothing, no call is made.

        Raises `InvalidMessage` when the message never was, and cannot become, what *handler* hears now.
        """
        catalog = self._routes.catalog
        messages = catalog.decode_all(due.envelope)
        heard = [message for message in messages if handler.hears(type(message))]
        hears = (handler.message_type, *handler.more_types)
        if messages and not heard and due.envelope.name not in catalog.stored_names(hears):
            raise InvalidMessage(
                f"{handler.name} was promised a {due.envelope.name!r}, but hears {handler.message_type.__qualname__} "
                "now. Give what hears the new type a name of its own, and keep the old handler until its promises are "
                "kept."
            )
        return heard

    async def _failed(self, due: Due, handler: Handler, token: str, error: Exception) -> Fate:
        notice = notice_of(self._routes, due, handler, error, _reason(error))
        if notice is not None and is_refusal(error):
            return await self._reject(due, token, notice, error)
        # Bad input stays bad, and a chain of causes as long, however often it is tried.
        permanent = isinstance(error, InvalidInput | CascadeTooDeep)
        decision = after_failure(due.attempts, permanent=permanent, retry=self._retry, fraction=random.random())
        match decision:
            case Wait(attempts=attempts, wait=wait):
                _tell(logging.WARNING, "a subscriber failed", due, handler, attempts, error)
                return await self._hold(due, token, attempts, wait, error)
            case Park(attempts=attempts):
                return await self._park(due, handler, token, error, attempts)

    async def _park(self, due: Due, handler: Handler, token: str, error: Exception, attempts: int) -> Fate:
        _tell(logging.ERROR, "a message is parked", due, handler, attempts, error)
        notice = notice_of(self._routes, due, handler, error, _reason(error))
        parked = await self._store.park(due, token, attempts=attempts, reason=_reason(error), notice=notice)
        return KEPT if parked else LOST

    async def _reject(self, due: Due, token: str, notice: Notice, error: Exception) -> Fate:
        facts = {"message_name": due.envelope.name, "message_id": due.envelope.id, "error": type(error).__name__}
        log(logging.INFO, "a command is refused, and its process hears of it", **facts)
        match await self._store.commit(rejection(due, token, notice)):
            case Done():
                self._on_commit(True, False)
                return KEPT
            case _:
                return LOST

    async def _hold(self, due: Due, token: str, attempts: int, wait: timedelta, error: Exception) -> Fate:
        held = await self._store.hold(due, token, attempts=attempts, wait=wait, reason=_reason(error))
        return Held(wait) if held else LOST


def _tell(level: int, text: str, due: Due, handler: Handler, attempts: int, error: Exception) -> None:
    log(
        level,
        text,
        subscriber=handler.name,
        message_name=due.envelope.name,
        message_id=due.envelope.id,
        attempts=attempts,
        error=type(error).__name__,
    )


def _reason(error: Exception) -> str:
    text = str(error) if isinstance(error, DulyError | _Retry | _WorkersLost) else f"{type(error).__name__}: {error}"
    return text.replace("\0", "")[:REASON_CHARACTERS_MAX]
