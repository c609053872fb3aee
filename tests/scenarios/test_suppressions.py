"""Whom nothing goes to, and tenants that wait."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from duly import Accepted, Dispatch, InvalidField, InvalidInput, InvalidTenant, NotSent, Outcome, Policy, Unknown
from duly.gateways.recording import RecordingGateway
from duly.ports.gateway import Call
from tests.scenarios.desk import PHONE, desk, effect, gateway, keeping, sent, until
from tests.scenarios.running import Start, quick_settings

HOUR = timedelta(hours=1)
STOP = "asked us to stop"


async def test_a_suppressed_recipient_is_not_written_to_and_the_reason_is_shown(start: Start) -> None:
    sms = gateway()
    running = await start(desk, gateways=[sms])
    assert await running.app.suppressions("acme").add("sms", PHONE, reason=STOP)
    await sent(running, "hello")
    await sent(running, "hello", to="+4915198765432")
    await running.quiet()
    views = {view.recipient: view for view in await running.effects()}
    assert (views[PHONE].state, views[PHONE].reason) == (Dispatch.SUPPRESSED, STOP)
    assert [call.prepared.recipient for call in sms.calls] == ["+4915198765432"]


async def test_a_suppression_after_the_request_still_counts(start: Start) -> None:
    sms = gateway()
    running = await start(desk, gateways=[sms])
    await sent(running, "hello", after=timedelta(milliseconds=300))
    await running.app.suppressions("acme").add("sms", PHONE, reason=STOP)
    await running.quiet()
    view = await effect(running)
    assert (view.state, view.reason, sms.calls) == (Dispatch.SUPPRESSED, STOP, [])


async def test_a_suppression_between_attempts_ends_them(start: Start) -> None:
    calls = asyncio.Event()

    def busy(call: Call) -> Outcome:
        calls.set()
        return NotSent(reason="503", permanent=False, retry_after=timedelta(milliseconds=300))

    sms = gateway(outcomes=busy)
    running = await start(desk, gateways=[sms])
    await sent(running, "hello")
    await calls.wait()
    await running.app.suppressions("acme").add("sms", PHONE, reason=STOP)
    await running.quiet()
    view = await effect(running)
    assert (view.state, view.reason, len(sms.calls)) == (Dispatch.SUPPRESSED, STOP, 1)


async def test_what_is_unknown_stays_so_and_is_not_tried_again_for_a_suppressed_recipient(start: Start) -> None:
    lost = asyncio.Event()

    def lose(call: Call) -> Outcome:
        lost.set()
        return Unknown(evidence="timed out", retry_after=timedelta(milliseconds=300))

    sms, sending = keeping(Policy.AT_LEAST_ONCE, outcomes=lose)
    running = await start(desk, gateways=[sms], sending=sending)
    await sent(running, "hello")
    await lost.wait()
    await running.app.suppressions("acme").add("sms", PHONE, reason=STOP)
    await running.quiet()
    view = await effect(running)
    assert (view.state, view.next_step, len(sms.calls)) == (Dispatch.UNKNOWN, None, 1)
    assert STOP in view.reason


async def test_who_is_taken_off_the_list_gets_what_is_requested_later(start: Start) -> None:
    sms = gateway()
    running = await start(desk, gateways=[sms])
    suppressed = running.app.suppressions("acme")
    await suppressed.add("sms", PHONE, reason=STOP)
    await sent(running, "first")
    await running.quiet()
    assert await suppressed.remove("sms", PHONE, reason="subscribed again", by="anna")
    assert not await suppressed.remove("sms", PHONE, reason="subscribed again", by="anna")
    await sent(running, "second")
    await running.quiet()
    assert [(view.summary, view.state) for view in await running.effects()] == [
        ("second", Dispatch.ACCEPTED),
        ("first", Dispatch.SUPPRESSED),
    ]


@pytest.mark.parametrize(
    "written", ["+49 151 23456789", " +49 (151) 234-567-89 ", "+4915123456789", "+49-151-23456789"]
)
async def test_a_number_is_the_same_however_it_is_written(start: Start, written: str) -> None:
    running = await start(desk, gateways=[gateway()])
    await running.app.suppressions("acme").add("sms", written, reason=STOP)
    found = await running.app.suppressions("acme").find("sms", PHONE)
    assert found is not None
    await sent(running, "hello")
    await running.quiet()
    assert (await effect(running)).state is Dispatch.SUPPRESSED


@pytest.mark.parametrize("written", ["ANN@Example.com", " ann@example.com ", "Ann@EXAMPLE.COM"])
async def test_an_address_is_the_same_however_it_is_written(start: Start, written: str) -> None:
    from duly import Email

    mail = RecordingGateway(Email, name="mail", channel="email")
    running = await start(desk, gateways=[mail])
    await running.app.suppressions("acme").add("email", written, reason=STOP)
    await sent(running, "hello", mail=True)
    await running.quiet()
    assert (await effect(running)).state is Dispatch.SUPPRESSED


async def test_what_can_be_no_address_of_a_channel_is_refused(start: Start) -> None:
    running = await start(desk, gateways=[gateway()])
    suppressed = running.app.suppressions("acme")
    with pytest.raises(InvalidField, match="recipient is no phone number"):
        await suppressed.add("sms", "ann@example.com", reason=STOP)
    with pytest.raises(InvalidInput, match="reason has 1 to 500"):
        await suppressed.add("sms", PHONE, reason="")
    with pytest.raises(InvalidInput, match="channel has 1 to 500"):
        await suppressed.find("", PHONE)


async def test_a_list_belongs_to_one_tenant(start: Start) -> None:
    sms = gateway()
    running = await start(desk, gateways=[sms])
    await running.app.suppressions("other").add("sms", PHONE, reason=STOP)
    assert await running.app.suppressions("acme").find("sms", PHONE) is None
    assert await running.app.suppressions("acme").page() == []
    await sent(running, "hello")
    await running.quiet()
    assert len(sms.calls) == 1
    with pytest.raises(InvalidTenant, match="No tenant was given"):
        running.app.suppressions()


async def test_a_list_is_read_by_pages(start: Start) -> None:
    running = await start(desk, gateways=[gateway()])
    suppressed = running.app.suppressions("acme")
    for number in range(5):
        await suppressed.add("sms", f"+491512345678{number}", reason=STOP, source="form")
    first = await suppressed.page(rows_max=3)
    rest = await suppressed.page("sms", after=first[-1])
    assert len({entry.recipient_hash for entry in (*first, *rest)}) == 5
    assert {(entry.channel, entry.reason, entry.source) for entry in first} == {("sms", STOP, "form")}
    assert "+4915" not in repr(first)
    with pytest.raises(InvalidInput, match="a page has 1 to 1,000 rows"):
        await suppressed.page(rows_max=0)


# Pauses.


async def test_effects_of_a_paused_tenant_are_held_and_go_out_when_it_is_resumed(start: Start) -> None:
    sms = gateway()
    running = await start(desk, gateways=[sms])
    await running.app.pause("acme", reason="invoice overdue", by="anna")
    await sent(running, "hello")
    await sent(running, "theirs", tenant="other")
    await running.quiet()
    held = await effect(running)
    assert (held.state, held.reason) == (Dispatch.HELD, "the tenant is paused: invoice overdue")
    assert [call.tenant for call in sms.calls] == ["other"]
    pause = await running.app.ledger("acme").paused()
    assert pause is not None
    assert (pause.reason, pause.by) == ("invoice overdue", "anna")
    assert await running.app.resume("acme", by="bert")
    await running.quiet()
    assert (await effect(running)).state is Dispatch.ACCEPTED
    assert await running.app.ledger("acme").paused() is None
    assert not await running.app.resume("acme", by="bert")


async def test_what_waited_for_an_attempt_while_unknown_is_tried_again_after_a_pause(start: Start) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def lose_once(call: Call) -> Outcome:
        if call.number > 1:
            return Accepted(provider_id="SM2")
        begun.set()
        await go_on.wait()
        return Unknown(evidence="timed out")

    sms, sending = keeping(Policy.AT_LEAST_ONCE, outcomes=lose_once)
    running = await start(desk, gateways=[sms], sending=sending)
    await sent(running, "hello")
    await begun.wait()
    await running.app.pause("acme", reason="overdue", by="anna")
    go_on.set()
    await running.quiet()
    view = await effect(running)
    assert (view.state, view.reason, view.unsettled) == (Dispatch.UNKNOWN, "the tenant is paused: overdue", 1)
    await running.app.resume("acme", by="anna")
    await running.quiet()
    view = await effect(running)
    assert (view.state, [attempt.possible_duplicate for attempt in view.attempts]) == (
        Dispatch.ACCEPTED,
        [False, True],
    )


async def test_what_a_sender_put_off_while_a_tenant_was_resumed_is_found_by_the_sweep(start: Start) -> None:
    sms = gateway()
    running = await start(desk, gateways=[sms], settings=quick_settings(sweep_interval=timedelta(milliseconds=20)))
    await running.app.pause("acme", reason="overdue", by="anna")
    await sent(running, "hello")
    await running.quiet()
    # Only the row of the pause goes, as for a process that died right after it had resumed the tenant.
    assert await running.app._store.resume("acme", reason="paid", by="anna")

    async def is_accepted() -> bool:
        return (await effect(running)).state is Dispatch.ACCEPTED

    await until(is_accepted, "the effect is released")


async def test_an_effect_may_expire_while_its_tenant_is_paused(start: Start) -> None:
    running = await start(
        desk, gateways=[gateway()], settings=quick_settings(sweep_interval=timedelta(milliseconds=20))
    )
    await running.app.pause("acme", reason="overdue", by="anna")
    await sent(running, "code 1234", expires=timedelta(milliseconds=100))

    async def is_expired() -> bool:
        return (await effect(running)).state is Dispatch.EXPIRED

    await until(is_expired, "the effect expires")


async def test_pauses_need_a_tenant_a_name_and_a_reason(start: Start) -> None:
    app = (await start(desk, gateways=[gateway()])).app
    with pytest.raises(InvalidTenant, match="No tenant was given"):
        await app.pause(reason="overdue", by="anna")
    with pytest.raises(InvalidTenant, match="No tenant was given"):
        await app.resume(by="anna")
    with pytest.raises(InvalidInput, match="by has 1 to 500"):
        await app.pause("acme", reason="overdue", by=" ")
    with pytest.raises(InvalidInput, match="reason has 1 to 500"):
        await app.pause("acme", reason="", by="anna")
    assert await app.ledger("acme").paused() is None
