"""One turn of a sender: outcomes are written down, and the next attempts committed, in one transaction.

PostgreSQL: rows that somebody else has locked are passed over, so that senders do not wait for one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final

import msgspec

from duly.clock import from_milliseconds, time_of, to_milliseconds
from duly.messages.outcomes import EffectHeld
from duly.ports.gateway import Prepared, decode_attachments
from duly.ports.ledger import BreakerMove, Claim, Claimed, Turn, Turned, destination_key
from duly.ports.outcomes import Hearers
from duly.states.allowance import Rate
from duly.states.attempt import Origin
from duly.states.effect import Dispatch, Settled, when_key_has_gone
from duly.states.policy import Policy, is_key_good
from duly.stores.allowances import RESERVED, look_at_allowance, reserve_allowance, use_allowance
from duly.stores.attempt_ends import abandon, end_attempts
from duly.stores.claim_standing import Standings, after_moves, shares_of, standing_script
from duly.stores.effect_moves import EFFECT_COLUMNS, EffectRow, Move, effect_row, move_effects
from duly.stores.script import Row, Script, Statement, storable

HELD_PER_TURN_MAX: Final = 500
"""How many due effects are put off at once while a provider is known to be away."""
PROBE: Final = 1
PROBING_MS: Final = 1_000
"""How long an effect waits whose destination is just being probed."""

DUE: Final = """
SELECT * FROM (
    SELECT {columns}, e.key, e.destination, e.barred, e.requested_ms,
           CASE WHEN e.expires_ms <= duly.now_ms() THEN 1 ELSE 0 END AS is_late, e.urgent
      FROM duly.effect AS e
     WHERE e.gateway = :gateway AND e.urgent = :urgent{n} AND e.tenant = :tenant{n} AND e.due_ms IS NOT NULL
       AND e.step = 'attempt' AND e.due_ms <= duly.now_ms() AND e.reported = 0
     ORDER BY e.due_ms, e.no LIMIT :share{n} FOR UPDATE SKIP LOCKED) AS due{n}
"""
# With what goes out, and whether its recipient is off the channel: looked up by key, one by one.
CANDIDATES: Final = """
SELECT due.*, c.recipient, c.summary, c.content_type, c.body, c.attachments,
       (SELECT s.reason FROM duly.suppression AS s
         WHERE s.tenant = c.tenant AND s.channel = c.channel AND s.recipient_hash = c.recipient_hash)
  FROM ({due}) AS due LEFT JOIN duly.effect_content AS c ON c.effect_id = due.id
"""
# The clock is read once for all rows: in PostgreSQL it is a function that costs as much as an index.
CLAIM_EFFECTS: Final = """
UPDATE duly.effect AS e
   SET state = 'attempting', reason = '', attempts = e.attempts + 1, counted = e.counted + 1, token = :token,
       lease_ms = (SELECT duly.now_ms()) + :lease_ms, changed_ms = (SELECT duly.now_ms()), due_ms = NULL,
       moves = e.moves + 1, first_attempt_ms = coalesce(e.first_attempt_ms, (SELECT duly.now_ms()))
 WHERE e.id = ANY(:ids)
"""
INSERT_ATTEMPTS: Final = """
INSERT INTO duly.attempt (effect_id, number, owner, token, key, digest, origin, possible_duplicate, started_ms)
SELECT e.id, e.attempts, :owner, :token, e.key, e.digest, e.origin,
       CASE WHEN e.id = ANY(:duplicates) THEN 1 ELSE 0 END, e.changed_ms
  FROM duly.effect AS e WHERE e.id = ANY(:ids)
"""
# All that is due, without a look at each.
HOLD_ALL: Final = """
UPDATE duly.effect AS e
   SET state = CASE WHEN e.state = 'unknown' THEN e.state ELSE 'held' END, reason = :reason, hold = 'breaker',
       due_ms = duly.now_ms() + :wait_ms, moves = e.moves + 1, changed_ms = duly.now_ms()
 WHERE e.id IN (SELECT d.id FROM duly.effect AS d
                 WHERE d.gateway = :gateway AND d.step = 'attempt' AND d.due_ms IS NOT NULL
                   AND d.due_ms <= duly.now_ms()
                 ORDER BY d.due_ms LIMIT :rows_max FOR UPDATE SKIP LOCKED)
