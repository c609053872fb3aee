"""The story, step by step. It only does and looks; `checks` judges."""

import asyncio
from datetime import UTC, datetime, timedelta

from duly.errors import EffectNotFound
from examples.shop.customers.messages import CountNewsletterWishes, WishForNewsletter
from examples.shop.demo.aftermath import hear_every_receipt, outlast_an_outage, settle_in_person
from examples.shop.demo.facts import Cascade, Clicks, Kill, Newsletter, Refusal
from examples.shop.demo.plan import TENANTS, WORKERS, Plan
from examples.shop.demo.rebuilding import look_at_read_models, rebuild
from examples.shop.demo.stage import NO_ERROR, SETTLED, Stage, alongside
from examples.shop.demo.telling import Step
from examples.shop.demo.troubles import FOUND, LOOKED_UP, NOT_FOUND
from examples.shop.demo.waiting import look_at_cards, pay_by_card, welcome
from examples.shop.demo.workers import WorkerProcess
from examples.shop.ordering.messages import CancelOrder, CountOrders, ShipOrder
from examples.shop.payments.messages import CloseAccount, ReadAccount, ReadPayment
from examples.shop.providers import SLOTS

CLICKS = 20
CALL_STILL_OPEN = timedelta(seconds=2)
"""A call that the provider has kept waiting for no longer than this is still open: its time limit is three seconds."""
IN_FLIGHT_SECONDS_MAX = 30.0
POLL_SECONDS = 0.02


class NothingInFlight(Exception):
    """A worker was to be killed in the middle of a call, and that moment never came."""


async def play(stage: Stage, plan: Plan) -> None:
    """Everything, from the first customer to the last look. What was seen is in the stage's `facts`."""
    step_of = stage.telling.step
    settled, looked_up = len(plan.in_trouble(FOUND, NOT_FOUND)), len(plan.in_trouble(*LOOKED_UP))
    with step_of("Customers register, workers start", len(plan.customers)) as step:
        async with alongside(_start_workers(stage)) as workers:
            await _register(stage, plan, step)
    with step_of("Commands break rules: all is rolled back", 5 + len(TENANTS)) as step:
        await _break_rules(stage, plan, step)
    with step_of("One order is clicked again and again", CLICKS + 1) as step:
        await _click(stage, plan, step)
    with step_of("Providers refuse, keep silent, drop the answer", len(plan.troubled) - looked_up) as step:
        await _meet_trouble(stage, plan, step)
    with step_of("… until every promise is kept") as step:
        await stage.until_quiet(step)
    with step_of("A person settles what stays unknown", settled) as step:
        await settle_in_person(stage, plan, step)
    with step_of("Two providers are away, and come back", len(plan.outage) + len(plan.held)) as step:
        await outlast_an_outage(stage, plan, step)
    with step_of("… until every promise is kept") as step:
        await stage.until_quiet(step)
    with step_of("Cards are charged, or refused", len(plan.by_card)) as step:
        await pay_by_card(stage, plan, step)
    newcomers = sum(len(one.people) + len(one.orders) for one in plan.newcomers)
    with step_of("Welcomes wait for two events, or give up", newcomers) as step:
        await welcome(stage, plan, step)
    pouring = looked_up + len(plan.usual) + len(plan.in_flight)
    with step_of("Orders pour in, and a worker is killed", pouring) as step:
        await _pour(stage, plan, workers.result()[0], step)
    with step_of("… until every promise is kept") as step:
        await stage.until_quiet(step)
    with step_of("… and every receipt has come"):
        await hear_every_receipt(stage)
    with step_of("Read models are rebuilt, while orders come in", len(plan.meanwhile)) as step:
        await rebuild(stage, plan, step)
    with step_of("… and every receipt has come"):
        await hear_every_receipt(stage)
    with step_of("Each tenant looks at its messages"):
        await _look(stage, plan)


async def _start_workers(stage: Stage) -> list[WorkerProcess]:
    return [await stage.workers.start() for _ in range(WORKERS)]


async def _register(stage: Stage, plan: Plan, step: Step) -> None:
    for person in plan.customers:
        await stage.app.execute(person.registration, tenant=person.tenant, command_id=person.customer_id)
        step.advance()


