"""What an HTTP status says about one attempt. Pure, without a driver.

1. 2xx decides nothing yet: only an id in the body does.
2. 3xx was not sent and is never followed: the URL is the gateway's own mistake.
3. 401, 402 and 403 are the gateway's fault: any other message would fare no better.
4. 408 and 5xx may have been processed, unless the gateway declares that "5xx means not processed".
5. 409 on a keyed call: an attempt with this key may be under way there.
6. 429 was not sent. Its Retry-After is obeyed, within bounds; so is that of whatever leaves the outcome open.
7. Every other 4xx refuses this message for good.
8. Whatever is no final status at all leaves the outcome open.

Source: RFC 9110, section 15; RFC 6585 for 429.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from duly.states.attempt import Fault, NotSent, Unknown

RETRY_AFTER_MAX: Final = timedelta(hours=24)
HEADERS_KEPT: Final = ("retry-after", "date")
"""The only response headers that are looked at; others may hold secrets (cookies) and are dropped."""

_GATEWAYS_OWN: Final = {401: "the credentials were refused", 402: "payment is required", 403: "access is forbidden"}


def classify_status(
    status: int,
    headers: Mapping[str, str],
    *,
    keyed: bool = False,
    five_hundred_means_not_processed: bool = False,
) -> NotSent | Unknown | None:
    """The outcome that *status* alone decides; None for 2xx, where the body decides.

    *headers* has lower-case names. *keyed* tells whether the request carried an idempotency key.
    """
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return NotSent(
            reason=f"HTTP {status}: a redirect, which is not followed; correct the gateway's URL",
            permanent=False,
            fault=Fault.GATEWAY,
        )
    if status in _GATEWAYS_OWN:
        return NotSent(reason=f"HTTP {status}: {_GATEWAYS_OWN[status]}", permanent=False, fault=Fault.GATEWAY)
    if status == 408 or (status == 409 and keyed):
        return Unknown(evidence=f"HTTP {status}", retry_after=retry_after(headers))
    if status == 429:
        return _transient("HTTP 429: the rate is limited", headers)
    if 400 <= status < 500:
        return NotSent(reason=f"HTTP {status}: the message was refused", permanent=True)
    if 500 <= status < 600 and five_hundred_means_not_processed:
        return _transient(f"HTTP {status}, which this provider gives only when nothing was processed", headers)
    return Unknown(evidence=f"HTTP {status}", retry_after=retry_after(headers))


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """The wait that a response asks for, 0 to `RETRY_AFTER_MAX`; None when it asks for none that can be read.

    A date is measured against the response's own Date, so that nobody's clock is compared with another's.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        # More than nine digits are more than 30 years, and int() refuses very long ones.
        return RETRY_AFTER_MAX if len(text) > 9 else min(timedelta(seconds=int(text)), RETRY_AFTER_MAX)
    until, now = _date(text), _date(headers.get("date", ""))
    if until is None or now is None:
        return None
    return max(timedelta(), min(until - now, RETRY_AFTER_MAX))


def _transient(reason: str, headers: Mapping[str, str]) -> NotSent:
    return NotSent(reason=reason, permanent=False, fault=Fault.PROVIDER, retry_after=retry_after(headers))


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
