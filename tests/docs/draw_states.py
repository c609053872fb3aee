"""Draws what docs/states.md shows of the running tables: `python -m tests.docs.draw_states` from the top folder."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Final

from duly.states import allowance, breaker, delivery, effect, policy
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.delivery import DELIVERY_MOVES
from duly.states.effect import BEGINNINGS, MOVES, Dispatch, Settled, Standing, Step, Terms, after_attempt, after_look_up
from duly.states.look_up import Found, LookUpAnswer, NotThere, Unclear
from duly.states.policy import IdempotencyKey, Keeps, LookUp, Policy
from duly.states.retry import schedule_of
from tests.docs.draw_replay import REPLAY_LAYOUT, replay_moves
from tests.docs.state_picture import Area, Frame, Layout, Pair, Place, Route, picture

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = "docs/states.md"
COMMAND: Final = "python -m tests.docs.draw_states"
NOTHING: Final = "(nothing yet)"

DISPATCH_LAYOUT: Final = Layout(
    title="The dispatch of an effect",
    width=1120,
    height=450,
    places={
        "requested": Place(136, 158, "waiting"),
        "scheduled": Place(136, 258, "waiting"),
        "queued": Place(336, 158, "waiting"),
        "held": Place(336, 258, "waiting"),
        "attempting": Place(650, 208, "calling"),
        "unknown": Place(650, 50, "unknown"),
        "accepted": Place(890, 129, "good"),
        "failed": Place(1040, 208, "bad"),
        "suppressed": Place(102, 394, "closed"),
        "expired": Place(242, 394, "closed"),
        "cancelled": Place(382, 394, "closed"),
    },
    frames={
        "waiting": Frame(
            "nothing is under way, nothing has gone through",
            ("requested", "scheduled", "queued", "held"),
            Area(20, 104, 420, 296),
        ),
        "closed": Frame("closed, with the reason", ("suppressed", "expired", "cancelled"), Area(20, 344, 464, 428)),
    },
    grouped=(("waiting", "attempting"), ("waiting", "closed")),
    routes={
        ("waiting", "attempting"): Route(("right", 0.542), ("left", 0.5), "its time has come (2)", (500, 199)),
        ("waiting", "closed"): Route(
            ("bottom", 0.5), ("top", 0.45), "not wanted, too late or withdrawn (9)", (345, 320)
        ),
        ("requested", "held"): Route(("right", 0.75), ("left", 0.3)),
        ("scheduled", "queued"): Route(("right", 0.25), ("left", 0.7)),
        ("queued", "held"): Route(("bottom", 0.4), ("top", 0.4)),
        ("held", "queued"): Route(("top", 0.6), ("bottom", 0.6)),
        ("attempting", "queued"): Route(("left", 0.1), ("right", 0.5), "not sent: again (4)", (540, 164)),
        ("attempting", "held"): Route(
            ("left", 0.9), ("right", 0.5), "not sent: outage, gateway’s fault (5)", (597, 260)
        ),
        ("attempting", "unknown"): Route(("top", 0.4), ("bottom", 0.4), "perhaps sent (3)", (580, 129)),
        ("unknown", "attempting"): Route(("bottom", 0.7), ("top", 0.7), "policy permits (6)", (737, 129)),
        ("attempting", "accepted"): Route(("right", 0.3), ("left", 0.75), "taken (3)", (816, 176)),
        ("attempting", "failed"): Route(("right", 0.7), ("left", 0.7), "not sent: for good (4)", (800, 209)),
        ("held", "accepted"): Route(("right", 0.85), ("bottom", 0.7), "taken, says a receipt (8)", (700, 310)),
        ("unknown", "accepted"): Route(("right", 0.7), ("left", 0.25), "settled: sent (6)", (836, 88)),
        ("unknown", "failed"): Route(
            ("right", 0.25), ("top", 0.5), "settled: not sent, none is left (6, 7)", (870, 30)
        ),
        ("unknown", "queued"): Route(("left", 0.5), ("top", 0.5), "looked up: not there (7)", (505, 38)),
    },
)

DELIVERY_LAYOUT: Final = Layout(
    title="The delivery of an effect",
    width=900,
    height=400,
    places={
        NOTHING: Place(90, 172, "closed"),
        "sent": Place(310, 92, "waiting"),
        "deferred": Place(310, 172, "waiting"),
        "unconfirmed": Place(310, 252, "unknown"),
        "delivered": Place(640, 92, "good"),
        "read": Place(790, 92, "good"),
        "bounced": Place(640, 172, "bad"),
        "undelivered": Place(790, 172, "bad"),
        "rejected": Place(640, 252, "bad"),
        "expired": Place(790, 252, "bad"),
    },
    frames={
        "open": Frame("not at an end", ("sent", "deferred", "unconfirmed"), Area(228, 42, 436, 292)),
        "ends": Frame(
            "an end was reported",
            ("delivered", "read", "bounced", "undelivered", "rejected", "expired"),
            Area(558, 42, 872, 292),
        ),
    },
    grouped=(("open", "ends"), (NOTHING, "open"), (NOTHING, "ends")),
    routes={
        (NOTHING, "open"): Route(("right", 0.5), ("left", 0.52)),
        (NOTHING, "ends"): Route(
            ("bottom", 0.5), ("bottom", 0.5), "any report may be the first (1)", (400, 326), reach=170
        ),
        ("open", "ends"): Route(("right", 0.52), ("left", 0.52), "forward only (2)", (497, 160)),
        ("sent", "unconfirmed"): Route(("right", 0.5), ("right", 0.5)),
        ("delivered", "bounced"): Route(("bottom", 0.5), ("top", 0.5), "returned later (4)", (698, 130)),
    },
)


def dispatch_moves() -> set[Pair]:
    """The running table of dispatch, by name."""
    return {(state.value, following.value) for state, moves in MOVES.items() for following in moves}


def delivery_moves() -> set[Pair]:
    """The running table of delivery, by name."""
    return {
        (NOTHING if present is None else present.value, reported.value)
        for present, moves in DELIVERY_MOVES.items()
        for reported in moves
    }


def rules(module: ModuleType) -> list[str]:
    """The numbered rules above a table, each on one line."""
    text = (module.__doc__ or "").partition("Rules\n")[2]
    return [" ".join(rule.split()) for rule in re.split(r"^ *\d+\. ", text, flags=re.MULTILINE)[1:]]


def numbered(module: ModuleType) -> str:
    """The rules as a list of the page."""
    return "\n".join(
        textwrap.fill(f"{number}. {rule}", width=120, subsequent_indent="   ", break_on_hyphens=False)
        for number, rule in enumerate(rules(module), start=1)
    )


# What becomes of an effect, by asking the running functions.

GATEWAYS: Final = {
    "`keyed`": (Policy.KEYED, Keeps(key=IdempotencyKey(lifetime=timedelta(days=1)))),
    "`keyed`, and can look up": (
        Policy.KEYED,
        Keeps(key=IdempotencyKey(lifetime=timedelta(days=1)), look_up=LookUp()),
    ),
    "`reconcile`": (Policy.RECONCILE, Keeps(look_up=LookUp())),
    "`at_most_once`": (Policy.AT_MOST_ONCE, Keeps()),
    "`at_least_once`": (Policy.AT_LEAST_ONCE, Keeps()),
}
UNKNOWN: Final = Unknown(evidence="seen")
PASSING: Final = NotSent(reason="seen", permanent=False, fault=Fault.PROVIDER)
ATTEMPTS: Final[list[tuple[str, Outcome, dict[str, object]]]] = [
    ("accepted", Accepted(provider_id="1"), {}),
    ("unknown", UNKNOWN, {}),
    ("unknown, and no attempt is left", UNKNOWN, {"attempts": 2}),
    ("unknown, and its key has gone", UNKNOWN, {"key_age": timedelta(days=2)}),
    ("not sent", PASSING, {}),
    ("not sent, and no attempt is left", PASSING, {"attempts": 2}),
    ("not sent, refused for good", NotSent(reason="seen", permanent=True), {}),
    ("not sent, the gateway’s own fault", NotSent(reason="seen", permanent=False, fault=Fault.GATEWAY), {}),
    ("not sent, the provider is still away", PASSING, {"is_probe": True}),
]
ANSWERS: Final[list[tuple[str, LookUpAnswer, Step, dict[str, object]]]] = [
    ("found", Found(provider_id="1"), Step.LOOK_UP, {}),
    ("not there", NotThere(), Step.LOOK_UP, {}),
    ("not there, for the second time", NotThere(), Step.CONFIRM, {}),
    ("the same, and no attempt is left", NotThere(), Step.CONFIRM, {"attempts": 2}),
    ("no clear answer", Unclear(evidence="seen"), Step.LOOK_UP, {}),
    ("no clear answer, and no look-up is left", Unclear(evidence="seen"), Step.LOOK_UP, {"look_ups": 9}),
]


def terms_of(keeps: Keeps) -> Terms:
    minute = timedelta(minutes=1)
    return Terms(keeps=keeps, retry=schedule_of([5]), hold=minute, wait_max=minute, probe_wait=minute)


def standing_of(policy: Policy, facts: dict[str, object], *, unsettled: int) -> Standing:
    plain = Standing(policy=policy, attempts=1, unsettled=unsettled, look_ups=1)
    known = {name: getattr(plain, name) for name in plain.__struct_fields__}
    return Standing(**{**known, **facts})


def told(settled: Settled) -> str:
    """A decision in words."""
    state = f"`{settled.state.value}`"
    if settled.alarm:
        return f"{state}; a person is told"
    if settled.wait is None:
        return f"{state}; rests" if settled.state is Dispatch.UNKNOWN else state
    words = {Step.ATTEMPT: "tried again", Step.LOOK_UP: "looked up", Step.CONFIRM: "looked up again"}
    return f"{state}; {words[settled.step]}"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def attempts_table(unsettled: int) -> str:
    """What follows each outcome under each policy."""
    rows = [
        [
            name,
            *(
                told(
                    after_attempt(outcome, standing_of(policy, facts, unsettled=unsettled), terms_of(keeps), fraction=1)
                )
                for policy, keeps in GATEWAYS.values()
            ),
        ]
        for name, outcome, facts in ATTEMPTS
    ]
    return table(["the attempt ended", *GATEWAYS], rows)


def answers_table() -> str:
    """What follows each answer to a look-up."""
    terms = terms_of(Keeps(look_up=LookUp()))
    rows = [
        [name, told(after_look_up(answer, step, standing_of(Policy.RECONCILE, facts, unsettled=1), terms, fraction=1))]
        for name, answer, step, facts in ANSWERS
    ]
    return table(["the answer", "the effect"], rows)


SECTIONS: Final[dict[str, Callable[[], str]]] = {
    "rules of dispatch": lambda: numbered(effect),
    "rules of delivery": lambda: numbered(delivery),
    "rules of policies": lambda: numbered(policy),
    "rules of breakers": lambda: numbered(breaker),
    "rules of rates": lambda: numbered(allowance),
    "after a first attempt": lambda: attempts_table(0),
    "after an attempt that follows an unknown one": lambda: attempts_table(1),
    "after a look-up": answers_table,
}


def filled(page: str) -> str:
    """The page, with everything between its marks drawn anew."""
    for name, drawn in SECTIONS.items():
        begin, end = f"<!-- drawn: {name} -->", "<!-- end -->"
        before, mark, rest = page.partition(begin)
        if not mark or end not in rest:
            raise ValueError(f"{PAGE} has no lines {begin} and {end}: write them where the section belongs.")
        page = f"{before}{begin}\n\n{drawn()}\n\n{end}{rest.partition(end)[2]}"
    return page


def drawings() -> dict[str, str]:
    """Every file that is drawn, by its path, with its text."""
    return {
        "docs/pictures/dispatch.svg": picture(
            DISPATCH_LAYOUT, dispatch_moves(), beginnings={state.value for state in BEGINNINGS}
        ),
        "docs/pictures/delivery.svg": picture(DELIVERY_LAYOUT, delivery_moves(), beginnings=set()),
        "docs/pictures/replay.svg": picture(REPLAY_LAYOUT, replay_moves(), beginnings=set()),
        PAGE: filled((ROOT / PAGE).read_text()),
    }


def main() -> None:
    for path, text in drawings().items():
        (ROOT / path).write_text(text)
        print(f"{path} is drawn")


if __name__ == "__main__":
    main()
