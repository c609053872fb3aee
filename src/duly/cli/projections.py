"""``duly projections``: how far read models have come, and building them anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, TypeAlias

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from duly.cli.target import client, guarded, is_url, load_application, plain
from duly.cli.words import NOTHING
from duly.delivery.projection_view import ProjectionState, ProjectionView
from duly.delivery.rebuild import RebuildPhase, RebuildProgress, Rebuilt

projections = typer.Typer(help="Read models: list, rebuild.", no_args_is_help=True)
output = Console()
notes = Console(stderr=True)

Application: TypeAlias = Annotated[str, typer.Argument(help="module:application.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="JSON lines to stdout, and nothing else.")]

STYLES = {
    ProjectionState.CURRENT: "green",
    ProjectionState.IN_TRANSACTION: "green",
    ProjectionState.FAILING: "bold red",
    ProjectionState.OUTDATED: "bold yellow",
    ProjectionState.WAITING: "yellow",
    ProjectionState.BUILDING: "cyan",
    ProjectionState.OLD: "dim",
}


@projections.command("list")
def list_projections(application: Application, as_json: AsJson = False) -> None:
    """List projections: how far each has come, and why it stands still if it does."""
    views = guarded(_views(application))
    if as_json:
        for view in views:
            print(msgspec.json.encode(view).decode())
    elif views:
        output.print(_table(views))
    else:
        notes.print("This application has no projection.", highlight=False)


@projections.command()
def rebuild(
    application: Application,
    projection: Annotated[str, typer.Argument(help="Its name.")],
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin at the first event, also where one was interrupted.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build a projection anew beside the one that is read, then put it in its place. Readers notice nothing."""
    if is_url(application):
        raise typer.BadParameter(f"{application!r} is no application: name it as module:application.")
    rebuilt = guarded(_rebuild(application, projection, fresh, as_json))
    if not as_json:
        again = f", gone on with from position {rebuilt.resumed_at:,}" if rebuilt.resumed_at else ""
        output.print(
            Text.assemble(
                ("✓ ", "green"),
                f"{rebuilt.projection} is built anew: generation {rebuilt.generation}, "
                f"{rebuilt.position:,} positions in {rebuilt.took.total_seconds():,.1f} s{again}.",
            )
        )


async def _views(application: str) -> list[ProjectionView]:
    async with client(application) as app:
        return await app.projections()


async def _rebuild(application: str, projection: str, fresh: bool, as_json: bool) -> Rebuilt:
    # Not started: a start may be refused for want of this very rebuild.
    app = load_application(application)
    if as_json:
        return await app.rebuild(projection, fresh=fresh, on_progress=_print_line)
    with _bar(projection) as tell:
        return await app.rebuild(projection, fresh=fresh, on_progress=tell)


@contextmanager
def _bar(projection: str) -> Iterator[Callable[[RebuildProgress], None]]:
    """A progress bar on a terminal; elsewhere a line for each phase."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"))
    last: RebuildPhase | None = None
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as progress:
        task = progress.add_task(projection, total=None, pace="")

        def tell(told: RebuildProgress) -> None:
            nonlocal last
            pace = f"{told.rate:,.0f}/s {_left(told.left)}"
            description = f"{projection}: {told.phase.value}"
            progress.update(task, description=description, completed=told.done, total=told.total, pace=pace)
            if told.phase is not last and not notes.is_terminal:
                notes.print(f"{description}, {told.done:,} of {told.total:,} positions", highlight=False)
            last = told.phase

        yield tell


def _left(left: timedelta | None) -> str:
    return "" if left is None else f"{timedelta(seconds=round(left.total_seconds()))} left"


def _print_line(told: RebuildProgress) -> None:
    print(msgspec.json.encode(told).decode(), flush=True)


def _table(views: list[ProjectionView]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name, justify in (("Projection", "left"), ("Generation", "right"), ("State", "left"), ("Position", "right")):
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True)
    table.add_column("Behind", justify="right")
    table.add_column("Why it stands still", overflow="fold")
    for view in views:
        state = Text(view.state.value, style=STYLES.get(view.state, ""))
        if view.attempts:
            state.append(f", {view.attempts} attempts", style="default not bold")
        table.add_row(
            plain(view.name),
            str(view.generation),
            state,
            f"{view.position:,}",
            f"{view.lag:,}" if view.lag else NOTHING,
            Text(plain(view.reason)),
        )
    return table
