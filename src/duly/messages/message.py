"""What is said: commands, queries, domain events, public events and effects.

All are frozen, typed and keyword-only. A message's *stored name* and version are part of its class statement::

    class OrderPlaced(DomainEvent, name="ordering.order_placed", version=2): ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, dataclass_transform

import msgspec
from typing_extensions import TypeVar

R_co = TypeVar("R_co", default=None, covariant=True)


class MessageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the class statement of a message says about its stored form."""

    name: str
    version: int
    formerly: tuple[str, ...]
    subject: str | None


if TYPE_CHECKING:

    @dataclass_transform(kw_only_default=True, frozen_default=True)
    class _Record:
        __duly__: ClassVar[MessageFacts]

        def __init_subclass__(
            cls,
            *,
            name: str | None = None,
            version: int = 1,
            formerly: tuple[str, ...] = (),
            subject: str | None = None,
        ) -> None: ...

else:

    class _MessageMeta(msgspec.StructMeta):
        """Makes every message frozen and keyword-only, and keeps the facts of its class statement."""

        def __new__(
            mcls,
            class_name: str,
            bases: tuple[type, ...],
            namespace: dict[str, Any],
            *,
            name: str | None = None,
            version: int = 1,
            formerly: tuple[str, ...] = (),
            subject: str | None = None,
        ) -> type:
            cls = super().__new__(
                mcls, class_name, bases, namespace, frozen=True, kw_only=True, forbid_unknown_fields=True
            )
            cls.__duly__ = MessageFacts(
                name=name or class_name, version=version, formerly=tuple(formerly), subject=subject
            )
            return cls

    class _Record(msgspec.Struct, metaclass=_MessageMeta):
        __duly__: ClassVar[MessageFacts]


class Message(_Record):
    """Root of all messages.

    Class keywords: ``name`` (stored name, the class name by default), ``version`` (of the fields, from 1),
    ``formerly`` (earlier stored names), ``subject`` (the field that names the person whose data the
    `Personal` fields hold).
    """


class Command(Message, Generic[R_co]):
    """Asks for a change; has one handler, which may return a result: ``class Reserve(Command[str])``."""


class Query(Message, Generic[R_co]):
    """Reads what was committed; changes nothing."""


class DomainEvent(Message):
    """What happened, in the past tense, recorded by an aggregate."""


class PublicEvent(Message):
    """What other modules and systems may know; made from a domain event, handled after the commit."""


class Effect(Message):
    """A message to the outside world. It is requested, never sent by a handler."""
