"""``duly archive``: the events of finished aggregates leave the table of messages, and stay in the log."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from duly.cli.operations import Application, AsJson, By, Reason, Tenant
from duly.cli.target import asking_for_tenant, client, guarded, plain
from duly.delivery.archiving import Archived

REFUSED: Final = 4
"""Exit status: some of it had to stay."""

output = Console()


def add_to(group: typer.Typer) -> None:
    """Add the verb to *group*."""
    group.command()(archive)


def archive(
    application: Application,
    type_name: Annotated[str, typer.Argument(metavar="TYPE", help="The stored name of the type of aggregates: Order.")],
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="The aggregates, by their ids.")],
    *,
    by: By,
    reason: Reason,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Put the events of finished aggregates away, compressed. They stay in the log, and it may be repeated."""
    done = guarded(_archive(application, type_name, ids, by, reason, tenant))
    for archived in done:
        if as_json:
            print(msgspec.json.encode(archived).decode())
        else:
            output.print(_told(archived), soft_wrap=True)
    if any(archived.refused for archived in done):
        raise typer.Exit(REFUSED)


async def _archive(
    application: str, type_name: str, ids: list[str], by: str, reason: str, tenant: str | None
) -> list[Archived]:
    async with client(application) as app:
        with asking_for_tenant(tenant):
            app.ledger(tenant)
        return await app.archive(type_name, ids, tenant=tenant, by=by, reason=reason)


def _told(archived: Archived) -> Text:
    events = "1 event" if archived.events == 1 else f"{archived.events:,} events"
    told = f"{plain(archived.stream)}: {events} put away"
    if archived.refused:
        return Text.assemble(("- ", "yellow"), f"{told}; {plain(archived.refused)}")
    return Text.assemble(("✓ ", "green"), told)
