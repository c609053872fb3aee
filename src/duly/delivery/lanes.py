"""Which message may be handled next: one lane in order, many lanes at once. Pure bookkeeping, no I/O.

Rules
1. A lane in hand is extended at its end only, by rows that a look shows of it beyond those in hand.
2. Of each lane only the head is being handled.
3. A lane whose head was not done is let go of as a whole, and so comes back from its first row on: it never skips.
4. A lane that is closed is not extended until all of it is done: looks without holds would not show its next rows.
5. What must be handled carefully shares a slot with others, and each slot has room for one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable
from typing import Final

from duly.ports.store import Due, LaneKey

LANE_ROWS_MAX: Final = 100
"""How many rows of one lane are kept in memory, so that a long lane leaves room for others."""


def lane_key(due: Due) -> LaneKey:
    """The lane of a row."""
    return due.subscriber, due.lane


def no_slot(due: Due) -> Hashable | None:
    """Nothing need be careful."""
    return None


class _Lane:
    """Rows of one lane in hand."""

    __slots__ = ("complete_to", "is_busy", "rows", "slot")

    def __init__(self) -> None:
        self.rows: deque[Due] = deque()
        self.is_busy = False
        self.slot: Hashable | None = None
        self.complete_to: int | None = None
        """Closed: up to this row, all of the lane is in hand."""


class Lanes:
    """Rows in hand, by lane."""

    def __init__(self, slot_of: Callable[[Due], Hashable | None] = no_slot) -> None:
        self._slot_of = slot_of
        self._lanes: dict[LaneKey, _Lane] = {}
        self._ready: deque[LaneKey] = deque()
        self._slots: set[Hashable] = set()
        self._count = 0

    def holds(self, key: LaneKey) -> bool:
        """Whether rows of a lane are in hand."""
        return key in self._lanes

    def rows_of(self, key: LaneKey) -> int:
        """How many rows of a lane are in hand."""
        lane = self._lanes.get(key)
        return 0 if lane is None else len(lane.rows)

    def rows_behind(self, row: int) -> list[int]:
        """The rows in hand with higher numbers."""
        return [due.row for lane in self._lanes.values() for due in lane.rows if due.row > row]

    def closed(self) -> list[LaneKey]:
        """The lanes that are closed."""
        return [key for key, lane in self._lanes.items() if lane.complete_to is not None]

    def offer(self, due: Due) -> bool:
        """Take a row in hand if its lane has room. Rows of a lane come in their order."""
        key = lane_key(due)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane()
            self._ready.append(key)
        elif len(lane.rows) >= LANE_ROWS_MAX:
            return False
        lane.rows.append(due)
        self._count += 1
        return True

    def close(self, key: LaneKey, complete_to: int) -> None:
        """Extend a lane in hand no more; up to *complete_to*, and further if it says so already, it is complete."""
        lane = self._lanes[key]
        if lane.complete_to is None:
            lane.complete_to = complete_to

    def cut(self, key: LaneKey, complete_to: int) -> None:
        """A closed lane is complete only so far."""
        lane = self._lanes[key]
        assert lane.complete_to is not None, f"{key} is not closed"
        lane.complete_to = min(lane.complete_to, complete_to)

    def is_closed(self, key: LaneKey) -> bool:
        """Whether a lane in hand is closed."""
        lane = self._lanes.get(key)
        return lane is not None and lane.complete_to is not None

    @property
    def is_ready(self) -> bool:
        """Whether there may be a head that nobody is handling."""
        return bool(self._ready)

    def start(self) -> Due | None:
        """The head of a lane that nobody is handling, its slot being free; None when there is none."""
        for _ in range(len(self._ready)):
            key = self._ready.popleft()
            lane = self._lanes.get(key)
            if lane is None or lane.is_busy:
                continue
            head = lane.rows[0]
            slot = self._slot_of(head)
            if slot is not None:
                if slot in self._slots:
                    self._ready.append(key)
                    continue
                self._slots.add(slot)
            lane.slot = slot
            lane.is_busy = True
            return head
        return None

    def finish(self, due: Due) -> int | None:
        """The head is gone from the outbox; the next of its lane may start.

        When a closed lane is done with that, the row up to which it was complete: there may be more behind it.
        """
        key = lane_key(due)
        lane = self._lanes[key]
        self._free(lane)
        lane.rows.popleft()
        self._count -= 1
        if lane.rows:
            self._ready.append(key)
            return None
        del self._lanes[key]
        return lane.complete_to

    def put_back(self, due: Due) -> int:
        """The head was not done: its whole lane is let go of. The row behind which all that is undone of it lies."""
        lane = self._lanes.pop(lane_key(due))
        self._free(lane)
        self._count -= len(lane.rows)
        before = min(row.row for row in lane.rows) - 1
        return before if lane.complete_to is None else min(before, lane.complete_to)

    def drop_waiting(self, buckets: Collection[int]) -> None:
        """Forget what waits in *buckets*; what is being handled goes on."""
        for key, lane in list(self._lanes.items()):
            if lane.rows[0].bucket not in buckets:
                continue
            kept = 1 if lane.is_busy else 0
            while len(lane.rows) > kept:
                lane.rows.pop()
                self._count -= 1
            if not lane.rows:
                del self._lanes[key]

    def busy_buckets(self) -> set[int]:
        """Buckets with a message that is being handled."""
        return {lane.rows[0].bucket for lane in self._lanes.values() if lane.is_busy}

    def _free(self, lane: _Lane) -> None:
        lane.is_busy = False
        self._slots.discard(lane.slot)
        lane.slot = None

    def __len__(self) -> int:
        """How many rows are in hand."""
        return self._count
