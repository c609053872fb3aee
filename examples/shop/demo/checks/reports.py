"""Points 9 and 11: what providers report settles what is unknown, and returns to the domain."""

from collections.abc import Iterable

from duly import Dispatch, EffectView
from examples.shop.demo.checks.check import Check, Evidence, equal, troubles_of
from examples.shop.demo.checks.commands import CASCADE
from examples.shop.demo.troubles import FORGED, NOT_TEXTED, REPORTED, TAMPERED, UNDELIVERED
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
    reported = evidence.sms_of(REPORTED)
    settled = [effect for effect in reported if _is_settled_by_receipt(effect)]
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
        equal(9, "unknown, then accepted by a receipt", _of(evidence.sms_of(REPORTED)), _of(reported, settled)),
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


def _of(all_of_them: list[EffectView], some: list[EffectView] | None = None) -> str:
    return f"{len(all_of_them if some is None else some)} of {len(all_of_them)}"


def mails_instead(evidence: Evidence) -> list[Check]:
    """Point 11: an SMS that cannot arrive is followed by a mail, which knows why it was sent."""
    return [
        *troubles_of(11, evidence),
        *(
            equal(11, f"why the mail instead was sent: {trouble.name}", expected, _chains(evidence, trouble))
            for trouble, expected in (
                (NOT_TEXTED, _told((*CASCADE, "duly.sms", "duly.effect_failed"))),
                (UNDELIVERED, _told((*CASCADE, "duly.sms", "duly.effect_undelivered"))),
            )
        ),
    ]
