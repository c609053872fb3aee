"""Bugs that are put back on purpose: a scenario that stays green with its bug shows nothing.

Each is a patch of the running process. Production code has no switch for any of them.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any, Final, TypeAlias
from unittest.mock import patch

import msgspec

from duly.effects import breakers, calling, sender, senders
from duly.gateways import webhook_verifying
from duly.gateways.http_messages import HttpResponse
from duly.gateways.json_http import JsonHttpGateway
from duly.gateways.network_policy import NetworkPolicy
from duly.messages.message import Effect
from duly.ports.change import Change, Intent
from duly.ports.gateway import Call
from duly.ports.ledger import BreakerMove, Claimed, Ended
from duly.ports.outcomes import Hearers
from duly.states.attempt import NotSent, Outcome
from duly.states.effect import Dispatch, Settled, after_attempt
from duly.stores import attempt_ends, receipt_moves, turn_script, view_scripts
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
    begin, end = turn_script._begin, attempt_ends.end_attempts

    def reserve(*given: Any) -> Script[tuple[list[Claimed], list[BreakerMove]]]:
        claimed, moves = yield from begin(*given)
        for one in claimed:
            yield Statement("DELETE FROM duly.attempt WHERE token = :token", {"token": one.token})
            yield Statement(
                "UPDATE duly.effect SET state = 'queued', attempts = attempts - 1, counted = counted - 1, "
                "lease_ms = NULL, due_ms = duly.now_ms() + 1500 WHERE id = :id",
                {"id": one.effect_id},
            )
        return claimed, moves

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

    told = calling.told
    stack.enter_context(patch.object(sender, "told", silent))


# Receipts, and the lines S08 to S11.


def signatures_are_not_compared(stack: ExitStack) -> None:
    """Whoever knows the address of a receipt route is believed."""
    stack.enter_context(patch.object(hmac, "compare_digest", lambda one, other: True))
    stack.enter_context(patch.object(webhook_verifying, "_verifier", lambda secret: lambda body, headers: True))


def deliveries_move_backwards(stack: ExitStack) -> None:
    """The report that came last wins."""
    stack.enter_context(patch.object(receipt_moves, "moves_forward", lambda present, following: True))


def a_where_without_its_tenant(stack: ExitStack) -> None:
    """An effect's id is enough to see it."""
    _without(stack, view_scripts, "SELECT_EFFECT", " AND e.tenant = :tenant")


def addresses_are_not_checked(stack: ExitStack) -> None:
    """What a name leads to is connected to."""
    stack.enter_context(patch.object(NetworkPolicy, "refusal_of_address", lambda self, text, **rest: None))


def reasons_quote_the_body(stack: ExitStack) -> None:
    """A refusal repeats what was to be sent."""
    outcome = JsonHttpGateway._outcome

    def quoting(self: JsonHttpGateway[Effect], call: Call, answer: HttpResponse) -> Outcome:
        decided = outcome(self, call, answer)
        if isinstance(decided, NotSent):
            return msgspec.structs.replace(decided, reason=f"{decided.reason}: {call.prepared.body.decode()}")
        return decided

    stack.enter_context(patch.object(JsonHttpGateway, "_outcome", quoting))


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
        signatures_are_not_compared,
        deliveries_move_backwards,
        a_where_without_its_tenant,
        addresses_are_not_checked,
        reasons_quote_the_body,
    )
}
