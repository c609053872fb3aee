"""Runs a benchmark: the sides take turns, so that a slow minute of the machine is slow for both."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from benchmarks.benchmark import FLOOR, Benchmark
from benchmarks.measured import Measured
from benchmarks.peers.peer import Peer
from benchmarks.series import Round, check_work

WARM_UP = 0
"""The number of the round that does not count. What is asked of databases is counted in it."""
WARM_UP_SHARE = 0.1

Told = Callable[[int, str, Measured], None]
"""Hears the number of the round (`WARM_UP` first), the side, and what it measured."""


def run_rounds(benchmark: Benchmark, rounds: int, told: Told, peers: Sequence[Peer] = ()) -> list[Round]:
    """Floor, ours, floor, ours, … after a short warm-up that does not count; peers, where there are, follow ours.

    Raises `NotRun` when it cannot run here and `WroteLess` when ours did less than a floor. A peer in trouble keeps it
    to itself and is missing from rounds.
    """
    operations = _warm_up_operations(benchmark)
    if not benchmark.is_filled_once:
        warm_up = dataclasses.replace(benchmark, operations=operations)
        with _opened(warm_up, peers):
            _one_round(warm_up, WARM_UP, told, peers)
    with _opened(benchmark, peers):
        if benchmark.is_filled_once:
            warm_up = copy.copy(benchmark)
            warm_up.operations = operations
            _one_round(warm_up, WARM_UP, told, peers)
        return [_one_round(benchmark, number, told, peers) for number in range(1, rounds + 1)]


@contextmanager
def _opened(benchmark: Benchmark, peers: Sequence[Peer]) -> Iterator[None]:
    try:
        benchmark.open()
        for peer in peers:
            peer.open(benchmark.operations)
        yield
    finally:
        for peer in peers:
            peer.close()
        benchmark.close()


def _one_round(benchmark: Benchmark, number: int, told: Told, peers: Sequence[Peer]) -> Round:
    measured: dict[str, Measured] = {}
    for name, side in benchmark.sides().items():
        with benchmark.metered(counting=number == WARM_UP):
            measured[name] = side()
        told(number, name, measured[name])
    check_work(benchmark.key, measured)
    for peer in peers:
        turn = peer.take_turn(measured[FLOOR])
        if turn is not None:
            measured[peer.entry.name] = turn
            told(number, peer.entry.name, turn)
    return measured


def _warm_up_operations(benchmark: Benchmark) -> int:
    return min(benchmark.operations, max(benchmark.warm_up_min, int(benchmark.operations * WARM_UP_SHARE)))
