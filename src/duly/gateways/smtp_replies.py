"""What a reply of an SMTP server says about one attempt. Pure, without a driver.

1. 4xx is not sent, and may be tried again. To RCPT it is about this recipient (greylisting, a full mailbox), else about
   the server; 421 closes the channel and is always about the server.
2. 5xx to RCPT, to DATA or after the final dot is not sent, for good.
3. 5xx before RCPT (greeting, EHLO, STARTTLS, AUTH, MAIL) is the gateway's own: other mails would fare no better.
   So is any reply that asks for authentication.
4. Any other reply before the final dot: not sent. After it: unknown.

Source: RFC 5321, section 4.2; RFC 4954 for authentication.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from duly.gateways.settings import one_line
from duly.states.attempt import Fault, NotSent

REPLY_CHARACTERS_MAX: Final = 200
_AUTHENTICATION: Final = frozenset({530, 534, 535, 538})


class Phase(Enum):
    """How far a mail has come."""

    CONNECT = "connecting"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BODY = "the body"
    DOT = "the final dot"


_BEFORE_RCPT: Final = frozenset({Phase.CONNECT, Phase.EHLO, Phase.STARTTLS, Phase.AUTH, Phase.MAIL})


def refused(phase: Phase, code: int, text: str, *, recipient: str) -> NotSent:
    """The outcome of reply *code* to *phase*, when it is no consent and the final dot is not out (or is refused)."""
    # What is said about credentials stays with the server.
    said = "" if phase is Phase.AUTH else f" {reply_text(text, recipient=recipient)}"
    reason = f"SMTP {code} to {phase.value}:{said}".rstrip(": ")
    if 400 <= code < 500:
        about_recipient = phase is Phase.RCPT and code != 421
        return NotSent(reason=reason, permanent=False, fault=Fault.MESSAGE if about_recipient else Fault.PROVIDER)
    if 500 <= code < 600:
        if phase in _BEFORE_RCPT or code in _AUTHENTICATION:
            return NotSent(reason=reason, permanent=False, fault=Fault.GATEWAY)
        return NotSent(reason=reason, permanent=True)
    return NotSent(reason=reason, permanent=False, fault=Fault.PROVIDER)


def reply_text(text: str, *, recipient: str) -> str:
    """A server's words on one line, the recipient's address taken out."""
    printable = text.encode(errors="replace").decode()
    return one_line(re.sub(re.escape(recipient), "…", printable, flags=re.IGNORECASE), REPLY_CHARACTERS_MAX)
