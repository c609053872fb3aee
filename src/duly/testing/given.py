"""Given what has happened, when an aggregate is asked for something, then these events follow; no database, no handler.

::

    given(Account, Opened(owner="Ann"), Deposited(amount=5)).when(lambda account: account.withdraw(2)).then(
        Withdrawn(amount=2)
    )
    given(order).when(lambda order: order.pay()).then_refuses(PaidOnce(number=order.id))

An aggregate that is stored as a document is given as it is; an event-sourced one by its events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar, overload

import msgspec

from duly.domain.aggregate import Aggregate, Recorded, take_recorded
from duly.domain.event_sourced import EventSourced, check_state, replay
from duly.domain.rule import Rule
from duly.errors import RuleBroken
from duly.messages.codec import Codec
from duly.messages.message import DomainEvent

A = TypeVar("A", bound=Aggregate)
S = TypeVar("S", bound=EventSourced)

ID: Final = "it"
"""The id of an event-sourced aggregate that is given without one."""


@overload
def given(start: type[S], /, *events: DomainEvent, id: str = ID) -> Given[S]: ...
@overload
def given(start: A, /) -> Given[A]: ...
def given(start: Any, /, *events: DomainEvent, id: str = ID) -> Given[Any]:
    """An aggregate to which this has happened: an event-sourced class and its events, or an aggregate as it is."""
    if isinstance(start, type):
        return Given(_replayed(start, events, id), tuple(events))
    take_recorded(start)
    return Given(start, ())


class Given(Generic[A]):
    """An aggregate that nothing was asked of yet."""

    def __init__(self, aggregate: A, events: tuple[DomainEvent, ...]) -> None:
        self._aggregate = aggregate
        self._events = events

    def when(self, act: Callable[[A], object]) -> When[A]:
        """Ask it for something: *act* calls its methods. What that raises is looked at by `then_refuses`."""
        try:
            result, error = act(self._aggregate), None
        except Exception as raised:
            result, error = None, raised
        return When(self._aggregate, self._events, result, error)


class When(Generic[A]):
    """What became of it."""

    def __init__(self, aggregate: A, events: tuple[DomainEvent, ...], result: object, error: Exception | None) -> None:
        self.aggregate = aggregate
        self._events = events
        self._result = result
        self._error = error
        self._recorded: list[Recorded] = take_recorded(aggregate)

    @property
    def result(self) -> object:
        """What was returned. Raises what was raised."""
        if self._error is not None:
            raise self._error
        return self._result

    @property
    def recorded(self) -> tuple[DomainEvent, ...]:
        """The events that followed. Raises what was raised."""
        if self._error is not None:
            raise self._error
        return tuple(recorded.event for recorded in self._recorded)

    def then(self, *events: DomainEvent) -> When[A]:
        """Exactly these events followed, in this order; none, when none is given.

        They can be stored, and an event-sourced aggregate that is loaded with them is the same again. Raises
        `AssertionError`.
        """
        if self.recorded != events:
            raise AssertionError(f"Expected {_shown(events)}; {_shown(self.recorded)} followed.")
        stored = [_stored(event) for event in (*self._events, *events)]
        if isinstance(self.aggregate, EventSourced):
            self._check_loaded(self.aggregate, stored)
        else:
            Codec(type(self.aggregate), type(self.aggregate).__qualname__).encode_whole(self.aggregate)
        return self

    def then_holds(self, expected: Callable[[A], bool]) -> When[A]:
        """*expected* is true of the aggregate. Raises `AssertionError`."""
        if self._error is not None:
            raise self._error
        if not expected(self.aggregate):
            raise AssertionError(f"This is not as expected: {self.aggregate!r}")
        return self

    def then_refuses(self, reason: Rule | type[Rule] | type[Exception]) -> None:
        """It was refused, and nothing was recorded: by a rule, with its values or of any, or by an error of this type.

        Raises `AssertionError`.
        """
        if self._error is None:
            raise AssertionError(f"Expected a refusal by {_spelled(reason)}; {_shown(self.recorded)} followed.")
        if not _is_by(self._error, reason):
            raise AssertionError(
                f"Expected a refusal by {_spelled(reason)}; {type(self._error).__qualname__} was raised: {self._error}"
            ) from self._error
        if self._recorded:
            told = _shown([recorded.event for recorded in self._recorded])
            raise AssertionError(f"It was refused, but {told} had been recorded before. Check rules first.")

    def _check_loaded(self, aggregate: EventSourced, events: Sequence[DomainEvent]) -> None:
        check_state(aggregate)
        loaded = _replayed(type(aggregate), events, aggregate.id)
        if _fields(loaded) != _fields(aggregate):
            raise AssertionError(
                f"Loaded again it would be {loaded!r}, and it is {aggregate!r}. Applies methods must depend on nothing "
                "but the event and the fields."
            )


def _replayed(cls: type[S], events: Sequence[DomainEvent], aggregate_id: str) -> S:
    aggregate = cls(id=aggregate_id)
    replay(aggregate, events)
    return aggregate


def _stored(event: DomainEvent) -> DomainEvent:
    """The event as it comes back from the database. Raises `InvalidMessage`."""
    codec = Codec(type(event), type(event).__duly__.name)
    encoded = codec.encode(event)
    return codec.decode(encoded.body, encoded.personal)


def _fields(aggregate: Aggregate) -> object:
    return msgspec.to_builtins(aggregate)


def _is_by(error: Exception, reason: Rule | type[Rule] | type[Exception]) -> bool:
    if isinstance(reason, Rule):
        return isinstance(error, RuleBroken) and error.rule == reason
    if issubclass(reason, Exception):
        return isinstance(error, reason)
    return isinstance(error, RuleBroken) and isinstance(error.rule, reason)


def _shown(events: Sequence[DomainEvent]) -> str:
    return ", ".join(map(repr, events)) or "nothing"


def _spelled(reason: Rule | type[Rule] | type[Exception]) -> str:
    return reason.__qualname__ if isinstance(reason, type) else repr(reason)
