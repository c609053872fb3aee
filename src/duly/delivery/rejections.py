"""What a process hears when a command that it has sent is not carried out.

Refused for good are commands that break a rule, whose input is not acceptable, whose aggregate is not there, or is
there already, or whose unique value is taken: trying again would end the same way. Their promise is deleted, and the
process hears `CommandRejected(permanent=True)`, in one transaction. Any other error is tried again; a command whose
attempts are spent is parked, and the process hears `CommandRejected(permanent=False)`, in one transaction too.
Commands of nobody who would hear of it are parked in both cases.
"""

from __future__ import annotations

from typing import Final

from duly.errors import (
    AggregateExists,
    AggregateNotFound,
    InvalidInput,
    RuleBroken,
    UniqueViolation,
    UnknownCommand,
    UnknownMessageType,
)
from duly.messages.envelope import Envelope, Kind
from duly.messages.identity import bucket_of, derived_id
from duly.messages.process_messages import CommandRejected
from duly.ports.change import Change, Delivered, Promise
from duly.ports.store import Due, Notice
from duly.work.process_type import ProcessType
from duly.work.routes import COMMAND_TAKER, Handler, Routes

REFUSALS: Final = (RuleBroken, InvalidInput, AggregateNotFound, AggregateExists, UniqueViolation)
REJECTER: Final = "duly.rejections"
"""The handler that raises rejections, as chains of causes name it."""


def is_refusal(error: Exception) -> bool:
    """Whether a command that met *error* is refused for good; one without a handler waits for a deployment."""
    return isinstance(error, REFUSALS) and not isinstance(error, UnknownCommand)


def notice_of(routes: Routes, due: Due, handler: Handler, error: Exception, reason: str) -> Notice | None:
    """What the process that has sent a command is told of *error*; None when nobody would hear it."""
    envelope = due.envelope
    sender = routes.process_of(envelope.handler) if handler.name == COMMAND_TAKER else None
    if sender is None or sender.process is None or envelope.stream is None:
        return None
    try:
        command = routes.catalog.type_of(envelope)
    except UnknownMessageType:
        return None
    process = sender.process
    if not process.table.hears_rejection(command):
        return None
    process_id = envelope.stream.removeprefix(process.stream(""))
    rejected = CommandRejected(
        process=process.identity,
        process_id=process_id,
        command=command.__duly__.name,
        command_id=envelope.id,
        rule=_rule(error),
        permanent=is_refusal(error),
        reason=reason.encode(errors="replace").decode(),
    )
    lane = process.lane(envelope.tenant, process_id)
    return Notice(
        envelope=_envelope(routes, due, rejected, process, process_id),
        subscriber=routes.number(sender.name),
        lane=lane,
        bucket=bucket_of(lane),
    )


def rejection(due: Due, token: str, notice: Notice) -> Change:
    """The end of a command that is refused: its promise is gone, and the process is promised to hear of it."""
    return Change(
        tenant=due.envelope.tenant,
        delivered=Delivered(due.row, due.bucket, token, due.subscriber, due.lane, due.is_held),
        messages=(notice.envelope,),
        promises=(Promise(0, notice.subscriber, notice.lane, notice.bucket),),
    )


def _envelope(routes: Routes, due: Due, rejected: CommandRejected, process: ProcessType, process_id: str) -> Envelope:
    command = due.envelope
    facts = CommandRejected.__duly__
    encoded = routes.catalog.codec(CommandRejected).encode(rejected)
    return Envelope(
        # One row is rejected once, however often that is tried; a command that was put back has another row.
        id=derived_id(command.tenant, command.id, handler=REJECTER, ordinal=due.row),
        tenant=command.tenant,
        kind=Kind.PUBLIC,
        name=facts.name,
        version=facts.version,
        body=encoded.body,
        personal=encoded.personal,
        subject=command.subject,
        stream=process.stream(process_id),
        handler=REJECTER,
        chain=(*command.chain, command.link()),
        trace=command.trace,
    )


def _rule(error: Exception) -> str | None:
    if not isinstance(error, RuleBroken):
        return None
    return type(error).__name__ if error.rule is None else type(error.rule).__name__
