"""The event log: every domain event of every aggregate, by position."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from duly.messages.envelope import Envelope


class LogEvent(msgspec.Struct, frozen=True, gc=False):
    """A domain event with its place in the log. Positions count from 1, without gaps, and are never reused."""

    position: int
    at: datetime
    """When its transaction wrote it, by the database's clock. Later positions may have been written earlier."""
    envelope: Envelope


class LogPage(msgspec.Struct, frozen=True):
    """The events of a stretch of the log, in order."""

    events: list[LogEvent]
    through: int
    """The last position that was looked at; where it started when there is nothing more yet."""


class OldTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction of this database that has been open for long. What it commits in the end gets late positions."""

    holder: str
    """Who has it: a process id of the server, or the name of a prepared transaction."""
    since: datetime
    doing: str
    """Its user, program and state, and its last statement without what is quoted in it."""


class LogStore(Protocol):
    """What readers of the log need."""

    @property
    def numbers_at_commit(self) -> bool:
        """Whether each commit gives its events their positions itself, so that there is nothing for a sequencer."""

    async def log_head(self) -> int:
        """The last position that was given; 0 in an empty log."""

    async def read_log(
        self,
        after: int,
        positions_max: int,
        *,
        names: Collection[str] | None = None,
        tenant: str | None = None,
        through: int | None = None,
    ) -> LogPage:
        """The events at positions *after* + 1 to *after* + *positions_max*, and not behind *through*.

        With *names* only those with these stored names, with *tenant* only this one's.
        """

    async def number_commits(self, commits_max: int) -> int:
        """Give positions to the events of commits that have none yet; to how many commits. A sequencer's step.

        Commits of one stream are numbered in their order, and no event is numbered twice or left out, whoever else does
        the same at the same time. SQLite, whose single writer numbers commits itself, returns 0.
        """

    async def position_of(self, commit: int) -> int | None:
        """The position of the last event of a commit (or of the last before it); None until it is numbered."""

    async def old_transactions(self, age: timedelta) -> list[OldTransaction]:
        """Transactions that have been open for longer than *age*, the oldest first; 10 at most. On SQLite none."""
