"""How long what is known of an effect is kept, once it has come to its end.

Rules
 1. First the contents go: address, summary, request, and what receipts tell in detail. Later, if ever, all the rest.
 2. Only effects in a final state age, from their last change of state on. What is unknown is kept until it is settled.
 3. Of several rules that fit, the most specific one counts: for this tenant and channel, for this tenant, for this
    channel, for all. What none fits is kept for good.
 4. The key of an effect outlives it: a replay of its cause sends nothing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: for effects of *tenant* and *channel*, where these are given."""

    contents: timedelta
    """How long address and request are kept after the last change of state."""
    facts: timedelta | None = None
    """How long the rest is kept; None: for good."""
    channel: str | None = None
    tenant: str | None = None

    @property
    def where(self) -> str:
        """Which effects it is for, in words."""
        about = [f"{name}={value!r}" for name, value in (("tenant", self.tenant), ("channel", self.channel)) if value]
        return f"Retention({', '.join(about)})"


def rule_for(rules: Sequence[Retention], tenant: str, channel: str) -> Retention | None:
    """The rule for effects of this tenant on this channel, or None: they are kept for good."""
    fitting = [rule for rule in rules if rule.tenant in (None, tenant) and rule.channel in (None, channel)]
    return max(fitting, key=lambda rule: (rule.tenant is not None, rule.channel is not None), default=None)


def retention_mistakes(rules: Sequence[Retention], *, inbox_keep: timedelta) -> list[str]:
    """What cannot be kept together, a sentence each. *inbox_keep* is longer than every retry."""
    mistakes: list[str] = []
    seen: set[tuple[str | None, str | None]] = set()
    for rule in rules:
        if (rule.tenant, rule.channel) in seen:
            mistakes.append(f"{rule.where} is given twice. Keep one of them.")
        seen.add((rule.tenant, rule.channel))
        if rule.contents <= timedelta():
            mistakes.append(f"{rule.where}: contents={rule.contents}; it must be longer than zero.")
        if rule.facts is None:
            continue
        if rule.facts < rule.contents:
            mistakes.append(
                f"{rule.where}: facts ({rule.facts}) go before contents ({rule.contents}). Make facts at least as long."
            )
        if rule.facts < inbox_keep:
            mistakes.append(
                f"{rule.where}: facts ({rule.facts}) are kept shorter than command ids (Settings.inbox_keep, "
                f"{inbox_keep}): a command could be repeated whose effects nobody can see any more. Keep them longer."
            )
    return mistakes
