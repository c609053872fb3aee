"""How effects of one type go out: through which gateway, and under which policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec

from duly.errors import NoGateway
from duly.messages.message import Effect
from duly.ports.gateway import Gateway, LooksUp, TakesReceipts
from duly.states.policy import Policy, policy_mistakes


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """A choice for one type of effect: for every tenant, or, with *tenant*, for that one.

    What is None is as it would be without this: the one gateway that takes the type, and the strongest policy that the
    gateway can keep.
    """

    effect: type[Effect]
    policy: Policy | None = None
    gateway: str | None = None
    """The name of a gateway; needed when several take the type."""
    tenant: str | None = None


class Way(msgspec.Struct, frozen=True):
    """How an effect goes out."""

    gateway: Gateway
    policy: Policy


class Ways:
    """Every way that effects of an application go out, resolved at start."""

    def __init__(self, ways: Mapping[tuple[type[Effect], str | None], Way]) -> None:
        self._ways = ways

    def way(self, effect: type[Effect], tenant: str) -> Way:
        """How an effect of this type goes out for *tenant*. Raises `NoGateway`."""
        way = self._ways.get((effect, tenant)) or self._ways.get((effect, None))
        if way is None:
            known = ", ".join(sorted({cls.__qualname__ for cls, _ in self._ways})) or "nothing"
            raise NoGateway(
                f"No gateway takes {effect.__qualname__}. Give one to Duly(gateways=[…]); "
                f"there are gateways for: {known}."
            )
        return way

    def effects(self) -> tuple[type[Effect], ...]:
        """Every type of effect that goes out."""
        return tuple(dict.fromkeys(effect for effect, _ in self._ways))


def resolve_ways(
    gateways: Sequence[Gateway], sendings: Sequence[Sending], *, replay: timedelta
) -> tuple[Ways, list[str]]:
    """The ways that gateways and choices make, and what is wrong with them, a sentence each."""
    mistakes = _gateway_mistakes(gateways)
    takers: dict[type[Effect], list[Gateway]] = {}
    for gateway in gateways:
        for effect in gateway.effects:
            takers.setdefault(effect, []).append(gateway)
    choices: dict[tuple[type[Effect], str | None], Sending] = {
        (effect, None): Sending(effect=effect) for effect in takers
    }
    for sending in sendings:
        place = (sending.effect, sending.tenant)
        if choices.get(place, Sending(effect=sending.effect)) != Sending(effect=sending.effect):
            mistakes.append(f"{_where(sending)}: it is chosen twice. Keep one Sending(…).")
        choices[place] = sending
    ways: dict[tuple[type[Effect], str | None], Way] = {}
    for place, sending in sorted(choices.items(), key=lambda item: item[0][1] is not None):
        chosen = _chosen(sending, takers, ways.get((sending.effect, None)), mistakes)
        if chosen is None:
            continue
        policy = sending.policy or chosen.keeps.default_policy
        mistakes += policy_mistakes(
            policy,
            chosen.keeps,
            chosen.retry,
            where=f"{_where(sending)} through {chosen.name!r}",
            call_timeout=chosen.call_timeout,
            replay=replay,
        )
        ways[place] = Way(chosen, policy)
    return Ways(ways), mistakes


def _where(sending: Sending) -> str:
    effect = sending.effect.__qualname__
    return effect if sending.tenant is None else f"{effect} of tenant {sending.tenant!r}"


def _chosen(
    sending: Sending, takers: Mapping[type[Effect], list[Gateway]], default: Way | None, mistakes: list[str]
) -> Gateway | None:
    """The gateway of a choice; None, with the mistake told, when there is none."""
    able = takers.get(sending.effect, [])
    if sending.gateway is None:
        if default is not None:
            return default.gateway
        if len(able) == 1:
            return able[0]
        names = ": " + " and ".join(repr(gateway.name) for gateway in able) if able else ""
        count = {0: "no gateway", 2: "two gateways"}.get(len(able), f"{len(able)} gateways")
        mistakes.append(
            f"{_where(sending)} has {count}{names}. "
            f"Keep one, or choose: Duly(sending=[Sending(effect={sending.effect.__name__}, gateway='…')])."
        )
        return None
    for gateway in able:
        if gateway.name == sending.gateway:
            return gateway
    names = ", ".join(repr(gateway.name) for gateway in able) or "none"
    mistakes.append(f"{_where(sending)}: no gateway {sending.gateway!r} takes it. There is: {names}.")
    return None


def _gateway_mistakes(gateways: Sequence[Gateway]) -> list[str]:
    mistakes: list[str] = []
    names: set[str] = set()
    for gateway in gateways:
        if gateway.name in names:
            mistakes.append(f"Two gateways are called {gateway.name!r}. Pass name='…' to one of them.")
        names.add(gateway.name)
        if gateway.keeps.look_up is not None and not isinstance(gateway, LooksUp):
            mistakes.append(
                f"The gateway {gateway.name!r} declares a look-up, but has no `look_up`. Write it, or declare none."
            )
        if gateway.keeps.receipts is not None and not isinstance(gateway, TakesReceipts):
            mistakes.append(
                f"The gateway {gateway.name!r} declares receipts, but has no `receipts`. Write it, or declare none."
            )
    return mistakes
