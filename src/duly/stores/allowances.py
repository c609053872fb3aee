"""Token buckets in the database: what an account, or a tenant at a destination, may call, all processes together."""

from __future__ import annotations

from typing import Final

from duly.states.allowance import Allowance, Rate, Reserved, reserve, take
from duly.stores.script import Script, Statement

RESERVED: Final = "rate"
"""What holds an effect that has reserved a token, and waits for it."""

# The row is there before it is locked, so that two senders wait for one another from the first call on.
ENSURE: Final = """
INSERT INTO duly.allowance (gateway, tenant, destination, tokens, at_ms)
VALUES (:gateway, :tenant, :destination, 0, -1) ON CONFLICT DO NOTHING
"""
LOCK: Final = """
SELECT tokens, at_ms FROM duly.allowance
 WHERE gateway = :gateway AND tenant = :tenant AND destination = :destination FOR UPDATE
"""
WRITE: Final = """
UPDATE duly.allowance SET tokens = :tokens, at_ms = :at_ms
 WHERE gateway = :gateway AND tenant = :tenant AND destination = :destination
"""


def look_at_allowance(gateway: str, rate: Rate, now_ms: int) -> Script[int]:
    """How many calls a gateway's account may make now; its bucket is locked until the transaction ends."""
    allowance = yield from _locked(gateway, "", "")
    return take(allowance, rate, now_ms, rate.capacity).granted


def use_allowance(gateway: str, rate: Rate, now_ms: int, calls: int) -> Script[None]:
    """Take the tokens of *calls* out of an account's bucket."""
    allowance = yield from _locked(gateway, "", "")
    yield from _write(gateway, "", "", take(allowance, rate, now_ms, calls).allowance)


def reserve_allowance(gateway: str, tenant: str, destination: str, rate: Rate, now_ms: int) -> Script[int]:
    """Take a token out of a tenant's bucket for a destination; the milliseconds until it is there."""
    allowance = yield from _locked(gateway, tenant, destination)
    reserved: Reserved = reserve(allowance, rate, now_ms)
    yield from _write(gateway, tenant, destination, reserved.allowance)
    return reserved.wait_ms


def _locked(gateway: str, tenant: str, destination: str) -> Script[Allowance | None]:
    place: dict[str, object] = {"gateway": gateway, "tenant": tenant, "destination": destination}
    yield Statement(ENSURE, place)
    ((tokens, at_ms),) = (yield Statement(LOCK, place)).rows
    return None if at_ms < 0 else Allowance(tokens, at_ms)


def _write(gateway: str, tenant: str, destination: str, allowance: Allowance) -> Script[None]:
    place: dict[str, object] = {"gateway": gateway, "tenant": tenant, "destination": destination}
    yield Statement(WRITE, {**place, "tokens": allowance.tokens, "at_ms": allowance.at_ms})
