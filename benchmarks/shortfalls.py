"""What stands between ours and a target that is not reached, by key: where the time goes, and what was tried.

Written by hand, from profiles; the figures beside it are the harness's. A key that is missed needs a cause here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SHORTFALLS: Final[Mapping[str, str]] = {
    "commands_sqlite_c1": (
        "Of some 105 µs, 26 are the unit of work (handlers, ids, encoding), some 50 SQLite with its script, "
        "and the rest are two hops between the event loop and the writer's thread, each 7 to 17 µs of waking. "
        "Tried: an eventfd of our own (0.6 µs), other pragmas and page sizes (nothing). The floor has neither "
        "a loop nor a thread."
    ),
    "commands_sqlite_c32": (
        "26 µs the unit of work, some 33 SQLite with its script, under one interpreter lock. Commits are "
        "shared; what is left is work for each row. Tried: savepoints always (a third dearer), half batches "
        "side by side (no quicker)."
    ),
    "append_sqlite_10": ("Ten envelopes are made, encoded and checked for one commit."),
    "relay_sqlite_w1": (
        "The floor reads and deletes 500 rows by one statement and calls nobody. Ours runs a handler in a "
        "unit of work for each message, writes its document and deletes its row: some 35 to 45 µs a message, "
        "of which SQLite takes about half."
    ),
    "relay_one_key_sqlite": (
        "One message at a time: each waits for its own commit and for two hops between threads, which nobody shares."
    ),
    "effects_sqlite": (
        "36 of some 50 µs are SQLite's: two writes of the effect and of its attempt, 55 pages a turn, half of "
        "them of the attempts' text key. ADR-0013 says what was tried; an integer key was not."
    ),
    "effects_http_sqlite": ("The HTTP client is 85 to 90 % of a core on both sides; the ledger has the rest of it."),
    "latency_sqlite_one_process": (
        "The commit, a look at the outbox, the handler's commit: three hops to threads of SQLite, where the "
        "floor has one and a function call."
    ),
    "project_sqlite": (
        "5.8 µs an event: it is decoded into an object, the handler is called, its statements are gathered. "
        "Reader, handler and writer share one interpreter lock."
    ),
    "commands_pg_c1": (
        "Of some 165 µs, 85 are the client's (26 the unit of work, 35 the commit with asyncpg and its task, "
        "the rest wakes on cold caches) and 75 the server's: `commit_unit` runs eight statements. Tried: the "
        "set-based function for one change (some 20 µs dearer on the server), rows as columns or as JSON "
        "(dearer on one side or the other). A lone command has nobody to share with."
    ),
    "commands_pg_c32": (
        "The one client process is full: 47 µs of its processor a command (26 the unit of work, 16 the "
        "commit), where the floor needs 9. The server spends less than for the floor, since commits are "
        "shared. Tried: one leader, three, four (slower), batches of 16 (no difference). Two processes are "
        "the way on, if the server has cores of its own."
    ),
    "append_pg": ("One client process, some 37 µs an append; the server spends less than for the floor."),
    "append_pg_10": (
        "The client again: 8 µs an event for its envelope, id, encoding and the check that it can be read."
    ),
    "relay_pg_w1": (
        "The floor deletes 500 rows by one statement and calls nobody. Ours: 31 µs of the client a message "
        "(decode, unit of work, change) and 27 of the server. Commits are shared, 0.27 round trips a message. "
        "Tried: 64 deliveries at once (10 % less, but handlers with SQL of their own would wait for "
        "connections)."
    ),
    "relay_one_key_pg": (
        "One message at a time: each waits for its own commit, as a lone command does (`commands_pg_c1`)."
    ),
    "effects_pg": (
        "Two updates of an effect and two rows of its attempt, some 90 µs of the server in one session, which "
        "the client waits for. ADR-0013 says what was tried; a narrow row beside the effect, and turns that "
        "overlap, were not."
    ),
    "effects_http_pg": (
        "The HTTP client is 85 to 90 % of a core on both sides; the turns with the ledger have the rest of it."
    ),
    "latency_pg": (
        "The floor tells inside of its commit, so that its reader hears before the writer does. Ours tells "
        "behind the commit, then looks at the outbox and starts the handler: three round trips where the "
        "floor has half a one. Above 250 commits/s they are told of together, each 20 ms at most."
    ),
    "log_read_pg": (
        "0.6 µs of the client an event, but the server: a look-up of personal fields for each, 0.3 of 1.1 µs, "
        "and wider rows. A mark on messages without any would save the look-up; not built."
    ),
    "growth_subscribers_pg": (
        "With one subscriber it is a lone command (`commands_pg_c1`); with a hundred, half of the floor is reached."
    ),
    "dispatch": (
        "24 µs in some 120 Python frames: ids and digest 2.6, the proof that what was encoded can be read "
        "3.8, the rest spread thin. It was 43; what can be known at the start is made there."
    ),
}
