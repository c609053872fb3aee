"""Everybody who works on the ledger at once, on PostgreSQL: senders, a reconciler, sweepers, people, receipts."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final
from uuid import uuid4

import msgspec
import pytest

from duly.ports.gateway import Prepared, Receipt
from duly.ports.ledger import BreakerMove, Claim, Claimed, Ended, LookUpEnded, Turn
from duly.ports.operations import Aim, Operation, Verb
from duly.states.allowance import Rate
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.delivery import Delivery
from duly.states.effect import FINAL, Dispatch, Standing, Terms, after_attempt, after_look_up
from duly.states.look_up import Found, LookUpAnswer, NotThere
from duly.states.policy import IdempotencyKey, Keeps, LookUp, Policy
from duly.states.retry import RetrySchedule
from duly.stores.postgres import PostgresStore
from duly.testing.store_exam import GATEWAY, TENANT, change, claim, ended, intent
from tests.contract.waiting import sessions, until, until_waiting

TENANTS: Final = ("acme", "globex", "initech")
MILLISECOND: Final = timedelta(milliseconds=1)
LEASE: Final = timedelta(seconds=2)
PLENTY: Final = Rate(calls=100_000, per=timedelta(seconds=1))
TERMS: Final = Terms(
    keeps=Keeps(
        key=IdempotencyKey(lifetime=timedelta(hours=2)),
        look_up=LookUp(settle=MILLISECOND, lag=MILLISECOND),
        rate=PLENTY,
        tenant_rate=PLENTY,
    ),
    retry=RetrySchedule((5 * MILLISECOND,) * 8),
    hold=20 * MILLISECOND,
    wait_max=timedelta(hours=1),
    probe_wait=20 * MILLISECOND,
)

Open = Callable[[], Awaitable[PostgresStore]]


@pytest.fixture
async def another(make_postgres: Callable[[], PostgresStore]) -> AsyncIterator[Open]:
    """Opens stores, as other processes would."""
    async with AsyncExitStack() as stack:

        async def open_one() -> PostgresStore:
            store = make_postgres()
            await store.open()
            stack.push_async_callback(store.close)
            return store

        yield open_one


class Crowd:
    """What all of them know together: what the provider took, and what was claimed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.ids: list[tuple[str, str]] = []
        self.claims: Counter[tuple[str, int]] = Counter()
        self.accepted: Counter[str] = Counter()
        self.provider_ids: list[str] = []
        self.done = False
        self.orders_left = 0

    async def pause(self) -> None:
        """Let the others come in between."""
        await asyncio.sleep(self.random.random() * 0.004)

    async def request(self, store: PostgresStore, count: int) -> None:
        """Request effects of every policy, for several tenants and destinations."""
        for number in range(count):
            tenant = TENANTS[number % len(TENANTS)]
            one = intent(
                policy=list(Policy)[number % len(Policy)],
                urgent=number % 5 == 0,
                prepared=Prepared(
                    recipient="+491", summary="s", content_type="text/plain", body=b"", destination=f"d{number % 4}"
                ),
            )
            self.ids.append((tenant, one.id))
            await store.commit(change(tenant=tenant, intents=(one,)))

    async def send(self, store: PostgresStore) -> None:
        """Claim, call, write down; a few claims are forgotten, as by a process that was killed."""
        choose = self.random
        ends: list[Ended] = []
        tenant = ""
        while not self.done:
            token = uuid4().hex
            ask = Claim(
                gateway=GATEWAY,
                slots=choose.randint(1, 6),
                owner="sender",
                token=token,
                lease=LEASE,
                terms=TERMS,
                after_tenant=tenant,
            )
            choose.shuffle(ends)
            turned = await store.turn(Turn(ended=tuple(ends), breakers=tuple(self.breakers()), claim=ask))
            tenant = turned.tenant
            self.note_written(ends, turned.written)
            ends = []
            for claimed in turned.claimed:
                self.claims[claimed.effect_id, claimed.number] += 1
                if choose.random() > 0.03:
                    ends.append(self.ended(claimed))
            await self.pause()
        turned = await store.turn(Turn(ended=tuple(ends)))
        self.note_written(ends, turned.written)

    def note_written(self, ends: list[Ended], written: tuple[bool, ...]) -> None:
        """Count what was accepted, and told in time."""
        for end, is_written in zip(ends, written, strict=True):
            if is_written and end.outcome == "accepted":
                self.accepted[end.effect_id] += 1
                self.provider_ids.append(str(end.provider_id))

    def ended(self, claimed: Claimed) -> Ended:
        """A call that mostly goes well."""
        outcomes: list[Outcome] = [
            *[Accepted(provider_id=f"p-{claimed.effect_id}")] * 6,
            NotSent(reason="busy", permanent=False, fault=Fault.PROVIDER),
            NotSent(reason="opted out", permanent=True, suppresses="STOP"),
            Unknown(evidence="the line went dead"),
        ]
        outcome = self.random.choice(outcomes)
        standing = Standing(
            policy=claimed.policy,
            attempts=claimed.counted,
            unsettled=claimed.unsettled,
            key_age=claimed.key_age,
            is_probe=claimed.is_probe,
        )
        return Ended(
            effect_id=claimed.effect_id,
            tenant=claimed.tenant,
            number=claimed.number,
            token=claimed.token,
            outcome={Accepted: "accepted", NotSent: "not sent", Unknown: "unknown"}[type(outcome)],
            evidence="seen",
            provider_id=outcome.provider_id if isinstance(outcome, Accepted) else None,
            settled=after_attempt(outcome, standing, TERMS, fraction=self.random.random()),
        )

    def breakers(self) -> list[BreakerMove]:
        """Some that open and close, in any order."""
        choose = self.random
        if choose.random() > 0.2:
            return []
        places = choose.sample([f"{tenant}/d{number}" for tenant in TENANTS for number in range(4)], 3)
        wait = choose.choice([None, 5 * MILLISECOND])
        return [BreakerMove(gateway=GATEWAY, destination=place, open_for=wait, reason="away") for place in places]

    async def reconcile(self, store: PostgresStore) -> None:
        """Look up what is unknown."""
        while not self.done:
            due = await store.claim_look_ups(GATEWAY, 5, token=uuid4().hex, lease=LEASE)
            ends: list[LookUpEnded] = []
            for one in due:
                answers: list[LookUpAnswer] = [Found(provider_id=f"p-{one.claimed.effect_id}"), NotThere()]
                answer = self.random.choice(answers)
                standing = Standing(
                    policy=one.claimed.policy, attempts=one.claimed.counted, unsettled=one.claimed.unsettled
                )
                ends.append(
                    LookUpEnded(
                        effect_id=one.claimed.effect_id,
                        token=one.claimed.token,
                        step=one.step,
                        answer=type(answer).__name__,
                        evidence="",
                        provider_id=answer.provider_id if isinstance(answer, Found) else None,
                        settled=after_look_up(answer, one.step, standing, TERMS, fraction=0.5),
                    )
                )
            self.random.shuffle(ends)
            await store.end_look_ups(ends)
            await self.pause()

    async def sweep(self, store: PostgresStore) -> None:
        """Find what was lost, close what is late, apply receipts that wait."""
        while not self.done:
            await store.lose_attempts(
                "lost", lambda gateway, standing: after_attempt(Unknown(evidence="lost"), standing, TERMS, fraction=1.0)
            )
            await store.expire()
            await store.join_receipts()
            await store.release_resumed(500)
            await self.pause()

    async def operate(self, store: PostgresStore) -> None:
        """A person who orders, withdraws and lets go of many effects at once."""
        while self.orders_left:
            self.orders_left -= 1
            tenant = self.random.choice(TENANTS)
            own = [effect_id for owner, effect_id in self.ids if owner == tenant]
            verb = self.random.choice([Verb.RELEASE, Verb.RETRY, Verb.CANCEL])
            some = self.random.sample(own, min(len(own), 2 if verb is Verb.CANCEL else 12))
            await store.operate(
                Operation(tenant=tenant, verb=verb, by="ann", reason="to see"),
                [Aim(effect_id) for effect_id in some],
                {GATEWAY: TERMS.keeps},
            )
            await self.pause()

    async def report(self, store: PostgresStore) -> None:
        """A provider that reports on several effects in one request, in any order."""
        while not self.done:
            some = self.random.sample(self.provider_ids, min(len(self.provider_ids), 5))
            receipts = [
                Receipt(dedupe=f"{one}-{uuid4().hex[:1]}", provider_id=one, delivery=Delivery.DELIVERED) for one in some
            ]
            await store.take_receipts(GATEWAY, receipts, within=None)
            await self.pause()


