"""Processes: what they wait for, in any order; what they send; how they end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Self

import pytest

from duly import (
    Aggregate,
    Command,
    CommandRejected,
    DomainEvent,
    Duly,
    EffectAccepted,
    Effects,
    Email,
    HandlerCall,
    HandlerKind,
    Module,
    Next,
    NotSent,
    Personal,
    Proceed,
    ProcessManager,
    ProcessView,
    Repository,
    Rule,
    Sms,
    TimedOut,
    Unique,
    Upcasted,
    check,
    hears,
    hears_rejected,
    starts,
    times_out,
)
from duly.gateways.recording import RecordingGateway
from duly.runtime.store_url import store_from_url
from duly.testing.failures import at_failpoints
from tests.contract.waiting import until
from tests.scenarios.running import Running, Start, durable, quick_settings
from tests.scenarios.welcoming import (
    PATIENCE,
    Hasten,
    Hastened,
    Order,
    OrderedPublic,
    ReadNotes,
    Register,
    Registered,
    Welcome,
    welcoming,
)

REGISTER = Register(customer_id="ann")
ORDER = Order(order_id="o-1", customer_id="ann")
HASTEN = Hasten(customer_id="ann")
WELCOME = "welcoming.Welcome"


async def texts(running: Running, tenant: str = "acme") -> list[str]:
    await running.quiet()
    return [effect.recipient for effect in await running.effects(tenant) if effect.type == "duly.sms"]


async def notes(running: Running) -> list[str]:
    await running.quiet()
    return await running.app.ask(ReadNotes(customer_id="ann"), tenant="acme")


async def welcome(running: Running) -> ProcessView:
    await running.quiet()
    (found,) = await running.app.processes("acme").page(Welcome)
    return found


# In either order, and no more than once.


async def test_a_welcome_waits_for_two_events_in_the_one_order(start: Start) -> None:
    running = await start(welcoming)
    await running.app.execute(REGISTER, tenant="acme")
    assert await texts(running) == []

    await running.app.execute(ORDER, tenant="acme")

    assert await texts(running) == ["+491"]
    assert await running.app.waiting("acme") == []


async def test_and_in_the_other_order(start: Start) -> None:
    running = await start(welcoming)
    await running.app.execute(ORDER, tenant="acme")
    assert await texts(running) == []
    assert [waiting.message_name for waiting in await running.app.waiting("acme")] == ["duly.timeout"]

    await running.app.execute(REGISTER, tenant="acme")

    assert await texts(running) == ["+491"]
    assert await running.app.waiting("acme") == []


async def test_two_tenants_have_processes_of_their_own_under_one_id(start: Start) -> None:
    running = await start(welcoming)
    await running.app.execute(REGISTER, tenant="acme")
    await running.app.execute(ORDER, tenant="globex")

    assert await texts(running) == await texts(running, "globex") == []
    assert (await welcome(running)).state == {"id": "ann", "order_id": ""}


async def test_an_event_that_starts_nothing_is_passed_over_when_there_is_no_process(start: Start) -> None:
    running = await start(welcoming)
    await running.app.execute(ORDER, tenant="acme")
    await running.app.execute(Register(customer_id="bob"), tenant="acme")
    await running.app.execute(Hasten(customer_id="bob"), tenant="acme")
    await running.quiet()

    assert [view.id for view in await running.app.processes("acme").page()] == ["ann", "bob"]
    assert await running.app.parked("acme") == []


async def test_a_backfill_hands_a_process_what_it_has_heard_and_it_passes_it_over(start: Start) -> None:
    running = await start(welcoming)
    await running.app.execute(REGISTER, tenant="acme")
    await running.app.execute(ORDER, tenant="acme")
    assert await texts(running) == ["+491"]
    before = await running.app.processes("acme").history(Welcome, "ann")

    replay = running.app.replay(WELCOME, tenant="acme", even_if_heard=True)
    promised = await replay.backfill(await replay.count(), by="anna@example.com", reason="to see what happens")

    assert promised.promised == 2
    assert await texts(running) == ["+491"]
    assert await running.app.processes("acme").history(Welcome, "ann") == before


@durable
async def test_a_new_process_can_be_given_the_past(start: Start) -> None:
    without = Module("welcoming")
    without.definitions = welcoming.definitions
    running = await start(without)
    await running.app.execute(REGISTER, tenant="acme")
    await running.app.execute(ORDER, tenant="acme")
    assert await texts(running) == []
    await running.app.stop()

    later = await start(welcoming)
    replay = later.app.replay(WELCOME, tenant="acme")
    tried = await replay.dry_run()
    assert (tried.messages, dict(tried.commands), dict(tried.documents)) == (2, {}, {"duly.process.Welcome": 2})
    assert await texts(later) == []
    await replay.backfill(await replay.count(), by="anna@example.com", reason="they were never welcomed")

    assert await texts(later) == ["+491"]


@pytest.mark.parametrize("place", ["relay.before_commit", "relay.after_commit"])
async def test_a_process_that_is_cut_short_at_every_step_does_each_once(start: Start, place: str) -> None:
    running = await start(welcoming)
    hits = 0

    def every_other_time(name: str) -> None:
        nonlocal hits
        if name == place:
            hits += 1
            if hits % 2:
                raise RuntimeError("cut short")

    with at_failpoints(every_other_time):
        await running.app.execute(REGISTER, tenant="acme")
        await running.app.execute(ORDER, tenant="acme")
        assert await texts(running) == ["+491"]

    assert hits >= 3
    assert (await welcome(running)).steps == 2
    assert await running.app.parked("acme") == []


# The end.


async def test_a_welcome_that_gives_up_says_so_and_what_comes_late_starts_nothing(start: Start) -> None:
    running = await start(welcoming)
    await running.app.execute(REGISTER, tenant="acme")
    await running.quiet()
    await running.app.execute(HASTEN, tenant="acme")
    assert await notes(running) == ["it took too long"]
    assert (await welcome(running)).is_ended

    await running.app.execute(ORDER, tenant="acme")

    assert await texts(running) == []
    assert (await welcome(running)).steps == 3


async def test_an_ended_process_keeps_no_personal_data(start: Start) -> None:
    running = await start(welcoming)
    await running.app.execute(REGISTER, tenant="acme")
    await running.quiet()
    store = running.app._store
    document = await store.document("acme", "duly.process.Welcome", "ann")
    assert document is not None
    assert "+491" in document.body

    await running.app.execute(HASTEN, tenant="acme")
    assert (await welcome(running)).is_ended

    document = await store.document("acme", "duly.process.Welcome", "ann")
    assert document is not None
    assert "+491" not in document.body


async def test_a_history_tells_what_was_heard_and_decided_and_forgets_an_erased_person(start: Start) -> None:
    running = await start(welcoming)
    await running.app.execute(REGISTER, tenant="acme")
    await running.app.execute(ORDER, tenant="acme")
    await running.quiet()

    history = await running.app.processes("acme").history(Welcome, "ann")

    assert [(step.number, step.name, step.personal) for step in history.steps] == [
        (1, "Registered", {"phone": "+491"}),
        (2, "OrderedPublic", None),
    ]
    assert [step.decision["waiting"] for step in history.steps] == [["give_up"], []]
    assert history.steps[0].decision["timeouts"] == {"give_up": {"after_ms": PATIENCE / timedelta(milliseconds=1)}}
    assert history.steps[1].decision["commands"] == [
        {"name": "Greet", "version": 1, "body": {"customer_id": "ann", "order_id": "o-1"}}
    ]
    await running.app.erase("ann", tenant="acme", by="anna@example.com", reason="she asked for it")
    erased = await running.app.processes("acme").history(Welcome, "ann")
    assert erased == history.without_personal()
    assert "+491" not in repr(erased)


# Rejections.


async def test_a_command_that_breaks_a_rule_is_refused_and_the_process_hears_why(start: Start) -> None:
    running = await start(welcoming)
    await running.app.execute(Register(customer_id="ann", phone="+49refused"), tenant="acme")
    await running.app.execute(ORDER, tenant="acme")

    assert await notes(running) == ["refused: This number is on a list."]
    assert await running.app.parked("acme") == []
    history = await running.app.processes("acme").history(Welcome, "ann")
    rejected = history.steps[-1]
    assert (rejected.name, rejected.heard["rule"], rejected.heard["permanent"]) == (
        "duly.command_rejected",
        "RuleBroken",
        True,
    )
    assert rejected.personal == {"reason": "This number is on a list."}


async def test_a_command_whose_attempts_are_spent_is_parked_and_the_process_hears_of_that_too(start: Start) -> None:
    running = await start(welcoming)
    await running.app.execute(Register(customer_id="ann", phone="+49broken"), tenant="acme")
    await running.app.execute(ORDER, tenant="acme")

    assert await notes(running) == ["parked: OSError: the list cannot be read"]
    (parked,) = await running.app.parked("acme")
    assert (parked.message_name, parked.subscriber, parked.attempts) == ("Greet", "duly.commands", 4)

    assert await running.app.unpark(parked.id, "acme")
    assert len(await notes(running)) == 2


async def test_a_rejection_that_no_process_hears_is_parked_where_people_see_it(start: Start) -> None:
    gateway = RecordingGateway(Sms, Email, outcomes=lambda call: NotSent(reason="say no", permanent=True))
    running = await start(welcoming, gateways=[gateway])
    await running.app.execute(REGISTER, tenant="acme")
    await running.app.execute(ORDER, tenant="acme")
    await running.quiet()

    (parked,) = await running.app.parked("acme")
    assert (parked.message_name, parked.reason) == ("NoteSilence", "No note is taken of that.")


async def test_a_process_hears_what_became_of_an_effect(start: Start) -> None:
    gateway = RecordingGateway(Sms, Email, outcomes=lambda call: NotSent(reason="no such number", permanent=True))
    running = await start(welcoming, gateways=[gateway])
    await running.app.execute(REGISTER, tenant="acme")
    await running.app.execute(ORDER, tenant="acme")

    assert await notes(running) == ["no such number"]
    assert (await welcome(running)).is_ended


class Ask(Command):
    id: str
    wish: str


class Asked(DomainEvent):
    id: str
    wish: str


class Grant(Command):
    id: str
    wish: str


class Room(Aggregate):
    number: Unique[str] = "1"


class Inquiry(ProcessManager):
    refusals: list[str] = []

    @starts(key="id")
    def asked(self, event: Asked) -> Next[Self]:
        return Next(self, commands=[Grant(id=self.id, wish=event.wish)])

    @hears_rejected(Grant)
    def refused(self, event: CommandRejected) -> Next[Self]:
        return Next(self.changed(refusals=[*self.refusals, f"{event.permanent} {event.rule}"]))


inquiries = Module("inquiries", processes=[Inquiry])


@inquiries.command
async def ask(command: Ask, rooms: Repository[Room]) -> None:
    room = Room(id="taken")
    room.record(Asked(id=command.id, wish=command.wish))
    rooms.add(room)


class NoPets(Rule):
    def is_broken(self) -> bool:
        return True

    def message(self) -> str:
        return "No pets."


@inquiries.command
async def grant(command: Grant, rooms: Repository[Room], effects: Effects) -> None:
    match command.wish:
        case "there already":
            rooms.add(Room(id="taken", number="2"))
        case "not there":
            await rooms.get("missing")
        case "unique":
            rooms.add(Room(id="new"))
        case "bad input":
            effects.request(Sms(to="", text="\0"))
        case _:
            check(NoPets())


@pytest.mark.parametrize("wish", ["there already", "not there", "unique", "bad input", "pets"])
async def test_what_will_not_get_better_by_trying_again_is_refused_for_good(start: Start, wish: str) -> None:
    running = await start(inquiries)
    await running.app.execute(Ask(id="ann", wish=wish), tenant="acme")
    await running.quiet()

    (inquiry,) = await running.app.processes("acme").page(Inquiry)
    assert inquiry.state["refusals"] == [f"True {'NoPets' if wish == 'pets' else None}"]
    assert await running.app.parked("acme") == []


# Two at once.


class Text(Command):
    number: int


class Tally(ProcessManager):
    accepted: int = 0

    @starts(key="reference")
    def sent(self, event: EffectAccepted[Sms]) -> Next[Self]:
        return Next(self.changed(accepted=self.accepted + 1))


counting = Module("counting", processes=[Tally])


@counting.command
async def text(command: Text, effects: Effects) -> None:
    effects.request(Sms(to="+491", text=f"No. {command.number}"), reference="all")


async def test_two_events_at_once_for_one_process_are_both_heard_and_neither_attempt_has_failed(start: Start) -> None:
    both_decided = asyncio.Barrier(2)
    calls = 0

    async def meet(call: HandlerCall, proceed: Proceed) -> object:
        nonlocal calls
        result = await proceed()
        if call.kind is HandlerKind.PROCESS:
            calls += 1
            if calls <= 2:
                async with asyncio.timeout(10):
                    await both_decided.wait()
        return result

    running = await start(counting, middleware=[meet])
    for number in range(10):
        await running.app.execute(Text(number=number), tenant="acme")
    await running.quiet()

    (tally,) = await running.app.processes("acme").page(Tally)
    assert (tally.state, tally.steps) == ({"id": "all", "accepted": 10}, 10)
    assert calls > 10, "the first two have decided about the same state, and one of them again"
    assert await running.app.parked("acme") == []


async def test_a_process_that_has_heard_much_asks_its_history_what_it_heard_long_ago(start: Start) -> None:
    running = await start(counting)
    for number in range(40):
        await running.app.execute(Text(number=number), tenant="acme")
    await running.quiet()

    replay = running.app.replay("counting.Tally", tenant="acme", even_if_heard=True)
    await replay.backfill(await replay.count(), by="anna@example.com", reason="to see what happens")
    await running.quiet()

    (tally,) = await running.app.processes("acme").page(Tally)
    assert (tally.state["accepted"], tally.steps) == (40, 40)


# Time.


class Clock(ProcessManager):
    ticks: int = 0

    @starts(key="customer_id")
    def begun(self, event: Hastened) -> Next[Self]:
        return Next(self, timeouts={"tick": timedelta()})

    @times_out("tick")
    def tick(self, event: TimedOut) -> Next[Self]:
        if self.ticks == 49:
            return Next(self.changed(ticks=50), ends=True)
        return Next(self.changed(ticks=self.ticks + 1), timeouts={"tick": timedelta()})


async def test_a_process_may_set_a_timeout_at_each_one_for_as_long_as_it_likes(start: Start) -> None:
    ticking = Module("ticking", processes=[Clock])
    ticking.definitions = welcoming.definitions
    running = await start(ticking)
    await running.app.execute(REGISTER, tenant="acme")
    await running.app.execute(HASTEN, tenant="acme")
    await running.quiet()

    (clock,) = await running.app.processes("acme").page(Clock)
    assert (clock.state["ticks"], clock.is_ended) == (50, True)
    history = await running.app.processes("acme").history(Clock, "ann")
    assert [step.name for step in history.steps] == ["Hastened"] + ["duly.timeout"] * 50


async def with_a_timeout_that_is_due(url: str) -> None:
    """Ann's welcome waits, and its timeout is due; but nobody has promoted it."""
    store = store_from_url(url)

    async def nothing_is_due() -> None:
        return None

    store.next_due = nothing_is_due  # type: ignore[method-assign]
    async with Duly(
        modules=[welcoming], store=store, gateways=[RecordingGateway(Sms, Email)], settings=quick_settings()
    ) as app:
        await app.execute(REGISTER, tenant="acme")

        async def waits() -> bool:
            return len(await app.processes("acme").page()) == 1

        await until(waits, "the welcome to be there")
        await app.execute(HASTEN, tenant="acme")

        async def is_due() -> bool:
            return [view.steps for view in await app.processes("acme").page()] == [2]

        await until(is_due, "its timeout to be set again")


