"""Point 7 can turn red: each check is shown processes of which one has not done what it should."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from duly import Link
from examples.shop.demo.checks.waiting import ORDERED, REGISTERED
from examples.shop.demo.waits import (
    ORDERS_FIRST,
    REFUSED_CARD,
    REFUSED_NOT_TEXTED,
    REFUSED_UNDELIVERED,
    REGISTERS_FIRST,
    TOO_LATE,
)
from tests.example.perfect_run import PerfectRun
from tests.example.tampering import Tampering, first_of, is_told


def _change_waits(run: PerfectRun, **changes: object) -> None:
    assert run.facts.waits is not None
    run.facts.waits = replace(run.facts.waits, **changes)  # type: ignore[arg-type]


def _change_heard(run: PerfectRun, customer: str, **changes: object) -> None:
    assert run.facts.waits is not None
    heard = dict(run.facts.waits.heard)
    heard[customer] = replace(heard[customer], **changes)  # type: ignore[arg-type]
    _change_waits(run, heard=heard)


def welcome_did_not_wait(run: PerfectRun) -> None:
    _change_waits(run, welcomed_early=1)


def nobody_ordered_first(run: PerfectRun) -> None:
    _change_heard(run, run.plan.newcomers[0].orders_first[0].person.customer_id, names=(REGISTERED, ORDERED, ORDERED))


def welcome_was_said_twice(run: PerfectRun) -> None:
    sms = first_of(run, ORDERS_FIRST, "sms", last=True)
    run.effects["acme"].append(msgspec.structs.replace(sms, id="one more", summary="Welcome again"))


def welcome_was_never_said(run: PerfectRun) -> None:
    run.effects["acme"].remove(first_of(run, REGISTERS_FIRST, "sms", last=True))


def welcome_was_taken_twice(run: PerfectRun) -> None:
    welcome = first_of(run, REGISTERS_FIRST, "sms", last=True)
    (there,) = [one for one in run.records["sms"] if one.provider_id == welcome.provider_id]
    run.records["sms"].append(replace(there, provider_id="SM0"))


def process_heard_an_event_twice(run: PerfectRun) -> None:
    _change_heard(run, run.plan.newcomers[0].silent.customer_id, message_ids=("m-1", "m-1"))


def nothing_was_told_twice(run: PerfectRun) -> None:
    _change_waits(run, told_again=0)


def process_waits_for_ever(run: PerfectRun) -> None:
    _change_heard(run, run.plan.newcomers[0].silent.customer_id, names=(REGISTERED,), is_ended=False)


def timeout_came_for_others_too(run: PerfectRun) -> None:
    _change_waits(run, gave_up=5)


def who_came_too_late_is_welcomed(run: PerfectRun) -> None:
    sms = first_of(run, TOO_LATE, "sms")
    chain = (Link("command", "SayWelcome", "SayWelcome"),)
    run.effects["acme"].append(msgspec.structs.replace(sms, id="one more", summary="Welcome!", chain=chain))


def who_could_not_pay_gets_it_all_the_same(run: PerfectRun) -> None:
    customer = run.plan.in_trouble(REFUSED_CARD)[0].person.customer_id
    run.facts.cards[customer] = replace(run.facts.cards[customer], order_state="confirmed")


def who_could_not_pay_owes_it(run: PerfectRun) -> None:
    customer = run.plan.in_trouble(REFUSED_CARD)[0].person.customer_id
    run.facts.cards[customer] = replace(run.facts.cards[customer], owed="1500.00 EUR")


def what_was_cancelled_is_invoiced(run: PerfectRun) -> None:
    sms = first_of(run, REFUSED_CARD, "sms")
    customer = run.plan.in_trouble(REFUSED_CARD)[0].person.customer_id
    run.effects["acme"].append(msgspec.structs.replace(sms, id="one more", channel="billing", recipient=customer))


def no_mail_tells_of_the_cancellation(run: PerfectRun) -> None:
    run.effects["acme"].remove(first_of(run, REFUSED_NOT_TEXTED, "email", last=True))


def mail_of_the_cancellation_does_not_know_why(run: PerfectRun) -> None:
    mail = first_of(run, REFUSED_UNDELIVERED, "email", last=True)
    place = run.effects["acme"].index(mail)
    run.effects["acme"][place] = msgspec.structs.replace(mail, chain=mail.chain[-1:])


@pytest.mark.parametrize(
    "tamper",
    [
        welcome_did_not_wait,
        nobody_ordered_first,
        welcome_was_said_twice,
        welcome_was_never_said,
        welcome_was_taken_twice,
        process_heard_an_event_twice,
        nothing_was_told_twice,
        process_waits_for_ever,
        timeout_came_for_others_too,
        who_came_too_late_is_welcomed,
        who_could_not_pay_gets_it_all_the_same,
        who_could_not_pay_owes_it,
        what_was_cancelled_is_invoiced,
        no_mail_tells_of_the_cancellation,
        mail_of_the_cancellation_does_not_know_why,
    ],
)
def test_a_run_that_broke_the_promise_is_told_so_at_its_point(tamper: Tampering) -> None:
    assert is_told(tamper, 7)
