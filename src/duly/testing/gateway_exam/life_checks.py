"""Checks of a gateway's life: what it declares, rendering, opening and closing, cancellation, calls at once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from typing import Final

from duly.ports.gateway import Gateway
from duly.states.attempt import Accepted
from duly.testing.gateway_exam.candidate import EFFECT_ID, attempts
from duly.testing.gateway_exam.check import Check, FindFaults, Sitting
from duly.testing.gateway_exam.moods import DROPS_UNTAKEN, TAKES, TAKES_AND_DROPS, TAKES_AND_HANGS
from duly.testing.gateway_exam.observing import MARGIN_S, bounded_call, seated

SLOTS_EXAMINED_MAX: Final = 16
_SUBPROCESS_S_MAX: Final = 60
_RENDER: Final = """
import importlib, sys
from duly.testing.gateway_exam.life_checks import rendered_digest
from duly.testing.gateway_exam.check import Sitting
module, _, name = sys.argv[1].partition(":")
print(rendered_digest(Sitting(getattr(importlib.import_module(module), name))))
"""


def life_checks(sitting: Sitting) -> Iterator[Check]:
    """The checks that every gateway sits."""
    table: list[tuple[str, str, FindFaults]] = [
        (
            "it says what it takes, how many calls at once, and how long one can take",
            "effects, slots, call_timeout and retry are what the sender plans with; name and channel are stored.",
            _declared,
        ),
        (
            "the same effect is rendered to the same bytes, wherever and however often",
            "prepare is pure: no time, no random number, no order of a set, and every attempt has the same bytes.",
            _impure,
        ),
        (
            "rendering reaches nobody, and needs no open gateway",
            "prepare runs in the handler's transaction, in every process that executes commands.",
            _rendering_connects,
        ),
        (
            "each attempt at an effect sends the same bytes",
            "call gets what prepare made, and never anything newer: only so is a repeat known as one.",
            _attempts_differ,
        ),
        (
            "a gateway that is not live calls nobody",
            "A copy of the production database on a laptop texts nobody.",
            _called_although_not_live,
        ),
        (
            "it can be opened and closed twice, and again",
            "open makes ready, close lets go; a second call of either changes nothing.",
            _life_breaks,
        ),
        (
            "after close nothing is left: no task, no connection",
            "close lets go of connections; the worker's loop ends after it.",
            _left_behind,
        ),
        (
            "a call that is cancelled stops at once and leaves nothing behind",
            "A worker that stops cancels its calls. Let CancelledError through, and hang up.",
            _cancellation_leaks,
        ),
        (
            "as many calls as it has slots are under way at once, each with its own answer",
            "slots says how many calls may be under way at once; a lock within would make them wait.",
            _slots_wait,
        ),
    ]
    for sentence, rule, find in table:
        yield Check(sentence=sentence, rule=rule, sitting=sitting, find_faults=find)


async def _declared(sitting: Sitting) -> list[str]:
    gateway = sitting.candidate.make(sitting.candidate.seat_nowhere())
    effect = type(sitting.candidate.effect)
    faults = [f"{name} is empty" for name in ("name", "channel") if not getattr(gateway, name)]
    if effect not in gateway.effects:
        faults.append(f"effects does not hold {effect.__name__}, which it is examined with")
    if gateway.slots < 1:
        faults.append(f"slots is {gateway.slots}")
    if gateway.call_timeout <= timedelta():
        faults.append(f"call_timeout is {gateway.call_timeout}")
    if not gateway.retry.attempts_max:
        faults.append("retry has no attempt")
    return faults


def rendered_digest(sitting: Sitting) -> str:
    """SHA-256 of what a new gateway makes of the effect."""
    candidate = sitting.candidate
    prepared = candidate.make(candidate.seat_nowhere()).prepare(candidate.effect, EFFECT_ID)
    return sha256(repr(prepared).encode()).hexdigest()


async def _impure(sitting: Sitting) -> list[str]:
    candidate = sitting.candidate
    gateway = candidate.make(candidate.seat_nowhere())
    faults = []
    if gateway.prepare(candidate.effect, EFFECT_ID) != gateway.prepare(candidate.effect, EFFECT_ID):
        faults.append("one gateway renders it twice, differently")
    digests = {rendered_digest(sitting) for _ in range(2)}
    if len(digests) > 1:
        faults.append("two gateways with the same settings render it differently")
    elif candidate.importable:
        for seed in ("1", "2"):
            done = await asyncio.to_thread(_render_elsewhere, candidate.importable, seed)
            if done.returncode:
                return [f"another process cannot render {candidate.importable}: {done.stderr.strip()[-300:]}"]
            digests.add(done.stdout.strip())
        if len(digests) > 1:
            faults.append("another process, with another PYTHONHASHSEED, renders it differently")
    return faults


def _render_elsewhere(importable: str, seed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _RENDER, importable],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
        text=True,
        timeout=_SUBPROCESS_S_MAX,
    )


async def _rendering_connects(sitting: Sitting) -> list[str]:
    candidate = sitting.candidate
    async with candidate.provider(TAKES) as provider:
        gateway = candidate.make(candidate.seat(provider, patience=timedelta(seconds=5)))
        gateway.prepare(candidate.effect, EFFECT_ID)
        await asyncio.sleep(0)
        return [f"{provider.tally.connections} connections"] if provider.tally.connections else []


async def _attempts_differ(sitting: Sitting) -> list[str]:
    async with seated(sitting.candidate, DROPS_UNTAKEN) as (gateway, provider):
        for call in attempts(sitting.candidate.call(gateway), 3):
            await bounded_call(gateway, call)
    bodies = {seen.body for seen in provider.tally.seen}
    return [f"{len(bodies)} different requests in {len(provider.tally.seen)} attempts"] if len(bodies) > 1 else []


async def _called_although_not_live(sitting: Sitting) -> list[str]:
    async with seated(sitting.candidate, TAKES, live=False) as (gateway, provider):
        if gateway.live:
            return ["live is True although it was made with live=False"]
        ended = await bounded_call(gateway, sitting.candidate.call(gateway))
    if provider.tally.connections:
        return [f"{provider.tally.connections} connections, {len(provider.tally.taken)} taken; it says {ended.outcome}"]
    return [f"it says {ended.outcome}"] if isinstance(ended.outcome, Accepted) else []


async def _life_breaks(sitting: Sitting) -> list[str]:
    candidate = sitting.candidate
    faults = []
    async with candidate.provider(TAKES) as provider:
        gateway = candidate.make(candidate.seat(provider, patience=timedelta(seconds=20)))
        for time, call in zip(("at first", "after it was closed"), attempts(candidate.call(gateway), 2), strict=True):
            try:
                await gateway.open()
                await gateway.open()
                ended = await bounded_call(gateway, call)
                await gateway.close()
                await gateway.close()
            except Exception as error:
                return [f"{time}, it raises {type(error).__name__}: {error}"]
            if not isinstance(ended.outcome, Accepted):
                faults.append(f"{time}, a call gives {ended.outcome}")
    return faults


async def _left_behind(sitting: Sitting) -> list[str]:
    before = asyncio.all_tasks()
    faults = []
    for mood in (TAKES, TAKES_AND_DROPS):
        async with sitting.candidate.provider(mood) as provider:
            gateway = sitting.candidate.make(sitting.candidate.seat(provider, patience=timedelta(seconds=20)))
            await gateway.open()
            await bounded_call(gateway, sitting.candidate.call(gateway))
            await gateway.close()
            faults += [
                f"when the provider {mood.name}: {fault}"
                for fault in await _leftovers(gateway, before | provider.tasks, provider.idle)
            ]
    return faults


async def _cancellation_leaks(sitting: Sitting) -> list[str]:
    before = asyncio.all_tasks()
    async with sitting.candidate.provider(TAKES_AND_HANGS) as provider:
        gateway = sitting.candidate.make(sitting.candidate.seat(provider, patience=timedelta(seconds=60)))
        await gateway.open()
        call = asyncio.create_task(gateway.call(sitting.candidate.call(gateway)))
        arrived = asyncio.create_task(provider.arrived.wait())
        await asyncio.wait({call, arrived}, timeout=MARGIN_S, return_when=asyncio.FIRST_COMPLETED)
        arrived.cancel()
        if call.done():
            await gateway.close()
            return [f"the call ended before it was cancelled: {call.exception() or call.result()}"]
        call.cancel()
        await asyncio.wait({call}, timeout=MARGIN_S)
        faults = []
        if not call.done():
            faults.append(f"it still runs {MARGIN_S:g} s later")
        elif not call.cancelled():
            faults.append(f"it swallowed the cancellation: {call.exception() or call.result()}")
        await gateway.close()
        return faults + await _leftovers(gateway, before | provider.tasks | {arrived}, provider.idle)


async def _leftovers(gateway: Gateway, known: set[asyncio.Task[object]], idle: asyncio.Event) -> list[str]:
    """What is there after a moment that was not *known* before."""
    faults = []
    try:
        async with asyncio.timeout(MARGIN_S):
            await idle.wait()
    except TimeoutError:
        faults.append("a connection is still open")
    tasks = asyncio.all_tasks() - known
    if tasks:
        with suppress(TimeoutError):
            await asyncio.wait(tasks, timeout=1)
    names = [str(task.get_coro()) for task in asyncio.all_tasks() - known]
    return faults + [f"a task of {gateway.name} still runs: {name}" for name in names]


async def _slots_wait(sitting: Sitting) -> list[str]:
    candidate = sitting.candidate
    async with seated(candidate, TAKES) as (gateway, provider):
        slots = min(gateway.slots, SLOTS_EXAMINED_MAX)
        provider.gate.wanted = slots
        calls = [candidate.call(gateway, effect_id=f"{EFFECT_ID[:-2]}{number:02}") for number in range(slots)]
        ended = await asyncio.gather(*(bounded_call(gateway, call) for call in calls))
    faults = []
    if provider.gate.most < slots:
        faults.append(f"{provider.gate.most} calls at once reached the provider; slots says {slots}")
    ids = {one.outcome.provider_id for one in ended if isinstance(one.outcome, Accepted)}
    if len(ids) < slots:
        faults.append(f"{len(ids)} different ids were accepted in {slots} calls; the last outcome: {ended[-1].outcome}")
    return faults
