"""One subscriber and the past: counted, tried without doing anything, or promised to it on purpose."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from msgspec.structs import replace

from duly.delivery.dry_run import DryRun, Forgetful, ForgetfulAttachments, Tally
from duly.errors import (
    AggregateExists,
    BackfillUnfinished,
    ConcurrencyConflict,
    InvalidInput,
    StoreError,
    UniqueViolation,
    UserSqlError,
)
from duly.failpoints import hit
from duly.messages.envelope import Envelope
from duly.messages.identity import bucket_of, checked_tenant, digest_of
from duly.messages.message import Message
from duly.ports.change import Conflict, Done, Exists, Repeat, Taken, Verdict, Void
from duly.ports.replay import BEFORE_EVERYTHING, Backfill, Past, PastCount, PastMessage, PastPromise, ReplayStore
from duly.ports.store import Committing
from duly.work.routes import COMMAND_TAKER, Handler, Routes
from duly.work.unit_of_work import OnCommit, UnitOfWork, WriteRefused

PAST_ROWS_MAX: Final = 500
"""How many messages of the past are read, or promised in one commit, at a time."""
BACKFILLS_SHOWN_MAX: Final = 100
NAME_CHARACTERS_MAX: Final = 200
REASON_CHARACTERS_MAX: Final = 500
TOKEN_CHARACTERS: Final = 32

OnProgress = Callable[[int, int], None]
"""Hears how many messages are done, and of how many."""


class PastStore(Committing, ReplayStore, Protocol):
    """What replays need of a store."""


class Replay:
    """The past of one subscriber in one tenant. A subscriber hears what is committed from its first start on: to let it
    hear more is a decision, with a name and a reason.

    Raises `InvalidInput` for a subscriber that there is not, or times without a zone.
    """

    def __init__(
        self,
        routes: Routes,
        store: PastStore,
        subscriber: str,
        *,
        tenant: str | None,
        since: datetime | None = None,
        until: datetime | None = None,
        even_if_heard: bool = False,
        on_done: OnCommit,
    ) -> None:
        self._routes = routes
        self._store = store
        self._handler = _subscriber(routes, subscriber)
        self._on_done = on_done
        for name, moment in (("since", since), ("until", until)):
            if moment is not None and moment.tzinfo is None:
                raise InvalidInput(f"{name}={moment} has no time zone. Use datetime(…, tzinfo=UTC) or another zone.")
        about = self._handler.about
        self.past: Final = Past(
            tenant=checked_tenant(tenant),
            subscriber=routes.number(subscriber),
            names=tuple(sorted(routes.catalog.stored_names({self._handler.message_type, *self._handler.more_types}))),
            effect_type=about.__duly__.name if about is not None else "",
            since=since,
            until=until,
            even_if_heard=even_if_heard,
        )

    @property
    def subscriber(self) -> str:
        """The subscriber's stored name."""
        return self._handler.name

    async def count(self) -> PastCount:
        """Count the messages of the past that it would hear and has not heard; nothing is done."""
        return await self._store.count_past(self.past)

    # Looking.

    async def dry_run(self, *, on_progress: OnProgress | None = None) -> DryRun:
        """Hand each of these messages to the subscriber, in a unit of work that commits nothing; what was in it.

        Each is handled as things are today, and none sees what another would have changed. What a handler does by
        other means than its parameters (a call of its own, a file) is not held back. Raises `StoreError`.
        """
        counted = await self.count()
        tally = Tally()
        place = BEFORE_EVERYTHING
        routes = copy.copy(self._routes)
        routes.attachments = None if routes.attachments is None else ForgetfulAttachments()
        while page := await self._store.read_past(
            self.past, through=counted.through, after=place, rows_max=PAST_ROWS_MAX
        ):
            for past in page:
                await self._try(routes, past.envelope, tally)
            place = page[-1].place
            tally.compare(await self._store.effect_digests([intent.id for intent in tally.intents]))
            if on_progress is not None:
                on_progress(tally.messages, max(counted.messages, tally.messages))
        return tally.result(self.subscriber, self.past.tenant)

    async def _try(self, routes: Routes, envelope: Envelope, tally: Tally) -> None:
        tally.messages += 1
        forgetful = Forgetful(self._store)
        try:
            messages = _heard(routes, self._handler, envelope)
            async with UnitOfWork(routes, forgetful.store, envelope.tenant) as work:
                try:
                    await work.run_each([(self._handler, message) for message in messages], envelope)
                    verdict = await work.commit()
                except WriteRefused as refused:
                    verdict = refused.verdict
        except StoreError as error:
            if not isinstance(error, UserSqlError):
                raise
            tally.fail(envelope, type(error).__name__, str(error))
        except Exception as error:
            tally.fail(envelope, type(error).__name__, str(error))
        else:
            failed = _failure(verdict)
            if failed is not None:
                tally.fail(envelope, *failed)
                return
            tally.count(forgetful.changes)

    # Doing.

    async def backfill(
        self, counted: PastCount, *, by: str, reason: str, on_progress: OnProgress | None = None
    ) -> Backfill:
        """Promise to the subscriber what was *counted*: a worker delivers it, in the order of the past, as it does
        everything; the effects meet their keys.

        The request is written with *by* and *reason* into the audit table first, and goes on in batches. The same count
        is promised once: cut short, it goes on where it was. Raises `InvalidInput`, `BackfillUnfinished` when another
        one of this subscriber is unfinished, `StoreError`.
        """
        if counted.past != self.past:
            raise InvalidInput("This was counted for another subscriber, tenant or range. Count again, then backfill.")
        token = digest_of(
            repr(counted.past), repr(counted.by_name), str(counted.heard), str(counted.through), str(counted.last_at)
        )
        wanted = Backfill(
            id=token[:TOKEN_CHARACTERS],
            past=self.past,
            through=counted.through,
            total=counted.messages,
            by=_checked("name", by, NAME_CHARACTERS_MAX, "Say who orders it: by='anna@example.com'."),
            reason=_checked("reason", reason, REASON_CHARACTERS_MAX, "Say why, for whoever reads it later."),
        )
        present = await self._store.begin_backfill(wanted)
        if present.id != wanted.id:
            raise BackfillUnfinished(
                f"{self.subscriber} has a backfill that is not finished in tenant {self.past.tenant!r}: {present.by} "
                f"asked for it at {present.begun_at}, and {present.promised:,} of {present.total:,} messages are "
                "promised. Let it go on first: await replay.resume(), or: duly backfill … --resume."
            )
        return await self._go_on(present, on_progress)

    async def resume(self, *, on_progress: OnProgress | None = None) -> Backfill | None:
        """Go on with a backfill of this subscriber that was cut short; None when there is none."""
        for backfill in await self.backfills():
            if backfill.ended_at is None:
                return await self._go_on(_named(backfill, self.past), on_progress)
        return None

    async def backfills(self) -> list[Backfill]:
        """What was asked for, for this subscriber and tenant, the latest first; 100 at most."""
        return await self._store.backfills(self.past.tenant, self.past.subscriber, BACKFILLS_SHOWN_MAX)

    async def _go_on(self, backfill: Backfill, on_progress: OnProgress | None) -> Backfill:
        while backfill.ended_at is None:
            page = await self._store.read_past(
                backfill.past,
                through=backfill.through,
                after=backfill.place,
                rows_max=PAST_ROWS_MAX,
                backfill=backfill.id,
            )
            place = page[-1].place if page else backfill.place
            promises = [promise for past in page if (promise := self._promise(past)) is not None]
            hit("backfill.before_commit")
            # If somebody else has gone on with it meanwhile, this says how far, and nothing was written.
            backfill = await self._store.promise_past(backfill, promises, place=place, ends=len(page) < PAST_ROWS_MAX)
            hit("backfill.after_commit")
            if promises:
                self._on_done(True, False)
            if on_progress is not None:
                on_progress(backfill.promised, max(backfill.total, backfill.promised))
        return backfill

    def _promise(self, past: PastMessage) -> PastPromise | None:
        """The outbox row of a message; None when nothing of it is heard today."""
        envelope = past.envelope
        message: Message | None = None
        if self._handler.key is not None or self._handler.process is not None:
            messages = _heard(self._routes, self._handler, envelope)
            if not messages:
                return None
            message = messages[0]
        lane = self._handler.lane(envelope, message)
        return PastPromise(past.place, lane, bucket_of(lane))


