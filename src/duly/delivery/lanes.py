"""Which message may be handled next: one lane in order, many lanes at once. Pure bookkeeping, no I/O.

Rules
1. A fetch leaves out the lanes in hand, and shows of every other lane the first of its rows, in order.
2. Of each lane only the head is being handled.
3. A lane whose head was not done is let go of as a whole, and so comes back from its first row on: it never skips.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from duly.ports.store import Due, LaneKey

LANE_ROWS_MAX: Final = 100
"""How many rows of one lane are kept in memory, so that a long lane leaves room for others."""


def lane_key(due: Due) -> LaneKey:
    """The lane of a row."""
    return due.subscriber, due.lane


class Lanes:
    """Rows in hand, by lane."""

    def __init__(self) -> None:
        self._rows: dict[LaneKey, deque[Due]] = {}
        self._ready: deque[LaneKey] = deque()
        self._busy: set[LaneKey] = set()
        self._count = 0

    def holds(self, key: LaneKey) -> bool:
        """Whether rows of a lane are in hand."""
        return key in self._rows

    def in_hand(self) -> list[LaneKey]:
        """The lanes that a fetch leaves out."""
        return list(self._rows)

    def offer(self, due: Due) -> None:
        """Take a fetched row in hand if its lane has room. Rows come in their order."""
        key = lane_key(due)
        rows = self._rows.setdefault(key, deque())
        if len(rows) >= LANE_ROWS_MAX:
            return
        rows.append(due)
        self._count += 1
        if len(rows) == 1:
            self._ready.append(key)

    def start(self) -> Due | None:
        """The head of a lane that nobody is handling; None when there is none."""
        while self._ready:
            key = self._ready.popleft()
            rows = self._rows.get(key)
            if rows and key not in self._busy:
                self._busy.add(key)
                return rows[0]
        return None

    def finish(self, due: Due) -> None:
        """The head is gone from the outbox; the next of its lane may start."""
        key = lane_key(due)
        self._busy.discard(key)
        rows = self._rows[key]
        rows.popleft()
        self._count -= 1
        if rows:
            self._ready.append(key)
        else:
            del self._rows[key]

    def put_back(self, due: Due) -> None:
        """The head was not done: its whole lane is let go of."""
        key = lane_key(due)
        self._busy.discard(key)
        self._count -= len(self._rows.pop(key))

    def drop_waiting(self, buckets: set[int]) -> None:
        """Forget what waits in *buckets*; what is being handled goes on."""
        for key, rows in list(self._rows.items()):
            if rows[0].bucket not in buckets:
                continue
            kept = 1 if key in self._busy else 0
            while len(rows) > kept:
                rows.pop()
                self._count -= 1
            if not rows:
                del self._rows[key]

    def busy_buckets(self) -> set[int]:
        """Buckets with a message that is being handled."""
        return {self._rows[key][0].bucket for key in self._busy}

    def __len__(self) -> int:
        """How many rows are in hand."""
        return self._count
