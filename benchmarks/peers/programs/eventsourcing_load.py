"""Loading aggregates of a hundred events with eventsourcing's repository, no snapshots, no cache. See the accounts."""

from __future__ import annotations

from benchmarks.measured import Measured, Stopwatch
from benchmarks.peers.asked import Asked, serve
from benchmarks.peers.programs.eventsourcing_accounts import Accounts
from benchmarks.peers.programs.eventsourcing_place import settings
from benchmarks.peers.programs.values import EVENTS, STREAMS


def fill(asked: Asked) -> None:
    """The accounts."""
    with Accounts(settings(asked.url, 1, is_tuned=asked.is_tuned)) as accounts:
        for number in range(STREAMS):
            accounts.fill(f"account-{number}", EVENTS)


def measure(asked: Asked) -> Measured:
    """So many loads, one account after the other."""
    total = 0
    with Accounts(settings(asked.url, 1, is_tuned=asked.is_tuned)) as accounts:
        accounts.balance("account-0")
        with Stopwatch() as watch:
            for number in range(asked.operations):
                total += accounts.balance(f"account-{number % STREAMS}")
    return watch.measured(asked.operations, {"money counted": total})


if __name__ == "__main__":
    serve(measure, fill)
