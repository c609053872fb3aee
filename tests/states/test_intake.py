"""The low-water mark: whatever comes in between, nothing up to it is overlooked, and each lane keeps its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace

from duly.delivery.intake import CUT_LOOK_SECONDS, LOOK_BELOW_SECONDS, MARK_SECONDS, Intake
from duly.delivery.lanes import LANE_ROWS_MAX
from duly.ports.store import Due, Look, Mark, Seen
from tests.states.outbox_model import OutboxModel, due_row

TestIntakeAgainstASimulatedOutbox = OutboxModel.TestCase
TestIntakeAgainstASimulatedOutbox.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)


class TrustsWhatIsNotDecided(Intake):
    def end(self, seen: Seen, tokens: Mapping[int, str], now: float) -> int:
        return super().end(replace(seen, is_decided=True), tokens, now)


class NeverFalls(Intake):
    def _fall(self, to: int) -> None: ...


class ForgetsLanesWithoutRoom(Intake):
    def _offer(self, due: Due, level: int) -> bool:
        taken = super()._offer(due, level)
        self._cut.clear()
        return taken


class RisesBeyondItsLimit(Intake):
    def end(self, seen: Seen, tokens: Mapping[int, str], now: float) -> int:
        return super().end(replace(seen, cut_at=None), tokens, now)


class KeepsItsFloorForNewBuckets(Intake):
    def begin(self, tokens: Mapping[int, str], subscribers: Sequence[int], now: float) -> Look | None:
        self._known = dict(tokens)
        return super().begin(tokens, subscribers, now)


@pytest.mark.parametrize(
    "mistaken",
    [
        TrustsWhatIsNotDecided,
        NeverFalls,
        ForgetsLanesWithoutRoom,
        RisesBeyondItsLimit,
        KeepsItsFloorForNewBuckets,
    ],
    ids=lambda mistaken: mistaken.__name__,
)
def test_the_model_notices_an_intake_that_makes_a_mistake(mistaken: type[Intake]) -> None:
    class Mistaken(OutboxModel):
        intake_type = mistaken

    once = settings(
        max_examples=10_000,
        stateful_step_count=80,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    with pytest.raises((AssertionError, LookupError)):
        run_state_machine_as_test(Mistaken, settings=once)


TOKENS = {0: "t"}


def seen(*rows: Due, cut_at: int | None = None, next_hold: float | None = None, server: str = "") -> Seen:
    wait = None if next_hold is None else timedelta(seconds=next_hold)
    return Seen(rows=rows, cut_at=cut_at, is_decided=True, server=server, next_hold=wait)


def begun(intake: Intake, now: float) -> Look:
    look = intake.begin(TOKENS, (1,), now)
    assert look is not None
    return look


def looked(intake: Intake, now: float, *rows: Due, last: int = 100, cut_at: int | None = None) -> Look:
    """A look, and a mark before it if the intake wants one, that has shown *rows*."""
    if intake.wants_mark(now):
        intake.marked(Mark(last), now)
    look = begun(intake, now)
    intake.end(seen(*rows, cut_at=cut_at), TOKENS, now)
    return look


def a_row(row: int, lane: str = "acme/a", *, is_held: bool = False) -> Due:
    return replace(due_row(row, 1, lane), bucket=0, is_held=is_held)


def done(intake: Intake) -> Due:
    """One row is handled."""
    due = intake.lanes.start()
    assert due is not None
    intake.finish(due)
    return due


def test_the_first_look_reads_everything_and_the_next_begins_where_all_is_decided() -> None:
    intake = Intake(10)
    first = looked(intake, 0.0, a_row(7), last=9)
    assert (first.after, first.with_held) == (0, True)
    second = begun(intake, 0.1)
    assert (second.after, second.with_held, list(second.but_for_rows)) == (9, False, [])


def test_a_look_that_was_cut_is_gone_on_with_behind_its_last_row() -> None:
    intake = Intake(2)
    looked(intake, 0.0, a_row(7), a_row(8, "acme/b"), cut_at=8)
    assert intake.floor == 8
    done(intake)
    done(intake)
    assert intake.wants_more
    assert begun(intake, 0.1).after == 8


def test_a_held_lane_falls_to_where_it_was_complete_when_all_of_it_is_done() -> None:
    intake = Intake(10)
    looked(intake, 0.0, a_row(7, is_held=True), last=9)
    # Meanwhile rows were promised that quick looks do not show, and they have gone on.
    looked(intake, 0.1, a_row(11, "acme/b"))
    assert intake.floor == 9
    intake.marked(Mark(12), 2.0)
    assert begun(intake, 2.0).but_for_lanes == [(1, "acme/a")]
    intake.end(seen(), TOKENS, 2.0)
    assert intake.floor == 12
    assert done(intake).row == 7
    assert intake.needs_look
    assert begun(intake, 2.1).after == 9


def test_what_falls_during_a_look_stays_down_when_it_ends() -> None:
    intake = Intake(10)
    looked(intake, 0.0, a_row(7), last=9)
    due = intake.lanes.start()
    assert due is not None
    look = begun(intake, 0.1)
    assert look.after == 9
    intake.put_back(due, is_held=False)
    intake.end(seen(a_row(8)), TOKENS, 0.1)
    assert (intake.floor, len(intake.lanes)) == (6, 0)


def test_rows_of_a_bucket_that_was_dropped_during_a_look_are_not_taken_and_are_looked_for_again() -> None:
    intake = Intake(10)
    begun(intake, 0.0)
    intake.drop_waiting({0})
    assert intake.end(seen(a_row(7)), TOKENS, 0.0) == 0
    again = begun(intake, 0.1)
    assert (again.after, again.with_held) == (0, True)


def test_a_new_row_of_a_lane_in_hand_is_handled_without_another_look() -> None:
    intake = Intake(10)
    looked(intake, 0.0, a_row(7))
    due = intake.lanes.start()
    assert due is not None
    looked(intake, 0.1, a_row(101))
    intake.finish(due)
    assert done(intake).row == 101
    assert not intake.needs_look


def test_a_lane_without_room_holds_the_floor_and_is_asked_for_again_when_it_is_half_done() -> None:
    intake = Intake(1_000)
    rows = [a_row(row) for row in range(1, LANE_ROWS_MAX + 51)]
    looked(intake, 0.0, *rows, last=1_000)
    assert intake.floor == LANE_ROWS_MAX
    assert begun(intake, 0.1).but_for_lanes == [(1, "acme/a")]
    intake.end(seen(), TOKENS, 0.1)
    for _ in range(LANE_ROWS_MAX // 2 - 1):
        done(intake)
    before = intake.needs_look
    done(intake)
    assert (before, intake.needs_look) == (False, True)
    again = begun(intake, 0.2)
    assert (again.after, again.but_for_lanes) == (LANE_ROWS_MAX, [])
    assert again.rows_max < 1_000, "a page is mostly rows of that lane"


def test_after_a_restore_all_is_read_anew() -> None:
    intake = Intake(10)
    looked(intake, 0.0, a_row(7), last=9)
    begun(intake, 0.1)
    assert intake.end(seen(a_row(20, "acme/b"), server="another"), TOKENS, 0.1) == 0
    assert (intake.floor, begun(intake, 0.2).after) == (0, 0)


def test_numbers_that_have_gone_back_are_read_from_the_first_one_on() -> None:
    intake = Intake(10)
    looked(intake, 0.0, a_row(7), last=9)
    intake.marked(Mark(8), 1.0)
    assert begun(intake, 1.0).after == 0


def test_a_mark_is_taken_while_there_is_work_and_not_more_often_than_it_may() -> None:
    intake = Intake(10)
    looked(intake, 0.0, a_row(7), last=9)
    assert not intake.wants_mark(10 * MARK_SECONDS)
    begun(intake, 0.1)
    intake.end(seen(a_row(12)), TOKENS, 0.1)
    assert not intake.wants_mark(MARK_SECONDS / 2)
    assert intake.wants_mark(MARK_SECONDS)
    intake.marked(Mark(12), MARK_SECONDS)
    assert not intake.wants_mark(100.0), "one is not decided yet"


def test_a_full_look_comes_when_a_hold_is_over_and_now_and_then_without_one() -> None:
    intake = Intake(10)
    looked(intake, 0.0)
    assert intake.full_look_at == LOOK_BELOW_SECONDS
    intake.look_for_hold(3.0)
    assert not begun(intake, 2.9).with_held
    intake.end(seen(), TOKENS, 2.9)
    assert begun(intake, 3.0).with_held
    intake.end(seen(cut_at=5), TOKENS, 3.0)
    assert intake.full_look_at == 3.0 + CUT_LOOK_SECONDS
    assert begun(intake, 3.0 + CUT_LOOK_SECONDS).after == 0


def test_a_quick_look_that_tells_of_a_hold_has_a_full_one_follow() -> None:
    intake = Intake(10)
    looked(intake, 0.0)
    begun(intake, 1.0)
    intake.end(seen(next_hold=-0.5), TOKENS, 1.0)
    assert begun(intake, 1.0).with_held
    intake.end(seen(next_hold=4.0), TOKENS, 1.0)
    assert intake.full_look_at == 5.0
