"""Changes as the arguments of the database's ``duly.commit_unit`` and ``duly.commit_units``; their answers as verdicts.

Each tuple has the fields of a composite type in ``schema/postgres_0001.sql``, in their order. What is empty goes as
NULL, which costs the server nothing. Keys are sorted as Python and ``COLLATE "C"`` sort them, so that all lock in
one order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec

from duly.clock import to_milliseconds
from duly.messages.envelope import Envelope, encode_chain
from duly.ports.change import (
    Change,
    Conflict,
    Delivered,
    Done,
    Exists,
    InboxWrite,
    Intent,
    Repeat,
    Taken,
    Verdict,
    Void,
)
from duly.ports.gateway import encode_attachments

Fields: TypeAlias = tuple[Any, ...]
Arguments: TypeAlias = tuple[Fields | list[Any] | None, ...]

COMMIT_UNIT: Final = "SELECT duly.commit_unit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
"""Writes one change, within a transaction if there is one; waits for locks."""
COMMIT_UNITS: Final = "SELECT duly.commit_units($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
"""Writes several, in a transaction of their own; of each a verdict."""
AGAIN: Final = "again"
"""In place of a verdict: this change must go by itself."""

_verdict: Final = msgspec.json.Decoder(list[str])


class _Rows:
    """The rows that changes write, by kind; each begins with the number of its change."""

    def __init__(self) -> None:
        self.commands: list[Fields] = []
        self.completed: list[Fields] = []
        self.checked: list[Fields] = []
        self.created: list[Fields] = []
        self.changed: list[Fields] = []
        self.removed: list[Fields] = []
        self.added: list[Fields] = []
        self.lanes: list[Fields] = []
        self.messages: list[Fields] = []
        self.personal: list[Fields] = []
        self.promises: list[Fields] = []
        self.intents: list[Fields] = []
        self.snapshots: list[Fields] = []
        self.cancelled: list[Fields] = []
        self.later: list[Fields] = []
        self.steps: list[Fields] = []

    def add(self, unit: int, change: Change) -> None:
        """Add those of a change."""
        if change.inbox is not None:
            self.commands.append(_inbox(unit, change.inbox))
        if change.delivered is not None:
            self.completed.append(_delivered(unit, change.delivered))
        self._add_documents(unit, change)
        self._add_messages(unit, change)
        for removed in change.entries_removed:
            self.removed.append((unit, removed.type, removed.field, removed.value, removed.slot, removed.id))
        for added in change.entries_added:
            self.added.append((unit, added.type, added.field, added.value, added.slot, added.id))
        for lane in change.lanes_locked:
            self.lanes.append((unit, lane))
        for intent in change.intents:
            self.intents.append(_intent(unit, intent))
        for snapshot in change.snapshots:
            self.snapshots.append((unit, snapshot.type, snapshot.id, snapshot.version, snapshot.schema, snapshot.body))
        for promise_id in change.cancelled:
            self.cancelled.append((unit, promise_id))
        for step in change.steps:
            self.steps.append(
                (
                    *(unit, step.process, step.id, step.number, step.message_id, step.kind, step.name, step.version),
                    *(step.body, step.decision),
                )
            )

    def _add_documents(self, unit: int, change: Change) -> None:
        for check in change.checks:
            if check.expected:
                self.checked.append((unit, check.type, check.id, check.expected))
            else:
                self.created.append((unit, check.type, check.id, None, None, None))
        for write in change.documents:
            fields = (unit, write.type, write.id, write.schema, write.body, write.grows)
            if write.expected:
                self.checked.append((unit, write.type, write.id, write.expected))
                self.changed.append(fields)
            else:
                self.created.append(fields)

    def _add_messages(self, unit: int, change: Change) -> None:
        for ordinal, message in enumerate(change.messages):
            self.messages.append(_message(unit, ordinal, message))
            if message.personal is not None:
                self.personal.append((unit, message.id, message.subject or message.id, message.personal))
        for promise in change.promises:
            later = promise.later
            where = (promise.ordinal, promise.subscriber, promise.bucket, promise.lane)
            if later is None:
                self.promises.append((unit, *where))
            else:
                self.later.append((unit, later.id, later.at_ms, later.after_ms, *where))

    def in_order_of_keys(self, tenants: list[str]) -> None:
        """Put what is locked into the order in which everybody locks it."""

        def key(row: Fields) -> Fields:
            return tenants[row[0] - 1], *row[1:3]

        def full_key(row: Fields) -> Fields:
            return tenants[row[0] - 1], *row[1:]

        for rows in (self.commands, self.checked, self.created):
            if len(rows) > 1:
                rows.sort(key=key)
        for rows in (self.removed, self.added):
            if len(rows) > 1:
                rows.sort(key=full_key)


def arguments_of(changes: Sequence[Change]) -> Arguments:
    """The arguments of `COMMIT_UNITS` for *changes*, or of `COMMIT_UNIT` for one."""
    rows = _Rows()
    for unit, change in enumerate(changes, start=1):
        rows.add(unit, change)
    tenants = [change.tenant for change in changes]
    rows.in_order_of_keys(tenants)
    rare = (rows.snapshots or None, rows.cancelled or None, rows.later or None, rows.steps or None)
    return (
        tenants,
        rows.commands or None,
        rows.completed or None,
        rows.checked or None,
        rows.created or None,
        rows.changed or None,
        rows.removed or None,
        rows.added or None,
        rows.lanes or None,
        [change.events if change.messages else None for change in changes],
        rows.messages or None,
        rows.personal or None,
        rows.promises or None,
        rows.intents or None,
        rare if any(rare) else None,
    )


def verdict_of(answer: str | None) -> Verdict:
    """What the database said: NULL or a commit's number for done, else a JSON list of a word and its facts."""
    if answer is None:
        return Done()
    if answer[0] != "[":
        return Done(int(answer))
    match _verdict.decode(answer):
        case ["repeat", name, digest, result]:
            return Repeat(name, digest, result)
        case ["conflict", type_name, document_id]:
            return Conflict(type_name, document_id)
        case ["exists", type_name, document_id]:
            return Exists(type_name, document_id)
        case ["taken", type_name, field, value]:
            return Taken(type_name, field, value)
        case ["void", reason]:
            return Void(reason)
        case _:
            raise ValueError(f"duly.commit_unit gave an answer that is none: {answer!r}")


