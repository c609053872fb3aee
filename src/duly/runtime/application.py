"""The application: modules, a store and gateways put together. The only place where the acts meet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self, TypeVar, cast

from duly.delivery.processes import TenantProcesses
from duly.delivery.projection_view import ProjectionView, projection_views
from duly.delivery.rebuild import OnRebuild, Rebuilt
from duly.delivery.replay import Replay
from duly.effects.operations import EVERY_VERB, Operations
from duly.effects.pauses import Pauses
from duly.effects.receipts import ReceiptTaker
from duly.effects.suppressions import SuppressionList
from duly.effects.tenant_view import TenantLedger
from duly.errors import ConfigurationError, DulyError
from duly.messages.identity import checked_tenant
from duly.messages.message import Command, Query
from duly.ports.attachments import AttachmentKeeper
from duly.ports.gateway import Gateway
from duly.ports.later import Waiting
from duly.ports.ledger import OpenBreaker
from duly.ports.operations import Verb
from duly.ports.store import Parked, Store, Subscription
from duly.ports.templates import TemplateKeeper
from duly.ports.wake_ups import News
from duly.runtime.log_access import Bell, LogAccess
from duly.runtime.observing import Observing
from duly.runtime.projections import kept_up, prepare_projections
from duly.runtime.quiet import wait_until_quiet
from duly.runtime.rebuilds import rebuild_projection
from duly.runtime.recipients import checks_at_the_door, missing_validators, recipient_as_written
from duly.runtime.settings import Settings, settings_mistakes
from duly.runtime.store_url import store_from_url
from duly.runtime.upkeep import Upkeep
from duly.runtime.worker import NEWS_WITHOUT_WORKER, Worker
from duly.states.log_retention import LogRetention, log_retention_mistakes
from duly.states.retention import Retention, retention_mistakes
from duly.transaction.command_bus import CommandBus, QueryBus
from duly.transaction.scheduling import Scheduler
from duly.transaction.tracking import Tracking
from duly.work.contention import Contention
from duly.work.context import Middleware
from duly.work.module import Module
from duly.work.moments import Moment
from duly.work.sending import Sending
from duly.work.wiring import compile_routes

R = TypeVar("R")


class Duly(LogAccess, Upkeep):
    """An application. Wiring is a value: what is not named here does not run.

    *store* is a URL (``sqlite:///shop.db``, ``postgresql://…``, ``memory:``) or a store; an empty SQLite file is set up
    without asking. *tenant* is the tenant of calls that name none. With ``worker=False`` this process only executes
    commands and queries, and another one (``duly worker``) keeps the promises. *sending* chooses gateways and policies
    for types of effects, also per tenant. *templates* and *attachments* are what handlers' `Templates` and
    `Attachments` reach. *retention* says how long addresses, texts and whole effects are kept, *log_retention* how long
    handled messages are; for good without them.

    Raises `ConfigurationError` with every mistake that was found.
    """

    def __init__(
        self,
        *,
        modules: Sequence[Module],
        store: str | Store,
        gateways: Sequence[Gateway] = (),
        sending: Sequence[Sending] = (),
        templates: TemplateKeeper | None = None,
        attachments: AttachmentKeeper | None = None,
        retention: Sequence[Retention] = (),
        log_retention: LogRetention | None = None,
        tenant: str | None = None,
        settings: Settings | None = None,
        middleware: Sequence[Middleware] = (),
        worker: bool = True,
    ) -> None:
        self.settings = settings or Settings()
        self._modules = tuple(modules)
        self._gateways = tuple(gateways)
        self._tenant = tenant
        self._runs_worker = worker
        self._worker: Worker | None = None
        self._is_open = False
        mistakes = settings_mistakes(self.settings, {f"gateway {g.name!r}": g.retry for g in gateways})
        try:
            if tenant is not None:
                checked_tenant(tenant)
            self._store = store_from_url(store) if isinstance(store, str) else store
        except DulyError as error:
            mistakes.append(str(error))
        try:
            self._routes = compile_routes(
                self._modules,
                self._gateways,
                (Observing(), *middleware),
                sendings=sending,
                replay=self.settings.replay_time_max,
                templates=templates,
                attachments=attachments,
            )
            mistakes += missing_validators(tuple(self._routes.commands))
        except ConfigurationError as error:
            mistakes += error.mistakes
        mistakes += retention_mistakes(retention, inbox_keep=self.settings.inbox_keep)
        mistakes += log_retention_mistakes(
            log_retention, retry=self.settings.retry, inbox_keep=self.settings.inbox_keep
        )
        if mistakes:
            raise ConfigurationError(mistakes)
        self._attachments = attachments
        self._retention = tuple(retention)
        self._log_retention = log_retention
        self._contention = Contention()
        self._commands = CommandBus(
            self._routes,
            self._store,
            inbox_keep=self.settings.inbox_keep,
            checks=checks_at_the_door(),
            on_commit=self._committed,
            contention=self._contention,
        )
        self._scheduler = Scheduler(self._routes, self._store, self._store, self._commands, on_commit=self._committed)
        self._queries = QueryBus(self._routes, self._store)
        self._tracking = Tracking(self._commands, self._store)
        self._bell = Bell()
        self._receipts = ReceiptTaker(self._store, self._gateways, on_promise=lambda: self._committed(True, False))

    # Life.

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Connect, check the schema and begin. Raises `StoreError`."""
        try:
            await self._store.open()
            is_new = await self._store.is_empty()
            if is_new:
                await self._store.migrate(self._tables())
            await self._store.check_schema(self._tables())
            await prepare_projections(self._store, self._routes.projections, is_new=is_new)
            subscribers = self._routes.all_subscribers()
            numbers = await self._store.subscribe(
                [Subscription(handler.name, handler.formerly) for handler in subscribers]
            )
            hash_key = await self._store.fact("recipient_hash_key")
            self._routes.assign(numbers, hash_key)
            self._store.outcomes_heard_by(self._routes.outcomes_heard())
            if self._runs_worker:
                self._worker = Worker(
                    self._routes,
                    self._store,
                    self._gateways,
                    self.settings,
                    self._contention,
                    retention=self._retention_sweep(),
                    housekeeping=self._housekeeping(),
                    on_projected=self._bell.ring,
                )
                self._worker.start()
        except BaseException:
            await self._store.close()
            raise
        self._is_open = True

    async def stop(self) -> None:
        """Let begun work come to its end, and let go of everything."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            if self._worker is not None:
                await self._worker.stop()
        finally:
            await self._store.close()

    def as_worker(self) -> Self:
        """The same application, with a worker in this process whatever it was made with. Before `start`."""
        self._runs_worker = True
        return self

    def as_client(self) -> Self:
        """The same application, without a worker in this process whatever it was made with. Before `start`."""
        self._runs_worker = False
        return self

    @property
    def receipts(self) -> ReceiptTaker:
        """What providers report comes in here: see `duly.web.receipts.receipts_app`. A worker is not needed for it."""
        return self._receipts

    @property
    def store_url(self) -> str:
        """Where the database is, without secrets."""
        return self._store.url

    async def migrate(self) -> list[str]:
        """Bring the database up to date, the modules' own tables included; what was done. Before `start`."""
        await self._store.open()
        try:
            done = await self._store.migrate(self._tables())
            return done + await self._store.make_projections([route.shape() for route in self._routes.projections])
        finally:
            await self._store.close()

    # Use.

    async def execute(self, command: Command[R], *, tenant: str | None = None, command_id: str | None = None) -> R:
        """Run *command* and everything that follows from it in one transaction; the handler's result.

        The same *command_id* runs once per tenant: a repeat, also a concurrent one, gets the first result.
        Raises `InvalidInput`, `CommandIdReused`, `ConcurrencyConflict`, `AggregateExists`, `UniqueViolation`,
        `StoreError`, and whatever the handlers raise.
        """
        self._check_open()
        result, _ = await self._commands.settle(command, tenant=self._scope(tenant), command_id=command_id)
        return result

    async def schedule(
        self, command: Command[object], *, at: Moment, tenant: str | None = None, command_id: str | None = None
    ) -> str:
        """Have *command* executed later, in a transaction of its own; the id by which `cancel` withdraws it.

        *at* is a time with a zone, or so long from now, by the database's clock. The same *command_id* is scheduled
        once per tenant. One that fails is tried again, and parked after its last attempt. Raises `InvalidInput`,
        `CommandIdReused`, `StoreError`.
        """
        self._check_open()
        return await self._scheduler.schedule(command, at=at, tenant=self._scope(tenant), command_id=command_id)

    async def cancel(self, scheduled_id: str, *, tenant: str | None = None) -> bool:
        """Withdraw what waits for its time under this id; False when it went its way already, or never was."""
        self._check_open()
        return await self._scheduler.cancel(scheduled_id, tenant=self._scope(tenant))

    async def waiting(self, tenant: str | None = None) -> list[Waiting]:
        """A tenant's messages that wait for their time, the next one first; 1,000 at most."""
        self._check_open()
        return await self._scheduler.waiting(self._scope(tenant))

    async def ask(self, query: Query[R], *, tenant: str | None = None) -> R:
        """The answer to *query*, from what was committed. Raises `InvalidInput`."""
        self._check_open()
        return cast("R", await self._queries.ask(query, tenant=self._scope(tenant)))

    def ledger(self, tenant: str | None = None) -> TenantLedger:
        """A tenant's view of its effects. Raises `InvalidTenant`."""
        return TenantLedger(self._store, self._scope(tenant))

    def processes(self, tenant: str | None = None) -> TenantProcesses:
        """A tenant's processes and their histories. Raises `InvalidTenant`."""
        return TenantProcesses(self._store, self._scope(tenant))

    def operate(self, tenant: str | None = None, *, by: str, may: Collection[Verb] = EVERY_VERB) -> Operations:
        """What *by*, a person, does to a tenant's effects: settle, retry, resend, cancel, release; one or many.

        *may* are the verbs that this person has a right to. Raises `InvalidTenant`, `InvalidInput`.
        """
        self._check_open()
        return Operations(
            self._store,
            self._scope(tenant),
            by=by,
            may=may,
            keeps={gateway.name: gateway.keeps for gateway in self._gateways},
            on_done=self._committed,
        )

    def suppressions(self, tenant: str | None = None) -> SuppressionList:
        """Whom a tenant's messages no longer go to. Raises `InvalidTenant`."""
        self._check_open()
        return SuppressionList(
            self._store,
            self._scope(tenant),
            hash_key=self._routes.recipient_hash_key,
            written_as=lambda channel, recipient: recipient_as_written(self._gateways, channel, recipient),
        )

    async def pause(self, tenant: str | None = None, *, reason: str, by: str) -> None:
        """Hold a tenant's effects from now on, until `resume`. Calls under way come to their end.

        Raises `InvalidInput`.
        """
        self._check_open()
        await Pauses(self._store, on_done=self._committed).pause(self._scope(tenant), reason=reason, by=by)

    async def resume(self, tenant: str | None = None, *, by: str, reason: str = "resumed") -> bool:
        """Let go of what is held for a paused tenant; False when it was not paused. Raises `InvalidInput`."""
        self._check_open()
        return await Pauses(self._store, on_done=self._committed).resume(self._scope(tenant), by=by, reason=reason)

    async def breakers(self) -> list[OpenBreaker]:
        """Gateways, or tenants' destinations at gateways, that are left alone for a while, and why."""
        return await self._store.breakers()

    async def parked(self, tenant: str | None = None, *, rows_max: int = 100) -> list[Parked]:
        """A tenant's messages that stepped out of their lanes, and why; the latest first."""
        return await self._store.parked(checked_tenant(self._scope(tenant)), rows_max)

    async def unpark(self, parked_id: int, tenant: str | None = None) -> bool:
        """Put a parked message back at the end of its lane; False when this tenant has none with this id."""
        done = await self._store.unpark(checked_tenant(self._scope(tenant)), parked_id)
        self._committed(promised=done, intended=False)
        return done

    def replay(
        self,
        subscriber: str,
        *,
        tenant: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        even_if_heard: bool = False,
    ) -> Replay:
        """The past of one subscriber in one tenant, to count, to try without doing anything, or to promise to it.

        *subscriber* is its stored name, ``communications.text_customer``. It is about what was committed from *since*
        on and before *until*, and that it did not hear; with *even_if_heard* also what it did. Raises `InvalidInput`.
        """
        self._check_open()
        return Replay(
            self._routes,
            self._store,
            subscriber,
            tenant=self._scope(tenant),
            since=since,
            until=until,
            even_if_heard=even_if_heard,
            on_done=self._committed,
        )

    async def rebuild(self, projection: str, *, fresh: bool = False, on_progress: OnRebuild | None = None) -> Rebuilt:
        """Build a projection anew from the first event on, beside the one that is read, and put it in its place.

        Readers and commands go on meanwhile; only writers of an in-transaction projection wait during the exchange.
        Interrupted, it goes on where it was when it is called again; with *fresh* it begins anew. It may also be called
        before `start`, and needs no worker. Raises `InvalidInput`, `RebuildRefused`, `RebuildFailed`, `StoreError`.
        """
        if self._is_open:
            return await rebuild_projection(
                self._store, self._routes, projection, self.settings, fresh=fresh, on_progress=on_progress
            )
        await self._store.open()
        try:
            await self._store.check_schema(self._tables())
            return await rebuild_projection(
                self._store, self._routes, projection, self.settings, fresh=fresh, on_progress=on_progress
            )
        finally:
            await self._store.close()

    async def projections(self) -> list[ProjectionView]:
        """How far every projection has come, and why it stands still if it does; by name."""
        self._check_open()
        return await projection_views(self._store, self._routes.projections)

    async def until_quiet(
        self, *, time_max: timedelta = timedelta(seconds=30), within: timedelta = timedelta(seconds=10)
    ) -> None:
        """Wait until every promise is kept, every effect attempted and every projection up with the log.

        Those that wait longer than *within* are left out.

        Raises `NotQuiet` with the counts when that takes longer than *time_max*.
        """
        self._check_open()
        digests = [route.digest for route in kept_up(self._routes.projections)]
        await wait_until_quiet(self._store, self._worker, digests, time_max=time_max, within=within)

    def _scope(self, tenant: str | None) -> str | None:
        """The tenant of a call: the application's own only when the call names none, not when it names nonsense."""
        return self._tenant if tenant is None else tenant

    def _tables(self) -> list[str]:
        return [statement for module in self._modules for statement in module.tables]

    def _committed(self, promised: bool, intended: bool) -> None:
        if self._worker is not None:
            self._worker.committed(promised, intended)
        elif self.settings.wake_ups:
            self._store.tell(NEWS_WITHOUT_WORKER[promised, intended])

    def _numbered(self) -> None:
        if self._worker is not None:
            self._worker.numbered()
        elif self.settings.wake_ups:
            self._store.tell(News.POSITIONS)

    def _check_open(self) -> None:
        if not self._is_open:
            raise DulyError("The application is not started. Use: async with Duly(…) as app: …")
