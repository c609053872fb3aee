"""A message of ours that is promised to one subscriber, as a script: in the transaction of what it tells of."""

from __future__ import annotations

from duly.ports.store import Notice
from duly.stores.commit_script import INSERT_OUTBOX, write_message
from duly.stores.effect_moves import INSERT_COMMIT
from duly.stores.script import Script, Statement


def notice_script(notice: Notice) -> Script[None]:
    """Store the message and promise it."""
    message = notice.envelope
    ((commit_id,),) = (yield Statement(INSERT_COMMIT, {"tenant": message.tenant})).rows
    yield from write_message(commit_id, 0, message)
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