async def crowded(another: Open, seed: int, effects: int) -> None:
    """Let everybody work until nothing is left, then look at what they have done."""
    crowd = Crowd(seed)
    crowd.orders_left = effects
    first = await another()
    await crowd.request(first, effects // 2)
    people: list[Callable[[PostgresStore], Awaitable[None]]] = [
        *[crowd.send] * 3,
        crowd.reconcile,
        crowd.sweep,
        crowd.report,
    ]
    *stores, operators = [await another() for _ in (*people, crowd.operate)]
    async with asyncio.TaskGroup() as group:
        for work, store in zip(people, stores, strict=True):
            group.create_task(_as_task(work(store)))
        operating = group.create_task(crowd.operate(operators))
        await crowd.request(first, effects - effects // 2)

        async def is_over() -> bool:
            # A person may order one more attempt of what was over.
            return operating.done() and await open_effects(first) == 0

        await until(is_over, "the end of all effects")
        crowd.done = True
    for store in (*stores, operators):
        await store.close()
    await until_alone(first)
    (row,) = await first.select("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()", {})
    assert int(str(row["deadlocks"])) == 0
    assert set(crowd.claims.values()) <= {1}, "claimed twice"
    assert set(crowd.accepted.values()) <= {1}, "accepted twice"
    rows = await first.select("SELECT id, state, attempts, due_ms FROM duly.effect", {})
    assert len(rows) == effects
    for row in rows:
        accepted = crowd.accepted[str(row["id"])]
        assert not accepted or row["state"] == "accepted", row
        assert Dispatch(str(row["state"])) in FINAL or (row["state"], row["due_ms"]) == ("unknown", None), row


async def _as_task(work: Awaitable[None]) -> None:
    await work


async def open_effects(store: PostgresStore) -> int:
    """How many have something to come."""
    (row,) = await store.select(
        "SELECT count(*) AS number FROM duly.effect WHERE due_ms IS NOT NULL OR lease_ms IS NOT NULL", {}
    )
    return int(str(row["number"]))


async def until_alone(store: PostgresStore) -> None:
    """Return when no other session is left: each reports its deadlocks when it ends."""

    async def is_alone() -> bool:
        return await sessions(store) == 0

    await until(is_alone, "the end of the sessions")


async def test_all_at_once_meet_no_deadlock_and_nothing_is_claimed_or_accepted_twice(another: Open) -> None:
    await crowded(another, random.SystemRandom().randrange(1_000_000), 90)


@pytest.mark.reliability
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(8))
async def test_all_at_once_for_long_meet_no_deadlock(another: Open, seed: int) -> None:
    await crowded(another, seed, 600)


async def test_a_claim_that_is_put_back_is_looked_at_under_its_lock(another: Open) -> None:
    """Else what another has claimed meanwhile would be put back, and go out twice."""
    store, sweeper = await another(), await another()
    one = intent(policy=Policy.AT_LEAST_ONCE)
    await store.commit(change(intents=(one,)))
    token = uuid4().hex
    assert await claim(store, token=token)
    async with store.begin() as transaction:
        await transaction.fetch("SELECT id FROM duly.effect WHERE id = :id FOR UPDATE", {"id": one.id})
        putting_back = asyncio.create_task(sweeper.turn(Turn(abandoned=(token,))))
        await until_waiting(store)
        # Meanwhile it was lost, and claimed by somebody else.
        await transaction.execute("UPDATE duly.effect SET token = 'another' WHERE id = :id", {"id": one.id})
        await transaction.commit()
    await putting_back
    (row,) = await store.select("SELECT state, token FROM duly.effect", {})
    assert (row["state"], row["token"]) == ("attempting", "another")


async def test_ends_of_attempts_lock_effects_in_the_order_of_people(another: Open) -> None:
    store, sender = await another(), await another()
    intents = tuple(sorted((intent() for _ in range(6)), key=lambda one: one.id))
    await store.commit(change(intents=intents))
    claimed = sorted(await claim(store), key=lambda one: one.effect_id, reverse=True)
    async with store.begin() as transaction:
        await transaction.fetch("SELECT id FROM duly.effect WHERE id = :id FOR UPDATE", {"id": intents[0].id})
        ends = tuple(ended(one, Dispatch.ACCEPTED, provider_id=one.effect_id) for one in claimed)
        ending = asyncio.create_task(sender.turn(Turn(ended=ends)))
        await until_waiting(store)
        # The sender waits for the first one, and has locked none that comes after it.
        free = await transaction.fetch("SELECT id FROM duly.effect ORDER BY id FOR UPDATE SKIP LOCKED", {})
        assert [str(row["id"]) for row in free] == [one.id for one in intents]
        await transaction.commit()
    assert (await ending).written == (True,) * 6
    assert {row["state"] for row in await store.select("SELECT state FROM duly.effect", {})} == {"accepted"}


async def test_buckets_of_tenants_are_locked_in_one_order_whoever_is_urgent(another: Open) -> None:
    rates = msgspec.structs.replace(TERMS, keeps=Keeps(tenant_rate=PLENTY))
    store, sender = await another(), await another()

    async def request() -> None:
        await store.commit(change(tenant="globex", intents=(intent(urgent=True),)))
        await store.commit(change(tenant=TENANT, intents=(intent(),)))

    await request()
    assert [one.tenant for one in await claim(store, terms=rates)] == ["globex", TENANT]
    await request()
    async with store.begin() as transaction:
        await transaction.fetch("SELECT 1 FROM duly.allowance WHERE tenant = :tenant FOR UPDATE", {"tenant": TENANT})
        claiming = asyncio.create_task(claim(sender, terms=rates))
        await until_waiting(store)
        # The sender waits for the first bucket, and has locked none that comes after it.
        free = await transaction.fetch("SELECT tenant FROM duly.allowance ORDER BY tenant FOR UPDATE SKIP LOCKED", {})
        assert [row["tenant"] for row in free] == [TENANT, "globex"]
        await transaction.commit()
    assert [one.tenant for one in await claiming] == ["globex", TENANT]
