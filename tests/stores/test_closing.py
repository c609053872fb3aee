"""A store that is closed while somebody reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CANCELLED_READS = """
import asyncio, sys

from duly.stores.sqlite import SqliteStore

LONG = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT count(i) AS c FROM n"


async def main() -> None:
    for _ in range(10):
        store = SqliteStore(sys.argv[1])
        await store.open()
        await store.migrate([])
        reads = [asyncio.create_task(store.select(LONG, {})) for _ in range(8)]
        await asyncio.sleep(0)  # all of them have begun, and none has ended
        await store.select("SELECT 1 AS one", {})
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)
        await store.close()


asyncio.run(main())
print("closed")
"""


def test_a_store_that_is_closed_under_reads_that_were_cancelled_does_not_end_the_process(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", CANCELLED_READS, str(tmp_path / "closing.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "closed\n"), run.stderr
