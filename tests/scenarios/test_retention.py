"""What is kept, and for how long."""

from __future__ import annotations

from datetime import timedelta

import pytest

from duly import ConfigurationError, Dispatch, Duly, EffectNotFound, Retention, Settings, Swept, Unknown
from duly.ports.gateway import Call
from duly.states.attempt import Accepted, Outcome
from duly.states.retention import retention_mistakes, rule_for
from tests.scenarios.desk import PHONE, Send, desk, effect, gateway, shift_clock, until
from tests.scenarios.running import Start, quick_settings

DAY = timedelta(days=1)
RULE = Retention(contents=20 * DAY, facts=60 * DAY)


async def test_a_replay_of_the_cause_of_a_removed_effect_sends_nothing(start: Start) -> None:
    sms = gateway()
    running = await start(desk, gateways=[sms], retention=[RULE])
    command = Send(texts=["hello"])
    (effect_id,) = await running.app.execute(command, tenant="acme", command_id="click-1")
    await running.quiet()
    shift_clock(running, 20 * DAY + timedelta(seconds=1))
    assert await running.app.sweep_retention() == Swept(contents=1, effects=0)
    view = await effect(running)
    assert (view.state, view.recipient, view.provider_id) == (Dispatch.ACCEPTED, "[erased]", "sms-1")
    shift_clock(running, 40 * DAY)
    assert await running.app.sweep_retention() == Swept(contents=0, effects=1)
    with pytest.raises(EffectNotFound):
        await running.app.ledger("acme").effect(effect_id)
    # The command id was forgotten, too: the command runs once more, and asks for the same effect.
    assert await running.app.execute(command, tenant="acme", command_id="click-1") == [effect_id]
    await running.quiet()
    assert await running.effects() == []
    assert len(sms.calls) == 1


async def test_what_is_unknown_is_kept_until_it_is_settled(start: Start) -> None:
    def lose(call: Call) -> Outcome:
        return Unknown(evidence="timed out") if b"lost" in call.prepared.body else Accepted(provider_id="SM1")

    running = await start(desk, gateways=[gateway(outcomes=lose)], retention=[RULE])
    await running.app.execute(Send(texts=["lost", "taken"]), tenant="acme")
    await running.quiet()
    shift_clock(running, 100 * DAY)
    assert await running.app.sweep_retention() == Swept(contents=1, effects=1)
    view = await effect(running)
    assert (view.state, view.recipient, view.summary) == (Dispatch.UNKNOWN, PHONE, "lost")


async def test_a_worker_sweeps_by_itself(start: Start) -> None:
    settings = quick_settings(retention_interval=timedelta(milliseconds=20), inbox_keep=DAY)
    running = await start(desk, gateways=[gateway()], retention=[Retention(contents=DAY)], settings=settings)
    await running.app.execute(Send(texts=["hello"]), tenant="acme")
    await running.quiet()
    assert (await effect(running)).recipient == PHONE
    shift_clock(running, DAY + timedelta(seconds=1))

    async def is_gone() -> bool:
        return (await effect(running)).recipient == "[erased]"

    await until(is_gone, "the contents are removed")


async def test_without_rules_nothing_is_removed(start: Start) -> None:
    running = await start(desk, gateways=[gateway()])
    await running.app.execute(Send(texts=["hello"]), tenant="acme")
    await running.quiet()
    shift_clock(running, 10_000 * DAY)
    assert await running.app.sweep_retention() == Swept(contents=0, effects=0)
    assert (await effect(running)).recipient == PHONE


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([Retention(contents=timedelta())], "Retention(): contents=0:00:00; it must be longer than zero."),
        ([Retention(contents=40 * DAY, facts=30 * DAY)], "facts (30 days, 0:00:00) go before contents (40 days"),
        ([Retention(contents=DAY, facts=13 * DAY)], "are kept shorter than command ids (Settings.inbox_keep, 14 days"),
        (
            [Retention(contents=DAY, tenant="acme"), Retention(contents=2 * DAY, tenant="acme")],
            "Retention(tenant='acme') is given twice.",
        ),
        (
            [Retention(contents=DAY, channel="sms", tenant="acme")] * 2,
            "Retention(tenant='acme', channel='sms') is given twice.",
        ),
    ],
)
def test_rules_that_cannot_be_kept_are_refused_at_start(rules: list[Retention], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Duly(modules=[desk], store="memory:", gateways=[gateway()], retention=rules)
    assert words in str(caught.value)


def test_rules_that_can_be_kept_are_not_refused() -> None:
    keep = Settings().inbox_keep
    good = [Retention(contents=keep, facts=keep), Retention(contents=DAY), Retention(contents=DAY, channel="sms")]
    assert retention_mistakes(good[:1] + good[2:], inbox_keep=keep) == []
    assert len(retention_mistakes(good, inbox_keep=keep)) == 1


def test_the_most_specific_rule_is_the_one_for_tenant_and_channel_then_tenant_then_channel() -> None:
    everybody, channel = Retention(contents=DAY), Retention(contents=DAY, channel="sms")
    tenant, both = Retention(contents=DAY, tenant="acme"), Retention(contents=DAY, tenant="acme", channel="sms")
    rules = [everybody, channel, tenant, both]
    assert rule_for(rules, "acme", "sms") is both
    assert rule_for(rules[:3], "acme", "sms") is tenant
    assert rule_for(rules[:2], "acme", "sms") is channel
    assert rule_for(rules, "acme", "email") is tenant
    assert rule_for(rules, "other", "sms") is channel
    assert rule_for(rules, "other", "email") is everybody
    assert rule_for(rules[1:], "other", "email") is None
