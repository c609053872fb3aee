"""duly's own gateways, as they sit the exam."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from duly.gateways.effect_token import EffectTokens
from duly.gateways.json_http import JsonHttpGateway
from duly.gateways.json_look_up import AlreadyThere, JsonLookUp
from duly.gateways.json_receipts import JsonReceipts
from duly.gateways.network_policy import NetworkPolicy
from duly.gateways.resend import ResendMail
from duly.gateways.smtp import SmtpGateway
from duly.gateways.twilio import TwilioSms
from duly.gateways.webhook import WebhookGateway
from duly.gateways.webhook_endpoints import MemoryWebhookEndpoints
from duly.messages.fields import Personal
from duly.messages.message import Effect
from duly.messages.standard_effects import Email, Sms, Webhook
from duly.ports.endpoints import WebhookEndpoint
from duly.ports.gateway import Gateway, Incoming
from duly.ports.secret import Secret
from duly.states.delivery import Delivery, Engagement
from duly.testing.gateway_exam import (
    Differs,
    GatewayCandidate,
    HttpAnswers,
    HttpReply,
    ReceiptSender,
    Report,
    Seat,
    Seen,
    SmtpAnswers,
    Verdict,
    documented,
)
from tests.gateways.exam import documented as docs

HERE: Final = "tests.gateways.exam.candidates"
SECRET: Final = "whsec_" + b64encode(b"hush-hush-duly-exam-secret-of-32").decode()
OUR_SECRET: Final = "duly-exam-own-secret-for-tokens"
RECEIPTS_URL: Final = "https://shop.example/receipts/sms"

SMS: Final = Sms(to="+49 151 12345678", text="Canary: your order was shipped — 5 €")
MAIL: Final = Email(
    to="canary.ann@example.com", subject="Canary: shipped", text="Canary: on its way.\n.\nBye", html="<p>Canary</p>"
)
DAY: Final = timedelta(hours=24)


class RaiseInvoice(Effect, name="tests.exam.raise_invoice"):
    """Asks billing for an invoice."""

    customer: Personal[str]
    reference: str
    cents: int


INVOICE: Final = RaiseInvoice(customer="canary.ann@example.com", reference="O-7", cents=1250)


# Twilio


def _twilio(seat: Seat) -> Gateway:
    return TwilioSms(
        "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        Secret(seat.secret),
        from_number="+15005550006",
        base_url=seat.url,
        live=seat.live,
        receipts_url=RECEIPTS_URL,
        receipt_secrets=(OUR_SECRET,),
        call_timeout=seat.patience,
    )


def _twilio_signed(report: Report, body: bytes, at: datetime) -> Incoming:
    token = EffectTokens("exam", "twilio", (OUR_SECRET,)).token(report.effect_id)
    form = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
    return docs.twilio_signed(RECEIPTS_URL, f"effect={token}", form, body, SECRET, at)


TWILIO: Final = GatewayCandidate(
    name="TwilioSms",
    make=_twilio,
    effect=SMS,
    secret=SECRET,
    private=(SMS.text,),
    answers=HttpAnswers(taken=docs.twilio_message, taken_status=201, refusals=docs.TWILIO_REFUSALS, key_header=None),
    documented=(
        documented("answers that it has no such account", 404, docs.TWILIO_NO_ACCOUNT, Verdict.GATEWAYS_FAULT),
        documented("answers that the sender is not ours", 400, docs.TWILIO_NOT_OUR_NUMBER, Verdict.GATEWAYS_FAULT),
    ),
    receipts=ReceiptSender(
        body=docs.twilio_report,
        sign=_twilio_signed,
        kinds=(
            ("sent", Delivery.SENT),
            ("delivered", Delivery.DELIVERED),
            ("undelivered", Delivery.UNDELIVERED),
            ("failed", Delivery.REJECTED),
            ("read", Delivery.READ),
        ),
        is_timed=False,
    ),
    importable=f"{HERE}:TWILIO",
)


# SMTP


def _smtp(seat: Seat) -> Gateway:
    return SmtpGateway(
        seat.host,
        seat.port,
        sender="Shop <orders@shop.example>",
        live=seat.live,
        tls="none",
        username="shop",
        password=seat.secret,
        command_timeout=seat.patience,
        session_timeout=seat.patience,
        dot_timeout=seat.patience,
    )


SMTP: Final = GatewayCandidate(
    name="SmtpGateway",
    make=_smtp,
    effect=MAIL,
    private=("Canary",),
    answers=SmtpAnswers(),
    importable=f"{HERE}:SMTP",
)


# Resend


def _resend(seat: Seat) -> Gateway:
    return ResendMail(
        Secret(seat.secret),
        sender="Shop <orders@shop.example>",
        base_url=seat.url,
        live=seat.live,
        webhook_secrets=(Secret(seat.secret),),
        receipt_secrets=(OUR_SECRET,),
        call_timeout=seat.patience,
    )


RESEND: Final = GatewayCandidate(
    name="ResendMail",
    make=_resend,
    effect=MAIL,
    secret=SECRET,
    private=("Canary",),
    answers=HttpAnswers(
        taken=docs.resend_email,
        refusals=docs.RESEND_REFUSALS,
        key_reused=HttpReply(status=409, body=docs.RESEND_ANOTHER_BODY),
    ),
    documented=(
        documented(
            "answers that the key came before with another mail", 409, docs.RESEND_ANOTHER_BODY, Verdict.PERMANENT
        ),
        documented("answers that the daily quota is used up", 429, docs.RESEND_QUOTA, Verdict.GATEWAYS_FAULT),
    ),
    key_lifetime=DAY,  # https://resend.com/docs/dashboard/emails/idempotency-keys: "in the last 24 hours"
    receipts=ReceiptSender(
        body=docs.resend_report,
        sign=lambda report, body, at: docs.standard_signed("svix", SECRET, report, body, at),
        kinds=(
            ("email.sent", Delivery.SENT),
            ("email.delivered", Delivery.DELIVERED),
            ("email.delivery_delayed", Delivery.DEFERRED),
            ("email.bounced", Delivery.BOUNCED),
            ("email.complained", Engagement.COMPLAINED),
            ("email.opened", Engagement.OPENED),
            ("email.clicked", Engagement.CLICKED),
        ),
    ),
    importable=f"{HERE}:RESEND",
)


# JSON: a billing like Stripe's, one that knows invoice numbers, and a service that promises nothing


def _search(seen: Seen, taken: Sequence[Seen]) -> HttpReply:
    """The invoices with a reference. Source: https://docs.stripe.com/search, metadata."""
    (wanted,) = parse_qs(urlsplit(seen.line.split()[1]).query)["reference"]
    references = [str(json.loads(one.body)["reference"]) for one in taken]
    found = [
        docs.stripe_invoice(number, reference)
        for number, reference in enumerate(references, start=1)
        if reference == wanted
    ]
    return HttpReply(status=200, body=docs.stripe_search(found))


