"""What a fake provider does with one request, and the outcome that the law asks of a gateway then."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Final

import msgspec

from duly.testing.gateway_exam.law import Rule, Verdict


class Does(Enum):
    """What comes back."""

    ANSWER = "a whole answer"
    REFUSE = "nobody listens"
    DROP_UNREAD = "the connection is closed before anything is read"
    DROP = "the connection is closed instead of an answer"
    RESET = "the connection is reset instead of an answer"
    HANG = "nothing, without an end"
    TRICKLE_HEAD = "the beginning of an answer, byte by byte, without an end"
    TRICKLE_BODY = "the body of an answer, byte by byte, without an end"
    CUT_HEAD = "the first bytes of an answer, then the end of the connection"
    CUT_BODY = "half of what an answer says, then the end of the connection"
    FLOOD = "an answer of many megabytes"
    NONSENSE = "another protocol"


ENDLESS: Final = frozenset({Does.HANG, Does.TRICKLE_HEAD, Does.TRICKLE_BODY})
"""What only a time limit of the gateway's own ends."""


class Phase(Enum):
    """A step of an SMTP session at which a server may misbehave."""

    GREETING = "the greeting"
    EHLO = "EHLO"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BODY = "the body"
    DOT = "the final dot"


class Mood(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which a provider behaves.

    *name* completes "when the provider …". *takes*: the effect is on its way from then on, whatever the answer says.
    *wait* is how long, in seconds from and to, the gateway must say the provider wishes it to wait.
    """

    name: str
    rule: Rule
    verdicts: tuple[Verdict, ...]
    """The outcomes that are right."""
    does: Does = Does.ANSWER
    takes: bool = False
    status: int = 0
    """Of HTTP; 0 is the status with which this provider takes a message."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    """Of an answer; None is what this provider's documentation shows for that status."""
    echoes: bool = False
    """Whether the answer repeats all that was read, secrets and addresses included."""
    retry_date: timedelta | None = None
    """How far ahead Retry-After is, as a date, with a Date of now beside it."""
    wait: tuple[float, float] | None = None
    at: Phase = Phase.DOT
    """Where in an SMTP session it happens."""
    reply: str = ""
    """Of SMTP; ``{recipient}`` and ``{secret}`` are filled in."""
    is_large: bool = False
    """Whether the request must be too large for the buffers between gateway and provider."""

    @property
    def is_endless(self) -> bool:
        """Whether only the gateway's own time limit ends it."""
        return self.does in ENDLESS

    @property
    def is_redirect(self) -> bool:
        """Whether it points elsewhere."""
        return self.rule is Rule.REDIRECT


_V = Verdict
NOT_SENT: Final = (_V.TRANSIENT, _V.PERMANENT, _V.GATEWAYS_FAULT)

REFUSES_CONNECTIONS: Final = Mood(
    name="refuses connections", does=Does.REFUSE, rule=Rule.NO_CONNECTION, verdicts=(_V.TRANSIENT,)
)
TAKES: Final = Mood(name="takes it", takes=True, rule=Rule.TAKEN, verdicts=(_V.ACCEPTED,))
TAKES_AND_DROPS: Final = Mood(
    name="takes it and drops the connection", takes=True, does=Does.DROP, rule=Rule.LOST, verdicts=(_V.UNKNOWN,)
)
DROPS_UNTAKEN: Final = Mood(
    name="reads it, takes nothing and drops the connection", does=Does.DROP, rule=Rule.LOST, verdicts=(_V.UNKNOWN,)
)
TAKES_AND_HANGS: Final = Mood(
    name="takes it and hangs", takes=True, does=Does.HANG, rule=Rule.LOST, verdicts=(_V.UNKNOWN,)
)

STREAM_MOODS: Final = (
    REFUSES_CONNECTIONS,
    TAKES,
    # From where the gateway stands, its first byte may or may not have gone out before the end came.
    Mood(
        name="drops the connection before it reads",
        does=Does.DROP_UNREAD,
        rule=Rule.LOST,
        verdicts=(_V.UNKNOWN, _V.TRANSIENT),
    ),
    DROPS_UNTAKEN,
    TAKES_AND_DROPS,
    Mood(
        name="takes it and resets the connection", takes=True, does=Does.RESET, rule=Rule.LOST, verdicts=(_V.UNKNOWN,)
    ),
    TAKES_AND_HANGS,
    Mood(
        name="takes it and trickles its answer",
        takes=True,
        does=Does.TRICKLE_BODY,
        rule=Rule.LOST,
        verdicts=(_V.UNKNOWN,),
    ),
    Mood(
        name="takes it and breaks off after the first bytes of its answer",
        takes=True,
        does=Does.CUT_HEAD,
        rule=Rule.LOST,
        verdicts=(_V.UNKNOWN,),
    ),
    Mood(
        name="takes it and breaks off in the middle of its answer",
        takes=True,
        does=Does.CUT_BODY,
        rule=Rule.NO_ID,
        verdicts=(_V.UNKNOWN,),
    ),
    Mood(
        name="takes it and speaks another protocol",
        takes=True,
        does=Does.NONSENSE,
        rule=Rule.NO_ID,
        verdicts=(_V.UNKNOWN,),
    ),
)
"""What any protocol over a stream of bytes may meet."""

REFUSES_THE_MESSAGE: Final = Mood(name="refuses the message", rule=Rule.MESSAGE, verdicts=(_V.PERMANENT,))
"""For protocols without statuses."""
