"""The billing API's events, "invoice.paid" and "invoice.rejected", signed as Standard Webhooks has it.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from standardwebhooks import Webhook

from examples.shop.sandbox.courier import Post
from examples.shop.sandbox.receipt_plan import Step
from examples.shop.sandbox.receipt_rules import ReceiptRule, Result

WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"sandbox-webhook-secret-32-bytes!").decode()
ANOTHER_SECRET = "whsec_" + base64.b64encode(b"the-secret-of-somebody-else-32b!").decode()
OLD = timedelta(minutes=10)

STATUSES: Mapping[Result, tuple[str, ...]] = {"paid": ("paid",), "rejected": ("rejected",), "open": ()}
"""What becomes of an invoice. One that stays open has no event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """The events about one invoice; makes the post of each step.

    `invoice`: as the API answered it. `truth`: what becomes of it in the end.
    """

    invoice: Mapping[str, Any]
    url: str
    secret: str
    rule: ReceiptRule
    truth: str

    def post(self, step: Step) -> Post:
        """One event, signed, or with the step's flaw. The same event that is sent again has the same webhook-id."""
        invoice = dict(self.invoice)
        if step.flaw == "unknown_id":
            unknown = secrets.token_hex(12)
            invoice |= {"id": f"in_{unknown}", "idempotency_key": unknown, "reference": unknown}
        moment = datetime.now(UTC) - (OLD if step.flaw == "old_timestamp" else timedelta())
        body = _event(invoice, step.status, moment)
        signed = _event(invoice, self.truth, moment) if step.flaw == "changed_after_signing" else body
        secret = ANOTHER_SECRET if step.flaw == "wrong_secret" else self.secret
        event_id = f"msg_{invoice['id'].removeprefix('in_')}_{step.status}"
        return Post(
            url=self.url,
            headers={
                "Content-Type": "application/json",
                "webhook-id": event_id,
                "webhook-timestamp": str(int(moment.timestamp())),
                "webhook-signature": Webhook(secret).sign(event_id, moment, signed),
            },
            body=body.encode(),
            channel="billing",
            provider_id=invoice["id"],
            recipient=invoice["customer"],
            status=step.status,
            mood=self.rule.mood,
            flaw=step.flaw,
        )


def opposite(result: Result) -> str:
    """What a lie about an invoice says."""
    return "rejected" if result == "paid" else "paid"


def _event(invoice: Mapping[str, Any], status: str, moment: datetime) -> str:
    event = {
        "type": f"invoice.{status}",
        "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": {**invoice, "status": status},
    }
    return json.dumps(event, ensure_ascii=False)
