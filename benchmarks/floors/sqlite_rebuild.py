"""A rebuild on SQLite by hand: a shadow, filled in batches with its checkpoint, renamed; the old one is dropped."""

from __future__ import annotations

import json

from benchmarks.floors import rebuild_rows
from benchmarks.floors.sqlite_project import MOVE, READ, UPSERT
from benchmarks.measured import Stopwatch
from benchmarks.places.sqlite import connect

WRITE = UPSERT.replace("basket_line", "basket_line_new", 1)
MOVE_NEW = MOVE.replace("basket_list", "basket_list_new")


def rebuild(url: str) -> Stopwatch:
    """Build the table of all events anew."""
    connection = connect(url)
    position = 0
    try:
        with Stopwatch() as watch:
            for statement in rebuild_rows.BEGIN:
                connection.execute(statement)
            while rows := connection.execute(READ, (position, rebuild_rows.EVENTS_PER_BATCH)).fetchall():
                values = []
                for at, tenant, payload in rows:
                    event = json.loads(payload)
                    values.append((tenant, event["basket_id"], event["line"], event["article"], at))
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(MOVE_NEW, (rows[-1][0], position))
                connection.executemany(WRITE, values)
                connection.execute("COMMIT")
                position = rows[-1][0]
            connection.execute("BEGIN IMMEDIATE")
            for statement in rebuild_rows.SWAP:
                connection.execute(statement)
            connection.execute("COMMIT")
            connection.execute(rebuild_rows.END)
    finally:
        connection.close()
    return watch
