"""What a tenant sees of the ledger, as scripts. The tenant is in every statement that finds an effect.

A page costs the same however many effects there are. What leads to it is an index that ends in the order of pages:
cause, reference, state, channel, or just the tenant; of these the first one that is asked for. The rest of a filter is
applied to a bounded number of rows on that way (`ROWS_SCANNED_MAX`), and the next page goes on where this one stopped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec

from duly.clock import EPOCH, time_of
from duly.messages.envelope import decode_chain
from duly.messages.fields import ERASED
from duly.ports.ledger_view import (
    ROWS_SCANNED_MAX,
    Anomaly,
    AttemptView,
    AuditRow,
    EffectFilter,
    EffectView,
    LookUpView,
    Place,
)
from duly.ports.receipts import ReceiptView
from duly.states.attempt import Origin
from duly.states.delivery import Delivery
from duly.states.effect import Dispatch, Step
from duly.states.policy import Policy
from duly.stores.receipt_views import receipts_of
from duly.stores.script import Row, Script, Statement, storable

T = TypeVar("T")

RECIPIENT_EFFECTS_MAX: Final = 10_000
"""Up to how many effects of a recipient are found by it; for a recipient with more, the tenant's are looked through."""

LATEST_FIRST: Final = "ORDER BY e.requested_ms DESC, e.no DESC"
EFFECT_FIELDS: Final = (
    "e.id, e.tenant, e.type, e.channel, e.gateway, e.policy, e.reference, e.destination, e.urgent, e.state, e.reason, "
    "e.delivery, e.delivery_ms, e.provider_id, e.handler, e.chain, e.resend_of, e.unsettled, e.requested_ms, "
    "e.changed_ms, e.expires_ms, e.due_ms, e.step, e.no"
)
# SQLite takes ORDER BY and LIMIT in the arms of a union only inside parentheses of their own.
# A limit as a subquery is no number to PostgreSQL's planner: without statistics it takes a tenant's effects for few,
# and would rather sort all of them than go by an index for that many.
ARM: Final = """
SELECT * FROM (SELECT * FROM duly.effect AS e WHERE {lead} {order} LIMIT (SELECT CAST(:rows_max AS bigint))) AS arm
"""
# How far a page looks: the last of so many rows. Asked first, so that the page itself is one walk along the index.
EDGE: Final = """
SELECT * FROM (SELECT e.requested_ms, e.no FROM duly.effect AS e WHERE {lead} {order} LIMIT 1
                OFFSET (SELECT CAST(:scanned_max AS bigint)) - 1)
           AS edge
"""
SELECT_PAGE: Final = "SELECT {fields} FROM ({arms}) AS e {order} LIMIT :rows_max"
SELECT_EFFECT: Final = f"SELECT {EFFECT_FIELDS} FROM duly.effect AS e WHERE e.id = :id AND e.tenant = :tenant"
# By key, one by one: a join would be planned from statistics. Between the least and the greatest key, which keeps
# PostgreSQL, without statistics, from thinking that these are most of the table.
ARE_THESE: Final = "effect_id = ANY(:ids) AND effect_id BETWEEN :least AND :greatest"
SELECT_SHOWN: Final = f"SELECT effect_id, recipient, summary FROM duly.effect_content WHERE {ARE_THESE}"
SELECT_ATTEMPTS: Final = f"""
SELECT effect_id, number, origin, started_ms, ended_ms, outcome, evidence, provider_id, possible_duplicate, key, digest
  FROM duly.attempt WHERE {ARE_THESE} ORDER BY effect_id, number
"""
SELECT_LOOK_UPS: Final = f"""
SELECT effect_id, number, step, asked_ms, answer, evidence, provider_id
  FROM duly.look_up WHERE {ARE_THESE} ORDER BY effect_id, number
"""
SELECT_AUDIT: Final = f"""
SELECT effect_id, verb, by_whom, reason, state_before, state_after, detail, at_ms
  FROM duly.audit WHERE effect_id IS NOT NULL AND {ARE_THESE} ORDER BY effect_id, id
"""
SELECT_IDS_OF_RECIPIENT: Final = """
SELECT effect_id FROM duly.effect_content WHERE tenant = :tenant AND recipient = :recipient LIMIT :ids_max
"""
HAS_CORRELATION: Final = "SELECT 1 FROM duly.effect WHERE tenant = :tenant AND correlation = :cause LIMIT 1"
SELECT_ANOMALIES: Final = """
SELECT tenant, kind, about, detail, at_ms FROM duly.anomaly WHERE tenant = :tenant ORDER BY id DESC LIMIT :rows_max
"""