"""
# The same, when somebody hears of it.
SELECT_ALL_DUE: Final = f"""
SELECT {EFFECT_COLUMNS} FROM duly.effect AS e
 WHERE e.gateway = :gateway AND e.step = 'attempt' AND e.due_ms IS NOT NULL AND e.due_ms <= duly.now_ms()
 ORDER BY e.due_ms LIMIT :rows_max FOR UPDATE SKIP LOCKED
"""
OPEN_BREAKER: Final = """
INSERT INTO duly.breaker AS b (gateway, destination, reason, is_probing, opened_ms, until_ms)
VALUES (:gateway, :destination, :reason, :is_probing, duly.now_ms(), duly.now_ms() + :open_ms)
ON CONFLICT (gateway, destination) DO UPDATE
   SET until_ms = excluded.until_ms, reason = excluded.reason, is_probing = excluded.is_probing
"""
# Only a probe closes it: what was under way when it opened says nothing of what has happened since.
CLOSE_BREAKER: Final = """
DELETE FROM duly.breaker WHERE gateway = :gateway AND destination = :destination AND is_probing = 1
"""


class Candidate(msgspec.Struct, frozen=True):
    """An effect that is due, locked."""

    row: EffectRow
    key: str
    destination: str
    barred: str
    """Why it must not be attempted, now or ever; empty when nothing is against it."""
    requested_ms: int
    is_late: bool
    is_urgent: bool
    prepared: Prepared | None
    """What goes out; None when it was erased."""

    @property
    def place(self) -> str:
        """What has a breaker of its own: a destination, which belongs to its tenant; empty without one."""
        return destination_key(self.row.tenant, self.destination)


def turn_script(turn: Turn, hearers: Hearers) -> Script[Turned]:
    """Write down what has ended, then claim."""
    written, has_promised = yield from end_attempts(turn.ended, hearers)
    for token in turn.abandoned:
        yield from abandon(token)
    claimed, probes = Turned(), list[BreakerMove]()
    if turn.claim is not None:
        claimed, probes = yield from claim_script(turn.claim, turn.breakers, hearers)
    # Last, and in one order: who waits for a breaker's row holds up nobody who has it.
    for breaker in sorted((*turn.breakers, *probes), key=lambda move: (move.gateway, move.destination)):
        yield from _move_breaker(breaker)
    return msgspec.structs.replace(claimed, written=tuple(written), has_promised=has_promised or claimed.has_promised)


def claim_script(
    claim: Claim, moved: Sequence[BreakerMove], hearers: Hearers
) -> Script[tuple[Turned, list[BreakerMove]]]:
    """Commit the next attempts: urgent before bulk, tenants by turns, the oldest first. And what is probed by them.

    *moved* are breakers as they will be when the turn is committed.
    """
    standings = after_moves((yield from standing_script(claim.gateway, claim.after_tenant)), moved)
    slots, is_probe = claim.slots, False
    account = standings.breakers.get("")
    if account is not None:
        if account.left_ms > 0 and not account.is_probing:
            has_promised = yield from _hold_all(claim.gateway, account.reason, account.left_ms, hearers)
            return Turned(tenant=claim.after_tenant, has_promised=has_promised), []
        if account.left_ms > 0:
            return Turned(tenant=claim.after_tenant), []
        slots, is_probe = PROBE, True
    rate = claim.terms.keeps.rate
    if rate is not None and (standings.urgent or standings.bulk):
        slots = min(slots, (yield from look_at_allowance(claim.gateway, rate, standings.now_ms)))
        if not slots:
            return Turned(tenant=claim.after_tenant), []
    shares, tenant = shares_of(standings, slots)
    if not shares:
        return Turned(tenant=tenant, has_more=bool(tenant)), []
    candidates = yield from _candidates(claim.gateway, shares)
    attempts, left, has_promised = yield from _sift(claim, standings, candidates, slots, hearers)
    if left:
        # Whose turn it was goes by who had a slot: urgent effects may have taken them all.
        bulk = (candidate for candidate in candidates if not candidate.is_urgent)
        had = [candidate.row.tenant for candidate in takewhile(lambda one: one not in left, bulk)]
        tenant = had[-1] if had else claim.after_tenant
    if claim.terms.keeps.tenant_rate is not None:
        attempts, later = yield from _by_turns(claim, claim.terms.keeps.tenant_rate, standings, attempts)
        has_promised |= yield from move_effects(later, hearers)
    if rate is not None:
        yield from use_allowance(claim.gateway, rate, standings.now_ms, len(attempts))
    claimed, probes = yield from _begin(claim, attempts, is_probe, standings)
    has_more = len(candidates) >= slots or bool(tenant)
    return Turned(claimed=tuple(claimed), has_more=has_more, tenant=tenant, has_promised=has_promised), probes


def _candidates(gateway: str, shares: list[tuple[int, str, int]]) -> Script[list[Candidate]]:
    arms: list[str] = []
    parameters: dict[str, object] = {"gateway": gateway}
    for n, (urgent, tenant, share) in enumerate(shares):
        arms.append(DUE.format(columns=EFFECT_COLUMNS, n=n))
        parameters |= {f"urgent{n}": urgent, f"tenant{n}": tenant, f"share{n}": share}
    found = yield Statement(CANDIDATES.format(due=" UNION ALL ".join(arms)), parameters)
    return [
        Candidate(
            row=effect_row(row),
            key=row[23],
            destination=row[24],
            barred=row[25] or row[34] or "",
            requested_ms=row[26],
            is_late=bool(row[27]),
            is_urgent=bool(row[28]),
            prepared=None if row[29] is None else _prepared(row),
        )
        for row in found.rows
    ]


def _sift(
    claim: Claim, standings: Standings, candidates: list[Candidate], slots: int, hearers: Hearers
) -> Script[tuple[list[tuple[Candidate, Prepared]], list[Candidate], bool]]:
    """What may be attempted now, with its request; what is left for want of a slot. The rest is closed or put off."""
    attempts: list[tuple[Candidate, Prepared]] = []
    left: list[Candidate] = []
    moves: list[Move] = []
    probed: set[str] = set()
    for candidate in candidates:
        move = _instead(claim, standings, candidate)
        if move is None and standings.breakers and candidate.place in standings.breakers:
            # One probe asks whether it is still away.
            if candidate.place in probed:
                move = _put_off(candidate.row, standings.breakers[candidate.place].reason, PROBING_MS, hold="breaker")
            probed.add(candidate.place)
        if move is not None:
            moves.append(move)
        elif candidate.prepared is None or len(attempts) == slots:
            left.append(candidate)
        else:
            attempts.append((candidate, candidate.prepared))
    has_promised = yield from move_effects(moves, hearers)
    return attempts, left, has_promised


def _instead(claim: Claim, standings: Standings, candidate: Candidate) -> Move | None:
    """What becomes of a due effect instead of its next attempt; None when it is to be attempted."""
    row = candidate.row
    if candidate.prepared is None:
        return _closed(row, Dispatch.CANCELLED, "erased")
    suppressed = claim.barred or candidate.barred
    if suppressed:
        return _closed(row, Dispatch.SUPPRESSED, suppressed)
    if candidate.is_late:
        return _closed(row, Dispatch.EXPIRED, "its time ran out")
    if row.tenant in standings.paused:
        return _put_off(row, f"the tenant is paused: {standings.paused[row.tenant]}", None, hold="tenant")
    breaker = standings.breakers.get(candidate.place) if standings.breakers and candidate.place else None
    if breaker is not None and breaker.left_ms > 0:
        return _put_off(row, breaker.reason, PROBING_MS if breaker.is_probing else breaker.left_ms, hold="breaker")
    if row.origin is Origin.INSISTED:
        return None
    gone = when_key_has_gone(row.standing(), claim.terms)
    return None if gone is None else Move(row=row, settled=gone, look_ups=0)


def _by_turns(
    claim: Claim, rate: Rate, standings: Standings, attempts: list[tuple[Candidate, Prepared]]
) -> Script[tuple[list[tuple[Candidate, Prepared]], list[Move]]]:
    """What may go now at a tenant's rate; the rest waits, each for a token that it has reserved."""
    now: list[tuple[Candidate, Prepared]] = []
    later: list[Move] = []
    waits: dict[str, int] = {}
    # Buckets are locked in one order, whoever's turn it is; in each bucket, the order is that of the turn.
    for candidate, _ in sorted(attempts, key=lambda one: (one[0].row.tenant, one[0].destination)):
        row = candidate.row
        if row.hold != RESERVED:
            waits[row.id] = yield from reserve_allowance(
                claim.gateway, row.tenant, candidate.destination, rate, standings.now_ms
            )
    for candidate, prepared in attempts:
        row = candidate.row
        wait_ms = waits.get(row.id, 0)
        if not wait_ms:
            now.append((candidate, prepared))
            continue
        state = Dispatch.UNKNOWN if row.unsettled else Dispatch.QUEUED
        settled = Settled(state=state, reason="waits for its turn", wait=from_milliseconds(wait_ms))
        later.append(Move(row=row, settled=settled, hold=RESERVED))
    return now, later


