"""What a verb works on: an application, or a store by its URL; and how errors are told."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from duly.effects.tenant_view import TenantLedger
from duly.errors import DulyError, InvalidTenant
from duly.runtime.application import Duly
from duly.runtime.store_url import store_from_url

T = TypeVar("T")

FAILED: Final = 1
"""Exit status: duly refused it, or could not do it; the reason is told."""

errors = Console(stderr=True)


def guarded(work: Coroutine[None, None, T]) -> T:
    """Run *work*; an error of ours is told in its own words, without a traceback."""
    try:
        return asyncio.run(work)
    except DulyError as error:
        errors.print(Text.assemble((f"{type(error).__name__}: ", "red"), plain(str(error), keep="\n")))
        raise typer.Exit(FAILED) from None


def plain(text: str, *, keep: str = "") -> str:
    """*text* without what would steer a terminal: providers may have written it. Characters in *keep* may stay."""
    return "".join(character if character.isprintable() or character in keep else "\ufffd" for character in text)


def is_url(target: str) -> bool:
    """Whether *target* is a store's URL, and not an application's name."""
    return "://" in target or ":" not in target


def load_application(name: str) -> Duly:
    """The application ``module:attribute``, seen from the present folder."""
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


@asynccontextmanager
async def client(name: str) -> AsyncIterator[Duly]:
    """The application *name*, started without a worker."""
    if is_url(name):
        raise typer.BadParameter(
            f"{name!r} is no application. A store's URL is enough to read; to change something name the application, "
            "as module:application: subscribers may hear of what becomes of the effect."
        )
    found = load_application(name).as_client()
    _check_is_there(found.store_url)
    async with found:
        yield found


@asynccontextmanager
async def ledger(target: str, tenant: str | None) -> AsyncIterator[TenantLedger]:
    """A tenant's view, by an application or a store's URL."""
    if not is_url(target):
        async with client(target) as found:
            with asking_for_tenant(tenant):
                view = found.ledger(tenant)
            yield view
        return
    store = store_from_url(target)
    _check_is_there(target)
    with asking_for_tenant(tenant):
        view = TenantLedger(store, tenant)
    await store.open()
    try:
        await store.check_schema()
        yield view
    finally:
        await store.close()


@contextmanager
def asking_for_tenant(tenant: str | None) -> Iterator[None]:
    """Says how a tenant is named on the command line, when none was."""
    try:
        yield
    except InvalidTenant:
        if tenant is not None:
            raise
        raise typer.BadParameter("No tenant was named. Add --tenant NAME.") from None


def _check_is_there(url: str) -> None:
    """Reading makes no database: a file that is not there is told, not created."""
    path = url.removeprefix("sqlite:///")
    if path != url and not Path(path).exists():
        raise typer.BadParameter(f"There is no file {path!r}, seen from {Path.cwd()}. Which database is it?")
