"""The customer."""

from typing import Self

from duly import Aggregate, EmailAddress, Personal, PhoneNumber, Unique
from examples.shop.customers.messages import CustomerRegistered


class Customer(Aggregate):
    """Someone who buys. No two customers of a tenant have the same address."""

    name: Personal[str]
    email: Unique[Personal[EmailAddress]]
    phone: Personal[PhoneNumber]

    @classmethod
    def register(cls, customer_id: str, *, name: str, email: str, phone: str, may_greet: bool = False) -> Self:
        """A new customer."""
        customer = cls(id=customer_id, name=name, email=email, phone=phone)
        customer.record(
            CustomerRegistered(customer_id=customer_id, name=name, email=email, phone=phone, may_greet=may_greet)
        )
        return customer
