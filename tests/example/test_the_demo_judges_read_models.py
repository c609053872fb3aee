"""Point 4 can turn red: each check is shown a rebuild in which one thing is not as it should be."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from duly import EffectCount, ErrorCount
from examples.shop.ordering.messages import ListedOrder, PurchaseSummary
from tests.example.perfect_run import PerfectRun
from tests.example.tampering import Tampering, is_told


def _change_rebuilding(run: PerfectRun, **changes: object) -> None:
    assert run.facts.rebuilding is not None
    run.facts.rebuilding = replace(run.facts.rebuilding, **changes)  # type: ignore[arg-type]


def nothing_was_rebuilt(run: PerfectRun) -> None:
    _change_rebuilding(run, rebuilt=("order_list",))


def no_order_came_in_meanwhile(run: PerfectRun) -> None:
    _change_rebuilding(run, orders_meanwhile=0)


def rebuild_lost_an_order(run: PerfectRun) -> None:
    run.facts.listed["acme"] = run.facts.listed["acme"][1:]


def rebuild_listed_an_order_twice(run: PerfectRun) -> None:
    run.facts.listed["acme"] = [*run.facts.listed["acme"], run.facts.listed["acme"][0]]


def rebuild_forgot_that_an_order_was_cancelled(run: PerfectRun) -> None:
    run.facts.listed["acme"] = [
        ListedOrder(
            order_id=one.order_id, number=one.number, customer_id=one.customer_id, total=one.total, state="confirmed"
        )
        for one in run.facts.listed["acme"]
    ]


def log_lost_an_event(run: PerfectRun) -> None:
    run.facts.events = run.facts.events[1:]


def purchase_was_counted_twice(run: PerfectRun) -> None:
    customer, summary = next(iter(run.facts.purchases.items()))
    run.facts.purchases[customer] = PurchaseSummary(orders=summary.orders + 1, total=summary.total + summary.total)


def purchase_was_shown_late(run: PerfectRun) -> None:
    _change_rebuilding(run, shown_at_once=len(run.plan.meanwhile) - 1)


def reader_met_an_error(run: PerfectRun) -> None:
    _change_rebuilding(run, errors=1)


def reader_saw_a_step_back(run: PerfectRun) -> None:
    _change_rebuilding(run, steps_back=1)


def nobody_looked(run: PerfectRun) -> None:
    _change_rebuilding(run, looks=0)


def rebuild_called_a_provider(run: PerfectRun) -> None:
    _change_calls(run, requests={"sms": 10, "email": 9, "billing": 9})


def rebuild_made_an_effect(run: PerfectRun) -> None:
    _change_calls(run, effects=10)


def rebuild_made_an_attempt(run: PerfectRun) -> None:
    _change_calls(run, attempts=10)


def _change_calls(run: PerfectRun, **changes: object) -> None:
    assert run.facts.rebuilding is not None
    _change_rebuilding(run, calls_after=replace(run.facts.rebuilding.calls_after, **changes))  # type: ignore[arg-type]


def replay_would_send_one_again(run: PerfectRun) -> None:
    _change_dry_run(run, effects=(EffectCount(type="duly.sms", new=1, known=_texted(run) - 1),))


def replay_would_say_something_else(run: PerfectRun) -> None:
    _change_dry_run(run, effects=(EffectCount(type="duly.sms", differing=1, known=_texted(run) - 1),))


def replay_would_fail(run: PerfectRun) -> None:
    _change_dry_run(run, errors=(ErrorCount(error="KeyError", count=1, example="?"),))


def replay_was_told_only_a_part(run: PerfectRun) -> None:
    _change_dry_run(run, messages=_texted(run) - 1)


def _texted(run: PerfectRun) -> int:
    assert run.facts.rebuilding is not None
    return run.facts.rebuilding.dry_runs[0].messages


def _change_dry_run(run: PerfectRun, **changes: object) -> None:
    assert run.facts.rebuilding is not None
    (tried,) = run.facts.rebuilding.dry_runs
    _change_rebuilding(run, dry_runs=[msgspec.structs.replace(tried, **changes)])


@pytest.mark.parametrize(
    "tamper",
    [
        nothing_was_rebuilt,
        no_order_came_in_meanwhile,
        rebuild_lost_an_order,
        rebuild_listed_an_order_twice,
        rebuild_forgot_that_an_order_was_cancelled,
        log_lost_an_event,
        purchase_was_counted_twice,
        purchase_was_shown_late,
        reader_met_an_error,
        reader_saw_a_step_back,
        nobody_looked,
        rebuild_called_a_provider,
        rebuild_made_an_effect,
        rebuild_made_an_attempt,
        replay_would_send_one_again,
        replay_would_say_something_else,
        replay_would_fail,
        replay_was_told_only_a_part,
    ],
)
def test_a_run_that_broke_the_promise_is_told_so_at_its_point(tamper: Tampering) -> None:
    assert is_told(tamper, 4)
