"""The delivery of an effect: every pair of reports."""

from __future__ import annotations

from itertools import permutations, product
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.states.delivery import DELIVERY_MOVES, UNDELIVERABLE, Delivery, Engagement, moves_forward
from duly.states.effect import Dispatch

# Written out by hand from the rules, row by row; columns in the order of the rows after the first. x: it changes.
TABLE: Final = """
                 sen def del rea und bou rej exp unc
    nothing       x   x   x   x   x   x   x   x   x
    sent          .   x   x   x   x   x   x   x   x
    deferred      .   .   x   x   x   x   x   x   x
    delivered     .   .   .   x   .   x   .   .   .
    read          .   .   .   .   .   .   .   .   .
    undelivered   .   .   .   .   .   .   .   .   .
    bounced       .   .   .   .   .   .   .   .   .
    rejected      .   .   .   .   .   .   .   .   .
    expired       .   .   .   .   .   .   .   .   .
    unconfirmed   .   .   x   x   x   x   x   x   .
"""
REPORTED: Final[list[Delivery | None]] = [None, *Delivery]


def forward_pairs() -> set[tuple[Delivery | None, Delivery]]:
    """The pairs that the table lets through."""
    rows = [line.split() for line in TABLE.strip().splitlines()[1:]]
    order = [Delivery(row[0]) for row in rows[1:]]
    return {
        (present, reported)
        for present, row in zip([None, *order], rows, strict=True)
        for reported, mark in zip(order, row[1:], strict=True)
        if mark == "x"
    }


FORWARD: Final = forward_pairs()


def after(reports: tuple[Delivery, ...] | list[Delivery]) -> Delivery | None:
    """Where reports lead, in this order."""
    present: Delivery | None = None
    for report in reports:
        present = report if moves_forward(present, report) else present
    return present


@pytest.mark.parametrize(("present", "reported"), list(product(REPORTED, Delivery)), ids=str)
def test_a_report_changes_the_delivery_if_and_only_if_the_table_says_so(
    present: Delivery | None, reported: Delivery
) -> None:
    assert moves_forward(present, reported) is ((present, reported) in FORWARD)


def test_every_delivery_has_its_row() -> None:
    assert set(DELIVERY_MOVES) == {None, *Delivery}
    assert len(TABLE.strip().splitlines()) == len(Delivery) + 2


def test_rule_1_any_report_may_be_the_first() -> None:
    assert DELIVERY_MOVES[None] == set(Delivery)


@given(st.lists(st.sampled_from(Delivery)))
def test_rule_2_no_order_of_reports_comes_back_to_where_it_was(reports: list[Delivery]) -> None:
    present: Delivery | None = None
    been: set[Delivery | None] = {None}
    for report in reports:
        if moves_forward(present, report):
            assert report not in been
            been.add(report)
            present = report


@given(st.lists(st.sampled_from(Delivery), min_size=1), st.data())
def test_a_report_that_comes_twice_changes_nothing_the_second_time(
    reports: list[Delivery], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(reports) - 1))
    again = data.draw(st.integers(place + 1, len(reports)))
    assert after([*reports[:again], reports[place], *reports[again:]]) == after(reports)


@pytest.mark.parametrize("reports", list(permutations([Delivery.SENT, Delivery.DEFERRED, Delivery.DELIVERED])))
def test_reports_out_of_order_lead_to_the_same_end(reports: tuple[Delivery, ...]) -> None:
    assert after(reports) is Delivery.DELIVERED


@pytest.mark.parametrize("present", [Delivery.SENT, Delivery.DEFERRED, Delivery.UNCONFIRMED])
def test_rule_3_what_is_on_the_way_or_unconfirmed_may_still_come_to_any_end(present: Delivery) -> None:
    on_the_way = {Delivery.SENT, Delivery.DEFERRED, Delivery.UNCONFIRMED}
    assert set(Delivery) - on_the_way <= DELIVERY_MOVES[present]


def test_rule_4_what_was_delivered_may_be_read_or_returned_and_nothing_else() -> None:
    assert {reported.value for reported in DELIVERY_MOVES[Delivery.DELIVERED]} == {"read", "bounced"}


def test_rule_5_five_ends_are_final() -> None:
    final = {present for present, moves in DELIVERY_MOVES.items() if not moves}
    assert final == {Delivery.READ, Delivery.UNDELIVERED, Delivery.BOUNCED, Delivery.REJECTED, Delivery.EXPIRED}


def test_what_did_not_arrive_is_final_and_neither_unconfirmed_nor_read_is_among_it() -> None:
    assert {delivery.value for delivery in UNDELIVERABLE} == {"undelivered", "bounced", "rejected", "expired"}
    assert not any(DELIVERY_MOVES[delivery] for delivery in UNDELIVERABLE)


def test_rule_6_what_a_recipient_does_is_no_state() -> None:
    assert {fact.value for fact in Engagement} == {"opened", "clicked", "complained", "unsubscribed", "replied"}
    states = {state.value for state in Delivery} | {state.value for state in Dispatch}
    assert not {fact.value for fact in Engagement} & states
