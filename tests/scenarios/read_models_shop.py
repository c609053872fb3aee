"""A shop with read models: an order list in a table, and each customer's account as a document."""

from __future__ import annotations

from duly import (
    Aggregate,
    Command,
    DomainEvent,
    Index,
    Logged,
    Module,
    Origin,
    Projection,
    Query,
    Reader,
    ReadModel,
    ReadModels,
    Repository,
    Tables,
)


class PlaceOrder(Command):
    order_id: str
    customer_id: str = "c-1"
    total: int = 10


class ChangeOrder(Command):
    order_id: str
    total: int


class OrderPlaced(DomainEvent):
    order_id: str
    customer_id: str
    total: int


class OrderChanged(DomainEvent):
    order_id: str
    total: int


class Order(Aggregate):
    customer_id: str
    total: int


class CustomerAccount(ReadModel):
    orders: int = 0
    total: int = 0
    level: Index[str] = "small"


class OrderLine(ReadModel):
    customer_id: Index[str]
    total: int
    changes: int = 0


class ReadAccount(Query[CustomerAccount | None]):
    customer_id: str


class AccountsOf(Query[list[str]]):
    level: str


class ReadTable(Query[list[tuple[str, int, int]]]):
    pass


ORDER_LINE = (
    """CREATE TABLE {order_line} (
        tenant TEXT NOT NULL, id TEXT NOT NULL, total BIGINT NOT NULL, position BIGINT NOT NULL,
        PRIMARY KEY (tenant, id)
    )""",
    "CREATE INDEX {order_line}_total ON {order_line} (tenant, total)",
)


async def placed_row(event: OrderPlaced, tables: Tables, at: Logged) -> None:
    await tables.execute(
        "INSERT INTO {order_line} (tenant, id, total, position) VALUES (:tenant, :id, :total, :position)",
        id=event.order_id,
        total=event.total,
        position=at.position,
    )


async def changed_row(event: OrderChanged, tables: Tables, at: Logged) -> None:
    await tables.execute(
        "UPDATE {order_line} SET total = :total, position = :position WHERE tenant = :tenant AND id = :id",
        id=event.order_id,
        total=event.total,
        position=at.position,
    )


class Accounts:
    """A projection in the form of a class."""

    async def placed(
        self, event: OrderPlaced, accounts: ReadModels[CustomerAccount], lines: ReadModels[OrderLine]
    ) -> None:
        """One more order."""
        account = await accounts.find(event.customer_id) or CustomerAccount(id=event.customer_id)
        accounts.put(self._grown(account, orders=1, total=event.total))
        lines.put(OrderLine(id=event.order_id, customer_id=event.customer_id, total=event.total))

    async def changed(
        self, event: OrderChanged, lines: ReadModels[OrderLine], accounts: ReadModels[CustomerAccount], origin: Origin
    ) -> None:
        """Another total."""
        assert origin.stream == f"Order/{event.order_id}"
        line = await lines.get(event.order_id)
        account = await accounts.get(line.customer_id)
        accounts.put(self._grown(account, orders=0, total=event.total - line.total))
        lines.put(line.changed(total=event.total, changes=line.changes + 1))

    def _grown(self, account: CustomerAccount, *, orders: int, total: int) -> CustomerAccount:
        total += account.total
        return account.changed(orders=account.orders + orders, total=total, level="large" if total > 100 else "small")


def order_list(**options: bool) -> Projection:
    """The projection into a table."""
    projection = Projection("order_list", tables={"order_line": ORDER_LINE}, **options)
    projection.on(placed_row)
    projection.on(changed_row)
    return projection


def account_list() -> Projection:
    """The projection into documents."""
    projection = Projection("accounts")
    projection.handlers(Accounts())
    return projection


def shop(*projections: Projection) -> Module:
    """The module, with these projections."""
    module = Module("shop", projections=projections)

    @module.command
    async def place_order(command: PlaceOrder, orders: Repository[Order]) -> None:
        order = Order(id=command.order_id, customer_id=command.customer_id, total=command.total)
        order.record(OrderPlaced(order_id=order.id, customer_id=order.customer_id, total=order.total))
        orders.add(order)

    @module.command
    async def change_order(command: ChangeOrder, orders: Repository[Order]) -> None:
        order = await orders.get(command.order_id)
        order.total = command.total
        order.record(OrderChanged(order_id=order.id, total=order.total))

    @module.query
    async def read_table(query: ReadTable, reader: Reader) -> list[tuple[str, int, int]]:
        rows = await reader.fetch_all("SELECT tenant, id, total, position FROM order_line ORDER BY tenant, id")
        return [(f"{row['tenant']}/{row['id']}", int(str(row["total"])), int(str(row["position"]))) for row in rows]

    return module


def with_accounts(module: Module) -> Module:
    """The module, with queries for accounts."""

    @module.query
    async def read_account(query: ReadAccount, accounts: ReadModels[CustomerAccount]) -> CustomerAccount | None:
        return await accounts.find(query.customer_id)

    @module.query
    async def accounts_of(query: AccountsOf, accounts: ReadModels[CustomerAccount]) -> list[str]:
        return [account.id for account in await accounts.by(level=query.level)]

    return module
