"""Where the customer of an order is reached when an SMS is not."""

from duly import Aggregate, EmailAddress, Personal
from examples.shop.ordering.messages import Money


class Contact(Aggregate):
    """What communications remembers of an order, under the order's id: outcomes of effects hold no personal data."""

    number: str
    total: Money
    email: Personal[EmailAddress]
    is_mailed: bool = False

    def mail_instead(self) -> bool:
        """Whether a mail shall go out instead of the SMS: one does, however often the SMS is said not to arrive."""
        if self.is_mailed:
            return False
        self.is_mailed = True
        return True
