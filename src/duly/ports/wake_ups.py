"""Telling workers of other processes that there is something to do.

Polling is the contract: every wake-up may be lost, and then only the latency suffers.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Flag, auto
from typing import Final, Protocol, TypeAlias


class News(Flag):
    """What a commit has left for others to do."""

    DELIVERIES = auto()
    """Messages were promised to subscribers."""
    EFFECTS = auto()
    """Effects have become due."""
    COMMITS = auto()
    """There may be events without positions, and no sequencer in the process that wrote them."""
    POSITIONS = auto()
    """Events have got their positions."""


NOTHING: Final = News(0)
EVERYTHING: Final = News.DELIVERIES | News.EFFECTS | News.COMMITS | News.POSITIONS

Hear: TypeAlias = Callable[[News], None]
"""Is told what another process may have left to do. Called in the event loop; returns at once."""


class WakingStore(Protocol):
    """A store through which processes wake one another."""

    def tell(self, news: News) -> None:
        """Let workers of other processes know, soon. Neither waits nor raises; what comes together is told together."""

    async def listen(self, hear: Hear) -> None:
        """Pass on what other processes tell, until cancelled.

        Whatever is in the way is logged once and gone around. After a gap, `EVERYTHING` is heard.
        """
