"""R20: the workers' clocks are an hour off, and jump within their leases. Only the database's clock counts."""

from __future__ import annotations

import asyncio
from typing import Final

from duly.ports.store import Store
from duly.runtime.store_url import store_from_url
from duly.testing.process import ProcessUnderTest
from tests.reliability.scenario import Run, Scenario, Told
from tests.reliability.skewed import Skew, application

SKEWS: Final = (-1.0, 0.0, 1.0)
SECONDS_MAX: Final = 30.0
LATE_SECONDS_MAX: Final = 10.0
"""Later than any queue on a busy machine, and far earlier than a clock that is an hour off."""


async def wrong_clocks(run: Run) -> Told:
    """Reminders fall due while three workers disagree about the time."""
    history = run.history()
    lots = run.random()
    url = run.new_database()
    await application(url).migrate()
    store = store_from_url(url)
    await store.open()
    workers: list[ProcessUnderTest] = []
    try:
        for place, hours in enumerate(SKEWS):
            skew = Skew(store=url, seed=run.seed + place, hours=hours, bug=run.bug)
            workers.append(await ProcessUnderTest.start("tests.reliability.skewed", [skew.text()], history))
        await _until_shared(store)
        owners = await _buckets(store)
        reminders = run.counts["reminders"]
        for number in range(reminders):
            after_ms = lots.randrange(200, 200 + 20 * reminders)
            now = await _now_ms(store)
            await workers[number % len(workers)].ask(f"r-{number}", after_ms=after_ms, due_ms=now + after_ms)
        fired = await _until_fired(store, reminders)
        steals = sum(owners[bucket] != token for bucket, token in (await _buckets(store)).items())
    finally:
        for worker in workers:
            await worker.kill()
        await store.close()
    early = [row for row in fired if _number(row, "at_ms") < _number(row, "due_ms")]
    late = [row for row in fired if _number(row, "at_ms") > _number(row, "due_ms") + LATE_SECONDS_MAX * 1000]
    wrong = [row for row in fired if abs(_number(row, "own_ms") - _number(row, "at_ms")) > 60_000]
    ids = [str(row["id"]) for row in fired]
    found = [f"R20: {row['id']} fired early" for row in early] + [f"R20: {row['id']} fired late" for row in late]
    found += [f"R20: {one} fired {ids.count(one)} times" for one in sorted(set(ids)) if ids.count(one) != 1]
    if len(set(ids)) != reminders:
        found.append(f"R20: {reminders - len(set(ids))} of {reminders} never fired")
    if steals:
        found.append(f"R20: {steals} buckets changed hands while every worker lived")
    return Told(
        faults=len(wrong),
        figures={
            "reminders": str(reminders),
            "fired under a clock that was wrong by more than a minute": str(len(wrong)),
            "early": str(len(early)),
            "late": str(len(late)),
            "premature steals": str(steals),
        },
        violations=tuple(found),
    )


def _number(row: dict[str, object], name: str) -> int:
    return int(str(row[name]))


async def _now_ms(store: Store) -> int:
    (row,) = await store.select("SELECT duly.now_ms() AS ms", {})
    return int(str(row["ms"]))


async def _buckets(store: Store) -> dict[int, str]:
    rows = await store.select("SELECT bucket, token FROM duly.bucket", {})
    return {int(str(row["bucket"])): str(row["token"]) for row in rows}


async def _until_shared(store: Store) -> None:
    """Wait until each worker has its share of the buckets, so that no planned change of owner is left."""
    deadline = asyncio.get_running_loop().time() + SECONDS_MAX
    while True:
        rows = await store.select(
            "SELECT count(*) AS n FROM duly.bucket WHERE owner IS NOT NULL GROUP BY owner ORDER BY n", {}
        )
        if [int(str(row["n"])) for row in rows] == [10, 11, 11]:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"Waited {SECONDS_MAX} s until three workers share the buckets; they have {rows}.")
        await asyncio.sleep(0.05)


async def _until_fired(store: Store, count: int) -> list[dict[str, object]]:
    """What has fired, when everything has, or when nothing more comes."""
    deadline = asyncio.get_running_loop().time() + SECONDS_MAX + count * 0.03
    while True:
        rows = [dict(row) for row in await store.select("SELECT id, due_ms, at_ms, own_ms FROM fired", {})]
        if len(rows) >= count or asyncio.get_running_loop().time() > deadline:
            return rows
        await asyncio.sleep(0.05)


R20: Final = Scenario(
    id="R20",
    title="workers' clocks an hour off, jumping inside leases",
    scene=wrong_clocks,
    stores=("postgres",),
    tier_1={"reminders": 20},
    tier_2={"reminders": 1_000},
    revert={"reminders": 60},
    bugs=("times_are_the_workers_own",),
)
