"""What is said of the peers fits the benchmarks, the programs and the requirements that are there."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from benchmarks.benchmark import FLOOR
from benchmarks.catalog import benchmarks
from benchmarks.flows import latency, load
from benchmarks.peers.entries import KEYS, entries
from benchmarks.peers.environments import PINS
from benchmarks.peers.programs import values
from benchmarks.places.postgres import PostgresPlace
from benchmarks.places.sqlite import SqlitePlace
from benchmarks.sizes import Sizes
from benchmarks.subjects import accounts, baskets, logged, shop

KNOWN = {one.key: one for one in benchmarks(Sizes(quick=True), SqlitePlace(), PostgresPlace())}


@pytest.mark.parametrize("key", KEYS)
def test_every_entry_has_a_benchmark_a_program_and_pins(key: str) -> None:
    taking_part = entries(key)

    assert KNOWN[key].comparisons[0].floor == FLOOR
    assert len({entry.name for entry in taking_part}) == len(taking_part)
    for entry in taking_part:
        assert find_spec(entry.program) is not None
        assert (PINS / f"{entry.peer}.txt").exists()
        assert entry.differs.endswith(".")


def test_every_pinned_peer_takes_part() -> None:
    assert {file.stem for file in PINS.glob("*.txt")} == {entry.peer for key in KEYS for entry in entries(key)}


def test_peers_write_the_values_of_ours() -> None:
    order = shop.order(0)

    assert (order.customer, str(order.total)) == (values.CUSTOMER, values.TOTAL)
    assert values.NOTE == accounts.NOTE
    assert (values.STREAMS, values.EVENTS) == (load.STREAMS, load.EVENTS)
    assert values.PAGE_EVENTS == logged.PAGE_EVENTS
    assert values.LINES_PER_BASKET == baskets.LINES_PER_BASKET
    assert values.COMMANDS_PER_SECOND == latency.COMMANDS_PER_SECOND
