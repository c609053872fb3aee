"""Given what a process has heard, when it hears one thing more, then it does this: no store, no clock, no handler.

::

    given_process(Welcome, Registered(customer_id="ann", phone="+491")).when(Ordered(customer_id="ann")).then(
        Greet(customer_id="ann", phone="+491"), cancels=["give_up"], ends=True
    )
    given_process(Welcome, Registered(…)).when(timeout("give_up")).then(NoteSilence(customer_id="ann"), ends=True)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeAlias, TypeVar

from duly.domain.process_course import Course, Turn, decision_json, hear
from duly.domain.process_manager import ProcessManager
from duly.domain.process_table import ProcessTable, build_process_table
from duly.errors import ConfigurationError
from duly.messages.codec import Codec
from duly.messages.message import Command, DomainEvent, Message, PublicEvent
from duly.messages.process_messages import CommandRejected, TimedOut

P = TypeVar("P", bound=ProcessManager)

COMMAND_ID: Final = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Timeout:
    """The timeout *name* of the process, as it was set last."""

    name: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """One of the process's commands was not carried out."""

    command: type[Command[object]]
    reason: str
    rule: str | None
    permanent: bool


Heard: TypeAlias = DomainEvent | PublicEvent | Timeout | Rejection
"""What a process may be told in a test."""


def timeout(name: str) -> Timeout:
    """The timeout that is set under this name comes."""
    return Timeout(name)


def rejection(
    command: type[Command[object]], *, reason: str = "it is refused", rule: str | None = None, permanent: bool = True
) -> Rejection:
    """A command that the process has sent is refused; with ``permanent=False`` its attempts are spent."""
    return Rejection(command, reason, rule, permanent)


def given_process(process: type[P], /, *heard: Heard) -> GivenProcess[P]:
    """A process that has heard this, in this order. Raises `ConfigurationError` for a class that could not start."""
    table, mistakes = build_process_table(process)
    if mistakes:
        raise ConfigurationError(mistakes)
    return GivenProcess(process, table, heard)


class GivenProcess(Generic[P]):
    """A process that is about to hear something."""

    def __init__(self, process: type[P], table: ProcessTable, heard: tuple[Heard, ...]) -> None:
        self._process = process
        self._table = table
        self._course: Course | None = None
        for one in heard:
            turn = hear(table, self._course, _message(table, self._course, one))
            self._course = self._course if turn is None else turn.after

    def when(self, heard: Heard) -> WhenProcess[P]:
        """Let it hear this. What its method raises is raised."""
        turn = hear(self._table, self._course, _message(self._table, self._course, heard))
        if turn is not None:
            _check_storable(self._table, turn)
        return WhenProcess(self._process, self._course, turn)


class WhenProcess(Generic[P]):
    """What it has decided."""

    def __init__(self, process: type[P], before: Course | None, turn: Turn | None) -> None:
        self._process = process
        self._before = before
        self._turn = turn

    @property
    def state(self) -> P:
        """Its state now. Raises `AssertionError` when there is no such process."""
        course = self._before if self._turn is None else self._turn.after
        if course is None:
            raise AssertionError(f"There is no {self._process.__qualname__}: nothing of what it heard starts it.")
        assert isinstance(course.state, self._process)
        return course.state

    def then(
        self,
        *commands: Command[object],
        timeouts: Mapping[str, timedelta | datetime] | None = None,
        cancels: Collection[str] = (),
        ends: bool = False,
    ) -> None:
        """It sends these commands, in this order, sets and cancels these timeouts, and nothing else.

        *cancels* are timeouts that were set and are no more; one that is set again is in *timeouts*, and an end cancels
        what is left without being told. Raises `AssertionError`.
        """
        if self._turn is None:
            raise AssertionError(f"{self._process.__qualname__} passed it over; expected was a decision.")
        turn = self._turn
        after = turn.after
        cancelled = {name for name, _ in turn.withdrawn} - set(after.waiting)
        found = _lines(turn.commands, {one.name: one.at for one in turn.timeouts}, cancelled, after.is_ended)
        wanted = _lines(commands, timeouts or {}, cancelled if ends and not cancels else set(cancels), ends)
        if found != wanted:
            missing = [f"  - expected, but it did not: {line}" for line in wanted if line not in found]
            surplus = [f"  + it did, but was not expected: {line}" for line in found if line not in wanted]
            order = [] if missing or surplus else ["  the order of its commands is another one"]
            raise AssertionError("\n".join([f"{self._process.__qualname__} decided:", *missing, *surplus, *order]))

    def then_nothing(self) -> None:
        """It passed it over: nothing is sent, set or written. Raises `AssertionError`."""
        if self._turn is not None:
            decided = _lines(
                self._turn.commands, {one.name: one.at for one in self._turn.timeouts}, set(), self._turn.after.is_ended
            )
            raise AssertionError(
                f"{self._process.__qualname__} was expected to pass it over, but heard it, and decided: "
                f"{'; '.join(decided) or 'a state only'}."
            )


def _lines(
    commands: Collection[Command[object]],
    timeouts: Mapping[str, timedelta | datetime],
    cancels: Collection[str],
    ends: bool,
) -> list[str]:
    return [
        *(f"send {command!r}" for command in commands),
        *(f"set {name!r}: {at}" for name, at in sorted(timeouts.items())),
        *(f"cancel {name!r}" for name in sorted(cancels)),
        *(["end"] if ends else []),
    ]


def _message(table: ProcessTable, course: Course | None, heard: Heard) -> Message:
    match heard:
        case Timeout(name=name):
            before = _begun(table, course, f"the timeout {name!r}")
            if name not in before.generations:
                raise AssertionError(f"{table.cls.__qualname__} has set no timeout {name!r} so far.")
            return TimedOut(process=table.identity, id=before.state.id, name=name, generation=before.generations[name])
        case Rejection(command=command, reason=reason, rule=rule, permanent=permanent):
            before = _begun(table, course, f"that {command.__qualname__} was rejected")
            return CommandRejected(
                process=table.identity,
                process_id=before.state.id,
                command=command.__duly__.name,
                command_id=COMMAND_ID,
                rule=rule,
                permanent=permanent,
                reason=reason,
            )
        case _:
            if type(heard) not in table.types:
                raise AssertionError(f"{table.cls.__qualname__} has no method that hears {type(heard).__qualname__}.")
            return heard


def _begun(table: ProcessTable, course: Course | None, what: str) -> Course:
    if course is None:
        raise AssertionError(f"{table.cls.__qualname__} cannot hear {what}: nothing has started it.")
    return course


def _check_storable(table: ProcessTable, turn: Turn) -> None:
    """What could not be stored is told in the test already. Raises `InvalidMessage`."""
    decision_json(turn, Codec(table.cls, table.name), _codec)


def _codec(cls: type[Message]) -> Codec[Message]:
    return Codec(cls, cls.__duly__.name)
