"""What the event store is measured with: accounts that record deposits, and what they come to."""

from __future__ import annotations

from uuid import uuid4

from duly import Command, DomainEvent, Duly, EventSourced, Module, Query, Repository, applies
from duly.messages.envelope import Envelope, Kind
from duly.ports.store import Store
from duly.work.routes import Routes
from duly.work.unit_of_work import UnitOfWork
from duly.work.wiring import compile_routes

TENANT = "acme"
NOTE = "what was paid, and for what"


class Deposited(DomainEvent):
    account: str
    amount: int
    note: str


class Account(EventSourced):
    balance: int = 0

    @applies
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount


class Fill(Command):
    account: str
    events: int


class Balance(Query[int]):
    account: str


accounts_module = Module("accounts")


@accounts_module.command
async def fill(command: Fill, accounts: Repository[Account]) -> None:
    account = Account(id=command.account)
    for amount in range(command.events):
        account.record(Deposited(account=command.account, amount=amount, note=NOTE))
    accounts.add(account)


@accounts_module.query
async def balance(query: Balance, accounts: Repository[Account]) -> int:
    return (await accounts.get(query.account)).balance


def application(url: str) -> Duly:
    """The application on a database, without a worker."""
    return Duly(modules=[accounts_module], store=url, worker=False)


class EventStore:
    """duly's event store: a handler's unit of work, without the command's receipt, which `commands_*` measure."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._routes: Routes = compile_routes([accounts_module], [], [])

    async def append(self, account: str, events: int) -> None:
        """Begin a stream with so many events, in one commit."""
        cause = Envelope(id=str(uuid4()), tenant=TENANT, kind=Kind.COMMAND, name="Fill", version=1, body="")
        async with UnitOfWork(self._routes, self._store, TENANT) as work:
            await work.run(self._routes.commands[Fill].handler, Fill(account=account, events=events), cause)
            await work.commit()
