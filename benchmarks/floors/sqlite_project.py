"""A projection on SQLite by hand: read 500 events, upsert a row for each, move the checkpoint; one transaction."""

from __future__ import annotations

import json

from benchmarks.floors.project_rows import EVENTS_PER_BATCH, TABLES, payloads
from benchmarks.measured import Stopwatch
from benchmarks.places.sqlite import connect

READ = "SELECT position, tenant, payload FROM event WHERE position > ? ORDER BY position LIMIT ?"
UPSERT = """
INSERT INTO basket_line (tenant, basket_id, line, article, position) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (tenant, basket_id, line) DO UPDATE SET article = excluded.article, position = excluded.position
"""
MOVE = "UPDATE checkpoint SET position = ? WHERE name = 'basket_list' AND position = ?"


def fill(url: str, count: int) -> None:
    """Put *count* events into a new database."""
    connection = connect(url)
    try:
        for table in TABLES:
            connection.execute(table.format(serial="INTEGER PRIMARY KEY AUTOINCREMENT"))
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO event (tenant, payload) VALUES (?, ?)", payloads(count))
        connection.execute("COMMIT")
    finally:
        connection.close()


def project(url: str) -> Stopwatch:
    """Project all events."""
    connection = connect(url)
    position = 0
    try:
        with Stopwatch() as watch:
            while rows := connection.execute(READ, (position, EVENTS_PER_BATCH)).fetchall():
                values = []
                for at, tenant, payload in rows:
                    event = json.loads(payload)
                    values.append((tenant, event["basket_id"], event["line"], event["article"], at))
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(MOVE, (rows[-1][0], position))
                connection.executemany(UPSERT, values)
                connection.execute("COMMIT")
                position = rows[-1][0]
    finally:
        connection.close()
    return watch
