"""One call in one mood, and all that can be seen of it from outside."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Final

import msgspec

from duly.ports.gateway import Call, Gateway
from duly.states.attempt import Outcome, Unknown
from duly.testing.gateway_exam.candidate import GatewayCandidate
from duly.testing.gateway_exam.moods import Does, Mood, Phase
from duly.testing.gateway_exam.provider import FakeProvider

MARGIN_S: Final = 3.0
"""How much later than `call_timeout` a call may end, on a machine that is busy."""
PATIENCE: Final = timedelta(seconds=20)


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended. What it raised, and what took too long, counts as unknown: so the sender sees it."""

    outcome: Outcome
    raised: str = ""
    is_late: bool = False


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One call in one mood."""

    mood: Mood
    ended: Ended
    requests: int
    """How often the provider was asked to take it."""
    target_hits: int
    flooded: bool
    is_reached: bool
    """Whether the mood came to anything: a gateway that never logs in cannot be refused there."""
    shown: str
    """All that anybody may read afterwards: outcome, error, logs, the gateway's own form."""
    canaries: tuple[str, ...]
    """What must not be in it."""


async def bounded_call(gateway: Gateway, call: Call) -> Ended:
    """Call *gateway*; give up `MARGIN_S` after the longest time that it says a call can take."""
    deadline = asyncio.timeout(gateway.call_timeout.total_seconds() + MARGIN_S)
    try:
        async with deadline:
            return Ended(outcome=await gateway.call(call))
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return Ended(outcome=Unknown(evidence=f"raised {text}"), raised=text, is_late=deadline.expired())


@asynccontextmanager
async def seated(
    candidate: GatewayCandidate, mood: Mood, *, live: bool = True, key_lifetime: timedelta | None = None
) -> AsyncIterator[tuple[Gateway, FakeProvider]]:
    """The candidate's gateway, open, and its provider, in *mood*."""
    async with candidate.provider(mood, key_lifetime=key_lifetime) as provider:
        patience = candidate.patience if mood.is_endless else PATIENCE
        gateway = candidate.make(candidate.seat(provider, live=live, patience=patience))
        await gateway.open()
        try:
            yield gateway, provider
        finally:
            await gateway.close()


async def observe(candidate: GatewayCandidate, *moods: Mood) -> list[Observation]:
    """Make one call in each of *moods*, all at once."""
    with _logged() as lines:
        return await asyncio.gather(*(_observe(candidate, mood, lines) for mood in moods))


async def _observe(candidate: GatewayCandidate, mood: Mood, lines: list[str]) -> Observation:
    async with seated(candidate, mood) as (gateway, provider):
        call = candidate.call(gateway, is_large=mood.is_large)
        ended = await bounded_call(gateway, call)
        gateway_shown = f"{gateway!r} {gateway}"
    tally = provider.tally
    requests = tally.requests
    if mood.does is Does.DROP_UNREAD or mood.at is not Phase.DOT:
        requests = max(requests, tally.connections)
    return Observation(
        mood=mood,
        ended=ended,
        requests=requests,
        target_hits=tally.target_hits,
        flooded=tally.flooded,
        is_reached=mood.at is not Phase.AUTH or tally.phases[Phase.AUTH.value] > 0,
        shown="\n".join((repr(ended), gateway_shown, *lines)),
        canaries=_canaries(candidate, call, provider),
    )


def _canaries(candidate: GatewayCandidate, call: Call, provider: FakeProvider) -> tuple[str, ...]:
    secret = candidate.secret.encode()
    # In Basic credentials the secret begins at any of three places of a group of base64.
    coded = [b64encode(b"\0" * shift + secret + b"\0" * 3).decode()[4 if shift else 0 : -6] for shift in range(3)]
    credentials = [
        word for seen in provider.tally.seen for word in (seen.header("authorization") or "").split() if len(word) > 8
    ]
    found = (candidate.secret, *coded, *credentials, call.prepared.recipient, *candidate.private)
    return tuple(dict.fromkeys(canary for canary in found if canary))


@contextmanager
def _logged() -> Iterator[list[str]]:
    """Every line that is logged meanwhile, at any level."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    root = logging.getLogger()
    level, listener = root.level, Listener()
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.setLevel(level)
        root.removeHandler(listener)