IS_TENANTS: Final = "e.tenant = :tenant"
BY_STATE: Final = f"{IS_TENANTS} AND e.state <> 'accepted' AND e.state <> 'attempting'"
# The tenant as an expression, so that no index of its effects looks better than the leases, which are few.
BY_LEASE: Final = "e.tenant || '' = :tenant AND e.lease_ms IS NOT NULL"
IS_RECIPIENTS: Final = """
EXISTS (SELECT 1 FROM duly.effect_content AS c
         WHERE c.effect_id = e.id AND c.tenant = :tenant AND c.recipient = :recipient)
"""
# An exact search, by which the letters % and _ mean themselves. Between commas stand the name and the id of a link.
HAS_IN_CHAIN: Final = "replace(e.chain, :in_chain, '') <> e.chain"


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Conditions on ``duly.effect AS e``, and their parameters."""

    leads: tuple[str, ...]
    """Conditions that an index answers in the order of pages; several when any of them will do, never two for a row."""
    rest: tuple[str, ...]
    parameters: dict[str, object]


def effects_script(
    tenant: str, state: Dispatch | None, channel: str | None, after: str | None, rows_max: int
) -> Script[list[EffectView]]:
    """A page of a tenant's effects, the latest first, after the effect *after*."""
    place: Place | None = None
    if after is not None:
        found = yield Statement(
            "SELECT requested_ms, no FROM duly.effect AS e WHERE e.id = :id AND e.tenant = :tenant",
            {"id": storable(after), "tenant": tenant},
        )
        if not found.rows:
            return []
        place = Place(*found.rows[0])
    views: list[EffectView] = []
    wanted = EffectFilter(states=() if state is None else (state,), channel=channel)
    while True:
        page, place = yield from page_script(tenant, wanted, place, rows_max - len(views))
        views += page
        if place is None or len(views) == rows_max:
            return views


def page_script(
    tenant: str, wanted: EffectFilter, after: Place | None, rows_max: int
) -> Script[tuple[list[EffectView], Place | None]]:
    """A page of a tenant's effects, and where the next one goes on."""
    query = yield from query_script(tenant, wanted, after)
    if query is None:
        return [], None
    edge = (yield from _edge(query)) if query.rest else None
    parameters: dict[str, object] = {**query.parameters, "rows_max": rows_max + 1}
    conditions = query.rest
    if edge is not None:
        conditions = (*conditions, "(e.requested_ms, e.no) >= (:edge_ms, :edge_no)")
        parameters |= {"edge_ms": edge.requested_ms, "edge_no": edge.no}
    arms = " UNION ALL ".join(
        ARM.format(lead=" AND ".join((lead, *conditions)), order=LATEST_FIRST) for lead in query.leads
    )
    found = yield Statement(SELECT_PAGE.format(fields=EFFECT_FIELDS, arms=arms, order=LATEST_FIRST), parameters)
    rows = list(found.rows)
    views = yield from views_script(rows[:rows_max])
    return views, _place(rows[rows_max - 1]) if len(rows) > rows_max else edge


def _edge(query: Query) -> Script[Place | None]:
    """Up to where one page looks: behind it, one of the arms has more than it looks at. None when it sees all."""
    edges = " UNION ALL ".join(EDGE.format(lead=lead, order=LATEST_FIRST) for lead in query.leads)
    parameters: dict[str, object] = {**query.parameters, "scanned_max": ROWS_SCANNED_MAX}
    cut = yield Statement(edges, parameters)
    return max((Place(*row) for row in cut.rows), key=_order, default=None)


