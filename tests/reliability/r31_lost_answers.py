"""R31: the provider takes it and its answer is lost; then the lifetime of the key passes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from duly import Command, Duly, Effect, Effects, Module, Policy, RetrySchedule, Settings
from duly.gateways.json_http import JsonHttpGateway
from duly.runtime.store_url import store_from_url
from duly.states.breaker import BreakerTerms
from duly.testing.process import ProcessUnderTest
from tests.reliability.application import Bill, Options, application
from tests.reliability.checks import nothing_is_sent_from_a_rollback, taken_once_or_unknown, unknown_is_explained
from tests.reliability.clock import shift
from tests.reliability.ledger_rows import Rows, read_rows
from tests.reliability.provider import LOSES_THE_ANSWER, Mood, MoodOf, Provider, providing
from tests.reliability.scenario import Run, Scenario, Told

LIFETIME: Final = timedelta(hours=2)
LATER: Final = LIFETIME + timedelta(minutes=1)
HANGING_MAX: Final = 8
"""A call that hangs takes a slot for a second."""


class Invoice(Effect):
    order_id: str


class SendOut(Command):
    numbers: list[str]


accounts = Module("accounts")


@accounts.command
async def send_out(command: SendOut, effects: Effects) -> None:
    for number in command.numbers:
        kind = Invoice if number.startswith("keyed") else Bill
        effects.request(kind(order_id=number), reference=number)


def _gateway(effect: type[Any], url: str, name: str, lifetime: timedelta | None) -> JsonHttpGateway[Any]:
    return JsonHttpGateway(
        effect,
        url,
        recipient="order_id",
        name=name,
        live=True,
        slots=16,
        call_timeout=timedelta(seconds=1),
        read_timeout=timedelta(seconds=2),
        idempotency_header="Idempotency-Key" if lifetime else None,
        key_lifetime=lifetime,
        retry=RetrySchedule((timedelta(minutes=20),) * 2),
    )


def _application(url: str, provider: Provider, *, later: timedelta = timedelta()) -> Duly:
    store = store_from_url(url)
    shift(store, later)
    settings = Settings(
        poll_interval=timedelta(milliseconds=20),
        sweep_interval=timedelta(milliseconds=50),
        breaker=BreakerTerms(calls_min=1_000_000),
    )
    gateways = [
        _gateway(Invoice, provider.url, "keyed", LIFETIME),
        _gateway(Bill, provider.url, "bare", None),
    ]
    return Duly(modules=[accounts], store=store, gateways=gateways, tenant="acme", settings=settings)


async def lost_answers(run: Run) -> Told:
    """Half of the effects have a key; every answer is lost. Then nobody works until the keys have gone."""
    history = run.history()
    lots = run.random()
    url = run.new_database()
    count = run.counts["effects"]
    numbers = [f"{kind}-{number}" for number in range(count // 2) for kind in ("keyed", "bare")]
    moods = {number: lots.choice(LOSES_THE_ANSWER[:-1]) for number in numbers}
    moods |= dict.fromkeys(lots.sample(numbers, min(HANGING_MAX, count // 4)), Mood.TAKES_AND_HANGS)
    moods |= dict(zip(numbers, LOSES_THE_ANSWER, strict=False))

    def mood(reference: str, call: int) -> Mood:
        # However often it is called: no answer ever comes.
        return moods[reference]

    async with providing(history, mood) as provider:
        app = _application(url, provider)
        if url.startswith("postgres"):
            await app.migrate()
        async with app:
            for start in range(0, count, 500):
                await app.execute(SendOut(numbers=numbers[start : start + 500]))
            not_sent = await _each_was_tried(url, provider, numbers)
        before = {number: provider.calls(number) for number in numbers}
        provider.forget_keys()
        async with _application(url, provider, later=LATER) as app:
            await app.until_quiet(time_max=timedelta(seconds=60), within=timedelta(days=30))
        rows = await read_rows(url)
        resent = [number for number in numbers if provider.calls(number) > before[number] and number not in not_sent]
        repeated = sum(max(calls - 1, 0) for number, calls in before.items() if number.startswith("keyed"))
    found = [f"R31: {number} was sent again without a key that is good" for number in resent]
    found += [
        f"R31: {n} was sent again without a key" for n, calls in before.items() if n.startswith("bare") and calls > 1
    ]
    found += _all_unknown(rows, count)
    found += [*taken_once_or_unknown(history, rows), *nothing_is_sent_from_a_rollback(history, rows)]
    killed, said = await _killed_with_the_answer(run)
    explanations = unknown_is_explained(rows)
    without = len(resent) + sum(max(calls - 1, 0) for number, calls in before.items() if number.startswith("bare"))
    return Told(
        faults=count + killed,
        figures={
            "answers lost": str(count + killed),
            "of them with their worker": str(killed),
            "first attempts that were not sent": f"{len(not_sent)} {sorted(set(not_sent.values()))}"
            if not_sent
            else "0",
            "resends without a key": str(without),
            "repeats under a key that was good": str(repeated),
            "unknown explained": f"{count - len(explanations)} of {count}",
        },
        violations=(*found, *explanations, *said),
    )


async def _each_was_tried(url: str, provider: Provider, numbers: Sequence[str]) -> dict[str, str]:
    """Wait until every first attempt has its outcome. Those that are known not to have been sent, with the reason.

    They have lost no answer, and what comes later is the first call.
    """
    async with asyncio.timeout(120):
        while True:
            rows = await read_rows(url)
            tried = [e for e in rows.effects if e.attempts and e.attempts[0].ended_ms is not None]
            if len(tried) == len(numbers):
                break
            await asyncio.sleep(0.1)
    return {
        e.reference: e.attempts[0].evidence
        for e in tried
        if e.attempts[0].outcome == "not sent" and not provider.calls(e.reference)
    }


def _all_unknown(rows: Rows, count: int) -> list[str]:
    found = [f"R31: {e.reference} is {e.state}" for e in rows.effects if e.state != "unknown" or not e.is_at_rest]
    found += [
        f"R31: {e.reference} does not say that its key has gone: {e.reason}"
        for e in rows.effects
        if e.policy == "keyed" and "key" not in e.reason
    ]
    return found if len(rows.effects) == count else [*found, f"R31: {len(rows.effects)} of {count} effects are there"]


async def _killed_with_the_answer(run: Run) -> tuple[int, list[str]]:
    """A worker is killed with the answer in hand, and nobody comes until its key has gone."""
    history = run.history("killed")
    url = run.new_database()
    kills = 0

    def mood(reference: str, call: int) -> Mood:
        return Mood.TAKES

    known: MoodOf = mood
    async with providing(history, known) as provider:
        if url.startswith("postgres"):
            await application(url, provider.url, Policy.KEYED).migrate()
        options = Options(
            store=url, provider=provider.url, policy=Policy.KEYED, kill_at="sender.after_call", bug=run.bug
        )
        doomed = await ProcessUnderTest.start("tests.reliability.application", [options.text()], history)
        await doomed.ask("k-1")
        kills += await doomed.ended(seconds_max=20) == -9
        await doomed.kill()
        provider.forget_keys()
        store = store_from_url(url)
        shift(store, timedelta(hours=25))
        async with application(store, provider.url, Policy.KEYED) as app:
            await app.until_quiet(within=timedelta(days=2))
    rows = await read_rows(url)
    found = [*taken_once_or_unknown(history, rows), *unknown_is_explained(rows)]
    if not kills or [effect.state for effect in rows.effects] != ["unknown"]:
        found.append(f"R31: after a kill with the answer in hand: {[effect.state for effect in rows.effects]}")
    return kills, found


R31: Final = Scenario(
    id="R31",
    title="the provider takes it and the answer is lost; then the key's lifetime passes",
    scene=lost_answers,
    tier_1={"effects": 24},
    tier_2={"effects": 1_000},
    bugs=("unknown_is_tried_again", "keys_live_for_ever", "unknown_says_nothing"),
)
