"""The order list: what a tenant sees of its orders. A table that follows the log."""

from duly import Projection, Tables
from examples.shop.ordering.messages import OrderCancelled, OrderConfirmed, OrderPlaced, OrderShipped

# Whole cents, since SQLite has no decimal numbers.
ORDER_LINE = """
CREATE TABLE {order_line} (
    tenant TEXT NOT NULL, id TEXT NOT NULL, number TEXT NOT NULL, customer_id TEXT NOT NULL,
    cents BIGINT NOT NULL, currency TEXT NOT NULL, state TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
)
"""
SET_STATE = "UPDATE {order_line} SET state = :state WHERE tenant = :tenant AND id = :id"

order_list = Projection("order_list", tables={"order_line": ORDER_LINE})


@order_list.on
async def placed(event: OrderPlaced, tables: Tables) -> None:
    """One line more."""
    await tables.execute(
        "INSERT INTO {order_line} (tenant, id, number, customer_id, cents, currency, state) "
        "VALUES (:tenant, :id, :number, :customer_id, :cents, :currency, 'placed')",
        id=event.order_id,
        number=event.number,
        customer_id=event.customer_id,
        cents=int(event.total.amount * 100),
        currency=event.total.currency,
    )


@order_list.on
async def confirmed(event: OrderConfirmed, tables: Tables) -> None:
    """It is paid for, and will be shipped."""
    await tables.execute(SET_STATE, id=event.order_id, state="confirmed")


@order_list.on
async def shipped(event: OrderShipped, tables: Tables) -> None:
    """It has left the house."""
    await tables.execute(SET_STATE, id=event.order_id, state="shipped")


@order_list.on
async def cancelled(event: OrderCancelled, tables: Tables) -> None:
    """It stays on the list."""
    await tables.execute(SET_STATE, id=event.order_id, state="cancelled")
