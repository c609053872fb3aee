"""The event log: every domain event of every aggregate, by position."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from duly.clock import time_of
from duly.messages.envelope import decode_chain


class LogEvent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A domain event with its place in the log. Positions count from 1, without gaps, and are never reused.

    A rebuild makes millions of them: the fields are those that some reader needs, as they are stored.
    """

    position: int
    at_ms: int
    id: str
    tenant: str
    name: str
    version: int
    body: str
    personal: str | None
    stream: str | None
    stream_version: int | None
    chain: str
    """Its causes from the first command on, as JSON text."""

    @property
    def at(self) -> datetime:
        """When its transaction wrote it, by the database's clock. Later positions may have been written earlier."""
        return time_of(self.at_ms)

    @property
    def correlation(self) -> str:
        """Id of the first message of the chain: everything that follows from one command shares it."""
        chain = decode_chain(self.chain)
        return chain[0].id if chain else self.id

    @property
    def cause(self) -> str | None:
        """Id of the message whose handler raised this one; None for the first."""
        chain = decode_chain(self.chain)
        return chain[-1].id if chain else None


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
