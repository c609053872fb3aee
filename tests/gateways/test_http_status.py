"""Each row of the table of statuses, without a network."""

from __future__ import annotations

from datetime import timedelta

import pytest

from duly.gateways.http_status import RETRY_AFTER_MAX, classify_status, retry_after
from duly.states.attempt import Fault, NotSent, Unknown

DATE = "Mon, 04 May 2026 03:02:01 GMT"


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_2xx_is_decided_by_its_body(status: int) -> None:
    assert classify_status(status, {}) is None


@pytest.mark.parametrize("status", [400, 404, 410, 422, 405, 413, 451])
def test_a_refused_message_is_not_sent_for_good(status: int) -> None:
    match classify_status(status, {}, keyed=True):
        case NotSent(permanent=True, fault=Fault.MESSAGE, reason=reason):
            assert str(status) in reason
        case other:
            pytest.fail(f"{other}")


@pytest.mark.parametrize("status", [301, 302, 304, 307, 308, 401, 402, 403])
def test_what_every_message_would_meet_is_the_gateways_fault_and_not_permanent(status: int) -> None:
    match classify_status(status, {}):
        case NotSent(permanent=False, fault=Fault.GATEWAY):
            pass
        case other:
            pytest.fail(f"{other}")


@pytest.mark.parametrize("status", [100, 101, 199, 408, 500, 502, 503, 504, 599, 600, 999])
def test_what_may_have_been_processed_is_unknown(status: int) -> None:
    assert isinstance(classify_status(status, {}), Unknown)


def test_a_conflict_is_unknown_on_a_keyed_call_and_a_refusal_on_another() -> None:
    assert isinstance(classify_status(409, {}, keyed=True), Unknown)
    assert isinstance(classify_status(409, {}, keyed=False), NotSent)


@pytest.mark.parametrize("status", [500, 503])
def test_a_5xx_is_not_sent_when_the_provider_promises_so(status: int) -> None:
    assert classify_status(status, {"retry-after": "7"}, five_hundred_means_not_processed=True) == NotSent(
        reason=f"HTTP {status}, which this provider gives only when nothing was processed",
        permanent=False,
        fault=Fault.PROVIDER,
        retry_after=timedelta(seconds=7),
    )
    assert isinstance(classify_status(408, {}, five_hundred_means_not_processed=True), Unknown)


def test_a_429_is_tried_again_when_the_provider_says() -> None:
    outcome = classify_status(429, {"retry-after": "30"})
    assert isinstance(outcome, NotSent)
    assert (outcome.permanent, outcome.fault, outcome.retry_after) == (False, Fault.PROVIDER, timedelta(seconds=30))


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504])
def test_what_leaves_the_outcome_open_may_say_when_to_ask_again(status: int) -> None:
    assert classify_status(status, {"retry-after": "120"}, keyed=True) == Unknown(
        evidence=f"HTTP {status}", retry_after=timedelta(minutes=2)
    )
    assert classify_status(status, {}, keyed=True) == Unknown(evidence=f"HTTP {status}")


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "0"}, timedelta()),
        ({"retry-after": " 120 "}, timedelta(minutes=2)),
        ({"retry-after": "86401"}, RETRY_AFTER_MAX),
        ({"retry-after": "9" * 5_000}, RETRY_AFTER_MAX),
        ({"retry-after": "Mon, 04 May 2026 03:03:01 GMT", "date": DATE}, timedelta(minutes=1)),
        ({"retry-after": "Mon, 04 May 2026 03:01:01 GMT", "date": DATE}, timedelta()),
        ({"retry-after": "Mon, 04 May 2099 03:01:01 GMT", "date": DATE}, RETRY_AFTER_MAX),
        ({"retry-after": "Mon, 04 May 2026 03:03:01 -0000", "date": DATE}, timedelta(minutes=1)),
        ({"retry-after": "Mon, 04 May 2026 03:03:01 GMT"}, None),
        ({"retry-after": "Mon, 99 May 2026 03:03:01 GMT", "date": DATE}, None),
    ],
)
def test_a_retry_after_is_read_in_seconds_or_as_a_date_and_bounded(
    headers: dict[str, str], wait: timedelta | None
) -> None:
    assert retry_after(headers) == wait
