"""A model of the ledger: random steps of everybody who works on it, and after each one what must hold of its rows."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import msgspec
import pytest

from duly.ports.gateway import Prepared
from duly.ports.ledger import BreakerMove, Claim, Claimed, Ended, LookUpDue, LookUpEnded, Turn
from duly.states.allowance import Rate
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.effect import FINAL, MOVES, WAITING, Dispatch, Standing, Step, Terms, after_attempt, after_look_up
from duly.states.look_up import Found, LookUpAnswer, NotThere, Unclear
from duly.states.policy import IdempotencyKey, Keeps, LookUp, Policy
from duly.states.retry import RetrySchedule
from duly.testing.store_exam import GATEWAY, LEASE, Candidate, ExaminedStore, change, intent

TENANTS: Final = ("acme", "globex", "initech")
HOUR: Final = timedelta(hours=1)
LOST: Final = "its worker fell silent"
TERMS: Final = Terms(
    keeps=Keeps(key=IdempotencyKey(lifetime=2 * HOUR), look_up=LookUp()),
    retry=RetrySchedule((timedelta(seconds=1), timedelta(minutes=1), timedelta(minutes=10))),
    hold=timedelta(seconds=30),
    wait_max=HOUR,
    probe_wait=timedelta(seconds=30),
)
SEEN_BY_A_PERSON: Final = frozenset({"tenant"})
"""What may hold an effect without an end in time: each with a list of its own, and a way out."""

Effect = Mapping[str, Any]


class Snapshot(msgspec.Struct, frozen=True):
    """All rows, between two steps."""

    effects: Mapping[str, Effect]
    attempts: Mapping[str, Sequence[Effect]]


class Play:
    """Senders, reconcilers, sweepers and people at one ledger, by turns; every choice by one seed."""

    def __init__(self, store: ExaminedStore, candidate: Candidate, seed: int) -> None:
        self.store = store
        self.candidate = candidate
        self.random = random.Random(seed)
        self.requests: list[Any] = []
        self.under_way: list[Claimed] = []
        self.stale: list[Claimed] = []
        self.abandoned: list[str] = []
        self.looking: list[LookUpDue] = []
        self.settled_up_to: dict[str, int] = defaultdict(int)
        """Up to which attempt a look-up has found that nothing is there."""
        self.before = Snapshot({}, {})
        self.told: list[str] = []

    # Steps.

    async def step(self) -> None:
        """Do anything, then look whether all is well."""
        steps = {
            self.request: 5,
            self.request_again: 1,
            self.turn: 10,
            self.look_up: 3,
            self.lose: 2,
            self.expire: 1,
            self.move_clock: 5,
            self.pause: 1,
            self.resume: 2,
            self.suppress: 1,
            self.erase: 1,
        }
        chosen = self.random.choices(list(steps), weights=list(steps.values()))[0]
        self.told.append(chosen.__name__)
        await chosen()
        await self.look()

    async def request(self) -> None:
        """Request one to three effects."""
        choose = self.random
        for _ in range(choose.randint(1, 3)):
            tenant = choose.choice(TENANTS)
            later = choose.random() < 0.2
            one = intent(
                policy=choose.choice(list(Policy)),
                urgent=choose.random() < 0.2,
                after_ms=choose.randint(1_000, 100_000) if later else 0,
                expires_after_ms=choose.choice([None, None, 60_000]),
                recipient_hash=choose.choice("abc"),
                subject=choose.choice(["customer-1", "customer-2"]),
                prepared=Prepared(
                    recipient="+491",
                    summary="We have",
                    content_type="text/plain",
                    body=b"We have it.",
                    destination=choose.choice(["", "", "d1", "d2"]),
                ),
            )
            self.requests.append((tenant, one))
            await self.store.commit(change(tenant=tenant, intents=(one,)))

    async def request_again(self) -> None:
        """The same request by the same cause, with the same bytes or with others."""
        if self.requests:
            tenant, one = self.random.choice(self.requests)
            digest = self.random.choice([one.digest, "other"])
            await self.store.commit(change(tenant=tenant, intents=(msgspec.structs.replace(one, digest=digest),)))

    async def turn(self) -> None:
        """Ends some attempts, some of them stale; claims; now and then the answer of the claim is lost."""
        choose = self.random
        choose.shuffle(self.under_way)
        ending = [self.under_way.pop() for _ in range(choose.randint(0, len(self.under_way)))]
        late = [one for one in self.stale if choose.random() < 0.5]
        self.stale = [one for one in self.stale if one not in late]
        token = uuid4().hex
        claim = Claim(
            gateway=GATEWAY,
            slots=choose.randint(1, 5),
            owner="sender",
            token=token,
            lease=LEASE,
            terms=self.terms(),
            after_tenant=choose.choice(["", *TENANTS]),
        )
        turn = Turn(
            ended=tuple(self.ended(one, self.outcome()) for one in (*ending, *late)),
            breakers=tuple(self.breaker_moves()),
            abandoned=tuple(self.abandoned),
            claim=claim if choose.random() < 0.9 else None,
        )
        turned = await self.store.turn(turn)
        self.abandoned = []
        if choose.random() < 0.1:
            self.abandoned.append(token)
            self.stale += turned.claimed if choose.random() < 0.2 else ()
        else:
            self.under_way += turned.claimed

    async def look_up(self) -> None:
        """Ends some look-ups, and claims more; now and then a reconciler dies."""
        choose = self.random
        ending = [one for one in self.looking if choose.random() < 0.7]
        self.looking = [one for one in self.looking if one not in ending]
        await self.store.end_look_ups([self.look_up_ended(one, self.answer()) for one in ending])
        due = await self.store.claim_look_ups(GATEWAY, choose.randint(1, 4), token=uuid4().hex, lease=LEASE)
        self.looking += due if choose.random() < 0.9 else []

    async def lose(self) -> None:
        """Sweeps what was lost, sometimes after a worker has died."""
        if self.random.random() < 0.5:
            self.store.shift_clock(31_000)
        await self.store.lose_attempts(
            LOST, lambda gateway, standing: after_attempt(Unknown(evidence=LOST), standing, TERMS, fraction=1.0)
        )
        views = {row["id"]: row for row in await self.effects()}
        lost = [one for one in self.under_way if views[one.effect_id]["token"] != one.token]
        self.under_way = [one for one in self.under_way if one not in lost]
        self.stale += lost

    async def expire(self) -> None:
        """Closes what has run out of time."""
        await self.store.expire()

    async def move_clock(self) -> None:
        """Time passes; now and then it goes back."""
        choose = self.random
        self.store.shift_clock(choose.choice([500, 2_000, 35_000, 70_000, 700_000, 700_000, 8_000_000, -10_000]))

    async def pause(self) -> None:
        """Lets a tenant wait."""
        await self.store.pause(self.random.choice(TENANTS), reason="unpaid", by="ann")

    async def resume(self) -> None:
        """Lets a tenant go on."""
        await self.store.resume(self.random.choice(TENANTS), reason="paid", by="ann")
        await self.store.release_resumed(100)

    async def suppress(self) -> None:
        """Takes somebody off the channel, or puts them back."""
        about = (self.random.choice(TENANTS), "sms", self.random.choice("abc"))
        if self.random.random() < 0.5:
            await self.store.suppress(*about, reason="opted out", source="ann")
        else:
            await self.store.unsuppress(*about, reason="asked for it", by="ann")

    async def erase(self) -> None:
        """Erases a person, seldom."""
        if self.random.random() < 0.1:
            await self.store.erase_effects(self.random.choice(TENANTS), "customer-2", 100)

    # What a step is made of.

    def terms(self) -> Terms:
        """The gateway's terms, now and then with rates."""
        if self.random.random() < 0.7:
            return TERMS
        rate = Rate(calls=self.random.randint(1, 4), per=timedelta(seconds=10))
        keeps = msgspec.structs.replace(TERMS.keeps, rate=rate, tenant_rate=rate)
        return msgspec.structs.replace(TERMS, keeps=keeps)

    def outcome(self) -> Outcome:
        """Anything that a gateway may answer."""
        outcomes: list[Outcome] = [
            Accepted(provider_id=uuid4().hex, evidence="201"),
            NotSent(reason="busy", permanent=False, fault=Fault.PROVIDER, retry_after=timedelta(days=-1)),
            NotSent(reason="busy", permanent=False, retry_after=timedelta(days=9_999)),
            NotSent(reason="no such number", permanent=True, suppresses="gone"),
            NotSent(reason="HTTP 401", permanent=False, fault=Fault.GATEWAY),
            Unknown(evidence="the line \0 went dead \ud83d"),
            Unknown(evidence="HTTP 503", retry_after=timedelta(minutes=3)),
        ]
        return self.random.choice(outcomes)

    def answer(self) -> LookUpAnswer:
        """Anything that a look-up may come to."""
        answers: list[LookUpAnswer] = [Found(provider_id=uuid4().hex), NotThere(), NotThere(), Unclear(evidence="503")]
        return self.random.choice(answers)

    def ended(self, claimed: Claimed, outcome: Outcome) -> Ended:
        """The end of an attempt, as a sender tells it."""
        standing = Standing(
            policy=claimed.policy,
            attempts=claimed.counted,
            unsettled=claimed.unsettled,
            key_age=claimed.key_age,
            is_probe=claimed.is_probe,
        )
        name = {Accepted: "accepted", NotSent: "not sent", Unknown: "unknown"}[type(outcome)]
        return Ended(
            effect_id=claimed.effect_id,
            tenant=claimed.tenant,
            number=claimed.number,
            token=claimed.token,
            outcome=name,
            evidence=outcome.reason if isinstance(outcome, NotSent) else outcome.evidence,
            provider_id=outcome.provider_id if isinstance(outcome, Accepted) else None,
            settled=after_attempt(outcome, standing, TERMS, fraction=self.random.random()),
            suppresses=outcome.suppresses if isinstance(outcome, NotSent) else "",
        )

    def look_up_ended(self, due: LookUpDue, answer: LookUpAnswer) -> LookUpEnded:
        """The end of a look-up, as a reconciler tells it."""
        claimed = due.claimed
        standing = Standing(
            policy=claimed.policy,
            attempts=claimed.counted,
            unsettled=claimed.unsettled,
            key_age=claimed.key_age,
            look_ups=due.look_ups,
        )
        return LookUpEnded(
            effect_id=claimed.effect_id,
            token=claimed.token,
            step=due.step,
            answer=type(answer).__name__,
            evidence=answer.evidence,
            provider_id=answer.provider_id if isinstance(answer, Found) else None,
            settled=after_look_up(answer, due.step, standing, TERMS, fraction=self.random.random()),
        )

    def breaker_moves(self) -> list[BreakerMove]:
        """A breaker that opens or closes, now and then."""
        choose = self.random
        if choose.random() > 0.15:
            return []
        place = choose.choice(["", *(f"{tenant}/d1" for tenant in TENANTS)])
        wait = choose.choice([timedelta(seconds=5), None])
        return [BreakerMove(gateway=GATEWAY, destination=place, open_for=wait, reason="away")]

    # What must hold.

    async def effects(self) -> list[Effect]:
        """All effects' rows."""
        rows = await self.store.select(f"SELECT * FROM {self.candidate.table('effect')}", {})
        return [dict(row) for row in rows]

    async def look(self) -> None:
        """Compare all rows with those before, and with the rules."""
        effects = {row["id"]: row for row in await self.effects()}
        attempts: dict[str, list[Effect]] = defaultdict(list)
        table = self.candidate.table("attempt")
        for row in await self.store.select(f"SELECT * FROM {table} ORDER BY effect_id, number", {}):
            attempts[str(row["effect_id"])].append(dict(row))
        wrong: list[str] = []
        for effect_id, effect in effects.items():
            before = self.before.effects.get(effect_id)
            if before is not None:
                wrong += self.mistaken_moves(before, effect)
            wrong += self.mistakes(effect, attempts[effect_id])
        gone = self.before.effects.keys() - effects.keys()
        assert not wrong, "\n".join((*self.told, *wrong))
        assert not gone
        self.before = Snapshot(effects, attempts)

    def mistaken_moves(self, before: Effect, after: Effect) -> list[str]:
        """What is wrong with how an effect has moved."""
        name, wrong = after["id"], []
        was, now = Dispatch(before["state"]), Dispatch(after["state"])
        reachable = {was}
        for _ in range(after["moves"] - before["moves"]):
            reachable |= {following for state in reachable for following in MOVES[state]}
        if now not in reachable:
            wrong.append(f"{name}: {was.value} -> {now.value} in {after['moves'] - before['moves']} moves")
        if was in FINAL and after["attempts"] != before["attempts"]:
            wrong.append(f"{name}: attempted though it was {was.value}")
        if any(before[fixed] != after[fixed] for fixed in ("key", "digest", "policy", "tenant", "gateway", "channel")):
            wrong.append(f"{name}: what never changes has changed")
        if before["unsettled"] and not after["unsettled"] and now is not Dispatch.ACCEPTED:
            self.settled_up_to[name] = before["attempts"]
        return wrong

    def mistakes(self, effect: Effect, attempts: Sequence[Effect]) -> list[str]:
        """What is wrong with an effect as it is."""
        state, name = Dispatch(effect["state"]), effect["id"]
        policy, step = Policy(effect["policy"]), Step(effect["step"])
        has_lease = effect["lease_ms"] is not None
        open_attempts = [one["number"] for one in attempts if one["outcome"] is None]
        unsettled = [
            one["number"]
            for one in attempts
            if one["outcome"] == "unknown" and one["number"] > self.settled_up_to[name]
        ]
        rules = {
            "a token goes with a lease": has_lease == (effect["token"] is not None),
            "attempting is to have a lease": state is not Dispatch.ATTEMPTING or has_lease,
            "a lease is for an attempt or a look-up": not has_lease
            or state is Dispatch.ATTEMPTING
            or (state is Dispatch.UNKNOWN and step is not Step.ATTEMPT),
            "what is leased is not due": not has_lease or effect["due_ms"] is None,
            "only what is unknown is looked up": step is Step.ATTEMPT or state is Dispatch.UNKNOWN,
            "what is final is not due": state not in FINAL or (effect["due_ms"] is None and not has_lease),
            "what waits is due, or held by what a person sees": state not in WAITING
            or effect["due_ms"] is not None
            or (state is Dispatch.HELD and effect["hold"] in SEEN_BY_A_PERSON),
            "what is held or unknown has a reason": state not in (Dispatch.HELD, Dispatch.UNKNOWN)
            or bool(effect["reason"]),
            "attempts are numbered without gaps": [one["number"] for one in attempts]
            == list(range(1, effect["attempts"] + 1)),
            "an attempt is open while it is made": open_attempts
            == ([effect["attempts"]] if state is Dispatch.ATTEMPTING else []),
            "what waits has nothing that may have gone through": state not in WAITING or effect["unsettled"] == 0,
            "unsettled is counted": state is Dispatch.ACCEPTED or effect["unsettled"] == len(unsettled),
            "what is unknown has something unsettled": state is not Dispatch.UNKNOWN or effect["unsettled"] > 0,
            "what is closed as not sent has nothing unsettled": state not in FINAL or effect["unsettled"] == 0,
            "counted attempts keep to the schedule": effect["counted"] <= TERMS.retry.attempts_max,
            "no more are counted than made": 0 <= effect["counted"] <= effect["attempts"],
            "every attempt has the same key and digest": all(
                (one["key"], one["digest"]) == (effect["key"], effect["digest"]) for one in attempts
            ),
            "nothing is attempted after it was accepted": all(one["outcome"] != "accepted" for one in attempts[:-1]),
            "at most once is never repeated while it may have gone through": policy
            not in (Policy.AT_MOST_ONCE, Policy.RECONCILE)
            or not unsettled
            or unsettled == [effect["attempts"]],
            "a repeat that may be a duplicate says so": policy is not Policy.AT_LEAST_ONCE
            or all(bool(one["possible_duplicate"]) == (one["number"] > unsettled[0]) for one in attempts)
            if unsettled
            else True,
        }
        told = {column: effect[column] for column in ("state", "hold", "step", "due_ms", "reason", "unsettled")}
        return [f"{name} ({policy.value}): not true: {rule}; {told}" for rule, holds in rules.items() if not holds]

    # The end.

    async def drain(self) -> None:
        """From now on everybody answers well: then everything comes to an end that has a way to."""
        self.told.append("drain")
        for tenant in TENANTS:
            await self.store.resume(tenant, reason="paid", by="ann")
        self.under_way.clear()
        self.stale.clear()
        for _ in range(30):
            self.store.shift_clock(3_700_000)
            await self.store.release_resumed(500)
            await self.lose()
            await self.store.expire()
            due = await self.store.claim_look_ups(GATEWAY, 100, token=uuid4().hex, lease=LEASE)
            await self.store.end_look_ups([self.look_up_ended(one, Found(provider_id=uuid4().hex)) for one in due])
            more = True
            after_tenant = ""
            while more:
                claim = Claim(
                    gateway=GATEWAY,
                    slots=20,
                    owner="sender",
                    token=uuid4().hex,
                    lease=LEASE,
                    terms=TERMS,
                    after_tenant=after_tenant,
                )
                turned = await self.store.turn(Turn(claim=claim))
                probes = {
                    destination for one in turned.claimed if one.is_probe for destination in ("", self.place(one))
                }
                closing = [
                    BreakerMove(gateway=GATEWAY, destination=place, open_for=None, reason="") for place in probes
                ]
                accepted = [self.ended(one, Accepted(provider_id=uuid4().hex)) for one in turned.claimed]
                await self.store.turn(Turn(ended=tuple(accepted), breakers=tuple(closing)))
                more, after_tenant = turned.has_more, turned.tenant
            await self.look()
        left = [
            row
            for row in self.before.effects.values()
            if Dispatch(row["state"]) not in FINAL
            and not (row["state"] == "unknown" and row["due_ms"] is None and row["lease_ms"] is None)
        ]
        assert not left, left

    @staticmethod
    def place(claimed: Claimed) -> str:
        """Whose breaker a probe asks about."""
        destination = claimed.prepared.destination
        return f"{claimed.tenant}/{destination}" if destination else ""


async def played(store: ExaminedStore, candidate: Candidate, seed: int, steps: int) -> None:
    """One play to its end."""
    play = Play(store, candidate, seed)
    try:
        for _ in range(steps):
            await play.step()
        await play.drain()
    except BaseException:
        print(f"seed {seed}: {' '.join(play.told)}")
        raise


@pytest.mark.parametrize("number", range(3))
async def test_whatever_happens_the_ledgers_rows_obey_its_rules_and_it_drains(
    store: ExaminedStore, candidate: Candidate, number: int
) -> None:
    if candidate.name == "postgres" and number:
        pytest.skip("one play is enough here; the long form has more")
    seed = random.SystemRandom().randrange(1_000_000)
    await played(store, candidate, seed, 120 if candidate.name != "postgres" else 60)


@pytest.mark.reliability
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(20))
async def test_whatever_happens_for_long_the_ledgers_rows_obey_its_rules_and_it_drains(
    store: ExaminedStore, candidate: Candidate, number: int
) -> None:
    await played(store, candidate, 1_000 + number, 600)
