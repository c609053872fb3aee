"""How long the log keeps what is no domain event.

Rules
 1. Domain events are the log: they are kept for good, in the log or in its archive.
 2. Commands that were sent, public events and timeouts go once nobody is promised them any more and their time is over.
 3. A message that waits, is parked or is being delivered is kept, however old it is.
 4. The history of a process goes only after its end. What has not ended knows by it which messages it has heard.
 5. What was dropped cannot be handed to a subscriber later on: a backfill reads what is there.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec

from duly.states.retry import RetrySchedule


class LogRetention(msgspec.Struct, frozen=True, kw_only=True):
    """What is removed from the log, and when; what is not named is kept."""

    handled: timedelta | None = None
    """How long commands that were sent, public events and timeouts are kept after their commit, once handled."""
    histories: timedelta | None = None
    """How long the history of a process is kept after its last step, once it has ended. That it has ended is kept."""


def log_retention_mistakes(retention: LogRetention | None, *, retry: RetrySchedule, inbox_keep: timedelta) -> list[str]:
    """What cannot be kept together, a sentence each."""
    if retention is None:
        return []
    mistakes: list[str] = []
    if retention.handled is not None:
        mistakes += _too_short("handled", retention.handled, retry)
        if not mistakes and retention.handled < inbox_keep:
            mistakes.append(
                f"LogRetention(handled={retention.handled}) is shorter than Settings.inbox_keep ({inbox_keep}): the "
                "answer to a repeated command would outlive what it has said. Make it at least as long."
            )
    if retention.histories is not None:
        mistakes += _too_short("histories", retention.histories, retry)
    return mistakes


def _too_short(name: str, kept: timedelta, retry: RetrySchedule) -> list[str]:
    if kept <= timedelta():
        return [f"LogRetention({name}={kept}): it must be longer than zero."]
    if kept <= retry.longest:
        return [
            f"LogRetention({name}={kept}) is not longer than Settings.retry ({retry.longest}): a message that was "
            "parked could not be looked at beside those of its time. Make it longer."
        ]
    return []
