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
from benchmarks.results import Failed, NotRunHere, Record, Records, Result
from benchmarks.rounds import run_rounds
from benchmarks.series import Round, WroteLess, compared, median_cpu_us

PeersOf = Callable[[Benchmark], Sequence[Peer]]


def no_peers(benchmark: Benchmark) -> Sequence[Peer]:
    """Nobody else takes part."""
    return ()


def run_all(
    benchmarks: Sequence[Benchmark], rounds: int, teller: Teller, *, quick: bool, peers_of: PeersOf = no_peers
) -> Records:
    """A record for each."""
    return {
        benchmark.key: run_one(benchmark, rounds, teller, quick=quick, peers=peers_of(benchmark))
        for benchmark in benchmarks
    }


def run_one(benchmark: Benchmark, rounds: int, teller: Teller, *, quick: bool, peers: Sequence[Peer] = ()) -> Record:
    """The record of one benchmark, whatever becomes of it."""
    key = benchmark.key
    teller.begin(key, len(benchmark.sides()) + len(peers), rounds)
    syncs = [sync_us()]

    def told(round_number: int, side: str, measured: Measured) -> None:
        teller.told(key, round_number, side, measured)
        syncs.append(sync_us())

    try:
        done = run_rounds(benchmark, rounds, told, peers)
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
    result = _result(benchmark, done, syncs, peers, quick=quick)
    for peer in peers:
        if peer.trouble is not None:
            teller.end(key, f"{peer.entry.name} not run: {peer.trouble}")
    teller.end(key, f"ours / floor {result.ratio:.3g} (target {result.target})")
    return result


def _result(
    benchmark: Benchmark, rounds: Sequence[Round], syncs: list[float], peers: Sequence[Peer], *, quick: bool
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
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        quick=quick,
        machine=machine_note(),
        load=load(),
        syncs=syncs_of(syncs),
        peers=peer_records(benchmark.comparisons, peers, rounds),
    )
