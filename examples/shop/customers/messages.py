"""What customers can be asked, and what it tells."""

from duly import Command, DomainEvent, EmailAddress, Personal, PhoneNumber, PublicEvent, Query


class RegisterCustomer(Command, subject="customer_id"):
    """Someone wants to buy here."""

    customer_id: str
    name: Personal[str]
    email: Personal[EmailAddress]
    phone: Personal[PhoneNumber]
    may_greet: bool = False
    """Whether they agree to be welcomed by a text message."""


class CustomerRegistered(DomainEvent, subject="customer_id"):
    """There is a new customer. Payments opens an account in the same transaction."""

    customer_id: str
    name: Personal[str]
    email: Personal[EmailAddress]
    phone: Personal[PhoneNumber]
    may_greet: bool = False


class CustomerRegisteredPublic(PublicEvent, subject="customer_id"):
    """There is a new customer, for whoever wants to greet them."""

    customer_id: str
    name: Personal[str]
    phone: Personal[PhoneNumber]
    may_greet: bool = False


class WishForNewsletter(Command):
    """Someone, customer or not, wants the newsletter."""

    email: Personal[EmailAddress]


class CountNewsletterWishes(Query[int]):
    """How many people want the newsletter."""
