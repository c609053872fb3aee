"""Runs processes: what one hears becomes its next state, commands, timeouts and a line of its history, or nothing.

A redelivered message is fenced by its outbox row, as everywhere. A message that comes a second time by another row,
from a backfill or a person, is known by its id: the last `HEARD_KEPT_MAX` ids lie in the process's own document, which
is read anyway; of a process that has heard more, its history is asked.

Architecture invariant: a process reaches a `Scope`, and of that only its own document, its promises and its history:
it has no way to an effect, and a dry run none to the outside.
"""

from __future__ import annotations

from typing import Any

import msgspec

from duly.domain.process_course import Turn, decision_json, hear
from duly.errors import InvalidDecision, InvalidInput
from duly.messages.envelope import Envelope, Kind
from duly.messages.identity import derived_id
from duly.messages.message import Message
from duly.messages.process_messages import TimedOut
from duly.ports.change import Later, ProcessStep
from duly.work.moments import milliseconds_of
from duly.work.process_type import ProcessDocument, ProcessType
from duly.work.scope import Post, Scope


class ProcessRunner:
    """Hands messages to the processes of one type."""

    def __init__(self, of: ProcessType) -> None:
        self._of = of

    async def call(self, scope: Scope, message: Message) -> object:
        """Let the process that *message* is about hear it. Raises `InvalidDecision`, `InvalidInput`."""
        of, cause = self._of, scope.handling().cause
        part = self._part(scope, cause, message)
        process_id = of.table.id_of(message)
        if process_id is None:
            return None
        document = await scope.load(of.documents, process_id)
        if document is not None and (document.is_ended or await self._was_heard(scope, document, cause.id, part)):
            return None
        turn = hear(of.table, None if document is None else of.course(document), message)
        if turn is None:
            return None
        if document is None:
            document = of.document(process_id)
            scope.add(of.documents, document)
        of.write(turn.after, document)
        document.note_heard(_mark(cause.id, part))
        self._promise(scope, process_id, turn)
        decision = decision_json(turn, of.codec, scope.catalog.codec, part=part)
        scope.step(_step(of.identity, document, cause, decision))
        return None

    def _part(self, scope: Scope, cause: Envelope, message: Message) -> int:
        """Which of the messages that a stored one has become this is; one that is still itself is the first."""
        place = scope.handling().next_part()
        facts: Any = type(message).__duly__
        if cause.version == facts.version and cause.name in (facts.name, *facts.formerly):
            return 0
        became = scope.catalog.decode_all(cause)
        return [part for part, each in enumerate(became) if type(each) in self._of.table.types][place]

    async def _was_heard(self, scope: Scope, document: ProcessDocument, message_id: str, part: int) -> bool:
        if _mark(message_id, part) in document.heard:
            return True
        if document.steps <= len(document.heard):
            return False
        found = await scope.store.decisions_about(scope.tenant, self._of.identity, document.id, message_id)
        return any(msgspec.json.decode(decision)["part"] == part for decision in found)

    def _promise(self, scope: Scope, process_id: str, turn: Turn) -> None:
        of, handling = self._of, scope.handling()
        lane = of.lane(scope.tenant, process_id)
        for command in turn.commands:
            message_id = derived_id(
                scope.tenant,
                handling.cause.id,
                handler=f"{handling.identity}#command",
                ordinal=handling.next_command(),
            )
            scope.post(
                Post(
                    message=command,
                    kind=Kind.COMMAND,
                    id=message_id,
                    subscriber=scope.command_taker(type(command)),
                    lane=lane,
                    stream=of.stream(process_id),
                )
            )
        for name, generation in turn.withdrawn:
            scope.withdraw(self._timeout_id(scope.tenant, process_id, name, generation))
        for timeout in turn.timeouts:
            later_id = self._timeout_id(scope.tenant, process_id, timeout.name, timeout.generation)
            try:
                at_ms, after_ms = milliseconds_of(timeout.name, timeout.at)
            except InvalidInput as error:
                raise InvalidDecision(f"{of.table.cls.__qualname__} set a timeout that cannot come: {error}") from None
            scope.post(
                Post(
                    message=TimedOut(
                        process=of.identity, id=process_id, name=timeout.name, generation=timeout.generation
                    ),
                    kind=Kind.TIMEOUT,
                    id=later_id,
                    subscriber=handling.handler,
                    lane=lane,
                    stream=of.stream(process_id),
                    later=Later(id=later_id, at_ms=at_ms, after_ms=after_ms or 0),
                )
            )

    def _timeout_id(self, tenant: str, process_id: str, name: str, generation: int) -> str:
        """The same for one setting of one timeout of one process: what it is cancelled by."""
        return derived_id(tenant, self._of.stream(process_id), handler="duly.timeout", ordinal=f"{name} {generation}")


def _mark(message_id: str, part: int) -> str:
    return f"{message_id} {part}" if part else message_id


def _step(process: str, document: ProcessDocument, cause: Envelope, decision: str) -> ProcessStep:
    return ProcessStep(
        process=process,
        id=document.id,
        number=document.steps,
        message_id=cause.id,
        kind=cause.kind.value,
        name=cause.name,
        version=cause.version,
        body=cause.body,
        decision=decision,
    )