async def promoted_and_ordered(url: str, *, order_first: bool) -> None:
    """Both are in the outbox, in the lane of the process, and nobody has delivered them."""
    store = store_from_url(url)
    async with Duly(modules=[welcoming], store=store, gateways=[RecordingGateway(Sms, Email)], worker=False) as app:

        async def is_due() -> bool:
            due_in = await store.next_due()
            return due_in is not None and due_in <= timedelta()

        await until(is_due, "the timeout to be due")
        if order_first:
            await app.execute(ORDER, tenant="acme")
        assert await store.promote(10) == 1
        if not order_first:
            await app.execute(ORDER, tenant="acme")


@durable
async def test_a_timeout_that_was_cancelled_when_it_had_gone_its_way_is_passed_over(
    start: Start, store_url: str
) -> None:
    await (await start(welcoming, worker=False)).app.stop()
    await with_a_timeout_that_is_due(store_url)
    await promoted_and_ordered(store_url, order_first=True)

    running = await start(welcoming)

    assert await texts(running) == ["+491"]
    assert await notes(running) == []
    found = await welcome(running)
    assert (found.steps, found.is_ended) == (3, False)


@durable
async def test_and_one_that_came_first_has_won(start: Start, store_url: str) -> None:
    await (await start(welcoming, worker=False)).app.stop()
    await with_a_timeout_that_is_due(store_url)
    await promoted_and_ordered(store_url, order_first=False)

    running = await start(welcoming)

    assert await texts(running) == []
    assert await notes(running) == ["it took too long"]