def _stripe_like(seat: Seat) -> Gateway:
    return JsonHttpGateway(
        RaiseInvoice,
        f"{seat.url}/v1/invoices",
        name="billing",
        recipient="customer",
        headers={"Authorization": f"Bearer {seat.secret}"},
        key_lifetime=DAY,
        look_up=JsonLookUp(
            url=seat.url + "/v1/invoices/search?reference={reference}",
            list_field="data",
            reference_field="metadata.reference",
        ),
        receipts=JsonReceipts(
            webhook_secrets=(Secret(seat.secret),),
            deliveries={"invoice.sent": Delivery.SENT, "invoice.paid": Delivery.DELIVERED},
            id_field="data.object.id",
        ),
        live=seat.live,
        call_timeout=seat.patience,
    )


BILLING: Final = GatewayCandidate(
    name="JsonHttpGateway, a billing like Stripe's",
    make=_stripe_like,
    effect=INVOICE,
    secret=SECRET,
    private=(INVOICE.customer,),
    answers=HttpAnswers(
        taken=lambda number: json.dumps(docs.stripe_invoice(number, INVOICE.reference)).encode(),
        refusals=docs.STRIPE_REFUSALS,
        key_reused=HttpReply(status=400, body=docs.STRIPE_ANOTHER_BODY),
        look_up=_search,
    ),
    documented=(
        documented(
            "answers that the key came before with other parameters", 400, docs.STRIPE_ANOTHER_BODY, Verdict.PERMANENT
        ),
    ),
    key_lifetime=DAY,  # https://docs.stripe.com/api/idempotent_requests: "after they're at least 24 hours old"
    receipts=ReceiptSender(
        # https://docs.stripe.com/api/events/object: what happened is in type, to what in data.object
        body=lambda report: json.dumps(
            {"object": "event", "type": report.kind, "data": {"object": {"id": report.provider_id}}}
        ).encode(),
        sign=lambda report, body, at: docs.standard_signed("webhook", SECRET, report, body, at),
        kinds=(("invoice.sent", Delivery.SENT), ("invoice.paid", Delivery.DELIVERED)),
    ),
    importable=f"{HERE}:BILLING",
)

