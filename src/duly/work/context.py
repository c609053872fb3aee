"""What a handler may know about its call, and what middleware sees of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

from duly.messages.envelope import Link
from duly.messages.message import Message
from duly.work.module import HandlerKind


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Where the present call stands: take a parameter of this type to see it."""

    tenant: str
    message_id: str
    correlation: str
    """Id of the command, or message, at the root of the chain of causes."""
    handler: str
    chain: tuple[Link, ...]
    """The causes from the root on; the message being handled is the last."""


class HandlerCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a handler, as middleware sees it."""

    kind: HandlerKind
    handler: str
    message: Message
    context: Context


Proceed: TypeAlias = Callable[[], Awaitable[object]]
Middleware: TypeAlias = Callable[[HandlerCall, Proceed], Awaitable[object]]
"""Wraps handlers of commands, in_transaction and after_commit: ``return await proceed()`` goes on."""


class Watching(ABC):
    """Middleware that only tells what is done: handlers are called without it while nobody takes spans or records."""

    @abstractmethod
    async def __call__(self, call: HandlerCall, proceed: Proceed) -> object:
        """As any middleware."""
