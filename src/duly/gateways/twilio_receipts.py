"""What Twilio reports of a message, and how it signs that. Pure.

Source: https://www.twilio.com/docs/usage/webhooks/webhooks-security (signatures),
https://www.twilio.com/docs/messaging/api/message-resource#message-status-values (statuses).
The library `twilio` verifies the same, and brings 2.5 MB and aiohttp along.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha1
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from duly.errors import ReceiptRefused
from duly.gateways.http_messages import provider_id
from duly.gateways.settings import one_line
from duly.messages.identity import digest_of
from duly.ports.gateway import Incoming, Receipt
from duly.states.delivery import Delivery

FIELDS_MAX: Final = 100
OPTED_OUT_CODE: Final = 21610
"""The recipient has answered STOP. Source: https://www.twilio.com/docs/api/errors/21610"""
OPTED_OUT: Final = f"opted out at the carrier ({OPTED_OUT_CODE})"

# accepted, scheduled, queued and sending are on the way within Twilio: they change no delivery.
_DELIVERIES: Final[Mapping[str, Delivery]] = {
    "sent": Delivery.SENT,
    "delivered": Delivery.DELIVERED,
    "read": Delivery.READ,
    "undelivered": Delivery.UNDELIVERED,
    "failed": Delivery.REJECTED,  # it never left Twilio
    "canceled": Delivery.REJECTED,
}
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def signature_of(url: str, form: Iterable[tuple[str, str]], auth_token: str) -> str:
    """The header X-Twilio-Signature of a request to *url*.

    The URL, then name and value of each field without anything between them, sorted, a repeated pair once.
    """
    signed = url + "".join(name + value for name, value in sorted(set(form)))
    return b64encode(hmac.digest(auth_token.encode(), signed.encode(errors="replace"), sha1)).decode()


def verified_form(incoming: Incoming, public_url: str, auth_tokens: Iterable[str]) -> dict[str, str]:
    """The fields of a report, of which each of *auth_tokens* may have signed it. Raises `ReceiptRefused`.

    *public_url* is the one that Twilio knows, without its query: what a proxy makes of it is not what was signed.
    """
    signature = incoming.header("x-twilio-signature") or ""
    try:
        fields = parse_qsl(incoming.body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        raise ReceiptRefused("A report came in that is no form of Twilio's. Nothing was changed.") from None
    url = f"{public_url}?{incoming.query}" if incoming.query else public_url
    expected = [signature_of(spelt, fields, token) for spelt in _spellings(url) for token in auth_tokens]
    given = signature.encode(errors="replace")
    if not any(hmac.compare_digest(given, one.encode()) for one in expected):
        raise ReceiptRefused(
            "A report came in that Twilio has not signed. Nothing was changed. If Twilio sent it, compare receipts_url "
            "with the URL that Twilio calls, and auth_token with the account's."
        )
    return dict(fields)


def receipt_of(form: Mapping[str, str], effect_id: str | None) -> Receipt:
    """The verified *form* as a receipt. Raises `ReceiptRefused` when it is about no message.

    Twilio gives its reports no id and no time: the same message in the same status is the same report.
    """
    sid, status = provider_id(form.get("MessageSid")), form.get("MessageStatus", "").lower()
    if sid is None or not status:
        raise ReceiptRefused(
            "A report of Twilio's came in without MessageSid or MessageStatus. Nothing was changed. Use receipts_url "
            "for status callbacks only, not for messages that come in."
        )
    code = form.get("ErrorCode", "")
    code = code if code.isascii() and code.isdigit() and len(code) < 10 and int(code) else ""
    error = f", error {code}, see https://www.twilio.com/docs/api/errors/{code}" if code else ""
    return Receipt(
        dedupe=digest_of(sid, status, code),
        provider_id=sid,
        effect_id=effect_id,
        delivery=_DELIVERIES.get(status),
        detail=f"Twilio: {one_line(status, 20)}{error}",
        suppresses=OPTED_OUT if code == str(OPTED_OUT_CODE) else "",
    )


def _spellings(url: str) -> tuple[str, ...]:
    """*url* with its port and without: Twilio signs either. Source: RequestValidator in twilio-python."""
    parts = urlsplit(url)
    if parts.port is not None:
        return url, parts._replace(netloc=parts.netloc.rpartition(":")[0]).geturl()
    return url, parts._replace(netloc=f"{parts.netloc}:{_DEFAULT_PORTS[parts.scheme]}").geturl()
