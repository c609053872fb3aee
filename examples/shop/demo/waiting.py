"""Steps of the story in which processes wait: for a second event, for a bank, for what becomes of a text message."""

from datetime import UTC, datetime, timedelta

from examples.shop.communications.welcome import PATIENCE, Welcome
from examples.shop.demo.facts import CardOrder, Heard, Waits
from examples.shop.demo.hourglass import let_pass
from examples.shop.demo.plan import PERSON, TENANTS, Order, Person, Plan
from examples.shop.demo.stage import Stage
from examples.shop.demo.telling import Step
from examples.shop.payments.messages import ReadAccount

WELCOME_PROCESS = "communications.Welcome"
WELCOME_COMMAND = "SayWelcome"
A_LITTLE = timedelta(minutes=1)


async def pay_by_card(stage: Stage, plan: Plan, step: Step) -> None:
    """Point 7: the bank takes some cards and refuses others; not everybody can be texted about that."""
    stage.arrange(plan.by_card)
    await stage.place(plan.by_card, step)


async def welcome(stage: Stage, plan: Plan, step: Step) -> None:
    """Point 7: a welcome waits for two events; those come in either order, are told twice, or do not come."""
    begun = datetime.now(UTC)
    for newcomers in plan.newcomers:
        for person in (newcomers.registers_first.person, newcomers.late.person, newcomers.silent):
            await _register(stage, person, step)
    await stage.place([order for newcomers in plan.newcomers for order in newcomers.orders_first], step)
    await stage.until_quiet()
    told_again = await _tell_again(stage, begun)
    await stage.until_quiet()
    early = await _welcomes(stage)

    for newcomers in plan.newcomers:
        await stage.place([newcomers.registers_first], step)
        await _register(stage, newcomers.orders_first[0].person, step)
    await stage.until_quiet()
    told_again += await _tell_again(stage, begun)
    await stage.until_quiet()

    gave_up = await let_pass(PATIENCE + A_LITTLE, stage.store)
    await stage.until_quiet()
    await stage.place([newcomers.late for newcomers in plan.newcomers], step)
    await stage.until_quiet()
    stage.facts.waits = Waits(
        welcomed_early=early,
        told_again=told_again,
        gave_up=gave_up,
        heard={
            person.customer_id: await _heard(stage, person)
            for newcomers in plan.newcomers
            for person in newcomers.people
        },
    )


async def look_at_cards(stage: Stage, plan: Plan) -> None:
    """Point 7: what became of the orders that were to be paid by card."""
    for order in plan.by_card:
        stage.facts.cards[order.person.customer_id] = CardOrder(
            order_state=await stage.order_state(order), owed=await _owed(stage, order)
        )


async def _register(stage: Stage, person: Person, step: Step) -> None:
    await stage.app.execute(person.registration, tenant=person.tenant, command_id=person.customer_id)
    step.advance()


async def _tell_again(stage: Stage, since: datetime) -> int:
    """Have the process told a second time what it has heard; how many messages."""
    promised = 0
    for tenant in TENANTS:
        replay = stage.app.replay(WELCOME_PROCESS, tenant=tenant, since=since, even_if_heard=True)
        done = await replay.backfill(await replay.count(), by=PERSON, reason="to see what it makes of a second time")
        promised += done.promised
    return promised


async def _welcomes(stage: Stage) -> int:
    """How many have been requested so far."""
    effects = [effect for ledger in (await stage.effects()).values() for effect in ledger]
    return sum(effect.chain[-1].name == WELCOME_COMMAND for effect in effects)


async def _heard(stage: Stage, person: Person) -> Heard:
    history = await stage.app.processes(person.tenant).history(Welcome, person.customer_id)
    return Heard(
        names=tuple(one.name for one in history.steps),
        message_ids=tuple(one.message_id for one in history.steps),
        is_ended=bool(history.steps[-1].decision["ended"]),
    )


async def _owed(stage: Stage, order: Order) -> str:
    return str(await stage.app.ask(ReadAccount(customer_id=order.person.customer_id), tenant=order.person.tenant))
