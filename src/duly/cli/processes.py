"""``duly processes``: how far a tenant's processes have come, and what they have heard. A store's URL is enough."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Final, TypeAlias

import msgspec
import typer
from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from duly.cli.target import asking_for_tenant, client, guarded, is_url, plain
from duly.cli.words import moment
from duly.delivery.processes import TenantProcesses
from duly.ports.processes import PROCESS_ROWS_MAX, ProcessHistory, ProcessStepView, ProcessView
from duly.runtime.store_url import store_from_url

processes = typer.Typer(help="A tenant's processes: list, show.", no_args_is_help=True)
console = Console()
notes = Console(stderr=True)

Target: TypeAlias = Annotated[str, typer.Argument(help="module:application, or a store URL.")]
Tenant: TypeAlias = Annotated[str | None, typer.Option("--tenant", help="Whose; the application's own if left out.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="JSON to stdout, and nothing else.")]
_FOLDED: Final = "fold"


@processes.command("list")
def list_processes(
    target: Target,
    tenant: Tenant = None,
    process: Annotated[str | None, typer.Option("--process", help="Of this manager only: its stored name.")] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, max=PROCESS_ROWS_MAX, help="How many at most.")] = 50,
    after: Annotated[
        tuple[str, str] | None, typer.Option("--after", metavar="PROCESS ID", help="Go on behind this one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List processes, by manager and id; those that have ended, too."""
    found = guarded(_page(target, tenant, process, after, rows))
    if as_json:
        for view in found:
            print(msgspec.json.encode(view).decode())
    elif found:
        console.print(_processes_table(found))
    else:
        notes.print("No process fits.", highlight=False)
    if len(found) == rows:
        notes.print(f"There may be more: --after {found[-1].process} {found[-1].id}", highlight=False, markup=False)


@processes.command()
def show(
    target: Target,
    process: Annotated[str, typer.Argument(help="The stored name of its manager, the oldest one.")],
    process_id: Annotated[str, typer.Argument(metavar="ID", help="The process's key.")],
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Show what a process has heard and decided. As JSON it is a history for duly.testing.histories."""
    history = guarded(_history(target, tenant, process, process_id)).without_personal()
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(history)).decode())
    else:
        console.print(_history_page(history))


async def _page(
    target: str, tenant: str | None, process: str | None, after: tuple[str, str] | None, rows: int
) -> list[ProcessView]:
    async with _of(target, tenant) as found:
        return await found.page(process, after=after, rows_max=rows)


async def _history(target: str, tenant: str | None, process: str, process_id: str) -> ProcessHistory:
    async with _of(target, tenant) as found:
        return await found.history(process, process_id)


@asynccontextmanager
async def _of(target: str, tenant: str | None) -> AsyncIterator[TenantProcesses]:
    """A tenant's processes, by an application or a store's URL."""
    if not is_url(target):
        async with client(target) as application:
            with asking_for_tenant(tenant):
                found = application.processes(tenant)
            yield found
        return
    with asking_for_tenant(tenant):
        found = TenantProcesses(store := store_from_url(target), tenant)
    await store.open()
    try:
        await store.check_schema()
        yield found
    finally:
        await store.close()


def _processes_table(views: Sequence[ProcessView]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("Process", "Id", "Heard", "Stands", "State"):
        table.add_column(name, overflow=_FOLDED)
    for view in views:
        table.add_row(plain(view.process), plain(view.id), str(view.steps), _standing(view), _json(view.state))
    return table


def _standing(view: ProcessView) -> Text:
    if view.is_ended:
        return Text("ended", style="dim")
    return Text(f"waits, until {', '.join(view.waiting)}" if view.waiting else "waits")


def _history_page(history: ProcessHistory) -> Group:
    title = Text(f"{plain(history.process)} {plain(history.id)}", style="bold")
    return Group(title, *(_step(step) for step in history.steps))


def _step(step: ProcessStepView) -> Text:
    text = Text.assemble(
        (f"{step.number:>3}  {moment(step.at)}  ", "dim"), (plain(step.name), "cyan"), f" {_json(step.heard)}"
    )
    decision = step.decision
    lines = [f"state: {_json(decision['state'])}"]
    commands = decision["commands"]
    assert isinstance(commands, list)
    lines += [f"sends {_json(command)}" for command in commands]
    timeouts = decision["timeouts"]
    assert isinstance(timeouts, dict)
    lines += [f"sets {name}: {_json(at)}" for name, at in timeouts.items()]
    lines += ["ends"] if decision["ended"] else []
    for line in lines:
        text.append(f"\n     {line}")
    return text


def _json(value: object) -> str:
    return plain(msgspec.json.encode(value).decode())
