"""A simulated outbox, and a relay that keeps its promises through `Lanes` while anything may come in between."""

from __future__ import annotations

from collections import defaultdict
from typing import ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from duly.delivery import lanes
from duly.delivery.lanes import Lanes, lane_key
from duly.messages.envelope import Envelope, Kind
from duly.ports.store import Due, LaneKey

PAGE_ROWS: Final = 3
LANE_ROWS: Final = 2
ROWS_MAX: Final = 6
BUCKETS: Final = (0, 1)
LANES: Final = ("acme/a", "acme/b")

keys = st.sampled_from([(1, "acme/a"), (1, "acme/a"), (1, "acme/b"), (2, "acme/a")])
buckets = st.sampled_from(BUCKETS)


def due_row(row: int, subscriber: int, lane: str) -> Due:
    """A row of the outbox; its bucket follows from its lane."""
    envelope = Envelope(
        id=f"m-{row}", tenant=lane.partition("/")[0], kind=Kind.EVENT, name="happened", version=1, body=""
    )
    return Due(
        row=row,
        bucket=BUCKETS[LANES.index(lane) % len(BUCKETS)],
        subscriber=subscriber,
        lane=lane,
        envelope=envelope,
        attempts=0,
    )


class OutboxModel(RuleBasedStateMachine):
    """One worker on an outbox in which others insert, own buckets for a while, and handle rows of their own.

    What is assumed of store and relay: a fetch shows rows as of one moment, in their order, without lanes on hold or in
    hand; what it shows of a bucket is taken if the bucket has the same token still; `finish` is told of rows only that
    are gone from the outbox.
    """

    lanes_type: ClassVar[type[Lanes]] = Lanes

    def __init__(self) -> None:
        super().__init__()
        self._limit, lanes.LANE_ROWS_MAX = lanes.LANE_ROWS_MAX, LANE_ROWS  # type: ignore[misc]
        self.lanes = self.lanes_type()
        self.outbox: dict[int, Due] = {}
        self.rows_made = 0
        self.on_hold: set[LaneKey] = set()
        self.tokens = dict.fromkeys(BUCKETS, 0)
        """Buckets that are ours, each with a number that changes hands with it."""
        self.wanted = set(BUCKETS)
        """Owned, and within our fair share: these are fetched from."""
        self.tokens_given = 0
        self.page: list[Due] | None = None
        self.tokens_then: dict[int, int] = {}
        self.in_hand: dict[int, Due] = {}
        self.running: dict[LaneKey, Due] = {}
        self.started_under: dict[LaneKey, int | None] = {}
        self.finished: set[int] = set()
        self.handled: dict[LaneKey, list[int]] = defaultdict(list)

    def teardown(self) -> None:
        try:
            self.everything_is_handled_in_the_end()
        finally:
            lanes.LANE_ROWS_MAX = self._limit  # type: ignore[misc]

    # The store.

    @rule(promised=st.lists(keys, min_size=1, max_size=4))
    def commits_promise(self, promised: list[LaneKey]) -> None:
        for key in promised:
            self.rows_made += 1
            self.outbox[self.rows_made] = due_row(self.rows_made, *key)

    @precondition(lambda self: self.on_hold)
    @rule(data=st.data())
    def a_hold_runs_out(self, data: st.DataObject) -> None:
        self.on_hold.remove(data.draw(st.sampled_from(sorted(self.on_hold))))

    @rule(bucket=buckets, rows=st.integers(0, 3))
    def a_bucket_is_lost_and_others_handle_some_of_it(self, bucket: int, rows: int) -> None:
        self.tokens.pop(bucket, None)
        self.drop_waiting(bucket)
        for due in [due for due in self.rows() if due.bucket == bucket and lane_key(due) not in self.on_hold][:rows]:
            self.handle(due)

    @rule(bucket=buckets)
    def a_bucket_becomes_surplus(self, bucket: int) -> None:
        self.drop_waiting(bucket)

    @rule(bucket=buckets)
    def a_bucket_is_gained(self, bucket: int) -> None:
        self.wanted.add(bucket)
        if bucket not in self.tokens:
            self.tokens_given += 1
            self.tokens[bucket] = self.tokens_given

    # The relay.

    @precondition(lambda self: self.page is None and len(self.in_hand) < ROWS_MAX)
    @rule()
    def a_fetch_begins(self) -> None:
        left_out = {*self.lanes.in_hand(), *self.on_hold}
        self.tokens_then = dict(self.tokens)
        shown = [due for due in self.rows() if due.bucket in self.wanted and lane_key(due) not in left_out]
        self.page = shown[:PAGE_ROWS]

    @precondition(lambda self: self.page is not None)
    @rule()
    def a_fetch_ends(self) -> None:
        page, self.page = self.page or [], None
        for due in page:
            if self.tokens.get(due.bucket) == self.tokens_then[due.bucket]:
                self.offer(due)

    @precondition(lambda self: self.page is None and len(self.in_hand) < ROWS_MAX)
    @rule()
    def a_fetch_begins_and_ends(self) -> None:
        self.a_fetch_begins()
        self.a_fetch_ends()

    @rule()
    def a_delivery_begins(self) -> None:
        due = self.lanes.start()
        if due is None:
            return
        key = lane_key(due)
        assert key not in self.running, f"{key} is being handled twice at once"
        assert due.row in self.in_hand, f"row {due.row} is not in hand"
        earlier = [other.row for other in self.rows() if lane_key(other) == key and other.row < due.row]
        assert not earlier, f"row {due.row} of {key} is handled before {earlier}"
        self.running[key] = due
        self.started_under[key] = self.tokens.get(due.bucket)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_delivery_commits(self, data: st.DataObject) -> None:
        due = self.some_running(data)
        if due.row in self.outbox and self.is_fenced_in(due):
            self.handle(due)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_delivery_commits_and_ends(self, data: st.DataObject) -> None:
        due = self.some_running(data)
        if due.row in self.outbox and self.is_fenced_in(due):
            self.handle(due)
        self.end(due, with_hold=False)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), with_hold=st.booleans())
    def a_delivery_ends(self, data: st.DataObject, with_hold: bool) -> None:
        self.end(self.some_running(data), with_hold=with_hold)

    # What holds at every moment.

    @invariant()
    def the_number_in_hand_is_right(self) -> None:
        assert len(self.lanes) == len(self.in_hand)

    @invariant()
    def the_busy_buckets_are_those_of_what_is_being_handled(self) -> None:
        assert self.lanes.busy_buckets() == {due.bucket for due in self.running.values()}

    @invariant()
    def no_lane_takes_more_than_its_share_of_memory(self) -> None:
        of_lane: dict[LaneKey, int] = defaultdict(int)
        for due in self.in_hand.values():
            of_lane[lane_key(due)] += 1
        assert all(rows <= LANE_ROWS for rows in of_lane.values())

    def everything_is_handled_in_the_end(self) -> None:
        """When nothing fails any more, scans that begin anew come to every row: none was skipped for good."""
        self.on_hold.clear()
        for bucket in BUCKETS:
            self.a_bucket_is_gained(bucket)
        for _ in range(20 + 2 * len(self.outbox)):
            if not self.outbox and not self.in_hand:
                break
            if self.page is None and len(self.in_hand) < ROWS_MAX:
                self.a_fetch_begins()
            if self.page is not None:
                self.a_fetch_ends()
            self.a_delivery_begins()
            for due in list(self.running.values()):
                if due.row in self.outbox and self.is_fenced_in(due):
                    self.handle(due)
                self.end(due, with_hold=False)
            self.the_number_in_hand_is_right()
        assert not self.outbox, f"rows {sorted(self.outbox)} are never handled"

    # Steps.

    def is_fenced_in(self, due: Due) -> bool:
        """Whether the bucket has the same token as when the delivery began."""
        token = self.started_under[lane_key(due)]
        return token is not None and self.tokens.get(due.bucket) == token

    def rows(self) -> list[Due]:
        """What is in the outbox, by row."""
        return [self.outbox[row] for row in sorted(self.outbox)]

    def offer(self, due: Due) -> None:
        """Offer a row, and note whether it was taken in hand."""
        before = len(self.lanes)
        self.lanes.offer(due)
        if len(self.lanes) > before:
            assert due.row not in self.in_hand, f"row {due.row} was taken in hand twice"
            assert due.row not in self.finished, f"row {due.row} was taken in hand after it was finished"
            self.in_hand[due.row] = due

    def drop_waiting(self, bucket: int) -> None:
        """Let go of what waits in a bucket that others handle now, or soon."""
        self.wanted.discard(bucket)
        self.lanes.drop_waiting({bucket})
        for due in list(self.in_hand.values()):
            if due.bucket == bucket and self.running.get(lane_key(due)) is not due:
                del self.in_hand[due.row]

    def end(self, due: Due, *, with_hold: bool) -> None:
        """What was being handled is finished if it is gone from the outbox, and put back if it is not."""
        key = lane_key(due)
        del self.running[key]
        if due.row not in self.outbox:
            self.finish(due)
            return
        if with_hold and self.is_fenced_in(due):
            self.on_hold.add(key)
        self.lanes.put_back(due)
        self.in_hand = {row: other for row, other in self.in_hand.items() if lane_key(other) != key}

    def finish(self, due: Due) -> None:
        """What was being handled is gone from the outbox."""
        self.lanes.finish(due)
        del self.in_hand[due.row]
        self.finished.add(due.row)

    def handle(self, due: Due) -> None:
        """Somebody's commit takes a row out of the outbox."""
        del self.outbox[due.row]
        handled = self.handled[lane_key(due)]
        assert not handled or handled[-1] < due.row, f"row {due.row} was handled after {handled[-1]}"
        handled.append(due.row)

    def some_running(self, data: st.DataObject) -> Due:
        """One of the rows being handled."""
        return self.running[data.draw(st.sampled_from(sorted(self.running)))]
