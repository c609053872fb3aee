"""The ways out of the house: who sends mails and text messages, and who issues invoices."""

from datetime import timedelta
from typing import Protocol

from duly import Gateway, RetrySchedule
from duly.gateways.json_http import JsonHttpGateway
from duly.gateways.smtp import SmtpGateway
from duly.gateways.twilio import TwilioSms
from examples.shop.billing.messages import IssueInvoice

SLOTS = 2
"""How many calls one worker makes to a provider at once, and so how many a killed worker can leave unknown there."""

# The providers are on this machine, so nobody waits long. An application that reaches out keeps the defaults.
RETRY = RetrySchedule(tuple(timedelta(milliseconds=wait) for wait in (200, 500, 1_000, 2_000)))
CALL_TIMEOUT = timedelta(seconds=3)


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


def gateways(world: World) -> list[Gateway]:
    """One gateway for each kind of effect. Without ``live=True`` nothing would leave the house."""
    return [
        SmtpGateway(
            "127.0.0.1",
            world.smtp_port,
            sender="Shop <orders@shop.example>",
            tls="none",
            live=True,
            slots=SLOTS,
            session_timeout=timedelta(seconds=2),
            dot_timeout=CALL_TIMEOUT,
            retry=RETRY,
        ),
        TwilioSms(
            world.sms_account_sid,
            world.sms_auth_token,
            from_number="+4930901820",
            base_url=world.sms_url,
            live=True,
            slots=SLOTS,
            call_timeout=CALL_TIMEOUT,
            retry=RETRY,
        ),
        JsonHttpGateway(
            IssueInvoice,
            f"{world.billing_url}/invoices",
            name="billing",
            channel="billing",
            recipient="customer",
            summary=lambda invoice: f"Invoice for {invoice.reference}",
            five_hundred_means_not_processed=True,
            live=True,
            slots=SLOTS,
            call_timeout=CALL_TIMEOUT,
            retry=RETRY,
        ),
    ]
