"""Lanes: whatever comes in between, each is handled row by row, and nothing is skipped for good."""

from __future__ import annotations

from collections.abc import Collection, Hashable

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from duly.delivery.lanes import LANE_ROWS_MAX, Lanes, lane_key
from duly.ports.store import Due, LaneKey
from tests.states.outbox_model import OutboxModel, due_row


class KeepsTheTailOfAHold(Lanes):
    def put_back(self, due: Due) -> int:
        lane = self._lanes[lane_key(due)]
        tail = [row for row in lane.rows if row.row != due.row]
        before = super().put_back(due)
        for row in tail:
            self.offer(row)
        return before


class DropsWhatIsBeingHandled(Lanes):
    def drop_waiting(self, buckets: Collection[int]) -> None:
        for lane in self._lanes.values():
            lane.is_busy = False
        super().drop_waiting(buckets)


class HandlesOneLaneTwiceAtOnce(Lanes):
    def start(self) -> Due | None:
        for key, lane in self._lanes.items():
            lane.is_busy = False
            self._ready.append(key)
        return super().start()


class NeverGoesOn(Lanes):
    def finish(self, due: Due) -> int | None:
        complete_to = super().finish(due)
        self._ready.clear()
        return complete_to


@pytest.mark.parametrize(
    "mistaken",
    [
        KeepsTheTailOfAHold,
        DropsWhatIsBeingHandled,
        HandlesOneLaneTwiceAtOnce,
        NeverGoesOn,
    ],
    ids=lambda mistaken: mistaken.__name__,
)
def test_the_model_notices_lanes_that_make_a_mistake(mistaken: type[Lanes]) -> None:
    class Mistaken(OutboxModel):
        lanes_type = mistaken

    once = settings(
        max_examples=3_000,
        stateful_step_count=100,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    with pytest.raises((AssertionError, LookupError)):
        run_state_machine_as_test(Mistaken, settings=once)


def started(lanes: Lanes, *rows: Due) -> Due:
    """The one row that is being handled after *rows* were offered."""
    for row in rows:
        lanes.offer(row)
    due = lanes.start()
    assert due is not None
    assert lanes.start() is None
    return due


def test_a_lane_that_is_put_back_is_let_go_of_whole() -> None:
    lanes, head, tail = Lanes(), due_row(1, 1, "acme/a"), due_row(2, 1, "acme/a")
    lanes.put_back(started(lanes, head, tail))
    assert len(lanes) == 0
    assert not lanes.holds(lane_key(head))
    assert started(lanes, head, tail) is head


def test_a_lane_that_is_dropped_keeps_only_what_is_being_handled() -> None:
    lanes, head, tail = Lanes(), due_row(1, 1, "acme/a"), due_row(2, 1, "acme/a")
    started(lanes, head, tail)
    lanes.drop_waiting({head.bucket})
    assert len(lanes) == 1
    assert lanes.rows_behind(0) == [head.row]
    lanes.finish(head)
    assert started(lanes, tail) is tail


def test_a_long_lane_leaves_room_for_others() -> None:
    lanes = Lanes()
    for row in range(1, LANE_ROWS_MAX + 11):
        lanes.offer(due_row(row, 1, "acme/a"))
    assert len(lanes) == LANE_ROWS_MAX
    lanes.offer(due_row(1_001, 1, "acme/b"))
    assert len(lanes) == LANE_ROWS_MAX + 1


def keys_of(lanes: Lanes) -> list[LaneKey]:
    """Start everything that can be started."""
    found: list[LaneKey] = []
    while (due := lanes.start()) is not None:
        found.append(lane_key(due))
    return found


def test_lanes_run_side_by_side_and_one_subscriber_does_not_hold_up_another() -> None:
    lanes = Lanes()
    for row, (subscriber, lane) in enumerate([(1, "acme/a"), (1, "acme/a"), (2, "acme/a"), (1, "acme/b")], start=1):
        lanes.offer(due_row(row, subscriber, lane))
    assert keys_of(lanes) == [(1, "acme/a"), (2, "acme/a"), (1, "acme/b")]
    assert len(lanes) == 4


def test_lanes_take_turns() -> None:
    lanes = Lanes()
    for row, lane in enumerate(["acme/a", "acme/a", "acme/b", "acme/b"], start=1):
        lanes.offer(due_row(row, 1, lane))
    turns: list[int] = []
    while (due := lanes.start()) is not None:
        turns.append(due.row)
        lanes.finish(due)
    assert turns == [1, 3, 2, 4]


def test_lanes_hold_nothing_when_all_is_done() -> None:
    lanes = Lanes()
    for row in range(1, 1_000):
        lanes.offer(due_row(row, 1, "acme/a"))
        due = lanes.start()
        assert due is not None
        lanes.finish(due)
    assert len(lanes) == 0
    assert not any(held for name, held in vars(lanes).items() if name != "_slot_of")


def test_what_shares_a_slot_is_handled_one_by_one_and_the_rest_goes_on() -> None:
    def slot_of(due: Due) -> Hashable | None:
        return "careful" if due.subscriber == 1 else None

    lanes = Lanes(slot_of)
    for row, (subscriber, lane) in enumerate([(1, "acme/a"), (1, "acme/b"), (2, "acme/a")], start=1):
        lanes.offer(due_row(row, subscriber, lane))
    assert keys_of(lanes) == [(1, "acme/a"), (2, "acme/a")]
    lanes.finish(due_row(1, 1, "acme/a"))
    assert keys_of(lanes) == [(1, "acme/b")]
