"""A change as statements, apart from any driver. What the verdict is not `Done` for must be rolled back.

Order: token of the bucket; versions of the documents that were read or changed; documents; entries; id row; outbox row;
messages; promises; intents, each in the order of their keys. A change is mostly refused for what comes before the first
write, and then there is nothing to take back from a transaction that others share (docs/adr/0025). SQLite runs it;
PostgreSQL takes the same steps in one function (schema/postgres_0001.sql), with locks, and so in an order of its own
(docs/adr/0010).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from duly.clock import to_milliseconds
from duly.messages.envelope import Envelope, encode_chain
from duly.ports.change import (
    Change,
    Conflict,
    Delivered,
    DocumentWrite,
    Done,
    Exists,
    InboxWrite,
    Later,
    Promise,
    Repeat,
    Taken,
    Verdict,
    Void,
)
from duly.stores.intent_script import write_intent
from duly.stores.script import Row, Script, Statement

INSERT_INBOX: Final = """
INSERT INTO duly.inbox AS present (tenant, id, name, digest, token, is_tombstone, result, expires_ms)
VALUES (:tenant, :id, :name, :digest, :token, :is_tombstone, :result, duly.now_ms() + :keep_ms)
ON CONFLICT (tenant, id) DO UPDATE
   SET name = excluded.name, digest = excluded.digest, token = excluded.token, is_tombstone = excluded.is_tombstone,
       result = excluded.result, expires_ms = excluded.expires_ms
 WHERE present.expires_ms <= duly.now_ms()
    OR (present.is_tombstone = 1 AND ' ' || present.token || ' ' NOT LIKE '% ' || excluded.token || ' %')
"""
SELECT_INBOX: Final = """
SELECT name, digest, result, token, is_tombstone FROM duly.inbox
 WHERE tenant = :tenant AND id = :id AND expires_ms > duly.now_ms()
"""
# A tombstone takes the place of what a late execution could still replace: an expired row, or the tombstone of other
# executions, whose tokens it keeps.
INSERT_TOMBSTONE: Final = """
INSERT INTO duly.inbox AS present (tenant, id, name, digest, token, is_tombstone, result, expires_ms)
VALUES (:tenant, :id, :name, :digest, :token, 1, 'null', duly.now_ms() + :keep_ms)
ON CONFLICT (tenant, id) DO UPDATE
   SET name = excluded.name, digest = excluded.digest, is_tombstone = 1, result = 'null',
       expires_ms = excluded.expires_ms,
       token = CASE WHEN present.is_tombstone = 1 THEN present.token || ' ' || excluded.token ELSE excluded.token END
 WHERE present.expires_ms <= duly.now_ms()
    OR (present.is_tombstone = 1 AND ' ' || present.token || ' ' NOT LIKE '% ' || excluded.token || ' %')
"""
# Fencing: the token is read in the statement after the lock was granted. A thief takes the lock exclusively.
SHARE_BUCKET: Final = "SELECT duly.share_bucket(:bucket)"
SELECT_TOKEN: Final = "SELECT 1 FROM duly.bucket WHERE bucket = :bucket AND token = :token"
SELECT_OUTBOX: Final = "SELECT 1 FROM duly.outbox WHERE id = :row"
DELETE_OUTBOX: Final = "DELETE FROM duly.outbox WHERE id = :row"
DELETE_HOLD: Final = "DELETE FROM duly.lane_hold WHERE subscriber_no = :subscriber AND lane = :lane"
LOCK_DOCUMENT: Final = (
    "SELECT version FROM duly.document WHERE tenant = :tenant AND type = :type AND id = :id FOR UPDATE"
)
DELETE_ENTRY: Final = """
DELETE FROM duly.entry
 WHERE tenant = :tenant AND type = :type AND field = :field AND value = :value AND slot = :slot AND id = :id
