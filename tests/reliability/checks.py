"""The standing invariants. Each checker reads the history and the rows, and says what it found, a sentence each."""

from __future__ import annotations

from typing import Final

from duly.testing.history import History
from tests.reliability.ledger_rows import EffectRow, Rows

WORKER_LOST: Final = "the worker was lost during the call"


def nothing_acknowledged_is_lost(history: History, rows: Rows) -> list[str]:
    """I1: what was acknowledged is there, with its one effect."""
    acknowledged = {entry.about for entry in history.of("acknowledged")}
    effects = [effect.reference for effect in rows.effects]
    found = [f"I1: order {order} was acknowledged and is lost" for order in sorted(acknowledged - rows.orders)]
    found += [
        f"I1: order {order} has {effects.count(order)} effects"
        for order in sorted(rows.orders)
        if effects.count(order) != 1
    ]
    return found


def nothing_is_sent_from_a_rollback(history: History, rows: Rows) -> list[str]:
    """I2: the provider was called for committed effects only, and none belongs to what was refused."""
    known = {effect.reference for effect in rows.effects}
    refused = {entry.about for entry in history.of("refused")}
    found = [
        f"I2: {entry.about} was called, and is no effect" for entry in history.of("called") if entry.about not in known
    ]
    return found + [f"I2: {one} was refused, and has an effect" for one in sorted(refused & known)]


def taken_once_or_unknown(history: History, rows: Rows) -> list[str]:
    """I3: a provider takes an effect once, or the ledger says unknown, or counts the possible duplicates."""
    found: list[str] = []
    for effect in rows.effects:
        taken = history.count("taken", effect.reference)
        told = f"{effect.reference} ({effect.policy}) is {effect.state}, and the provider took it {taken} times"
        if effect.policy == "at_least_once":
            if taken > 1 + effect.marked:
                found.append(f"I3: {told}; {effect.marked} attempts are marked as possible duplicates")
        elif taken > 1:
            found.append(f"I3: {told}")
        if (effect.state == "accepted" and not taken) or (effect.state == "failed" and taken):
            found.append(f"I3: {told}")
        last = [attempt.outcome for attempt in effect.attempts if attempt.outcome == "accepted"]
        calls = history.count("called", effect.reference)
        if calls > len(effect.attempts):
            found.append(f"I3: {effect.reference} was called {calls} times under {len(effect.attempts)} attempts")
        if effect.state == "accepted" and not last and effect.policy not in ("reconcile", "keyed"):
            found.append(f"I3: {effect.reference} is accepted, and no attempt is")
    return found


def handlers_wrote_once(rows: Rows) -> list[str]:
    """I5: a handler's own database effects happen once."""
    return [f"I5: order {order} was counted {count} times" for order, count in rows.tallies.items() if count != 1] + [
        f"I5: order {order} was not counted" for order in sorted(rows.orders - rows.tallies.keys())
    ]


def it_has_drained(rows: Rows) -> list[str]:
    """I7: nothing is under way, due, undelivered or parked any more."""
    found = [
        f"I7: {effect.reference} is left {effect.state} ({effect.reason})"
        for effect in rows.effects
        if not effect.is_at_rest or effect.state not in ("accepted", "failed", "unknown")
    ]
    if rows.undelivered or rows.parked:
        found.append(f"I7: {rows.undelivered} messages are undelivered, {rows.parked} parked")
    return found


def unknown_is_explained(rows: Rows) -> list[str]:
    """I9: what is unknown has a reason, an attempt that says what was seen and, if it needs a person, an alarm."""
    found: list[str] = []
    for effect in rows.effects:
        if effect.state != "unknown":
            continue
        if not effect.reason or not any(a.outcome == "unknown" and a.evidence for a in effect.attempts):
            found.append(f"I9: {effect.reference} is unknown, and nothing says why")
        if effect.policy != "at_most_once" and effect.is_at_rest and effect.id not in rows.alarms:
            found.append(f"I9: {effect.reference} needs a person, and nobody is told")
    return found


def lost_attempts(rows: Rows) -> int:
    """How many attempts were written off with their worker."""
    return sum(WORKER_LOST in attempt.evidence for effect in rows.effects for attempt in effect.attempts)


def unknown(rows: Rows) -> list[EffectRow]:
    """The effects that are unknown."""
    return [effect for effect in rows.effects if effect.state == "unknown"]


def all_invariants(history: History, rows: Rows) -> list[str]:
    """I1, I2, I3, I5, I7 and I9."""
    return [
        *nothing_acknowledged_is_lost(history, rows),
        *nothing_is_sent_from_a_rollback(history, rows),
        *taken_once_or_unknown(history, rows),
        *handlers_wrote_once(rows),
        *it_has_drained(rows),
        *unknown_is_explained(rows),
    ]
