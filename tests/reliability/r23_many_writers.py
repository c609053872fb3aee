"""R23: eight processes write one SQLite file at the same time, and each comes to its turn."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from contextlib import closing
from typing import Final

import msgspec

from duly.runtime.store_url import store_from_url
from tests.reliability.competing import SECOND, Options, Window, Written
from tests.reliability.scenario import Run, Scenario, Told

PROCESSES: Final = 8
LINE_BYTES_MAX: Final = 2**26


async def many_writers(run: Run) -> Told:
    """In each round all of them write for the same while."""
    found: list[str] = []
    ratios: list[float] = []
    waits: list[float] = []
    commits = busy = 0
    for number in range(run.counts["rounds"]):
        store = run.new_database()
        results = await _round(run, store)
        shares = sorted(one.commits for one in results)
        ratios.append(shares[0] / max(1, shares[-1]))
        commits += sum(shares)
        busy += sum(one.busy for one in results)
        waits += [wait for one in results for wait in one.waits_ms]
        found += [f"round {number}: {one.name}: {said}" for one in results for said in one.failed]
        there = _documents(store)
        written = sum(len(one.waits_ms) for one in results)
        if there != written:
            found.append(f"round {number}: {written} changes were acknowledged, and {there} are there")
        if ratios[-1] * 100 < run.counts["fair_percent"]:
            found.append(
                f"round {number}: the slowest of {PROCESSES} has written {shares[0]}, the fastest {shares[-1]}"
            )
    if busy:
        found.append(f"{busy} changes were told that the database is busy")
    waits.sort()
    return Told(
        faults=commits,
        figures={
            "changes in competition": f"{commits:,}",
            "busy errors": str(busy),
            "slowest / fastest process, the worst round": f"{min(ratios):.2f}",
            "changes per second": f"{commits / (run.counts['milliseconds'] / 1_000 * run.counts['rounds']):,.0f}",
            "p99 of a commit (ms)": f"{waits[int(len(waits) * 0.99)] if waits else 0:.0f}",
            "longest (ms)": f"{waits[-1] if waits else 0:.0f}",
        },
        violations=tuple(found),
    )


async def _round(run: Run, store: str) -> list[Written]:
    first = store_from_url(store)
    await first.open()
    await first.migrate([])
    await first.close()
    writers = await asyncio.gather(*(_start(run, store, f"w{number}") for number in range(PROCESSES)))
    begins = time.monotonic_ns() + SECOND // 10
    window = Window(begins=begins, ends=begins + run.counts["milliseconds"] * 1_000_000)
    return list(await asyncio.gather(*(_write(writer, window) for writer in writers)))


async def _start(run: Run, store: str, name: str) -> asyncio.subprocess.Process:
    options = Options(store=store, name=name, in_flight=run.counts["in_flight"], bug=run.bug)
    writer = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.reliability.competing",
        msgspec.json.encode(options).decode(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
    )
    assert writer.stdout is not None
    assert (await writer.stdout.readline()).strip() == b"ready"
    return writer


async def _write(writer: asyncio.subprocess.Process, window: Window) -> Written:
    said, _ = await writer.communicate(msgspec.json.encode(window) + b"\n")
    return msgspec.json.decode(said, type=Written)


def _documents(store: str) -> int:
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as file:
        ((count,),) = file.execute("SELECT count(*) FROM duly_document").fetchall()
        return int(count)


R23: Final = Scenario(
    id="R23",
    title="eight processes write one SQLite file",
    scene=many_writers,
    tier_1={"rounds": 1, "milliseconds": 1_500, "in_flight": 4, "fair_percent": 10},
    tier_2={"rounds": 6, "milliseconds": 5_000, "in_flight": 4, "fair_percent": 50},
    revert={"rounds": 1, "milliseconds": 4_000, "in_flight": 4, "fair_percent": 50},
    stores=("sqlite",),
    bugs=("writers_wait_as_sqlite_does",),
)
