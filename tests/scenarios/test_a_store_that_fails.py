"""Act III when its ledger fails at any call, before or after the commit; and when its worker is cancelled."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from duly import Accepted, Dispatch, Duly, EffectView, Outcome, Policy, Settings, Unknown
from duly.errors import StoreUnavailable
from duly.gateways.recording import RecordingGateway
from duly.ports.gateway import Call, LookUpAnswer
from duly.ports.store import Store
from duly.runtime.store_url import store_from_url
from duly.states.look_up import Found, NotThere
from tests.scenarios.desk import Send, desk, keeping
from tests.scenarios.running import quick_settings

FAILING = ("turn", "claim_look_ups", "end_look_ups", "lose_attempts")
MARGIN = timedelta(milliseconds=600)
QUIET_MAX = timedelta(seconds=30)


class FailingStore:
    """A store whose ledger is away at one call: that has then done nothing, or done all and lost its answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._calls = 0
        self._fails_at = 0
        self._after = False
        self.has_failed = False

    def fail_at(self, call: int, *, after: bool) -> None:
        """From now on, fail at the *call*-th one: before it is made, or *after* that."""
        self._calls, self._fails_at, self._after, self.has_failed = 0, call, after, False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._watched(found) if name in FAILING else found

    def _watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def watched(*arguments: object, **named: object) -> object:
            self._calls += 1
            fails = self._calls == self._fails_at
            self.has_failed |= fails
            if fails and not self._after:
                raise StoreUnavailable("The ledger is away: nothing was written.")
            result = await call(*arguments, **named)
            if fails:
                raise StoreUnavailable("The ledger is away: nobody knows what was written.")
            return result

        return watched


class Provider:
    """Takes what it is called with. Of some calls the answer is lost; then it can be asked."""

    def __init__(self, *, seconds_max: float = 0) -> None:
        self.begun: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self.told: set[str] = set()
        self._seconds_max = seconds_max

    async def answer(self, call: Call) -> Outcome:
        """Take it, as a provider does that may be slow."""
        self.begun[call.effect_id] += 1
        await asyncio.sleep(random.random() * self._seconds_max)
        self.taken[call.effect_id] += 1
        if "lost" in call.prepared.summary:
            return Unknown(evidence="the line went dead")
        self.told.add(call.effect_id)
        return Accepted(provider_id=f"p-{call.effect_id}")

    def look_up(self, call: Call, confirming: bool) -> LookUpAnswer:
        """Whether it has it."""
        return Found(provider_id=f"p-{call.effect_id}") if self.taken[call.effect_id] else NotThere()


def application(store: Store, policy: Policy, provider: Provider, **settings: object) -> Duly:
    """A desk whose texts go to *provider*."""
    gateway, sending = keeping(policy, outcomes=provider.answer, look_up=provider.look_up, call_timeout=MARGIN, slots=3)
    assert isinstance(gateway, RecordingGateway)
    chosen: Settings = quick_settings(attempt_margin=MARGIN, sweep_interval=timedelta(milliseconds=50), **settings)
    return Duly(modules=[desk], store=store, gateways=[gateway], sending=sending, settings=chosen)


async def effects(app: Duly) -> list[EffectView]:
    """All of the only tenant."""
    return await app.ledger("acme").all_effects()


async def survived(policy: Policy, call: int, *, after: bool) -> bool:
    """One run, whose ledger fails at its *call*-th call; whether it has come to so many."""
    provider = Provider()
    store = FailingStore(store_from_url("memory:"))
    store.fail_at(call, after=after)
    async with application(store, policy, provider) as app:
        await app.execute(Send(texts=["one", "two", "lost three", "four", "lost five"]), tenant="acme")
        await app.until_quiet(time_max=QUIET_MAX)
        views = await effects(app)
    where = f"call {call}, {'after' if after else 'before'} its commit"
    assert set(provider.taken.values()) == {1}, f"{where}: {provider.taken}"
    assert len(provider.taken) == len(views) == 5, where
    for view in views:
        settled = policy is Policy.RECONCILE or "lost" not in view.summary
        assert view.state is (Dispatch.ACCEPTED if settled else Dispatch.UNKNOWN), f"{where}: {view}"
        assert all(attempt.ended_at is not None for attempt in view.attempts), f"{where}: {view}"
    return store.has_failed


@pytest.mark.parametrize("after", [False, True], ids=["before_the_commit", "after_the_commit"])
@pytest.mark.parametrize("policy", [Policy.AT_MOST_ONCE, Policy.RECONCILE])
async def test_wherever_the_ledger_fails_once_nothing_is_lost_and_nothing_goes_out_twice(
    policy: Policy, after: bool
) -> None:
    call = 1
    while await survived(policy, call, after=after):
        call += 1
    assert call > 3


# Cancelling.


async def cancelled(url: str, moment: float) -> None:
    """A worker that is cancelled *moment* seconds after a request, and another that goes on with what it left."""
    provider = Provider(seconds_max=0.02)
    app = application(store_from_url(url), Policy.AT_MOST_ONCE, provider)
    await app.start()
    await app.execute(Send(texts=[f"text {number}" for number in range(12)]), tenant="acme")
    await asyncio.sleep(moment)
    assert app._worker is not None
    for task in app._worker._tasks:
        task.cancel()
    await app.stop()
    async with application(store_from_url(url), Policy.AT_MOST_ONCE, provider) as again:
        await again.until_quiet(time_max=QUIET_MAX)
        views = await effects(again)
    assert len(views) == 12
    assert max(provider.begun.values()) == 1, "called twice"
    for view in views:
        if view.id in provider.told:
            assert view.state is Dispatch.ACCEPTED, f"{moment}: an outcome that was told is lost: {view}"
        else:
            assert view.state is Dispatch.UNKNOWN, f"{moment}: {view}"
            assert provider.begun[view.id] == 1, f"{moment}: unknown, though its call never began: {view}"


async def test_a_worker_that_is_cancelled_at_any_moment_loses_no_outcome_and_invents_no_unknown(
    tmp_path: Path,
) -> None:
    for place in range(12):
        await cancelled(f"sqlite:///{tmp_path / f'{place}.db'}", random.random() * 0.08)


@pytest.mark.reliability
@pytest.mark.timeout(600)
async def test_a_worker_that_is_cancelled_at_any_moment_often(tmp_path: Path) -> None:
    for place in range(200):
        await cancelled(f"sqlite:///{tmp_path / f'{place}.db'}", random.random() * 0.12)
