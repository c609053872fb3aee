"""How the providers behave toward whom: what the control API sets and the servers ask before they answer."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, get_args

from examples.shop.sandbox.record import Channel
from examples.shop.sandbox.rules import (
    ANYONE,
    InForce,
    Rule,
    parse_channel,
    parse_object,
    parse_recipient,
    parse_seconds,
    parse_times,
)

__all__ = ["ANYONE", "BEHAVIOUR_NAMES", "Behaviour", "BehaviourName", "Behaviours", "parse", "stay_silent"]

BehaviourName = Literal[
    "ok",
    "refuse",
    "unavailable",
    "hang",
    "accept_and_drop",
    "accept_and_fail",
    "accept_and_hang",
    "accept_and_die",
    "rate_limit",
    "unauthorized",
]

BEHAVIOUR_NAMES: tuple[BehaviourName, ...] = get_args(BehaviourName)
HTTP_ONLY: tuple[BehaviourName, ...] = ("accept_and_fail", "accept_and_die")

HANG_SECONDS = 60.0
RETRY_AFTER_SECONDS = 1.0
DEAD_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour(Rule):
    """One provider's behaviour toward one recipient.

    `seconds`: how long "hang" and "accept_and_hang" stay silent (60 if None); what "rate_limit" tells as Retry-After
    (1 if None); how long the provider is gone for everybody after "accept_and_die" (1 if None).
    """

    behaviour: BehaviourName
    seconds: float | None = None

    @property
    def applied(self) -> BehaviourName | None:
        """The name for the record of what was accepted: None for a request that went as usual."""
        return None if self.behaviour == "ok" else self.behaviour

    @property
    def hang_seconds(self) -> float:
        return HANG_SECONDS if self.seconds is None else self.seconds

    @property
    def retry_after_seconds(self) -> float:
        return RETRY_AFTER_SECONDS if self.seconds is None else self.seconds

    @property
    def dead_seconds(self) -> float:
        return DEAD_SECONDS if self.seconds is None else self.seconds


class Behaviours:
    """The behaviours in force, at most one for each channel and recipient; the last one set counts."""

    def __init__(self) -> None:
        self._rules: InForce[Behaviour] = InForce()

    def set(self, behaviour: Behaviour) -> None:
        """Put a behaviour in force in the place of any earlier one for the same channel and recipient."""
        self._rules.set(behaviour)

    def take(self, channel: Channel, recipient: str, among: Collection[BehaviourName] = BEHAVIOUR_NAMES) -> Behaviour:
        """The behaviour for this request, counted as applied once; "ok" if none is in force.

        One that is not in `among` is neither returned nor counted: it is for a later step of the same request.
        """
        found = self._rules.take(channel, recipient, lambda rule: rule.behaviour in among)
        return found or Behaviour(channel=channel, recipient=recipient, behaviour="ok")

    def in_force(self) -> list[Behaviour]:
        """All behaviours in force, each with the number of times that is left."""
        return self._rules.all()

    def clear(self) -> None:
        """Let every provider behave as usual toward everyone."""
        self._rules.clear()


def parse(document: object) -> Behaviour:
    """Make a behaviour of the control API's JSON; raises ValueError with a text that says what is wrong."""
    found = parse_object(document, "a behaviour", ("channel", "recipient", "behaviour", "times", "seconds"))
    channel, recipient = parse_channel(found.get("channel")), parse_recipient(found.get("recipient"))
    name = found.get("behaviour")
    if name not in BEHAVIOUR_NAMES:
        raise ValueError(f"behaviour is one of {', '.join(BEHAVIOUR_NAMES)}, not {name!r}")
    if channel == "email" and name in HTTP_ONLY:
        raise ValueError(f"a mail server has no behaviour {name}: set accept_and_drop or accept_and_hang")
    return Behaviour(
        channel=channel,
        recipient=recipient,
        behaviour=name,
        times=parse_times(found.get("times")),
        seconds=parse_seconds("seconds", found.get("seconds")),
    )


async def stay_silent(seconds: float, stopping: asyncio.Event) -> None:
    """Wait for some seconds, or until the sandbox stops: one that hangs must not keep the process from ending."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
