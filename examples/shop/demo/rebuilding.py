"""The step of the story in which read models are rebuilt, while orders come in and people look."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from duly import DulyError
from examples.shop.demo.facts import Calls, Rebuilding
from examples.shop.demo.plan import TENANTS, Order, Plan
from examples.shop.demo.stage import Stage, alongside
from examples.shop.demo.telling import Step
from examples.shop.ordering.messages import (
    ListedOrder,
    ListOrders,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    OrderShipped,
    PurchaseSummary,
    ReadPurchases,
)
from examples.shop.sandbox.record import CHANNELS

READ_MODELS = ("order_list", "purchases")
TEXTING = "communications.text_customer"
EVENTS = (OrderPlaced, OrderConfirmed, OrderShipped, OrderCancelled)
BETWEEN_LOOKS_SECONDS = 0.005


async def rebuild(stage: Stage, plan: Plan, step: Step) -> None:
    """Point 4: the past is read from its first event on, twice over, and nobody out there hears of it."""
    before, generations = await _calls(stage, plan), await _generations(stage)
    visitors, traffic = _Visitors(stage), _Traffic(stage)
    async with visitors.looking():
        # As often as it takes to be at it until the last of the orders has come.
        async with alongside(traffic.place(plan.meanwhile, step)) as placing:
            while True:
                begun = traffic.placed
                for name in READ_MODELS:
                    await stage.app.rebuild(name)
                traffic.meanwhile += traffic.placed - begun
                if placing.done():
                    break
        await stage.until_quiet()
    replays = [stage.app.replay(TEXTING, tenant=tenant, even_if_heard=True) for tenant in TENANTS]
    dry_runs = [await replay.dry_run() for replay in replays]
    after = await _generations(stage)
    stage.facts.rebuilding = Rebuilding(
        rebuilt=tuple(name for name in READ_MODELS if after[name] > generations[name]),
        orders_meanwhile=traffic.meanwhile,
        shown_at_once=traffic.shown_at_once,
        looks=visitors.looks,
        errors=visitors.errors,
        steps_back=visitors.steps_back,
        calls_before=before,
        calls_after=await _calls(stage, plan),
        dry_runs=tuple(dry_runs),
    )


async def look_at_read_models(stage: Stage, plan: Plan) -> None:
    """Point 4: the log, and what the read models show, as they stand in the end."""
    facts = stage.facts
    facts.events = [recorded async for recorded in stage.app.log(every_tenant=True, types=EVENTS)]
    for tenant in TENANTS:
        facts.listed[tenant] = await stage.app.ask(ListOrders(), tenant=tenant)
    for person in dict.fromkeys(order.person for order in plan.orders):
        facts.purchases[person.customer_id] = await stage.app.ask(
            ReadPurchases(customer_id=person.customer_id), tenant=person.tenant
        )


class _Traffic:
    """Orders that come in, one after the other; after each, the customer looks at what they have ordered."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.placed = 0
        self.meanwhile = 0
        """How many were placed while a rebuild was under way."""
        self.shown_at_once = 0

    async def place(self, orders: Sequence[Order], step: Step) -> None:
        for order in orders:
            await self._stage.place([order], step)
            self.placed += 1
            try:
                seen = await self._stage.app.ask(
                    ReadPurchases(customer_id=order.person.customer_id), tenant=order.person.tenant
                )
            except DulyError:
                continue
            self.shown_at_once += seen == PurchaseSummary(orders=1, total=order.total)


class _Visitors:
    """People who look at the order lists again and again."""

    RANKS = {"placed": 0, "confirmed": 1, "shipped": 2, "cancelled": 2}

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seen: dict[tuple[str, str], str] = {}
        self.looks = 0
        self.errors = 0
        self.steps_back = 0
        """Orders that were not there any more, or in an earlier state than before."""

    def looking(self) -> "_Looking":
        return _Looking(self)

    async def look(self) -> None:
        for tenant in TENANTS:
            self.looks += 1
            try:
                self._compare(tenant, await self._stage.app.ask(ListOrders(), tenant=tenant))
            except DulyError:
                self.errors += 1
        await asyncio.sleep(BETWEEN_LOOKS_SECONDS)

    def _compare(self, tenant: str, listed: Sequence[ListedOrder]) -> None:
        now = {(tenant, order.order_id): order.state for order in listed}
        for key, before in self._seen.items():
            if key[0] == tenant:
                self.steps_back += key not in now or self.RANKS[now[key]] < self.RANKS[before]
        self._seen |= now


class _Looking:
    """While the block runs, they look."""

    def __init__(self, visitors: _Visitors) -> None:
        self._visitors = visitors
        self._is_over = False

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._look())

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await self._task

    async def _look(self) -> None:
        while not self._is_over:
            await self._visitors.look()


async def _generations(stage: Stage) -> dict[str, int]:
    """The generation of each read model that is read now: others are being built, or removed."""
    found: dict[str, int] = {}
    for view in await stage.app.projections():
        found.setdefault(view.name, view.generation)
    return found


async def _calls(stage: Stage, plan: Plan) -> Calls:
    """What the providers were asked about everybody but those who order meanwhile, and what the ledgers know of it."""
    new = {order.person.recipient(channel) for order in plan.meanwhile for channel in CHANNELS}
    asked = Counter(
        channel for channel in CHANNELS for request in stage.world.requests(channel) if request.recipient not in new
    )
    past = [effect for ledger in (await stage.effects()).values() for effect in ledger if effect.recipient not in new]
    return Calls(
        requests={channel: asked[channel] for channel in CHANNELS},
        effects=len(past),
        attempts=sum(len(effect.attempts) for effect in past),
    )
