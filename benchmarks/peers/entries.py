"""Which peers take part in which benchmark, and what is not the same there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.flows.append import IN_FLIGHT as APPENDS_IN_FLIGHT
from benchmarks.peers.peer import Entry

PROGRAMS: Final = "benchmarks.peers.programs"
DELETED: Final = "outbox rows deleted"

SAVED: Final = (
    "Less: order and payment are saved together by hand, no handler of the event, no causes, no receipt of the "
    "command; its 2 rows are state, event and promise in one. More: aggregates are event-sourced."
)
POSTGRES: Final = (
    "psycopg's compiled form, a thread and a connection for each client; a lock on the table keeps the log in order."
)
FUNCTIONS: Final = (
    "Set up with POSTGRES_ENABLE_DB_FUNCTIONS, as its own speed run is. Then it does not lock the table, so that a "
    "reader of the log may pass over a commit that ends late."
)
DRAINED: Final = "Less: the handler does nothing, where ours writes a document in the message's own commit; no order."
PICKED_UP: Final = "Less: a commit is one job's row, no document, event or receipt; the handler has no unit of work."
CASCADED: Final = "Less: handlers only; no repositories, identities, encoding or change."


def entries(key: str) -> Sequence[Entry]:
    """The peers of the benchmark *key*; most have none."""
    return _ENTRIES.get(key, ())


def _flow(key: str, in_flight: int) -> list[Entry]:
    on_postgres = "_pg_" in key
    saving = Entry(
        peer="eventsourcing",
        program=f"{PROGRAMS}.eventsourcing_commands",
        differs=f"{SAVED} {POSTGRES if on_postgres else 'WAL and synchronous FULL, as it comes.'}",
        operations_max=1_000 if on_postgres else 3_000,
        in_flight=in_flight,
    )
    sending = Entry(
        peer="python-cqrs",
        program=f"{PROGRAMS}.python_cqrs_commands",
        differs=(
            "One SQLAlchemy session for the command, its event's handler and the outbox, committed once. Less: no log "
            "of events besides the outbox, no versions, causes or receipt. Set up with asyncpg and uvloop."
            if on_postgres
            else "As on PostgreSQL, on aiosqlite, set to WAL and synchronous FULL. Its documentation has SQLite in "
            "examples only, with the outbox's table made by hand."
        ),
        operations_max=800,
        in_flight=in_flight,
    )
    return [saving, *([_with_functions(saving)] if on_postgres else []), sending]


def _with_functions(entry: Entry) -> Entry:
    return Entry(
        peer=entry.peer,
        variant="database functions",
        program=entry.program,
        differs=f"As above. {FUNCTIONS}",
        operations_max=2_000,
        in_flight=entry.in_flight,
        is_tuned=True,
    )


def _append() -> Entry:
    return Entry(
        peer="eventsourcing",
        program=f"{PROGRAMS}.eventsourcing_append",
        differs="The same work, by threads. Less: no causes.",
        operations_max=2_000,
        in_flight=APPENDS_IN_FLIGHT,
    )


def _load() -> Entry:
    return Entry(
        peer="eventsourcing",
        program=f"{PROGRAMS}.eventsourcing_load",
        differs="The same work: its repository, no snapshots, no cache; an account begins with its first deposit.",
        operations_max=500,
        is_filled=True,
    )


def _log() -> Entry:
    return Entry(
        peer="eventsourcing",
        program=f"{PROGRAMS}.eventsourcing_log",
        differs="Its notification log in pages of 1,000. Less: no causes, times or personal fields.",
        is_filled=True,
    )


def _drains() -> list[Entry]:
    return [
        Entry(
            peer="pgqueuer",
            variant="default",
            program=f"{PROGRAMS}.pgqueuer_drain",
            differs=f"{DRAINED} Jobs are fetched by 10; asyncpg, uvloop, durability *durable*.",
            operations_max=6_000,
            is_filled=True,
        ),
        Entry(
            peer="pgqueuer",
            variant="tuned",
            program=f"{PROGRAMS}.pgqueuer_drain",
            differs=f"{DRAINED} Jobs are fetched by 500, autovacuum set by `pgq autovac`; still *durable*.",
            times=3,
            is_filled=True,
            is_tuned=True,
        ),
        Entry(
            peer="procrastinate",
            variant="default",
            program=f"{PROGRAMS}.procrastinate_drain",
            differs=f"{DRAINED} One job at a time; finished jobs are kept; psycopg's compiled form, uvloop.",
            operations_max=800,
            is_filled=True,
            leaves_out=frozenset({DELETED}),
        ),
        Entry(
            peer="procrastinate",
            variant="tuned",
            program=f"{PROGRAMS}.procrastinate_drain",
            differs=f"{DRAINED} 10 jobs at a time, a pool of 11 connections, finished jobs are deleted.",
            operations_max=800,
            is_filled=True,
            is_tuned=True,
        ),
    ]


def _latency() -> list[Entry]:
    return [
        Entry(
            peer="pgqueuer",
            program=f"{PROGRAMS}.pgqueuer_latency",
            differs=f"{PICKED_UP} A connection for the worker and another for the producer.",
            operations_max=400,
        ),
        Entry(
            peer="procrastinate",
            variant="default",
            program=f"{PROGRAMS}.procrastinate_latency",
            differs=f"{PICKED_UP} One job at a time: where that is too slow for the rate, jobs queue up.",
            operations_max=400,
        ),
        Entry(
            peer="procrastinate",
            variant="tuned",
            program=f"{PROGRAMS}.procrastinate_latency",
            differs=f"{PICKED_UP} 10 jobs at a time, a pool of 11 connections, finished jobs are deleted.",
            operations_max=400,
            is_tuned=True,
        ),
    ]


def _dispatch() -> list[Entry]:
    mediary = f"{CASCADED} Asynchronous, uvloop, handlers registered by hand."
    lato = f"{CASCADED} Blocking; its messages are pydantic's."
    return [
        Entry(peer="mediary", program=f"{PROGRAMS}.mediary_dispatch", differs=mediary),
        Entry(peer="lato", program=f"{PROGRAMS}.lato_dispatch", differs=lato),
    ]


_ENTRIES: Final[Mapping[str, Sequence[Entry]]] = {
    "commands_sqlite_c1": _flow("commands_sqlite_c1", 1),
    "commands_pg_c1": _flow("commands_pg_c1", 1),
    "commands_pg_c32": _flow("commands_pg_c32", 32),
    "append_sqlite": [_append()],
    "append_pg": [_append(), _with_functions(_append())],
    "load100_sqlite": [_load()],
    "load100_pg": [_load()],
    "log_read_sqlite": [_log()],
    "log_read_pg": [_log()],
    "relay_pg_w1": _drains(),
    "latency_pg": _latency(),
    "dispatch": _dispatch(),
}
KEYS: Final = tuple(_ENTRIES)
