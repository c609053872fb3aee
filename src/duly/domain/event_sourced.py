"""Aggregates whose state follows from their events: what was not recorded has not happened.

An aggregate is *open* while one of its applies methods runs: it then has a class of its own, without the guard, so
that applying costs no more than plain assignments. Loading opens it once for all of its events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast

import msgspec

from duly.domain.aggregate import Aggregate, AggregateFacts, Recorded, next_place
from duly.domain.apply_table import APPLIES, ApplyTable, build_table
from duly.errors import ConfigurationError, UnrecordedChange
from duly.messages.message import DomainEvent

S = TypeVar("S", bound="EventSourced")
E = TypeVar("E", bound=DomainEvent)

_put_class: Final = object.__dict__["__class__"].__set__
_seals: Final = msgspec.msgpack.Encoder()


class EventSourcedFacts(AggregateFacts, frozen=True, kw_only=True):
    """What the class statement of an event-sourced aggregate says beyond that of a document."""

    ignores: tuple[type[DomainEvent], ...]
    snapshot_every: int | None


def applies(method: Callable[[S, E], None]) -> Callable[[S, E], None]:
    """Marks the method that says what an event changes: its parameter's annotation names the event, or a union of them.

    It runs when the event is recorded, and again whenever the aggregate is loaded. It sets fields and does nothing
    else: rules are checked before the event is recorded.
    """
    cast("Any", method).__dict__[APPLIES] = True
    return method


if TYPE_CHECKING:

    class _Stream(Aggregate):
        def __init_subclass__(
            cls,
            *,
            name: str | None = None,
            version: int = 1,
            formerly: tuple[str, ...] = (),
            ignores: tuple[type[DomainEvent], ...] = (),
            snapshot_every: int | None = None,
        ) -> None: ...

else:

    class _StreamMeta(type(Aggregate)):
        """Makes event-sourced aggregates, which begin with their id alone."""

        def __new__(
            mcls,
            class_name: str,
            bases: tuple[type, ...],
            namespace: dict[str, Any],
            *,
            ignores: tuple[type[DomainEvent], ...] = (),
            snapshot_every: int | None = None,
            **options: Any,
        ) -> type:
            cls = super().__new__(mcls, class_name, bases, namespace, **options)
            facts = cls.__duly__
            cls.__duly__ = EventSourcedFacts(
                name=facts.name,
                version=facts.version,
                formerly=facts.formerly,
                ignores=tuple(ignores),
                snapshot_every=snapshot_every,
            )
            return cls

        def __call__(cls, **fields: Any) -> Any:
            if fields.keys() != {"id"}:
                given = ", ".join(sorted(fields.keys() - {"id"})) or "no id"
                raise UnrecordedChange(
                    f"{cls.__qualname__} was made with {given}. An event-sourced aggregate begins with its id and "
                    f"nothing else: {cls.__name__}(id=…), then record an event whose applies method sets the fields."
                )
            return super().__call__(**fields)

    class _Stream(Aggregate, metaclass=_StreamMeta):
        # Out of sight of type checkers, which would let any name be set.
        def __setattr__(self, name: str, value: object) -> None:
            raise _guarded(self, name)

        def __delattr__(self, name: str) -> None:
            raise _guarded(self, name)


class EventSourced(_Stream):
    """An aggregate that is stored as its events; all fields but `id` have defaults, and applies methods set them.

    Class keywords beside `name` and `version` (of the fields: raise it when an applies method or a field changes, so
    that older snapshots are not used): ``ignores`` (events that change no field) and ``snapshot_every`` (after how
    many events its state is stored, so that not all of them need be read).
    """

    __duly__: ClassVar[EventSourcedFacts]

    def record(self, event: DomainEvent) -> None:
        """Say what has happened: its applies method runs now, and handlers hear it when the present one has returned.

        Raises `UnrecordedChange` for an event that nothing applies, and when the state was changed without one.
        """
        table = table_of(type(self))
        apply = applying(self, table, type(event))
        check_state(self)
        held = self.__dict__
        names = set(held)
        if apply is not None:
            _put_class(self, table.open)
            try:
                apply(self, event)
            except BaseException as error:
                held["_broken"] = repr(error)
                raise
            finally:
                _put_class(self, table.cls)
            if held.keys() != names:
                held["_broken"] = f"it set {', '.join(sorted(held.keys() - names))}, which is no field"
                check_state(self)
        _seal(self, table, held.get("_events", 0) + 1)
        recorded: list[Recorded] = held.setdefault("_recorded", [])
        recorded.append(Recorded(next_place(), event, held["_events"]))


# For whoever loads and stores them.


def table_of(cls: type[EventSourced]) -> ApplyTable:
    """What is applied by what in *cls*, resolved once. Raises `ConfigurationError`."""
    table: ApplyTable | None = cls.__dict__.get("__duly_table__")
    if table is None:
        if "__duly_opens__" in cls.__dict__:
            raise UnrecordedChange(
                f"An applies method of {cls.__qualname__} recorded an event. It runs again whenever the aggregate is "
                "loaded, so it only sets fields: record the event in the method that records the first one."
            )
        mistakes = apply_mistakes(cls)
        if mistakes:
            raise ConfigurationError(mistakes)
        table, _ = build_table(cls, cls.__duly__.ignores, cls.__duly__.snapshot_every)
        table = msgspec.structs.replace(table, open=_opened(cls))
        type.__setattr__(cls, "__duly_table__", table)
    return table


def apply_mistakes(cls: type[EventSourced]) -> list[str]:
    """What is wrong with the fields and applies methods of *cls*, one sentence each, with its cure."""
    _, mistakes = build_table(cls, cls.__duly__.ignores, cls.__duly__.snapshot_every)
    if cls.__duly__.formerly:
        kept = cls.__duly__.formerly[-1]
        mistakes.append(
            f"{cls.__qualname__} has formerly=(…), but the stored name of an event-sourced aggregate is part of its "
            f"streams and never changes. Keep it: class {cls.__name__}(EventSourced, name={kept!r})."
        )
    return mistakes


def begin_replay(aggregate: EventSourced) -> None:
    """Let events be applied to it, one after another, without recording them."""
    _put_class(aggregate, table_of(type(aggregate)).open)


def end_replay(aggregate: EventSourced, table: ApplyTable, events: int) -> None:
    """The aggregate holds the state after so many events."""
    _put_class(aggregate, table.cls)
    _seal(aggregate, table, events)


def replay(aggregate: EventSourced, events: Iterable[DomainEvent]) -> None:
    """Apply events of the past to an aggregate that has begun with its id."""
    table = table_of(type(aggregate))
    count = 0
    begin_replay(aggregate)
    for count, event in enumerate(events, start=1):  # noqa: B007 - how many there were
        if (apply := applying(aggregate, table, type(event))) is not None:
            apply(aggregate, event)
    end_replay(aggregate, table, count)


def events_of(aggregate: EventSourced) -> int:
    """How many events its state follows from, those not stored yet included."""
    count: int = aggregate.__dict__.get("_events", 0)
    return count


def check_state(aggregate: EventSourced) -> None:
    """Raises `UnrecordedChange` when something was changed that no event says.

    Fields are guarded; what lies in lists and entities is compared with what it was after the last event.
    """
    table = table_of(type(aggregate))
    held = aggregate.__dict__
    if "_broken" in held:
        raise UnrecordedChange(
            f"{table.cls.__qualname__} {aggregate.id!r} is half changed: an applies method failed ({held['_broken']}). "
            "Nothing of it can be stored. Check rules before the event is recorded, and let applies methods only set "
            "fields."
        )
    if table.mutable and _sealed(aggregate, table) != held.get("_seal", table.blank):
        raise UnrecordedChange(
            f"Something in {table.cls.__qualname__} {aggregate.id!r} ({', '.join(table.mutable)}) was changed without "
            "an event. Record one, and make the change in its applies method."
        )


def applying(aggregate: EventSourced, table: ApplyTable, event: type[DomainEvent]) -> Callable[..., None] | None:
    """The method that applies a type of events; None for one that is ignored. Raises `UnrecordedChange`."""
    apply = table.methods.get(event)
    if apply is None and event not in table.ignored:
        raise UnrecordedChange(
            f"Nothing in {table.cls.__qualname__} applies {event.__qualname__}, recorded by {aggregate.id!r}. Write "
            f"@applies def …(self, event: {event.__name__}) -> None, or say that it changes no field: "
            f"class {table.cls.__name__}(EventSourced, ignores=({event.__name__},))."
        )
    return apply


def _seal(aggregate: EventSourced, table: ApplyTable, events: int) -> None:
    held = aggregate.__dict__
    held["_events"] = events
    if table.mutable:
        held["_seal"] = _sealed(aggregate, table)


def _sealed(aggregate: EventSourced, table: ApplyTable) -> bytes:
    return _seals.encode([getattr(aggregate, name) for name in table.mutable])


def _opened(cls: type[EventSourced]) -> type[EventSourced]:
    """The class that an aggregate has while it is open: the same, without the guard."""
    unguarded = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__setattr__": msgspec.Struct.__setattr__,
        "__delattr__": msgspec.Struct.__delattr__,
        "__duly_opens__": True,
    }
    facts = cls.__duly__
    make = cast("Any", type(cls))
    opened: type[EventSourced] = make(cls.__name__, (cls,), unguarded, name=facts.name, version=facts.version)
    return opened


def _guarded(aggregate: EventSourced, name: str) -> UnrecordedChange:
    cls = type(aggregate).__qualname__
    return UnrecordedChange(
        f"{cls}.{name} was set outside of an applies method; loaded again, {cls} {aggregate.id!r} would know "
        "nothing of it. Record an event, and set the field in the method that applies it."
    )
