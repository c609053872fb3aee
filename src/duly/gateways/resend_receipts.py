"""What Resend reports of a mail. Pure.

Source: https://resend.com/docs/webhooks/event-types, https://resend.com/docs/dashboard/emails/email-bounces
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from duly.errors import ReceiptRefused
from duly.gateways.http_messages import field_at, json_document, provider_id, time_of
from duly.gateways.settings import one_line
from duly.ports.gateway import Receipt
from duly.states.delivery import Delivery, Engagement

EFFECT_TAG: Final = "duly_effect"
"""The tag of a mail that names its effect; Resend repeats it in each report."""

_DELIVERIES: Final[Mapping[str, Delivery]] = {
    "email.sent": Delivery.SENT,
    "email.delivered": Delivery.DELIVERED,
    "email.delivery_delayed": Delivery.DEFERRED,
    "email.bounced": Delivery.BOUNCED,
    "email.failed": Delivery.REJECTED,
    "email.suppressed": Delivery.REJECTED,
}
_ENGAGEMENTS: Final[Mapping[str, Engagement]] = {
    "email.opened": Engagement.OPENED,
    "email.clicked": Engagement.CLICKED,
    "email.complained": Engagement.COMPLAINED,
}
_ON_THE_WAY: Final = frozenset({"email.scheduled"})


def receipt_of(body: bytes, report_id: str, effect_of: Callable[[str], str | None]) -> Receipt | None:
    """The verified *body* as a receipt; None when it is about no mail of ours. Raises `ReceiptRefused`.

    *effect_of* reads the tag. What a mail server says is left out: it may quote the address.
    """
    report = json_document(body)
    kind = field_at(report, "type")
    if not isinstance(kind, str) or kind not in {*_DELIVERIES, *_ENGAGEMENTS, *_ON_THE_WAY}:
        return None
    email_id = provider_id(field_at(report, "data.email_id"))
    if email_id is None:
        raise ReceiptRefused(
            f"A signed report of Resend's ({kind}) came in without data.email_id. Nothing was changed."
        )
    tag = field_at(report, f"data.tags.{EFFECT_TAG}")
    return Receipt(
        dedupe=report_id,
        provider_id=email_id,
        effect_id=effect_of(tag) if isinstance(tag, str) else None,
        delivery=_DELIVERIES.get(kind),
        engagement=_ENGAGEMENTS.get(kind),
        detail=_detail(kind, report),
        occurred_at=time_of(field_at(report, "created_at")),
        suppresses=_suppresses(kind, report),
    )


def _detail(kind: str, report: object) -> str:
    named = [
        field_at(report, path)
        for path in ("data.bounce.type", "data.bounce.subType", "data.failed.reason", "data.suppressed.type")
    ]
    codes = [one_line(name, 40) for name in named if isinstance(name, str) and name.isascii() and "@" not in name]
    return f"Resend: {', '.join([kind, *codes])}"


def _suppresses(kind: str, report: object) -> str:
    if kind == "email.complained":
        return "complained of a mail as spam"
    if kind == "email.suppressed":
        return "on Resend's suppression list"
    if kind == "email.bounced" and field_at(report, "data.bounce.type") == "Permanent":
        return "bounced for good"
    return ""
