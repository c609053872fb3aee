"""The demo's checks can turn red: each is shown a run in which one thing is not as it should be."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from duly import Delivery, Dispatch
from duly.effects.senders import WORKER_LOST
from examples.shop.demo.facts import Refusal
from examples.shop.demo.troubles import (
    ALWAYS_500,
    ALWAYS_503,
    BUSY,
    FORGED,
    FOUND,
    GONE,
    NOT_FOUND,
    REFUSED,
    REPORTED,
    TAMPERED,
    UNDELIVERED,
)
from tests.example.perfect_run import PerfectRun, perfect_run
from tests.example.tampering import Tampering, change_of, first_of, is_told


def test_a_run_in_which_everything_went_as_planned_is_as_promised() -> None:
    outcome = perfect_run().judge()

    assert [check for check in outcome.checks if not check.holds] == []
    assert outcome.comparison.differences == []
    assert outcome.is_as_promised


def test_every_point_of_the_story_has_its_checks() -> None:
    assert {check.point for check in perfect_run().judge().checks} == set(range(1, 14))


def provider_has_one_more(run: PerfectRun) -> None:
    run.records["sms"].append(replace(run.records["sms"][0], body="an SMS that nobody requested", provider_id="SM0"))


def provider_has_it_twice(run: PerfectRun) -> None:
    run.records["billing"].append(replace(run.records["billing"][0], provider_id="in_0"))


def provider_has_lost_one(run: PerfectRun) -> None:
    del run.records["email"][-1]


def ledger_has_lost_one(run: PerfectRun) -> None:
    run.effects["acme"].remove(next(effect for effect in run.effects["acme"] if effect.state is Dispatch.ACCEPTED))


def ledger_calls_a_refused_one_accepted(run: PerfectRun) -> None:
    _change(run, Dispatch.FAILED, state=Dispatch.ACCEPTED, provider_id="SM0")


def ledger_calls_an_unknown_one_failed(run: PerfectRun) -> None:
    taken = {record.reference for record in run.records["email"]}
    effects = run.effects["acme"]
    place = next(
        number
        for number, effect in enumerate(effects)
        if effect.state is Dispatch.UNKNOWN and f"<{effect.id}@shop.example>" in taken
    )
    effects[place] = msgspec.structs.replace(effects[place], state=Dispatch.FAILED)


def ledger_has_another_id_of_the_provider(run: PerfectRun) -> None:
    _change(run, Dispatch.ACCEPTED, provider_id="SM0")


def ledger_gives_no_evidence(run: PerfectRun) -> None:
    _change(run, Dispatch.UNKNOWN, reason="")


def two_effects_are_one_message(run: PerfectRun) -> None:
    sms = next(effect for effect in run.effects["acme"] if effect.channel == "sms")
    run.effects["acme"].append(msgspec.structs.replace(sms, id="one more"))


def _change(run: PerfectRun, of: Dispatch, /, **changes: object) -> None:
    effects = run.effects["acme"]
    place = next(number for number, effect in enumerate(effects) if effect.state is of)
    effects[place] = msgspec.structs.replace(effects[place], **changes)


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        (provider_has_one_more, "taken there, not in the ledger"),
        (provider_has_it_twice, "taken more than once there"),
        (provider_has_lost_one, "accepted here, not taken there"),
        (ledger_has_lost_one, "taken there, not in the ledger"),
        (ledger_calls_a_refused_one_accepted, "accepted here, not taken there"),
        (ledger_calls_an_unknown_one_failed, "taken there, failed here"),
        (ledger_has_another_id_of_the_provider, "accepted under another id"),
        (ledger_gives_no_evidence, "unknown without evidence"),
        (two_effects_are_one_message, "several effects for one message"),
    ],
)
def test_a_ledger_and_a_provider_that_disagree_break_the_promise(tamper: Tampering, kind: str) -> None:
    run = perfect_run()
    tamper(run)

    outcome = run.judge()
    assert kind in {difference.kind for difference in outcome.comparison.differences}
    assert not outcome.is_as_promised


def order_survives_its_rollback(run: PerfectRun) -> None:
    run.facts.refusals[run.plan.too_dear.person.customer_id] = Refusal(error="RuleBroken", order_state="confirmed")


def rule_is_not_enforced(run: PerfectRun) -> None:
    run.facts.refusals[run.plan.shipped.person.customer_id] = Refusal(error="no error", order_state="cancelled")


def second_click_makes_a_second_order(run: PerfectRun) -> None:
    assert run.facts.clicks is not None
    run.facts.clicks = replace(run.facts.clicks, orders=2)


def nothing_was_in_flight(run: PerfectRun) -> None:
    assert run.facts.kill is not None
    run.facts.kill = replace(run.facts.kill, calls_in_flight=1)


def kill_leaves_too_many_unknown(run: PerfectRun) -> None:
    for effects in run.effects.values():
        effects[:] = [
            msgspec.structs.replace(
                effect, attempts=(msgspec.structs.replace(effect.attempts[0], evidence=WORKER_LOST),)
            )
            if effect.state is Dispatch.UNKNOWN
            else effect
            for effect in effects
        ]


def message_is_parked(run: PerfectRun) -> None:
    run.facts.parked = 1


def tenant_sees_an_effect_of_the_other(run: PerfectRun) -> None:
    run.facts.foreign_answers["globex"] = "no error"


def ledger_mixes_tenants(run: PerfectRun) -> None:
    run.effects["acme"].append(run.effects["globex"].pop())


def accepted_was_said_too_early(run: PerfectRun) -> None:
    run.facts.accepted_too_early = 1


def provider_took_it_before_the_attempt(run: PerfectRun) -> None:
    run.records["sms"][0] = replace(run.records["sms"][0], at="2025-12-31T23:59:59+00:00")


def busy_provider_was_not_asked_again(run: PerfectRun) -> None:
    _set_state_of(run, BUSY.name, Dispatch.FAILED)


def refusal_has_no_reason(run: PerfectRun) -> None:
    _set_state_of(run, REFUSED.name, Dispatch.FAILED)


def cascade_stops_half_way(run: PerfectRun) -> None:
    assert run.facts.cascade is not None
    run.facts.cascade = replace(run.facts.cascade, order_state="placed")


def receipt_settles_nothing(run: PerfectRun) -> None:
    change_of(run, REPORTED, "sms", state=Dispatch.UNKNOWN, reason="no answer")


def receipt_settles_what_was_never_unknown(run: PerfectRun) -> None:
    sms = first_of(run, REPORTED, "sms")
    attempt = msgspec.structs.replace(sms.attempts[0], outcome="accepted")
    change_of(run, REPORTED, "sms", attempts=(attempt,))


def forged_receipt_settles(run: PerfectRun) -> None:
    (taken,) = [record for record in run.records["sms"] if record.recipient == first_of(run, FORGED, "sms").recipient]
    change_of(run, FORGED, "sms", state=Dispatch.ACCEPTED, reason="", provider_id=taken.provider_id)


def forged_receipt_is_taken(run: PerfectRun) -> None:
    run.facts.receipts = [replace(one, answer=204) if one.flaw else one for one in run.facts.receipts]


def tampered_receipt_changes_the_delivery(run: PerfectRun) -> None:
    change_of(run, TAMPERED, "sms", delivery=Delivery.UNDELIVERED)


def tampered_receipt_sends_a_mail(run: PerfectRun) -> None:
    mail = first_of(run, TAMPERED, "email")
    run.effects["acme"].append(msgspec.structs.replace(mail, id="one more"))


def delivery_is_not_what_was_reported(run: PerfectRun) -> None:
    change_of(run, UNDELIVERED, "sms", delivery=Delivery.DELIVERED)


def delivery_was_never_reported(run: PerfectRun) -> None:
    run.facts.receipts = [one for one in run.facts.receipts if one.channel != "billing"]


def every_receipt_is_turned_away(run: PerfectRun) -> None:
    run.facts.receipts = [replace(one, answer=400) for one in run.facts.receipts]
    for effects in run.effects.values():
        effects[:] = [msgspec.structs.replace(effect, delivery=None) for effect in effects]


def order_is_invoiced_twice(run: PerfectRun) -> None:
    run.records["billing"].append(replace(run.records["billing"][0], provider_id="in_0"))


def invoice_stays_unknown(run: PerfectRun) -> None:
    change_of(run, GONE, "billing", state=Dispatch.UNKNOWN, reason="no answer")


def nobody_looks_an_invoice_up(run: PerfectRun) -> None:
    change_of(run, ALWAYS_500, "billing", look_ups=())


def not_there_is_asked_only_once(run: PerfectRun) -> None:
    change_of(run, ALWAYS_503, "billing", look_ups=first_of(run, ALWAYS_503, "billing").look_ups[:1])


def no_mail_goes_out_instead(run: PerfectRun) -> None:
    (mail, *_) = [effect for effect in run.effects["acme"] if effect.chain[-1].name == "duly.effect_undelivered"]
    run.effects["acme"].remove(mail)


def mail_instead_does_not_know_why(run: PerfectRun) -> None:
    effects = run.effects["globex"]
    effects[:] = [
        msgspec.structs.replace(effect, chain=effect.chain[:6])
        if effect.chain[-1].name == "duly.effect_failed"
        else effect
        for effect in effects
    ]


def mail_instead_names_another_order(run: PerfectRun) -> None:
    for effects in run.effects.values():
        effects[:] = [
            msgspec.structs.replace(effect, reference="4711") if effect.chain[-1].name.startswith("duly.") else effect
            for effect in effects
        ]


def nobody_wrote_down_who_settled_it(run: PerfectRun) -> None:
    change_of(run, FOUND, "sms", audit=())


def somebody_else_settled_it(run: PerfectRun) -> None:
    row = first_of(run, FOUND, "sms").audit[0]
    change_of(run, FOUND, "sms", audit=(msgspec.structs.replace(row, by="nobody@shop.example"),))


def it_was_settled_without_a_reason(run: PerfectRun) -> None:
    row = first_of(run, NOT_FOUND, "sms").audit[0]
    change_of(run, NOT_FOUND, "sms", audit=(msgspec.structs.replace(row, reason=""),))


def a_reason_is_not_asked_for(run: PerfectRun) -> None:
    run.facts.error_without_reason = "no error"


def no_breaker_opened(run: PerfectRun) -> None:
    assert run.facts.outage is not None
    run.facts.outage = replace(run.facts.outage, breakers=("twilio",))


def nothing_was_held(run: PerfectRun) -> None:
    assert run.facts.outage is not None
    run.facts.outage = replace(run.facts.outage, held={"billing": 4})


def outage_lost_an_invoice(run: PerfectRun) -> None:
    customer = run.plan.held[0].person.customer_id
    effects = run.effects["acme"]
    place = next(number for number, effect in enumerate(effects) if effect.recipient == customer)
    effects[place] = msgspec.structs.replace(effects[place], state=Dispatch.FAILED, reason="no attempt is left")


def _set_state_of(run: PerfectRun, trouble: str, state: Dispatch) -> None:
    people = {order.person.customer_id for order in run.plan.troubled if order.trouble.name == trouble}
    for effects in run.effects.values():
        effects[:] = [
            msgspec.structs.replace(effect, state=state, reason="") if effect.recipient in people else effect
            for effect in effects
        ]


@pytest.mark.parametrize(
    ("tamper", "point"),
    [
        (order_survives_its_rollback, 1),
        (rule_is_not_enforced, 1),
        (second_click_makes_a_second_order, 2),
        (nothing_was_in_flight, 3),
        (kill_leaves_too_many_unknown, 3),
        (message_is_parked, 3),
        (tenant_sees_an_effect_of_the_other, 5),
        (ledger_mixes_tenants, 5),
        (accepted_was_said_too_early, 6),
        (provider_took_it_before_the_attempt, 6),
        (busy_provider_was_not_asked_again, 6),
        (refusal_has_no_reason, 6),
        (cascade_stops_half_way, 8),
        (receipt_settles_nothing, 9),
        (receipt_settles_what_was_never_unknown, 9),
        (forged_receipt_settles, 9),
        (forged_receipt_is_taken, 9),
        (tampered_receipt_changes_the_delivery, 9),
        (tampered_receipt_sends_a_mail, 9),
        (delivery_is_not_what_was_reported, 9),
        (delivery_was_never_reported, 9),
        (every_receipt_is_turned_away, 9),
        (order_is_invoiced_twice, 10),
        (invoice_stays_unknown, 10),
        (nobody_looks_an_invoice_up, 10),
        (not_there_is_asked_only_once, 10),
        (no_mail_goes_out_instead, 11),
        (mail_instead_does_not_know_why, 11),
        (mail_instead_names_another_order, 11),
        (nobody_wrote_down_who_settled_it, 12),
        (somebody_else_settled_it, 12),
        (it_was_settled_without_a_reason, 12),
        (a_reason_is_not_asked_for, 12),
        (no_breaker_opened, 13),
        (nothing_was_held, 13),
        (outage_lost_an_invoice, 13),
    ],
)
def test_a_run_that_broke_a_promise_is_told_so_at_its_point(tamper: Tampering, point: int) -> None:
    assert is_told(tamper, point)
