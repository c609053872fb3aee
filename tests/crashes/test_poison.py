"""R26, smallest: a message that ends the process of whoever handles it is counted and parked, and the rest goes on."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.crashes.poisoned import POISONED, RETRY, TENANT, Say, application

ROOMS = [f"room-{number:02}" for number in range(30)]


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'rooms.db'}"
    else:
        yield request.getfixturevalue("postgres_server").create_database()


async def heard(store: str) -> dict[str, str]:
    """What was heard in each room, as it lies in the database."""
    query = "SELECT id, body FROM {}document WHERE type LIKE '%Heard'"
    if store.startswith("sqlite"):
        connection = sqlite3.connect(store.removeprefix("sqlite:///"))
        try:
            return dict(connection.execute(query.format("duly_")).fetchall())
        finally:
            connection.close()
    database: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(store)
    try:
        return {row[0]: row[1] for row in await database.fetch(query.format("duly."))}
    finally:
        await database.close()


async def run_worker(store: str) -> int:
    """Let a worker run until it has nothing left to do, or has died; its status."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.crashes.poisoned", store, env={**os.environ}
    )
    try:
        async with asyncio.timeout(60):
            return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_message_that_kills_its_worker_is_parked_and_all_others_are_handled_in_order(store: str) -> None:
    app = application(store, worker=False)
    if store.startswith("postgres"):
        await app.migrate()
    async with app:
        for room in (*ROOMS[:15], POISONED, *ROOMS[15:]):
            await app.execute(Say(room=room, count=3), tenant=TENANT)

    deaths = 0
    while (status := await run_worker(store)) != 0:
        assert status == -9
        deaths += 1
        assert deaths < 10, "the poison is never parked"

    # The first death is not counted: nobody was careful then. Each of the others was an attempt.
    assert deaths == 1 + RETRY.attempts_max
    async with application(store, worker=False) as later:
        (parked,) = await later.parked(TENANT)
    assert (parked.attempts, parked.lane) == (RETRY.attempts_max, f"{TENANT}/Room/{POISONED}")
    assert "The worker was lost" in parked.reason
    notes = await heard(store)
    assert {room: body for room, body in notes.items() if "[0,1,2]" not in body} == {POISONED: notes[POISONED]}, (
        "what follows the poison in its lane is handled, and nobody else has missed anything"
    )
    assert "[1,2]" in notes[POISONED]
    assert sorted(notes) == sorted([*ROOMS, POISONED])
