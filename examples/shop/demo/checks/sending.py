"""Points 3 and 6: the ledger tells what is known of the outside world, and no more."""

from collections import Counter
from datetime import datetime

from duly import Dispatch, EffectView
from duly.effects.senders import WORKER_LOST
from examples.shop.demo.checks.check import Check, Evidence, counted, equal, troubles_of
from examples.shop.demo.comparison import Comparison
from examples.shop.demo.stage import SETTLED
from examples.shop.demo.troubles import IN_FLIGHT, NONE
from examples.shop.providers import SLOTS
from examples.shop.sandbox.record import CHANNELS


def crash(evidence: Evidence) -> list[Check]:
    """Point 3: what was under way when the answer or the worker was lost is unknown, and everything else is done."""
    kill = evidence.facts.kill
    assert kill is not None
    lost = Counter(effect.channel for effect in evidence.effects if _was_lost(effect))
    left_over = sum(effect.state not in SETTLED for effect in evidence.effects)
    sms = [effect for effect in evidence.effects_to(evidence.plan.in_flight) if effect.channel == "sms"]
    planned = Counter(state for order in evidence.plan.in_flight for state in order.trouble.states["sms"])
    return [
        *troubles_of(3, evidence),
        Check(
            point=3,
            what="a worker is killed while it calls",
            expected=f"both call: more than {SLOTS} calls open",
            seen=f"{kill.calls_in_flight} calls open, {kill.unsettled_effects} effects to be done",
            holds=kill.calls_in_flight > SLOTS,
        ),
        Check(
            point=3,
            what="unknown because the worker was lost",
            expected=f"1 to {SLOTS} sms, 0 to {SLOTS} of the others",
            seen=", ".join(f"{lost[channel]} {channel}" for channel in CHANNELS),
            holds=1 <= lost["sms"] <= SLOTS and max(lost.values()) <= SLOTS,
        ),
        equal(3, IN_FLIGHT.name, counted(planned, 0), evidence.told(sms)),
        equal(
            3,
            "after another worker was started",
            "0 effects left over, 0 messages parked",
            f"{left_over} effects left over, {evidence.facts.parked} messages parked",
        ),
    ]


def _was_lost(effect: EffectView) -> bool:
    """Whether an attempt was under way when its worker was killed, whatever has settled the effect since."""
    return any(attempt.evidence == WORKER_LOST for attempt in effect.attempts)


def honesty(evidence: Evidence, comparison: Comparison) -> list[Check]:
    """Point 6: nothing is claimed that has not happened."""
    accepted = [effect for effect in evidence.effects if effect.state is Dispatch.ACCEPTED]
    failed = [effect for effect in evidence.effects if effect.state is Dispatch.FAILED]
    planned = sum(states.count("failed") for order in evidence.plan.orders for states in order.trouble.states.values())
    elsewhere = sum(not evidence.records_of(effect) for effect in accepted)
    untimely = sum(not _is_timely(evidence, effect) for effect in accepted)
    facts = evidence.facts
    return [
        *troubles_of(6, evidence),
        _the_others(evidence),
        equal(6, "failed, each with its reason", f"{planned} of {planned}", _with_reason(failed)),
        Check(
            point=6,
            what="accepted here, not taken there",
            expected="0 at any time",
            seen=f"{elsewhere} of {len(accepted)}, {facts.accepted_too_early} in {facts.samples} looks on the way",
            holds=bool(accepted) and elsewhere == facts.accepted_too_early == 0,
        ),
        equal(
            6,
            "called accepted before it was taken",
            f"0 of {len(accepted)}",
            f"{untimely} of {len(accepted)}",
        ),
        equal(6, "ledger and providers’ records", "0 differences", _differences(comparison)),
    ]


def _the_others(evidence: Evidence) -> Check:
    """What meets no trouble of its own. The kill, or a slow machine, may leave some of it unknown."""
    usual = [order for order in evidence.plan.orders if order.trouble is NONE]
    at_the_kill = evidence.plan.in_flight
    planned = sum(order.effects_planned for order in (*usual, *at_the_kill)) - len(at_the_kill)
    here = evidence.effects_to(usual)
    here += [effect for effect in evidence.effects_to(at_the_kill) if effect.channel != "sms"]
    states = {effect.state for effect in here}
    explained = all(effect.reason for effect in here if effect.state is Dispatch.UNKNOWN)
    return Check(
        point=6,
        what="orders without trouble",
        expected=f"{planned} accepted, or unknown with evidence",
        seen=evidence.told(here),
        holds=len(here) == planned and states <= {Dispatch.ACCEPTED, Dispatch.UNKNOWN} and explained,
    )


def _with_reason(failed: list[EffectView]) -> str:
    return f"{sum(bool(effect.reason) for effect in failed)} of {len(failed)}"


def _is_timely(evidence: Evidence, effect: EffectView) -> bool:
    """Whether the provider took it between the beginning of an attempt and the outcome of that attempt."""
    return all(
        any(
            attempt.ended_at is not None and attempt.started_at <= _milliseconds(record.at) <= attempt.ended_at
            for attempt in effect.attempts
        )
        for record in evidence.records_of(effect)
    )


def _milliseconds(text: str) -> datetime:
    """A provider's time, as coarse as those of the ledger."""
    time = datetime.fromisoformat(text)
    return time.replace(microsecond=time.microsecond // 1_000 * 1_000)


def _differences(comparison: Comparison) -> str:
    return f"{len(comparison.differences)} differences"
