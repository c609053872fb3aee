"""The shop, put together. What is not named here does not run."""

from datetime import timedelta

from duly import BreakerTerms, Duly, Email, Policy, Sending, Settings, Sms
from examples.shop.billing.handlers import billing
from examples.shop.billing.messages import IssueInvoice
from examples.shop.communications.handlers import communications
from examples.shop.customers.handlers import customers
from examples.shop.ordering.handlers import ordering
from examples.shop.payments.handlers import payments
from examples.shop.providers import World, gateways

MODULES = [customers, ordering, payments, communications, billing]

# What happens when nobody knows whether it went out.
SENDING = [
    Sending(effect=Sms, policy=Policy.AT_MOST_ONCE),  # it stays unknown, until a receipt or a person settles it
    Sending(effect=Email, policy=Policy.AT_MOST_ONCE),  # it stays unknown, until a person settles it
    Sending(effect=IssueInvoice, policy=Policy.KEYED),  # the same key again; when that ends, it is looked up
]

# Short, so that one can watch another worker take over from a killed one, and a provider go and come back. In earnest
# the defaults will do.
SETTINGS = Settings(
    lease=timedelta(seconds=3),
    attempt_margin=timedelta(seconds=2),
    poll_interval=timedelta(milliseconds=50),
    gateway_hold=timedelta(seconds=1),
    breaker=BreakerTerms(
        window=timedelta(seconds=1), calls_min=8, failures_percent=90, half_open_after=timedelta(milliseconds=500)
    ),
)


def shop(store: str, world: World, receipts_url: str, *, worker: bool = True, settings: Settings = SETTINGS) -> Duly:
    """The shop on the database at URL *store*. With ``worker=False`` other processes keep its promises."""
    return Duly(
        modules=MODULES,
        store=store,
        gateways=gateways(world, receipts_url),
        sending=SENDING,
        worker=worker,
        settings=settings,
    )
