"""What a mail server may do at each step. Source: RFC 5321, 3.3 and 4.2; RFC 1047 for what follows the final dot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from duly.testing.gateway_exam.law import Rule, Verdict
from duly.testing.gateway_exam.moods import NOT_SENT, REFUSES_CONNECTIONS, TAKES, Does, Mood, Phase

_V = Verdict
_ANY_MAIL: Final = frozenset({Phase.GREETING, Phase.EHLO, Phase.AUTH, Phase.MAIL})
"""Where a refusal would meet every mail of the account."""
_COMMANDS: Final = (Phase.GREETING, Phase.EHLO, Phase.AUTH, Phase.MAIL, Phase.RCPT, Phase.DATA)


def _silent(phase: Phase, does: Does) -> Mood:
    what = "hangs" if does is Does.HANG else "drops the connection"
    return Mood(
        name=f"{what} at {phase.value}",
        does=does,
        at=phase,
        rule=Rule.SMTP_BEFORE_THE_DOT,
        verdicts=(_V.TRANSIENT,),
        is_large=phase is Phase.BODY,
    )


def _replies(phase: Phase, reply: str, *verdicts: Verdict) -> Mood:
    return Mood(
        name=f"answers {reply[:3]} to {phase.value}", at=phase, reply=reply, rule=Rule.SMTP_REPLY, verdicts=verdicts
    )


def _at(phase: Phase) -> Iterator[Mood]:
    yield _silent(phase, Does.DROP)
    yield _silent(phase, Does.HANG)
    if phase is Phase.AUTH:
        yield _replies(phase, "454 4.7.0 no login for {secret} at the moment", _V.TRANSIENT)
        yield _replies(phase, "535 5.7.8 bad credentials: {secret}", _V.GATEWAYS_FAULT)
        return
    permanent = (_V.GATEWAYS_FAULT, _V.PERMANENT) if phase in _ANY_MAIL else (_V.PERMANENT,)
    yield _replies(phase, "451 4.7.1 {recipient} come back later", _V.TRANSIENT)
    yield _replies(phase, "554 5.7.1 {recipient} is not welcome", *permanent)


def _after_the_dot(name: str, does: Does, *, takes: bool = True, reply: str = "") -> Mood:
    return Mood(name=name, does=does, takes=takes, reply=reply, rule=Rule.SMTP_AFTER_THE_DOT, verdicts=(_V.UNKNOWN,))


SMTP_MOODS: Final = (
    REFUSES_CONNECTIONS,
    TAKES,
    *(mood for phase in _COMMANDS for mood in _at(phase)),
    Mood(
        name="speaks another protocol",
        does=Does.NONSENSE,
        at=Phase.GREETING,
        rule=Rule.SMTP_BEFORE_THE_DOT,
        verdicts=NOT_SENT,
    ),
    _silent(Phase.BODY, Does.DROP),
    _silent(Phase.BODY, Does.HANG),
    _after_the_dot("takes it and drops the connection", Does.DROP),
    _after_the_dot("reads it, takes nothing and drops the connection", Does.DROP, takes=False),
    _after_the_dot("takes it and resets the connection", Does.RESET),
    _after_the_dot("takes it and hangs", Does.HANG),
    _after_the_dot("takes it and speaks another protocol", Does.NONSENSE),
    _after_the_dot("takes it and answers 354", Does.ANSWER, reply="354 go on"),
    _replies(Phase.DOT, "452 4.3.1 no room for {recipient}", _V.TRANSIENT),
    _replies(Phase.DOT, "554 5.6.0 {recipient} gets no such mail", _V.PERMANENT),
)
