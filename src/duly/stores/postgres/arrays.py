"""A change as the arguments of the database's ``duly.commit_unit``, and its answer as a verdict.

Each tuple has the fields of a composite type in ``schema/postgres_0001.sql``, in their order. What is empty goes as
NULL, which costs the server nothing. Keys are sorted as Python and ``COLLATE "C"`` sort them, so that all lock in
one order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import msgspec

from duly.clock import to_milliseconds
from duly.messages.envelope import Envelope, encode_chain
from duly.ports.change import (
    Change,
    Conflict,
    Delivered,
    Done,
    Entry,
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
Arguments: TypeAlias = tuple[str | int | Fields | list[Any] | None, ...]

COMMIT_UNIT: Final = "SELECT duly.commit_unit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"

_verdict: Final = msgspec.json.Decoder(list[str])


def arguments_of(change: Change) -> Arguments:
    """The arguments of `COMMIT_UNIT` for *change*."""
    messages = change.messages
    return (
        change.tenant,
        None if change.inbox is None else _inbox(change.inbox),
        None if change.delivered is None else _delivered(change.delivered),
        *_documents(change),
        _entries(change.entries_removed),
        _entries(change.entries_added),
        list(change.lanes_locked) or None,
        change.events,
        [_message(message) for message in messages] or None,
        [_personal(message) for message in messages if message.personal is not None] or None,
        [(p.ordinal, p.subscriber, p.bucket, p.lane) for p in change.promises if p.later is None] or None,
        [_intent(intent) for intent in change.intents] or None,
        _rare(change),
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


def _inbox(inbox: InboxWrite) -> Fields:
    return inbox.id, inbox.name, inbox.digest, inbox.token, inbox.result, to_milliseconds(inbox.keep)


def _delivered(delivered: Delivered) -> Fields:
    held_lane = delivered.lane if delivered.is_held else None
    return delivered.row, delivered.bucket, delivered.token, delivered.subscriber, held_lane


def _documents(change: Change) -> tuple[list[Fields] | None, list[Fields] | None, list[Fields] | None]:
    """The versions to compare, the documents to create (or to find absent, without a body), and those to change."""
    expected = {(write.type, write.id): write.expected for write in change.documents}
    expected |= {(check.type, check.id): check.expected for check in change.checks}
    writes = {(write.type, write.id): write for write in change.documents}
    checked: list[Fields] = []
    created: list[Fields] = []
    changed: list[Fields] = []
    for key, version in sorted(expected.items()):
        write = writes.get(key)
        fields = (*key, None, None, None) if write is None else (*key, write.schema, write.body, write.grows)
        if not version:
            created.append(fields)
            continue
        checked.append((*key, version))
        if write is not None:
            changed.append(fields)
    return checked or None, created or None, changed or None


def _entries(entries: Iterable[Entry]) -> list[Fields] | None:
    return sorted((entry.type, entry.field, entry.value, entry.slot, entry.id) for entry in entries) or None


def _message(message: Envelope) -> Fields:
    return (
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


def _personal(message: Envelope) -> Fields:
    return message.id, message.subject or message.id, message.personal


def _rare(change: Change) -> Fields | None:
    fields = (
        [(s.type, s.id, s.version, s.schema, s.body) for s in change.snapshots] or None,
        list(change.cancelled) or None,
        [
            (p.later.id, p.later.at_ms, p.later.after_ms, p.ordinal, p.subscriber, p.bucket, p.lane)
            for p in change.promises
            if p.later is not None
        ]
        or None,
        [(s.process, s.id, s.number, s.message_id, s.kind, s.name, s.version, s.body, s.decision) for s in change.steps]
        or None,
    )
    return None if fields == (None, None, None, None) else fields


def _intent(intent: Intent) -> Fields:
    prepared = intent.prepared
    return (
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
