"""What a provider that speaks HTTP may do. The table of statuses; source: RFC 9110, 15, and RFC 6585 for 429."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from duly.testing.gateway_exam.law import Rule, Verdict
from duly.testing.gateway_exam.moods import NOT_SENT, STREAM_MOODS, Does, Mood

_V = Verdict


def answers(status: int, rule: Rule, *verdicts: Verdict, takes: bool = False, echoes: bool = False) -> Mood:
    """A mood in which the provider answers *status*, as its documentation shows it."""
    name = f"takes it and answers {status}" if takes else f"answers {status}"
    if echoes:
        name += " and repeats all that it read"
    return Mood(name=name, status=status, rule=rule, verdicts=verdicts, takes=takes, echoes=echoes)


def documented(name: str, status: int, body: bytes, *verdicts: Verdict) -> Mood:
    """An answer that only this provider gives, from its documentation, and the outcomes that are right then."""
    return Mood(name=name, status=status, body=body, rule=Rule.DOCUMENTED, verdicts=verdicts)


def _unreadable(what: str, body: bytes) -> Mood:
    return Mood(name=f"takes it and answers {what}", takes=True, body=body, rule=Rule.NO_ID, verdicts=(_V.UNKNOWN,))


def _limits(name: str, wait: tuple[float, float] | None = None, **headers: str) -> Mood:
    return Mood(
        name=f"answers 429 with {name}",
        status=429,
        headers=tuple((header.replace("_", "-"), value) for header, value in headers.items()),
        rule=Rule.RATE,
        verdicts=(_V.TRANSIENT,),
        wait=wait,
    )


TAKES_AND_ANSWERS_503: Final = answers(503, Rule.MAYBE_PROCESSED, _V.UNKNOWN, takes=True)

FLOODS: Final = Mood(
    name="takes it and answers with many megabytes",
    takes=True,
    does=Does.FLOOD,
    rule=Rule.NO_ID,
    verdicts=(_V.UNKNOWN, _V.ACCEPTED),
)

HTTP_MOODS: Final = (
    *STREAM_MOODS,
    Mood(
        name="takes it and trickles the head of its answer",
        takes=True,
        does=Does.TRICKLE_HEAD,
        rule=Rule.LOST,
        verdicts=(_V.UNKNOWN,),
    ),
    FLOODS,
    _unreadable("without a body", b""),
    _unreadable("an empty object", b"{}"),
    _unreadable("no JSON", b"<html>Thank you</html>"),
    _unreadable("JSON without an end", b'{"id": "'),
    _unreadable("JSON that is nested too deeply", b"[" * 50_000),
    *(answers(status, Rule.MESSAGE, _V.PERMANENT) for status in (400, 404, 410, 422)),
    *(answers(status, Rule.ACCOUNT, _V.GATEWAYS_FAULT) for status in (401, 402, 403)),
    answers(408, Rule.MAYBE_PROCESSED, _V.UNKNOWN, takes=True),
    *(answers(status, Rule.MAYBE_PROCESSED, _V.UNKNOWN, takes=True) for status in (500, 502, 504)),
    TAKES_AND_ANSWERS_503,
    Mood(
        name="takes it and answers 503 with Retry-After",
        status=503,
        headers=(("Retry-After", "9"),),
        takes=True,
        rule=Rule.MAYBE_PROCESSED,
        verdicts=(_V.UNKNOWN,),
    ),
    _limits("no Retry-After"),
    _limits("Retry-After in seconds", (7, 7), Retry_After="7"),
    Mood(
        name="answers 429 with Retry-After as a date",
        status=429,
        retry_date=timedelta(seconds=90),
        rule=Rule.RATE,
        verdicts=(_V.TRANSIENT,),
        wait=(30, 91),
    ),
    *(
        _limits(f"Retry-After: {value}", Retry_After=value)
        for value in (
            "-5",
            "soon",
            "1e400",
            "9" * 400,
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
        )
    ),
    *(answers(status, Rule.REDIRECT, _V.UNKNOWN, *NOT_SENT) for status in (301, 302, 303, 307, 308)),
    answers(400, Rule.MESSAGE, _V.PERMANENT, echoes=True),
    answers(401, Rule.ACCOUNT, _V.GATEWAYS_FAULT, echoes=True),
    answers(500, Rule.MAYBE_PROCESSED, _V.UNKNOWN, echoes=True, takes=True),
)

IN_PROGRESS: Final = answers(409, Rule.IN_PROGRESS, _V.UNKNOWN)
"""For gateways that declare a key."""
