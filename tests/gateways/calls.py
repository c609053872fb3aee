"""Calls as the sender would make them."""

from __future__ import annotations

from datetime import UTC, datetime

from duly.messages.message import Effect
from duly.ports.gateway import Call, Gateway
from duly.states.attempt import Outcome

EFFECT_ID = "8a7e1b5c-0000-4000-8000-000000000001"
REQUESTED_AT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def call_for(gateway: Gateway, effect: Effect, *, number: int = 1, started_at: datetime | None = None) -> Call:
    """Attempt *number* at *effect*."""
    return Call(
        effect_id=EFFECT_ID,
        key=f"key-{EFFECT_ID}",
        tenant="main",
        number=number,
        prepared=gateway.prepare(effect, EFFECT_ID),
        requested_at=REQUESTED_AT,
        started_at=started_at or datetime.now(UTC),
    )


async def send(gateway: Gateway, effect: Effect, *, number: int = 1, started_at: datetime | None = None) -> Outcome:
    """Open *gateway*, call it once, close it."""
    call = call_for(gateway, effect, number=number, started_at=started_at)
    await gateway.open()
    try:
        return await gateway.call(call)
    finally:
        await gateway.close()
