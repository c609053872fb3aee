"""The shop with python-cqrs: a command handler, a handler of its domain event, an outbox, one session for all of them.

Documentation: its README (package index), *Scoped dependencies* and *Transactional Outbox*, which send the reader to
``examples/di/scoped_dependencies_sqlalchemy.py``: ``ScopeStrategy.SEND`` gives one unit of work to a command and its
events; the session commits when the scope ends.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from decimal import Decimal

import cqrs
import di
from cqrs.bootstrap.requests import bootstrap
from di import dependent
from sqlalchemy import Numeric, String
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    customer: Mapped[str] = mapped_column(String(40))
    total: Mapped[Decimal] = mapped_column(Numeric(12, 2, asdecimal=True))


class Payment(Base):
    __tablename__ = "payments"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    amount: Mapped[Decimal] = mapped_column(Numeric(12, 2, asdecimal=True))


class PlaceOrder(cqrs.Request[None]):
    order_id: str
    customer: str
    total: Decimal


class OrderPlaced(cqrs.DomainEvent):
    order_id: str
    customer: str
    total: Decimal


@dataclasses.dataclass(frozen=True)
class OrderPlacedPayload:
    order_id: str
    customer: str
    total: str


@dataclasses.dataclass(frozen=True)
class PaymentRequestedPayload:
    order_id: str
    amount: str


cqrs.OutboxedEventMap.register("order_placed", cqrs.NotificationEvent[OrderPlacedPayload])
cqrs.OutboxedEventMap.register("payment_requested", cqrs.NotificationEvent[PaymentRequestedPayload])


class PlaceOrderHandler(cqrs.RequestHandler[PlaceOrder]):
    def __init__(self, session: AsyncSession, outbox: cqrs.OutboxedEventRepository) -> None:
        self._session = session
        self._outbox = outbox
        self._events: list[cqrs.Event] = []

    @property
    def events(self) -> list[cqrs.Event]:
        return self._events

    async def handle(self, request: PlaceOrder) -> None:
        self._session.add(Order(id=request.order_id, customer=request.customer, total=request.total))
        self._outbox.add(
            cqrs.NotificationEvent[OrderPlacedPayload](
                event_name="order_placed",
                topic="orders",
                payload=OrderPlacedPayload(request.order_id, request.customer, str(request.total)),
            )
        )
        self._events.append(OrderPlaced(order_id=request.order_id, customer=request.customer, total=request.total))


class RequestPayment(cqrs.EventHandler[OrderPlaced]):
    def __init__(self, session: AsyncSession, outbox: cqrs.OutboxedEventRepository) -> None:
        self._session = session
        self._outbox = outbox

    async def handle(self, event: OrderPlaced) -> None:
        self._session.add(Payment(id=event.order_id, amount=event.total))
        self._outbox.add(
            cqrs.NotificationEvent[PaymentRequestedPayload](
                event_name="payment_requested",
                topic="payments",
                payload=PaymentRequestedPayload(event.order_id, str(event.total)),
            )
        )


def mediator(sessions: async_sessionmaker[AsyncSession]) -> cqrs.RequestMediator:
    """The shop on sessions of a database."""

    async def session_of_scope() -> AsyncIterator[AsyncSession]:
        session = sessions()
        try:
            yield session
            await session.commit()
        except Exception:
            await session.rollback()
            raise
        finally:
            await session.close()

    def outbox_of_session(session: AsyncSession) -> cqrs.SqlAlchemyOutboxedEventRepository:
        return cqrs.SqlAlchemyOutboxedEventRepository(session)

    container = di.Container()
    for made, provider in ((AsyncSession, session_of_scope), (cqrs.OutboxedEventRepository, outbox_of_session)):
        container.bind(di.bind_by_type(dependent.Dependent(provider, scope="request"), made))
    return bootstrap(
        di_container=container,
        commands_mapper=lambda mapper: mapper.bind(PlaceOrder, PlaceOrderHandler),
        domain_events_mapper=lambda mapper: mapper.bind(OrderPlaced, RequestPayment),
        scope_strategy=cqrs.ScopeStrategy.SEND,
    )
