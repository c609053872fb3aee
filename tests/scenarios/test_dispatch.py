"""What a message costs: nothing is looked up anew that was known at the start, and nothing is encoded twice."""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import typing
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, Final
from uuid import RFC_4122, UUID

import msgspec
import pytest

from duly import (
    Aggregate,
    Command,
    DomainEvent,
    Effects,
    Module,
    Origin,
    Projection,
    Query,
    ReadModel,
    ReadModels,
    Repository,
    Sms,
)
from duly.messages.codec import Codec
from tests.scenarios.running import Start, durable


class Pay(Command):
    payment_id: str
    amount: int


class Paid(DomainEvent):
    payment_id: str
    amount: int


class Payment(Aggregate):
    amount: int


class Total(ReadModel):
    amount: int = 0


class TotalOf(Query[int]):
    payment_id: str


totals = Projection("totals")


@totals.on
async def add(event: Paid, totals: ReadModels[Total], origin: Origin) -> None:
    assert origin.stream == f"Payment/{event.payment_id}"
    totals.put(Total(id=event.payment_id, amount=event.amount))


module = Module("payments", messages=[Paid], projections=[totals])


@module.command
async def pay(command: Pay, payments: Repository[Payment]) -> None:
    payment = Payment(id=command.payment_id, amount=command.amount)
    payment.record(Paid(payment_id=payment.id, amount=payment.amount))
    payments.add(payment)


@module.in_transaction
async def note(event: Paid, payments: Repository[Payment]) -> None:
    (await payments.get(event.payment_id)).amount += 1


@module.after_commit
async def tell(event: Paid, effects: Effects) -> None:
    effects.request(Sms(to="+4915123456789", text=f"We have your {event.amount} euros."))


@module.query
async def total_of(query: TotalOf, totals: ReadModels[Total]) -> int:
    return (await totals.get(query.payment_id)).amount


LOOKS_AT_CODE: Final = (inspect.__file__, msgspec.inspect.__file__)
OF_VALUES: Final = frozenset({"isawaitable", "iscoroutine"})
"""What `inspect` says of a value that a handler returned; the rest of it reads signatures and annotations."""
GET_TYPE_HINTS: Final[CodeType] = typing.get_type_hints.__code__


@contextmanager
def reflections() -> Iterator[list[str]]:
    """Every call of what reads signatures and annotations, in any thread, while the block runs.

    What drivers do by themselves is theirs: asyncpg looks at each listener that it is given.
    """
    seen: list[str] = []

    def look(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        looks_at_code = code.co_filename in LOOKS_AT_CODE and code.co_name not in OF_VALUES
        if event == "call" and (looks_at_code or code is GET_TYPE_HINTS):
            asked = _who_asked(frame).f_code
            if "asyncpg" not in asked.co_filename:
                seen.append(f"{code.co_name} for {asked.co_qualname} of {asked.co_filename}")

    threading.setprofile(look)
    sys.setprofile(look)
    try:
        yield seen
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def _who_asked(frame: FrameType) -> FrameType:
    """The caller outside of what reads signatures and annotations."""
    while frame.f_back is not None and frame.f_code.co_filename in (
        *LOOKS_AT_CODE,
        typing.__file__,
        functools.__file__,
    ):
        frame = frame.f_back
    return frame


@durable
async def test_no_signature_and_no_annotation_is_read_after_the_start(start: Start) -> None:
    running = await start(module)
    with reflections() as seen:
        await running.app.execute(Pay(payment_id="p-1", amount=9), tenant="acme")
        await running.quiet()
        assert await running.app.ask(TotalOf(payment_id="p-1"), tenant="acme") == 9
        assert [recorded.event async for recorded in running.app.log("acme")] == [Paid(payment_id="p-1", amount=9)]
    (sent,) = running.gateway.calls
    assert sent.prepared.recipient == "+4915123456789"
    assert seen == []


def test_what_reads_signatures_is_seen() -> None:
    with reflections() as seen:
        inspect.signature(total_of)
        typing.get_type_hints(Paid)
        msgspec.inspect.type_info(Paid)
    assert {"signature", "get_type_hints", "type_info"} <= {call.split()[0] for call in seen}


class Coded:
    """What went through the codecs, by the label of the type."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.encoded: Counter[str] = Counter()
        self.decoded: Counter[str] = Counter()
        encode, decode = Codec.encode_whole, Codec.decode

        def counting_encode(codec: Codec[Any], value: object) -> str:
            self.encoded[codec.label] += 1
            return encode(codec, value)

        def counting_decode(codec: Codec[Any], body: str | bytes, personal: str | None = None) -> object:
            self.decoded[codec.label] += 1
            return decode(codec, body, personal)

        monkeypatch.setattr(Codec, "encode_whole", counting_encode)
        monkeypatch.setattr(Codec, "decode", counting_decode)

    def clear(self) -> None:
        """Begin to count anew."""
        self.encoded.clear()
        self.decoded.clear()


@durable
async def test_a_message_is_encoded_once_and_what_is_stored_is_what_is_read(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    coded = Coded(monkeypatch)
    client = await start(module, worker=False)
    await client.app.execute(Pay(payment_id="p-1", amount=9), tenant="acme")
    # The command for its digest, the event for the log and the outbox, the aggregate once for all that changed it.
    assert coded.encoded == {"Pay": 1, "Paid": 1, "Payment": 1}
    assert coded.decoded == {}
    coded.clear()
    worker = await start(module)
    await worker.quiet()
    # The relay and the projection hand on what is stored: each decodes it for its handler, and nobody encodes it.
    assert coded.decoded["Paid"] == 2
    assert coded.encoded["Paid"] == coded.encoded["Pay"] == 0
    coded.clear()
    assert [recorded.position async for recorded in client.app.log("acme")] == [1]
    assert (coded.encoded, coded.decoded) == ({}, {"Paid": 1})


async def test_a_command_that_came_without_an_id_gets_a_random_uuid(start: Start) -> None:
    running = await start(module, worker=False)
    admit = running.app._commands.admit
    made = [UUID(admit(Pay(payment_id="p-1", amount=9), "acme", None).command_id) for _ in range(100)]
    assert {(each.version, each.variant) for each in made} == {(4, RFC_4122)}
    assert len(set(made)) == 100
