"""What a handler sends commands by: promises of the present transaction, kept after the commit, now or later."""

from __future__ import annotations

from typing import Final

from duly.errors import InvalidInput
from duly.messages.envelope import Kind
from duly.messages.identity import derived_id, lane_of
from duly.messages.message import Command
from duly.ports.change import Later
from duly.work.moments import Moment, milliseconds_of
from duly.work.scope import Post, Scope

COMMAND_KEY_CHARACTERS_MAX: Final = 200


class Commands:
    """Sends commands that follow from what a handler has heard: each is a transaction of its own, after the commit."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def send(self, command: Command[object], *, at: Moment | None = None, key: str | None = None) -> str:
        """Promise that *command* is executed; the id by which it may be cancelled while it waits.

        *at* is when, at the earliest: a time with a zone, or so long after the commit, by the database's clock. The
        same request by the same cause is the same promise, also when it is made again; *key* tells several of one
        handler apart by something better than their order. Commands that follow from one stream are executed in the
        order of their promises, those that waited in the order in which they became due.
        Raises `UnknownCommand`, `InvalidMessage`, `InvalidInput`, `CascadeTooDeep`.
        """
        scope = self._scope
        handling = scope.handling()
        if key is not None and (not 0 < len(key) <= COMMAND_KEY_CHARACTERS_MAX or not key.isprintable()):
            raise InvalidInput(
                f"A command's key has 1 to {COMMAND_KEY_CHARACTERS_MAX} printable characters; this one has {len(key)}."
            )
        at_ms, after_ms = milliseconds_of("at", at)
        cause = handling.cause
        message_id = derived_id(
            scope.tenant,
            cause.id,
            handler=f"{handling.identity}#command",
            ordinal=key if key is not None else handling.next_command(),
        )
        later = None if at is None else Later(id=message_id, at_ms=at_ms, after_ms=after_ms or 0)
        scope.post(
            Post(
                message=command,
                kind=Kind.COMMAND,
                id=message_id,
                subscriber=scope.command_taker(type(command)),
                lane=lane_of(scope.tenant, cause.stream or cause.id),
                stream=cause.stream,
                later=later,
            )
        )
        return message_id

    def cancel(self, command_id: str) -> None:
        """Withdraw a command that waits for its time, together with what else this transaction does.

        One that is due already goes its way; an id that is not known is passed over.
        """
        self._scope.withdraw(command_id)
