"""How an order is carried out at a terminal: shown, confirmed, done, told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from duly.cli.effect_tables import effects_in_words, effects_table, plan_table
from duly.cli.target import asking_for_tenant, client, guarded, plain
from duly.effects.operations import Operations
from duly.effects.tenant_view import TenantLedger
from duly.ports.ledger_view import EffectFilter, EffectView
from duly.ports.operations import Carried, Operated, Plan, Refused, Verb, Verdict
from duly.states.effect import Dispatch

NOT_CONFIRMED: Final = 3
"""Exit status: it was not confirmed, and nothing was done."""
PASSED_OVER: Final = 4
"""Exit status: of many effects, some were passed over; the rest is done."""
SHOWN: Final = 10
"""How many effects of a plan are shown before it is confirmed."""

output = Console()
notes = Console(stderr=True)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A verb as the command line has it."""

    application: str
    tenant: str | None
    effect_id: str | None
    wanted: EffectFilter
    verb: Verb
    by: str
    reason: str
    yes: bool
    as_json: bool
    verdict: Verdict | None = None
    again: bool = False
    provider_id: str | None = None
    even_if_twice: bool = False


def carry_out(order: Order) -> None:
    """Show what *order* is about, ask, do it, and tell what came of it."""
    has_passed_over = guarded(_operate(order))
    if has_passed_over:
        raise typer.Exit(PASSED_OVER)


async def _operate(order: Order) -> bool:
    """Show, ask, do; whether effects were passed over."""
    if order.effect_id is None and order.wanted == EffectFilter():
        raise typer.BadParameter("Name an effect, or choose many by options, such as --state or --since.")
    if order.effect_id is not None and order.wanted != EffectFilter():
        raise typer.BadParameter("Name one effect, or choose many by options; not both.")
    async with client(order.application) as app:
        with asking_for_tenant(order.tenant):
            hand, ledger = app.operate(order.tenant, by=order.by), app.ledger(order.tenant)
        if order.effect_id is not None:
            await _one(order, hand, await ledger.effect(order.effect_id))
            return False
        plan = await hand.plan(
            order.verb,
            order.wanted,
            verdict=order.verdict,
            again=order.again,
            even_if_twice=order.even_if_twice,
        )
        return await _many(order, hand, ledger, plan)


async def _one(order: Order, hand: Operations, view: EffectView) -> None:
    shown = _shown(order)
    shown.print(effects_table([view], datetime.now(UTC), shown))
    confirm(_question(order, "this effect"), yes=order.yes)
    operated = await _verb(order, hand, view)()
    if order.as_json:
        _print_line(operated)
        return
    output.print(_done(operated), highlight=False)


async def _many(order: Order, hand: Operations, ledger: TenantLedger, plan: Plan) -> bool:
    if not plan.count:
        notes.print(f"No effect fits that one could {order.verb.value}.", highlight=False)
        return False
    shown = _shown(order)
    shown.print(plan_table(plan))
    views = [await ledger.effect(aim.effect_id) for aim in plan.effects[:SHOWN]]
    shown.print(effects_table(views, datetime.now(UTC), shown))
    if plan.count > SHOWN:
        shown.print(f"… and {plan.count - SHOWN:,} more", highlight=False)
    confirm(_question(order, effects_in_words(plan.count)), yes=order.yes)
    with Progress(console=notes, transient=True, disable=not notes.is_terminal) as progress:
        task = progress.add_task(order.verb.value, total=plan.count)

        def tell(carried: Carried) -> None:
            progress.update(task, completed=len(carried.operated) + len(carried.passed_over))

        carried = await hand.carry_out(plan, reason=order.reason, on_progress=tell)
    _tell(order, carried)
    return bool(carried.passed_over)


def _verb(order: Order, hand: Operations, view: EffectView) -> Callable[[], Awaitable[Operated]]:
    """The call that *order* is, for one effect."""
    effect_id, reason = view.id, order.reason
    match order.verb:
        case Verb.SETTLE:
            verdict = order.verdict or Verdict.NOT_SENT
            return lambda: hand.settle(
                effect_id, verdict, reason=reason, provider_id=order.provider_id, again=order.again
            )
        case Verb.RETRY:
            return lambda: hand.retry(effect_id, reason=reason, even_if_twice=order.even_if_twice)
        case Verb.RESEND:
            # The generation that follows what was shown: two people who confirm at once make one.
            generation = 1 + sum(row.verb == Verb.RESEND.value for row in view.audit)
            return lambda: hand.resend(
                effect_id, reason=reason, even_if_twice=order.even_if_twice, generation=generation
            )
        case Verb.CANCEL:
            return lambda: hand.cancel(effect_id, reason=reason)
        case Verb.RELEASE:
            return lambda: hand.release(effect_id, reason=reason)


def _question(order: Order, what: str) -> str:
    """The order as a question."""
    if order.verdict is None:
        twice = ", even if it arrives twice" if order.even_if_twice else ""
        return f"{order.verb.value.capitalize()} {what}{twice}?"
    again = " and try again" if order.again else ""
    return f"Settle {what} as {order.verdict.value}{again}?"


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless told not to. Ends the program when the answer is no, or nobody is there to answer."""
    if yes:
        return
    try:
        is_wanted = typer.confirm(question, err=True)
    except typer.Abort:
        is_wanted = False
        notes.print()
    if not is_wanted:
        notes.print("It was not confirmed; nothing was done. In scripts add --yes.", highlight=False)
        raise typer.Exit(NOT_CONFIRMED)


def _shown(order: Order) -> Console:
    """Where to show what it is about: JSON has stdout to itself."""
    return notes if order.as_json else output


def _tell(order: Order, carried: Carried) -> None:
    if order.as_json:
        for operated in carried.operated:
            _print_line(operated)
        for passed in carried.passed_over:
            _print_line(passed)
        return
    output.print(f"[green]✓[/green] {len(carried.operated):,} of {carried.total:,} done", highlight=False)
    for refused in carried.passed_over:
        output.print(Text(f"passed over: effect {refused.effect_id} {plain(refused.reason)}", style="yellow"))


def _done(operated: Operated) -> Text:
    text = Text.assemble(("✓ ", "green"), f"Effect {operated.effect_id} ")
    if operated.resent_as is not None:
        was = "was sent again before" if operated.is_repeat else "is sent again"
        text.append(f"{was}, as effect {operated.resent_as}.")
    elif operated.before is operated.after is Dispatch.UNKNOWN:
        text.append("is tried once more; until then it is unknown.")
    else:
        text.append(f"was {operated.before.value}, is {operated.after.value}.")
    if operated.possible_duplicate:
        text.append(" It may arrive twice.", style="magenta")
    return text


def _print_line(result: Operated | Refused) -> None:
    print(msgspec.json.encode(result).decode())
