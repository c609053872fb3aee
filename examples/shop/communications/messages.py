"""What communications can be asked. Beside that it listens."""

from duly import Command, EmailAddress, Personal, PhoneNumber


class SayWelcome(Command, subject="customer_id"):
    """A customer has registered and ordered, and may be greeted."""

    customer_id: str
    number: str
    """Of the first order."""
    name: Personal[str]
    phone: Personal[PhoneNumber]


class TextCancellation(Command):
    """An order was cancelled that could not be paid: the customer shall hear of it, at once."""

    order_id: str
    number: str
    phone: Personal[PhoneNumber]


class MailCancellation(Command):
    """The text message about a cancelled order did not arrive."""

    order_id: str
    number: str
    email: Personal[EmailAddress]