# Other code.


class Reception(ProcessManager, name="Reception", version=2, formerly=("Welcome",)):
    number: Personal[str] = ""
    greetings: int = 0

    @hears(key="customer_id")
    def ordered(self, event: OrderedPublic) -> Next[Self]:
        return Next(self.changed(greetings=self.greetings + 1), cancels=["give_up"])

    @starts(key="customer_id")
    def registered(self, event: Registered) -> Next[Self]:
        return Next(self)

    @times_out("give_up")
    def gave_up(self, event: TimedOut) -> Next[Self]:
        return Next(self, ends=True)


@durable
async def test_a_renamed_process_of_another_version_goes_on_where_it_was(start: Start) -> None:
    running = await start(welcoming)
    await running.app.execute(REGISTER, tenant="acme")
    await running.quiet()
    await running.app.stop()
    changed = Module("welcoming", processes=[Reception])
    changed.definitions = welcoming.definitions

    @changed.upcasts(Reception, from_version=1)
    def number(fields: dict[str, object]) -> dict[str, object]:
        return {"id": fields["id"], "number": fields["phone"]}

    later = await start(changed)
    await later.app.execute(ORDER, tenant="acme")
    await later.quiet()

    (found,) = await later.app.processes("acme").page(Reception)
    assert (found.process, found.version, found.state) == ("Welcome", 2, {"id": "ann", "greetings": 1})
    assert await later.app.waiting("acme") == []
    document = await later.app._store.document("acme", "duly.process.Welcome", "ann")
    assert document is not None
    assert "+491" in document.body