_ALREADY_THERE: Final = b'{"code": "duplicate", "message": "canary.ann@example.com has it"}'


def _one_invoice(seen: Seen, taken: Sequence[Seen]) -> HttpReply:
    wanted = unquote(seen.line.split()[1].rpartition("/")[2])
    for number, one in enumerate(taken, start=1):
        if json.loads(one.body)["reference"] == wanted:
            return HttpReply(status=200, body=b'{"data": {"number": "R-%d"}}' % number)
    return HttpReply(status=404, body=b'{"code": "unknown"}')


def _numbered(seat: Seat) -> Gateway:
    return JsonHttpGateway(
        RaiseInvoice,
        f"{seat.url}/{seat.secret}/invoices",
        name="ledger",
        recipient="customer",
        idempotency_header=None,
        id_field="data.number",
        already_there=AlreadyThere(reference="reference"),
        look_up=JsonLookUp(
            url=seat.url + "/invoices/{reference}", confirm_url=seat.url + "/master/{reference}", id_field="data.number"
        ),
        five_hundred_means_not_processed=True,
        live=seat.live,
        call_timeout=seat.patience,
    )


NUMBERED_BILLING: Final = GatewayCandidate(
    name="JsonHttpGateway, a billing that takes each invoice number once",
    make=_numbered,
    effect=INVOICE,
    private=(INVOICE.customer,),
    answers=HttpAnswers(
        taken=lambda number: b'{"data": {"number": "R-%d"}}' % number, key_header=None, look_up=_one_invoice
    ),
    documented=(documented("answers that it has that number", 409, _ALREADY_THERE, Verdict.ACCEPTED),),
    differs=(
        Differs(
            statuses=(500, 502, 503, 504),
            verdicts=(Verdict.TRANSIENT,),
            because="This provider promises that 5xx means not processed: five_hundred_means_not_processed=True.",
        ),
    ),
    importable=f"{HERE}:NUMBERED_BILLING",
)

IN_HOUSE: Final = GatewayCandidate(
    name="JsonHttpGateway, a service in-house",
    make=lambda seat: JsonHttpGateway(
        Sms,
        f"{seat.url}/texts?token={seat.secret}",
        name="texts",
        recipient="to",
        live=seat.live,
        call_timeout=seat.patience,
    ),
    effect=SMS,
    private=(SMS.text,),
    answers=HttpAnswers(taken=lambda number: b'{"id": %d}' % number, taken_status=202),
    importable=f"{HERE}:IN_HOUSE",
)


# Webhooks


def _webhooks(seat: Seat) -> Gateway:
    endpoint = WebhookEndpoint(url=f"{seat.url}/hooks?token=canary-of-a-url", secrets=(Secret(seat.secret),))
    return WebhookGateway(
        MemoryWebhookEndpoints({("main", "crm-of-canary"): endpoint}),
        live=seat.live,
        network=NetworkPolicy(allow_networks=("127.0.0.0/8",), ports=(seat.port,), plain_http=True),
        answer_timeout=seat.patience,
    )


WEBHOOKS: Final = GatewayCandidate(
    name="WebhookGateway",
    make=_webhooks,
    effect=Webhook(endpoint="crm-of-canary", event="order.placed", payload={"order": "Canary O-7"}),
    secret=SECRET,
    private=("Canary O-7", "canary-of-a-url", SECRET.removeprefix("whsec_")),
    # The receiver knows a second one by its webhook-id; the body of its answer says nothing.
    answers=HttpAnswers(taken=lambda number: b"", taken_status=204, key_header="webhook-id"),
    differs=(
        Differs(
            moods=(
                "takes it and trickles its answer",
                "takes it and breaks off in the middle of its answer",
                "takes it and answers with many megabytes",
                "takes it and answers without a body",
                "takes it and answers an empty object",
                "takes it and answers no JSON",
                "takes it and answers JSON without an end",
                "takes it and answers JSON that is nested too deeply",
            ),
            verdicts=(Verdict.ACCEPTED,),
            because="Standard Webhooks: a 2xx is the receiver's yes, by the status line alone.",
        ),
        Differs(
            statuses=(401, 402, 403),
            verdicts=(Verdict.TRANSIENT,),
            because="The customer's own affair: it must not hold the webhooks of anybody else.",
        ),
    ),
    importable=f"{HERE}:WEBHOOKS",
)

CANDIDATES: Final = (TWILIO, SMTP, RESEND, BILLING, NUMBERED_BILLING, IN_HOUSE, WEBHOOKS)
