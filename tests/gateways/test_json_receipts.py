"""Reports signed after Standard Webhooks: verified first, then read by the fields that were named."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from duly.errors import ConfigurationError, ReceiptRefused
from duly.gateways.json_http import JsonHttpGateway
from duly.gateways.json_receipts import JsonReceipts
from duly.messages.message import Effect
from duly.ports.gateway import Incoming, Receipt
from duly.ports.secret import Secret
from duly.states.delivery import Delivery, Engagement
from duly.states.policy import Keeps, ReceiptWindow
from tests.gateways.incoming import WEBHOOK_SECRET, incoming, standard_webhook

OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PAID = {
    "type": "invoice.delivered",
    "timestamp": "2026-05-04T03:02:01Z",
    "data": {"id": "inv_7", "to": "ann@x.example"},
}
RECEIPTS = JsonReceipts(
    webhook_secrets=(Secret(WEBHOOK_SECRET),),
    deliveries={"invoice.delivered": Delivery.DELIVERED, "invoice.bounced": Delivery.BOUNCED},
    engagements={"invoice.opened": Engagement.OPENED, "invoice.complained": Engagement.COMPLAINED},
    suppressing={"invoice.complained": "complained"},
)


class SendInvoice(Effect, name="tests.send_invoice"):
    """Asks billing for an invoice."""

    customer: str


def billing(receipts: JsonReceipts | None = RECEIPTS) -> JsonHttpGateway[SendInvoice]:
    return JsonHttpGateway(
        SendInvoice, "https://billing.example", name="billing", recipient="customer", receipts=receipts
    )


def report(document: object = PAID, **signing: Any) -> Incoming:
    return standard_webhook(json.dumps(document).encode(), **signing)


@pytest.mark.parametrize("prefix", ["webhook", "svix"])
def test_a_signed_report_becomes_a_receipt(prefix: str) -> None:
    assert billing().receipts(report(report_id="msg_7", prefix=prefix)) == (
        Receipt(
            dedupe="msg_7",
            provider_id="inv_7",
            delivery=Delivery.DELIVERED,
            detail="invoice.delivered",
            occurred_at=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
        ),
    )


def test_what_a_recipient_did_is_a_fact_beside_the_delivery_and_may_suppress() -> None:
    (opened,) = billing().receipts(report({**PAID, "type": "invoice.opened"}))
    (complained,) = billing().receipts(report({**PAID, "type": "invoice.complained"}))
    assert (opened.delivery, opened.engagement, opened.suppresses) == (None, Engagement.OPENED, "")
    assert (complained.engagement, complained.suppresses) == (Engagement.COMPLAINED, "complained")


def test_other_fields_can_be_named() -> None:
    settings = replace(RECEIPTS, kind_field="event.name", id_field="invoice", time_field="")
    (receipt,) = billing(settings).receipts(report({"event": {"name": "invoice.bounced"}, "invoice": 7}))
    assert (receipt.delivery, receipt.provider_id, receipt.occurred_at) == (Delivery.BOUNCED, "7", None)


@pytest.mark.parametrize("document", [{}, [], None, 7, {"type": "customer.updated"}, {"type": 7}, {"type": ["x"]}])
def test_a_report_about_something_else_means_nothing(document: object) -> None:
    assert billing().receipts(report(document)) == ()


def test_a_report_without_the_id_that_it_should_have_is_refused() -> None:
    with pytest.raises(ReceiptRefused, match="Correct id_field"):
        billing().receipts(report({**PAID, "data": {}}))


@pytest.mark.parametrize("time", ["yesterday", "", 7, None, "2026-05-04T03:02:01"])
def test_a_time_that_cannot_be_read_is_left_out_and_one_without_a_zone_is_in_utc(time: object) -> None:
    (receipt,) = billing().receipts(report({**PAID, "timestamp": time}))
    assert receipt.occurred_at in (None, datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC))


def test_the_secret_is_rotated_with_overlap() -> None:
    signed = report(secret=OTHER_SECRET)
    both = replace(RECEIPTS, webhook_secrets=(WEBHOOK_SECRET, OTHER_SECRET))
    assert billing(both).receipts(signed)
    with pytest.raises(ReceiptRefused):
        billing().receipts(signed)


def forged() -> list[Incoming]:
    good = report()
    headers = dict(good.headers)
    now = datetime.now(UTC)
    return [
        incoming("/", good.body),
        msgspec.structs.replace(good, body=good.body + b" "),
        msgspec.structs.replace(good, body=b"\xff"),
        msgspec.structs.replace(good, body=b""),
        *(
            incoming("/", good.body, {**headers, name: value})
            for name, value in [
                ("webhook-id", "msg_2"),
                ("webhook-id", ""),
                ("webhook-timestamp", str(int(now.timestamp()) + 1)),
                ("webhook-timestamp", "nan"),
                ("webhook-timestamp", "soon"),
                ("webhook-signature", ""),
                ("webhook-signature", "v1"),
                ("webhook-signature", "v1,a,b"),
                ("webhook-signature", "v1,%%%"),
                ("webhook-signature", "v1,é"),
                ("webhook-signature", headers["webhook-signature"].replace("v1,", "v2,")),
            ]
        ),
        report(at=now - timedelta(minutes=6)),
        report(at=now + timedelta(minutes=6)),
        report(secret=OTHER_SECRET),
    ]


@pytest.mark.parametrize("number", range(len(forged())))
def test_a_report_that_is_forged_or_old_is_refused_and_not_quoted(number: int) -> None:
    with pytest.raises(ReceiptRefused) as refusal:
        billing().receipts(forged()[number])
    assert not any(shown in str(refusal.value) for shown in ("ann@x.example", "inv_7", WEBHOOK_SECRET[6:]))


def test_receipts_are_declared_with_their_window() -> None:
    window = replace(RECEIPTS, within=timedelta(days=7))
    assert billing(window).keeps == Keeps(receipts=ReceiptWindow(within=timedelta(days=7)))
    assert billing(None).keeps == Keeps()


@pytest.mark.parametrize(
    "settings",
    [
        {"webhook_secrets": ()},
        {"webhook_secrets": ("whsec_",)},
        {"webhook_secrets": ("whsec_hush-hush-hush-hush-hush-hush-hush",)},
        {"webhook_secrets": (WEBHOOK_SECRET, "whsec_aHVzaA==")},
        {"deliveries": {}, "engagements": {}, "suppressing": {}},
    ],
)
def test_receipts_that_cannot_work_stop_the_start_and_show_no_secret(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        billing(replace(RECEIPTS, **settings))
    assert not any(shown in f"{refusal.value} {RECEIPTS!r}" for shown in ("hush", "aHVzaA", WEBHOOK_SECRET[6:]))