class Pay(Command):
    id: str
    amounts: list[int]


class PaidTogether(DomainEvent, name="Paid"):
    id: str
    amounts: list[int]


class Paid(DomainEvent, version=2):
    id: str
    amount: int


class Purse(Aggregate):
    pass


class Savings(ProcessManager):
    total: int = 0

    @starts(key="id")
    def paid(self, event: Paid) -> Next[Self]:
        return Next(self.changed(total=self.total + event.amount))


class Hoard(ProcessManager, name="Savings"):
    @starts(key="id")
    def paid(self, event: PaidTogether) -> Next[Self]:
        return Next(self)


@durable
async def test_a_stored_event_that_is_several_today_is_heard_as_these_and_each_once(start: Start) -> None:
    before = Module("savings", processes=[Hoard])

    @before.command
    async def pay(command: Pay, purses: Repository[Purse]) -> None:
        purse = Purse(id=command.id)
        purse.record(PaidTogether(id=command.id, amounts=command.amounts))
        purses.add(purse)

    running = await start(before, worker=False)
    await running.app.execute(Pay(id="ann", amounts=[3, 3, 4]), tenant="acme")
    await running.app.stop()
    today = Module("savings", processes=[Savings])

    @today.upcasts(Paid, from_version=1, into=(Paid,))
    def paid(fields: dict[str, Any]) -> list[Upcasted]:
        return [Upcasted(Paid, {"id": fields["id"], "amount": amount}, version=2) for amount in fields["amounts"]]

    later = await start(today)
    await later.quiet()
    replay = later.app.replay("savings.Savings", tenant="acme", even_if_heard=True)
    await replay.backfill(await replay.count(), by="anna@example.com", reason="to see what happens")
    await later.quiet()

    (found,) = await later.app.processes("acme").page(Savings)
    assert (found.state["total"], found.steps) == (10, 3)
