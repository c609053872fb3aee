"""``duly effects``: what a tenant's effects came to. To read, a store's URL is enough."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

import msgspec
import typer
from rich.console import Console

from duly.cli import operations
from duly.cli.effect_page import effect_page
from duly.cli.effect_tables import anomalies_table, effects_table
from duly.cli.filters import (
    Cause,
    Channel,
    DeliveryState,
    GatewayName,
    Recipient,
    Reference,
    Since,
    State,
    Type,
    Until,
    chosen,
)
from duly.cli.target import guarded, ledger
from duly.ports.ledger_view import PAGE_ROWS_MAX, Anomaly, EffectFilter, EffectPage, EffectView

effects = typer.Typer(
    help="A tenant's effects: list, show, settle, retry, resend, cancel, release.", no_args_is_help=True
)
console = Console()
notes = Console(stderr=True)

Target: TypeAlias = Annotated[str, typer.Argument(help="module:application, or a store URL.")]
Tenant: TypeAlias = Annotated[str | None, typer.Option("--tenant", help="Whose; the application's own if left out.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="JSON lines to stdout, and nothing else.")]
Rows: TypeAlias = Annotated[int, typer.Option("--rows", min=1, max=PAGE_ROWS_MAX, help="How many at most.")]

operations.add_to(effects)


@effects.command("list")
def list_effects(
    target: Target,
    tenant: Tenant = None,
    state: State = None,
    delivery: DeliveryState = None,
    channel: Channel = None,
    type_name: Type = None,
    gateway: GatewayName = None,
    recipient: Recipient = None,
    reference: Reference = None,
    cause: Cause = None,
    since: Since = None,
    until: Until = None,
    rows: Rows = 50,
    after: Annotated[str | None, typer.Option("--after", help="Go on where the page before ended.")] = None,
    as_json: AsJson = False,
) -> None:
    """List effects, the latest first."""
    wanted = chosen(state, delivery, channel, type_name, gateway, recipient, reference, cause, since, until)
    page = guarded(_page(target, tenant, wanted, after, rows))
    if as_json:
        _print_lines(page.effects)
    elif page.effects:
        console.print(effects_table(page.effects, datetime.now(UTC), console))
    else:
        notes.print("No effect fits.", highlight=False)
    if page.next is not None:
        notes.print(f"There may be more: --after {page.next}", highlight=False)


@effects.command()
def show(
    target: Target,
    effect: Annotated[str, typer.Argument(help="The effect's id.")],
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Show everything about one effect: causes, attempts, look-ups, receipts, and what people did."""
    view = guarded(_effect(target, tenant, effect))
    if as_json:
        _print_lines([view])
    else:
        console.print(effect_page(view, datetime.now(UTC)))


@effects.command()
def anomalies(target: Target, tenant: Tenant = None, rows: Rows = 50, as_json: AsJson = False) -> None:
    """List what should not have been, the latest first."""
    found = guarded(_anomalies(target, tenant, rows))
    if as_json:
        _print_lines(found)
    elif found:
        console.print(anomalies_table(found))
    else:
        notes.print("Nothing.", highlight=False)


async def _page(target: str, tenant: str | None, wanted: EffectFilter, after: str | None, rows: int) -> EffectPage:
    async with ledger(target, tenant) as view:
        return await view.page(wanted, after=after, rows_max=rows)


async def _effect(target: str, tenant: str | None, effect_id: str) -> EffectView:
    async with ledger(target, tenant) as view:
        return await view.effect(effect_id)


async def _anomalies(target: str, tenant: str | None, rows: int) -> list[Anomaly]:
    async with ledger(target, tenant) as view:
        return await view.anomalies(rows_max=rows)


def _print_lines(records: Sequence[msgspec.Struct]) -> None:
    for record in records:
        print(msgspec.json.encode(record).decode())
