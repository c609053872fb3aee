"""What users write about their domain: aggregates, child entities and value objects. No I/O, no clock."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Final, dataclass_transform

import msgspec

from duly.messages.message import DomainEvent

ID_CHARACTERS_MAX: Final = 200

# Events of several aggregates of one unit of work are handled in the order in which they were recorded.
_recording_order = count()


class AggregateFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the class statement of an aggregate says about its stored form."""

    name: str
    version: int
    formerly: tuple[str, ...]


class Recorded(msgspec.Struct, frozen=True):
    """An event that an aggregate has recorded, with its place among all recorded ones."""

    place: int
    event: DomainEvent
    number: int = 0
    """Its number in the stream of an event-sourced aggregate, from 1; 0 of a document, whose version counts changes."""


if TYPE_CHECKING:

    @dataclass_transform(kw_only_default=True, eq_default=False)
    class _Document:
        __duly__: ClassVar[AggregateFacts]

        def __init_subclass__(cls, *, name: str | None = None, version: int = 1) -> None: ...

    @dataclass_transform(kw_only_default=True)
    class _Part:
        pass

    @dataclass_transform(kw_only_default=True, frozen_default=True)
    class _FrozenPart:
        pass

else:

    class _AggregateMeta(msgspec.StructMeta):
        """Makes aggregates keyword-only and equal by identity, and keeps the facts of the class statement."""

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
            cls = super().__new__(mcls, class_name, bases, namespace, kw_only=True, eq=False, dict=True)
            cls.__duly__ = AggregateFacts(name=name or class_name, version=version, formerly=tuple(formerly))
            return cls

    class _PartMeta(msgspec.StructMeta):
        """Makes parts of aggregates keyword-only."""

        def __new__(mcls, class_name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> type:
            return super().__new__(mcls, class_name, bases, namespace, **{"kw_only": True, **options})

    class _Document(msgspec.Struct, metaclass=_AggregateMeta):
        __duly__: ClassVar[AggregateFacts]

    class _Part(msgspec.Struct, metaclass=_PartMeta):
        pass

    class _FrozenPart(msgspec.Struct, metaclass=_PartMeta, frozen=True):
        pass


class Aggregate(_Document):
    """Guards its rules and records events. Its fields are stored as one document; `id` is unique in its tenant.

    Class keywords: ``name`` (stored name, the class name by default; it is part of its rows, and never changes),
    ``version`` (of the fields, from 1).
    """

    id: str

    def record(self, event: DomainEvent) -> None:
        """Say what has happened. Handlers hear it when the present handler has returned."""
        recorded: list[Recorded] = self.__dict__.setdefault("_recorded", [])
        recorded.append(Recorded(next(_recording_order), event))


class Entity(_Part):
    """A child entity of an aggregate: it has fields that change, and lives in its aggregate's document."""


class Value(_FrozenPart):
    """A value object: frozen, equal by its fields."""


def next_place() -> int:
    """The place of the next event among all recorded ones."""
    return next(_recording_order)


def take_recorded(aggregate: Aggregate) -> list[Recorded]:
    """The events recorded since the last call; the aggregate forgets them."""
    taken: list[Recorded] = aggregate.__dict__.pop("_recorded", [])
    return taken


def stream_of(name: str, aggregate_id: str) -> str:
    """The stream of an aggregate: the default key of its events."""
    return f"{name}/{aggregate_id}"
