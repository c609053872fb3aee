"""Tells the outcome of a run as tables and a tree."""

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from duly import Dispatch, EffectView
from examples.shop.demo.checks import Check
from examples.shop.demo.comparison import Comparison
from examples.shop.demo.outcome import Outcome
from examples.shop.sandbox.record import CHANNELS

NEWEST_OF_EACH_STATE = 3
NAMES = {"sms": "SMS", "email": "mail", "billing": "invoice"}
STYLES = {Dispatch.ACCEPTED: "green", Dispatch.FAILED: "red", Dispatch.UNKNOWN: "yellow"}


def report(console: Console, outcome: Outcome) -> None:
    """Print everything. The points come last, where one looks first."""
    for tenant, effects in outcome.ledgers.items():
        console.print(_counts(tenant, effects))
        console.print(_newest(tenant, effects))
    for effect in outcome.explained:
        console.print(_chain(effect), "")
    console.print(_comparison(outcome.comparison))
    console.print(_unsettled(outcome.comparison))
    if outcome.comparison.differences:
        console.print(_differences(outcome.comparison))
    console.print(_points(outcome.checks))
    console.print(_verdict(outcome))


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in columns:
        table.add_column(column)
    return table


def _counting(table: Table) -> Table:
    """Every column but the first holds numbers."""
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _counts(tenant: str, effects: Sequence[EffectView]) -> Table:
    states = [state for state in Dispatch if any(effect.state is state for effect in effects)]
    table = _table(f"The ledger of {tenant}", "channel", *(state.value for state in states), "all")
    counts = Counter((effect.channel, effect.state) for effect in effects)
    for channel in CHANNELS:
        found = [counts[channel, state] for state in states]
        table.add_row(channel, *map(str, found), str(sum(found)))
    return _counting(table)


def _newest(tenant: str, effects: Sequence[EffectView]) -> Table:
    """A few of each state, so that not only the usual is shown."""
    table = _table(f"The newest of each state in the ledger of {tenant}", "to", "what", "state", "tries", "reason")
    for number in (0, 2, 3):
        table.columns[number].no_wrap = True
    table.columns[4].overflow = "fold"
    for state in Dispatch:
        of_state = [effect for effect in effects if effect.state is state]
        for effect in of_state[:NEWEST_OF_EACH_STATE]:
            told = state.value if effect.delivery is None else f"{state.value}, {effect.delivery.value}"
            name = Text(told, style=STYLES.get(state, ""))
            table.add_row(effect.recipient, Text(effect.summary), name, str(len(effect.attempts)), Text(effect.reason))
    return table


def _chain(effect: EffectView) -> Tree:
    """Why this was sent, and what became of it."""
    first, *others = effect.chain
    name = NAMES[effect.channel]
    tree = Tree(Text.assemble((f"Why was this {name} sent?  ", "bold"), f"{first.kind} ", (first.name, "cyan")))
    branch = tree
    for link in others:
        by = f"  by {link.handler}" if link.handler else ""
        branch = branch.add(Text.assemble(f"{link.kind} ", (link.name, "cyan"), (by, "dim")))
    branch = branch.add(
        Text.assemble(
            "effect ", (effect.channel, "cyan"), (f"  by {effect.handler}", "dim"), f"  to {effect.recipient}"
        )
    )
    branch.add(Text(f"“{effect.summary}”"))
    for attempt in effect.attempts:
        at = attempt.started_at.strftime("%H:%M:%S.%f")[:-3]
        tried = branch.add(Text.assemble(f"attempt {attempt.number} at {at}: ", (str(attempt.outcome), "cyan")))
        tried.add(Text(attempt.evidence))
        if attempt.provider_id is not None:
            tried.add(Text(f"known there as {attempt.provider_id}"))
    return tree


def _comparison(comparison: Comparison) -> Table:
    table = _table(
        "The ledger beside what the providers wrote down",
        *("channel", "taken there", "accepted here", "unknown, there", "unknown, not there", "failed", "duplicates"),
    )
    for channel in CHANNELS:
        counts = comparison.channels[channel]
        table.add_row(
            channel,
            str(counts.taken_there),
            str(counts.accepted_here),
            str(counts.unknown_there),
            str(counts.unknown_not_there),
            str(counts.failed_here),
            str(counts.duplicates_there),
        )
    return _counting(table)


def _unsettled(comparison: Comparison) -> Table:
    table = _table("Unknown here, each with its evidence", "channel", "to", "evidence", "provider has it")
    for effect in comparison.unsettled:
        table.add_row(effect.channel, effect.recipient, Text(effect.evidence), "yes" if effect.is_there else "no")
    return table


def _differences(comparison: Comparison) -> Table:
    table = _table("[red]Differences", "channel", "what", "to", "detail")
    for difference in comparison.differences:
        table.add_row(difference.channel, difference.kind, difference.recipient, Text(difference.detail))
    return table


def _points(checks: Sequence[Check]) -> Table:
    table = _table("The points of the story", "", "point", "expected", "seen", "")
    table.columns[-1].no_wrap = True
    previous = 0
    for check in checks:
        is_new = check.point != previous
        if is_new and previous:
            table.add_section()
        mark = "[green]✓" if check.holds else "[bold red]✗"
        table.add_row(str(check.point) if is_new else "", check.what, Text(check.expected), Text(check.seen), mark)
        previous = check.point
    return table


def _verdict(outcome: Outcome) -> str:
    counted = Counter(check.holds for check in outcome.checks)
    colour, word = ("green", "As promised") if outcome.is_as_promised else ("bold red", "NOT as promised")
    return (
        f"[{colour}]{word}[/]: {counted[True]} hold, {counted[False]} do not; "
        f"{len(outcome.comparison.differences)} differences; "
        f"{outcome.orders} orders on {outcome.store} in {outcome.seconds} s"
    )
