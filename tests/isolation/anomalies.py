"""What can go wrong between concurrent transactions, after Adya (1999) and Elle (Kingsbury and Alvaro, 2020)."""

from __future__ import annotations

from enum import Enum

import msgspec


class Kind(Enum):
    """An anomaly. None of these may be found where duly promises isolation."""

    ABORTED_READ = "G1a: a read of what was refused"
    INTERMEDIATE_READ = "G1b: a read between two writes of one command"
    CIRCULAR_FLOW = "G1c: circular information flow"
    DIRTY_WRITE = "G0: writes in a circle"
    READ_SKEW = "G-single: a read of two moments, or half a change"
    WRITE_SKEW = "G2: write skew"
    STALE = "an answer older than one that was given before it was asked for"
    LOST_UPDATE = "lost update"
    DIVERGED = "two orders of the same writes"
    PHANTOM_WRITE = "a write that nobody asked for"
    VANISHED = "an acknowledged write that is gone"
    REFUSED_WRITE = "a refused write that is there"
    HALF_CHANGE = "half a change"
    TWICE = "one command applied twice"
    TWO_ANSWERS = "two answers to one command id"
    TWO_OWNERS = "two owners of a unique value"
    ROWS_DISAGREE = "documents, log, inbox, ledger and outbox disagree"
    ORDER = "events of one stream out of order"


class Anomaly(msgspec.Struct, frozen=True):
    """What was found, and how it shows."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.text}"
