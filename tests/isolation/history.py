"""What clients saw of concurrent commands: what was asked and answered when, and what the answer says was read.

Every write is traceable: an aggregate holds the list of the numbers that were ever appended to it, and a number is
drawn once. A read returns the list. Nothing here, or in the checker, knows how duly stores anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import TypeAlias

import msgspec

State: TypeAlias = tuple[int, ...] | None
"""The numbers that an aggregate holds, in order; None when there is no such aggregate."""


class Outcome(Enum):
    """What a client knows of a command. A caller that was cancelled knows nothing."""

    OK = "ok"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Read(msgspec.Struct, frozen=True):
    """What a handler saw of an aggregate before it wrote there itself."""

    key: str
    state: State
    checked: bool
    """Whether nothing may come between this and the commit: `get`, `find`, or one statement of a query."""


class Write(msgspec.Struct, frozen=True):
    """What a command means to do to an aggregate: append a number to it, which may create it."""

    key: str
    number: int
    removes: bool = False
    """The number stands for a removal, and is in no list."""
    taken_back: bool = False
    """It is written in a block of a savepoint that is left with an error: it must never be seen."""
    name: str | None = None
    """The value of the aggregate's `Unique` field from now on."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call. Times are nanoseconds of one clock for all clients; None: no answer ever came."""

    invoked: int
    returned: int | None
    outcome: Outcome
    reads: tuple[Read, ...] = ()
    said: str = ""
    """Why it was refused, or what is unknown of it."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A command, called once or several times under one id; or a query, which writes nothing."""

    id: str
    calls: tuple[Call, ...]
    writes: tuple[Write, ...] = ()
    is_query: bool = False
    jots: bool = False
    """Whether it also inserts a row into a table of the user's."""
    texts: bool = False
    """Whether it also requests an effect."""
    plan: str = ""
    """What it was to do, for people."""

    @property
    def outcome(self) -> Outcome:
        """Ok if any call was, for then it is done; refused if every call was."""
        outcomes = {call.outcome for call in self.calls}
        if Outcome.OK in outcomes:
            return Outcome.OK
        return Outcome.REFUSED if outcomes == {Outcome.REFUSED} else Outcome.UNKNOWN

    @property
    def invoked(self) -> int:
        """Before this it had no effect."""
        return min(call.invoked for call in self.calls)

    @property
    def returned(self) -> int | None:
        """From then on it is done, if it is ever: the first answer says so."""
        times = [call.returned for call in self.calls if call.outcome is Outcome.OK and call.returned is not None]
        return min(times, default=None)

    @property
    def reads(self) -> tuple[Read, ...]:
        """What it saw, by its first answer."""
        return next((call.reads for call in self.calls if call.outcome is Outcome.OK), ())

    @property
    def kept(self) -> tuple[Write, ...]:
        """The writes that are there when it is done."""
        return tuple(write for write in self.writes if not write.taken_back)

    def __str__(self) -> str:
        return f"{self.id} ({self.plan})" if self.plan else self.id


class Document(msgspec.Struct, frozen=True):
    """An aggregate as it lies in the database at the end. Of a stream *state* is what its events say."""

    key: str
    version: int
    state: tuple[int, ...]
    name: str | None = None


class Logged(msgspec.Struct, frozen=True):
    """An event in the log: who did what to which aggregate."""

    position: int
    key: str
    version: int
    number: int
    removes: bool = False


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """What lies in the database when everything is over, read by a connection of the checker's own."""

    documents: tuple[Document, ...] = ()
    log: tuple[Logged, ...] = ()
    """In the order of positions."""
    inbox: tuple[str, ...] = ()
    """Ids of commands."""
    names: tuple[tuple[str, str], ...] = ()
    """Unique values and the keys that they belong to."""
    jotted: tuple[str, ...] = ()
    """Ids of the operations that wrote into the user's table."""
    texted: tuple[str, ...] = ()
    """Ids of the operations whose effects are in the ledger."""
    heard: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """What the subscriber wrote down, in the order in which it heard it, by key."""
    undelivered: int = 0
    parked: int = 0


class History(msgspec.Struct, frozen=True, kw_only=True):
    """All of a run."""

    operations: tuple[Operation, ...]
    rows: Rows


def write_history(path: Path, history: History) -> None:
    """Keep a history, a line for each operation and the last for the rows."""
    lines: Iterable[bytes] = (msgspec.json.encode(one) for one in (*history.operations, history.rows))
    path.write_bytes(b"\n".join(lines) + b"\n")


def read_history(path: Path) -> History:
    """Read what `write_history` wrote."""
    *operations, rows = path.read_bytes().splitlines()
    return History(
        operations=tuple(msgspec.json.decode(line, type=Operation) for line in operations),
        rows=msgspec.convert(json.loads(rows), Rows),
    )
