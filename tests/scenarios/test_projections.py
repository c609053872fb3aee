"""Read models: what projections make of the log, on every store."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from duly import (
    Command,
    DomainEvent,
    Duly,
    Logged,
    Module,
    NotQuiet,
    Origin,
    Projection,
    ProjectionState,
    ProjectionView,
    Query,
    Reader,
    ReadModel,
    ReadModels,
    Repository,
    RetrySchedule,
    Tables,
    Upcasted,
)
from duly.errors import ReadModelNotFound, ReadOnlyUse, RuleBroken, SchemaOutdated, UserSqlError
from tests.scenarios.read_models_shop import (
    AccountsOf,
    ChangeOrder,
    CustomerAccount,
    Order,
    OrderChanged,
    OrderLine,
    OrderPlaced,
    PlaceOrder,
    ReadAccount,
    ReadTable,
    account_list,
    order_list,
    shop,
    with_accounts,
)
from tests.scenarios.running import Start, durable, quick_settings


class Sums(Query[list[int]]):
    pass


class Numbered(ReadModel):
    number: int
    before: list[str]


class Read(Query[list[tuple[str, list[str]]]]):
    pass


class Page(Query[list[str]]):
    after: str


class Platform(ReadModel):
    orders: int


class Totals(Query[tuple[dict[str, int], int]]):
    pass


class Look(Command[int]):
    writes: bool = False


class Count(Query[int]):
    pass


class Shipped(DomainEvent, name="Shipped", version=2):
    order_id: str


class ShippedBefore(DomainEvent, name="Shipped", version=1):
    order_id: str


class Ship(Command):
    order_id: str


class Old(DomainEvent, version=2):
    order_id: str


class OldAsStored(DomainEvent, name="Old", version=1):
    order_id: str


class Say(Command):
    order_id: str


class Fail(Command):
    order_id: str


class Lines(Query[int]):
    pass


LONG = timedelta(minutes=5)


async def place(app: Duly, count: int, *, tenant: str = "acme", first: int = 0) -> None:
    """Orders o-0, o-1, …"""
    for number in range(first, first + count):
        await app.execute(PlaceOrder(order_id=f"o-{number}"), tenant=tenant)


async def view_of(app: Duly, name: str) -> ProjectionView:
    """How the live generation of a projection stands."""
    return next(view for view in await app.projections() if view.name == name)


async def until(app: Duly, name: str, state: ProjectionState) -> ProjectionView:
    """Wait for a projection to stand like that."""
    async with asyncio.timeout(10):
        while True:
            view = await view_of(app, name)
            if view.state is state:
                return view
            await asyncio.sleep(0.01)


async def caught_up(start: Start, module: Module, orders: dict[str, int]) -> Duly:
    """Orders that were placed before there was a worker, all of them in the first batches of one that comes later."""
    client = await start(module, worker=False)
    for tenant, count in orders.items():
        await place(client.app, count, tenant=tenant)
    running = await start(module)
    await running.quiet()
    return running.app


# What it builds.


async def test_rows_follow_events_in_their_order(start: Start) -> None:
    running = await start(shop(order_list()))
    app = running.app
    for number in range(5):
        await app.execute(PlaceOrder(order_id=f"o-{number}"), tenant="acme")
        await app.execute(ChangeOrder(order_id=f"o-{number}", total=100 + number), tenant="acme")
    await app.execute(PlaceOrder(order_id="o-1", total=7), tenant="other")
    await running.quiet()
    rows = await app.ask(ReadTable(), tenant="acme")
    assert rows == [(f"acme/o-{n}", 100 + n, 2 * n + 2) for n in range(5)] + [("other/o-1", 7, 11)]
    (view,) = await app.projections()
    assert (view.name, view.state, view.position, view.lag) == ("order_list", ProjectionState.CURRENT, 11, 0)


async def test_documents_follow_events_and_are_found_by_their_fields(start: Start) -> None:
    running = await start(with_accounts(shop(account_list(), order_list())))
    app = running.app
    await app.execute(PlaceOrder(order_id="o-1", customer_id="c-1", total=60), tenant="acme")
    await app.execute(PlaceOrder(order_id="o-2", customer_id="c-2", total=60), tenant="acme")
    await running.quiet()
    assert await app.ask(AccountsOf(level="small"), tenant="acme") == ["c-1", "c-2"]
    await app.execute(ChangeOrder(order_id="o-1", total=200), tenant="acme")
    await running.quiet()
    assert await app.ask(AccountsOf(level="small"), tenant="acme") == ["c-2"]
    assert await app.ask(AccountsOf(level="large"), tenant="acme") == ["c-1"]
    account = await app.ask(ReadAccount(customer_id="c-1"), tenant="acme")
    assert account == CustomerAccount(id="c-1", orders=1, total=200, level="large")
    assert await app.ask(ReadAccount(customer_id="c-1"), tenant="other") is None


async def test_a_handler_knows_where_its_event_comes_from(start: Start) -> None:
    seen: list[Logged] = []
    origins: list[Origin] = []
    look = Projection("look")

    @look.on
    def placed(event: OrderPlaced, at: Logged, origin: Origin) -> None:
        seen.append(at)
        origins.append(origin)

    running = await start(shop(look))
    await running.app.execute(PlaceOrder(order_id="o-1"), tenant="acme", command_id="click-1")
    await running.quiet()
    (at,), (origin,) = seen, origins
    assert (at.tenant, at.stream, at.version, at.position) == ("acme", "Order/o-1", 1, 1)
    assert at.correlation == at.cause
    assert at.at.tzinfo is not None
    fields = Origin.__struct_fields__
    assert [getattr(origin, name) for name in fields] == [getattr(at, name) for name in fields]


@durable
async def test_what_was_executed_in_a_batch_is_seen_by_what_is_fetched_later_in_it(start: Start) -> None:
    running_total = Projection(
        "running_total",
        tables={
            "total_then": "CREATE TABLE {total_then} (tenant TEXT NOT NULL, id TEXT NOT NULL, sum BIGINT NOT NULL)"
        },
    )

    @running_total.on
    async def placed(event: OrderPlaced, tables: Tables) -> None:
        before = await tables.fetch_value("SELECT max(sum) FROM {total_then} WHERE tenant = :tenant")
        await tables.execute(
            "INSERT INTO {total_then} (tenant, id, sum) VALUES (:tenant, :id, :sum)",
            id=event.order_id,
            sum=int(str(before or 0)) + event.total,
        )

    module = shop(running_total)

    @module.query
    async def sums(query: Sums, reader: Reader) -> list[int]:
        rows = await reader.fetch_all("SELECT sum FROM total_then WHERE tenant = 'acme' ORDER BY sum")
        return [int(str(row["sum"])) for row in rows]

    app = await caught_up(start, module, {"acme": 5, "other": 1})
    assert await app.ask(Sums(), tenant="acme") == [10, 20, 30, 40, 50]


@durable
async def test_documents_that_a_batch_has_put_are_found_and_counted_in_it(start: Start) -> None:
    levels = Projection("levels")

    @levels.on
    async def placed(
        event: OrderPlaced, lines: ReadModels[OrderLine], numbered: ReadModels[Numbered], at: Logged
    ) -> None:
        if at.position == 4:
            lines.remove("o-0")
        before = await lines.by(customer_id=event.customer_id)
        lines.put(OrderLine(id=event.order_id, customer_id=event.customer_id, total=event.total))
        numbered.put(Numbered(id=event.order_id, number=at.position, before=[line.id for line in before]))
        if at.position == 1:
            with pytest.raises(ReadModelNotFound, match="no Numbered 'o-9'"):
                await numbered.get("o-9")

    module = shop(levels)

    @module.query
    async def read(query: Read, numbered: ReadModels[Numbered]) -> list[tuple[str, list[str]]]:
        return [(one.id, one.before) for one in await numbered.page()]

    app = await caught_up(start, module, {"acme": 4})
    assert await app.ask(Read(), tenant="acme") == [
        ("o-0", []),
        ("o-1", ["o-0"]),
        ("o-2", ["o-0", "o-1"]),
        ("o-3", ["o-1", "o-2"]),
    ]


@durable
async def test_pages_of_documents_go_on_after_an_id(start: Start) -> None:
    module = shop(account_list())

    @module.query
    async def page(query: Page, lines: ReadModels[OrderLine]) -> list[str]:
        every = await lines.page(after=query.after, rows_max=2)
        assert [line.id for line in every] == [
            line.id for line in await lines.page(after=query.after, rows_max=2, customer_id="c-1")
        ]
        return [line.id for line in every]

    app = await caught_up(start, module, {"acme": 5, "other": 2})
    pages = [await app.ask(Page(after=after), tenant="acme") for after in ("", "o-1", "o-3", "o-4")]
    assert pages == [["o-0", "o-1"], ["o-2", "o-3"], ["o-4"], []]


async def test_a_projection_of_every_tenant_keeps_all_of_them_together(start: Start) -> None:
    totals = Projection(
        "totals",
        tables={"tenant_total": "CREATE TABLE {tenant_total} (of TEXT NOT NULL PRIMARY KEY, orders BIGINT NOT NULL)"},
        every_tenant=True,
    )

    @totals.on
    async def placed(event: OrderPlaced, tables: Tables, platform: ReadModels[Platform], at: Logged) -> None:
        await tables.execute(
            "INSERT INTO {tenant_total} (of, orders) VALUES (:of, 1)"
            " ON CONFLICT (of) DO UPDATE SET orders = {tenant_total}.orders + 1",
            of=at.tenant,
        )
        one = await platform.find("all") or Platform(id="all", orders=0)
        platform.put(one.changed(orders=one.orders + 1))

    module = shop(totals)

    @module.query
    async def read(query: Totals, reader: Reader, platform: ReadModels[Platform]) -> tuple[dict[str, int], int]:
        rows = await reader.fetch_all("SELECT of, orders FROM tenant_total")
        return {str(row["of"]): int(str(row["orders"])) for row in rows}, (await platform.get("all")).orders

    running = await start(module)
    await place(running.app, 2)
    await place(running.app, 3, tenant="other")
    await running.quiet()
    assert await running.app.ask(Totals(), tenant="acme") == ({"acme": 2, "other": 3}, 5)


async def test_a_read_model_is_read_by_commands_and_written_by_its_projection_alone(start: Start) -> None:
    module = with_accounts(shop(account_list()))

    @module.command
    async def look(command: Look, accounts: ReadModels[CustomerAccount]) -> int:
        account = await accounts.get("c-1")
        if command.writes:
            accounts.put(account.changed(orders=0))
        return account.orders

    running = await start(module)
    await place(running.app, 2)
    await running.quiet()
    assert await running.app.execute(Look(), tenant="acme") == 2
    with pytest.raises(ReadOnlyUse, match="CustomerAccount is written by its projection 'accounts' alone"):
        await running.app.execute(Look(writes=True), tenant="acme")


# Tables and tenants.


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM {order_line}", "does not mention :tenant"),
        ("DELETE FROM {order_line} WHERE '::tenant' = ''", "does not mention :tenant"),
        ("DELETE FROM order_line WHERE tenant = :tenant", r"names the table order_line itself. Write {order_line}"),
        ("DELETE FROM {orders} WHERE tenant = :tenant", r"has no table {orders}; it has {order_line}"),
        ("DELETE FROM {order_line} WHERE tenant = :tenant AND id = :id", "has a parameter :id that was not passed"),
        ("NONSENSE {order_line} :tenant", "The database refused a statement"),
    ],
)
async def test_a_statement_that_could_reach_elsewhere_is_refused(start: Start, statement: str, said: str) -> None:
    projection = Projection("order_list", tables={"order_line": order_list().tables["order_line"]})

    @projection.on
    async def placed(event: OrderPlaced, tables: Tables) -> None:
        await tables.execute(statement)

    running = await start(shop(projection), settings=quick_settings(retry=RetrySchedule((LONG,))))
    await place(running.app, 1)
    view = await until(running.app, "order_list", ProjectionState.FAILING)
    assert view.position == 0
    with pytest.raises(UserSqlError, match=said):
        raise UserSqlError(view.reason)


# Failures.


@durable
async def test_a_projection_stands_still_at_an_event_that_fails_and_delays_nobody_but_itself(start: Start) -> None:
    broken = True
    heard: list[str] = []
    careful = Projection("careful")

    @careful.on
    async def placed(event: OrderPlaced, lines: ReadModels[OrderLine], at: Logged) -> None:
        if broken and event.order_id == "o-3":
            raise ValueError("no orders with a 3")
        heard.append(f"{at.tenant}/{event.order_id}")
        lines.put(OrderLine(id=event.order_id, customer_id=event.customer_id, total=event.total))

    module = shop(careful, order_list())

    @module.query
    async def count(query: Count, lines: ReadModels[OrderLine]) -> int:
        return len(await lines.page())

    client = await start(module, worker=False)
    await place(client.app, 6)
    await place(client.app, 1, tenant="other")
    running = await start(module)
    view = await until(running.app, "careful", ProjectionState.FAILING)
    assert (view.position, view.lag, view.reason) == (3, 4, "ValueError: no orders with a 3")
    assert (await until(running.app, "order_list", ProjectionState.CURRENT)).position == 7
    assert await running.app.ask(Count(), tenant="acme") == 3
    assert await running.app.ask(Count(), tenant="other") == 0
    broken = False
    await running.quiet()
    assert await running.app.ask(Count(), tenant="acme") == 6
    assert await running.app.ask(Count(), tenant="other") == 1
    assert heard[-4:] == ["acme/o-3", "acme/o-4", "acme/o-5", "other/o-0"]
    assert (await view_of(running.app, "careful")).attempts == 0


async def test_a_failing_projection_that_waits_long_is_not_waited_for(start: Start) -> None:
    failing = Projection("failing")

    @failing.on
    def placed(event: OrderPlaced) -> None:
        raise ValueError("never")

    waits = quick_settings(retry=RetrySchedule((LONG,)))
    running = await start(shop(failing), settings=waits)
    await place(running.app, 1)
    with pytest.raises(NotQuiet, match="1 projections behind the log"):
        await running.app.until_quiet(time_max=timedelta(seconds=0.3), within=2 * LONG)
    await running.quiet(within=timedelta(0))


async def test_a_projection_whose_handler_hangs_fails_and_lets_go(start: Start) -> None:
    hanging = Projection("hanging", tables={"order_line": order_list().tables["order_line"]})

    @hanging.on
    async def placed(event: OrderPlaced, tables: Tables) -> None:
        await tables.fetch_all("SELECT id FROM {order_line} WHERE tenant = :tenant")
        await asyncio.sleep(60)

    settings = quick_settings(handler_time_max=timedelta(milliseconds=50), retry=RetrySchedule((LONG,)))
    running = await start(shop(hanging), settings=settings)
    await place(running.app, 1)
    view = await until(running.app, "hanging", ProjectionState.FAILING)
    assert view.reason.startswith("TimeoutError")
    # On SQLite it held the only writer meanwhile.
    async with asyncio.timeout(5):
        await place(running.app, 1, first=1)


@durable
async def test_an_event_of_newer_code_is_waited_for_and_is_no_failure(start: Start) -> None:
    def module(shipped: type[DomainEvent]) -> tuple[Module, list[str]]:
        heard: list[str] = []
        projection = Projection("shipping")

        async def on_shipped(event: DomainEvent) -> None:
            heard.append(event.order_id)  # type: ignore[attr-defined]

        async def on_placed(event: OrderPlaced) -> None:
            heard.append(event.order_id)

        on_shipped.__annotations__["event"] = shipped
        projection.on(on_shipped)
        projection.on(on_placed)
        made = shop(projection)

        @made.command
        async def ship(command: Ship, orders: Repository[Order]) -> None:
            (await orders.get(command.order_id)).record(shipped(order_id=command.order_id))  # type: ignore[call-arg]

        return made, heard

    newer, _ = module(Shipped)
    client = await start(newer, worker=False)
    await place(client.app, 1)
    await client.app.execute(Ship(order_id="o-0"), tenant="acme")
    older, heard_by_older = module(ShippedBefore)
    settings = quick_settings(unknown_type_wait=LONG)
    running = await start(older, settings=settings)
    view = await until(running.app, "shipping", ProjectionState.WAITING)
    assert (view.position, view.attempts, heard_by_older) == (1, 0, ["o-0"])
    assert "Deploy the newer code" in view.reason
    assert (await view_of(client.app, "shipping")).lag == 1


async def test_a_stored_event_that_is_two_today_is_heard_as_two(start: Start) -> None:
    heard: list[str] = []
    projection = Projection("split")

    @projection.on
    async def placed(event: OrderPlaced) -> None:
        heard.append(f"placed {event.order_id}")

    @projection.on
    async def changed(event: OrderChanged) -> None:
        heard.append(f"changed {event.order_id}")

    speaking = Module("speaking")

    @speaking.command
    async def say(command: Say, orders: Repository[Order]) -> None:
        order = Order(id=command.order_id, customer_id="c-1", total=1)
        order.record(OldAsStored(order_id=command.order_id))
        orders.add(order)

    module = shop(projection)

    @module.upcasts(Old, from_version=1, into=(OrderPlaced, OrderChanged))
    def split(fields: dict[str, object]) -> list[Upcasted]:
        return [
            Upcasted(OrderPlaced, {**fields, "customer_id": "c-1", "total": 1}, version=1),
            Upcasted(OrderChanged, {**fields, "total": 2}, version=1),
        ]

    running = await start(speaking, module)
    await running.app.execute(Say(order_id="o-1"), tenant="acme")
    await running.quiet()
    assert heard == ["placed o-1", "changed o-1"]


# Starting.


@durable
async def test_a_new_projection_hears_the_past(start: Start) -> None:
    running = await start(shop())
    await place(running.app, 3)
    await running.app.stop()
    running = await start(with_accounts(shop(account_list())))
    await running.quiet()
    account = await running.app.ask(ReadAccount(customer_id="c-1"), tenant="acme")
    assert account is not None
    assert account.orders == 3


@durable
async def test_a_new_table_asks_for_a_migration(start: Start, store_url: str) -> None:
    running = await start(shop())
    await running.app.stop()
    app = Duly(modules=[shop(order_list())], store=store_url)
    with pytest.raises(SchemaOutdated, match="lacks the tables of projections: order_list. Run: duly migrate"):
        await app.start()
    assert await app.migrate() == ["projection order_list"]
    assert await app.migrate() == []
    async with app:
        await place(app, 1)
        await app.until_quiet()


@durable
async def test_a_projection_of_another_version_is_left_to_older_code_until_it_is_rebuilt(start: Start) -> None:
    before = await start(shop(order_list()))
    changed = order_list()
    changed.version = 2
    after = await start(shop(changed))
    await place(after.app, 2)
    assert (await view_of(after.app, "order_list")).state is ProjectionState.OUTDATED
    await before.quiet()
    assert (await view_of(before.app, "order_list")).state is ProjectionState.CURRENT
    await before.app.stop()
    await place(after.app, 1, first=2)
    await after.quiet()
    assert (await view_of(after.app, "order_list")).position == 2


# In the transaction.


def in_transaction_list() -> Projection:
    """The table of orders, written by commands themselves."""
    projection = Projection("order_list", tables={"order_line": order_list().tables["order_line"]}, in_transaction=True)

    @projection.on
    async def placed(event: OrderPlaced, tables: Tables, lines: ReadModels[OrderLine]) -> None:
        await tables.execute(
            "INSERT INTO {order_line} (tenant, id, total, position) VALUES (:tenant, :id, :total, 0)",
            id=event.order_id,
            total=event.total,
        )
        lines.put(OrderLine(id=event.order_id, customer_id=event.customer_id, total=event.total))

    @projection.on
    async def changed(event: OrderChanged, tables: Tables, lines: ReadModels[OrderLine]) -> None:
        total = await tables.fetch_value(
            "SELECT total FROM {order_line} WHERE tenant = :tenant AND id = :id", id=event.order_id
        )
        line = await lines.get(event.order_id)
        assert line.total == total
        await tables.execute(
            "UPDATE {order_line} SET total = :total WHERE tenant = :tenant AND id = :id",
            id=event.order_id,
            total=event.total,
        )
        lines.put(line.changed(total=event.total))

    return projection


async def test_an_in_transaction_read_model_is_there_when_the_command_returns(start: Start) -> None:
    running = await start(shop(in_transaction_list()), worker=False)
    await place(running.app, 2)
    await running.app.execute(ChangeOrder(order_id="o-1", total=99), tenant="acme")
    assert await running.app.ask(ReadTable(), tenant="acme") == [("acme/o-0", 10, 0), ("acme/o-1", 99, 0)]
    (view,) = await running.app.projections()
    assert (view.state, view.lag) == (ProjectionState.IN_TRANSACTION, 0)
    await running.quiet()


async def test_an_in_transaction_read_model_holds_nothing_of_a_command_that_was_rolled_back(start: Start) -> None:
    module = shop(in_transaction_list())

    @module.command
    async def fail(command: Fail, orders: Repository[Order]) -> None:
        order = Order(id=command.order_id, customer_id="c-1", total=1)
        order.record(OrderPlaced(order_id=order.id, customer_id="c-1", total=1))
        order.record(OrderChanged(order_id=order.id, total=2))
        orders.add(order)

    seen: list[int] = []

    @module.query
    async def count(query: Lines, lines: ReadModels[OrderLine]) -> int:
        return len(await lines.page())

    late = Module("late")
    module.messages += (OrderChanged,)

    @late.in_transaction
    async def refuse(event: OrderChanged, lines: ReadModels[OrderLine]) -> None:
        seen.append((await lines.get(event.order_id)).total)
        raise RuleBroken("not like this")

    running = await start(module, late)
    with pytest.raises(RuleBroken, match="not like this"):
        await running.app.execute(Fail(order_id="o-1"), tenant="acme")
    # The projection came first, as the last of its own module, and was taken back with everything.
    assert seen == [2]
    assert await running.app.ask(ReadTable(), tenant="acme") == []
    assert await running.app.ask(Lines(), tenant="acme") == 0


@durable
async def test_a_command_does_not_write_an_in_transaction_read_model_of_another_version(
    start: Start, store_url: str
) -> None:
    running = await start(shop(in_transaction_list()))
    changed = in_transaction_list()
    changed.version = 2
    with pytest.raises(SchemaOutdated, match="commands would write into it. Rebuild it first"):
        await Duly(modules=[shop(changed)], store=store_url).start()
    await place(running.app, 1)


async def test_a_command_that_is_sent_many_times_at_once_runs_once_also_where_it_writes_a_read_model(
    start: Start,
) -> None:
    """What the transaction writes comes before the row that knows the command: a slower one finds the order there."""
    running = await start(shop(in_transaction_list()))
    order = PlaceOrder(order_id="o-1")

    await asyncio.gather(*(running.app.execute(order, tenant="acme", command_id="click") for _ in range(8)))

    assert [row[0] for row in await running.app.ask(ReadTable(), tenant="acme")] == ["acme/o-1"]
