"""Two commands that each read what the other changes: what `get` prevents, what `peek` lets happen."""

from __future__ import annotations

import asyncio
from typing import Protocol

import pytest

from duly import Aggregate, Command, DomainEvent, EventSourced, Module, Query, Repository, RuleBroken, applies
from tests.scenarios.running import Start


class WentOnCall(DomainEvent):
    pass


class WentOffCall(DomainEvent):
    pass


class Doctor(Protocol):
    id: str
    on_call: bool

    def leave(self) -> None: ...


class DoctorDocument(Aggregate):
    on_call: bool = True

    def leave(self) -> None:
        self.on_call = False
        self.record(WentOffCall())


class DoctorStream(EventSourced):
    on_call: bool = False

    def leave(self) -> None:
        self.record(WentOffCall())

    @applies
    def went_on(self, event: WentOnCall) -> None:
        self.on_call = True

    @applies
    def went_off(self, event: WentOffCall) -> None:
        self.on_call = False


class Hire(Command):
    id: str
    is_stream: bool


class Leave(Command):
    """Somebody leaves, if the other one stays."""

    id: str
    other: str
    is_stream: bool = False
    other_is_stream: bool = False
    peeks: bool = False


class OnCall(Query[list[str]]):
    pass


class Claim(Command):
    """Takes a name, if nobody has the other one."""

    name: str
    unless: str
    is_stream: bool


class Meeting:
    """Lets two commands go on when both have read; whoever runs again does not wait."""

    def __init__(self) -> None:
        self._barrier = asyncio.Barrier(2)
        self.runs = 0

    async def both_have_read(self) -> None:
        self.runs += 1
        if self.runs <= 2:
            await self._barrier.wait()


def rota(meeting: Meeting) -> Module:
    module = Module("rota")

    @module.command
    async def hire(command: Hire, documents: Repository[DoctorDocument], streams: Repository[DoctorStream]) -> None:
        if not command.is_stream:
            documents.add(DoctorDocument(id=command.id))
            return
        doctor = DoctorStream(id=command.id)
        doctor.record(WentOnCall())
        streams.add(doctor)

    @module.command
    async def leave(command: Leave, documents: Repository[DoctorDocument], streams: Repository[DoctorStream]) -> None:
        own, others = (streams if each else documents for each in (command.is_stream, command.other_is_stream))
        doctor: Doctor = await own.get(command.id)
        other: Doctor | None = await (others.peek(command.other) if command.peeks else others.get(command.other))
        await meeting.both_have_read()
        if other is None or not other.on_call:
            raise RuleBroken(f"{command.other} is not on call.")
        doctor.leave()

    @module.command
    async def claim(command: Claim, documents: Repository[DoctorDocument], streams: Repository[DoctorStream]) -> None:
        taken = await (streams if command.is_stream else documents).find(command.unless)
        await meeting.both_have_read()
        if taken is not None:
            raise RuleBroken(f"{command.unless} is there.")
        if command.is_stream:
            doctor = DoctorStream(id=command.name)
            doctor.record(WentOnCall())
            streams.add(doctor)
        else:
            documents.add(DoctorDocument(id=command.name))

    @module.query
    async def on_call(
        query: OnCall, documents: Repository[DoctorDocument], streams: Repository[DoctorStream]
    ) -> list[str]:
        doctors = [await repository.find(name) for repository in (documents, streams) for name in ("ann", "bob")]
        return sorted(doctor.id for doctor in doctors if doctor is not None and doctor.on_call)

    return module


kinds = pytest.mark.parametrize(
    ("ann_is_stream", "bob_is_stream"),
    [(False, False), (True, True), (True, False)],
    ids=["documents", "streams", "one of each"],
)


async def both_leave(start: Start, ann_is_stream: bool, bob_is_stream: bool, *, peeks: bool) -> tuple[int, list[str]]:
    """How many left, and who is on call then."""
    app = (await start(rota(Meeting()))).app
    await app.execute(Hire(id="ann", is_stream=ann_is_stream), tenant="acme")
    await app.execute(Hire(id="bob", is_stream=bob_is_stream), tenant="acme")
    ann = Leave(id="ann", other="bob", is_stream=ann_is_stream, other_is_stream=bob_is_stream, peeks=peeks)
    bob = Leave(id="bob", other="ann", is_stream=bob_is_stream, other_is_stream=ann_is_stream, peeks=peeks)
    ends = await asyncio.gather(*(app.execute(each, tenant="acme") for each in (ann, bob)), return_exceptions=True)
    assert all(end is None or isinstance(end, RuleBroken) for end in ends), ends
    return ends.count(None), await app.ask(OnCall(), tenant="acme")


@kinds
async def test_what_was_got_and_not_changed_is_checked_so_that_somebody_stays(
    start: Start, ann_is_stream: bool, bob_is_stream: bool
) -> None:
    left, on_call = await both_leave(start, ann_is_stream, bob_is_stream, peeks=False)
    assert (left, len(on_call)) == (1, 1)


@kinds
async def test_what_was_peeked_at_is_not_checked_and_nobody_stays(
    start: Start, ann_is_stream: bool, bob_is_stream: bool
) -> None:
    left, on_call = await both_leave(start, ann_is_stream, bob_is_stream, peeks=True)
    assert (left, on_call) == (2, [])


@pytest.mark.parametrize("is_stream", [False, True], ids=["documents", "streams"])
async def test_what_was_found_to_be_absent_is_checked_too(start: Start, is_stream: bool) -> None:
    app = (await start(rota(Meeting()))).app
    ends = await asyncio.gather(
        app.execute(Claim(name="ann", unless="bob", is_stream=is_stream), tenant="acme"),
        app.execute(Claim(name="bob", unless="ann", is_stream=is_stream), tenant="acme"),
        return_exceptions=True,
    )
    assert sorted(type(end).__name__ for end in ends) == ["NoneType", "RuleBroken"]
    assert len(await app.ask(OnCall(), tenant="acme")) == 1
