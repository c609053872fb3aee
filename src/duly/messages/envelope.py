"""A message as it is stored: its body, and where it came from."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Final, Protocol

import msgspec

CASCADE_DEPTH_MAX: Final = 32
"""How long a chain of causes may become before it is refused."""

MESSAGES_PER_COMMAND_MAX: Final = 10_000
"""How many messages one unit of work may raise."""


class Kind(Enum):
    """What a stored message is."""

    COMMAND = "command"
    EVENT = "event"
    PUBLIC = "public"
    TIMEOUT = "timeout"
    """What a process has set for itself."""


class Link(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One step of a chain of causes: a message, and the handler that raised it (empty for the first)."""

    kind: str
    name: str
    id: str
    handler: str = ""


class StoredMessage(Protocol):
    """What the code of today needs of a stored message to read it."""

    @property
    def id(self) -> str:
        """Of the message."""

    @property
    def name(self) -> str:
        """The stored name of its type."""

    @property
    def version(self) -> int:
        """Of its type."""

    @property
    def body(self) -> str:
        """Its fields, as JSON text."""

    @property
    def personal(self) -> str | None:
        """Its personal fields, as JSON text; None without any, or when they were erased."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message with its origin. `chain` holds its causes from the first command on, without itself."""

    id: str
    tenant: str
    kind: Kind
    name: str
    version: int
    body: str
    personal: str | None = None
    subject: str | None = None
    stream: str | None = None
    stream_version: int | None = None
    handler: str = ""
    chain: tuple[Link, ...] = ()
    trace: str | None = None

    @property
    def correlation(self) -> str:
        """Id of the first message of the chain: everything that follows from one command shares it."""
        return self.chain[0].id if self.chain else self.id

    @property
    def cause(self) -> str | None:
        """Id of the message whose handler raised this one; None for the first."""
        return self.chain[-1].id if self.chain else None

    def link(self) -> Link:
        """This message as a step of the chains of what follows from it."""
        return Link(self.kind._value_, self.name, self.id, self.handler)


_links = msgspec.json.Decoder(tuple[Link, ...])


def encode_chain(chain: tuple[Link, ...]) -> str:
    """A chain as JSON text: a list of [kind, name, id, handler]."""
    return msgspec.json.encode(chain).decode()


@lru_cache(maxsize=256)  # the messages of one commit, read one after another, have the same
def decode_chain(text: str) -> tuple[Link, ...]:
    """The chain from its JSON text."""
    return _links.decode(text)
