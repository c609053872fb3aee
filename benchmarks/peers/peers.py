"""The peers of a run: who takes part in which benchmark, and the environments that this takes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from benchmarks.benchmark import Benchmark
from benchmarks.peers.entries import entries
from benchmarks.peers.peer import Entry, Peer, Pythons
from benchmarks.places.place import Place


class PreparedPythons(Pythons, Protocol):
    """Interpreters that are made before a run."""

    def prepare(self, names: Sequence[str], say: Callable[[str], None]) -> None:
        """Make those of *names* that are not there."""


class Peers:
    """*places* are by store; *entries_of* says who takes part in a key."""

    def __init__(
        self,
        pythons: PreparedPythons,
        places: Mapping[str, Place],
        entries_of: Callable[[str], Sequence[Entry]] = entries,
    ) -> None:
        self._pythons = pythons
        self._places = places
        self._entries_of = entries_of

    def prepare(self, benchmarks: Sequence[Benchmark]) -> None:
        """Make the environments of all that take part, telling of it on standard error."""
        names = dict.fromkeys(entry.peer for benchmark in benchmarks for entry in self._entries_of(benchmark.key))
        self._pythons.prepare(list(names), _say)

    def of(self, benchmark: Benchmark) -> Sequence[Peer]:
        """The peers of one benchmark."""
        place = None if benchmark.store is None else self._places[benchmark.store]
        return [Peer(entry=entry, pythons=self._pythons, place=place) for entry in self._entries_of(benchmark.key)]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
