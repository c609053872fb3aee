"""A worker of the shop as a process of its own.

python -m examples.shop.demo.worker --store URL --sandbox DIR --receipts URL

It says "ready" on standard output, and works until SIGTERM, SIGINT or the end of its standard input: whoever started
it holds the other end of that pipe, and takes the worker along in whatever way it ends.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from duly import DulyError
from examples.shop.application import shop
from examples.shop.sandbox.addresses import Addresses

STANDARD_INPUT = 0


async def work(store: str, sandbox: Path, receipts_url: str) -> None:
    """Keep promises and send effects until told to stop. Raises `DulyError`."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def hear() -> None:
        if not os.read(STANDARD_INPUT, 1):
            loop.remove_reader(STANDARD_INPUT)
            stopping.set()

    loop.add_reader(STANDARD_INPUT, hear)
    async with shop(store, Addresses.read(sandbox), receipts_url, worker=True):
        print("ready", flush=True)
        await stopping.wait()


def main() -> None:
    """Read the arguments and work."""
    parser = argparse.ArgumentParser(prog="python -m examples.shop.demo.worker", description=__doc__)
    parser.add_argument("--store", required=True, help="URL of the database")
    parser.add_argument(
        "--sandbox", required=True, type=Path, help="directory in which the sandbox keeps its addresses"
    )
    parser.add_argument("--receipts", required=True, help="URL at which providers report to the shop")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(work(arguments.store, arguments.sandbox, arguments.receipts))
    except DulyError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
