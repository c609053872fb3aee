"""What users write about processes: they hear events, keep a state, and decide. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self, TypeVar, cast, dataclass_transform

import msgspec

from duly.domain.aggregate import AggregateFacts
from duly.messages.message import Command

HEARS: Final = "__duly_hears__"
"""The mark of a method that hears something."""

if TYPE_CHECKING:

    @dataclass_transform(kw_only_default=True, frozen_default=True)
    class _State:
        __duly__: ClassVar[AggregateFacts]

        def __init_subclass__(
            cls, *, name: str | None = None, version: int = 1, formerly: tuple[str, ...] = ()
        ) -> None: ...

else:

    class _StateMeta(msgspec.StructMeta):
        """Makes states frozen and keyword-only, and keeps the facts of the class statement."""

        def __new__(
            mcls,
            class_name: str,
            bases: tuple[type, ...],
            namespace: dict[str, Any],
            *,
            name: str | None = None,
            version: int = 1,
            formerly: tuple[str, ...] = (),
        ) -> type:
            cls = super().__new__(mcls, class_name, bases, namespace, frozen=True, kw_only=True)
            cls.__duly__ = AggregateFacts(name=name or class_name, version=version, formerly=tuple(formerly))
            return cls

    class _State(msgspec.Struct, metaclass=_StateMeta):
        __duly__: ClassVar[AggregateFacts]


class ProcessManager(_State):
    """The state of one process, and what it decides about each thing that it hears::

        class Welcome(ProcessManager):
            phone: Personal[str] = ""

            @starts(key="customer_id")
            def registered(self, event: CustomerRegistered) -> Next[Self]:
                return Next(self.changed(phone=event.phone), timeouts={"give_up": timedelta(days=3)})

    `id` is its key, unique in its tenant, given by duly; all other fields have defaults. Methods look at nothing but
    the state and what is heard: they are run again, after conflicts and against the histories of processes.

    Class keywords: ``name`` (stored name, the class name by default), ``version`` (of the fields, from 1),
    ``formerly`` (earlier stored names).
    """

    id: str

    def changed(self, **fields: object) -> Self:
        """The same with other values in these fields. Raises `TypeError` for a field that it does not have."""
        return cast("Self", msgspec.structs.replace(cast("Any", self), **fields))


P_co = TypeVar("P_co", bound=ProcessManager, covariant=True)


@dataclass(frozen=True, slots=True)
class Next(Generic[P_co]):
    """What a process decides: its next state, and what is to be done, all in one transaction."""

    state: P_co
    _: KW_ONLY
    commands: Sequence[Command[object]] = ()
    """Sent after the commit, in this order, each a transaction of its own."""
    timeouts: Mapping[str, timedelta | datetime] = field(default_factory=dict[str, timedelta | datetime])
    """Set, by name: so long after the commit, or at a time with a zone. One that was set before is replaced."""
    cancels: tuple[str, ...] | list[str] = ()
    """Names of timeouts that are not needed any more; one that is not set is passed over."""
    ends: bool = False
    """Whether this was the end: timeouts are cancelled, and nothing is heard any more."""


class Hearing(msgspec.Struct, frozen=True, kw_only=True):
    """What a decorator has said of a method."""

    key: str | None = None
    """The field whose value is the process's id; None for timeouts and rejections."""
    starts: bool = False
    timeout: str | None = None
    rejected: tuple[type[Command[object]], ...] | None = None
    """Commands whose rejections it hears, () for all of them; None when it hears something else."""


M = TypeVar("M", bound="Callable[..., Next[ProcessManager]]")


def starts(*, key: str) -> Callable[[M], M]:
    """Hears an event that a process may start with; *key* names the field of it that is the process's id.

    A process that there is already hears it, too. An event whose key is None is passed over.
    """
    return _marking(Hearing(key=key, starts=True))


def hears(*, key: str) -> Callable[[M], M]:
    """Hears an event if there is a process under its *key* already; otherwise it is passed over."""
    return _marking(Hearing(key=key))


def times_out(name: str) -> Callable[[M], M]:
    """Hears the timeout *name*, as a `TimedOut`, when it has come and was neither cancelled nor set again."""
    return _marking(Hearing(timeout=name))


def hears_rejected(*commands: type[Command[object]]) -> Callable[[M], M]:
    """Hears, as a `CommandRejected`, that one of *commands* was not carried out; without any, of all the others.

    A rejection that the process does not hear is parked, as that of any command is.
    """
    return _marking(Hearing(rejected=commands))


def hearings_of(function: object) -> tuple[Hearing, ...]:
    """What decorators have said of a function."""
    found: tuple[Hearing, ...] = getattr(function, HEARS, ())
    return found


def _marking(hearing: Hearing) -> Callable[[M], M]:
    def mark(method: M) -> M:
        setattr(method, HEARS, (*hearings_of(method), hearing))
        return method

    return mark
