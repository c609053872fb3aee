"""Streams that are finished: their events leave the table of messages, and stay in the log."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

import msgspec

ARCHIVED_EVENTS_MAX: Final = 50
"""How many events lie in one row of the archive: whoever wants one of them reads the row."""


class ArchiveStep(msgspec.Struct, frozen=True, kw_only=True):
    """What one step has put away."""

    events: int
    refused: str = ""
    """Why the next event of the stream has to stay where it is, in a sentence."""
    has_more: bool = False
    """Whether there may be more to put away."""


class ArchiveStore(Protocol):
    """What archiving needs of a store."""

    async def archive(
        self, tenant: str, stream: str, *, digests: Collection[str], by: str, reason: str, events_max: int
    ) -> ArchiveStep:
        """Put away the next events of a stream, the first ones first, in one transaction.

        An event is put away that has its position, that the live projections of these shapes have seen, and that nobody
        is promised any more; it ends at the first one that is otherwise.
        """
