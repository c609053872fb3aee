"""What a relay has in hand of the outbox, and where it looks next: pure, apart from any store. See ADR-0026.

The low-water mark, `floor`, is a row up to which nothing is overlooked. In our buckets, each undone row up to it, also
one that is not committed yet,

1. is in hand, or
2. is of a lane that is closed in hand: when that is done, the floor falls to where it was complete, or
3. is of a lane with a hold in the database, which a *full look* shows when the hold is over.

So a *quick look* need not read rows up to the floor, where those that are done lie dead in the index. It leaves out
lanes with any hold: it would see their next rows without those before. A full look reads from the first row on, with
lanes whose hold is over; they are closed in hand, since quick looks leave them out until the hold is gone.

The floor rises to what a look has shown, but only as far as all rows are *decided*: committed and shown, or never to be
committed. It falls when rows are let go of that have no hold, and to nothing when buckets are gained.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Final

from duly.delivery import lanes
from duly.delivery.lanes import Lanes, lane_key, no_slot
from duly.ports.store import Due, LaneKey, Look, Mark, Seen

LOOK_BELOW_SECONDS: Final = 15.0
"""How long until the outbox is read from its first row on, with nothing to make that necessary."""
FULL_LOOK_REST: Final = 10
"""Full looks take at most one part in so many of the time, where it is holds that call for them."""
HOLD_POLL_SECONDS: Final = 0.1
"""How often a full look is taken since quick looks tell of a hold that is over, which may be in hand already."""
CUT_LOOK_SECONDS: Final = 1.0
"""How long until a full look that was cut by its limit is taken again."""
MARK_SECONDS: Final = 0.25
"""How often it is asked how far rows are numbered, while there is work."""


class Intake:
    """Rows in hand, and the floor. One look is under way at a time."""

    def __init__(self, rows_max: int, slot_of: Callable[[Due], Hashable | None] = no_slot) -> None:
        self.lanes = Lanes(slot_of)
        self.floor = 0
        self.full_look_at = 0.0
        """When the next full look is to be taken, on the caller's clock, in seconds."""
        self.needs_look = False
        """Whether a lane has ended, since the last look began, that may have more rows."""
        self._rows_max = rows_max
        self._page_rows = rows_max
        self._is_cut = False
        self._was_dry = False
        self._known: dict[int, str] = {}
        """The buckets that the floor is true of, with their tokens."""
        self._cut: dict[LaneKey, int] = {}
        """Lanes that had no room for all that was shown of them, with the row up to which they are in hand."""
        self._server: str | None = None
        self._decided = 0
        self._mark = Mark(0)
        self._is_mark_open = False
        self._marked_at = float("-inf")
        self._full_rest = 0.0
        self._full_ended_at = float("-inf")
        self._seen_new = True
        self._look: Look | None = None
        self._look_began = 0.0
        self._asked: dict[int, str] = {}
        # What has happened since the look under way began.
        self._ceiling: int | None = None
        self._disturbed: set[LaneKey] = set()
        self._dropped: set[int] = set()

    # Looking.

    @property
    def wants_more(self) -> bool:
        """Whether the last look has left rows where they were, and there is room for them now."""
        return self._is_cut and len(self.lanes) <= self._rows_max // 2

    def wants_mark(self, now: float) -> bool:
        """Whether it should be asked how far rows are numbered."""
        if self._is_mark_open or now < self._marked_at + MARK_SECONDS:
            return False
        return self._seen_new or now >= self.full_look_at

    def marked(self, mark: Mark, now: float) -> None:
        """So far rows were numbered, a moment ago."""
        if mark.last < self._decided:
            self._begin_anew()
        self._mark = mark
        self._is_mark_open = True
        self._marked_at = now
        self._seen_new = False

    def begin(self, tokens: Mapping[int, str], subscribers: Sequence[int], now: float) -> Look | None:
        """The next look at the buckets with these tokens; None when there is nothing to look at, or no room."""
        room = self._rows_max - len(self.lanes)
        if not tokens or not subscribers or room <= 0:
            return None
        if any(self._known.get(bucket) != token for bucket, token in tokens.items()):
            self.floor = 0
            self.full_look_at = now
        is_full = now >= self.full_look_at
        after = 0 if is_full else self.floor
        self._asked = dict(tokens)
        self._ceiling = None
        self._disturbed.clear()
        self._dropped.clear()
        self._look_began = now
        self.needs_look = False
        enough = [key for key in self._cut if self.lanes.rows_of(key) > lanes.LANE_ROWS_MAX // 2]
        self._look = Look(
            buckets=sorted(tokens),
            subscribers=subscribers,
            rows_max=min(room, self._page_rows),
            after=after,
            with_held=is_full,
            but_for_lanes=self.lanes.closed() + enough,
            but_for_rows=self.lanes.rows_behind(after),
            mark=self._mark,
        )
        return self._look

    def give_up(self) -> None:
        """The look under way has failed."""
        self._look = None

    def end(self, seen: Seen, tokens: Mapping[int, str], now: float) -> int:
        """Take in hand what the look has shown, of buckets that have the same tokens still; how many rows."""
        look, self._look = self._look, None
        assert look is not None, "no look is under way"
        self._plan_full_look(look, seen, now)
        is_new_server = self._server not in (None, seen.server)
        self._server = seen.server
        if is_new_server:
            self._begin_anew()
            if look.after > 0:
                return 0  # numbers may have begun anew below those that were looked for
        if seen.is_decided and self._is_mark_open and look.mark == self._mark:
            self._is_mark_open = False
            self._decided = max(self._decided, look.mark.last)
        level = self._decided if seen.cut_at is None else min(self._decided, seen.cut_at)
        left_out = set(look.but_for_lanes)
        self._cut = {key: row for key, row in self._cut.items() if key in left_out}
        kept = {b for b, token in self._asked.items() if tokens.get(b) == token and b not in self._dropped}
        taken = sum(self._offer(due, level) for due in seen.rows if due.bucket in kept)
        self._known = {bucket: self._asked[bucket] for bucket in kept}
        if seen.rows and seen.rows[-1].row > self._mark.last:
            self._seen_new = True
        # Of a page full of a long lane alone, that came after all the rest: there is no use in looking for more.
        others = any(lane_key(due) not in self._cut for due in seen.rows)
        self._is_cut, self._was_dry = seen.cut_at is not None and (others or not self._was_dry), seen.cut_at is None
        self._page_rows = max(lanes.LANE_ROWS_MAX, 2 * taken) if self._cut else self._rows_max
        limits = [*self._cut.values()] if self._ceiling is None else [*self._cut.values(), self._ceiling]
        self.floor = min(max(self.floor, level), *limits) if limits else max(self.floor, level)
        return taken

    def _offer(self, due: Due, level: int) -> bool:
        key = lane_key(due)
        if key in self._disturbed:
            return False
        if due.is_held and not self.lanes.is_closed(key):
            if self.lanes.holds(key):
                self._fall(due.row - 1)  # put on hold since it is in hand, which will be told in a moment
                return False
            self.lanes.offer(due)
            self.lanes.close(key, level)
            return True
        if key not in self._cut and self.lanes.offer(due):
            return True
        if self.lanes.is_closed(key):
            self.lanes.cut(key, due.row - 1)
        else:
            self._cut.setdefault(key, due.row - 1)
        return False

    def _plan_full_look(self, look: Look, seen: Seen, now: float) -> None:
        """When the outbox is read from its first row on again."""
        if look.with_held:
            self._full_rest = FULL_LOOK_REST * (now - self._look_began)
            self._full_ended_at = now
            self.full_look_at = now + (LOOK_BELOW_SECONDS if seen.cut_at is None else CUT_LOOK_SECONDS)
        if seen.next_hold is not None:
            wait = seen.next_hold.total_seconds()
            if wait > 0:
                self.look_for_hold(now + wait)
            elif not look.with_held:
                self.full_look_at = min(self.full_look_at, max(now, self._full_ended_at + HOLD_POLL_SECONDS))

    def look_for_hold(self, at: float) -> None:
        """A hold is over at this time."""
        self.full_look_at = min(self.full_look_at, max(at, self._full_ended_at + self._full_rest))

    def _begin_anew(self) -> None:
        self.floor = 0
        self._decided = 0
        self._is_mark_open = False
        self._seen_new = True
        self._cut.clear()
        self.full_look_at = float("-inf")

    # Handling.

    def close(self, due: Due) -> None:
        """The lane of what is being handled is about to get a hold, which its end takes away again."""
        key = lane_key(due)
        self.lanes.close(key, self.floor)
        self._cut.pop(key, None)
        self._disturbed.add(key)

    def finish(self, due: Due) -> None:
        """The row is gone from the outbox."""
        key = lane_key(due)
        complete_to = self.lanes.finish(due)
        if complete_to is not None:
            self._disturbed.add(key)
            self._fall(complete_to)
            self.needs_look = True
        elif key in self._cut and self.lanes.rows_of(key) in (0, lanes.LANE_ROWS_MAX // 2):
            self.needs_look = True

    def put_back(self, due: Due, *, is_held: bool) -> None:
        """The row was not done. Whether its lane is on hold for it now; if that is not known, it is not."""
        self._disturbed.add(lane_key(due))
        before = self.lanes.put_back(due)
        if not is_held:
            self._fall(before)

    def drop_waiting(self, buckets: Collection[int]) -> None:
        """These buckets are somebody else's, or soon will be."""
        self.lanes.drop_waiting(buckets)
        self._dropped.update(buckets)
        for bucket in buckets:
            self._known.pop(bucket, None)

    def _fall(self, to: int) -> None:
        self.floor = min(self.floor, to)
        self._ceiling = to if self._ceiling is None else min(self._ceiling, to)
