"""The verbs of the command line."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from duly.errors import DulyError
from duly.runtime.application import Duly
from duly.runtime.store_url import store_from_url

app = typer.Typer(help="duly: one command has consequences, and they are duly done.", no_args_is_help=True)
console = Console()

T = TypeVar("T")


@app.callback()
def _root() -> None:
    """Verbs are below."""


@app.command()
def migrate(
    target: Annotated[str, typer.Argument(help="A store URL, or module:application to create its own tables too.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Bring a database's schema up to date."""
    done = _guarded(_migrate(target))
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
    _guarded(_work(application))


async def _migrate(target: str) -> list[str]:
    if "://" not in target and ":" in target:
        return await _application(target).migrate()
    store = store_from_url(target)
    await store.open()
    try:
        return await store.migrate(())
    finally:
        await store.close()


async def _work(name: str) -> None:
    application = _application(name)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with application.as_worker():
        console.print(f"Working on {application.store_url}. Stop with Ctrl-C.")
        await stop.wait()
        console.print("Stopping: begun work comes to its end.")


def _application(name: str) -> Duly:
    module_name, _, attribute = name.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        found: object = getattr(importlib.import_module(module_name), attribute or "app")
    except (ImportError, AttributeError) as error:
        raise typer.BadParameter(
            f"{name!r} cannot be loaded: {error}. Name it as module:attribute, seen from {Path.cwd()}."
        ) from None
    if callable(found) and not isinstance(found, Duly):
        found = found()
    if not isinstance(found, Duly):
        raise typer.BadParameter(f"{name!r} is a {type(found).__name__}, not a Duly application.")
    return found


def _guarded(work: Coroutine[None, None, T]) -> T:
    """Run *work*; an error of ours is told in its own words, without a traceback."""
    try:
        return asyncio.run(work)
    except DulyError as error:
        Console(stderr=True).print(f"[red]{type(error).__name__}:[/red] {error}", highlight=False)
        raise typer.Exit(1) from None
