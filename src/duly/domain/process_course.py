"""How a process goes on: pure, from what was and what is heard to what is next. Runs, tests and histories share it.

Rules
1. An event starts a process, or is heard by one that there is, or is passed over.
2. A timeout is heard once, and only if it was neither cancelled nor set again: cancel and fire can race.
3. An ended process hears nothing, not even what it could start with.
4. Generations of timeouts only grow, so that no two promises of a process have the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from duly.domain.process_manager import Next, ProcessManager
from duly.domain.process_table import ProcessTable, method_of
from duly.errors import InvalidDecision
from duly.messages.codec import Codec
from duly.messages.message import Command, Message
from duly.messages.process_messages import TimedOut


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """How far a process has come."""

    state: ProcessManager
    generations: Mapping[str, int] = {}
    """How often each timeout was set."""
    waiting: tuple[str, ...] = ()
    """Timeouts that are set, by name, in order."""
    is_ended: bool = False


class TimeoutSet(msgspec.Struct, frozen=True):
    """A timeout that begins to wait."""

    name: str
    generation: int
    at: timedelta | datetime


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What a process has decided about one thing that it heard."""

    after: Course
    commands: tuple[Command[object], ...] = ()
    timeouts: tuple[TimeoutSet, ...] = ()
    withdrawn: tuple[tuple[str, int], ...] = ()
    """Timeouts, with their generations, that need not come any more."""


def hear(table: ProcessTable, course: Course | None, message: Message) -> Turn | None:
    """What becomes of a process that hears *message*; None when it passes it over.

    Raises `InvalidDecision`, and what its method raises.
    """
    ear, process_id = table.ear(message), table.id_of(message)
    if ear is None or process_id is None or (course is not None and course.is_ended):
        return None
    if course is None:
        if not ear.hearing.starts:
            return None
        course = Course(state=table.cls(id=process_id))
    if isinstance(message, TimedOut):
        if message.name not in course.waiting or message.generation != course.generations.get(message.name):
            return None
        waiting = tuple(name for name in course.waiting if name != message.name)
        course = msgspec.structs.replace(course, waiting=waiting)
    decided: object = method_of(course.state, ear)(message)
    return _turn(table, course, _checked(table, course, ear.method, decided))


def decision_json(
    turn: Turn, state: Codec[ProcessManager], codec: Callable[[type[Message]], Codec[Message]], *, part: int = 0
) -> str:
    """What was decided, without personal fields, as a history keeps it.

    *part* is which of the messages it was that a stored one has become. Raises `InvalidMessage`.
    """
    return msgspec.json.encode(
        {
            "part": part,
            "version": type(turn.after.state).__duly__.version,
            "state": msgspec.json.decode(state.encode(turn.after.state).body),
            "commands": [
                {
                    "name": type(command).__duly__.name,
                    "version": type(command).__duly__.version,
                    "body": msgspec.json.decode(codec(type(command)).encode(command).body),
                }
                for command in turn.commands
            ],
            "timeouts": {timeout.name: _moment(timeout.at) for timeout in turn.timeouts},
            "waiting": turn.after.waiting,
            "ended": turn.after.is_ended,
        },
        order="deterministic",
    ).decode()


def _turn(table: ProcessTable, course: Course, decided: Next[Any]) -> Turn:
    generations = dict(course.generations)
    waiting = dict.fromkeys(course.waiting)
    withdrawn: list[tuple[str, int]] = []
    for name in (*decided.cancels, *decided.timeouts, *(waiting if decided.ends else ())):
        if name in waiting:
            withdrawn.append((name, generations[name]))
            del waiting[name]
    timeouts: list[TimeoutSet] = []
    for name, at in decided.timeouts.items():
        generations[name] = generations.get(name, 0) + 1
        waiting[name] = None
        timeouts.append(TimeoutSet(name, generations[name], at))
    after = Course(state=decided.state, generations=generations, waiting=tuple(waiting), is_ended=decided.ends)
    return Turn(
        after=after,
        commands=tuple(decided.commands),
        timeouts=tuple(timeouts),
        withdrawn=tuple(dict.fromkeys(withdrawn)),
    )


def _checked(table: ProcessTable, course: Course, method: str, decided: object) -> Next[Any]:
    where = f"{table.cls.__qualname__}.{method}"
    if not isinstance(decided, Next):
        raise InvalidDecision(f"{where} returned a {type(decided).__name__}. Return Next(self.changed(…), …).")
    if type(decided.state) is not table.cls:
        raise InvalidDecision(f"{where} returned a {type(decided.state).__name__} as its state, not its own class.")
    if decided.state.id != course.state.id:
        raise InvalidDecision(f"{where} changed the id of its process. It is the key of its events, and stays.")
    unknown = sorted({*decided.timeouts, *decided.cancels} - table.timeouts)
    if unknown:
        known = ", ".join(sorted(table.timeouts)) or "none"
        raise InvalidDecision(
            f"{where} named the timeout {unknown[0]!r}, which nothing hears. Timeouts are: {known}. Write a method "
            f"with @times_out({unknown[0]!r})."
        )
    if decided.ends and decided.timeouts:
        raise InvalidDecision(f"{where} ended its process and set a timeout. An ended process hears nothing any more.")
    for command in decided.commands:
        if not isinstance(command, Command):
            raise InvalidDecision(f"{where} sent a {type(command).__name__}, which is no Command.")
    return decided


def _moment(at: timedelta | datetime) -> dict[str, object]:
    match at:
        case timedelta():
            return {"after_ms": at // timedelta(milliseconds=1)}
        case datetime():
            return {"at": at.isoformat()}
