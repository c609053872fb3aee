"""A worker that has died is noticed: a benchmark does not wait for it until its time is up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from benchmarks.subjects import waiting
from benchmarks.subjects.baskets import TENANT, FillBaskets, Packing, baskets
from duly import Duly
from duly.ports.store import Seen
from duly.stores.memory import MemoryStore


class BrokenStore(MemoryStore):
    """Its outbox cannot be read, in a way that nobody expects."""

    async def look(self, *_: Any, **__: Any) -> Seen:
        raise RuntimeError("the outbox broke")


async def test_a_worker_that_has_died_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "CHECK_SECONDS", 0.01)

    async with Duly(modules=[baskets(Packing(4))], store=BrokenStore()) as app:
        await app.execute(FillBaskets(first=0, count=1), tenant=TENANT)
        with pytest.raises(RuntimeError, match="the outbox broke"):
            await waiting.until_drained(app, asyncio.Event())


async def test_a_worker_that_is_well_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "CHECK_SECONDS", 0.001)
    packing = Packing(400)

    async with Duly(modules=[baskets(packing)], store="memory:") as app:
        await app.execute(FillBaskets(first=0, count=100), tenant=TENANT)
        await waiting.until_drained(app, packing.done)

    assert packing.heard == 400
    assert packing.out_of_order == 0
