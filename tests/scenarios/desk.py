"""A desk that sends texts: the smallest application whose effects can be asked for in every way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final

from duly import Command, Effects, EffectView, Email, Module, Policy, Sending, Sms
from duly.gateways.recording import RecordingGateway
from duly.states.policy import IdempotencyKey, Keeps, LookUp, ReceiptWindow
from duly.states.retry import RetrySchedule
from tests.scenarios.running import Running

PHONE: Final = "+4915123456789"
MILLISECOND: Final = timedelta(milliseconds=1)
QUICK: Final = RetrySchedule((MILLISECOND,) * 3)
KEY: Final = IdempotencyKey(lifetime=timedelta(hours=24))
LOOK_UP: Final = LookUp(settle=MILLISECOND, lag=MILLISECOND)


class Send(Command[list[str]]):
    texts: list[str]
    to: str = PHONE
    reference: str | None = None
    urgent: bool = False
    after: timedelta | None = None
    at: datetime | None = None
    expires: timedelta | None = None
    mail: bool = False


desk = Module("desk")


@desk.command
async def send(command: Send, effects: Effects) -> list[str]:
    return [
        effects.request(
            Email(to="ann@example.com", subject=text, text=text) if command.mail else Sms(to=command.to, text=text),
            reference=command.reference,
            urgent=command.urgent,
            at=command.at or command.after,
            expires=command.expires,
        )
        for text in command.texts
    ]


def gateway(**parts: Any) -> RecordingGateway:
    """A gateway for texts, quick to try again."""
    fields: dict[str, Any] = {"name": "sms", "channel": "sms", "retry": QUICK, **parts}
    return RecordingGateway(Sms, **fields)


def keeping(policy: Policy, **parts: Any) -> tuple[RecordingGateway, list[Sending]]:
    """A gateway that can keep *policy*, and the choice of it."""
    keeps = {
        Policy.KEYED: Keeps(key=KEY),
        Policy.RECONCILE: Keeps(look_up=LOOK_UP),
        Policy.AT_MOST_ONCE: Keeps(receipts=ReceiptWindow()),
        Policy.AT_LEAST_ONCE: Keeps(receiver_deduplicates=True),
    }[policy]
    return gateway(**{"keeps": keeps, **parts}), [Sending(effect=Sms, policy=policy)]


async def sent(app: Running, *texts: str, tenant: str = "acme", **parts: Any) -> list[str]:
    """Ask for texts; the ids of the effects."""
    return await app.app.execute(Send(texts=list(texts), **parts), tenant=tenant)


async def effect(app: Running, tenant: str = "acme") -> EffectView:
    """The tenant's only effect."""
    (one,) = await app.effects(tenant)
    return one


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds_max: float = 10) -> None:
    """Wait for a condition. Raises `TimeoutError` saying *what* did not happen."""
    deadline = asyncio.get_running_loop().time() + seconds_max
    while not await condition():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"within {seconds_max} s this did not happen: {what}")
        await asyncio.sleep(0.005)


def shift_clock(app: Running, duration: timedelta) -> None:
    """Move the database's clock, as this application sees it."""
    app.app._store.shift_clock(int(duration.total_seconds() * 1_000))  # type: ignore[attr-defined]
