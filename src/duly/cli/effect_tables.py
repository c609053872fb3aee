"""Effects, plans and anomalies as tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from duly.cli.target import plain
from duly.cli.words import moment, next_words, state_text
from duly.ports.ledger_view import Anomaly, EffectView
from duly.ports.operations import Plan

ID_CHARACTERS: Final = 36
WIDE: Final = 110
"""From this width on there is room for what an effect says."""


def effects_table(views: Sequence[EffectView], now: datetime, console: Console) -> Table:
    """A page of effects: when and to whom over the id, then its state, then what comes next."""
    is_wide = console.width >= WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=True)
    table.add_column("Effect", width=ID_CHARACTERS, overflow="fold")
    if is_wide:
        table.add_column("Summary", ratio=4, overflow="fold")
    table.add_column("State", ratio=5, overflow="fold")
    table.add_column("Next", ratio=3)
    for view in views:
        about = Text(f"{moment(view.requested_at)[:16]} {plain(view.channel)} ")
        about.append(plain(view.recipient), style="bold")
        about.append(f"\n{view.id}", style="cyan")
        cells: list[RenderableType] = [about, state_text(view), next_words(view, now)]
        if is_wide:
            cells.insert(1, Text(plain(view.summary)))
        table.add_row(*cells)
    return table


def plan_table(plan: Plan) -> Group:
    """What a plan has counted."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    for name, counts in (("state", plan.by_state), ("type", plan.by_type), ("gateway", plan.by_gateway)):
        table.add_row(f"by {name}", Text(", ".join(f"{plain(what)} {number:,}" for what, number in counts)))
    table.add_row("requested", f"{moment(plan.oldest)} to {moment(plan.newest)} UTC")
    table.add_row("plan", plan.token)
    return Group(Text(f"{effects_in_words(plan.count)} to {plan.verb.value}", style="bold"), table)


def effects_in_words(number: int) -> str:
    """So many effects."""
    return "1 effect" if number == 1 else f"{number:,} effects"


def anomalies_table(anomalies: Sequence[Anomaly]) -> Table:
    """What should not have been."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=True)
    table.add_column("When, about", width=ID_CHARACTERS, overflow="fold")
    table.add_column("What", ratio=1, overflow="fold")
    for anomaly in anomalies:
        about = Text(moment(anomaly.at))
        about.append(f"\n{plain(anomaly.about)}", style="cyan")
        what = Text(plain(anomaly.kind), style="bold yellow")
        what.append(f"\n{plain(anomaly.detail)}", style="default not bold")
        table.add_row(about, what)
    return table
