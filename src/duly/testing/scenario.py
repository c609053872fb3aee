"""Whole modules under test: given what was, when something is done or time goes by, then this happened.

    async with Scenario(shop, effects=[Sms]) as shop:
        await shop.given(Register(customer_id="c-1", phone=phone))
        happened = await shop.when(PlaceOrder(order_id="o-1", customer_id="c-1"))
        assert happened.requested == [Sms(to=phone, text="We have your order o-1.")]

Everything runs as it does in production: handlers, outbox, relay, processes, projections, the ledger. Only the store is
in memory, its clock is turned by hand, and the provider records what it is called with.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

import msgspec

from duly.errors import UnknownMessageType
from duly.gateways.recording import Answer, RecordingGateway
from duly.messages.envelope import Envelope, decode_chain
from duly.messages.message import Command, DomainEvent, Effect, Message, PublicEvent, Query
from duly.ports.gateway import Call, Prepared
from duly.runtime.application import Duly
from duly.runtime.settings import Settings
from duly.states.attempt import Accepted, Outcome
from duly.stores.memory import MemoryStore
from duly.work.module import Module

R = TypeVar("R")
E = TypeVar("E", bound=Effect)
M = TypeVar("M", bound=Message)

TENANT: Final = "acme"
SOON: Final = timedelta(seconds=1)
"""What is due within this time is waited for; what waits longer is left until the clock is turned."""

_SELECT_MESSAGES: Final = """
SELECT m.commit_id, m.id, m.tenant, m.kind, m.name, m.version, m.body, p.body AS personal, m.subject, m.stream,
       m.stream_version, m.handler, m.chain, m.trace
  FROM duly_message AS m LEFT JOIN duly_personal AS p ON p.message_id = m.id
 WHERE m.tenant = :tenant AND m.commit_id > :after ORDER BY m.commit_id, m.ordinal
"""


class Happened(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """What followed from one command, or from time going by, until all was quiet; each list in its order."""

    result: R
    recorded: list[DomainEvent]
    """Domain events of aggregates."""
    published: list[PublicEvent]
    """Public events, and outcomes of effects that somebody hears."""
    commanded: list[Command[object]]
    """Commands that handlers and processes have sent or scheduled."""
    requested: list[Effect]
    """Effects that were asked for, whether they have gone out or not."""
    sent: list[Effect]
    """Effects that the provider took."""

    def of(self, cls: type[M]) -> list[M]:
        """Those of one type among the messages."""
        return [message for message in self._messages() if isinstance(message, cls)]

    def _messages(self) -> list[Message]:
        return [*self.recorded, *self.published, *self.commanded, *self.requested]


class _Provider(RecordingGateway):
    """Remembers which effect each request was made from, and which it took."""

    def __init__(self, effects: Sequence[type[Effect]], outcomes: Sequence[Outcome] | Answer) -> None:
        super().__init__(*effects, name="scenario", outcomes=outcomes)
        self.made_from: dict[str, Effect] = {}
        self.taken: list[Effect] = []

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        self.made_from[effect_id] = effect
        return super().prepare(effect, effect_id)

    async def call(self, call: Call) -> Outcome:
        outcome = await super().call(call)
        if isinstance(outcome, Accepted):
            self.taken.append(self.made_from[call.effect_id])
        return outcome


class Scenario:
    """Modules that run, of one tenant; use it by ``async with``.

    *effects* are the types that may be requested. *outcomes* are given out one per call of the provider, or made by a
    function of the call; without any, every call is accepted. What else `Duly` takes (*settings*, …) is taken here too.
    """

    def __init__(
        self,
        *modules: Module,
        effects: Sequence[type[Effect]] = (),
        outcomes: Sequence[Outcome] | Answer = (),
        tenant: str = TENANT,
        settings: Settings | None = None,
    ) -> None:
        self._store = MemoryStore()
        self._provider = _Provider(effects, outcomes) if effects else None
        self._tenant = tenant
        self.app: Final = Duly(
            modules=modules,
            store=self._store,
            gateways=[self._provider] if self._provider else [],
            tenant=tenant,
            settings=settings or Settings(poll_interval=timedelta(milliseconds=5)),
        )
        self._seen_commit = 0
        self._seen_effects: set[str] = set()
        self._seen_taken = 0

    async def __aenter__(self) -> Self:
        await self.app.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.app.stop()

    async def given(self, *commands: Command[object]) -> None:
        """Execute what went before, one after the other, each until quiet; what happened is not told."""
        for command in commands:
            await self.app.execute(command)
            await self.quiet()
        await self._news(None)

    async def when(self, command: Command[R], *, command_id: str | None = None) -> Happened[R]:
        """Execute *command*; what happened until quiet. Raises what `Duly.execute` raises."""
        await self._news(None)
        result = await self.app.execute(command, command_id=command_id)
        await self.quiet()
        return await self._news(result)

    async def ask(self, query: Query[R]) -> R:
        """The answer to *query*."""
        return await self.app.ask(query)

    async def time_goes_by(self, duration: timedelta) -> Happened[None]:
        """Turn the database's clock; what happened until quiet."""
        await self._news(None)
        self._store.shift_clock(int(duration / timedelta(milliseconds=1)))
        await self.quiet()
        return await self._news(None)

    async def quiet(self) -> None:
        """Wait until nothing is left to do that is due within `SOON`."""
        await self.app.until_quiet(within=SOON)

    async def _news(self, result: R) -> Happened[R]:
        """What is new since the last call."""
        messages = await self._new_messages()
        effects = [effect.id for effect in reversed(await self.app.ledger().all_effects())]
        made_from = self._provider.made_from if self._provider else {}
        requested = [made_from[one] for one in effects if one not in self._seen_effects]
        self._seen_effects.update(effects)
        taken = self._provider.taken if self._provider else []
        sent, self._seen_taken = taken[self._seen_taken :], len(taken)
        return Happened(
            result=result,
            recorded=[message for message in messages if isinstance(message, DomainEvent)],
            published=[message for message in messages if isinstance(message, PublicEvent)],
            commanded=[message for message in messages if isinstance(message, Command)],
            requested=requested,
            sent=sent,
        )

    async def _new_messages(self) -> list[Message]:
        rows = await self._store.select(_SELECT_MESSAGES, {"tenant": self._tenant, "after": self._seen_commit})
        catalog = self.app._routes.catalog
        found: list[Message] = []
        for row in rows:
            self._seen_commit = max(self._seen_commit, int(str(row["commit_id"])))
            envelope = _envelope(dict(row))
            try:
                found += catalog.decode_all(envelope)
            except UnknownMessageType:
                # An event that nobody hears was still said.
                cls = catalog.said()[envelope.name]
                found.append(catalog.codec(cls).decode(envelope.body, envelope.personal))
        return found


def _envelope(row: dict[str, object]) -> Envelope:
    del row["commit_id"]
    chain = decode_chain(str(row.pop("chain")))
    return msgspec.structs.replace(msgspec.convert(row, Envelope), chain=chain)
