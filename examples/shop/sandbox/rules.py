"""What is in force toward whom: for each channel and recipient at most one rule, for so many requests."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from examples.shop.sandbox.record import CHANNELS, Channel

ANYONE = "*"
"""The recipient of a rule for everyone who has none of their own: an outage of the whole provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Something that is so for one recipient of one channel.

    `times`: how many requests it still applies to; None is all of them.
    """

    channel: Channel
    recipient: str
    times: int | None = None


R = TypeVar("R", bound=Rule)


class InForce(Generic[R]):
    """The rules of one kind that are in force; for one channel and recipient the last one set counts."""

    def __init__(self) -> None:
        self._rules: dict[tuple[Channel, str], R] = {}

    def set(self, rule: R) -> None:
        """Put a rule in force in the place of any earlier one for the same channel and recipient."""
        self._rules[_key(rule.channel, rule.recipient)] = rule

    def take(self, channel: Channel, recipient: str, applies: Callable[[R], bool] = lambda rule: True) -> R | None:
        """The rule for this request, counted as applied once; None if there is none.

        One to which `applies` says no is neither returned nor counted: it is for a later step of the same request.
        """
        key = _key(channel, recipient)
        if key not in self._rules:
            key = (channel, ANYONE)
        rule = self._rules.get(key)
        if rule is None or not applies(rule):
            return None
        if rule.times is not None:
            if rule.times <= 1:
                del self._rules[key]
            else:
                self._rules[key] = replace(rule, times=rule.times - 1)
        return rule

    def all(self) -> list[R]:
        """All rules in force, each with the number of times that is left."""
        return list(self._rules.values())

    def clear(self) -> None:
        """Have no rules."""
        self._rules.clear()


# Reading the control API's JSON. Each raises ValueError with a text that says what is wrong.


def parse_object(document: object, what: str, fields: Collection[str]) -> dict[str, Any]:
    """A JSON object that has no other fields than these."""
    if not isinstance(document, dict):
        raise ValueError(f"{what} is a JSON object")
    if unknown := set(document) - set(fields):
        raise ValueError(f"unknown fields: {', '.join(sorted(map(str, unknown)))}")
    return document


def parse_channel(found: object, channels: Collection[Channel] = CHANNELS) -> Channel:
    """One of these channels."""
    for channel in channels:
        if found == channel:
            return channel
    raise ValueError(f"channel is one of {', '.join(channels)}, not {found!r}")


def parse_recipient(found: object) -> str:
    """A phone number, a mail address, a customer, or "*"."""
    if not isinstance(found, str) or not found:
        raise ValueError(f"recipient is a string that is not empty, not {found!r}")
    return found


def parse_times(found: object) -> int | None:
    """How many requests; null is all."""
    if found is not None and (type(found) is not int or found < 1):
        raise ValueError(f"times is a whole number from 1, or null for always, not {found!r}")
    return found


def parse_seconds(name: str, found: object) -> float | None:
    """A duration; null leaves it to who uses it."""
    if found is None:
        return None
    if type(found) not in (int, float) or not isinstance(found, int | float) or found < 0:
        raise ValueError(f"{name} is a number from 0, or null, not {found!r}")
    return found


def _key(channel: Channel, recipient: str) -> tuple[Channel, str]:
    return channel, recipient.lower() if channel == "email" else recipient
