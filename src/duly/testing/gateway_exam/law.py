"""The law of outcomes: what may be said of one attempt, given what was seen of it. Pure.

*Not sent* is said only when it is known. From the first byte of a request on, and in SMTP from the final dot on,
whatever is not answered clearly is *unknown*.
"""

from __future__ import annotations

from enum import Enum

from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown


class Verdict(Enum):
    """What an outcome amounts to."""

    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    TRANSIENT = "not sent, transient"
    PERMANENT = "not sent, permanent"
    GATEWAYS_FAULT = "not sent, the gateway's fault"


class Rule(Enum):
    """The rules of classification, as a failed check quotes them."""

    NO_CONNECTION = "1. Without a connection nothing went out: not sent, transient."
    LOST = (
        "2. The connection was lost, or nothing came in time, after the first byte of the request went out: unknown. "
        "Say *not sent* only when it is known."
    )
    TAKEN = "3. A clear yes with an id is accepted, under that id."
    NO_ID = "4. A yes without an id, or an answer that cannot be read to its end: unknown."
    MESSAGE = "5. 400, 404, 410 and 422 refuse this message: not sent, permanent."
    ACCOUNT = (
        "6. 401, 402 and 403 refuse us, not the message: not sent, Fault.GATEWAY, not permanent. A rotated password "
        "must not kill a thousand invoices."
    )
    RATE = "7. 429: not sent, transient; Retry-After goes into retry_after."
    IN_PROGRESS = "8. 409 on a keyed call: unknown, an attempt under this key may be in progress there."
    MAYBE_PROCESSED = "9. 408 and 5xx may have been processed: unknown, unless the provider promises that nothing was."
    REDIRECT = "10. A redirect is never followed, and nothing was accepted."
    SMTP_REPLY = (
        "11. SMTP 4xx is not sent, transient; 5xx is not sent, for good, or the gateway's fault where any mail would "
        "meet it."
    )
    SMTP_BEFORE_THE_DOT = "12. Whatever happens before the final dot of a mail: not sent, transient."
    SMTP_AFTER_THE_DOT = "13. Without a clear answer after the final dot of a mail: unknown (RFC 1047)."
    DOCUMENTED = "14. This is what the provider's documentation says of that answer."


def verdict(outcome: Outcome) -> Verdict:
    """What *outcome* amounts to. A permanent *not sent* is permanent, whosever fault it is."""
    match outcome:
        case Accepted():
            return Verdict.ACCEPTED
        case Unknown():
            return Verdict.UNKNOWN
        case NotSent(permanent=True):
            return Verdict.PERMANENT
        case NotSent(fault=Fault.GATEWAY):
            return Verdict.GATEWAYS_FAULT
        case NotSent():
            return Verdict.TRANSIENT
