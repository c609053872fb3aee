"""What passes between the clients of a run and the processes under test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final

import msgspec

from duly import AggregateExists, AggregateNotFound, ConcurrencyConflict, RuleBroken, UniqueViolation
from tests.contract.cancelling import at_await
from tests.isolation.history import Outcome, Read

REFUSALS: Final = (RuleBroken, AggregateExists, AggregateNotFound, ConcurrencyConflict, UniqueViolation)

CANCELLED: Final = "cancelled"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is told when it starts."""

    store: str
    bug: str = ""

    def text(self) -> str:
        """As the argument of a process."""
        return msgspec.json.encode(self).decode()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One call. *call* is its own; *operation* is the command's id, and may come again."""

    call: str
    operation: str
    steps: Sequence[Any] = ()
    keys: Sequence[str] = ()
    ask: str = ""
    """Empty for a command; ``look``, or the table of a snapshot."""
    cancel_at: int = 0
    """The await at which the caller is cancelled; 0: never."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a call."""

    call: str
    outcome: Outcome = Outcome.OK
    reads: tuple[Read, ...] = ()
    said: str = ""


async def answered(result: Awaitable[Any], request: Request) -> Answer:
    """Await a call, cancelled on the way if the request says so. What is neither done nor refused is unknown."""
    try:
        seen = await (at_await(request.cancel_at, result) if request.cancel_at else result)
    except REFUSALS as error:
        return Answer(call=request.call, outcome=Outcome.REFUSED, said=type(error).__name__)
    except asyncio.CancelledError:
        if not request.cancel_at:
            raise
        return Answer(call=request.call, outcome=Outcome.UNKNOWN, said=CANCELLED)
    except Exception as error:
        return Answer(call=request.call, outcome=Outcome.UNKNOWN, said=f"{type(error).__name__}: {error}")
    reads = tuple(Read(one.key, None if one.state is None else tuple(one.state), one.checked) for one in seen)
    return Answer(call=request.call, reads=reads)
