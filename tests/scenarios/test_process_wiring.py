"""What is wrong with a process manager is told at start, everything at once, each with its cure."""

from __future__ import annotations

from typing import Any, Self

import pytest

from duly import (
    Command,
    CommandRejected,
    DomainEvent,
    Duly,
    EffectFailed,
    EffectOutcome,
    Email,
    Module,
    Next,
    ProcessManager,
    PublicEvent,
    Sms,
    TimedOut,
    hears,
    hears_rejected,
    starts,
    times_out,
)
from duly.errors import ConfigurationError
from duly.gateways.recording import RecordingGateway


class Placed(DomainEvent):
    order_id: str


class PlacedPublic(PublicEvent):
    order_id: str


class Ship(Command):
    order_id: str


def mistakes_of(*modules: Module) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        Duly(modules=modules, store="memory:", gateways=[RecordingGateway(Sms)])
    return list(refused.value.mistakes)


class Sound(ProcessManager):
    @starts(key="order_id")
    def placed(self, event: PlacedPublic) -> Next[Self]:
        return Next(self)


class Broken(ProcessManager):
    number: int
    shape: complex = 0j

    @hears(key="order")
    def placed(self, event: Placed) -> Next[Self]:
        return Next(self)

    @hears(key="order_id")  # type: ignore[type-var]
    async def coroutine(self, event: PlacedPublic) -> Next[Self]:
        return Next(self)

    @times_out("give up")
    def late(self, event: TimedOut) -> Next[Self]:
        return Next(self)

    @times_out("give_up")
    def later(self, event: PlacedPublic) -> Next[Self]:
        return Next(self)

    @hears_rejected()
    def alone(self) -> Next[Self]:
        return Next(self)

    @hears(key="reference")
    def of_all(self, event: EffectOutcome) -> Next[Self]:
        return Next(self)

    @hears(key="order_id")
    def told(self, event: Ship) -> Next[Self]:
        return Next(self)

    @hears(key="order_id")
    def unsaid(self, event: PlacedPublic):  # type: ignore[no-untyped-def]
        return Next(self)


def test_everything_that_is_wrong_with_a_class_is_told_at_once() -> None:
    found = mistakes_of(Module("shop", processes=[Broken]))

    expected = [
        "Broken.shape has the type complex, which JSON cannot hold",
        "Broken.number has no default. It has a value before anything is heard: write number: … = ….",
        "Broken.placed: key='order' is no field of Placed. It has: order_id.",
        "Broken.coroutine is a coroutine function. A process only decides: def, not async def.",
        "Broken.late: 'give up' cannot name a timeout. Use letters, digits and '_'.",
        "Broken.later hears PlacedPublic, but is told of a TimedOut. Annotate that.",
        "Broken.alone cannot hear anything. Write it as def alone(self, event: …) -> Next.",
        "Broken.of_all hears EffectOutcome. Annotate its parameter with a domain event",
        "Broken.told hears Ship. Annotate its parameter with a domain event",
        "Broken.unsaid does not say that it returns what is next. Annotate it: -> Next[Self].",
        "Broken never starts. Write @starts(key='…')",
    ]
    assert len(found) == len(expected), found
    for words in expected:
        assert any(words in mistake for mistake in found), words


class Twice(Sound, name="Twice"):
    @hears(key="order_id")
    def again(self, event: PlacedPublic) -> Next[Self]:
        return Next(self)


def test_two_methods_do_not_hear_the_same() -> None:
    assert mistakes_of(Module("shop", processes=[Twice])) == [
        "Twice hears PlacedPublic twice: in placed and in again. Keep one."
    ]


class Other(Sound, name="Sound"):
    pass


def test_two_processes_do_not_have_one_name_and_none_has_two_modules() -> None:
    found = mistakes_of(Module("shop", processes=[Sound, Other]), Module("desk", processes=[Sound]))

    assert [mistake.split(".")[0] for mistake in found] == [
        "Two processes have, or had, the stored name 'Sound': Sound and Other",
        "Sound is a process of the modules 'shop' and 'desk'",
    ]


class Prying(ProcessManager):
    @starts(key="order_id")
    def placed(self, event: Placed) -> Next[Self]:
        return Next(self)

    @hears(key="reference")
    def unmailed(self, event: EffectFailed[Email]) -> Next[Self]:
        return Next(self)

    @hears_rejected(Ship)
    def unshipped(self, event: CommandRejected) -> Next[Self]:
        return Next(self)


def test_what_does_not_fit_to_the_rest_of_the_application_is_told() -> None:
    found = mistakes_of(Module("shop", messages=[Placed]), Module("desk", processes=[Prying]))

    assert found == [
        "Prying.placed hears Placed of module 'shop'. Between modules only public events are heard after the commit: "
        "make one with @shop.publishes and hear that.",
        "Prying.unmailed hears what became of Email, which no gateway takes. Give its gateway to Duly(gateways=[…]).",
        "Prying.unshipped hears that Ship was rejected, which no module handles. Write a handler with @module.command.",
    ]


def test_a_domain_event_that_nobody_offers_has_one_owner() -> None:
    shop, desk = Module("shop"), Module("desk", processes=[Prying])

    @shop.in_transaction
    def hear(event: Placed) -> None: ...

    assert any(
        "Placed is heard by the modules desk, shop, but none offers it" in mistake
        for mistake in mistakes_of(shop, desk)
    )


def test_what_is_no_process_manager_is_refused() -> None:
    nonsense: list[Any] = [Placed]
    (mistake,) = mistakes_of(Module("shop", processes=nonsense))
    assert mistake.endswith("which is no ProcessManager.")


def test_a_process_and_a_handler_do_not_have_one_name() -> None:
    shop = Module("shop", processes=[Sound])

    @shop.after_commit(name="Sound")
    def sound(event: PlacedPublic) -> None: ...

    (mistake,) = mistakes_of(shop)
    assert mistake.startswith("Two handlers have, or had, the stored name 'shop.Sound'")
