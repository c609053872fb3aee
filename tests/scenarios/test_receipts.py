"""R32, S08, S11: what providers report comes late, twice, out of order, forged, and before our own record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duly import Accepted, Dispatch, EffectView, NotSent, Sending, Sms, Unknown
from duly.effects.receipts import NoSuchGateway, Refused, Taken, TooLarge, Unavailable
from duly.errors import StoreUnavailable
from duly.ports.gateway import Call, Receipt
from duly.ports.receipts import ReceiptsTaken
from duly.states.attempt import Outcome
from duly.states.delivery import Delivery, Engagement
from duly.stores.memory import MemoryStore
from duly.testing.store_exam import GATEWAY, change, claim, end_attempts, ended, intent
from tests.scenarios.desk import desk, effect, sent, shift_clock, until
from tests.scenarios.reports import listening, post, reporting, signed
from tests.scenarios.running import Running, Start, durable, quick_settings

LOST: Final = Unknown(evidence="the line went dead")
D = Delivery


async def texted(start: Start, heard: list[str] | None = None, **parts: Any) -> tuple[Running, EffectView]:
    """One text that was attempted, and the application."""
    app = await start(desk, listening([] if heard is None else heard), gateways=[reporting(**parts)])
    await sent(app, "hello")
    await app.quiet()
    return app, await effect(app)


def named(by: str, identifier: str, *, dedupe: str = "r-1", delivery: Delivery = D.DELIVERED) -> Receipt:
    """A receipt that names its effect by an id of ours (``effect_id``), or by the provider's (``provider_id``)."""
    if by == "effect_id":
        return Receipt(dedupe=dedupe, effect_id=identifier, delivery=delivery)
    return Receipt(dedupe=dedupe, provider_id=identifier, delivery=delivery)


async def row_of(app: Running, effect_id: str) -> tuple[str, str | None]:
    """State and delivery of an effect."""
    is_postgres = app.app.store_url.startswith("postgres")
    table = "duly.effect" if is_postgres else "duly_effect"
    (row,) = await app.app._store.select(f"SELECT state, delivery FROM {table} WHERE id = :id", {"id": effect_id})
    return str(row["state"]), None if row["delivery"] is None else str(row["delivery"])


# R32: what is true is applied.


async def test_a_receipt_settles_an_unknown_and_the_domain_hears_of_it_in_order(start: Start) -> None:
    heard: list[str] = []
    app, view = await texted(start, heard, outcomes=[LOST])
    assert view.state is Dispatch.UNKNOWN
    told = await post(app, Receipt(dedupe="r-1", effect_id=view.id, provider_id="SM1", delivery=D.DELIVERED))
    assert told == Taken(receipts=1, new=1, applied=1)
    await app.quiet()
    view = await effect(app)
    assert (view.state, view.provider_id) == (Dispatch.ACCEPTED, "SM1")
    assert heard == [
        "outcome_unknown: the line went dead",
        "accepted: settled by a receipt",
        "delivered: delivered",
    ]


async def test_a_receipt_that_comes_twice_and_out_of_order_is_heard_of_once(start: Start) -> None:
    heard: list[str] = []
    app, view = await texted(start, heard)
    delivered = Receipt(dedupe="r-2", effect_id=view.id, delivery=D.DELIVERED)
    await post(app, delivered, Receipt(dedupe="r-1", effect_id=view.id, delivery=D.SENT), delivered)
    assert await post(app, delivered) == Taken(receipts=1, new=0, applied=0)
    await post(app, Receipt(dedupe="r-3", effect_id=view.id, engagement=Engagement.OPENED))
    await app.quiet()
    assert await row_of(app, view.id) == ("accepted", "delivered")
    assert heard == ["accepted", "delivered: delivered", "engaged: opened"]


async def test_a_late_receipt_counts_when_nobody_expects_one_any_more(start: Start) -> None:
    heard: list[str] = []
    app, view = await texted(start, heard)
    shift_clock(app, timedelta(days=4))

    async def is_unconfirmed() -> bool:
        return await row_of(app, view.id) == ("accepted", "unconfirmed")

    await until(is_unconfirmed, "the window closes")
    await post(app, Receipt(dedupe="r-1", effect_id=view.id, delivery=D.UNDELIVERED))
    await app.quiet()
    assert [word.partition(":")[0] for word in heard] == ["accepted", "unconfirmed", "undelivered"]


