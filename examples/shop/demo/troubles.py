"""How the providers behave to some people, and what must become of those people's effects."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from examples.shop.sandbox.behaviours import BehaviourName
from examples.shop.sandbox.receipt_rules import Mood, Result
from examples.shop.sandbox.record import Channel

USUAL_STATES: Mapping[Channel, tuple[str, ...]] = {
    "email": ("accepted", "accepted"),
    "sms": ("accepted",),
    "billing": ("accepted",),
}
WITH_A_MAIL_INSTEAD = ("accepted", "accepted", "accepted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How a provider behaves, for so many requests; always if None. *seconds*: see the sandbox's behaviours."""

    name: BehaviourName
    times: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a provider reports what became of what it took, and what that is: the usual if None."""

    mood: Mood = "normal"
    result: Result | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trouble:
    """How the providers behave to one person, and what must become of that person's order. Each is equal to itself.

    `states`: those of its effects in the ledger, in alphabetical order. `taken`: how many the provider has in the end.
    """

    name: str
    point: int
    behaviours: Mapping[Channel, Behaviour]
    states: Mapping[Channel, tuple[str, ...]]
    taken: Mapping[Channel, int]
    reports: Mapping[Channel, Report] = field(default_factory=dict)


def trouble(
    name: str,
    point: int,
    behaviours: Mapping[Channel, Behaviour],
    states: Mapping[Channel, tuple[str, ...]],
    taken: Mapping[Channel, int],
    reports: Mapping[Channel, Report] | None = None,
) -> Trouble:
    """A trouble in which every channel that is not named goes as usual: two mails, an SMS, an invoice, each taken."""
    every_state = {channel: states.get(channel, usual) for channel, usual in USUAL_STATES.items()}
    return Trouble(
        name=name,
        point=point,
        behaviours=behaviours,
        states=every_state,
        taken={channel: taken.get(channel, len(found)) for channel, found in every_state.items()},
        reports=reports or {},
    )


NONE = trouble("none", 6, {}, {}, {})
REFUSED = trouble(
    "refused by the provider",
    6,
    {"email": Behaviour(name="refuse"), "sms": Behaviour(name="refuse"), "billing": Behaviour(name="refuse")},
    # The mail instead of the SMS is refused as well.
    {"email": ("failed", "failed", "failed"), "sms": ("failed",), "billing": ("failed",)},
    {"email": 0, "sms": 0, "billing": 0},
)
BUSY = trouble(
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
ANSWER_LOST = trouble(
    "taken, but the answer is dropped",
    3,
    {
        "email": Behaviour(name="accept_and_drop", times=1),
        "sms": Behaviour(name="accept_and_drop", times=1),
        "billing": Behaviour(name="accept_and_drop", times=1),
    },
    {"email": ("accepted", "unknown"), "sms": ("unknown",)},
    {},
    {"sms": Report(mood="none")},
)
SILENT = trouble(
    "not taken, and no answer at all",
    3,
    {
        "email": Behaviour(name="hang", times=1),
        "sms": Behaviour(name="hang", times=1),
        "billing": Behaviour(name="hang", times=1),
    },
    {"email": ("accepted", "unknown"), "sms": ("unknown",)},
    {"email": 1, "sms": 0},
)
BROKEN = trouble(
    "SMS answered with 503",
    3,
    {"sms": Behaviour(name="unavailable", times=1)},
    {"sms": ("unknown",)},
    {"sms": 0},
)
IN_FLIGHT = trouble("SMS in flight at the kill", 3, {"sms": Behaviour(name="hang")}, {"sms": ("unknown",)}, {"sms": 0})

# Point 9: receipts.
REPORTED = trouble(
    "the answer is dropped, a receipt comes",
    9,
    {"sms": Behaviour(name="accept_and_drop", times=1)},
    {},
    {},
)
FORGED = trouble(
    "the answer is dropped, a forged receipt comes",
    9,
    {"sms": Behaviour(name="accept_and_drop", times=1)},
    {"sms": ("unknown",)},
    {},
    {"sms": Report(mood="forged"), "billing": Report(mood="forged")},
)
TAMPERED = trouble(
    "taken; a receipt is changed on its way, an event is old",
    9,
    {},
    {},
    {},
    {"sms": Report(mood="tampered"), "billing": Report(mood="stale")},
)
# Point 10: keys and look-ups.
GONE = trouble(
    "invoiced, then the provider is gone: same key again",
    10,
    {"billing": Behaviour(name="accept_and_die", times=1, seconds=0.2)},
    {},
    {},
)
ALWAYS_500 = trouble(
    "invoiced, but every answer is 500: looked up",
    10,
    {"billing": Behaviour(name="accept_and_fail")},
    {},
    {},
)
ALWAYS_503 = trouble(
    "never invoiced, every answer is 503: looked up",
    10,
    {"billing": Behaviour(name="unavailable")},
    {"billing": ("failed",)},
    {"billing": 0},
)
# Point 11: a mail goes out instead of an SMS.
NOT_TEXTED = trouble(
    "SMS refused: a mail instead",
    11,
    {"sms": Behaviour(name="refuse")},
    {"email": WITH_A_MAIL_INSTEAD, "sms": ("failed",)},
    {"sms": 0},
)
UNDELIVERED = trouble(
    "SMS taken, not delivered: a mail instead",
    11,
    {},
    {"email": WITH_A_MAIL_INSTEAD},
    {},
    {"sms": Report(result="undelivered")},
)
# Point 12: a person settles what nobody else can.
FOUND = trouble(
    "taken, answer and receipts lost: a person finds it there",
    12,
    {"sms": Behaviour(name="accept_and_drop", times=1)},
    {},
    {},
    {"sms": Report(mood="none")},
)
NOT_FOUND = trouble(
    "not taken, no answer: a person has it tried again",
    12,
    {"sms": Behaviour(name="unavailable", times=1)},
    {},
    {},
)
TROUBLES = (
    *(REFUSED, BUSY, ANSWER_LOST, SILENT, BROKEN),
    *(REPORTED, FORGED, TAMPERED),
    *(GONE, ALWAYS_500, ALWAYS_503),
    *(NOT_TEXTED, UNDELIVERED),
    *(FOUND, NOT_FOUND),
)
LOOKED_UP = (ALWAYS_500, ALWAYS_503)
"""Met last: a look-up uses the connections of calls, and while all of those hang (`SILENT`) it finds none that is free.
The kill is over by then, so that nothing of these orders is lost with a worker."""