def _inbox(unit: int, inbox: InboxWrite) -> Fields:
    return unit, inbox.id, inbox.name, inbox.digest, inbox.token, inbox.result, to_milliseconds(inbox.keep)


def _delivered(unit: int, delivered: Delivered) -> Fields:
    held_lane = delivered.lane if delivered.is_held else None
    return unit, delivered.row, delivered.bucket, delivered.token, delivered.subscriber, held_lane


def _message(unit: int, ordinal: int, message: Envelope) -> Fields:
    return (
        unit,
        ordinal,
        message.id,
        message.kind.value,
        message.name,
        message.version,
        message.subject,
        message.stream,
        message.stream_version,
        message.handler,
        encode_chain(message.chain),
        message.trace,
        message.body,
    )


def _intent(unit: int, intent: Intent) -> Fields:
    prepared = intent.prepared
    return (
        unit,
        intent.id,
        intent.type,
        intent.channel,
        intent.gateway,
        intent.policy.value,
        intent.key,
        intent.digest,
        intent.reference,
        intent.correlation,
        prepared.destination,
        int(intent.urgent),
        prepared.suppressed,
        intent.begins.value,
        intent.at_ms,
        intent.after_ms,
        intent.expires_at_ms,
        intent.expires_after_ms,
        intent.handler,
        encode_chain(intent.chain),
        intent.trace,
        intent.subject,
        prepared.recipient,
        intent.recipient_hash,
        prepared.summary,
        prepared.content_type,
        prepared.body,
        encode_attachments(prepared.attachments),
    )
