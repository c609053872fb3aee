"""Peers take turns with ours; whatever stops one is told and stops nobody else. Their programs here are fakes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from benchmarks.benchmark import FLOOR, OURS, NotRun
from benchmarks.peers import peer as peer_module
from benchmarks.peers.peer import Entry, Peer
from benchmarks.peers.peers import Peers
from benchmarks.peers.records import PeerMeasured, PeerNotRun, PeerRecord
from benchmarks.places.sqlite import SqlitePlace
from benchmarks.progress import Lines
from benchmarks.results import Result
from benchmarks.rounds import run_rounds
from benchmarks.run import run_all, run_one
from tests.benchmarks.fakes import Fake


class Here:
    """The interpreter of the tests for every peer but those of *absent*."""

    def __init__(self, absent: dict[str, str] | None = None) -> None:
        self.absent = absent or {}
        self.prepared: list[str] = []

    def python(self, name: str) -> Path:
        if name in self.absent:
            raise NotRun(self.absent[name])
        return Path(sys.executable)

    def version(self, name: str) -> str:
        return "1.2"

    def prepare(self, names: Sequence[str], say: Callable[[str], None]) -> None:
        self.prepared += names


def entry(program: str = "working", **said: object) -> Entry:
    made = {"peer": program, "differs": "Less: nothing much.", "operations_max": 40, **said}
    return Entry(program=f"tests.benchmarks.fake_peers.{program}", **made)  # type: ignore[arg-type]


def peer(program: str = "working", pythons: Here | None = None, **said: object) -> Peer:
    return Peer(entry=entry(program, **said), pythons=pythons or Here(), place=None)


def records_with(*peers: Peer) -> Sequence[PeerRecord]:
    record = run_one(Fake(), 2, Lines(), quick=True, peers=peers)
    assert isinstance(record, Result)
    assert record.rounds == 2
    return record.peers


@pytest.fixture
def sqlite() -> Iterator[SqlitePlace]:
    place = SqlitePlace()
    place.open()
    yield place
    place.close()


def test_a_peer_takes_its_turn_after_ours_in_every_round() -> None:
    told: list[tuple[int, str]] = []

    rounds = run_rounds(Fake(), 2, lambda number, side, _: told.append((number, side)), [peer()])

    assert told == [(number, side) for number in (0, 1, 2) for side in (FLOOR, OURS, "working")]
    assert [one["working"].operations for one in rounds] == [40, 40]
    assert [one["working"].rows for one in rounds] == [{"rows": 40}, {"rows": 40}]


def test_what_is_kept_of_a_peer_compares_it_with_the_floor_and_with_ours() -> None:
    (seen,) = records_with(peer(variant="tuned"))

    assert isinstance(seen, PeerMeasured)
    assert (seen.name, seen.version, seen.differs) == ("working, tuned", "1.2", "Less: nothing much.")
    assert (seen.operations, seen.rounds, seen.rows) == (40, 2, {"rows": 40})
    # The fake's floor does 100 in a second, ours 50.
    assert seen.main.ours > 0
    assert seen.main.unit == "things/s"
    assert seen.main.spread.min <= seen.main.ratio <= seen.main.spread.max
    assert seen.main.score == pytest.approx(seen.main.ratio / 0.4)


def test_a_fast_peer_does_more_than_ours() -> None:
    (seen,) = records_with(peer(operations_max=None, times=3))

    assert isinstance(seen, PeerMeasured)
    assert seen.operations == 300


def test_each_turn_has_a_copy_of_what_the_peer_filled_once(sqlite: SqlitePlace) -> None:
    taking_part = Peer(entry=entry(is_filled=True), pythons=Here(), place=sqlite)

    rounds = run_rounds(Fake(), 3, lambda *_: None, [taking_part])

    assert taking_part.trouble is None
    assert [one["working"].rows["rows"] for one in rounds] == [40, 40, 40]


def test_a_peer_without_an_environment_is_not_run_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    absent = Here(absent={"working": "it cannot be installed: there is no network"})

    (seen,) = records_with(peer(pythons=absent))

    assert seen == PeerNotRun(name="working", version="1.2", reason="it cannot be installed: there is no network")
    assert "fake: working not run: it cannot be installed: there is no network" in capsys.readouterr().err


def test_a_peer_that_cannot_fill_is_not_run(sqlite: SqlitePlace) -> None:
    (seen,) = records_with(Peer(entry=entry("idle", is_filled=True), pythons=Here(), place=sqlite))

    assert isinstance(seen, PeerNotRun)
    assert "This program has nothing to fill" in seen.reason


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("failing", "it ended with 1: RuntimeError: the library was not in the mood"),
        ("mumbling", "its answer 'some words' is none"),
        ("idle", "it did 5 rows in 10 operations, the floor 10 in 10"),
        ("absent", "it ended with 1"),
    ],
)
def test_a_peer_in_trouble_is_not_run_and_the_others_are_measured(program: str, reason: str) -> None:
    troubled, fine = records_with(peer(program), peer())

    assert isinstance(troubled, PeerNotRun)
    assert reason in troubled.reason
    assert isinstance(fine, PeerMeasured)


def test_a_peer_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_module, "TURN_SECONDS_MAX", 0.2)

    (seen,) = records_with(peer("hanging"))

    assert isinstance(seen, PeerNotRun)
    assert "it did not end within 0.2 s" in seen.reason


def test_a_peer_may_leave_out_what_is_said_of_it() -> None:
    (seen,) = records_with(peer("idle", leaves_out=frozenset({"rows"})))

    assert isinstance(seen, PeerMeasured)
    assert seen.rows == {"rows": 20}


def test_a_run_prepares_each_peer_of_its_keys_once_and_brings_them_together() -> None:
    pythons = Here()
    taking_part = {"fake": [entry(), entry(variant="tuned")], "other": [entry("idle")]}
    peers = Peers(pythons, {}, lambda key: taking_part.get(key, []))
    fakes = [Fake(), Fake(key="alone")]

    peers.prepare(fakes)
    records = run_all(fakes, 1, Lines(), quick=True, peers_of=peers.of)

    assert pythons.prepared == ["working"]
    assert isinstance(fake := records["fake"], Result)
    assert [seen.name for seen in fake.peers] == ["working", "working, tuned"]
    assert isinstance(alone := records["alone"], Result)
    assert alone.peers == ()
