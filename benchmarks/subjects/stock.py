"""A shop with much in store, on PostgreSQL: orders, log and outbox, written straight into duly's tables.

Order number n belongs to tenant number n modulo the tenants. Its rows are those that `benchmarks.subjects.shop` leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.subjects.logged import GOES_ON
from duly import Aggregate, Command, DomainEvent, Duly, Module, Repository
from duly.messages.identity import BUCKETS


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """*orders* of two aggregates each, and their receipts; *events* in the log; *waiting* rows in the outbox."""

    orders: int = 1_000
    events: int = 0
    waiting: int = 0
    tenants: int = 1

    def tenant_of(self, number: int) -> str:
        """The tenant of an order."""
        return f"tenant-{number % self.tenants}"

    def statements(self) -> list[str]:
        """What puts it into a migrated, empty database."""
        commits = -(-max(self.events, self.waiting) // 2)
        return [
            DOCUMENTS.format(rows=self.orders, tenants=self.tenants),
            RECEIPTS.format(rows=self.orders, tenants=self.tenants),
            COMMITS.format(rows=commits, tenants=self.tenants),
            MESSAGES.format(rows=commits, tenants=self.tenants),
            *([GOES_ON, NUMBER] if commits else []),
            WAITING.format(rows=self.waiting, tenants=self.tenants, buckets=BUCKETS),
            *(f"VACUUM ANALYZE duly.{table}" for table in TABLES),
            "CHECKPOINT",
        ]


TABLES: Final = ("document", "inbox", "commit_log", "message", "outbox", "log_stretch", "sequencer")
# Doubled braces are JSON's own.
DOCUMENTS: Final = """
INSERT INTO duly.document (tenant, type, id, version, schema, body)
SELECT 'tenant-' || (n % {tenants}), 'Order', 'order-' || n, 1, 1,
       '{{"id":"order-' || n || '","customer":"+4915123456789","total":"99.90"}}'
  FROM generate_series(0, {rows} - 1) AS n
 UNION ALL
SELECT 'tenant-' || (n % {tenants}), 'Payment', 'order-' || n, 1, 1,
       '{{"id":"order-' || n || '","amount":"99.90"}}'
  FROM generate_series(0, {rows} - 1) AS n
"""
RECEIPTS: Final = """
INSERT INTO duly.inbox (tenant, id, name, digest, token, result, expires_ms)
SELECT 'tenant-' || (n % {tenants}), md5('command-' || n), 'PlaceOrder', md5('digest-' || n) || md5('body-' || n),
       md5('token-' || n), 'null', 4102444800000 FROM generate_series(0, {rows} - 1) AS n
"""
COMMITS: Final = """
INSERT INTO duly.commit_log (id, tenant, events, at_ms) OVERRIDING SYSTEM VALUE
SELECT n + 1, 'tenant-' || (n % {tenants}), 2, 1700000000000 FROM generate_series(0, {rows} - 1) AS n
"""
MESSAGES: Final = """
INSERT INTO duly.message (commit_id, ordinal, id, tenant, kind, name, version, subject, stream, stream_version, handler,
                          chain, body)
SELECT n + 1, o, md5('event-' || n || '-' || o), 'tenant-' || (n % {tenants}), 'event', 'OrderPlaced', 1,
       'Order/order-' || n, 'Order/order-' || n, o + 1, 'shop.place_order',
       '[["command","PlaceOrder","' || md5('command-' || n) || '",""]]',
       '{{"order_id":"order-' || n || '","customer":"+4915123456789","total":"99.90"}}'
  FROM generate_series(0, {rows} - 1) AS n CROSS JOIN generate_series(0, 1) AS o
"""
NUMBER: Final = "DO $$ BEGIN WHILE duly.number_commits(1000) > 0 LOOP COMMIT; END LOOP; END $$"
WAITING: Final = """
INSERT INTO duly.outbox (subscriber_no, bucket, lane, commit_id, ordinal)
SELECT 1, n % {buckets}, 'tenant-' || (n % {tenants}) || '/Order/order-' || n, n / 2 + 1, n % 2
  FROM generate_series(0, {rows} - 1) AS n
"""


class NoteOrder(Command):
    order_id: str
    note: str


class OrderNoted(DomainEvent):
    order_id: str
    note: str


class Order(Aggregate):
    customer: str
    total: str
    note: str = ""


def application(url: str) -> Duly:
    """What changes an order: it is got and changed, says one event, and one subscriber is promised it; no worker."""
    module = Module("stock")

    @module.command
    async def note_order(command: NoteOrder, orders: Repository[Order]) -> None:
        order = await orders.get(command.order_id)
        order.note = command.note
        order.record(OrderNoted(order_id=order.id, note=command.note))

    @module.after_commit
    async def tell(event: OrderNoted) -> None:
        """Nobody runs this here: what is measured is the promise."""

    return Duly(modules=[module], store=url, worker=False)
