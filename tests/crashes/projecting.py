"""A worker that keeps tallies and is killed: ``python -m tests.crashes.projecting URL FAILPOINT HIT_NUMBER``."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from duly import Duly, Settings
from duly.testing.failures import exit_at
from tests.scenarios.tallies import module

SETTINGS = Settings(projection_events_max=7, poll_interval=timedelta(milliseconds=20), lease=timedelta(seconds=1))


async def main(url: str, failpoint: str, hit_number: int) -> None:
    async with Duly(modules=module(), store=url, settings=SETTINGS) as app:
        exit_at(failpoint, hit_number=hit_number)
        await app.until_quiet()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
