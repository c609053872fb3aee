"""Accounts with eventsourcing: an aggregate whose every deposit is an event.

Documentation: eventsourcing.readthedocs.io, "domain", *Declarative syntax*. An aggregate always begins with an event of
its own; here it is the first deposit, so that an account of a hundred deposits has a hundred events.
"""

from __future__ import annotations

from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from benchmarks.peers.programs.values import NOTE, PAGE_EVENTS


class Account(Aggregate):
    @event("Opened")
    def __init__(self, account: str, amount: int, note: str) -> None:
        self.account = account
        self.balance = amount

    @event("Deposited")
    def deposit(self, amount: int, note: str) -> None:
        self.balance += amount

    @staticmethod
    def create_id(account: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/accounts/{account}")


class Accounts(Application):
    log_section_size = PAGE_EVENTS

    def fill(self, account: str, events: int) -> None:
        """Begin a stream with so many events, in one commit."""
        self.save(filled(account, events))

    def balance(self, account: str) -> int:
        """What the events of an account come to."""
        found: Account = self.repository.get(Account.create_id(account))
        return found.balance


def filled(account: str, events: int) -> Account:
    """An account with deposits of 0, 1, 2, …, not yet saved."""
    made = Account(account=account, amount=0, note=NOTE)
    for amount in range(1, events):
        made.deposit(amount, NOTE)
    return made
