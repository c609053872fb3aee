"""What a person does to a tenant's effects: each with a name and a reason, each in the audit table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from duly.errors import EffectMoved, EffectNotFound, InvalidInput
from duly.messages.identity import checked_tenant, digest_of
from duly.ports.ledger_view import AuditRow, EffectFilter
from duly.ports.operations import (
    BULK_EFFECTS_MAX,
    EFFECTS_PER_BATCH_MAX,
    Aim,
    Carried,
    Counted,
    Operated,
    Operation,
    OperationStore,
    Plan,
    Refused,
    Verb,
    Verdict,
)
from duly.states.policy import Keeps
from duly.telemetry import current_trace

NAME_CHARACTERS_MAX: Final = 200
"""How long an operator's name, or a provider's id, may be."""
REASON_CHARACTERS_MAX: Final = 500
TOKEN_CHARACTERS: Final = 16
EVERY_VERB: Final = frozenset(Verb)
EVERYTHING: Final = EffectFilter()


class Operations:
    """One person's hand in one tenant's effects; it cannot reach another tenant's.

    Every verb needs a reason, and writes it down with the person's name and the state before and after, in the
    transaction that makes the change. Both stay when a person is erased: write no addresses and no names of customers.
    Raises `InvalidInput` without a name or reason, or for a verb that is not among *may*.
    """

    def __init__(
        self,
        store: OperationStore,
        tenant: str | None,
        *,
        by: str,
        may: Collection[Verb] = EVERY_VERB,
        keeps: Mapping[str, Keeps],
        on_done: Callable[[bool, bool], None],
    ) -> None:
        """*keeps* says by name what gateways can keep; *on_done* hears whether anything was promised, or became due."""
        self.tenant: Final = checked_tenant(tenant)
        self.by: Final = _checked("name", by, NAME_CHARACTERS_MAX, "Say who orders it: by='anna@example.com'.")
        self.may: Final = frozenset(may)
        self._store = store
        self._keeps = keeps
        self._on_done = on_done

    # One effect.

    async def settle(
        self, effect_id: str, verdict: Verdict, *, reason: str, provider_id: str | None = None, again: bool = False
    ) -> Operated:
        """Say of an unknown effect that it was accepted (under *provider_id*), or not sent.

        Not sent, it has failed; with *again* it is queued for one more attempt. Raises `EffectNotFound`, `EffectMoved`.
        """
        return await self._one(effect_id, self._settling(verdict, reason, provider_id, again))

    async def retry(self, effect_id: str, *, reason: str, even_if_twice: bool = False) -> Operated:
        """Order one attempt now, of an effect that is unknown or waits; also against its policy.

        It counts against the schedule like any other attempt. After an unknown one it is marked a possible duplicate,
        unless the key still stops a second one; under *keyed* that needs *even_if_twice*. Raises `EffectNotFound`,
        `EffectMoved`.
        """
        return await self._one(effect_id, self._operation(Verb.RETRY, reason, even_if_twice=even_if_twice))

    async def resend(
        self, effect_id: str, *, reason: str, even_if_twice: bool = False, generation: int | None = None
    ) -> Operated:
        """Send what an effect held again, as a new effect that names it: `resent_as`.

        *generation* says which one in the row of resends this shall be (1 for the first): asked for twice, it is made
        once. Without it each call makes the next one. What is unknown needs *even_if_twice*. Raises `EffectNotFound`,
        `EffectMoved`, also while the old one may still go out by itself.
        """
        if generation is not None and generation < 1:
            raise InvalidInput(f"generation is {generation}; the first effect that is sent again is generation 1.")
        operation = self._operation(Verb.RESEND, reason, even_if_twice=even_if_twice, generation=generation)
        return await self._one(effect_id, operation)

    async def cancel(self, effect_id: str, *, reason: str) -> Operated:
        """Withdraw an effect that waits. Raises `EffectNotFound`, `EffectMoved`."""
        return await self._one(effect_id, self._operation(Verb.CANCEL, reason))

    async def release(self, effect_id: str, *, reason: str) -> Operated:
        """Let go of an effect that is held: it is queued now. Raises `EffectNotFound`, `EffectMoved`."""
        return await self._one(effect_id, self._operation(Verb.RELEASE, reason))

    # Many.

    async def plan(
        self,
        verb: Verb,
        wanted: EffectFilter = EVERYTHING,
        *,
        verdict: Verdict | None = None,
        again: bool = False,
        even_if_twice: bool = False,
    ) -> Plan:
        """Count the effects that match *wanted* and that *verb* may fit; nothing is changed.

        What was sent again before is left out of a resend. Raises `InvalidInput` when there are too many for one plan.
        """
        self._check_right(verb)
        _check_settling(verb, verdict, again)
        wanted.check()
        if verb is Verb.RESEND and not wanted.states:
            raise InvalidInput(
                "To send many effects again, name their states: EffectFilter(states=(Dispatch.FAILED,)). Without them "
                "it would be everything that the tenant ever sent."
            )
        found = await self._store.count_for(self.tenant, verb, wanted, BULK_EFFECTS_MAX + 1)
        if len(found) > BULK_EFFECTS_MAX:
            raise InvalidInput(
                f"More than {BULK_EFFECTS_MAX:,} effects match. Do it in parts: narrow the filter, as by time."
            )
        aims = tuple(Aim(one.effect_id, one.moves) for one in found)
        orders = f"{verb.value}/{verdict and verdict.value}/{again}/{even_if_twice}"
        counted = (f"{aim.effect_id}/{aim.moves}" for aim in aims)
        return Plan(
            tenant=self.tenant,
            verb=verb,
            verdict=verdict,
            again=again,
            even_if_twice=even_if_twice,
            effects=aims,
            by_state=_counts(one.state.value for one in found),
            by_type=_counts(one.type for one in found),
            by_gateway=_counts(one.gateway for one in found),
            oldest=_first(found),
            newest=_first(found[::-1]),
            token=digest_of(self.tenant, orders, *counted)[:TOKEN_CHARACTERS],
        )

    async def carry_out(
        self, plan: Plan, *, reason: str, on_progress: Callable[[Carried], None] | None = None
    ) -> Carried:
        """Do what *plan* has counted, on exactly these effects, in batches that are committed one by one.

        Effects that moved since are passed over and told, with the reason. Carried out twice, it does nothing twice.
        *on_progress* hears after every batch. Raises `InvalidInput` for another tenant's plan.
        """
        if plan.tenant != self.tenant:
            raise InvalidInput(f"This plan was counted in tenant {plan.tenant!r}, not in {self.tenant!r}.")
        operation = self._planned(plan, reason)
        carried = Carried(total=plan.count)
        for begin in range(0, plan.count, EFFECTS_PER_BATCH_MAX):
            batch = plan.effects[begin : begin + EFFECTS_PER_BATCH_MAX]
            written = await self._store.operate(operation, batch, self._keeps)
            operated = tuple(result for result in written.results if isinstance(result, Operated))
            self._on_done(written.has_promised, bool(operated))
            carried = Carried(
                total=plan.count,
                operated=(*carried.operated, *(one for one in operated if not one.is_repeat)),
                passed_over=(
                    *carried.passed_over,
                    *(result for result in written.results if isinstance(result, Refused)),
                    *(_sent_before(one) for one in operated if one.is_repeat),
                ),
            )
            if on_progress is not None:
                on_progress(carried)
        return carried

    async def audit(self, effect_id: str | None = None, *, rows_max: int = 100) -> list[AuditRow]:
        """What people did in this tenant, or to one of its effects; the latest first."""
        return await self._store.audit(self.tenant, effect_id=effect_id, rows_max=rows_max)

    async def _one(self, effect_id: str, operation: Operation) -> Operated:
        written = await self._store.operate(operation, [Aim(effect_id)], self._keeps)
        (result,) = written.results
        if isinstance(result, Refused):
            if result.is_missing:
                raise EffectNotFound(f"Tenant {self.tenant!r} has no effect {effect_id!r}.")
            raise EffectMoved(f"Effect {effect_id} {result.reason}")
        self._on_done(written.has_promised, True)
        return result

    def _planned(self, plan: Plan, reason: str) -> Operation:
        if plan.verb is Verb.SETTLE:
            _check_settling(plan.verb, plan.verdict, plan.again)
        operation = self._operation(plan.verb, reason, even_if_twice=plan.even_if_twice)
        return msgspec.structs.replace(
            operation,
            verdict=plan.verdict,
            again=plan.again,
            # None of them had been sent again when it was counted.
            generation=1 if plan.verb is Verb.RESEND else None,
            plan=plan.token,
        )

    def _settling(self, verdict: Verdict, reason: str, provider_id: str | None, again: bool) -> Operation:
        _check_settling(Verb.SETTLE, verdict, again)
        if provider_id is not None:
            if verdict is not Verdict.ACCEPTED:
                raise InvalidInput("provider_id= says where the provider has it; what was not sent has none.")
            _checked("provider_id", provider_id, NAME_CHARACTERS_MAX, "Leave it out when it is not known.")
        operation = self._operation(Verb.SETTLE, reason)
        return msgspec.structs.replace(operation, verdict=verdict, provider_id=provider_id, again=again)

    def _operation(
        self, verb: Verb, reason: str, *, even_if_twice: bool = False, generation: int | None = None
    ) -> Operation:
        self._check_right(verb)
        return Operation(
            tenant=self.tenant,
            verb=verb,
            by=self.by,
            reason=_checked(
                "reason", reason, REASON_CHARACTERS_MAX, "Say why, for whoever reads it later: reason='…'."
            ),
            even_if_twice=even_if_twice,
            generation=generation,
            trace=current_trace(),
        )

    def _check_right(self, verb: Verb) -> None:
        if verb not in self.may:
            rights = ", ".join(sorted(right.value for right in self.may)) or "nothing"
            raise InvalidInput(f"{self.by} may not {verb.value} effects here. What {self.by} may do: {rights}.")


def _check_settling(verb: Verb, verdict: Verdict | None, again: bool) -> None:
    if (verb is Verb.SETTLE) is (verdict is None):
        raise InvalidInput(
            "To settle an effect needs a verdict, Verdict.ACCEPTED or Verdict.NOT_SENT; no other verb takes one."
        )
    if again and verdict is not Verdict.NOT_SENT:
        raise InvalidInput("again=True tries once more what was not sent: it needs Verdict.NOT_SENT.")


def _checked(name: str, text: str, characters_max: int, cure: str) -> str:
    """*text* without spaces around, if it says anything. Raises `InvalidInput`."""
    said = text.strip()
    if not 0 < len(said) <= characters_max or not said.isprintable():
        raise InvalidInput(
            f"An operation's {name} has 1 to {characters_max} printable characters; this one has {len(said)}. {cure}"
        )
    return said


def _counts(names: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """How often each name is there, the most frequent first."""
    return tuple(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def _first(found: list[Counted]) -> datetime | None:
    return found[0].requested_at if found else None


def _sent_before(operated: Operated) -> Refused:
    return Refused(effect_id=operated.effect_id, reason=f"was sent again already, as {operated.resent_as}.")
