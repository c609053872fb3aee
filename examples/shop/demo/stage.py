"""Where the story is played: the application without a worker, its workers as processes, and the outside world."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeVar

from duly import AggregateNotFound, Command, Dispatch, Duly, DulyError, EffectView
from examples.shop.demo.comparison import taken_by
from examples.shop.demo.facts import Facts
from examples.shop.demo.plan import TENANTS, Order
from examples.shop.demo.telling import Step, Telling
from examples.shop.demo.workers import Workers
from examples.shop.ordering.messages import ReadOrder
from examples.shop.sandbox.client import Sandbox
from examples.shop.sandbox.receipt_rules import RESULTS
from examples.shop.sandbox.record import CHANNELS, Accepted, Channel, Receipt

T = TypeVar("T")

PLACED_AT_ONCE = 8
QUIET_TIME_MAX = timedelta(minutes=3)
SAMPLE_SECONDS = 1.0
ABSENT = "absent"
NO_ERROR = "no error"
SETTLED = (Dispatch.ACCEPTED, Dispatch.FAILED, Dispatch.UNKNOWN)


@asynccontextmanager
async def alongside(work: Coroutine[None, None, T]) -> AsyncIterator[asyncio.Task[T]]:
    """Run *work* beside the block, whose end waits for it; it ends with the block if that fails."""
    task = asyncio.create_task(work)
    try:
        yield task
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Stage:
    """What every step of the story works with."""

    def __init__(
        self,
        app: Duly,
        second_app: Duly,
        *,
        store: str,
        world: Sandbox,
        workers: Workers,
        telling: Telling,
        facts: Facts,
    ) -> None:
        self.app = app
        self.second_app = second_app
        self.store = store
        self.world = world
        self.workers = workers
        self.telling = telling
        self.facts = facts

    # Doing.

    def arrange(self, orders: Sequence[Order]) -> None:
        """Have the providers behave to the people of some orders as it is planned."""
        for order in orders:
            recipient = order.person.recipient
            for channel, how in order.trouble.behaviours.items():
                self.world.set_behaviour(channel, recipient(channel), how.name, times=how.times, seconds=how.seconds)
            for channel, report in order.trouble.reports.items():
                self.world.set_receipts(channel, recipient(channel), report.mood, result=report.result)

    async def place(self, orders: Sequence[Order], step: Step) -> None:
        """Place orders, several at once."""
        turn = asyncio.Semaphore(PLACED_AT_ONCE)

        async def one(order: Order) -> None:
            async with turn:
                await self.app.execute(order.command, tenant=order.person.tenant, command_id=f"order-{order.order_id}")
            step.advance()

        await asyncio.gather(*(one(order) for order in orders))

    async def refused(self, command: Command[object], *, tenant: str, command_id: str | None = None) -> str:
        """Execute a command that must be refused: the name of the error."""
        try:
            await self.app.execute(command, tenant=tenant, command_id=command_id)
        except DulyError as error:
            return type(error).__name__
        return NO_ERROR

    async def until_quiet(self, step: Step | None = None) -> None:
        """Wait until everything promised is done, and look at it meanwhile. Raises `WorkerDied`, `NotQuiet`.

        The *step*, if there is one, shows how many effects are settled.
        """
        async with alongside(self.app.until_quiet(time_max=QUIET_TIME_MAX)) as quiet:
            while not quiet.done():
                self.workers.check()
                effects = await self.sample()
                if step is not None:
                    step.show(sum(effect.state in SETTLED for effect in effects), len(effects))
                await asyncio.wait([quiet], timeout=SAMPLE_SECONDS)

    # Looking.

    async def order_state(self, order: Order) -> str:
        """The state of an order, or that there is none."""
        try:
            found = await self.app.ask(ReadOrder(order_id=order.order_id), tenant=order.person.tenant)
        except AggregateNotFound:
            return ABSENT
        return found.state

    async def effects(self) -> dict[str, list[EffectView]]:
        """Each tenant's ledger."""
        return {tenant: await self.app.ledger(tenant).all_effects() for tenant in TENANTS}

    def records(self) -> dict[Channel, list[Accepted]]:
        """What the providers have written down so far."""
        return {channel: self.world.recorded(channel) for channel in CHANNELS}

    def receipts(self) -> list[Receipt]:
        """What the providers have reported so far."""
        return [receipt for channel in RESULTS for receipt in self.world.recorded_receipts(channel)]

    async def sample(self) -> list[EffectView]:
        """Read the ledgers first and the providers' records afterwards: what is accepted must be there by then."""
        effects = [effect for ledger in (await self.effects()).values() for effect in ledger]
        taken = taken_by(effects, self.records())
        self.facts.samples += 1
        self.facts.accepted_too_early += sum(
            effect.state is Dispatch.ACCEPTED and not taken[effect.id] for effect in effects
        )
        return effects
