"""Executes one command on a new SQLite file: ``python -m benchmarks.programs.first_command URL``."""

import asyncio
import sys

from benchmarks.subjects.shop import TENANT, application, order


async def main(url: str) -> None:
    """Say ``done`` once the command is committed."""
    async with application(url) as app:
        await app.execute(order(0), tenant=TENANT)
        print("done", flush=True)


asyncio.run(main(sys.argv[1]))