async def _break_rules(stage: Stage, plan: Plan, step: Step) -> None:
    """Point 1: nothing remains of a command that breaks a rule, however deep, and whatever it had asked for before."""
    shipped, closed, too_dear = plan.shipped, plan.closed, plan.too_dear
    await stage.place([shipped, closed], step)
    await stage.app.execute(ShipOrder(order_id=shipped.order_id), tenant=shipped.person.tenant)
    await stage.app.execute(CloseAccount(customer_id=closed.person.customer_id), tenant=closed.person.tenant)
    for order, command in (
        (shipped, CancelOrder(order_id=shipped.order_id)),
        (closed, CancelOrder(order_id=closed.order_id)),
        (too_dear, too_dear.command),
    ):
        error = await stage.refused(command, tenant=order.person.tenant)
        state = await stage.order_state(order)
        stage.facts.refusals[order.person.customer_id] = Refusal(error=error, order_state=state)
        step.advance()
    for tenant in TENANTS:
        wish = WishForNewsletter(email=plan.wisher(tenant))
        await stage.app.execute(wish, tenant=tenant)
        error = await stage.refused(wish, tenant=tenant)
        rows = await stage.app.ask(CountNewsletterWishes(), tenant=tenant)
        stage.facts.newsletters[tenant] = Newsletter(error_for_the_second=error, rows=rows)
        step.advance()


async def _click(stage: Stage, plan: Plan, step: Step) -> None:
    """Point 2: one command, many times at once over two connections, and once more; then its id with another order."""
    order = plan.clicked
    tenant, command_id = order.person.tenant, f"order-{order.order_id}"

    async def click(number: int) -> str:
        app = (stage.app, stage.second_app)[number % 2]
        answer = await app.execute(order.command, tenant=tenant, command_id=command_id)
        step.advance()
        return answer

    answers = await asyncio.gather(*(click(number) for number in range(CLICKS)))
    later = await click(CLICKS)
    stage.facts.clicks = Clicks(
        times_at_once=len(answers),
        answers=tuple(sorted({*answers, later})),
        orders=await stage.app.ask(CountOrders(customer_id=order.person.customer_id), tenant=tenant),
        error_for_another_body=await stage.refused(plan.cascade.command, tenant=tenant, command_id=command_id),
    )


async def _meet_trouble(stage: Stage, plan: Plan, step: Step) -> None:
    """Points 3, 6 and 9 to 12: what becomes of an effect depends on its provider; the ledger must tell it as it is."""
    stage.arrange([*plan.troubled, *plan.in_flight])
    await stage.place([order for order in plan.troubled if order.trouble not in LOOKED_UP], step)


async def _pour(stage: Stage, plan: Plan, victim: WorkerProcess, step: Step) -> None:
    """Point 3: in the midst of it a worker is killed, and another one started."""
    third = len(plan.usual) // 3
    await stage.place(plan.usual[:third], step)
    async with alongside(stage.place(plan.usual[third : 2 * third], step)):
        await stage.place(plan.in_flight, step)
        calls_in_flight = await _until_both_are_calling(stage, plan)
        stage.workers.kill(victim)
        effects = await stage.sample()
        stage.facts.kill = Kill(
            calls_in_flight=calls_in_flight,
            unsettled_effects=sum(effect.state not in SETTLED for effect in effects),
        )
    await stage.workers.start()
    await stage.place([*plan.in_trouble(*LOOKED_UP), *plan.usual[2 * third :]], step)


async def _until_both_are_calling(stage: Stage, plan: Plan) -> int:
    """Wait until more calls are open than one worker has slots, so that each worker has some; how many there are."""
    recipients = {order.person.phone for order in plan.in_flight}
    deadline = asyncio.get_running_loop().time() + IN_FLIGHT_SECONDS_MAX
    while asyncio.get_running_loop().time() < deadline:
        now = datetime.now(UTC)
        is_open = [
            now - datetime.fromisoformat(call.at) < CALL_STILL_OPEN
            for call in stage.world.requests("sms")
            if call.outcome == "hung" and call.recipient in recipients
        ]
        if sum(is_open) > SLOTS:
            return sum(is_open)
        stage.workers.check()
        await asyncio.sleep(POLL_SECONDS)
    raise NothingInFlight(f"In {IN_FLIGHT_SECONDS_MAX} s the SMS provider never had more than {SLOTS} calls open.")


async def _look(stage: Stage, plan: Plan) -> None:
    """Points 5 and 8, and all that the checks need: the ledgers first, the providers' records afterwards."""
    facts = stage.facts
    facts.effects = await stage.effects()
    facts.records = stage.records()
    facts.receipts = stage.receipts()
    for tenant, other in zip(TENANTS, reversed(TENANTS), strict=True):
        try:
            await stage.app.ledger(tenant).effect(facts.effects[other][0].id)
            facts.foreign_answers[tenant] = NO_ERROR
        except EffectNotFound as error:
            facts.foreign_answers[tenant] = type(error).__name__
        facts.parked += len(await stage.app.parked(tenant))
    await look_at_read_models(stage, plan)
    await look_at_cards(stage, plan)
    order = plan.cascade
    tenant = order.person.tenant
    payment = await stage.app.ask(ReadPayment(order_id=order.order_id), tenant=tenant)
    facts.cascade = Cascade(
        order_state=await stage.order_state(order),
        payment=payment.amount,
        owed=await stage.app.ask(ReadAccount(customer_id=order.person.customer_id), tenant=tenant),
    )