def _closed(row: EffectRow, state: Dispatch, reason: str) -> Move:
    """It is not attempted again. What may have gone through stays unknown."""
    if row.unsettled:
        reason = f"it is not tried again ({reason}); an earlier attempt may have gone through"
        return Move(row=row, settled=Settled(state=Dispatch.UNKNOWN, reason=reason))
    return Move(row=row, settled=Settled(state=state, reason=reason))


def _put_off(row: EffectRow, reason: str, wait_ms: int | None, *, hold: str) -> Move:
    state = Dispatch.UNKNOWN if row.unsettled else Dispatch.HELD
    wait = None if wait_ms is None else from_milliseconds(wait_ms)
    return Move(row=row, settled=Settled(state=state, reason=reason, wait=wait), hold=hold)


def _prepared(row: Row) -> Prepared:
    return Prepared(
        recipient=row[29],
        summary=row[30],
        content_type=row[31],
        body=bytes(row[32]),
        destination=row[24],
        attachments=decode_attachments(row[33]),
    )


def _begin(
    claim: Claim, attempts: list[tuple[Candidate, Prepared]], is_probe: bool, standings: Standings
) -> Script[tuple[list[Claimed], list[BreakerMove]]]:
    """Commit the attempts."""
    if not attempts:
        return [], []
    ids = [candidate.row.id for candidate, _ in attempts]
    duplicates = [candidate.row.id for candidate, _ in attempts if _may_duplicate(candidate.row, claim)]
    yield Statement(CLAIM_EFFECTS, {"token": claim.token, "lease_ms": to_milliseconds(claim.lease), "ids": ids})
    yield Statement(INSERT_ATTEMPTS, {"owner": claim.owner, "token": claim.token, "ids": ids, "duplicates": duplicates})
    # Until the probe has ended, nobody else probes.
    probes = [
        BreakerMove(
            gateway=claim.gateway,
            destination=place,
            open_for=claim.lease,
            reason=standings.breakers[place].reason,
            is_probing=True,
        )
        for place in {"" if is_probe else candidate.place for candidate, _ in attempts} & set(standings.breakers)
    ]
    started_at = time_of(standings.now_ms)
    claimed = [
        Claimed(
            effect_id=row.id,
            tenant=row.tenant,
            type=row.type,
            gateway=row.gateway,
            key=candidate.key,
            number=row.attempts + 1,
            counted=row.counted + 1,
            unsettled=row.unsettled,
            key_age=row.key_age,
            policy=row.policy,
            is_probe=is_probe or (bool(standings.breakers) and candidate.place in standings.breakers),
            was_held=row.state is Dispatch.HELD,
            token=claim.token,
            prepared=prepared,
            requested_at=time_of(candidate.requested_ms),
            started_at=started_at,
            trace=row.trace,
        )
        for candidate, prepared in attempts
        for row in [candidate.row]
    ]
    return claimed, probes


