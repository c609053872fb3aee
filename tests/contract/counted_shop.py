"""The application whose statements are counted: a command of each kind, a subscriber of each kind, a projection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from duly import (
    Aggregate,
    Command,
    DomainEvent,
    Duly,
    EventSourced,
    Module,
    Projection,
    Query,
    Repository,
    Settings,
    Tables,
    applies,
)
from duly.delivery.delivery import Delivery
from duly.delivery.projector import Projector, Terms
from duly.ports.store import Due, Store, Subscription
from duly.runtime.projections import kept_up
from duly.states.retry import RetrySchedule
from duly.testing.store_exam import DAY, LEASE, TENANT, due_rows
from duly.work.contention import Contention
from duly.work.routes import Routes
from duly.work.wiring import compile_routes

LINE = "CREATE TABLE {order_line} (tenant text NOT NULL, id text NOT NULL, PRIMARY KEY (tenant, id))"
LINE_ADDED = "INSERT INTO {order_line} (tenant, id) VALUES (:tenant, :id)"


class PlaceOrder(Command):
    order_id: str


class OrderPlaced(DomainEvent):
    order_id: str


class PaymentRequested(DomainEvent):
    order_id: str


class NoteOrder(Command):
    order_id: str
    note: str


class Deposit(Command):
    account_id: str


class Deposited(DomainEvent):
    account_id: str


class NoteOf(Query[str]):
    order_id: str


class Order(Aggregate):
    note: str = ""


class Payment(Aggregate):
    pass


class Parcel(Aggregate):
    pass


class Account(EventSourced):
    deposits: int = 0

    @applies
    def deposited(self, event: Deposited) -> None:
        self.deposits += 1


async def nothing() -> None:
    """What happens between the reading and the commit of `NoteOrder`, unless a test wants otherwise."""


class CountedShop:
    """The application, without a worker: a test does by hand what a worker would do, a step at a time."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.between: Callable[[], Awaitable[None]] = nothing
        module = self._module()
        # A NOTIFY goes behind the commits, on a connection of its own: how many there are depends on the time.
        self.app = Duly(modules=[module], store=store, settings=Settings(wake_ups=False), worker=False)
        self.routes: Routes = compile_routes([module], [], [])
        self.numbers: dict[str, int] = {}
        self.tokens: dict[int, str] = {}
        self.delivery = Delivery(
            self.routes,
            store,
            retry=RetrySchedule((DAY,)),
            handler_time_max=timedelta(minutes=1),
            unknown_type_wait=LEASE,
            contention=Contention(),
            on_commit=lambda *_: None,
        )

    def _module(self) -> Module:
        module = Module("shop", projections=[_order_list()])

        @module.command
        async def place_order(command: PlaceOrder, orders: Repository[Order]) -> None:
            order = Order(id=command.order_id)
            order.record(OrderPlaced(order_id=order.id))
            orders.add(order)

        @module.in_transaction
        async def request_payment(event: OrderPlaced, payments: Repository[Payment]) -> None:
            payment = Payment(id=event.order_id)
            payment.record(PaymentRequested(order_id=event.order_id))
            payments.add(payment)

        @module.command
        async def note_order(command: NoteOrder, orders: Repository[Order]) -> None:
            order = await orders.get(command.order_id)
            await self.between()
            order.note = command.note

        @module.query
        async def note_of(query: NoteOf, orders: Repository[Order]) -> str:
            return (await orders.get(query.order_id)).note

        @module.command
        async def deposit(command: Deposit, accounts: Repository[Account]) -> None:
            account = await accounts.find(command.account_id)
            if account is None:
                account = Account(id=command.account_id)
                accounts.add(account)
            account.record(Deposited(account_id=account.id))

        @module.after_commit
        async def pack(event: OrderPlaced, parcels: Repository[Parcel]) -> None:
            parcels.add(Parcel(id=event.order_id))

        @module.after_commit
        async def look_away(event: PaymentRequested) -> None:
            if event.order_id.startswith("bad"):
                raise RuntimeError("It is a bad one.")

        return module

    async def order(self, order_id: str) -> None:
        """Place it: two aggregates, two events, two promises."""
        await self.app.execute(PlaceOrder(order_id=order_id), tenant=TENANT, command_id=f"place-{order_id}")

    async def note(self, order_id: str, note: str) -> None:
        """Get it and change it."""
        await self.app.execute(NoteOrder(order_id=order_id, note=note), tenant=TENANT)

    async def own(self) -> None:
        """Own all buckets, as the one worker that there is."""
        owned = await self.store.own_buckets("worker-1", LEASE, let_go=())
        self.tokens = dict(owned.tokens)

    async def due(self, rows_max: int = 1_000) -> list[Due]:
        """What a relay fetches."""
        return await due_rows(self.store, list(self.numbers.values()), rows_max=rows_max)

    async def due_to(self, subscriber: str) -> Due:
        """The first row that waits for a subscriber."""
        return next(due for due in await self.due() if due.subscriber == self.numbers[subscriber])

    async def undelivered(self) -> int:
        """How many promises are not kept, on hold or not."""
        return await self.store.undelivered(2 * DAY)

    async def deliver(self, due: Due) -> None:
        """Deliver one row, or put its lane on hold."""
        by_number = {self.numbers[handler.name]: handler for handler in self.routes.all_subscribers()}
        await self.delivery.deliver(due, by_number[due.subscriber], self.tokens[due.bucket])

    def projector(self) -> Projector:
        """What keeps the list of orders up with the log."""
        (route,) = kept_up(self.routes.projections)
        terms = Terms(events_max=500, batch_time_max=LEASE, handler_time_max=LEASE, lease=LEASE)
        return Projector(route, self.routes.catalog, self.store, terms, owner="worker-1")


def _order_list() -> Projection:
    projection = Projection("order_list", tables={"order_line": LINE})

    @projection.on
    async def placed(event: OrderPlaced, tables: Tables) -> None:
        await tables.execute(LINE_ADDED, id=event.order_id)

    return projection


@asynccontextmanager
async def opened_shop(store: Store) -> AsyncIterator[CountedShop]:
    """The shop, started, with all buckets."""
    shop = CountedShop(store)
    await shop.app.migrate()
    async with shop.app:
        subscriptions = [Subscription(handler.name) for handler in shop.routes.all_subscribers()]
        shop.numbers = await store.subscribe(subscriptions)
        shop.routes.assign(shop.numbers, await store.fact("recipient_hash_key"))
        await shop.own()
        yield shop
