"""The sides take turns, and a side that does less work is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from benchmarks.benchmark import FLOOR, OURS, SAME_ROWS
from benchmarks.progress import Lines
from benchmarks.results import Failed, NotRunHere, Result
from benchmarks.rounds import run_rounds
from benchmarks.run import run_all
from benchmarks.series import WroteLess, check_work
from tests.benchmarks.fakes import Fake, measured


def test_floor_and_ours_take_turns_after_a_shorter_warm_up() -> None:
    fake = Fake()

    rounds = run_rounds(fake, 3, lambda *_: None)

    assert fake.log == ["open", "floor 10", "ours 10", "close", "open", *["floor 100", "ours 100"] * 3, "close"]
    assert len(rounds) == 3


def test_what_is_only_read_is_filled_once_for_the_warm_up_and_the_rounds() -> None:
    @dataclass(kw_only=True)
    class Read(Fake):
        is_filled_once: ClassVar[bool] = True

    read = Read()

    run_rounds(read, 2, lambda *_: None)

    assert read.log == ["open", "floor 10", "ours 10", *["floor 100", "ours 100"] * 2, "close"]
    assert read.operations == 100


def test_the_floor_of_the_same_rows_takes_turns_too() -> None:
    fake = Fake(has_same_rows=True)

    run_rounds(fake, 1, lambda *_: None)

    assert fake.log[-4:] == ["floor 100", "ours 100", "same rows 100", "close"]


def test_each_measurement_is_told_with_its_round() -> None:
    told: list[tuple[int, str]] = []

    run_rounds(Fake(), 2, lambda number, side, _: told.append((number, side)))

    assert told == [(number, side) for number in (0, 1, 2) for side in (FLOOR, OURS)]


def test_a_benchmark_that_writes_fewer_rows_than_its_floor_is_refused() -> None:
    with pytest.raises(WroteLess, match="ours wrote 10 rows in 10 operations, the floor 20 in 10"):
        run_rounds(Fake(written={FLOOR: 2}), 5, lambda *_: None)


def test_a_kind_of_row_that_ours_does_not_count_at_all_is_refused() -> None:
    with pytest.raises(WroteLess, match="ours wrote 0 payments"):
        check_work("key", {OURS: measured(rows={"orders": 10}), FLOOR: measured(rows={"orders": 10, "payments": 10})})


def test_rows_are_compared_per_operation() -> None:
    check_work("key", {OURS: measured(10, rows={"rows": 20}), FLOOR: measured(1000, rows={"rows": 2000})})
    with pytest.raises(WroteLess):
        check_work("key", {OURS: measured(10, rows={"rows": 19}), FLOOR: measured(1000, rows={"rows": 2000})})


def test_a_floor_that_counts_nothing_proves_nothing() -> None:
    with pytest.raises(WroteLess, match="counted nothing"):
        check_work("key", {OURS: measured(), FLOOR: measured(rows={})})


def test_the_floor_of_the_same_rows_must_write_exactly_what_ours_does() -> None:
    with pytest.raises(WroteLess, match="it flatters ours"):
        run_rounds(Fake(has_same_rows=True, written={OURS: 2}), 1, lambda *_: None)
    check_work("key", {OURS: measured(), SAME_ROWS: measured()})


def test_what_cannot_run_or_fails_does_not_keep_the_others_from_running(capsys: pytest.CaptureFixture[str]) -> None:
    fakes = [
        Fake(key="absent", refusal="there is no server"),
        Fake(key="less", written={FLOOR: 2}),
        Fake(key="broken", error=RuntimeError("it broke")),
        Fake(key="fine"),
    ]

    records = run_all(fakes, 2, Lines(), quick=True)

    assert records["absent"] == NotRunHere(work="Nothing.", reason="there is no server")
    assert isinstance(less := records["less"], Failed)
    assert "ours wrote" in less.error
    assert records["broken"] == Failed(work="Nothing.", error="RuntimeError: it broke")
    assert isinstance(fine := records["fine"], Result)
    assert (fine.ratio, fine.rounds, fine.met) == (0.5, 2, True)
    assert all(fake.log[-1] == "close" for fake in fakes)
    said = capsys.readouterr().err
    assert "absent: not run: there is no server" in said
    assert "fine: round 2, ours 50/s" in said
