"""The verbs of the command line."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from typing import Annotated

import typer
from rich.console import Console

from duly.cli import archives, replays
from duly.cli.effects import effects
from duly.cli.processes import processes
from duly.cli.projections import projections
from duly.cli.target import guarded, is_url, load_application
from duly.runtime.store_url import store_from_url

app = typer.Typer(help="duly: one command has consequences, and they are duly done.", no_args_is_help=True)
app.add_typer(effects, name="effects")
app.add_typer(projections, name="projections")
app.add_typer(processes, name="processes")
replays.add_to(app)
archives.add_to(app)
console = Console()


@app.callback()
def _root() -> None:
    """Verbs are below."""


@app.command()
def migrate(
    target: Annotated[str, typer.Argument(help="A store URL, or module:application to create its own tables too.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Bring a database's schema up to date."""
    done = guarded(_migrate(target))
    if as_json:
        print(json.dumps({"target": target, "done": done}))
        return
    for line in done:
        console.print(f"[green]✓[/green] {line}")
    if not done:
        console.print("Nothing to do: the schema is up to date.")


@app.command()
def worker(
    application: Annotated[str, typer.Argument(help="module:application, for instance shop.application:app")],
) -> None:
    """Keep promises and send effects until told to stop (SIGTERM, Ctrl-C)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    guarded(_work(application))


async def _migrate(target: str) -> list[str]:
    if not is_url(target):
        return await load_application(target).migrate()
    store = store_from_url(target)
    await store.open()
    try:
        return await store.migrate(())
    finally:
        await store.close()


async def _work(name: str) -> None:
    application = load_application(name)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with application.as_worker():
        console.print(f"Working on {application.store_url}. Stop with Ctrl-C.")
        await stop.wait()
        console.print("Stopping: begun work comes to its end.")
