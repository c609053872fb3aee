"""A perfect run in which one thing is changed: what the tests of the demo's judgement share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from duly import EffectView
from examples.shop.demo.checks import Check
from examples.shop.demo.troubles import Trouble
from examples.shop.sandbox.record import Channel
from tests.example.perfect_run import PerfectRun, perfect_run

Tampering: TypeAlias = Callable[[PerfectRun], None]


def broken(run: PerfectRun) -> list[Check]:
    """The checks that do not hold."""
    return [check for check in run.judge().checks if not check.holds]


def is_told(tamper: Tampering, point: int) -> bool:
    """Whether a run that is tampered with breaks its promise, and is told so at the *point*."""
    run = perfect_run()
    tamper(run)
    return point in {check.point for check in broken(run)} and not run.judge().is_as_promised


def first_of(run: PerfectRun, trouble: Trouble, channel: Channel, *, last: bool = False) -> EffectView:
    """What the first person in a trouble was sent first, or last, for the first of their orders."""
    order = run.plan.in_trouble(trouble)[0]
    sent = [
        effect
        for effect in run.effects["acme"]
        if effect.recipient == order.person.recipient(channel) and effect.reference == order.order_id
    ]
    return sent[-1 if last else 0]


def change_of(run: PerfectRun, trouble: Trouble, channel: Channel, /, **changes: object) -> None:
    effects = run.effects["acme"]
    place = effects.index(first_of(run, trouble, channel))
    effects[place] = msgspec.structs.replace(effects[place], **changes)
