"""How the providers behave to some people, and what must become of those people's effects."""

from collections.abc import Mapping
from dataclasses import dataclass

from examples.shop.sandbox.behaviours import BehaviourName
from examples.shop.sandbox.record import Channel

USUAL_STATES: Mapping[Channel, tuple[str, ...]] = {
    "email": ("accepted", "accepted"),
    "sms": ("accepted",),
    "billing": ("accepted",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How a provider behaves, for so many requests; always if None."""

    name: BehaviourName
    times: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """How the providers behave to one person, and what must become of that person's order.

    `states`: those of its effects in the ledger, in alphabetical order. `taken`: how many the provider has in the end.
    """

    name: str
    point: int
    behaviours: Mapping[Channel, Behaviour]
    states: Mapping[Channel, tuple[str, ...]]
    taken: Mapping[Channel, int]


def _trouble(
    name: str,
    point: int,
    behaviours: Mapping[Channel, Behaviour],
    states: Mapping[Channel, tuple[str, ...]],
    taken: Mapping[Channel, int],
) -> Trouble:
    """A trouble in which every channel that is not named goes as usual: two mails, an SMS, an invoice, each taken."""
    return Trouble(
        name=name,
        point=point,
        behaviours=behaviours,
        states={channel: states.get(channel, usual) for channel, usual in USUAL_STATES.items()},
        taken={channel: taken.get(channel, len(usual)) for channel, usual in USUAL_STATES.items()},
    )


NONE = _trouble("none", 6, {}, {}, {})
REFUSED = _trouble(
    "refused by the provider",
    6,
    {"email": Behaviour(name="refuse"), "sms": Behaviour(name="refuse"), "billing": Behaviour(name="refuse")},
    {"email": ("failed", "failed"), "sms": ("failed",), "billing": ("failed",)},
    {"email": 0, "sms": 0, "billing": 0},
)
BUSY = _trouble(
    "too busy at first, tried again",
    6,
    {
        "email": Behaviour(name="unavailable", times=2),
        "sms": Behaviour(name="rate_limit", times=1),
        "billing": Behaviour(name="unavailable", times=2),
    },
    {},
    {},
)
ANSWER_LOST = _trouble(
    "taken, but the answer is dropped",
    3,
    {
        "email": Behaviour(name="accept_and_drop", times=1),
        "sms": Behaviour(name="accept_and_drop", times=1),
        "billing": Behaviour(name="accept_and_drop", times=1),
    },
    {"email": ("accepted", "unknown"), "sms": ("unknown",), "billing": ("unknown",)},
    {},
)
SILENT = _trouble(
    "not taken, and no answer at all",
    3,
    {
        "email": Behaviour(name="hang", times=1),
        "sms": Behaviour(name="hang", times=1),
        "billing": Behaviour(name="hang", times=1),
    },
    {"email": ("accepted", "unknown"), "sms": ("unknown",), "billing": ("unknown",)},
    {"email": 1, "sms": 0, "billing": 0},
)
BROKEN = _trouble(
    "SMS answered with 503",
    3,
    {"sms": Behaviour(name="unavailable", times=1)},
    {"sms": ("unknown",)},
    {"sms": 0},
)
IN_FLIGHT = _trouble("SMS in flight at the kill", 3, {"sms": Behaviour(name="hang")}, {"sms": ("unknown",)}, {"sms": 0})
TROUBLES = (REFUSED, BUSY, ANSWER_LOST, SILENT, BROKEN)
