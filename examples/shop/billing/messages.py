"""What billing asks of the outside world."""

from decimal import Decimal

from duly import Effect


class IssueInvoice(Effect, subject="customer"):
    """An invoice, to be issued by the outside billing system. Its fields are what that system's API takes."""

    customer: str
    reference: str
    amount: Decimal
    currency: str
