"""How the providers behave toward whom: what the control API sets and the servers ask before they answer."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, get_args

from examples.shop.sandbox.record import CHANNELS, Channel

BehaviourName = Literal["ok", "refuse", "unavailable", "hang", "accept_and_drop", "rate_limit", "unauthorized"]

BEHAVIOUR_NAMES: tuple[BehaviourName, ...] = get_args(BehaviourName)
ANYONE = "*"
"""The recipient of a behaviour for everyone who has none of their own: an outage of the whole provider."""

HANG_SECONDS = 60.0
RETRY_AFTER_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One provider's behaviour toward one recipient.

    `times`: how many requests it still applies to; None is all of them.
    `seconds`: how long "hang" stays silent (60 if None); what "rate_limit" tells as Retry-After (1 if None).
    """

    channel: Channel
    recipient: str
    behaviour: BehaviourName
    times: int | None = None
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


class Behaviours:
    """The behaviours in force, at most one for each channel and recipient; the last one set counts."""

    def __init__(self) -> None:
        self._in_force: dict[tuple[Channel, str], Behaviour] = {}

    def set(self, behaviour: Behaviour) -> None:
        """Put a behaviour in force in the place of any earlier one for the same channel and recipient."""
        self._in_force[_key(behaviour.channel, behaviour.recipient)] = behaviour

    def take(self, channel: Channel, recipient: str, among: Collection[BehaviourName] = BEHAVIOUR_NAMES) -> Behaviour:
        """The behaviour for this request, counted as applied once; "ok" if none is in force.

        One that is not in `among` is neither returned nor counted: it is for a later step of the same request.
        """
        key = _key(channel, recipient)
        if key not in self._in_force:
            key = (channel, ANYONE)
        behaviour = self._in_force.get(key)
        if behaviour is None or behaviour.behaviour not in among:
            return Behaviour(channel=channel, recipient=recipient, behaviour="ok")
        if behaviour.times is not None:
            if behaviour.times <= 1:
                del self._in_force[key]
            else:
                self._in_force[key] = replace(behaviour, times=behaviour.times - 1)
        return behaviour

    def in_force(self) -> list[Behaviour]:
        """All behaviours in force, each with the number of times that is left."""
        return list(self._in_force.values())

    def clear(self) -> None:
        """Let every provider behave as usual toward everyone."""
        self._in_force.clear()


def parse(document: object) -> Behaviour:
    """Make a behaviour of the control API's JSON; raises ValueError with a text that says what is wrong."""
    if not isinstance(document, dict):
        raise ValueError("a behaviour is a JSON object")
    channel, recipient, name = document.get("channel"), document.get("recipient"), document.get("behaviour")
    times, seconds = document.get("times"), document.get("seconds")
    if unknown := set(document) - {"channel", "recipient", "behaviour", "times", "seconds"}:
        raise ValueError(f"unknown fields: {', '.join(sorted(map(str, unknown)))}")
    if channel not in CHANNELS:
        raise ValueError(f"channel is one of {', '.join(CHANNELS)}, not {channel!r}")
    if not isinstance(recipient, str) or not recipient:
        raise ValueError(f"recipient is a string that is not empty, not {recipient!r}")
    if name not in BEHAVIOUR_NAMES:
        raise ValueError(f"behaviour is one of {', '.join(BEHAVIOUR_NAMES)}, not {name!r}")
    if times is not None and (type(times) is not int or times < 1):
        raise ValueError(f"times is a whole number from 1, or null for always, not {times!r}")
    if seconds is not None and (type(seconds) not in (int, float) or seconds < 0):
        raise ValueError(f"seconds is a number from 0, or null, not {seconds!r}")
    return Behaviour(channel=channel, recipient=recipient, behaviour=name, times=times, seconds=seconds)


async def stay_silent(seconds: float, stopping: asyncio.Event) -> None:
    """Wait for some seconds, or until the sandbox stops: one that hangs must not keep the process from ending."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()


def _key(channel: Channel, recipient: str) -> tuple[Channel, str]:
    return channel, recipient.lower() if channel == "email" else recipient
