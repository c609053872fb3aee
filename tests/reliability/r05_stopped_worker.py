"""R05: a worker is stopped past its lease, another takes over, and the first one goes on as if nothing had been."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from duly import Policy
from duly.testing.process import ProcessUnderTest
from tests.reliability.application import SLOTS, Options, application
from tests.reliability.checks import all_invariants
from tests.reliability.ledger_rows import AttemptRow, EffectRow, Rows, read_rows
from tests.reliability.provider import Mood, Provider, providing
from tests.reliability.scenario import Run, Scenario, Told

SECONDS_MAX: Final = 30.0
TAKE_OVER_SECONDS_MAX: Final = 15.0
LATE: Final = "learned too late to count"


async def stopped_workers(run: Run) -> Told:
    """Each policy in turn: half of the stops come during the calls, half with the answer in hand."""
    histories = run.history()
    found: list[str] = []
    refused = stops = locked = with_id = 0
    policies = list(Policy)
    rounds = run.counts["rounds"]
    for place, policy in enumerate(policies):
        mine = [number for number in range(rounds) if number % len(policies) == place]
        if not mine:
            continue
        stage = _Stage(run, policy)
        rows = await stage.play(mine)
        stops += stage.stops
        locked += stage.locked
        late = [a for effect in rows.effects for a in effect.attempts if LATE in a.evidence]
        refused += len(late)
        with_id += sum(attempt.provider_id is not None for attempt in late)
        found += [f"{policy.value}: {said}" for said in (*stage.found, *all_invariants(stage.history, rows))]
        histories.add("policy", policy.value, str(len(late)))
    return Told(
        faults=stops,
        figures={
            "stops": str(stops),
            "stops inside a transaction, not counted": str(locked),
            "stale writes refused": f"{refused} of {refused + sum('was overwritten' in said for said in found)}",
            "of them with the provider's id kept": str(with_id),
        },
        violations=tuple(found),
    )


class _Stage:
    """Two workers on one database, under one policy."""

    def __init__(self, run: Run, policy: Policy) -> None:
        self.history = run.history(policy.value)
        self.found: list[str] = []
        self.stops = 0
        self.locked = 0
        self._run = run
        self._policy = policy
        self._store = run.new_database()
        self._lots = run.random(policy.value)
        self._held: set[str] = set()

    async def play(self, rounds: list[int]) -> Rows:
        """So many stops; what is in the database after the last."""

        def mood(reference: str, call: int) -> Mood:
            return Mood.HOLDS if call == 1 and reference in self._held else Mood.TAKES

        async with providing(self.history, mood) as provider:
            if self._store.startswith("postgres"):
                await application(self._store, provider.url, self._policy).migrate()
            options = Options(store=self._store, provider=provider.url, policy=self._policy, bug=self._run.bug).text()
            workers = [
                await ProcessUnderTest.start("tests.reliability.application", [options], self.history) for _ in range(2)
            ]
            try:
                for number in rounds:
                    # Nothing of the round before is under way, which might be stopped instead.
                    await self._settle()
                    if number % 8 < 4:
                        await self._stop_during_the_call(workers, provider, number)
                    else:
                        await self._stop_with_the_answer(workers, provider, number)
                await self._settle()
            finally:
                for worker in workers:
                    await worker.kill()
        return await read_rows(self._store)

    async def _stop_during_the_call(self, workers: list[ProcessUnderTest], provider: Provider, number: int) -> None:
        orders = [f"o-{number}-{place}" for place in range(self._lots.randint(1, SLOTS))]
        self._held |= set(orders)
        provider.let_go.clear()
        await workers[number % 2].acknowledged(await self._place(workers[number % 2], orders), seconds_max=SECONDS_MAX)
        await self._until(lambda rows: provider.held == len(orders), "the calls are held")
        owners = {a.effect_id: a.owner for a in _attempts(await self._effects(orders))}
        victim = workers[self._lots.randrange(2)]
        mine = {effect for effect, owner in owners.items() if f":{victim.pid}:" in owner}
        if not mine:
            victim = workers[1 - workers.index(victim)]
            mine = set(owners)
        victim.suspend()
        self.stops += 1
        await self._taken_over(victim, mine, let_go=provider.let_go.set)

    async def _stop_with_the_answer(self, workers: list[ProcessUnderTest], provider: Provider, number: int) -> None:
        """Whichever worker has the call stops with the provider's id in hand."""
        await self._arm(workers, f"stop-{number}", "sender.after_call")
        order = f"o-{number}-0"
        self._held.add(order)
        provider.let_go.clear()
        await workers[number % 2].ask(order)
        await self._until(lambda rows: provider.held == 1 and order in rows.tallies, "the call alone is under way")
        provider.let_go.set()
        await self._until(lambda rows: any(worker.is_stopped() for worker in workers), "a worker stops")
        victim = next(worker for worker in workers if worker.is_stopped())
        self.stops += 1
        (other,) = [worker for worker in workers if worker is not victim]
        effects = await self._effects([order])
        if victim is workers[number % 2] and not effects:
            self.found.append(f"{order} has no effect")
        # The other one has the same order to stop: it is let go on when it does.
        await self._taken_over(victim, {effect.id for effect in effects}, other=other)
        await self._arm(workers, f"go-{number}", "")

    async def _arm(self, workers: list[ProcessUnderTest], request_id: str, point: str) -> None:
        for worker in workers:
            telling = asyncio.create_task(worker.tell(request_id, stop_at=point))
            while not (await asyncio.wait({telling}, timeout=0.05))[0]:
                # The other one has met the same point a moment ago, in a call that nobody waits for any more.
                if worker.is_stopped():
                    worker.resume()

    async def _taken_over(
        self,
        victim: ProcessUnderTest,
        effect_ids: set[str],
        *,
        let_go: Callable[[], object] = lambda: None,
        other: ProcessUnderTest | None = None,
    ) -> None:
        """Wait until the other worker has written *unknown*, and gone on as the policy says; then let it go on."""

        def lost(rows: Rows) -> bool:
            if other is not None and other.is_stopped():
                other.resume()
            return all(
                first.outcome == "unknown"
                for effect in rows.effects
                if effect.id in effect_ids
                for first in effect.attempts[:1]
            )

        try:
            before = await self._until(lost, "another worker takes over", seconds_max=TAKE_OVER_SECONDS_MAX)
        except TimeoutError:
            # Stopped inside a transaction it keeps the file's one lock: SQLite lets nobody else write.
            if self._run.store != "sqlite" or self._run.bug:
                raise
            self.stops -= 1
            self.locked += 1
            let_go()
            victim.resume()
            return
        states = {effect.id: _first(effect) for effect in before.effects if effect.id in effect_ids}
        let_go()
        victim.resume()

        def noted(rows: Rows) -> bool:
            if other is not None and other.is_stopped():
                other.resume()
            return all(LATE in _first(effect).evidence for effect in rows.effects if effect.id in effect_ids)

        try:
            await self._until(noted, "the stale outcome is kept as evidence", seconds_max=8)
        except TimeoutError:
            rows = await read_rows(self._store)
            for effect in rows.effects:
                if effect.id in effect_ids and LATE not in _first(effect).evidence:
                    what = "was overwritten" if _first(effect) != states[effect.id] else "left no evidence"
                    self.found.append(f"R05: the stale outcome of {effect.reference} {what}")

    async def _place(self, worker: ProcessUnderTest, orders: list[str]) -> set[str]:
        for order in orders:
            await worker.ask(order)
        return set(orders)

    async def _effects(self, orders: list[str]) -> list[EffectRow]:
        return [effect for effect in (await read_rows(self._store)).effects if effect.reference in orders]

    async def _until(self, true: Callable[[Rows], bool], what: str, *, seconds_max: float = SECONDS_MAX) -> Rows:
        """Wait until *true* of the rows; these. Raises `TimeoutError`, saying what was waited for."""
        deadline = asyncio.get_running_loop().time() + seconds_max
        while not true(rows := await read_rows(self._store)):
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"Waited {seconds_max} s until {what}.")
            await asyncio.sleep(0.05)
        return rows

    async def _settle(self) -> None:
        def settled(rows: Rows) -> bool:
            return rows.undelivered == 0 and all(effect.is_at_rest for effect in rows.effects)

        await self._until(settled, "everything has drained", seconds_max=60)


def _first(effect: EffectRow) -> AttemptRow:
    return effect.attempts[0]


def _attempts(effects: list[EffectRow]) -> list[AttemptRow]:
    return [attempt for effect in effects for attempt in effect.attempts]


R05: Final = Scenario(
    id="R05",
    title="SIGSTOP a worker past its lease, then SIGCONT",
    scene=stopped_workers,
    tier_1={"rounds": 1},
    tier_2={"rounds": 50},
    revert={"rounds": 4},
    bugs=("stale_outcomes_are_written",),
)