"""
INSERT_ENTRY: Final = """
INSERT INTO duly.entry (tenant, type, field, value, slot, id)
VALUES (:tenant, :type, :field, :value, :slot, :id) ON CONFLICT DO NOTHING
"""
INSERT_DOCUMENT: Final = """
INSERT INTO duly.document (tenant, type, id, version, schema, body)
VALUES (:tenant, :type, :id, :grows, :schema, :body) ON CONFLICT DO NOTHING
"""
UPDATE_DOCUMENT: Final = """
UPDATE duly.document SET version = version + :grows, schema = :schema, body = :body
 WHERE tenant = :tenant AND type = :type AND id = :id
"""
DELETE_DOCUMENT: Final = "DELETE FROM duly.document WHERE tenant = :tenant AND type = :type AND id = :id"
# The single writer numbers events directly.
INSERT_COMMIT: Final = """
INSERT INTO duly.commit_log (tenant, events, first_position, at_ms)
VALUES (:tenant, :events, CASE WHEN :events > 0 THEN (SELECT next_position FROM duly.log_head) END, duly.now_ms())
"""
MESSAGE_COLUMNS: Final = (
    *("commit_id", "ordinal", "id", "tenant", "kind", "name", "version", "subject", "stream", "stream_version"),
    *("handler", "chain", "trace", "body"),
)
INSERT_MESSAGE: Final = f"""
INSERT INTO duly.message ({", ".join(MESSAGE_COLUMNS)}) VALUES (:{", :".join(MESSAGE_COLUMNS)})
"""
INSERT_PERSONAL: Final = """
INSERT INTO duly.personal (message_id, tenant, subject, body) VALUES (:id, :tenant, :subject, :body)
ON CONFLICT DO NOTHING
"""
INSERT_OUTBOX: Final = """
INSERT INTO duly.outbox (subscriber_no, bucket, lane, commit_id, ordinal)
VALUES (:subscriber, :bucket, :lane, :commit_id, :ordinal)
"""
INSERT_LATER: Final = """
INSERT INTO duly.later (tenant, id, due_ms, subscriber_no, bucket, lane, commit_id, ordinal)
VALUES (:tenant, :id, coalesce(:at_ms, duly.now_ms() + :after_ms), :subscriber, :bucket, :lane, :commit_id, :ordinal)
ON CONFLICT DO NOTHING
"""
DELETE_LATER: Final = "DELETE FROM duly.later WHERE tenant = :tenant AND id = ANY(:ids)"
UPSERT_SNAPSHOT: Final = """
INSERT INTO duly.snapshot AS present (tenant, type, id, version, schema, body)
VALUES (:tenant, :type, :id, :version, :schema, :body)
ON CONFLICT (tenant, type, id) DO UPDATE
   SET version = excluded.version, schema = excluded.schema, body = excluded.body
