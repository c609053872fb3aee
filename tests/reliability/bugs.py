"""Bugs that are put back on purpose: a scenario that stays green with its bug shows nothing.

Each is a patch of the running process. Production code has no switch for any of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any, Final, TypeAlias
from unittest.mock import patch

import msgspec

from duly.effects import breakers, sender, senders
from duly.ports.change import Change, Intent
from duly.ports.ledger import Claimed, Ended
from duly.ports.outcomes import Hearers
from duly.states.effect import Dispatch, Settled, after_attempt
from duly.stores import attempt_ends, turn_script
from duly.stores.script import Script, Statement
from duly.work.unit_of_work import UnitOfWork

Bug: TypeAlias = Callable[[ExitStack], None]


@contextmanager
def put_back(name: str) -> Iterator[None]:
    """The bug called *name* is there as long as the block runs; none, if the name is empty."""
    with ExitStack() as stack:
        if name:
            BUGS[name](stack)
        yield


def _without(stack: ExitStack, module: Any, name: str, *left_out: str) -> None:
    """Leave words out of a statement. Raises `ValueError` when it does not have them."""
    text: str = getattr(module, name)
    for words in left_out:
        if words not in text:
            raise ValueError(f"{name} has no {words!r} to leave out: write this bug anew.")
        text = text.replace(words, "")
    stack.enter_context(patch.object(module, name, text))


# R02.


def lost_attempts_are_queued(stack: ExitStack) -> None:
    """An attempt whose worker was lost is taken for one that was not sent."""

    def queued(self: senders.Senders, gateway: str, standing: object) -> Settled:
        return Settled(state=Dispatch.QUEUED, reason="again", wait=timedelta())

    stack.enter_context(patch.object(senders.Senders, "_settle_lost", queued))


def attempts_are_written_after_the_call(stack: ExitStack) -> None:
    """A claim leaves no trace but a short reservation; the attempt is written with its outcome."""
    begin, end = turn_script._begin, turn_script.end_attempts

    def reserve(*given: Any) -> Script[list[Claimed]]:
        claimed = yield from begin(*given)
        for one in claimed:
            yield Statement("DELETE FROM duly.attempt WHERE token = :token", {"token": one.token})
            yield Statement(
                "UPDATE duly.effect SET state = 'queued', attempts = attempts - 1, counted = counted - 1, "
                "lease_ms = NULL, due_ms = duly.now_ms() + 1500 WHERE id = :id",
                {"id": one.effect_id},
            )
        return claimed

    def write_late(ended: Sequence[Ended], hearers: Hearers) -> Script[tuple[list[bool], bool]]:
        for one in ended:
            yield Statement(
                "UPDATE duly.effect SET state = 'attempting', attempts = attempts + 1, counted = counted + 1 "
                "WHERE id = :id AND token = :token",
                {"id": one.effect_id, "token": one.token},
            )
            yield Statement(
                turn_script.INSERT_ATTEMPTS,
                {"owner": "late", "token": one.token, "ids": [one.effect_id], "duplicates": []},
            )
        return (yield from end(ended, hearers))

    stack.enter_context(patch.object(turn_script, "_begin", reserve))
    stack.enter_context(patch.object(turn_script, "end_attempts", write_late))


def possible_duplicates_are_not_marked(stack: ExitStack) -> None:
    """An attempt after an unknown one looks like any other."""
    stack.enter_context(patch.object(turn_script, "_may_duplicate", lambda *given: False))


# R05.


def stale_outcomes_are_written(stack: ExitStack) -> None:
    """Who has written an attempt off is not asked when its outcome comes."""
    for name in ("END_EFFECTS", "END_EFFECTS_HEARD"):
        _without(stack, attempt_ends, name, " AND e.token = r.held_token AND e.state = 'attempting'")


# R27.


def breakers_never_open(stack: ExitStack) -> None:
    """A provider that is away is called as if it were there."""
    stack.enter_context(patch.object(breakers, "trips", lambda *given: False))


# R29.


def intents_are_written_outside_of_the_transaction(stack: ExitStack) -> None:
    """An effect is on disk once it was requested, whatever becomes of the transaction."""
    intend = UnitOfWork.intend
    writes: set[asyncio.Task[object]] = set()

    def at_once(self: UnitOfWork, intent: Intent) -> None:
        store: Any = self.store
        writes.add(asyncio.ensure_future(store.commit(Change(tenant=self.tenant, intents=(intent,)))))
        intend(self, intent)

    stack.enter_context(patch.object(UnitOfWork, "intend", at_once))


# R31.


def unknown_is_tried_again(stack: ExitStack) -> None:
    """Under every policy an unknown outcome is tried again, without a key if need be."""

    def again(outcome: Any, standing: Any, terms: Any, *, fraction: float) -> Settled:
        settled = after_attempt(outcome, standing, terms, fraction=fraction)
        if settled.state is Dispatch.UNKNOWN and standing.attempts < 3:
            return msgspec.structs.replace(settled, wait=timedelta())
        return settled

    stack.enter_context(patch.object(sender, "after_attempt", again))


def keys_live_for_ever(stack: ExitStack) -> None:
    """A key is used again after the provider has forgotten it."""
    stack.enter_context(patch.object(turn_script, "when_key_has_gone", lambda *given: None))


def unknown_says_nothing(stack: ExitStack) -> None:
    """What was seen is not written down."""

    def silent(outcome: Any) -> tuple[str, str, str | None]:
        name, _, provider_id = told(outcome)
        return name, "", provider_id

    told = sender.told
    stack.enter_context(patch.object(sender, "told", silent))


BUGS: Final[Mapping[str, Bug]] = {
    bug.__name__: bug
    for bug in (
        lost_attempts_are_queued,
        attempts_are_written_after_the_call,
        possible_duplicates_are_not_marked,
        stale_outcomes_are_written,
        breakers_never_open,
        intents_are_written_outside_of_the_transaction,
        unknown_is_tried_again,
        keys_live_for_ever,
        unknown_says_nothing,
    )
}
