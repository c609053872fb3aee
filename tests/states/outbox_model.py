"""A simulated outbox, and a relay that keeps its promises through `Intake` while anything may come in between."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import ClassVar, Final

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from duly.delivery import lanes
from duly.delivery.intake import Intake
from duly.delivery.lanes import Lanes, lane_key
from duly.messages.envelope import Envelope, Kind
from duly.ports.store import Due, LaneKey, Look, Mark, Seen

LANE_ROWS: Final = 2
ROWS_MAX: Final = 6
BUCKETS: Final = (0, 1)
LANES: Final = ("acme/a", "acme/b")
SUBSCRIBERS: Final = (1, 2)
SECOND: Final = timedelta(seconds=1)

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


class Hold(msgspec.Struct):
    """A hold of a lane."""

    is_over: bool = False


class Transaction(msgspec.Struct):
    """A commit under way: what it has numbered, nobody sees."""

    number: int
    rows: list[Due]


class OutboxModel(RuleBasedStateMachine):
    """One worker on an outbox in which others insert, own buckets for a while, and handle rows of their own.

    What is assumed of store and relay: a look shows rows as of one moment between its begin and its end; rows of one
    lane are numbered in the order of their commits, but for what comes for a second time, or was late; whoever numbers
    a row has begun a transaction before; `finish` is told of rows only that are gone from the outbox, and a hold only
    when there is one.
    """

    intake_type: ClassVar[type[Intake]] = Intake
    lanes_type: ClassVar[type[Lanes]] = Lanes

    def __init__(self) -> None:
        super().__init__()
        self._limit, lanes.LANE_ROWS_MAX = lanes.LANE_ROWS_MAX, LANE_ROWS  # type: ignore[misc]
        self.intake = self.intake_type(ROWS_MAX)
        self.intake.lanes = self.lanes = self.lanes_type()
        self.now = 0.0
        self.outbox: dict[int, Due] = {}
        self.rows_made = 0
        self.transactions_made = 0
        self.open: list[Transaction] = []
        self.unordered: set[int] = set()
        """Rows that were numbered without a lock of their lane."""
        self.holds: dict[LaneKey, Hold] = {}
        self.tokens = {bucket: f"first-{bucket}" for bucket in BUCKETS}
        """Buckets that are ours."""
        self.wanted = set(BUCKETS)
        """Owned, and within our fair share: these are looked at."""
        self.tokens_given = 0
        self.look: Look | None = None
        self.seen: Seen | None = None
        self.running: dict[LaneKey, Due] = {}
        self.started_under: dict[LaneKey, str | None] = {}
        self.handled: dict[LaneKey, list[int]] = defaultdict(list)

    def teardown(self) -> None:
        try:
            self.everything_is_handled_in_the_end()
        finally:
            lanes.LANE_ROWS_MAX = self._limit  # type: ignore[misc]

    # The store.

    @rule(promised=st.lists(keys, min_size=1, max_size=4))
    def a_transaction_numbers_rows(self, promised: list[LaneKey]) -> None:
        locked = {lane_key(due) for one in self.open for due in one.rows if due.row not in self.unordered}
        self.numbers([key for key in promised if key not in locked])

    @rule(promised=keys)
    def a_transaction_puts_something_back(self, promised: LaneKey) -> None:
        self.numbers([promised])
        self.unordered.add(self.rows_made)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def a_transaction_commits(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.open))
        self.open.remove(one)
        self.outbox |= {due.row: due for due in one.rows}

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def a_transaction_is_taken_back(self, data: st.DataObject) -> None:
        self.open.remove(data.draw(st.sampled_from(self.open)))

    @rule(promised=st.lists(keys, min_size=1, max_size=4))
    def commits_promise(self, promised: list[LaneKey]) -> None:
        before = len(self.open)
        self.a_transaction_numbers_rows(promised)
        for one in self.open[before:]:
            self.outbox |= {due.row: due for due in one.rows}
        del self.open[before:]

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def a_hold_runs_out(self, data: st.DataObject) -> None:
        self.holds[data.draw(st.sampled_from(sorted(self.holds)))].is_over = True

    @rule(bucket=buckets, rows=st.integers(0, 3), fails=st.booleans())
    def a_bucket_is_lost_and_others_handle_some_of_it(self, bucket: int, rows: int, fails: bool) -> None:
        self.tokens.pop(bucket, None)
        self.drop_waiting(bucket)
        for due in [due for due in self.rows() if due.bucket == bucket and lane_key(due) not in self.holds][:rows]:
            if fails:
                self.holds.setdefault(lane_key(due), Hold())
            elif lane_key(due) not in self.holds:
                self.handle(due)

    @rule(bucket=buckets)
    def a_bucket_becomes_surplus(self, bucket: int) -> None:
        self.drop_waiting(bucket)

    @rule(bucket=buckets)
    def a_bucket_is_gained(self, bucket: int) -> None:
        self.wanted.add(bucket)
        if bucket not in self.tokens:
            self.tokens_given += 1
            self.tokens[bucket] = f"token-{self.tokens_given}"

    # The relay.

    @rule(seconds=st.sampled_from([0.01, 0.3, 2.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_mark_is_taken(self) -> None:
        if self.look is None and self.intake.wants_mark(self.now):
            self.transactions_made += 1
            self.intake.marked(Mark(self.rows_made, self.transactions_made), self.now)

    @precondition(lambda self: self.look is None)
    @rule()
    def a_look_begins(self) -> None:
        self.look = self.intake.begin(self.wanted_tokens(), SUBSCRIBERS, self.now)

    @precondition(lambda self: self.look is not None and self.seen is None)
    @rule()
    def a_look_reads(self) -> None:
        assert self.look is not None
        self.seen = self.shown(self.look)

    @precondition(lambda self: self.seen is not None)
    @rule()
    def a_look_ends(self) -> None:
        assert self.seen is not None
        seen, self.seen, self.look = self.seen, None, None
        before = self.all_in_hand()
        taken = self.intake.end(seen, self.wanted_tokens(), self.now)
        assert len(self.lanes) == len(before) + taken
        new = self.all_in_hand()[:]
        for row in before:
            new.remove(row)
        assert len(new) == len(set(new)), f"rows {new} were taken in hand twice"
        assert not {*new} & {*before}, f"of rows {new} some were in hand"

    @precondition(lambda self: self.look is None)
    @rule()
    def a_look_begins_and_ends(self) -> None:
        self.a_look_begins()
        if self.look is not None:
            self.a_look_reads()
            self.a_look_ends()

    @rule(carefully=st.booleans())
    def a_delivery_begins(self, carefully: bool) -> None:
        due = self.lanes.start()
        if due is None:
            return
        key = lane_key(due)
        assert key not in self.running, f"{key} is being handled twice at once"
        earlier = [other.row for other in self.rows() if lane_key(other) == key and other.row < due.row]
        if due.row not in self.unordered:
            assert not {*earlier} - self.unordered, f"row {due.row} of {key} is handled before {earlier}"
        self.started_under[key] = self.tokens.get(due.bucket)
        if carefully and self.started_under[key] is not None:
            self.intake.close(due)
            due = replace(due, is_held=True)
            if due.row in self.outbox:
                self.holds[key] = Hold()
        self.running[key] = due

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_delivery_commits(self, data: st.DataObject) -> None:
        due = self.some_running(data)
        if self.is_fenced_in(due):
            self.handle(due)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_delivery_commits_and_ends(self, data: st.DataObject) -> None:
        due = self.some_running(data)
        if self.is_fenced_in(due):
            self.handle(due)
        self.end(due)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_delivery_ends(self, data: st.DataObject) -> None:
        self.end(self.some_running(data))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), commits=st.booleans())
    def a_delivery_ends_and_nobody_knows_how(self, data: st.DataObject, commits: bool) -> None:
        due = self.some_running(data)
        if commits and self.is_fenced_in(due):
            self.handle(due)
        self.put_back(due, is_held=False)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_row_is_parked(self, data: st.DataObject) -> None:
        due = self.some_running(data)
        if self.is_fenced_in(due):
            self.handle(due)
            self.holds.pop(lane_key(due), None)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_delivery_fails(self, data: st.DataObject) -> None:
        due = self.some_running(data)
        if self.is_fenced_in(due):
            self.holds[lane_key(due)] = Hold()

    # What holds at every moment.

    @invariant()
    def the_number_in_hand_is_right(self) -> None:
        assert len(self.lanes) == len(self.all_in_hand())

    @invariant()
    def nothing_up_to_the_floor_is_overlooked(self) -> None:
        in_hand = {*self.all_in_hand()}
        known = {b for b in self.wanted if b in self.tokens and self.intake._known.get(b) == self.tokens[b]}
        undone = [*self.outbox.values(), *(due for one in self.open for due in one.rows)]
        for due in undone:
            key = lane_key(due)
            if due.row > self.intake.floor or due.bucket not in known or due.row in in_hand:
                continue
            assert key in self.holds or self.lanes.is_closed(key), (
                f"row {due.row} of {key} is not in hand, its lane is not on hold, and the floor is {self.intake.floor}"
            )

    @invariant()
    def the_busy_buckets_are_those_of_what_is_being_handled(self) -> None:
        assert self.lanes.busy_buckets() == {due.bucket for due in self.running.values()}

    @invariant()
    def no_lane_takes_more_than_its_share_of_memory(self) -> None:
        for lane in LANES:
            for subscriber in SUBSCRIBERS:
                assert self.lanes.rows_of((subscriber, lane)) <= LANE_ROWS

    def everything_is_handled_in_the_end(self) -> None:
        """When nothing fails any more, looks come to every row: none was skipped for good."""
        while self.open:
            self.outbox |= {due.row: due for due in self.open.pop().rows}
        for bucket in BUCKETS:
            self.a_bucket_is_gained(bucket)
        for _ in range(20 + 3 * len(self.outbox)):
            if not self.outbox and not len(self.lanes):
                break
            for hold in self.holds.values():
                hold.is_over = True
            self.now += 1.0
            self.a_mark_is_taken()
            if self.look is None:
                self.a_look_begins()
            if self.look is not None and self.seen is None:
                self.a_look_reads()
            if self.seen is not None:
                self.a_look_ends()
            self.a_delivery_begins(carefully=False)
            for due in list(self.running.values()):
                if self.is_fenced_in(due):
                    self.handle(due)
                self.end(due)
            self.the_number_in_hand_is_right()
        assert not self.outbox, f"rows {sorted(self.outbox)} are never handled"

    # Steps.

    def numbers(self, promised: list[LaneKey]) -> None:
        """A transaction begins, and numbers rows."""
        self.transactions_made += 1
        rows = []
        for key in promised:
            self.rows_made += 1
            rows.append(due_row(self.rows_made, *key))
        self.open.append(Transaction(self.transactions_made, rows))

    def shown(self, look: Look) -> Seen:
        """What a look shows at this moment."""
        found = []
        for due in self.rows():
            key = lane_key(due)
            hold = self.holds.get(key)
            if due.row <= look.after or due.bucket not in look.buckets or due.row in look.but_for_rows:
                continue
            if key in look.but_for_lanes or (hold is not None and not (look.with_held and hold.is_over)):
                continue
            found.append(replace(due, is_held=hold is not None))
        over = [hold for hold in self.holds.values() if hold.is_over]
        waiting = [hold for hold in self.holds.values() if not hold.is_over]
        next_hold = timedelta() if over and not look.with_held else SECOND if waiting else None
        page = found[: look.rows_max]
        return Seen(
            rows=page,
            cut_at=page[-1].row if len(page) == look.rows_max else None,
            is_decided=all(one.number > look.mark.transaction for one in self.open),
            server="",
            next_hold=next_hold,
        )

    def is_fenced_in(self, due: Due) -> bool:
        """Whether the bucket has the same token as when the delivery began, and the row is there."""
        token = self.started_under[lane_key(due)]
        return due.row in self.outbox and token is not None and self.tokens.get(due.bucket) == token

    def wanted_tokens(self) -> dict[int, str]:
        """The buckets that are looked at."""
        return {bucket: token for bucket, token in self.tokens.items() if bucket in self.wanted}

    def rows(self) -> list[Due]:
        """What is in the outbox, by row."""
        return [self.outbox[row] for row in sorted(self.outbox)]

    def all_in_hand(self) -> list[int]:
        """The rows in hand."""
        return self.lanes.rows_behind(0)

    def drop_waiting(self, bucket: int) -> None:
        """Let go of what waits in a bucket that others handle now, or soon."""
        self.wanted.discard(bucket)
        self.intake.drop_waiting({bucket})

    def end(self, due: Due) -> None:
        """What was being handled is finished if it is gone from the outbox, and put back if it is not."""
        key = lane_key(due)
        if due.row not in self.outbox:
            del self.running[key]
            self.intake.finish(due)
            return
        self.put_back(due, is_held=key in self.holds and self.is_fenced_in(due))

    def put_back(self, due: Due, *, is_held: bool) -> None:
        """What was being handled was not done, as far as is known."""
        del self.running[lane_key(due)]
        self.intake.put_back(due, is_held=is_held)

    def handle(self, due: Due) -> None:
        """Somebody's commit takes a row out of the outbox."""
        key = lane_key(due)
        del self.outbox[due.row]
        if due.is_held:
            self.holds.pop(key, None)
        if due.row in self.unordered:
            return
        handled = self.handled[key]
        assert not handled or handled[-1] < due.row, f"row {due.row} was handled after {handled[-1]}"
        handled.append(due.row)

    def some_running(self, data: st.DataObject) -> Due:
        """One of the rows being handled."""
        return self.running[data.draw(st.sampled_from(sorted(self.running)))]