def query_script(tenant: str, wanted: EffectFilter, after: Place | None = None) -> Script[Query | None]:
    """The conditions that *wanted* makes; None when nothing can fit them."""
    if not _may_fit(wanted):
        return None
    parameters: dict[str, object] = {"tenant": tenant}
    rest: list[str] = []
    leads: list[str] = []

    def is_led_by(condition: str) -> None:
        if leads:
            rest.append(condition)
        else:
            leads.append(f"{IS_TENANTS} AND {condition}")

    if wanted.cause is not None:
        parameters["cause"] = wanted.cause
        if (yield Statement(HAS_CORRELATION, parameters)).rows:
            is_led_by("e.correlation = :cause")
        else:
            del parameters["cause"]
            parameters["in_chain"] = f",{msgspec.json.encode(wanted.cause).decode()},"
            rest.append(HAS_IN_CHAIN)
    if wanted.reference is not None:
        parameters["reference"] = wanted.reference
        is_led_by("e.reference = :reference")
    if wanted.recipient is not None:
        parameters["recipient"] = wanted.recipient
        rest.append(IS_RECIPIENTS)
        if not leads:
            found = yield Statement(
                SELECT_IDS_OF_RECIPIENT,
                {"tenant": tenant, "recipient": wanted.recipient, "ids_max": RECIPIENT_EFFECTS_MAX + 1},
            )
            if len(found.rows) <= RECIPIENT_EFFECTS_MAX:
                rest.pop()
                del parameters["recipient"]
                parameters["ids"] = [str(row[0]) for row in found.rows]
                # The tenant as an expression, so that no index of its effects looks better than their ids.
                leads.append("e.id = ANY(:ids) AND e.tenant || '' = :tenant")
    _by_states(wanted.states, leads, rest, parameters)
    if wanted.channel is not None:
        parameters["channel"] = wanted.channel
        is_led_by("e.channel = :channel")
    for column, value in (
        ("type", wanted.type),
        ("gateway", wanted.gateway),
        ("delivery", wanted.delivery and wanted.delivery.value),
    ):
        if value is not None:
            parameters[column] = value
            rest.append(f"e.{column} = :{column}")
    window = "".join(f" AND {condition}" for condition in _window(wanted, after, parameters))
    return Query(
        leads=tuple(f"{lead}{window}" for lead in leads or [IS_TENANTS]), rest=tuple(rest), parameters=parameters
    )


def effect_script(tenant: str, effect_id: str) -> Script[EffectView | None]:
    """One effect of a tenant."""
    found = yield Statement(SELECT_EFFECT, {"tenant": tenant, "id": storable(effect_id)})
    views = yield from views_script(found.rows)
    return views[0] if views else None


def anomalies_script(tenant: str, rows_max: int) -> Script[list[Anomaly]]:
    """A tenant's anomalies, the latest first."""
    found = yield Statement(SELECT_ANOMALIES, {"tenant": tenant, "rows_max": rows_max})
    return [Anomaly(tenant=row[0], kind=row[1], about=row[2], detail=row[3], at=time_of(row[4])) for row in found.rows]


def views_script(rows: Sequence[Row]) -> Script[list[EffectView]]:
    """Rows of `EFFECT_FIELDS` with all that belongs to them."""
    if not rows:
        return []
    keys = sorted(str(row[0]) for row in rows)
    ids: dict[str, object] = {"ids": keys, "least": keys[0], "greatest": keys[-1]}
    shown = {str(row[0]): row for row in (yield Statement(SELECT_SHOWN, ids)).rows}
    attempts = _by_effect((yield Statement(SELECT_ATTEMPTS, ids)).rows, _attempt)
    look_ups = _by_effect((yield Statement(SELECT_LOOK_UPS, ids)).rows, _look_up)
    audit = _by_effect((yield Statement(SELECT_AUDIT, ids)).rows, audit_row)
    receipts = yield from receipts_of(keys)
    return [
        _view(
            row,
            shown.get(row[0]),
            attempts=tuple(attempts[row[0]]),
            look_ups=tuple(look_ups[row[0]]),
            receipts=receipts.get(row[0], ()),
            audit=tuple(audit[row[0]]),
        )
        for row in rows
    ]


def audit_row(row: Row) -> AuditRow:
    """A row of `SELECT_AUDIT`."""
    return AuditRow(
        effect_id=row[0],
        verb=row[1],
        by=row[2],
        reason=row[3],
        before=row[4],
        after=row[5],
        detail=row[6],
        at=time_of(row[7]),
    )


# Filters.


