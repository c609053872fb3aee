"""Everything is checked once at start, and all mistakes are reported together, each with its cure."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from duly import (
    Aggregate,
    Command,
    DomainEvent,
    Duly,
    Effects,
    HandlerCall,
    Module,
    Personal,
    Proceed,
    PublicEvent,
    Query,
    Repository,
    RetrySchedule,
    Settings,
    Sms,
    Sql,
)
from duly.errors import CascadeTooDeep, ConfigurationError, TooManyMessages
from duly.gateways.recording import RecordingGateway
from tests.scenarios.running import Start, durable

if TYPE_CHECKING:
    from decimal import Context as HiddenType


class Go(Command):
    name: str = "x"


class Count(Command[int]):
    name: str = "x"


class Ask(Query[str]):
    name: str = "x"


class Went(DomainEvent):
    name: str
    step: int = 0


class WentPublic(PublicEvent):
    name: str


class Thing(Aggregate):
    steps: int = 0


class Opaque:
    pass


class Unstorable(DomainEvent):
    what: Opaque


class UnstorableThing(Aggregate):
    what: Opaque


class Renamed(DomainEvent, name="Went"):
    name: str


class NotText(DomainEvent):
    age: Personal[int]


async def go(command: Go) -> None: ...


def mistakes_of(*modules: Module, **options: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Duly(modules=modules, store="memory:", **options)  # type: ignore[arg-type]
    return str(caught.value)


def one(decorator: str, handler: object, **options: object) -> Module:
    module = Module("shop")
    getattr(module, decorator)(**options)(handler) if options else getattr(module, decorator)(handler)
    return module


async def untyped(command: Go, what) -> None: ...  # type: ignore[no-untyped-def]
async def hidden(command: Go, what: HiddenType) -> None: ...
async def two_messages(command: Go, other: Count) -> None: ...
async def no_message(effects: Effects) -> None: ...
async def wants_opaque(command: Go, what: Opaque) -> None: ...
async def many(*commands: Go) -> None: ...
async def wrong_result(command: Count) -> str:
    return ""


async def unsaid_result(command: Go): ...  # type: ignore[no-untyped-def]
async def hears_event(event: Went) -> None: ...
async def hears_public(event: WentPublic) -> None: ...
async def hears_unstorable(event: Unstorable) -> None: ...
async def hears_renamed(event: Renamed) -> None: ...
async def hears_not_text(event: NotText) -> None: ...
async def keeps_unstorable(command: Go, things: Repository[UnstorableThing]) -> None: ...
async def asks_sql(query: Ask, sql: Sql) -> str:
    return ""


def publishes_with_more(event: Went, effects: Effects) -> WentPublic:
    return WentPublic(name=event.name)


async def publishes_later(event: Went) -> WentPublic:
    return WentPublic(name=event.name)


@pytest.mark.parametrize(
    ("decorator", "handler", "text"),
    [
        ("command", untyped, "parameter 'what' has no annotation"),
        ("command", hidden, "'HiddenType' cannot be resolved. Import it at the top of the module"),
        ("command", two_messages, "exactly one parameter must be a message; found command, other"),
        ("command", no_message, "exactly one parameter must be a message; found none"),
        ("command", wants_opaque, "asks for Opaque, which a command handler cannot have"),
        ("command", many, "'commands' must be a plain named one"),
        ("command", wrong_result, r"returns str, but Count is a Command\[int\]"),
        ("command", unsaid_result, "does not say what it returns"),
        ("command", hears_event, "hears Command, not Went"),
        ("in_transaction", hears_public, "hears DomainEvent, not WentPublic"),
        ("after_commit", hears_unstorable, "Unstorable.what has the type Opaque, which JSON cannot hold"),
        ("after_commit", hears_not_text, "NotText.age is Personal but no str"),
        ("command", keeps_unstorable, "UnstorableThing.what has the type Opaque"),
        ("query", asks_sql, "asks for Sql, which a query handler cannot have"),
        ("publishes", publishes_later, "is a coroutine function. What makes a public event is a plain one"),
        ("publishes", publishes_with_more, "'effects' asks for Effects, which a publishes handler cannot have"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_handler_that_cannot_be_called_is_refused_with_its_cure(decorator: str, handler: object, text: str) -> None:
    import re

    assert re.search(text, mistakes_of(one(decorator, handler)))


def test_all_mistakes_are_told_at_once() -> None:
    module = Module("shop", messages=[Count])
    module.command(go)
    module.command(name="again")(go)
    module.after_commit(key="nothing")(hears_event)
    module.after_commit(hears_renamed)
    text = mistakes_of(
        module,
        gateways=[RecordingGateway(Sms), RecordingGateway(Sms)],
        tenant="no good",
        settings=Settings(inbox_keep=timedelta(seconds=1), deliveries_max=0),
    )
    for mistake in (
        "Go has two handlers: shop.go and shop.again",
        "offers the command Count, which has no handler",
        "key='nothing' is no field of Went",
        "Two messages have the stored name 'Went'",
        "Two gateways are called 'recording'",
        "Sms has two gateways",
        "'no good' cannot name a tenant",
        "Settings.inbox_keep (0:00:01) is not longer than",
        "Settings.deliveries_max is 0",
    ):
        assert mistake in text
    assert "10. " in text or "9. " in text


def test_modules_hear_each_others_domain_events_only_when_they_are_offered() -> None:
    hearer = Module("hearer")
    hearer.in_transaction(hears_event)
    other = Module("other")
    other.in_transaction(hears_event)
    assert "Went is heard by the modules hearer, other, but none offers it" in mistakes_of(hearer, other)
    Duly(modules=[hearer, other, Module("owner", messages=[Went])], store="memory:")


def test_after_the_commit_another_module_hears_public_events_only() -> None:
    hearer = Module("hearer")
    hearer.after_commit(hears_event)
    text = mistakes_of(Module("owner", messages=[Went]), hearer)
    assert "Between modules only public events are heard then" in text


def test_two_modules_or_handlers_cannot_share_a_name() -> None:
    first, second = Module("shop"), Module("shop")
    assert "Two modules are called 'shop'" in mistakes_of(first, second)
    module = Module("shop")
    module.after_commit(hears_event)
    module.after_commit(formerly=("hears_event",))(hears_public)
    assert "the stored name 'shop.hears_event'" in mistakes_of(module)


def test_an_aggregate_keeps_its_stored_name() -> None:
    class Purchase(Aggregate, formerly=("Order",)):  # type: ignore[call-arg]
        pass

    async def buys(command: Go, purchases: Repository[Purchase]) -> None: ...

    buys.__annotations__["purchases"] = Repository[Purchase]
    module = Module("shop")
    module.command(buys)
    assert "Keep it: class Purchase(Aggregate, name='Order')" in mistakes_of(module)


def test_an_upcaster_needs_the_next_version_in_the_class_statement() -> None:
    module = Module("shop")
    module.upcasts(Went, from_version=1)(lambda fields: fields)
    assert "Say version=2 in its class statement" in mistakes_of(module)


# What handlers do at run time.


async def test_a_cascade_without_end_is_refused_with_its_chain(start: Start) -> None:
    endless = Module("endless")

    @endless.command
    async def begin(command: Go, things: Repository[Thing]) -> None:
        thing = Thing(id="t")
        thing.record(Went(name=command.name))
        things.add(thing)

    @endless.in_transaction
    async def again(event: Went, things: Repository[Thing]) -> None:
        (await things.get("t")).record(Went(name=event.name, step=event.step + 1))

    app = (await start(endless)).app
    with pytest.raises(CascadeTooDeep, match="Go → Went → Went"):
        await app.execute(Go(), tenant="acme")


async def test_a_command_that_raises_too_many_messages_is_refused(start: Start) -> None:
    loud = Module("loud")

    @loud.command
    async def begin(command: Go, things: Repository[Thing]) -> None:
        thing = Thing(id="t")
        for _ in range(10_001):
            thing.record(Went(name=command.name))
        things.add(thing)

    app = (await start(loud)).app
    with pytest.raises(TooManyMessages, match="more than 10,000 messages"):
        await app.execute(Go(), tenant="acme")


async def test_events_are_heard_first_in_first_out_and_handlers_in_module_order(start: Start) -> None:
    heard: list[str] = []
    first, second = Module("first", messages=[Went]), Module("second")

    @first.command
    async def begin(command: Go, things: Repository[Thing]) -> None:
        a, b = Thing(id="a"), Thing(id="b")
        things.add(a)
        things.add(b)
        b.record(Went(name="1"))
        a.record(Went(name="2"))

    @second.in_transaction
    def in_second(event: Went) -> None:
        heard.append(f"second {event.name}.{event.step}")

    @first.in_transaction
    async def in_first(event: Went, things: Repository[Thing]) -> None:
        heard.append(f"first {event.name}.{event.step}")
        if event.step == 0:
            (await things.get("a")).record(Went(name=event.name, step=1))

    app = (await start(first, second)).app
    await app.execute(Go(), tenant="acme")
    assert heard == [f"{module} {event}" for event in ("1.0", "2.0", "1.1", "2.1") for module in ("first", "second")]


async def test_middleware_wraps_handlers_of_all_three_kinds(start: Start) -> None:
    seen: list[str] = []

    async def watch(call: HandlerCall, proceed: Proceed) -> object:
        seen.append(f"> {call.kind.value} {call.handler} of {call.context.tenant}")
        result = await proceed()
        seen.append(f"< {call.handler}")
        return result

    module = Module("shop")

    @module.command
    async def begin(command: Go, things: Repository[Thing]) -> None:
        thing = Thing(id="t")
        things.add(thing)
        thing.record(Went(name="1"))

    @module.in_transaction
    def inside(event: Went) -> None: ...

    @module.after_commit
    def outside(event: Went) -> None: ...

    running = await start(module, middleware=[watch])
    await running.app.execute(Go(), tenant="acme")
    await running.quiet()
    assert seen == [
        "> command shop.begin of acme",
        "< shop.begin",
        "> in_transaction shop.inside of acme",
        "< shop.inside",
        "> after_commit shop.outside of acme",
        "< shop.outside",
    ]


@durable
async def test_a_document_of_an_older_version_is_upcast_when_it_is_read(start: Start) -> None:
    class V1(Aggregate, name="Price"):
        cents: int

    class V2(Aggregate, name="Price", version=2):
        amount: Decimal

    old, new = Module("prices"), Module("prices")

    async def put(command: Go, prices: object) -> None:
        prices.add(V1(id=command.name, cents=250))  # type: ignore[attr-defined]

    put.__annotations__ = {"command": Go, "prices": Repository[V1], "return": None}
    old.command(put)

    async def read(command: Count, prices: object) -> int:
        return int((await prices.get(command.name)).amount * 100)  # type: ignore[attr-defined]

    read.__annotations__ = {"command": Count, "prices": Repository[V2], "return": int}
    new.command(read)
    new.upcasts(V2, from_version=1)(lambda fields: {"id": fields["id"], "amount": f"{int(str(fields['cents'])) / 100}"})
    before = await start(old)
    await before.app.execute(Go(), tenant="acme")
    await before.app.stop()
    after = await start(new)
    assert await after.app.execute(Count(), tenant="acme") == 250


def test_a_retry_schedule_that_outlives_the_inbox_is_refused() -> None:
    module = one("command", go)
    slow = RecordingGateway(Sms, retry=RetrySchedule((timedelta(days=20),)))
    assert "not longer than gateway 'recording'" in mistakes_of(module, gateways=[slow])
