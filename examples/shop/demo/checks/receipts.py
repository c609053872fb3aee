"""Point 9: what providers report settles what is unknown. Nobody else can say it."""

from collections.abc import Iterable

from duly import Dispatch, EffectView
from examples.shop.demo.checks.check import Check, Evidence, equal, troubles_of
from examples.shop.demo.troubles import FORGED, REPORTED, TAMPERED
from examples.shop.sandbox.record import Receipt

TAKEN, REFUSED = 204, 400
"""How a receipt is answered that is the provider's own, and one that is not."""
DELIVERIES = {
    "sent": "sent",
    "delivered": "delivered",
    "undelivered": "undelivered",
    "paid": "delivered",
    "rejected": "rejected",
}
"""What a provider's word for it means here. "queued" means nothing: it was with the provider before."""
FLAWED_MOODS = ("forged", "tampered", "stale")


def receipts(evidence: Evidence) -> list[Check]:
    """Point 9: a receipt settles an unknown, and one that the provider did not sign changes nothing."""
    settled = [effect for effect in evidence.sms_of(REPORTED) if _is_settled_by_receipt(effect)]
    planned = [
        report.mood
        for order in evidence.plan.orders
        for report in order.trouble.reports.values()
        if report.mood in FLAWED_MOODS
    ]
    flawed = [receipt for receipt in evidence.facts.receipts if receipt.flaw is not None]
    refused = sum(receipt.answer == REFUSED for receipt in flawed)
    told = [effect.delivery for effect in evidence.sms_of(FORGED, TAMPERED) if effect.delivery is not None]
    return [
        *troubles_of(9, evidence),
        equal(
            9,
            "unknown at first, accepted by a receipt",
            f"{len(evidence.plan.in_trouble(REPORTED))} SMS",
            f"{len(settled)} SMS",
        ),
        equal(
            9,
            "receipts with a flaw: refused, and nothing is changed",
            f"{len(planned)} of {len(planned)} refused, 0 deliveries",
            f"{refused} of {len(flawed)} refused, {len(told)} deliveries",
        ),
        _deliveries(evidence),
    ]


def _is_settled_by_receipt(effect: EffectView) -> bool:
    outcomes = [attempt.outcome for attempt in effect.attempts]
    return effect.state is Dispatch.ACCEPTED and outcomes == ["unknown"] and not effect.audit


def _deliveries(evidence: Evidence) -> Check:
    """Every delivery in the ledger is what the provider last said of it, and of nothing else there is one."""
    reports = _last_reports(evidence.facts.receipts)
    reported = {effect.provider_id for effect in evidence.effects if effect.provider_id in reports}
    wrong = [
        effect
        for effect in evidence.effects
        if (None if effect.delivery is None else effect.delivery.value) != reports.get(effect.provider_id or "")
    ]
    return Check(
        point=9,
        what="deliveries here, and the providers’ own reports",
        expected="0 differ, and none is lost",
        seen=f"{len(wrong)} differ, {len(reported)} of {len(reports)} are here",
        holds=not wrong and len(reported) == len(reports) > 0,
    )


def _last_reports(sent: Iterable[Receipt]) -> dict[str, str]:
    """What each provider id was last reported as, in our words; of those that were signed."""
    said: dict[str, str] = {}
    for receipt in sent:
        if receipt.flaw is None and receipt.answer == TAKEN and receipt.status in DELIVERIES:
            said[receipt.provider_id] = DELIVERIES[receipt.status]
    return said
