"""The picture of docs/why-replay-cannot-send.md, with the arrows that the running wiring permits."""

from __future__ import annotations

from typing import Final

from duly.delivery.dry_run import Forgetful
from duly.work.commands import Commands
from duly.work.effect_requests import Effects
from duly.work.module import HandlerKind
from duly.work.projection_wiring import REFUSED
from duly.work.signature import ALLOWED
from tests.docs.state_picture import Area, Frame, Layout, Pair, Place, Route

REPLAY_LAYOUT: Final = Layout(
    title="Who reaches a gateway, and who cannot",
    width=1120,
    height=420,
    places={
        "event log": Place(90, 200, "waiting"),
        "rebuild": Place(290, 86, "closed"),
        "projection": Place(490, 86, "closed"),
        "read model": Place(690, 86, "good"),
        "dry run": Place(290, 200, "closed"),
        "counts": Place(490, 200, "good"),
        "backfill": Place(290, 286, "waiting"),
        "outbox": Place(490, 286, "waiting"),
        "after_commit": Place(690, 286, "calling"),
        "in_transaction": Place(690, 336, "calling"),
        "command": Place(690, 386, "calling"),
        "ledger": Place(880, 336, "calling"),
        "sender": Place(1040, 336, "calling"),
        "gateway": Place(1040, 200, "bad"),
    },
    frames={
        "replay": Frame(
            "no parameter in here could ask for an effect",
            ("rebuild", "projection"),
            Area(206, 40, 580, 118),
        ),
        "forgetful": Frame("commits are forgotten", ("dry run",), Area(206, 152, 380, 232)),
        "handlers": Frame("handlers", ("after_commit", "in_transaction", "command"), Area(614, 240, 766, 412)),
    },
    grouped=(("handlers", "ledger"), ("handlers", "outbox")),
    routes={
        ("event log", "rebuild"): Route(("top", 0.5), ("left", 0.5)),
        ("event log", "backfill"): Route(("bottom", 0.5), ("left", 0.5), "a person, a reason", (150, 300)),
        ("handlers", "ledger"): Route(("right", 0.558), ("left", 0.5), "effects", (792, 324)),
        ("handlers", "outbox"): Route(("left", 0.85), ("bottom", 0.5), "commands", (520, 385)),
        ("sender", "gateway"): Route(("top", 0.5), ("bottom", 0.5)),
    },
)

ALWAYS: Final[frozenset[Pair]] = frozenset(
    {
        ("event log", "rebuild"),
        ("rebuild", "projection"),
        ("projection", "read model"),
        ("event log", "dry run"),
        ("dry run", "counts"),
        ("event log", "backfill"),
        ("backfill", "outbox"),
        ("outbox", "after_commit"),
        ("ledger", "sender"),
        ("sender", "gateway"),
    }
)
ASKING: Final = (HandlerKind.COMMAND, HandlerKind.IN_TRANSACTION, HandlerKind.AFTER_COMMIT)


def replay_moves() -> set[Pair]:
    """What leads where: what each kind of handler may ask for decides."""
    moves = set(ALWAYS)
    for kind in ASKING:
        if Effects in ALLOWED[kind]:
            moves.add((kind.value, "ledger"))
        if Commands in ALLOWED[kind]:
            moves.add((kind.value, "outbox"))
    if Effects not in REFUSED:
        moves.add(("projection", "ledger"))
    if Commands not in REFUSED:
        moves.add(("projection", "outbox"))
    if not {"commit", "begin"} <= vars(Forgetful).keys():
        moves.add(("dry run", "ledger"))
    return moves
