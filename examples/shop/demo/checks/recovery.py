"""Points 11 to 13: what the shop, a person and a provider that comes back make good."""

from examples.shop.demo.checks.check import Check, Evidence, counted, equal, troubles_of
from examples.shop.demo.checks.commands import CASCADE
from examples.shop.demo.plan import PERSON
from examples.shop.demo.troubles import FOUND, NOT_FOUND, NOT_TEXTED, UNDELIVERED, Trouble
from examples.shop.sandbox.record import CHANNELS


def mails_instead(evidence: Evidence) -> list[Check]:
    """Point 11: an SMS that cannot arrive is followed by a mail, which knows why it was sent."""
    return [
        *troubles_of(11, evidence),
        _chain(evidence, NOT_TEXTED, "the chain of causes of such a mail", "duly.effect_failed"),
        _chain(evidence, UNDELIVERED, "and of the other", "duly.effect_undelivered"),
    ]


def _chain(evidence: Evidence, trouble: Trouble, what: str, outcome: str) -> Check:
    orders = evidence.plan.in_trouble(trouble)
    mails = [effect for effect in evidence.effects_to(orders) if effect.chain[-1].name.startswith("duly.effect")]
    chains = {_told(tuple(link.name for link in mail.chain)) for mail in mails}
    references = {mail.reference for mail in mails} & {order.order_id for order in orders}
    return equal(
        11,
        what,
        f"{len(orders)} mails: {_told((*CASCADE, 'duly.sms', outcome))}",
        f"{len(references and mails)} mails: {' | '.join(sorted(chains))}",
    )


def _told(names: tuple[str, ...]) -> str:
    """A chain of causes; the part that is every SMS's is cut short."""
    if names[: len(CASCADE)] == CASCADE:
        names = (CASCADE[0], "…", *names[len(CASCADE) - 1 :])
    return " → ".join(names)


def people(evidence: Evidence) -> list[Check]:
    """Point 12: what only a person can find out is settled by one, with name and reason."""
    accepted, not_sent = len(evidence.plan.in_trouble(FOUND)), len(evidence.plan.in_trouble(NOT_FOUND))
    return [
        *troubles_of(12, evidence),
        equal(12, "settled as accepted, by whom", _by(accepted, PERSON), _settled(evidence, FOUND, "accepted")),
        equal(12, "settled as not sent, by whom", _by(not_sent, PERSON), _settled(evidence, NOT_FOUND, "queued")),
        equal(12, "who would not say why", "InvalidInput", evidence.facts.error_without_reason),
    ]


def _settled(evidence: Evidence, trouble: Trouble, after: str) -> str:
    rows = [
        row
        for effect in evidence.sms_of(trouble)
        for row in effect.audit
        if (row.verb, row.before, row.after) == ("settle", "unknown", after) and row.reason
    ]
    return _by(len(rows), ", ".join(sorted({row.by for row in rows})) or "nobody")


def _by(count: int, who: str) -> str:
    return f"{count} by {who}, each with a reason"


def outage(evidence: Evidence) -> list[Check]:
    """Point 13: while a provider is away its effects wait, and burn no attempts; then all of them go out, once."""
    seen = evidence.facts.outage
    assert seen is not None
    orders = (*evidence.plan.outage, *evidence.plan.held)
    here = evidence.effects_to(orders)
    planned = sum(order.effects_planned for order in orders)
    held = ", ".join(f"{seen.held[channel]} {channel}" for channel in CHANNELS if channel in seen.held)
    return [
        equal(13, "billing says 503, SMS 401: breakers open", "billing, twilio", ", ".join(seen.breakers)),
        Check(
            point=13,
            what="ordered meanwhile: held, not tried",
            expected="some of each",
            seen=held or "none",
            holds=set(seen.held) == {"sms", "billing"},
        ),
        equal(13, "when they are back", counted({"accepted": planned}, planned), evidence.told(here)),
    ]
