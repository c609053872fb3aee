"""A message of ours that is promised to one subscriber, as a script: in the transaction of what it tells of."""

from __future__ import annotations

from duly.messages.envelope import encode_chain
from duly.ports.store import Notice
from duly.stores.commit_script import INSERT_MESSAGE, INSERT_OUTBOX, INSERT_PERSONAL
from duly.stores.effect_moves import INSERT_COMMIT
from duly.stores.script import Script, Statement


def notice_script(notice: Notice) -> Script[None]:
    """Store the message and promise it."""
    message = notice.envelope
    ((commit_id,),) = (yield Statement(INSERT_COMMIT, {"tenant": message.tenant})).rows
    yield Statement(
        INSERT_MESSAGE,
        {
            "commit_id": commit_id,
            "ordinal": 0,
            "id": message.id,
            "tenant": message.tenant,
            "kind": message.kind.value,
            "name": message.name,
            "version": message.version,
            "subject": message.subject,
            "stream": message.stream,
            "stream_version": message.stream_version,
            "handler": message.handler,
            "chain": encode_chain(message.chain),
            "trace": message.trace,
            "body": message.body,
        },
    )
    if message.personal is not None:
        yield Statement(
            INSERT_PERSONAL,
            {
                "id": message.id,
                "tenant": message.tenant,
                "subject": message.subject or message.id,
                "body": message.personal,
            },
        )
    yield Statement(
        INSERT_OUTBOX,
        {
            "subscriber": notice.subscriber,
            "bucket": notice.bucket,
            "lane": notice.lane,
            "commit_id": commit_id,
            "ordinal": 0,
        },
    )
