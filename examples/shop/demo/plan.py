"""The script: who orders what, and in what roles."""

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from examples.shop.customers.messages import RegisterCustomer
from examples.shop.demo.troubles import IN_FLIGHT, NONE, TROUBLES, Trouble
from examples.shop.demo.waits import AGAIN, BY_CARD, ORDERS_FIRST, PAID_BY_CARD, REGISTERS_FIRST, TOO_LATE
from examples.shop.ordering.messages import Line, Money, PlaceOrder
from examples.shop.providers import SLOTS
from examples.shop.sandbox.record import Channel

TENANTS = ("acme", "globex")
WORKERS = 2
ORDERS_MIN, ORDERS_MAX = 110, 5_000
PEOPLE_MAX = 40
OUTAGE_ORDERS, HELD_ORDERS = 20, 4
"""How many orders are placed while providers are away: before the breakers are open, and afterwards."""
ORDERS_MEANWHILE = 20
"""How many orders come in while read models are rebuilt."""
PERSON = "support@shop.example"
ARTICLES = (("novel", "12.90"), ("atlas", "39.00"), ("cookbook", "24.50"), ("dictionary", "31.20"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A customer of one tenant."""

    tenant: str
    customer_id: str
    email: str
    phone: str
    may_greet: bool = False

    @property
    def registration(self) -> RegisterCustomer:
        """The command that registers this person."""
        return RegisterCustomer(
            customer_id=self.customer_id,
            name=f"Customer {self.customer_id}",
            email=self.email,
            phone=self.phone,
            may_greet=self.may_greet,
        )

    def recipient(self, channel: Channel) -> str:
        """What this person is called at a provider."""
        return {"email": self.email, "sms": self.phone, "billing": self.customer_id}[channel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order that will be placed."""

    person: Person
    order_id: str
    lines: tuple[Line, ...]
    trouble: Trouble = NONE
    by_card: bool = False

    @property
    def command(self) -> PlaceOrder:
        """The command that places it."""
        return PlaceOrder(
            order_id=self.order_id,
            customer_id=self.person.customer_id,
            email=self.person.email,
            phone=self.person.phone,
            lines=self.lines,
            by_card=self.by_card,
        )

    @property
    def effects_planned(self) -> int:
        """How many effects must follow from it, whatever becomes of them."""
        return sum(len(states) for states in self.trouble.states.values())

    @property
    def total(self) -> Money:
        """What it costs."""
        return Money(amount=sum((line.price.amount * line.quantity for line in self.lines), Decimal(0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomers:
    """People of one tenant who may be greeted, when they have registered and ordered."""

    registers_first: Order
    orders_first: tuple[Order, Order]
    """Both by one person, a guest until then."""
    late: Order
    """Placed when nobody waits for it any more."""
    silent: Person
    """Never orders."""

    @property
    def orders(self) -> tuple[Order, ...]:
        """All that they order."""
        return (self.registers_first, *self.orders_first, self.late)

    @property
    def people(self) -> tuple[Person, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys([*(order.person for order in self.orders), self.silent]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that will happen."""

    shipped: Order
    closed: Order
    too_dear: Order
    clicked: Order
    troubled: tuple[Order, ...]
    outage: tuple[Order, ...]
    """Placed when providers are away."""
    held: tuple[Order, ...]
    """Placed when everybody knows that they are away."""
    by_card: tuple[Order, ...]
    newcomers: tuple[Newcomers, ...]
    in_flight: tuple[Order, ...]
    usual: tuple[Order, ...]
    meanwhile: tuple[Order, ...]
    """Placed while read models are rebuilt, each by somebody new."""

    @property
    def orders(self) -> tuple[Order, ...]:
        """All orders that will stand in the end."""
        special = (*self.troubled, *self.outage, *self.held, *self.by_card, *self.in_flight)
        greeted = (order for newcomers in self.newcomers for order in newcomers.orders)
        return (self.shipped, self.closed, self.clicked, *special, *greeted, *self.usual, *self.meanwhile)

    def in_trouble(self, *troubles: Trouble) -> tuple[Order, ...]:
        """The orders that meet one of these troubles."""
        return tuple(order for order in self.orders if order.trouble in troubles)

    @property
    def people(self) -> tuple[Person, ...]:
        """Everyone, each once."""
        silent = (newcomers.silent for newcomers in self.newcomers)
        return tuple(dict.fromkeys([*(order.person for order in (*self.orders, self.too_dear)), *silent]))

    @property
    def customers(self) -> tuple[Person, ...]:
        """Those who register before anything else happens."""
        return tuple(person for person in self.people if not person.may_greet)

    @property
    def cascade(self) -> Order:
        """The order that is looked at more closely: a usual one."""
        return self.usual[0]

    def wisher(self, tenant: str) -> str:
        """The address that wishes for the tenant's newsletter."""
        return f"reader@{tenant}-readers.example"


def make_plan(orders: int) -> Plan:
    """A plan with *orders* orders that will stand in the end, half for each tenant; at least `ORDERS_MIN`."""
    acme, globex = (_Cast(tenant) for tenant in TENANTS)
    shipped, closed, clicked = acme.order(), globex.order(), acme.order()
    too_dear = globex.order(lines=(Line(article="library", quantity=1, price=Money(amount=Decimal(9_000))),))
    troubled = tuple(cast.order(trouble) for trouble in TROUBLES for cast in (acme, globex))
    in_flight = tuple(cast.order(IN_FLIGHT) for _ in range(WORKERS * SLOTS // 2) for cast in (acme, globex))
    outage = tuple(cast.order() for _ in range(OUTAGE_ORDERS // 2) for cast in (acme, globex))
    held = tuple(cast.order() for _ in range(HELD_ORDERS // 2) for cast in (acme, globex))
    by_card = tuple(cast.card_order(trouble) for trouble in BY_CARD for cast in (acme, globex))
    newcomers = tuple(cast.newcomers() for cast in (acme, globex))
    meanwhile = tuple(cast.order() for _ in range(ORDERS_MEANWHILE // 2) for cast in (acme, globex))
    special = (*troubled, *outage, *held, *by_card, *in_flight, *meanwhile)
    left = orders - 3 - len(special) - sum(len(one.orders) for one in newcomers)
    usual = tuple((acme, globex)[number % 2].usual_order() for number in range(left))
    return Plan(
        shipped=shipped,
        closed=closed,
        too_dear=too_dear,
        clicked=clicked,
        troubled=troubled,
        outage=outage,
        held=held,
        by_card=by_card,
        newcomers=newcomers,
        in_flight=in_flight,
        usual=usual,
        meanwhile=meanwhile,
    )


class _Cast:
    """Makes the people and orders of one tenant. Both tenants use the same order ids: they never meet."""

    # Numbers that are kept free for films: 0171 39200xx in Germany, (202) 555-01xx in the United States.
    PREFIXES: ClassVar = {"acme": "+4917139200", "globex": "+120255501"}

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._people = 0
        self._orders = 0
        self._usual: list[Person] = []

    def order(self, trouble: Trouble = NONE, lines: tuple[Line, ...] | None = None) -> Order:
        """An order by somebody new."""
        return self._order(self._person(), trouble, lines)

    def card_order(self, trouble: Trouble) -> Order:
        """An order by somebody new, paid by card; too dear for the card unless the bank shall take it."""
        dear = (Line(article="encyclopedia", quantity=1, price=Money(amount=Decimal(1_500))),)
        return self._order(self._person(), trouble, None if trouble is PAID_BY_CARD else dear, by_card=True)

    def newcomers(self) -> Newcomers:
        """New people who may be greeted."""
        guest = self._person(may_greet=True)
        return Newcomers(
            registers_first=self._order(self._person(may_greet=True), REGISTERS_FIRST, None),
            orders_first=(self._order(guest, ORDERS_FIRST, None), self._order(guest, AGAIN, None)),
            late=self._order(self._person(may_greet=True), TOO_LATE, None),
            silent=self._person(may_greet=True),
        )

    def usual_order(self) -> Order:
        """An order by one of at most `PEOPLE_MAX` people, in turn."""
        number = self._orders % PEOPLE_MAX
        if len(self._usual) < PEOPLE_MAX:
            self._usual.append(self._person())
            return self._order(self._usual[-1], NONE, None)
        return self._order(self._usual[number], NONE, None)

    def _person(self, *, may_greet: bool = False) -> Person:
        number = self._people
        self._people += 1
        return Person(
            tenant=self._tenant,
            customer_id=f"{self._tenant}-{number:03}",
            email=f"customer.{number:03}@{self._tenant}.example",
            phone=f"{self.PREFIXES[self._tenant]}{number:02}",
            may_greet=may_greet,
        )

    def _order(
        self, person: Person, trouble: Trouble, lines: tuple[Line, ...] | None, *, by_card: bool = False
    ) -> Order:
        number = self._orders
        self._orders += 1
        article, price = ARTICLES[number % len(ARTICLES)]
        one = Line(article=article, quantity=number % 3 + 1, price=Money(amount=Decimal(price)))
        return Order(
            person=person, order_id=str(1_001 + number), lines=lines or (one,), trouble=trouble, by_card=by_card
        )
