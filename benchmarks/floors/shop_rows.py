"""The values that the floors of the whole flow write, put together as cheaply as a person would by hand."""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import uuid4

TENANT: Final = "acme"
CUSTOMER: Final = "+4915123456789"
TOTAL: Final = "99.90"
BUCKETS: Final = 32

# `{serial}` is each database's own word for a number that it draws.
BARE_TABLES: Final = (
    "CREATE TABLE orders (tenant TEXT NOT NULL, id TEXT NOT NULL, customer TEXT NOT NULL, total TEXT NOT NULL, "
    "PRIMARY KEY (tenant, id))",
    "CREATE TABLE payments (tenant TEXT NOT NULL, id TEXT NOT NULL, amount TEXT NOT NULL, PRIMARY KEY (tenant, id))",
    "CREATE TABLE outbox (id {serial}, topic TEXT NOT NULL, key TEXT NOT NULL, payload TEXT NOT NULL)",
)
BARE_COUNTS: Final = {
    "orders": "SELECT count(*) FROM orders",
    "payments": "SELECT count(*) FROM payments",
    "outbox rows": "SELECT count(*) FROM outbox",
}
# Only this tenant's: ours is warmed up with commands of another one.
DULY_COUNTS: Final = {
    "orders": f"SELECT count(*) FROM duly.document WHERE type = 'Order' AND tenant = '{TENANT}'",
    "payments": f"SELECT count(*) FROM duly.document WHERE type = 'Payment' AND tenant = '{TENANT}'",
    "outbox rows": f"SELECT count(*) FROM duly.outbox WHERE lane LIKE '{TENANT}/%'",
    "messages": f"SELECT count(*) FROM duly.message WHERE tenant = '{TENANT}'",
    "commit rows": f"SELECT count(*) FROM duly.commit_log WHERE tenant = '{TENANT}'",
    "inbox rows": f"SELECT count(*) FROM duly.inbox WHERE tenant = '{TENANT}'",
}


class BareRow(NamedTuple):
    """One order."""

    order_id: str
    placed: str
    requested: str


def bare_row(number: int) -> BareRow:
    """The order with this number, its two messages as JSON."""
    order_id = f"order-{number}"
    return BareRow(
        order_id,
        f'{{"order_id":"{order_id}","customer":"{CUSTOMER}","total":"{TOTAL}"}}',
        f'{{"order_id":"{order_id}","amount":"{TOTAL}"}}',
    )


class SameRow(NamedTuple):
    """One order with everything that duly writes beside it."""

    order_id: str
    command_id: str
    digest: str
    token: str
    order: str
    payment: str
    placed_id: str
    placed: str
    placed_stream: str
    placed_chain: str
    requested_id: str
    requested: str
    requested_stream: str
    requested_chain: str
    bucket: int


def same_row(number: int) -> SameRow:
    """The order with this number, in the form and length in which duly stores it."""
    bare = bare_row(number)
    order_id = bare.order_id
    command_id, token, placed_id, requested_id = str(uuid4()), uuid4().hex, str(uuid4()), str(uuid4())
    link = f'["command","PlaceOrder","{command_id}",""]'
    return SameRow(
        order_id=order_id,
        command_id=command_id,
        digest=token * 2,
        token=token,
        order=f'{{"id":"{order_id}","customer":"{CUSTOMER}","total":"{TOTAL}"}}',
        payment=f'{{"id":"{order_id}","amount":"{TOTAL}"}}',
        placed_id=placed_id,
        placed=bare.placed,
        placed_stream=f"Order/{order_id}",
        placed_chain=f"[{link}]",
        requested_id=requested_id,
        requested=bare.requested,
        requested_stream=f"Payment/{order_id}",
        requested_chain=f'[{link},["event","OrderPlaced","{placed_id}","shop.place_order"]]',
        bucket=number % BUCKETS,
    )