def _subscriber(routes: Routes, name: str) -> Handler:
    handlers = {handler.name: handler for handler in routes.all_subscribers() if handler.name != COMMAND_TAKER}
    if name not in handlers:
        known = ", ".join(sorted(handlers)) or "none"
        raise InvalidInput(f"There is no subscriber {name!r}. Subscribers are: {known}.")
    return handlers[name]


def _heard(routes: Routes, handler: Handler, envelope: Envelope) -> list[Message]:
    return [message for message in routes.catalog.decode_all(envelope) if handler.hears(type(message))]


def _named(backfill: Backfill, past: Past) -> Backfill:
    """A stored backfill, for the messages that the subscriber hears today."""
    heard = replace(backfill.past, names=past.names, effect_type=past.effect_type)
    return replace(backfill, past=heard)


def _failure(verdict: Verdict) -> tuple[str, str] | None:
    match verdict:
        case Done():
            return None
        case Exists(type=type_name, id=aggregate_id):
            return AggregateExists.__name__, f"{type_name}/{aggregate_id} exists already."
        case Taken(type=type_name, field=field, value=_):
            return UniqueViolation.__name__, f"its {field} belongs to another {type_name}."
        case Conflict() | Repeat() | Void():
            return ConcurrencyConflict.__name__, f"it met {verdict}."


def _checked(name: str, text: str, characters_max: int, cure: str) -> str:
    said = text.strip()
    if not 0 < len(said) <= characters_max or not said.isprintable():
        raise InvalidInput(
            f"A backfill's {name} has 1 to {characters_max} printable characters; this one has {len(said)}. {cure}"
        )
    return said