def _by_states(states: tuple[Dispatch, ...], leads: list[str], rest: list[str], parameters: dict[str, object]) -> None:
    """Every state has an index but for `accepted`, in which most effects are: these are found on the way.

    Effects are `attempting` for so short a time that only their leases are in an index.
    """
    if not states:
        return
    if leads or Dispatch.ACCEPTED in states:
        parameters["states"] = sorted({state.value for state in states})
        rest.append("e.state = ANY(:states)")
        return
    for number, state in enumerate(sorted({state.value for state in states})):
        parameters[f"state{number}"] = state
        # Said once more in the words of the index, which holds nothing else.
        way = BY_LEASE if state == Dispatch.ATTEMPTING.value else BY_STATE
        leads.append(f"{way} AND e.state = :state{number}")


def _window(wanted: EffectFilter, after: Place | None, parameters: dict[str, object]) -> list[str]:
    window: list[str] = []
    if wanted.requested_from is not None:
        parameters["from_ms"] = _milliseconds(wanted.requested_from)
        window.append("e.requested_ms >= :from_ms")
    if wanted.requested_to is not None:
        parameters["to_ms"] = _milliseconds(wanted.requested_to)
        window.append("e.requested_ms < :to_ms")
    if after is not None:
        parameters |= {"before_ms": after.requested_ms, "before_no": after.no}
        window.append("(e.requested_ms, e.no) < (:before_ms, :before_no)")
    return window


def _milliseconds(moment: datetime) -> int:
    """Rounded up: what is kept in whole milliseconds is before a time exactly when it is before the next of them."""
    return -((EPOCH - moment) // timedelta(milliseconds=1))


def _may_fit(wanted: EffectFilter) -> bool:
    """Whether any row can hold what is asked for: no database keeps NUL or half a surrogate pair."""
    texts = (wanted.channel, wanted.type, wanted.gateway, wanted.recipient, wanted.reference, wanted.cause)
    return all(text is None or (bool(text) and storable(text) == text) for text in texts)


def _place(row: Row) -> Place:
    return Place(row[18], row[23])


def _order(place: Place) -> tuple[int, int]:
    return place.requested_ms, place.no


# Views.


def _by_effect(rows: Sequence[Row], make: Callable[[Row], T]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = defaultdict(list)
    for row in rows:
        found[str(row[0])].append(make(row))
    return found


def _attempt(row: Row) -> AttemptView:
    return AttemptView(
        number=row[1],
        origin=Origin(row[2]),
        started_at=time_of(row[3]),
        ended_at=_time(row[4]),
        outcome=row[5],
        evidence=row[6],
        provider_id=row[7],
        possible_duplicate=bool(row[8]),
        key=row[9],
        digest=row[10],
    )


def _look_up(row: Row) -> LookUpView:
    return LookUpView(
        number=row[1], step=Step(row[2]), asked_at=time_of(row[3]), answer=row[4], evidence=row[5], provider_id=row[6]
    )


def _view(
    row: Row,
    shown: Row | None,
    *,
    attempts: tuple[AttemptView, ...],
    look_ups: tuple[LookUpView, ...],
    receipts: tuple[ReceiptView, ...],
    audit: tuple[AuditRow, ...],
) -> EffectView:
    next_step = None if row[21] is None else Step(row[22])
    return EffectView(
        id=str(row[0]),
        tenant=row[1],
        type=row[2],
        channel=row[3],
        gateway=row[4],
        policy=Policy(row[5]),
        recipient=ERASED if shown is None else shown[1],
        summary=ERASED if shown is None else shown[2],
        reference=row[6],
        destination=row[7],
        urgent=bool(row[8]),
        state=Dispatch(row[9]),
        reason=row[10],
        delivery=None if row[11] is None else Delivery(row[11]),
        delivery_at=_time(row[12]),
        provider_id=row[13],
        handler=row[14],
        chain=decode_chain(row[15]),
        resend_of=row[16],
        unsettled=row[17],
        requested_at=time_of(row[18]),
        changed_at=time_of(row[19]),
        expires_at=_time(row[20]),
        next_step=next_step,
        next_step_at=_time(row[21]),
        next_attempt_at=_time(row[21]) if next_step is Step.ATTEMPT else None,
        attempts=attempts,
        look_ups=look_ups,
        receipts=receipts,
        audit=audit,
    )


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else time_of(milliseconds)
