"""Which message may be handled next: one lane in order, many lanes at once. Pure bookkeeping, no I/O.

Rules
1. A row is taken in hand once, in the order of rows within its lane.
2. Of each lane only the head is being handled.
3. What was not taken (its lane is full, or was just put on hold) is left until the next scan from the first row, and so
   is everything behind it: a lane never skips.
"""

from __future__ import annotations

from collections import deque
from typing import Final, TypeAlias

from duly.ports.store import Due

LANE_ROWS_MAX: Final = 100
"""How many rows of one lane are kept in memory, so that a long lane leaves room for others."""

LaneKey: TypeAlias = tuple[int, str]
"""Subscriber number and lane."""


def lane_key(due: Due) -> LaneKey:
    """The lane of a row."""
    return due.subscriber, due.lane


class Lanes:
    """Rows in hand, by lane."""

    def __init__(self) -> None:
        self._rows: dict[LaneKey, deque[Due]] = {}
        self._ready: deque[LaneKey] = deque()
        self._in_hand: set[int] = set()
        self._left: set[LaneKey] = set()
        self._finished: set[int] = set()
        self._busy: set[LaneKey] = set()

    def begin_scan(self, *, from_start: bool) -> None:
        """A fetch is about to begin; *from_start* when it begins at the first row."""
        self._finished.clear()
        if from_start:
            self._left.clear()

    def offer(self, due: Due) -> None:
        """Take a fetched row in hand, if the rules permit."""
        key = lane_key(due)
        if due.row in self._in_hand or due.row in self._finished or key in self._left:
            return
        rows = self._rows.setdefault(key, deque())
        if len(rows) >= LANE_ROWS_MAX:
            self._left.add(key)
            return
        rows.append(due)
        self._in_hand.add(due.row)
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
        """The head is done; the next of its lane may start."""
        key = lane_key(due)
        self._busy.discard(key)
        self._in_hand.discard(due.row)
        self._finished.add(due.row)
        rows = self._rows.get(key)
        if rows and rows[0].row == due.row:
            rows.popleft()
        if rows:
            self._ready.append(key)
        else:
            self._rows.pop(key, None)

    def put_back(self, due: Due) -> None:
        """The head was not done: its whole lane is left until a scan from the first row."""
        key = lane_key(due)
        self._busy.discard(key)
        for row in self._rows.pop(key, ()):
            self._in_hand.discard(row.row)
        self._left.add(key)

    def drop_waiting(self, buckets: set[int]) -> None:
        """Forget what waits in *buckets*; what is being handled goes on."""
        for key, rows in list(self._rows.items()):
            if rows[0].bucket not in buckets:
                continue
            kept = 1 if key in self._busy else 0
            while len(rows) > kept:
                self._in_hand.discard(rows.pop().row)
            self._left.add(key)
            if not rows:
                del self._rows[key]

    def busy_buckets(self) -> set[int]:
        """Buckets with a message that is being handled."""
        return {self._rows[key][0].bucket for key in self._busy if key in self._rows}

    def __len__(self) -> int:
        """How many rows are in hand."""
        return len(self._in_hand)
