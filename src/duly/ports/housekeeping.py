"""Rows of the log and the inbox that nothing needs any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Protocol, TypeAlias

import msgspec

ROWS_PER_SWEEP_STEP_MAX = 1_000
"""How many rows are looked at, or removed, by one statement of a sweep."""


class InboxStep(msgspec.Struct, frozen=True):
    """One step through the inbox."""

    dropped: int
    after: tuple[str, str] | None
    """Where the next step begins; None at the end."""


class MessageStep(msgspec.Struct, frozen=True):
    """One step through the messages, in the order of their commits."""

    dropped: int
    after: int | None
    """The commit that the next step begins behind; None: everything of this age has been looked at."""


ProcessPlace: TypeAlias = tuple[str, str, str]
"""Tenant, process manager and id of a process."""
BEFORE_EVERY_PROCESS: Final[ProcessPlace] = ("", "", "")


class HistoryStep(msgspec.Struct, frozen=True):
    """One step through the histories of processes."""

    dropped: int
    """Steps of processes that were removed."""
    after: ProcessPlace | None
    """Where the next step begins; None at the end."""


class HousekeepingStore(Protocol):
    """What a sweep of log and inbox needs."""

    async def drop_expired_ids(self, after: tuple[str, str], rows_max: int) -> InboxStep:
        """Remove expired inbox rows among the next *rows_max* behind (tenant, id)."""

    async def drop_handled(self, age: timedelta, after: int | None, commits_max: int) -> MessageStep:
        """Remove messages that are no domain events, older than *age*, and promised to nobody any more.

        Without *after* it goes on where the last sweep ended, and looks again at what was kept back then.
        """

    async def drop_histories(self, age: timedelta, after: ProcessPlace, rows_max: int) -> HistoryStep:
        """Remove histories whose process has ended, and whose last step is older than *age*, among the next."""
