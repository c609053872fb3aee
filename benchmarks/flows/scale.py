"""How far one PostgreSQL goes: processes beside each other, and what one command costs in a store that has grown."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from benchmarks.loop import run
from benchmarks.measured import Measured, Stopwatch
from benchmarks.places.place import Place
from benchmarks.places.processes import Processes
from benchmarks.scaling import Axis, Scaling
from benchmarks.subjects import announcements, shop
from benchmarks.subjects.baskets import LINES_PER_BASKET, fill
from benchmarks.subjects.stock import NoteOrder, Stock, application

DELIVERIES_MAX: Final = 16
"""As many as by default."""
STRIDE: Final = 7_919_317
"""A prime: orders come from all over the store."""
TENANTS_OF_MANY: Final = 100

Measure = Callable[[int], Measured]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleSizes:
    """How much of everything: the largest of what grows, and how long a measurement is."""

    orders: int
    tenants: int
    commands: int
    messages: int
    seconds: float
    processes: tuple[int, ...]

    def up_to(self, largest: int) -> tuple[int, ...]:
        """A thousandth of it, a hundredth, a tenth, and all of it."""
        return tuple(sorted({max(1, largest // part) for part in (1_000, 100, 10, 1)}))


@dataclass(kw_only=True)
class Scale(Scaling):
    """On one server; every measurement is of what one operation costs, or of how many there are in a second."""

    work: ClassVar[str] = (
        "Processes that place orders (32 commands in flight in each) or deliver messages (a handler that writes a "
        "document) beside each other, in a store with many orders. And single commands, one in flight: an order is "
        "got and changed and says one event, which one subscriber is promised, in stores in which one thing is large; "
        "last, an announcement that is promised to 1, 10 or 100 subscribers."
    )
    place: Place
    fill: Callable[[str, Sequence[str]], None]
    sizes: ScaleSizes

    @property
    def store(self) -> str:
        return self.place.store

    def open(self) -> None:
        self.place.open()

    def metered(self) -> AbstractContextManager[object]:
        return self.place.metered(counting=False)

    def axes(self) -> Sequence[Axis]:
        sizes, few = self.sizes, self.sizes.up_to(self.sizes.orders)[0]
        return (
            Axis(name="ordering", of="processes", unit="commands/s", xs=sizes.processes, opened=self._ordering),
            Axis(name="delivering", of="processes", unit="deliveries/s", xs=sizes.processes, opened=self._delivering),
            self._grown("aggregates", "orders", sizes.orders, lambda x: Stock(orders=x)),
            self._grown("backlog", "outbox rows", sizes.orders, lambda x: Stock(orders=few, waiting=x)),
            self._grown("log", "events", 2 * sizes.orders, lambda x: Stock(orders=few, events=x)),
            self._grown("tenants", "tenants", sizes.tenants, lambda x: Stock(orders=sizes.orders // 10, tenants=x)),
            Axis(
                name="subscribers",
                of="subscribers",
                unit="commands/s",
                xs=announcements.SUBSCRIBERS,
                opened=self._announcing,
            ),
        )

    def _grown(self, name: str, of: str, largest: int, stock_of: Callable[[int], Stock]) -> Axis:
        xs = self.sizes.up_to(largest)
        stocks = {x: stock_of(x) for x in xs}
        return Axis(name=name, of=of, unit="commands/s", xs=xs, opened=lambda: self._changing(stocks))

    # Processes.

    @contextmanager
    def _ordering(self) -> Iterator[Measure]:
        with self._stored(self._many()) as url:
            runs = iter(range(1_000_000))

            def measure(processes: int) -> Measured:
                with Processes("ordering", processes, url, str(self.sizes.seconds)) as ordering:
                    tenant, cpu_begun = f"run-{next(runs)}", ordering.cpu_seconds()
                    with Stopwatch() as watch:
                        ordering.say(tenant)
                        told = [said.split() for said in ordering.hear("placed")]
                    cpu_seconds = ordering.cpu_seconds() - cpu_begun
                placed = sum(int(count) for count, _ in told)
                kept = self.place.count(url, f"SELECT count(*) FROM duly.inbox WHERE tenant = '{tenant}'")
                if kept != placed:
                    raise RuntimeError(f"{self.key}: {placed} commands said that they were done, and {kept} were.")
                seconds = max(float(took) for _, took in told)
                return Measured(operations=placed, seconds=seconds, cpu_seconds=cpu_seconds, spent=watch.spent)

            yield measure

    @contextmanager
    def _delivering(self) -> Iterator[Measure]:
        from benchmarks.places.backlog import Backlog

        messages = self.sizes.messages // LINES_PER_BASKET * LINES_PER_BASKET
        with self._stored(self._many()) as url, Backlog(url) as backlog:
            run(fill(url, messages))
            backlog.set_aside()

            def measure(workers: int) -> Measured:
                with Processes("packing_worker", workers, url, "0", str(DELIVERIES_MAX)) as working:
                    backlog.until_shared(workers)
                    cpu_begun = working.cpu_seconds()
                    done = backlog.drain(messages)
                    cpu_seconds = working.cpu_seconds() - cpu_begun
                if (done.left, done.documents) != (0, messages):
                    raise RuntimeError(f"{self.key}: {messages} messages left {done.documents} documents.")
                return Measured(
                    operations=messages, seconds=done.watch.seconds, cpu_seconds=cpu_seconds, spent=done.watch.spent
                )

            yield measure

    def _many(self) -> Stock:
        return Stock(orders=self.sizes.orders, events=2 * self.sizes.orders, tenants=TENANTS_OF_MANY)

    # Single commands.

    @contextmanager
    def _changing(self, stocks: dict[int, Stock]) -> Iterator[Measure]:
        begun = iter(range(0, 1_000_000_000, self.sizes.commands))
        with ExitStack() as stack:
            urls = {x: stack.enter_context(self._stored(stock)) for x, stock in stocks.items()}
            yield lambda x: self._kept(urls[x], _change(urls[x], stocks[x], next(begun), self.sizes.commands))

    @contextmanager
    def _announcing(self) -> Iterator[Measure]:
        url = self.place.create()
        run(announcements.application(url).migrate())
        begun = iter(range(0, 1_000_000_000, self.sizes.commands))
        try:
            yield lambda x: self._kept(url, _announce(url, x, next(begun), self.sizes.commands))
        finally:
            self.place.remove(url)

    def _kept(self, url: str, work: Coroutine[Any, Any, Measured]) -> Measured:
        """Run *work*; each of its commands, one for the warm-up included, must have left a receipt."""
        receipts = "SELECT count(*) FROM duly.inbox"
        before = self.place.count(url, receipts)
        measured = run(work)
        kept = self.place.count(url, receipts) - before
        if kept != measured.operations + 1:
            raise RuntimeError(f"{self.key}: {measured.operations} commands and a warm-up left {kept} receipts.")
        return measured

    @contextmanager
    def _stored(self, stock: Stock) -> Iterator[str]:
        url = self.place.create()
        try:
            run(shop.application(url).migrate())
            self.fill(url, stock.statements())
            yield url
        finally:
            self.place.remove(url)


async def _change(url: str, stock: Stock, begun: int, commands: int) -> Measured:
    async with application(url) as app:
        await app.execute(NoteOrder(order_id="order-0", note="warm-up"), tenant=stock.tenant_of(0))
        with Stopwatch() as watch:
            for turn in range(begun, begun + commands):
                number = turn * STRIDE % stock.orders
                command = NoteOrder(order_id=f"order-{number}", note=f"noted {turn}")
                await app.execute(command, tenant=stock.tenant_of(number))
    return watch.measured(commands, {"commands": commands})


async def _announce(url: str, subscribers: int, begun: int, commands: int) -> Measured:
    async with announcements.application(url) as app:
        await app.execute(announcements.Announce(number=begun, subscribers=subscribers), tenant="warm-up")
        with Stopwatch() as watch:
            for number in range(begun, begun + commands):
                command = announcements.Announce(number=number, subscribers=subscribers)
                await app.execute(command, tenant=announcements.TENANT)
    return watch.measured(commands, {"commands": commands})
