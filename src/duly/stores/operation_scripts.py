"""What people do to effects: the change and its audit row in one transaction, for one effect or many.

Effects are locked in the order of their ids before they are looked at. So of two people, or of a person and a sender, a
look-up or a receipt, one comes first, and the other sees what it has made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from duly.clock import time_of
from duly.messages.envelope import Link, decode_chain, encode_chain
from duly.messages.identity import derived_id
from duly.ports.ledger import destination_key
from duly.ports.ledger_view import AuditRow, EffectFilter
from duly.ports.operation_rules import FITS, Declined, Ordered, Present, rule
from duly.ports.operations import (
    Aim,
    Counted,
    Operated,
    Operation,
    OperationsWritten,
    Refused,
    Result,
    Verb,
)
from duly.ports.outcomes import Hearers
from duly.states.effect import Dispatch
from duly.states.policy import Keeps
from duly.stores.effect_moves import EffectRow, Move, lock_effects, move_effects
from duly.stores.receipt_moves import BY_RECEIPT
from duly.stores.script import Row, Script, Statement, json_rows, storable
from duly.stores.view_scripts import audit_row, query_script

RESEND: Final = "duly.resend"
"""The handler of effects that a person sent again, as their ids and chains of causes name it."""

SELECT_OWN: Final = "SELECT id FROM duly.effect WHERE tenant = :tenant AND id = ANY(:ids)"
SELECT_PRESENT: Final = """
SELECT e.id, CASE WHEN e.lease_ms IS NULL THEN 0 ELSE 1 END, e.resends, e.handler,
       CASE WHEN e.expires_ms <= duly.now_ms() THEN 1 ELSE 0 END,
       (SELECT count(*) FROM duly.effect_content AS c WHERE c.effect_id = e.id),
       coalesce((SELECT p.reason FROM duly.pause AS p WHERE p.tenant = e.tenant), ''), e.destination
  FROM duly.effect AS e WHERE e.id = ANY(:ids)
"""
# A person who orders an attempt knows more than the breaker: one effect asks at once whether the provider is back.
ASK_NOW: Final = """
UPDATE duly.breaker AS b SET until_ms = duly.now_ms()
  FROM JSON_ROWS(:places, at_gateway text, at_place text) AS r
 WHERE b.gateway = r.at_gateway AND b.destination = r.at_place AND b.is_probing = 0 AND b.until_ms > duly.now_ms()
"""
INSERT_AUDIT: Final = """
INSERT INTO duly.audit (tenant, effect_id, verb, by_whom, reason, state_before, state_after, detail, at_ms)
SELECT :tenant, r.about, :verb, :by, :reason, r.was, r.became, r.told, duly.now_ms()
  FROM JSON_ROWS(:rows, place integer, about text, was text, became text, told text) AS r ORDER BY r.place
"""
# The same bytes, under an id and a key of its own, from now on.
INSERT_RESENDS: Final = """
INSERT INTO duly.effect (id, tenant, type, channel, gateway, policy, key, digest, reference, correlation, destination,
                         urgent, barred, resend_of, state, handler, chain, trace, requested_ms, changed_ms, due_ms)
SELECT r.new_id, e.tenant, e.type, e.channel, e.gateway, e.policy, r.new_id, e.digest, e.reference, e.correlation,
       e.destination, e.urgent, e.barred, e.id, 'requested', :handler, r.new_chain, r.new_trace, now.ms, now.ms, now.ms
  FROM JSON_ROWS(:resends, place integer, old_id text, new_id text, new_chain text, new_trace text) AS r,
       duly.effect AS e, (SELECT duly.now_ms() AS ms) AS now
 WHERE e.id = r.old_id
 ORDER BY r.place
"""
INSERT_CONTENTS: Final = """
INSERT INTO duly.effect_content (effect_id, tenant, channel, requested_ms, subject, recipient, recipient_hash, summary,
                                 content_type, body, attachments)
SELECT e.id, e.tenant, e.channel, e.requested_ms, c.subject, c.recipient, c.recipient_hash, c.summary, c.content_type,
       c.body, c.attachments
  FROM JSON_ROWS(:resends, old_id text, new_id text) AS r, duly.effect_content AS c, duly.effect AS e
 WHERE c.effect_id = r.old_id AND e.id = r.new_id
"""
COUNT_RESENDS: Final = "UPDATE duly.effect SET resends = resends + 1 WHERE id = ANY(:ids)"
SELECT_FITTING: Final = """
SELECT e.id, e.moves, e.state, e.type, e.gateway, e.requested_ms FROM ({arms}) AS e
 ORDER BY e.requested_ms, e.no LIMIT :rows_max