@pytest.mark.parametrize("names", ["effect_id", "provider_id"])
@pytest.mark.parametrize("outcome", [Accepted(provider_id="SM1"), LOST])
async def test_a_receipt_that_comes_before_the_call_has_ended_is_applied_after_it(
    start: Start, names: str, outcome: Outcome
) -> None:
    heard: list[str] = []
    running: list[Running] = []

    async def report_then_answer(call: Call) -> Outcome:
        receipt = named(names, {"effect_id": call.effect_id, "provider_id": "SM1"}[names])
        assert await post(running[0], receipt) == Taken(receipts=1, new=1, applied=0)
        return outcome

    app = await start(
        desk,
        listening(heard),
        gateways=[reporting(outcomes=report_then_answer)],
        settings=quick_settings(sweep_interval=timedelta(milliseconds=50)),
    )
    running.append(app)
    (effect_id,) = await sent(app, "hello")
    if names == "provider_id" and outcome is LOST:
        # Nothing says what the provider's id is about: nobody guesses.
        await app.quiet()
        assert await row_of(app, effect_id) == ("unknown", None)
        return

    async def is_delivered() -> bool:
        return await row_of(app, effect_id) == ("accepted", "delivered")

    await until(is_delivered, "the receipt is applied")
    await app.quiet()
    assert heard[-2].startswith("accepted")
    assert heard[-1] == "delivered: delivered"


async def test_what_the_provider_has_taken_is_not_sent_again_though_it_said_that_it_had_not(start: Start) -> None:
    running: list[Running] = []
    calls: list[Call] = []

    async def report_then_refuse(call: Call) -> Outcome:
        calls.append(call)
        await post(running[0], Receipt(dedupe="r-1", effect_id=call.effect_id, delivery=D.SENT))
        return NotSent(reason="busy", permanent=False)

    app = await start(desk, gateways=[reporting(outcomes=report_then_refuse)])
    running.append(app)
    (effect_id,) = await sent(app, "hello")
    await app.quiet()
    assert (await row_of(app, effect_id), len(calls)) == (("held", "sent"), 1)
    (anomaly,) = await app.app.ledger("acme").anomalies()
    assert (anomaly.kind, anomaly.about) == ("a receipt says that an effect was taken", effect_id)


# S11: what is forged or replayed changes nothing.


async def test_a_receipt_that_is_forged_changes_nothing(start: Start) -> None:
    app, view = await texted(start, outcomes=[LOST])
    receipt = Receipt(dedupe="r-1", effect_id=view.id, delivery=D.DELIVERED)
    for signature in ("", "0" * 64, signed(b"[]"), "\u00e9"):
        assert await post(app, receipt, signature=signature) == Refused()
    assert await effect(app) == view


async def test_a_receipt_that_is_replayed_changes_nothing(start: Start) -> None:
    heard: list[str] = []
    app, view = await texted(start, heard)
    first, second = (
        Receipt(dedupe=f"r-{kind.value}", effect_id=view.id, delivery=kind, engagement=Engagement.OPENED)
        for kind in (D.SENT, D.DELIVERED)
    )
    await post(app, first)
    await post(app, second)
    await app.quiet()
    before, said = await effect(app), list(heard)
    for replayed in (first, second) * 5:
        assert await post(app, replayed) == Taken(receipts=1, new=0, applied=0)
    await app.quiet()
    assert (await effect(app), heard) == (before, said)


async def test_what_cannot_be_read_or_is_too_much_is_refused(start: Start) -> None:
    app, view = await texted(start)
    take = app.app.receipts.take
    garbage = b'[{"dedupe":'
    assert await take("sms", garbage, (("x-signature", signed(garbage)),)) == Refused()
    assert await take("sms", b"x" * (1024 * 1024 + 1), ()) == TooLarge()
    assert await post(app, *[Receipt(dedupe=f"r-{n}", effect_id=view.id) for n in range(1_001)]) == TooLarge()
    assert await take("nobody", b"", ()) == NoSuchGateway()
    assert await row_of(app, view.id) == ("accepted", None)


