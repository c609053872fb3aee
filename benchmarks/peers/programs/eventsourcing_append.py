"""The event store of eventsourcing: one new stream of one event per commit, by several threads. See the accounts."""

from __future__ import annotations

from benchmarks.measured import Measured, Stopwatch
from benchmarks.peers.asked import Asked, serve
from benchmarks.peers.programs.eventsourcing_accounts import Accounts
from benchmarks.peers.programs.eventsourcing_place import in_threads, settings, topics


def measure(asked: Asked) -> Measured:
    """So many streams, so many threads."""
    with Accounts(settings(asked.url, asked.in_flight, is_tuned=asked.is_tuned)) as accounts:
        in_threads(asked.in_flight, asked.in_flight * 2, lambda number: accounts.fill(f"warm-up-{number}", 1))
        before = topics(asked.url, accounts.recorder.events_table_name)["Opened"]
        with Stopwatch() as watch:
            in_threads(asked.in_flight, asked.operations, lambda number: accounts.fill(f"account-{number}", 1))
        after = topics(asked.url, accounts.recorder.events_table_name)["Opened"]
    return watch.measured(asked.operations, {"events": after - before})


if __name__ == "__main__":
    serve(measure)
