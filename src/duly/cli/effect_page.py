"""Everything about one effect, on one page."""

from __future__ import annotations

from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from duly.cli.target import plain
from duly.cli.words import NOTHING, attempt_words, hint, moment, next_words, span_words, state_text
from duly.messages.envelope import Link
from duly.ports.ledger_view import EffectView


def effect_page(view: EffectView, now: datetime) -> Group:
    """State, next step, causes, attempts, look-ups, receipts, and what people did."""
    parts: list[RenderableType] = [
        Text.assemble(("Effect ", "bold"), (view.id, "bold cyan")),
        _facts(view, now),
        _causes(view),
    ]
    if view.attempts:
        parts.append(_attempts(view))
    if view.look_ups:
        parts.append(_look_ups(view))
    if view.receipts:
        parts.append(_receipts(view))
    if view.audit:
        parts.append(_audit(view))
    spaced: list[RenderableType] = []
    for part in parts:
        spaced += [part, Text()]
    return Group(*spaced[:-1])


def _facts(view: EffectView, now: datetime) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("to", Text(f"{plain(view.recipient)} ({plain(view.channel)})"))
    table.add_row("says", Text(plain(view.summary)))
    table.add_row("state", state_text(view))
    table.add_row("next", next_words(view, now))
    if hint(view):
        table.add_row("you can", hint(view))
    table.add_row("requested", f"{moment(view.requested_at)} UTC, by {plain(view.handler)}")
    table.add_row("changed", f"{moment(view.changed_at)} UTC")
    for name, value in (
        ("expires", None if view.expires_at is None else f"{moment(view.expires_at)} UTC"),
        ("reported", None if view.delivery_at is None else f"{moment(view.delivery_at)} UTC"),
        ("reference", view.reference),
        ("provider's id", view.provider_id),
        ("destination", view.destination),
        ("sent again from", view.resend_of),
        ("urgent", "yes" if view.urgent else None),
    ):
        if value:
            table.add_row(name, Text(plain(value)))
    table.add_row("goes out", Text(plain(f"{view.type} through {view.gateway}, {view.policy.value}")))
    return table


def _causes(view: EffectView) -> Group:
    """The chain of causes, from the first message to the effect."""
    here = Text.assemble("this effect", (f" by {plain(view.handler)}", "dim"))
    if not view.chain:
        return Group(Text("Because of", style="bold"), here)
    tree = Tree(_link(view.chain[0]))
    branch = tree
    for link in view.chain[1:]:
        branch = branch.add(_link(link))
    branch.add(here)
    return Group(Text("Because of", style="bold"), tree)


def _link(link: Link) -> Text:
    text = Text.assemble((plain(link.name), "bold"), f" ({plain(link.kind)})")
    if link.handler:
        text.append(f" by {plain(link.handler)}", style="dim")
    text.append(f"\n{plain(link.id)}", style="dim")
    return text


def _attempts(view: EffectView) -> Group:
    table = _table("#", "began", "took", "outcome")
    for attempt in view.attempts:
        took = NOTHING if attempt.ended_at is None else span_words(attempt.ended_at - attempt.started_at)
        outcome = Text(attempt.outcome or "under way", style="bold")
        if attempt_words(attempt):
            outcome.append(f" ({attempt_words(attempt)})", style="magenta not bold")
        told = " ".join(part for part in (attempt.provider_id, attempt.evidence) if part)
        if told:
            outcome.append(f"\n{plain(told)}", style="default not bold")
        table.add_row(str(attempt.number), moment(attempt.started_at), took, outcome)
    return Group(Text("Attempts", style="bold"), table)


def _look_ups(view: EffectView) -> Group:
    table = _table("#", "asked", "step", "answer")
    for look_up in view.look_ups:
        answer = Text(look_up.answer, style="bold")
        told = " ".join(part for part in (look_up.provider_id, look_up.evidence) if part)
        if told:
            answer.append(f"\n{plain(told)}", style="default not bold")
        table.add_row(str(look_up.number), moment(look_up.asked_at), look_up.step.value, answer)
    return Group(Text("Look-ups at the provider", style="bold"), table)


def _receipts(view: EffectView) -> Group:
    table = _table("received", "happened", "report")
    for receipt in view.receipts:
        names = [fact.value for fact in (receipt.delivery, receipt.engagement) if fact is not None]
        report = Text(", ".join(names) or NOTHING, style="bold")
        if receipt.applied_at is None:
            report.append(" (waits for the end of the attempt)", style="not bold")
        told = " ".join(part for part in (receipt.provider_id, receipt.detail) if part)
        if told:
            report.append(f"\n{plain(told)}", style="default not bold")
        table.add_row(moment(receipt.received_at), moment(receipt.occurred_at), report)
    return Group(Text("What the provider reported", style="bold"), table)


def _audit(view: EffectView) -> Group:
    table = _table("when", "who", "what and why")
    for row in view.audit:
        what = Text(plain(row.verb), style="bold")
        if row.before is not None and row.before != row.after:
            what.append(f" ({row.before} → {row.after})", style="not bold")
        what.append(f"\n{plain(row.reason)}", style="default not bold")
        if row.detail:
            what.append(f"\n{plain(row.detail)}", style="dim not bold")
        table.add_row(moment(row.at), Text(plain(row.by)), what)
    return Group(Text("What people did", style="bold"), table)


def _table(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in names[:-1]:
        table.add_column(name, no_wrap=name != "who", overflow="fold")
    table.add_column(names[-1], overflow="fold")
    return table
