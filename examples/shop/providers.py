"""The ways out of the house: who sends mails and text messages, and who issues invoices."""

from datetime import timedelta
from typing import Protocol

from duly import Delivery, Gateway, RetrySchedule
from duly.gateways.json_http import JsonHttpGateway
from duly.gateways.json_look_up import JsonLookUp
from duly.gateways.json_receipts import JsonReceipts
from duly.gateways.smtp import SmtpGateway
from duly.gateways.twilio import TwilioSms
from examples.shop.billing.messages import IssueInvoice

SLOTS = 2
"""How many calls one worker makes to a provider at once, and so how many a killed worker can leave unknown there."""

# The providers are on this machine, so nobody waits long. An application that reaches out keeps the defaults.
RETRY = RetrySchedule(tuple(timedelta(milliseconds=wait) for wait in (200, 500, 1_000, 1_000, 1_000, 1_000)))
CALL_TIMEOUT = timedelta(seconds=3)
LOOK_UP_WAIT = timedelta(milliseconds=500)

# In earnest this is read from where secrets are kept.
RECEIPT_SECRETS = ("the shop signs its receipt tokens with this",)


class World(Protocol):
    """Where the providers are."""

    @property
    def smtp_port(self) -> int: ...
    @property
    def sms_url(self) -> str: ...
    @property
    def sms_account_sid(self) -> str: ...
    @property
    def sms_auth_token(self) -> str: ...
    @property
    def billing_url(self) -> str: ...
    @property
    def billing_webhook_secret(self) -> str: ...


def gateways(world: World, receipts_url: str) -> list[Gateway]:
    """One gateway for each kind of effect. Without ``live=True`` nothing would leave the house.

    *receipts_url* is where `duly.web.receipts.receipts_app` is mounted, as the providers see it.
    """
    return [mail(world), sms(world, receipts_url), invoices(world)]


def mail(world: World) -> Gateway:
    """SMTP keeps nothing: what is lost after the final dot stays unknown until a person settles it."""
    return SmtpGateway(
        "127.0.0.1",
        world.smtp_port,
        sender="Shop <orders@shop.example>",
        tls="none",
        live=True,
        slots=SLOTS,
        session_timeout=timedelta(seconds=2),
        dot_timeout=CALL_TIMEOUT,
        retry=RETRY,
    )


def sms(world: World, receipts_url: str) -> Gateway:
    """No key and no look-up, but receipts: each message says where to report, and of which effect."""
    return TwilioSms(
        world.sms_account_sid,
        world.sms_auth_token,
        from_number="+4930901820",
        base_url=world.sms_url,
        receipts_url=f"{receipts_url}/twilio",
        receipt_secrets=RECEIPT_SECRETS,
        live=True,
        slots=SLOTS,
        call_timeout=CALL_TIMEOUT,
        retry=RETRY,
    )


def invoices(world: World) -> Gateway:
    """A key for a day, then a look-up under that key, and signed events."""
    return JsonHttpGateway(
        IssueInvoice,
        f"{world.billing_url}/invoices",
        name="billing",
        channel="billing",
        recipient="customer",
        summary=lambda invoice: f"Invoice for {invoice.reference}",
        key_lifetime=timedelta(hours=24),
        look_up=JsonLookUp(
            # By the key, not by the number of the order: two companies may have the same numbers.
            url=f"{world.billing_url}/invoices/by-reference/{{key}}",
            reference_field="idempotency_key",
            settle=LOOK_UP_WAIT,
            lag=LOOK_UP_WAIT,
        ),
        receipts=JsonReceipts(
            webhook_secrets=(world.billing_webhook_secret,),
            # Who has paid an invoice has got it.
            deliveries={"invoice.paid": Delivery.DELIVERED, "invoice.rejected": Delivery.REJECTED},
        ),
        live=True,
        slots=SLOTS,
        call_timeout=CALL_TIMEOUT,
        retry=RETRY,
    )
