"""``duly replay`` and ``duly backfill``: what a subscriber would do with the past, and letting it hear the past."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from duly.cli.filters import moment_of
from duly.cli.operations import AsJson, By, Reason, Yes
from duly.cli.orders import confirm
from duly.cli.target import asking_for_tenant, client, guarded, plain
from duly.cli.words import moment
from duly.delivery.dry_run import DryRun
from duly.delivery.replay import Replay
from duly.ports.replay import Backfill, PastCount
from duly.runtime.application import Duly

Application: TypeAlias = Annotated[str, typer.Argument(help="module:application.")]
Subscriber: TypeAlias = Annotated[str, typer.Argument(help="Its stored name, such as communications.text_customer.")]
Tenant: TypeAlias = Annotated[str | None, typer.Option("--tenant", help="Whose; the application's own if left out.")]
Since: TypeAlias = Annotated[
    str | None, typer.Option("--since", help="Committed since: 2026-01-31, 2026-01-31T10:00+01:00, or 2h, 3d ago.")
]
Until: TypeAlias = Annotated[str | None, typer.Option("--until", help="Committed before; as --since.")]
EvenIfHeard: TypeAlias = Annotated[
    bool, typer.Option("--even-if-heard", help="Also what it heard before. Effects are not made twice; the rest is.")
]

output = Console()
notes = Console(stderr=True)


def add_to(group: typer.Typer) -> None:
    """Add the verbs to *group*."""
    for verb in (replay, backfill):
        group.command()(verb)


def replay(
    application: Application,
    subscriber: Subscriber,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Have it handle each message, and commit nothing.")
    ] = False,
    tenant: Tenant = None,
    since: Since = None,
    until: Until = None,
    even_if_heard: EvenIfHeard = False,
    as_json: AsJson = False,
) -> None:
    """Count the past of a subscriber, or what it would do with it. Nothing is done."""
    chosen = _Chosen(application, subscriber, tenant, since, until, even_if_heard)
    guarded(_look(chosen, dry_run, as_json))


def backfill(
    application: Application,
    subscriber: Subscriber,
    *,
    by: By,
    reason: Reason,
    tenant: Tenant = None,
    since: Since = None,
    until: Until = None,
    even_if_heard: EvenIfHeard = False,
    resume: Annotated[bool, typer.Option("--resume", help="Only go on with one that was cut short.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Count the past of a subscriber, ask, and promise it: a worker delivers it like everything else."""
    chosen = _Chosen(application, subscriber, tenant, since, until, even_if_heard)
    guarded(_backfill(chosen, by, reason, resume, yes, as_json))


class _Chosen(msgspec.Struct, frozen=True):
    """The past that the options name."""

    application: str
    subscriber: str
    tenant: str | None
    since: str | None
    until: str | None
    even_if_heard: bool

    def of(self, app: Duly) -> Replay:
        now = datetime.now(UTC)
        with asking_for_tenant(self.tenant):
            return app.replay(
                self.subscriber,
                tenant=self.tenant,
                since=None if self.since is None else moment_of(self.since, now),
                until=None if self.until is None else moment_of(self.until, now),
                even_if_heard=self.even_if_heard,
            )


async def _look(chosen: _Chosen, dry_run: bool, as_json: bool) -> None:
    async with client(chosen.application) as app:
        past = chosen.of(app)
        if dry_run:
            with _bar("dry run") as tell:
                tried = await past.dry_run(on_progress=tell)
            _show(tried, as_json, lambda: _tried(tried))
            return
        counted = await past.count()
        _show(counted, as_json, lambda: _counted(counted))


async def _backfill(chosen: _Chosen, by: str, reason: str, resume: bool, yes: bool, as_json: bool) -> None:
    async with client(chosen.application) as app:
        past = chosen.of(app)
        if resume:
            with _bar("backfill") as tell:
                resumed = await past.resume(on_progress=tell)
            if resumed is None:
                notes.print(f"{past.subscriber} has no backfill that was cut short.", highlight=False)
            else:
                _show(resumed, as_json, lambda: _promised(resumed))
            return
        counted = await past.count()
        (notes if as_json else output).print(_counted(counted))
        if not counted.messages:
            notes.print("There is nothing to promise.", highlight=False)
            return
        confirm(f"Promise {_messages(counted.messages)} to {past.subscriber}?", yes=yes)
        with _bar("backfill") as tell:
            done = await past.backfill(counted, by=by, reason=reason, on_progress=tell)
        _show(done, as_json, lambda: _promised(done))


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal; nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _show(result: PastCount | DryRun | Backfill, as_json: bool, table: Callable[[], Table | Text]) -> None:
    if as_json:
        print(msgspec.json.encode(result).decode())
    else:
        output.print(table())


def _counted(counted: PastCount) -> Table:
    table = _facts()
    table.add_row("past", _messages(counted.messages))
    _add(table, "by type", counted.by_name)
    if counted.first_at is not None and counted.last_at is not None:
        table.add_row("committed", f"{moment(counted.first_at)} to {moment(counted.last_at)} UTC")
    if counted.heard:
        table.add_row("left out", f"{_messages(counted.heard)} that it heard, or will (--even-if-heard takes them in)")
    table.add_row("hears", f"by itself since {moment(counted.began_at)} UTC")
    return table


def _tried(tried: DryRun) -> Table:
    table = _facts()
    table.add_row("dry run", f"{_messages(tried.messages)} to {plain(tried.subscriber)}; nothing was done")
    for effect in tried.effects:
        parts = [f"{effect.new:,} new"]
        if effect.known:
            parts.append(f"{effect.known:,} in the ledger already")
        if effect.differing:
            parts.append(f"{effect.differing:,} in the ledger already, with another body")
        table.add_row("effects", Text(f"{plain(effect.type)}: {', '.join(parts)}"))
    _add(table, "commands", tried.commands)
    _add(table, "events", tried.events)
    _add(table, "public events", tried.public_events)
    _add(table, "documents", tried.documents)
    for error in tried.errors:
        table.add_row("errors", Text(f"{error.count:,} {plain(error.error)}, as {plain(error.example)}", style="red"))
    return table


def _promised(done: Backfill) -> Text:
    return Text.assemble(
        ("✓ ", "green"), f"{_messages(done.promised)} promised, asked for by {plain(done.by)}. A worker delivers them."
    )


def _facts() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _add(table: Table, what: str, counts: Iterable[tuple[str, int]]) -> None:
    shown = ", ".join(f"{plain(name)} {number:,}" for name, number in counts)
    if shown:
        table.add_row(what, Text(shown))


def _messages(number: int) -> str:
    return "1 message" if number == 1 else f"{number:,} messages"
