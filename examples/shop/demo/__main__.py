"""Play the story: python -m examples.shop.demo [--store sqlite|postgresql] [--json FILE] [--orders 200]

The exit status is 0 if everything is as promised, 1 if not, and 2 if the story could not be played to its end.
"""

import argparse
import asyncio
import logging
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from duly import DulyError
from duly.testing.postgres_server import PostgresDidNotStart, PostgresServer
from examples.shop.application import shop
from examples.shop.demo.facts import Facts
from examples.shop.demo.outcome import Outcome, judge
from examples.shop.demo.plan import ORDERS_MAX, ORDERS_MIN, make_plan
from examples.shop.demo.receiving import Receiver
from examples.shop.demo.report import report
from examples.shop.demo.stage import Stage
from examples.shop.demo.story import NothingInFlight, play
from examples.shop.demo.telling import Telling
from examples.shop.demo.workers import WorkerDied, Workers
from examples.shop.sandbox.client import Sandbox, SandboxDidNotStart, Settings, start

WIDTH_WITHOUT_TERMINAL = 100


async def run(store: str, world: Sandbox, orders: int, telling: Telling, logs: Path) -> Outcome:
    """Play the story on the database at URL *store* and judge it."""
    story = asyncio.current_task()
    assert story is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, story.cancel)
    begun = time.monotonic()
    plan, facts, receiver = make_plan(orders), Facts(), Receiver()
    await shop(store, world.addresses, receiver.url, worker=False).migrate()
    async with (
        shop(store, world.addresses, receiver.url, worker=False) as app,
        shop(store, world.addresses, receiver.url, worker=False) as second_app,
        receiver.serving(app),
    ):
        world.set_settings(Settings(webhook_url=f"{receiver.url}/billing"))
        with Workers(store, world.directory, receiver.url, logs) as workers, telling.live():
            stage = Stage(app, second_app, store=store, world=world, workers=workers, telling=telling, facts=facts)
            await play(stage, plan)
        return judge(plan, facts, store=store.partition(":")[0], seconds=time.monotonic() - begun)


@contextmanager
def database(kind: str, directory: Path) -> Iterator[str]:
    """The URL of a database that is new."""
    if kind == "sqlite":
        yield f"sqlite:///{directory / 'shop.db'}"
        return
    with PostgresServer() as server:
        yield server.create_database()


def main() -> int:
    """Read the arguments, play, report."""
    arguments = _arguments()
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_WITHOUT_TERMINAL)
    directory = arguments.directory or Path(tempfile.mkdtemp(prefix="duly-demo-"))
    directory.mkdir(parents=True, exist_ok=True)
    directory = directory.resolve()
    if any(directory.iterdir()):
        sys.exit(f"{directory} is not empty: its database and records would mix with those of this run. Name another.")
    logging.basicConfig(
        filename=directory / "shop.log", format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING
    )
    is_kept = True
    try:
        with start(directory / "world") as world, database(arguments.store, directory) as store:
            outcome = asyncio.run(run(store, world, arguments.orders, Telling(console), directory))
        report(console, outcome)
        if arguments.json is not None:
            outcome.write(arguments.json)
        is_kept = arguments.directory is not None or not outcome.is_as_promised
        return 0 if outcome.is_as_promised else 1
    except (DulyError, NothingInFlight, WorkerDied, SandboxDidNotStart, PostgresDidNotStart) as error:
        console.print("[bold red]The story ended before its time.[/]", f"{type(error).__name__}: {escape(str(error))}")
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        is_kept = arguments.directory is not None
        console.print("Stopped.")
        return 130
    finally:
        if is_kept:
            console.print(f"The database, logs and records of this run are in {directory}", highlight=False)
        else:
            shutil.rmtree(directory, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.shop.demo", description=__doc__)
    parser.add_argument(
        "--store", choices=("sqlite", "postgresql", "postgres"), default="sqlite", help="where the shop keeps its data"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcome there, for a program")
    parser.add_argument("--orders", type=int, default=200, help=f"how many, {ORDERS_MIN} to {ORDERS_MAX} (200)")
    parser.add_argument("--directory", type=Path, help="keep database, logs and records there; must be empty or new")
    arguments = parser.parse_args()
    if not ORDERS_MIN <= arguments.orders <= ORDERS_MAX:
        parser.error(f"--orders is {arguments.orders}; it must be {ORDERS_MIN} to {ORDERS_MAX}")
    if arguments.json is not None and not arguments.json.parent.is_dir():
        parser.error(f"--json: there is no directory {arguments.json.parent}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