"""
INSERT_STEP: Final = """
INSERT INTO duly.process_step (tenant, process, id, number, message_id, kind, name, version, body, decision, at_ms)
VALUES (:tenant, :process, :id, :number, :message_id, :kind, :name, :version, :body, :decision, duly.now_ms())
"""
KEPT: Final = Void("The promise was kept already.")


def commit_script(change: Change) -> Script[Verdict]:
    """Write *change*; the verdict."""
    delivered = change.delivered
    if delivered is not None and not (yield from owns_bucket(delivered.bucket, delivered.token)):
        return Void("The bucket has another owner by now.")
    refusal = yield from _write_aggregates(change)
    if refusal is not None:
        return (yield from _done_before(change)) or refusal
    if change.inbox is not None:
        repeat = yield from _enter_inbox(change.tenant, change.inbox)
        if repeat is not None:
            return repeat
    if delivered is not None:
        void = yield from _complete(delivered)
        if void is not None:
            return void
    yield from _write_what_is_rare(change)
    commit_id = yield from _write_messages(change)
    for intent in change.intents:
        yield from write_intent(change.tenant, intent)
    return Done(commit_id)


def _write_aggregates(change: Change) -> Script[Verdict | None]:
    refusal: Verdict | None = None
    if change.documents or change.checks:
        refusal = (yield from _check_versions(change)) or (yield from _write_documents(change))
    if refusal is None and (change.entries_removed or change.entries_added):
        refusal = yield from _write_entries(change)
    return refusal


def _done_before(change: Change) -> Script[Verdict | None]:
    """What says more than that an aggregate has changed: the same was done before, and has changed it."""
    if change.inbox is not None:
        repeat = yield from inbox_script(change.tenant, change.inbox.id)
        if repeat is not None:
            return repeat
    if change.delivered is not None:
        promised = yield Statement(SELECT_OUTBOX, {"row": change.delivered.row})
        if not promised.rows:
            return KEPT
    return None


def inbox_script(tenant: str, command_id: str) -> Script[Repeat | None]:
    """What an earlier execution of a command has left."""
    found = yield Statement(SELECT_INBOX, {"tenant": tenant, "id": command_id})
    for name, digest, result, _, is_tombstone in found.rows:
        return None if is_tombstone else Repeat(name, digest, result)
    return None


def tombstone_script(tenant: str, inbox: InboxWrite) -> Script[bool]:
    """Whether an execution whose connection was lost at COMMIT has committed; if not, it never will.

    The insert waits for one that is still under way, or makes the late one fail. A SELECT would not be enough.
    """
    parameters: dict[str, object] = {
        "tenant": tenant,
        "id": inbox.id,
        "name": inbox.name,
        "digest": inbox.digest,
        "token": inbox.token,
        "keep_ms": to_milliseconds(inbox.keep),
    }
    inserted = yield Statement(INSERT_TOMBSTONE, parameters)
    if inserted.changed:
        return False
    found = yield Statement(SELECT_INBOX, {"tenant": tenant, "id": inbox.id})
    return any(token == inbox.token and not is_tombstone for _, _, _, token, is_tombstone in found.rows)


def _enter_inbox(tenant: str, inbox: InboxWrite) -> Script[Verdict | None]:
    inserted = yield Statement(
        INSERT_INBOX,
        {
            "tenant": tenant,
            "id": inbox.id,
            "name": inbox.name,
            "digest": inbox.digest,
            "token": inbox.token,
            "is_tombstone": 0,
            "result": inbox.result,
            "keep_ms": to_milliseconds(inbox.keep),
        },
    )
    if inserted.changed:
        return None
    repeat = yield from inbox_script(tenant, inbox.id)
    return repeat or Void("This execution of the command was given up when its connection was lost; send it again.")


def owns_bucket(bucket: int, token: str) -> Script[bool]:
    """Whether *token* is still the bucket's, which then stays so until the transaction ends."""
    yield Statement(SHARE_BUCKET, {"bucket": bucket})
    owned = yield Statement(SELECT_TOKEN, {"bucket": bucket, "token": token})
    return bool(owned.rows)


def _complete(delivered: Delivered) -> Script[Verdict | None]:
    deleted = yield Statement(DELETE_OUTBOX, {"row": delivered.row})
    if not deleted.changed:
        return KEPT
    if delivered.is_held:
        yield Statement(DELETE_HOLD, {"subscriber": delivered.subscriber, "lane": delivered.lane})
    return None


def _check_versions(change: Change) -> Script[Verdict | None]:
    # A new document needs no look: its insert says whether there is one.
    expected = {(write.type, write.id): write.expected for write in change.documents if write.expected}
    expected |= {(check.type, check.id): check.expected for check in change.checks}
    for (type_name, document_id), version in sorted(expected.items()):
        found = yield Statement(LOCK_DOCUMENT, {"tenant": change.tenant, "type": type_name, "id": document_id})
        present: int = found.rows[0][0] if found.rows else 0
        if present != version:
            return Conflict(type_name, document_id)
    return None


def _write_entries(change: Change) -> Script[Verdict | None]:
    for removed in sorted(change.entries_removed, key=lambda entry: (entry.type, entry.field, entry.value, entry.slot)):
        yield Statement(
            DELETE_ENTRY,
            {
                "tenant": change.tenant,
                "type": removed.type,
                "field": removed.field,
                "value": removed.value,
                "slot": removed.slot,
                "id": removed.id,
            },
        )
    for added in sorted(change.entries_added, key=lambda entry: (entry.type, entry.field, entry.value, entry.slot)):
        inserted = yield Statement(
            INSERT_ENTRY,
            {
                "tenant": change.tenant,
                "type": added.type,
                "field": added.field,
                "value": added.value,
                "slot": added.slot,
                "id": added.id,
            },
        )
        if not inserted.changed:
            return Taken(added.type, added.field, added.value)
    return None


