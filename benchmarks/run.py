"""A whole run: every benchmark in turn. One that fails does not keep the others from running."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from benchmarks.benchmark import OURS, Benchmark, NotRun
from benchmarks.machine import load, machine_note, sync_us, syncs_of
from benchmarks.measured import Measured
from benchmarks.peers.peer import Peer
from benchmarks.peers.records import peer_records
from benchmarks.progress import Teller
from benchmarks.results import Failed, NotRunHere, Record, Records, Result, Scaled
from benchmarks.rounds import WARM_UP, run_rounds
from benchmarks.scaling import Curve, Scaling, curve_of
from benchmarks.series import Round, WroteLess, compared, costs_of, median_cpu_us
from benchmarks.table import number

SCALING_ROUNDS_MAX = 5

PeersOf = Callable[[Benchmark], Sequence[Peer]]


def no_peers(benchmark: Benchmark) -> Sequence[Peer]:
    """Nobody else takes part."""
    return ()


def run_all(
    benchmarks: Sequence[Benchmark | Scaling],
    rounds: int,
    teller: Teller,
    *,
    quick: bool,
    peers_of: PeersOf = no_peers,
) -> Records:
    """A record for each."""
    return {
        benchmark.key: run_one(
            benchmark,
            rounds,
            teller,
            quick=quick,
            peers=() if isinstance(benchmark, Scaling) else peers_of(benchmark),
        )
        for benchmark in benchmarks
    }


def run_one(
    benchmark: Benchmark | Scaling, rounds: int, teller: Teller, *, quick: bool, peers: Sequence[Peer] = ()
) -> Record:
    """The record of one benchmark, whatever becomes of it."""
    key = benchmark.key
    try:
        match benchmark:
            case Scaling():
                return _scaled(benchmark, min(rounds, SCALING_ROUNDS_MAX), teller, quick=quick)
            case Benchmark():
                return _compared(benchmark, rounds, teller, peers, quick=quick)
    except NotRun as refusal:
        teller.end(key, f"not run: {refusal}")
        return NotRunHere(work=benchmark.work, reason=str(refusal))
    except WroteLess as refusal:
        teller.end(key, f"failed: {refusal}")
        return Failed(work=benchmark.work, error=str(refusal))
    except Exception as error:
        # Its work is lost, the others' is not; where it broke is needed to mend it.
        traceback.print_exc()
        teller.end(key, f"failed: {error!r}")
        return Failed(work=benchmark.work, error=f"{type(error).__name__}: {error}")


def _compared(benchmark: Benchmark, rounds: int, teller: Teller, peers: Sequence[Peer], *, quick: bool) -> Result:
    key = benchmark.key
    teller.begin(key, len(benchmark.sides()) + len(peers), rounds)
    syncs = [sync_us()]
    counted: dict[str, Measured] = {}

    def told(round_number: int, side: str, measured: Measured) -> None:
        teller.told(key, round_number, side, measured)
        syncs.append(sync_us())
        if round_number == WARM_UP:
            counted[side] = measured

    done = run_rounds(benchmark, rounds, told, peers)
    result = _result(benchmark, done, counted, syncs, peers, quick=quick)
    for peer in peers:
        if peer.trouble is not None:
            teller.end(key, f"{peer.entry.name} not run: {peer.trouble}")
    teller.end(key, f"ours / floor {result.ratio:.3g} (target {result.target})")
    return result


def _scaled(scaling: Scaling, rounds: int, teller: Teller, *, quick: bool) -> Scaled:
    key, axes, syncs = scaling.key, scaling.axes(), [sync_us()]
    teller.begin(key, sum(len(axis.xs) for axis in axes), rounds)

    def told(round_number: int, point: str, measured: Measured) -> None:
        teller.told(key, round_number, point, measured)
        syncs.append(sync_us())

    scaling.open()
    curves = tuple(curve_of(scaling, axis, rounds, told) for axis in axes)
    teller.end(key, "; ".join(f"{curve.name} {_course(curve)}" for curve in curves))
    return Scaled(
        work=scaling.work,
        curves=curves,
        rounds=rounds,
        measured_at=_now(),
        quick=quick,
        machine=machine_note(),
        load=load(),
        syncs=syncs_of(syncs),
    )


def _course(curve: Curve) -> str:
    values = [number(point.value) for point in curve.points]
    return f"{' → '.join(values)} {curve.unit}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _result(
    benchmark: Benchmark,
    rounds: Sequence[Round],
    counted: Round,
    syncs: list[float],
    peers: Sequence[Peer],
    *,
    quick: bool,
) -> Result:
    main, *others = (compared(comparison, rounds) for comparison in benchmark.comparisons)
    return Result(
        work=benchmark.work,
        ours=main.ours,
        floor=main.floor,
        ratio=main.ratio,
        unit=main.unit,
        rounds=len(rounds),
        spread=main.spread,
        target=main.target,
        score=main.score,
        met=main.met,
        settled=main.settled,
        also=tuple(others),
        more=benchmark.more,
        operations=benchmark.operations,
        ours_cpu_us=median_cpu_us(rounds, OURS),
        floor_cpu_us=median_cpu_us(rounds, benchmark.comparisons[0].floor),
        rows={name: dict(rounds[-1][name].rows) for name in benchmark.sides()},
        measured_at=_now(),
        quick=quick,
        machine=machine_note(),
        load=load(),
        syncs=syncs_of(syncs),
        costs=costs_of(counted, rounds),
        peers=peer_records(benchmark.comparisons, peers, rounds),
    )