def _may_duplicate(row: EffectRow, claim: Claim) -> bool:
    """Whether it may make a second one over there: an earlier attempt may have gone through, and no key stops it."""
    if not row.unsettled:
        return False
    return row.policy is not Policy.KEYED or not is_key_good(row.key_age, claim.terms.keeps)


def _move_breaker(move: BreakerMove) -> Script[None]:
    about: dict[str, object] = {"gateway": move.gateway, "destination": move.destination}
    if move.open_for is None:
        yield Statement(CLOSE_BREAKER, about)
        return
    yield Statement(
        OPEN_BREAKER,
        {
            **about,
            "reason": storable(move.reason),
            "is_probing": int(move.is_probing),
            "open_ms": to_milliseconds(move.open_for),
        },
    )


def _hold_all(gateway: str, reason: str, wait_ms: int, hearers: Hearers) -> Script[bool]:
    """Put off what is due at a provider that is away; whether outcomes were promised."""
    about: dict[str, object] = {"gateway": gateway, "rows_max": HELD_PER_TURN_MAX}
    if any(event == EffectHeld.__duly__.name for event, _ in hearers):
        found = yield Statement(SELECT_ALL_DUE, about)
        moves = [_put_off(effect_row(row), reason, wait_ms, hold="breaker") for row in found.rows]
        return (yield from move_effects(moves, hearers))
    yield Statement(HOLD_ALL, {**about, "reason": reason, "wait_ms": wait_ms})
    return False