def _write_documents(change: Change) -> Script[Verdict | None]:
    for write in sorted(change.documents, key=lambda write: (write.type, write.id)):
        statement = Statement(_document_statement(write), _document_parameters(change.tenant, write))
        written = yield statement
        if not written.changed:
            return Exists(write.type, write.id) if write.expected == 0 else Conflict(write.type, write.id)
    return None


def _document_statement(write: DocumentWrite) -> str:
    if write.body is None:
        return DELETE_DOCUMENT
    return INSERT_DOCUMENT if write.expected == 0 else UPDATE_DOCUMENT


def _document_parameters(tenant: str, write: DocumentWrite) -> dict[str, object]:
    key: dict[str, object] = {"tenant": tenant, "type": write.type, "id": write.id}
    return key if write.body is None else {**key, "schema": write.schema, "body": write.body, "grows": write.grows}


def _write_what_is_rare(change: Change) -> Script[None]:
    if change.cancelled:
        yield Statement(DELETE_LATER, {"tenant": change.tenant, "ids": list(change.cancelled)})
    for snapshot in change.snapshots:
        yield Statement(UPSERT_SNAPSHOT, {"tenant": change.tenant, **msgspec.structs.asdict(snapshot)})
    for step in change.steps:
        yield Statement(INSERT_STEP, {"tenant": change.tenant, **msgspec.structs.asdict(step)})


def _write_messages(change: Change) -> Script[int | None]:
    if not change.messages:
        return None
    inserted = yield Statement(INSERT_COMMIT, {"tenant": change.tenant, "events": change.events})
    commit_id = inserted.row_id
    rows = [_message_row(commit_id, ordinal, message) for ordinal, message in enumerate(change.messages)]
    yield Statement(INSERT_MESSAGE, rows=rows)
    for message in change.messages:
        if message.personal is not None:
            yield _personal(message, message.personal)
    yield from _write_promises(change.tenant, commit_id, change.promises)
    return commit_id


def write_message(commit_id: int, ordinal: int, message: Envelope) -> Script[None]:
    """Store what was said, its personal fields beside it."""
    yield Statement(INSERT_MESSAGE, dict(zip(MESSAGE_COLUMNS, _message_row(commit_id, ordinal, message), strict=True)))
    if message.personal is not None:
        yield _personal(message, message.personal)


def _message_row(commit_id: int, ordinal: int, message: Envelope) -> Row:
    return (
        commit_id,
        ordinal,
        message.id,
        message.tenant,
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


def _personal(message: Envelope, body: str) -> Statement:
    subject = message.subject or message.id
    return Statement(INSERT_PERSONAL, {"id": message.id, "tenant": message.tenant, "subject": subject, "body": body})


def _write_promises(tenant: str, commit_id: int, promises: Sequence[Promise]) -> Script[None]:
    now = [
        (promise.subscriber, promise.bucket, promise.lane, commit_id, promise.ordinal)
        for promise in promises
        if promise.later is None
    ]
    if now:
        yield Statement(INSERT_OUTBOX, rows=now)
    for promise in promises:
        if promise.later is not None:
            yield _later(tenant, commit_id, promise, promise.later)


def _later(tenant: str, commit_id: int, promise: Promise, later: Later) -> Statement:
    return Statement(
        INSERT_LATER,
        {
            "tenant": tenant,
            "id": later.id,
            "at_ms": later.at_ms,
            "after_ms": later.after_ms,
            "subscriber": promise.subscriber,
            "bucket": promise.bucket,
            "lane": promise.lane,
            "commit_id": commit_id,
            "ordinal": promise.ordinal,
        },
    )