async def test_a_gateway_that_stumbles_over_a_request_asks_for_it_again_and_shows_none_of_it(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(incoming: object) -> Sequence[Receipt]:
        raise ZeroDivisionError("the caller's secret")

    app, _ = await texted(start, receipts=stumble)
    assert await app.app.receipts.take("sms", b"the caller's secret", (("cookie", "the caller's secret"),)) == (
        Unavailable()
    )
    assert "ZeroDivisionError" in str([record.__dict__ for record in caplog.records])
    assert "the caller's secret" not in str([record.__dict__ for record in caplog.records])


# S08: nothing crosses a tenant or a gateway.


async def test_a_receipt_reaches_its_own_tenant_and_gateway_only(start: Start) -> None:
    # One provider's account each; both give the same id, as accounts at two providers may.
    taken = [Accepted(provider_id="SM1")]
    gateways = [reporting(outcomes=taken), reporting(name="other", outcomes=taken)]
    sending = [Sending(effect=Sms, gateway="sms"), Sending(effect=Sms, gateway="other", tenant="beta")]
    app = await start(desk, gateways=gateways, sending=sending)
    await sent(app, "hello", tenant="acme")
    await sent(app, "hello", tenant="beta")
    await app.quiet()
    acme, beta = await effect(app, "acme"), await effect(app, "beta")
    await post(app, Receipt(dedupe="r-1", provider_id="SM1", delivery=D.DELIVERED), name="other")
    assert (await row_of(app, acme.id), await row_of(app, beta.id)) == (("accepted", None), ("accepted", "delivered"))
    # Not even by its right name, when it comes in at another gateway.
    told = await post(app, Receipt(dedupe="r-2", effect_id=beta.id, delivery=D.READ), name="sms")
    assert told == Taken(receipts=1, new=1, applied=0)
    assert await row_of(app, beta.id) == ("accepted", "delivered")


async def test_a_receipt_about_an_unknown_id_is_kept_and_changes_nothing(start: Start) -> None:
    app, view = await texted(start)
    for receipt in (
        named("effect_id", "e-none"),
        named("provider_id", "SM-none", dedupe="r-2"),
        Receipt(dedupe="r-3", delivery=D.DELIVERED),
    ):
        assert await post(app, receipt) == Taken(receipts=1, new=1, applied=0)
    assert await app.effects() == [view]


# Crashes and crowds.


async def test_a_receipt_is_taken_once_it_is_sent_again_after_the_store_was_away(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, view = await texted(start, outcomes=[LOST])
    receipt = Receipt(dedupe="r-1", effect_id=view.id, delivery=D.DELIVERED)
    store = app.app._store
    keep = store.take_receipts

    async def away(*args: object, **parts: object) -> ReceiptsTaken:
        raise StoreUnavailable("The database is away.")

    async def answer_is_lost(*args: Any, **parts: Any) -> ReceiptsTaken:
        await keep(*args, **parts)
        raise StoreUnavailable("The connection was lost; it may have been committed.")

    monkeypatch.setattr(store, "take_receipts", away)
    assert await post(app, receipt) == Unavailable()
    assert (await effect(app)).state is Dispatch.UNKNOWN
    monkeypatch.setattr(store, "take_receipts", answer_is_lost)
    assert await post(app, receipt) == Unavailable()
    monkeypatch.setattr(store, "take_receipts", keep)
    assert await post(app, receipt) == Taken(receipts=1, new=0, applied=0)
    assert await row_of(app, view.id) == ("accepted", "delivered")


@durable
async def test_a_process_without_a_worker_takes_receipts_and_another_keeps_what_they_promise(start: Start) -> None:
    heard: list[str] = []
    module = listening(heard)
    app = await start(desk, module, gateways=[reporting(outcomes=[LOST])])
    await sent(app, "hello")
    await app.quiet()
    web = await start(desk, module, gateways=[reporting()], worker=False)
    view = await effect(web)
    assert await post(web, Receipt(dedupe="r-1", effect_id=view.id, delivery=D.DELIVERED)) == Taken(
        receipts=1, new=1, applied=1
    )
    await app.quiet()
    assert heard[-2:] == ["accepted: settled by a receipt", "delivered: delivered"]


@durable
async def test_fifty_requests_with_the_same_receipt_in_two_processes_apply_it_once(start: Start) -> None:
    heard: list[str] = []
    module = listening(heard)
    app = await start(desk, module, gateways=[reporting(outcomes=[LOST])])
    await sent(app, "hello")
    await app.quiet()
    web = await start(desk, module, gateways=[reporting()], worker=False)
    view = await effect(web)
    receipt = Receipt(dedupe="r-1", effect_id=view.id, delivery=D.DELIVERED)
    answers = await asyncio.gather(*(post(one, receipt) for one in (app, web) for _ in range(25)))
    assert sum(answer.applied for answer in answers if isinstance(answer, Taken)) == 1
    assert all(isinstance(answer, Taken) for answer in answers)
    await app.quiet()
    assert heard == ["outcome_unknown: the line went dead", "accepted: settled by a receipt", "delivered: delivered"]


# R32: the order of what is true does not matter.

COURSES: Final = (
    (D.SENT, D.DEFERRED, D.DELIVERED, D.READ),
    (D.SENT, D.DEFERRED, D.DELIVERED, D.BOUNCED),
    (D.SENT, D.DEFERRED, D.UNDELIVERED),
    (D.SENT, D.REJECTED),
    (D.SENT, D.DEFERRED, D.EXPIRED),
)
"""What may become of one message, in the order in which it happens."""


@st.composite
def reported(draw: st.DrawFn) -> tuple[Delivery, list[list[Receipt]], int]:
    """The end of a course; requests with reports of it, in any order, with repetitions; how many come too early."""
    course = draw(st.sampled_from(COURSES))
    kinds = draw(st.lists(st.sampled_from(course), unique=True, min_size=1))
    receipts = [
        named(draw(st.sampled_from(["effect_id", "provider_id"])), "SM1", dedupe=kind.value, delivery=kind)
        for kind in kinds
    ]
    again = draw(st.lists(st.sampled_from(receipts), max_size=4))
    shuffled = draw(st.permutations([*receipts, *again]))
    cuts = draw(st.lists(st.integers(1, 3), min_size=len(shuffled), max_size=len(shuffled)))
    requests: list[list[Receipt]] = []
    for cut in cuts:
        requests += [list(shuffled[:cut])] if shuffled else []
        shuffled = shuffled[cut:]
    return max(kinds, key=course.index), requests, draw(st.integers(0, len(requests)))


@settings(max_examples=60, deadline=None)
@given(reported(), st.sampled_from([Dispatch.ACCEPTED, Dispatch.UNKNOWN]))
def test_any_order_and_repetition_of_true_reports_comes_to_the_same_delivery(
    case: tuple[Delivery, list[list[Receipt]], int], state: Dispatch
) -> None:
    last, requests, early = case

    async def play() -> tuple[str, str]:
        store = MemoryStore()
        await store.open()
        try:
            await store.migrate([])
            one = intent("SM1")  # its own id is the provider's too, so that a report may name either
            await store.commit(change(intents=(one,)))
            (claimed,) = await claim(store)
            for place, receipts in enumerate(requests):
                if place == early:
                    await end_attempts(store, [ended(claimed, state, provider_id="SM1")])
                    await store.join_receipts()
                await store.take_receipts(GATEWAY, receipts, within=timedelta(days=1))
            if early == len(requests):
                await end_attempts(store, [ended(claimed, state, provider_id="SM1")])
            await store.join_receipts()
            (row,) = await store.select("SELECT state, delivery FROM duly_effect", {})
            return str(row["state"]), str(row["delivery"])
        finally:
            await store.close()

    assert asyncio.run(play()) == ("accepted", last.value)
