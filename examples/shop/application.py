"""The shop, put together. What is not named here does not run."""

from datetime import timedelta

from duly import Duly, Settings
from examples.shop.billing.handlers import billing
from examples.shop.communications.handlers import communications
from examples.shop.customers.handlers import customers
from examples.shop.ordering.handlers import ordering
from examples.shop.payments.handlers import payments
from examples.shop.providers import World, gateways

MODULES = [customers, ordering, payments, communications, billing]

# Short, so that one can watch another worker take over from a killed one. In earnest the defaults will do.
SETTINGS = Settings(
    lease=timedelta(seconds=3), attempt_margin=timedelta(seconds=2), poll_interval=timedelta(milliseconds=50)
)


def shop(store: str, world: World, *, worker: bool = True, settings: Settings = SETTINGS) -> Duly:
    """The shop on the database at URL *store*. With ``worker=False`` other processes keep its promises."""
    return Duly(modules=MODULES, store=store, gateways=gateways(world), worker=worker, settings=settings)
