"""How a process goes on, without any store: the kit for tests of processes, and the rules that it shares with runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Self

import pytest

from duly import (
    Command,
    CommandRejected,
    DomainEvent,
    EffectFailed,
    Email,
    InvalidDecision,
    InvalidMessage,
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
from duly.testing.processes import given_process, rejection, timeout

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Placed(DomainEvent):
    order_id: str
    days: int = 3


class Paid(PublicEvent):
    order_id: str | None


class Wished(DomainEvent):
    order_id: str
    wish: str


class Ship(Command):
    order_id: str


class Cancel(Command):
    order_id: str
    reason: str = ""


class Refund(Command):
    order_id: str


class Delivery(ProcessManager):
    paid: bool = False
    reminded: int = 0

    @starts(key="order_id")
    def placed(self, event: Placed) -> Next[Self]:
        return Next(self, timeouts={"unpaid": timedelta(days=event.days), "too_late": NOON})

    @hears(key="order_id")
    def was_paid(self, event: Paid) -> Next[Self]:
        return Next(self.changed(paid=True), commands=[Ship(order_id=self.id)], cancels=["unpaid"])

    @times_out("unpaid")
    @times_out("too_late")
    def unpaid(self, event: TimedOut) -> Next[Self]:
        if self.reminded or event.name == "too_late":
            return Next(self, commands=[Cancel(order_id=self.id, reason=event.name)], ends=True)
        return Next(self.changed(reminded=1), timeouts={"unpaid": timedelta(days=1)})

    @hears(key="reference")
    def untold(self, event: EffectFailed[Sms] | EffectFailed[Email]) -> Next[Self]:
        return Next(self, commands=[Cancel(order_id=self.id, reason=event.effect_type)])

    @hears_rejected(Ship)
    def not_shipped(self, event: CommandRejected) -> Next[Self]:
        return Next(self, commands=[Refund(order_id=self.id), Cancel(order_id=self.id, reason=event.reason)])

    @hears_rejected()
    def failed(self, event: CommandRejected) -> Next[Self]:
        return Next(self, ends=True)

    @hears(key="order_id")
    def wished(self, event: Wished) -> Next[Self]:
        match event.wish:
            case "unknown timeout":
                return Next(self, timeouts={"unpayed": timedelta(days=1)})
            case "unknown cancel":
                return Next(self, cancels=["unpayed"])
            case "another id":
                return Next(self.changed(id="another"))
            case "a field of another type":
                return Next(self.changed(reminded="often"))
            case "an end with a timeout":
                return Next(self, timeouts={"unpaid": timedelta(days=1)}, ends=True)
            case "an event for a command":
                return Next(self, commands=[event])  # type: ignore[list-item]
            case _:
                return None  # type: ignore[return-value]


PLACED = Placed(order_id="7")
PAID = Paid(order_id="7")


def failed(effect_type: str, reference: str | None = "7") -> EffectFailed[Sms]:
    return EffectFailed(
        effect_id="e",
        effect_type=effect_type,
        channel="c",
        gateway="g",
        reference=reference,
        reason="r",
        provider_id=None,
        attempts=1,
    )


def test_an_event_starts_a_process_with_its_key_as_id() -> None:
    decided = given_process(Delivery).when(PLACED)

    decided.then(timeouts={"unpaid": timedelta(days=3), "too_late": NOON})
    assert decided.state == Delivery(id="7")


def test_an_event_that_starts_nothing_is_passed_over_without_a_process() -> None:
    given_process(Delivery).when(PAID).then_nothing()


def test_an_event_without_a_key_is_about_no_process() -> None:
    given_process(Delivery, PLACED).when(Paid(order_id=None)).then_nothing()
    given_process(Delivery, PLACED).when(failed("duly.sms", reference=None)).then_nothing()


def test_a_decision_has_commands_timeouts_and_a_state() -> None:
    decided = given_process(Delivery, PLACED).when(PAID)

    decided.then(Ship(order_id="7"), cancels=["unpaid"])
    assert decided.state.paid


def test_what_starts_a_process_is_heard_by_one_that_there_is() -> None:
    given_process(Delivery, PLACED).when(Placed(order_id="7", days=5)).then(
        timeouts={"unpaid": timedelta(days=5), "too_late": NOON}
    )


def test_a_timeout_comes_once_until_it_is_set_again() -> None:
    given_process(Delivery, PLACED).when(timeout("unpaid")).then(timeouts={"unpaid": timedelta(days=1)})
    given_process(Delivery, PLACED, timeout("unpaid")).when(timeout("unpaid")).then(
        Cancel(order_id="7", reason="unpaid"), cancels=["too_late"], ends=True
    )


def test_a_timeout_that_was_cancelled_or_set_again_is_passed_over() -> None:
    stale = TimedOut(process="Delivery", id="7", name="unpaid", generation=1)

    given_process(Delivery, PLACED, PAID).when(timeout("unpaid")).then_nothing()
    given_process(Delivery, PLACED, timeout("unpaid")).when(stale).then_nothing()  # type: ignore[arg-type]
    given_process(Delivery, PLACED, PLACED).when(stale).then_nothing()  # type: ignore[arg-type]


def test_a_timeout_of_another_process_manager_is_passed_over() -> None:
    others = TimedOut(process="Welcome", id="7", name="unpaid", generation=1)
    given_process(Delivery, PLACED).when(others).then_nothing()  # type: ignore[arg-type]


def test_an_ended_process_hears_nothing_not_even_what_it_starts_with() -> None:
    ended = given_process(Delivery, PLACED, timeout("too_late"))

    ended.when(PLACED).then_nothing()
    ended.when(PAID).then_nothing()
    ended.when(timeout("unpaid")).then_nothing()


def test_outcomes_are_heard_of_the_types_of_effects_that_are_named() -> None:
    waits = given_process(Delivery, PLACED)

    waits.when(failed("duly.sms")).then(Cancel(order_id="7", reason="duly.sms"))
    waits.when(failed("duly.email")).then(Cancel(order_id="7", reason="duly.email"))
    waits.when(failed("duly.webhook")).then_nothing()


def test_the_method_of_a_command_hears_its_rejection_before_the_one_for_all() -> None:
    paid = given_process(Delivery, PLACED, PAID)

    paid.when(rejection(Ship, reason="sold out")).then(Refund(order_id="7"), Cancel(order_id="7", reason="sold out"))
    paid.when(rejection(Refund, permanent=False)).then(ends=True)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ("unknown timeout", "named the timeout 'unpayed', which nothing hears"),
        ("unknown cancel", "Timeouts are: too_late, unpaid"),
        ("another id", "changed the id"),
        ("an end with a timeout", "ended its process and set a timeout"),
        ("an event for a command", "sent a Wished, which is no Command"),
        ("nothing", r"returned a NoneType\. Return Next"),
    ],
)
def test_a_decision_that_cannot_be_carried_out_is_refused(wish: str, words: str) -> None:
    with pytest.raises(InvalidDecision, match=words):
        given_process(Delivery, PLACED).when(Wished(order_id="7", wish=wish))


def test_a_state_that_cannot_be_stored_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="reminded"):
        given_process(Delivery, PLACED).when(Wished(order_id="7", wish="a field of another type"))


# What the kit says when it is not so.


def test_the_kit_says_what_was_expected_and_what_was_decided() -> None:
    with pytest.raises(AssertionError) as told:
        given_process(Delivery, PLACED).when(PAID).then(Refund(order_id="7"), timeouts={"unpaid": NOON})

    assert str(told.value).splitlines() == [
        "Delivery decided:",
        "  - expected, but it did not: send Refund(order_id='7')",
        "  - expected, but it did not: set 'unpaid': 2030-01-01 12:00:00+00:00",
        "  + it did, but was not expected: send Ship(order_id='7')",
        "  + it did, but was not expected: cancel 'unpaid'",
    ]


def test_the_kit_minds_the_order_of_commands_and_the_end() -> None:
    decided = given_process(Delivery, PLACED, PAID).when(rejection(Ship, reason="no"))

    with pytest.raises(AssertionError, match="order of its commands"):
        decided.then(Cancel(order_id="7", reason="no"), Refund(order_id="7"))
    with pytest.raises(AssertionError, match="expected, but it did not: end"):
        decided.then(Refund(order_id="7"), Cancel(order_id="7", reason="no"), ends=True)


def test_the_kit_says_when_something_was_heard_that_should_not_be_and_the_other_way_round() -> None:
    with pytest.raises(AssertionError, match="passed it over; expected was a decision"):
        given_process(Delivery).when(PAID).then()
    with pytest.raises(AssertionError, match=r"but heard it, and decided: send Ship"):
        given_process(Delivery, PLACED).when(PAID).then_nothing()
    with pytest.raises(AssertionError, match="nothing of what it heard starts it"):
        _ = given_process(Delivery).when(PAID).state


def test_the_kit_refuses_what_cannot_be() -> None:
    with pytest.raises(AssertionError, match="has no method that hears Shipped"):
        given_process(Delivery).when(Shipped())
    with pytest.raises(AssertionError, match="nothing has started it"):
        given_process(Delivery).when(timeout("unpaid"))
    with pytest.raises(AssertionError, match="has set no timeout 'unpayed'"):
        given_process(Delivery, PLACED).when(timeout("unpayed"))


class Shipped(DomainEvent):
    pass
