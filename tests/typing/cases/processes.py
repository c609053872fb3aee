"""Process managers: frozen states, decisions of their own class, commands and timeouts of the right types."""

from __future__ import annotations

from datetime import timedelta
from typing import Self, assert_type

from duly import (
    Command,
    CommandRejected,
    Duly,
    EffectFailed,
    Module,
    Next,
    Personal,
    ProcessHistory,
    ProcessManager,
    ProcessView,
    PublicEvent,
    Sms,
    TimedOut,
    hears,
    hears_rejected,
    starts,
    times_out,
)
from duly.testing.processes import given_process, rejection, timeout


class Registered(PublicEvent):
    customer_id: str
    phone: Personal[str]


class Greet(Command[str]):
    customer_id: str


class Note(Command):
    customer_id: str


class Welcome(ProcessManager, name="communications.welcome", version=2, formerly=("hello",)):
    phone: Personal[str] = ""
    calls: int = 0

    @starts(key="customer_id")
    def registered(self, event: Registered) -> Next[Self]:
        assert_type(event.phone, str)
        return Next(
            self.changed(phone=event.phone),
            commands=[Greet(customer_id=self.id), Note(customer_id=self.id)],
            timeouts={"give_up": timedelta(days=3)},
            cancels=["remind"],
        )

    @hears(key="reference")
    def unsent(self, event: EffectFailed[Sms]) -> Next[Self]:
        assert_type(event.reference, str | None)
        return Next(self, ends=True)

    @times_out("give_up")
    def gave_up(self, event: TimedOut) -> Next[Self]:
        return Next(self, commands=(Note(customer_id=self.id),), ends=True)

    @hears_rejected(Greet, Note)
    def refused(self, event: CommandRejected) -> Next[Self]:
        assert_type(event.permanent, bool)
        return Next(self)


class Other(ProcessManager):
    @starts(key=1)  # type: ignore[arg-type]
    def numbered(self, event: Registered) -> Next[Self]:
        return Next(self)

    @hears(key="customer_id")
    def other(self, event: Registered) -> Next[Self]:
        return Next(Welcome(id=self.id))  # type: ignore[arg-type]

    @hears(key="customer_id")  # type: ignore[type-var]
    async def coroutine(self, event: Registered) -> Next[Self]:
        return Next(self)

    @hears(key="customer_id")  # type: ignore[type-var]
    def nothing(self, event: Registered) -> None: ...

    @hears_rejected(Registered)  # type: ignore[arg-type]
    def refused(self, event: CommandRejected) -> Next[Self]:
        return Next(self)


def states_are_frozen_and_typed(welcome: Welcome) -> None:
    assert_type(welcome.id, str)
    assert_type(welcome.changed(calls=1), Welcome)
    welcome.calls = 2  # type: ignore[misc]
    Welcome(id="ann", calls="2")  # type: ignore[arg-type]
    Welcome("ann")  # type: ignore[call-arg]


def decisions_are_typed(welcome: Welcome) -> None:
    assert_type(Next(welcome), Next[Welcome])
    assert_type(Next(welcome).state, Welcome)
    Next(welcome, [Note(customer_id="ann")])  # type: ignore[call-arg]
    Next(welcome, commands=[Registered(customer_id="ann", phone="")])  # type: ignore[list-item]
    Next(welcome, timeouts={"give_up": 3})  # type: ignore[dict-item]
    Next(welcome, cancels="give_up")  # type: ignore[arg-type]
    Next("ann")  # type: ignore[type-var]


def modules_take_process_managers() -> None:
    Module("communications", processes=[Welcome])
    Module("communications", processes=[Registered])  # type: ignore[list-item]


async def processes_are_looked_at(app: Duly) -> None:
    assert_type(await app.processes("acme").page(Welcome), list[ProcessView])
    assert_type(await app.processes().history(Welcome, "ann"), ProcessHistory)
    await app.processes().history(Registered, "ann")  # type: ignore[arg-type]


def tests_are_typed(event: Registered) -> None:
    decided = given_process(Welcome, event, timeout("give_up"), rejection(Greet)).when(event)
    assert_type(decided.state, Welcome)
    decided.then(Note(customer_id="ann"), timeouts={"give_up": timedelta(days=3)}, ends=True)
    decided.then(event)  # type: ignore[arg-type]
