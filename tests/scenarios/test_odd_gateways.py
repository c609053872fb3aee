"""Gateways that answer what no gateway should, that are away as a whole, or that are no longer what they were."""

from __future__ import annotations

import asyncio
import random
import string
from datetime import timedelta
from typing import Any

import pytest

from duly import Accepted, Dispatch, NotSent, Outcome, Policy, Sms, Unknown
from duly.effects.senders import Senders
from duly.effects.settings import SenderSettings
from duly.gateways.recording import RecordingGateway
from duly.messages.message import Effect
from duly.ports.gateway import Call, Prepared
from duly.runtime.settings import Settings
from duly.runtime.store_url import store_from_url
from duly.states.attempt import Fault
from duly.states.look_up import Found
from duly.states.policy import Keeps, LookUp
from duly.testing.store_exam import change, claim, intent
from tests.scenarios.desk import desk, effect, gateway, keeping, sent, shift_clock, until
from tests.scenarios.running import Running, Start, durable, quick_settings

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    "answered",
    [None, "ok", Accepted(provider_id=5), Unknown(evidence=None), NotSent(reason=b"no", permanent=False)],  # type: ignore[arg-type]
    ids=["nothing", "text", "number_as_id", "no_evidence", "bytes_as_reason"],
)
async def test_what_is_no_outcome_is_unknown_and_the_sender_goes_on(start: Start, answered: Any) -> None:
    sms = gateway(outcomes=[answered])
    app = await start(desk, gateways=[sms])
    await sent(app, "odd")
    await app.quiet()
    view = await effect(app)
    assert (view.state, len(sms.calls)) == (Dispatch.UNKNOWN, 1)
    assert "the gateway answered with what is no outcome" in view.reason
    await sent(app, "even", tenant="globex")
    await app.quiet()
    assert (await effect(app, "globex")).state is Dispatch.ACCEPTED


async def test_an_id_that_no_index_can_hold_does_not_stop_the_gateway(start: Start) -> None:
    long_id = "".join(random.Random(1).choices(string.ascii_letters, k=50_000))
    app = await start(desk, gateways=[gateway(outcomes=[Accepted(provider_id=long_id)])])
    await sent(app, "one", "two")
    await app.quiet()
    views = await app.effects()
    assert [view.state for view in views] == [Dispatch.ACCEPTED] * 2
    assert long_id[:500] in [view.provider_id for view in views]


async def test_a_reason_of_a_million_characters_is_cut(start: Start) -> None:
    app = await start(desk, gateways=[gateway(outcomes=[NotSent(reason="no " * 400_000, permanent=True)])])
    await sent(app, "one")
    await app.quiet()
    view = await effect(app)
    assert (view.state, len(view.reason), len(view.attempts[0].evidence)) == (Dispatch.FAILED, 2_000, 2_000)


async def test_an_id_that_was_found_and_cannot_be_written_is_heard_as_it_can(start: Start) -> None:
    sms, sending = keeping(
        Policy.RECONCILE, outcomes=[Unknown(evidence="?")], look_up=[Found(provider_id="half \ud83d, NUL \0")]
    )
    app = await start(desk, gateways=[sms], sending=sending)
    await sent(app, "one")
    await app.quiet()
    view = await effect(app)
    assert view.state is Dispatch.ACCEPTED
    assert view.provider_id is not None
    assert view.provider_id.startswith("half ")


class Customers(RecordingGateway):
    """A gateway whose recipients are each a destination of their own."""

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        prepared = super().prepare(effect, effect_id)
        return Prepared(
            recipient=prepared.recipient,
            summary=prepared.summary,
            content_type=prepared.content_type,
            body=prepared.body,
            destination=prepared.recipient,
        )


async def test_an_account_that_is_back_is_open_again_whichever_destination_was_asked(start: Start) -> None:
    wrong = True
    refused = NotSent(reason="HTTP 401", permanent=False, fault=Fault.GATEWAY)

    def answer(call: Call) -> Outcome:
        return refused if wrong else Accepted(provider_id=call.key)

    sms = Customers(Sms, name="sms", channel="sms", outcomes=answer)
    settings = quick_settings(gateway_hold=timedelta(milliseconds=30))
    app = await start(desk, gateways=[sms], settings=settings)
    for number in range(8):
        await sent(app, "hello", to=f"+49{number}")
    await until(lambda: all_in(app, Dispatch.HELD), "all are held")
    wrong = False
    await until(lambda: all_in(app, Dispatch.ACCEPTED), "all go out")
    assert await app.app.breakers() == []


async def all_in(app: Running, state: Dispatch) -> bool:
    return all(view.state is state for view in await app.effects())


async def test_a_sender_with_nothing_due_takes_no_turns(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    app = await start(desk, gateways=[gateway()])
    for number in range(70):
        await sent(app, "later", tenant=f"tenant-{number:02}", after=HOUR)
    await app.quiet(within=timedelta(seconds=1))
    store: Any = app.app._store
    turns = 0
    turn = store.turn

    async def counted(one: object) -> object:
        nonlocal turns
        turns += 1
        return await turn(one)

    monkeypatch.setattr(store, "turn", counted)
    await asyncio.sleep(0.2)  # as long as ten looks at the ledger
    assert turns <= 2


@durable
async def test_what_waits_for_a_look_up_is_looked_up_though_the_gateway_promises_none_any_more(start: Start) -> None:
    keeps = Keeps(look_up=LookUp(settle=HOUR))
    sms, sending = keeping(Policy.RECONCILE, outcomes=[Unknown(evidence="?")], keeps=keeps)
    app = await start(desk, gateways=[sms], sending=sending)
    await sent(app, "hello")
    await app.quiet()
    await app.app.stop()
    later = gateway(look_up=[Found(provider_id="p-1")])
    again = await start(desk, gateways=[later])
    shift_clock(again, 2 * HOUR)
    await until(lambda: all_in(again, Dispatch.ACCEPTED), "it is looked up")
    assert len(later.look_ups) == 1


@pytest.mark.parametrize("policy", [Policy.KEYED, Policy.RECONCILE, Policy.AT_LEAST_ONCE])
async def test_who_finds_a_lost_attempt_of_a_gateway_it_does_not_have_leaves_it_to_those_who_have_it(
    policy: Policy,
) -> None:
    store = store_from_url("memory:")
    await store.open()
    await store.migrate([])
    one = intent(policy=policy)
    await store.commit(change(intents=(one,)))
    assert len(await claim(store)) == 1
    store.shift_clock(31_000)  # type: ignore[attr-defined]
    knobs = Settings(poll_interval=timedelta(milliseconds=5))
    settings = SenderSettings(
        **{name: getattr(knobs, name) for name in SenderSettings.__struct_fields__},
    )
    senders = Senders(store, [gateway(name="mail")], settings, owner="elsewhere", on_promise=lambda: None)
    running = asyncio.create_task(senders.run())

    async def is_unknown() -> bool:
        view = await store.effect("acme", one.id)
        return view is not None and view.state is Dispatch.UNKNOWN

    await until(is_unknown, "it is found")
    senders.stop()
    await running
    view = await store.effect("acme", one.id)
    assert view is not None
    assert view.next_step_at is not None, "nobody would ever go on with it"
    assert await store.anomalies("acme", 9) == []
    await store.close()
