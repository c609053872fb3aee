"""What is kept of a peer, and the arithmetic from rounds to it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

from benchmarks.benchmark import FLOOR, OURS, Comparison
from benchmarks.peers.peer import Peer
from benchmarks.series import Round, Spread, spread_of


class PeerFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a peer beside the floor of the same rounds; *ratio* is the median of the rounds' own ratios."""

    name: str
    """That of the comparison: empty, or ``p99``."""
    unit: str
    figure: float
    ratio: float
    spread: Spread
    score: float
    """How far the peer reaches our target."""
    ours: float
    """Our figure divided by the peer's, the median of the rounds."""


class PeerMeasured(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="measured"):
    """A peer that took its turn in every round. *figures* begins with the one that the key stands for."""

    name: str
    version: str
    figures: tuple[PeerFigure, ...]
    differs: str
    """What it does less or more, and how it is set up."""
    operations: int
    rounds: int
    cpu_us: float
    """Of its own process, per operation."""
    rows: Mapping[str, int]
    measured_at: str

    @property
    def main(self) -> PeerFigure:
        """The figure that the key stands for."""
        return self.figures[0]


class PeerNotRun(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="not run"):
    """A peer that could not be made ready, or was stopped by something, and why."""

    name: str
    version: str
    reason: str


PeerRecord: TypeAlias = PeerMeasured | PeerNotRun


def peer_records(
    comparisons: Sequence[Comparison], peers: Sequence[Peer], rounds: Sequence[Round]
) -> tuple[PeerRecord, ...]:
    """A record for each peer."""
    return tuple(_record(comparisons, peer, rounds) for peer in peers)


def _record(comparisons: Sequence[Comparison], peer: Peer, rounds: Sequence[Round]) -> PeerRecord:
    name = peer.entry.name
    if peer.trouble is not None:
        return PeerNotRun(name=name, version=peer.version, reason=peer.trouble)
    turns = [one[name] for one in rounds]
    return PeerMeasured(
        name=name,
        version=peer.version,
        figures=tuple(_figure(comparison, name, rounds) for comparison in comparisons if comparison.floor == FLOOR),
        differs=peer.entry.differs,
        operations=turns[-1].operations,
        rounds=len(turns),
        cpu_us=statistics.median(turn.cpu_us for turn in turns),
        rows=dict(turns[-1].rows),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _figure(comparison: Comparison, name: str, rounds: Sequence[Round]) -> PeerFigure:
    read = comparison.figure.read
    theirs = [read(one[name]) for one in rounds]
    floor = [read(one[FLOOR]) for one in rounds]
    ours = [read(one[OURS]) for one in rounds]
    ratios = [their / low for their, low in zip(theirs, floor, strict=True)]
    ratio, figure = statistics.median(ratios), statistics.median(theirs)
    return PeerFigure(
        name=comparison.name,
        unit=comparison.figure.unit,
        figure=figure,
        ratio=ratio,
        spread=spread_of(ratios),
        score=comparison.target.score(ratio, figure),
        ours=statistics.median(mine / their for mine, their in zip(ours, theirs, strict=True)),
    )