"""
SELECT_AUDIT: Final = """
SELECT effect_id, verb, by_whom, reason, state_before, state_after, detail, at_ms
  FROM duly.audit WHERE tenant = :tenant{about} ORDER BY id DESC LIMIT :rows_max
"""


class _Ruled(msgspec.Struct, frozen=True, kw_only=True):
    """An effect that an operation fits, and what becomes of it."""

    row: EffectRow
    handler: str
    destination: str
    ordered: Ordered

    def places(self) -> set[tuple[str, str]]:
        """Whose breakers could hold it back."""
        return {(self.row.gateway, ""), (self.row.gateway, destination_key(self.row.tenant, self.destination))}

    def resend_id(self) -> str:
        """The id of the new effect: the same for the same generation, whoever asks for it."""
        return derived_id(self.row.tenant, self.row.id, handler=RESEND, ordinal=self.ordered.generation)


def operate_script(
    operation: Operation, aims: Sequence[Aim], keeps: Mapping[str, Keeps], hearers: Hearers
) -> Script[OperationsWritten]:
    """Carry *operation* out on each of *aims* that it fits."""
    ids = sorted({storable(aim.effect_id) for aim in aims})
    own = yield Statement(SELECT_OWN, {"tenant": operation.tenant, "ids": ids})
    rows = yield from lock_effects(str(row[0]) for row in own.rows)
    # Read after the lock was granted: this statement sees what the one before has left.
    found = yield Statement(SELECT_PRESENT, {"ids": [row.id for row in rows]})
    facts = {str(fact[0]): fact for fact in found.rows}
    locked = {row.id: row for row in rows}
    results: list[Result] = []
    ruled: list[_Ruled] = []
    for aim in aims:
        row = locked.get(aim.effect_id)
        judged = _judge(operation, aim, row, facts.get(aim.effect_id), keeps)
        if isinstance(judged, _Ruled):
            ruled.append(judged)
            results.append(_operated(judged))
        else:
            results.append(judged)
    has_promised = yield from _carry_out(operation, ruled, hearers)
    return OperationsWritten(results=tuple(results), has_promised=has_promised)


NARROWER: Final[Mapping[Verb, tuple[str, ...]]] = {
    Verb.RESEND: ("e.resends = 0",),
    Verb.SETTLE: (f"(e.state <> 'held' OR e.hold = '{BY_RECEIPT}')",),
}
"""What a verb fits only if it also holds."""


def count_script(tenant: str, verb: Verb, wanted: EffectFilter, rows_max: int) -> Script[list[Counted]]:
    """A tenant's effects that match and that *verb* may fit, the oldest first.

    What was sent again already is left out of a resend: a plan that is made twice does nothing twice.
    """
    fitting = FITS[verb] & (set(wanted.states) or FITS[verb])
    states = tuple(sorted(fitting, key=lambda state: state.value))
    query = (yield from query_script(tenant, msgspec.structs.replace(wanted, states=states))) if states else None
    if query is None:
        return []
    rest = (*query.rest, *NARROWER.get(verb, ()))
    arms = " UNION ALL ".join(
        f"SELECT * FROM duly.effect AS e WHERE {' AND '.join((lead, *rest))}" for lead in query.leads
    )
    found = yield Statement(SELECT_FITTING.format(arms=arms), {**query.parameters, "rows_max": rows_max})
    return [
        Counted(
            effect_id=str(row[0]),
            moves=row[1],
            state=Dispatch(row[2]),
            type=row[3],
            gateway=row[4],
            requested_at=time_of(row[5]),
        )
        for row in found.rows
    ]


def audit_script(tenant: str, effect_id: str | None, rows_max: int) -> Script[list[AuditRow]]:
    """What people did in a tenant, or to one of its effects; the latest first."""
    about = "" if effect_id is None else " AND effect_id = :effect_id"
    parameters: dict[str, object] = {"tenant": tenant, "rows_max": rows_max}
    found = yield Statement(
        SELECT_AUDIT.format(about=about), parameters if effect_id is None else {**parameters, "effect_id": effect_id}
    )
    return [audit_row(row) for row in found.rows]


def _judge(
    operation: Operation, aim: Aim, row: EffectRow | None, fact: Row | None, keeps: Mapping[str, Keeps]
) -> _Ruled | Refused:
    if row is None or fact is None:
        reason = f"does not exist in tenant {operation.tenant!r}."
        return Refused(effect_id=aim.effect_id, reason=reason, is_missing=True)
    if aim.moves is not None and aim.moves != row.moves:
        return Refused(effect_id=row.id, reason=f"has moved since it was counted; it is {row.state.value} now.")
    present = Present(
        state=row.state,
        policy=row.policy,
        unsettled=row.unsettled,
        key_age=row.key_age,
        is_under_way=bool(fact[1]),
        has_next_step=row.due_ms is not None,
        resends=fact[2],
        is_late=bool(fact[4]),
        is_erased=not fact[5],
        paused=fact[6],
        was_reported=row.hold == BY_RECEIPT,
    )
    ruling = rule(operation, present, keeps.get(row.gateway, Keeps()))
    if isinstance(ruling, Declined):
        return Refused(effect_id=row.id, reason=ruling.reason)
    return _Ruled(row=row, handler=fact[3], destination=fact[7], ordered=ruling)


def _operated(ruled: _Ruled) -> Operated:
    row, ordered = ruled.row, ruled.ordered
    return Operated(
        effect_id=row.id,
        before=row.state,
        after=row.state if ordered.settled is None else ordered.settled.state,
        possible_duplicate=ordered.possible_duplicate,
        resent_as=ruled.resend_id() if ordered.settled is None else None,
        generation=ordered.generation,
        is_repeat=ordered.is_repeat,
    )


def _carry_out(operation: Operation, ruled: Sequence[_Ruled], hearers: Hearers) -> Script[bool]:
    """Write it, with its audit rows; whether outcomes were promised."""
    done = [one for one in ruled if not one.ordered.is_repeat]
    if not done:
        return False
    if operation.verb is Verb.RESEND:
        yield from _resend(operation, done)
    places = sorted({place for one in done if one.ordered.is_due_now for place in one.places()})
    if places:
        records = [{"at_gateway": gateway, "at_place": place} for gateway, place in places]
        yield Statement(ASK_NOW, {"places": json_rows(records)})
    has_promised = yield from move_effects([move for one in done if (move := _move(operation, one))], hearers)
    yield Statement(
        INSERT_AUDIT,
        {
            "tenant": operation.tenant,
            "verb": operation.verb.value,
            "by": operation.by,
            "reason": operation.reason,
            "rows": json_rows([_audit_record(operation, place, one) for place, one in enumerate(done)]),
        },
    )
    return has_promised


def _move(operation: Operation, ruled: _Ruled) -> Move | None:
    settled = ruled.ordered.settled
    if settled is None:
        return None
    return Move(
        row=ruled.row,
        settled=settled,
        origin=ruled.ordered.origin,
        provider_id=operation.provider_id,
        unsettled=ruled.ordered.unsettled,
        look_ups=0,
        confirm_within=ruled.ordered.confirm_within,
    )


def _resend(operation: Operation, ruled: Sequence[_Ruled]) -> Script[None]:
    resends = json_rows(
        [
            {
                "place": place,
                "old_id": one.row.id,
                "new_id": one.resend_id(),
                "new_chain": encode_chain(
                    (*decode_chain(one.row.chain), Link("effect", one.row.type, one.row.id, one.handler))
                ),
                "new_trace": operation.trace,
            }
            for place, one in enumerate(ruled)
        ]
    )
    yield Statement(INSERT_RESENDS, {"resends": resends, "handler": RESEND})
    yield Statement(INSERT_CONTENTS, {"resends": resends})
    yield Statement(COUNT_RESENDS, {"ids": [one.row.id for one in ruled]})


def _audit_record(operation: Operation, place: int, ruled: _Ruled) -> dict[str, object]:
    row, settled = ruled.row, ruled.ordered.settled
    return {
        "place": place,
        "about": row.id,
        "was": row.state.value,
        "became": (row.state if settled is None else settled.state).value,
        "told": storable(_detail(operation, ruled)),
    }


def _detail(operation: Operation, ruled: _Ruled) -> str:
    """What else there is to know of it, as a JSON object; empty when there is nothing."""
    told: dict[str, object] = {
        "verdict": operation.verdict and operation.verdict.value,
        "provider_id": operation.provider_id,
        "again": operation.again,
        "possible_duplicate": ruled.ordered.possible_duplicate,
        "resent_as": ruled.resend_id() if ruled.ordered.settled is None else None,
        "generation": ruled.ordered.generation,
        "plan": operation.plan,
    }
    kept = {name: value for name, value in told.items() if value}
    return msgspec.json.encode(kept).decode() if kept else ""
