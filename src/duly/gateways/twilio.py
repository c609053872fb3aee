"""Text messages through Twilio's Programmable Messaging.

Twilio has no idempotency key on *Messages* and no look-up by a reference of ours: an unknown stays unknown until a
receipt or a person settles it. A receipt can, since the URL that it comes in at names the effect. Source:
https://www.twilio.com/docs/messaging/api/message-resource
"""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qsl, urlencode

import msgspec

from duly.errors import ConfigurationError, InvalidField, ReceiptRefused
from duly.gateways.addresses import check_region, phone_number
from duly.gateways.effect_token import EffectTokens
from duly.gateways.http import (
    HTTP_CALL_TIMEOUT,
    HTTP_CONNECT_TIMEOUT,
    HTTP_READ_TIMEOUT,
    HTTP_SLOTS,
    HttpTransport,
    checked_url,
)
from duly.gateways.http_messages import HttpRequest, HttpResponse, provider_id
from duly.gateways.http_status import classify_status
from duly.gateways.settings import NOT_LIVE, check_settings, one_line, revealed, wrong_effect
from duly.gateways.twilio_receipts import OPTED_OUT, OPTED_OUT_CODE, receipt_of, verified_form
from duly.messages.message import Effect
from duly.messages.standard_effects import Sms
from duly.ports.gateway import Call, Incoming, Prepared, Receipt
from duly.ports.secret import Secret
from duly.states.allowance import Rate
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.policy import Keeps, ReceiptWindow
from duly.states.retry import EFFECT_RETRY, RetrySchedule

TEXT_CHARACTERS_MAX: Final = 1_600
TOKEN_PARAMETER: Final = "effect"
"""The parameter of the receipts' URL that names the effect."""

# Errors that any message would meet: authentication, an inactive or unknown account, a sender that is not ours, a bad
# callback URL. Source: https://www.twilio.com/docs/api/errors
_GATEWAYS_OWN_CODES: Final = frozenset({20003, 20005, 20404, 21212, 21603, 21606, 21609, 21659})

_SID: Final = re.compile(r"[0-9A-Za-z]+")
_SENDER: Final = re.compile(r"\+[0-9]{7,15}|[0-9]{3,8}|[0-9A-Za-z ]{1,11}|MG[0-9a-fA-F]{32}")


class TwilioSms:
    """Sends `Sms` from one Twilio account. Its outcomes are at most once: see the module."""

    def __init__(
        self,
        account_sid: str,
        auth_token: Secret | str,
        *,
        from_number: str,
        live: bool = False,
        base_url: str = "https://api.twilio.com",
        name: str = "twilio",
        secondary_auth_token: Secret | str | None = None,
        receipts_url: str | None = None,
        receipt_secrets: Sequence[Secret | str] = (),
        region: str | None = None,
        slots: int = HTTP_SLOTS,
        call_timeout: timedelta = HTTP_CALL_TIMEOUT,
        connect_timeout: timedelta = HTTP_CONNECT_TIMEOUT,
        read_timeout: timedelta = HTTP_READ_TIMEOUT,
        retry: RetrySchedule = EFFECT_RETRY,
        rate: Rate | None = None,
        tenant_rate: Rate | None = None,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """*from_number* is a number, a short code, a sender name or the SID of a messaging service (``MG…``).

        *receipts_url* is the public URL at which receipts come in, as Twilio sees it. *receipt_secrets* are our own:
        the first signs the token by which a receipt names its effect, all verify it. A receipt may be signed with
        *auth_token* or *secondary_auth_token*. *region* is the country of numbers without ``+``.
        """
        check_settings(
            "TwilioSms",
            name,
            slots,
            call_timeout=call_timeout,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )
        token = revealed(auth_token)
        if not _SID.fullmatch(account_sid) or not token:
            raise ConfigurationError(["TwilioSms: account_sid or auth_token is empty or malformed. Copy them anew."])
        if not _SENDER.fullmatch(from_number):
            raise ConfigurationError(
                [f"TwilioSms: from_number={from_number!r} can send nothing. Use +E.164, a sender name or MG….."]
            )
        if (receipts_url is None) != (not receipt_secrets):
            raise ConfigurationError(
                [
                    "TwilioSms: receipts_url and receipt_secrets go together: without a token no receipt settles an "
                    "unknown. Pass both, or neither."
                ]
            )
        check_region(region)
        self.name: Final = name
        self.channel: Final = "sms"
        self.effects: Final[tuple[type[Effect], ...]] = (Sms,)
        self.live: Final = live
        self.slots: Final = slots
        self.call_timeout: Final = call_timeout
        self.retry: Final = retry
        reports = None if receipts_url is None else ReceiptWindow()
        self.keeps: Final = Keeps(receipts=reports, rate=rate, tenant_rate=tenant_rate)
        base = checked_url("TwilioSms", base_url).rstrip("/")
        self._url = f"{base}/2010-04-01/Accounts/{account_sid}/Messages.json"
        self._authorization = "Basic " + b64encode(f"{account_sid}:{token}".encode()).decode()
        self._sender = ("MessagingServiceSid" if len(from_number) == 34 else "From", from_number)
        self._receipts_url = None if receipts_url is None else checked_url("TwilioSms", receipts_url)
        self._tokens = None if receipts_url is None else EffectTokens(f"TwilioSms {name!r}", name, receipt_secrets)
        self._auth_tokens = (token, *([] if secondary_auth_token is None else [revealed(secondary_auth_token)]))
        self._region = region
        self._http = HttpTransport(
            slots=slots,
            call_timeout=call_timeout,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            tls_context=tls_context,
        )

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        """The form that is posted, URL-encoded. Raises `InvalidField` for the number or the text."""
        if not isinstance(effect, Sms):
            raise wrong_effect(self.name, effect)
        recipient = phone_number(effect.to, field="to", region=self._region)
        if not effect.text.strip():
            raise InvalidField(
                "text", "text is empty: Twilio refuses such a message. Say something, or request no Sms."
            )
        if len(effect.text) > TEXT_CHARACTERS_MAX:
            raise InvalidField(
                "text",
                f"text has {len(effect.text):,} characters; Twilio takes {TEXT_CHARACTERS_MAX:,}. "
                "Shorten it, or request several.",
            )
        form = [("To", recipient), self._sender, ("Body", effect.text)]
        try:
            body = urlencode(form).encode()
        except UnicodeEncodeError:
            raise InvalidField(
                "text", "text holds a lone surrogate, which is no text. Replace the character."
            ) from None
        return Prepared(
            recipient=recipient,
            summary=one_line(effect.text),
            content_type="application/x-www-form-urlencoded",
            body=body,
        )

    async def open(self) -> None:
        """Make ready to call."""
        await self._http.open()

    async def call(self, call: Call) -> Outcome:
        """Post once."""
        if not self.live:
            return NOT_LIVE
        answer = await self._http.exchange(
            HttpRequest(
                url=self._url,
                content_type=call.prepared.content_type,
                body=call.prepared.body + self._callback(call.effect_id),
                headers=(("Authorization", self._authorization),),
            )
        )
        return _outcome(answer) if isinstance(answer, HttpResponse) else answer

    def receipts(self, incoming: Incoming) -> Sequence[Receipt]:
        """The receipt in *incoming*, if Twilio has signed it. Raises `ReceiptRefused`."""
        if self._receipts_url is None or self._tokens is None:
            raise ReceiptRefused(f"The gateway {self.name!r} hears no receipts. Give it receipts_url=….")
        form = verified_form(incoming, self._receipts_url.partition("?")[0], self._auth_tokens)
        token = dict(parse_qsl(incoming.query)).get(TOKEN_PARAMETER)
        return (receipt_of(form, self._tokens.effect_of(token)),)

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

    def _callback(self, effect_id: str) -> bytes:
        """Where Twilio is to report. No part of what is stored: another URL or secret must not make another request."""
        if self._receipts_url is None or self._tokens is None:
            return b""
        parameter = urlencode({TOKEN_PARAMETER: self._tokens.token(effect_id)})
        url = f"{self._receipts_url}{'&' if '?' in self._receipts_url else '?'}{parameter}"
        return b"&" + urlencode({"StatusCallback": url}).encode()


def _outcome(answer: HttpResponse) -> Outcome:
    decided = classify_status(answer.status, answer.headers)
    if isinstance(decided, NotSent):
        return _with_code(decided, answer)
    if decided is not None:
        return decided
    sid = provider_id(answer.json().get("sid"))
    if sid is None:
        return Unknown(evidence=f"HTTP {answer.status}, but no sid could be read in the answer")
    return Accepted(provider_id=sid, evidence=f"HTTP {answer.status}")


def _with_code(refusal: NotSent, answer: HttpResponse) -> NotSent:
    """*refusal* with Twilio's code. Twilio's message is left out: it may quote the phone number."""
    code = answer.json().get("code")
    if not isinstance(code, int):
        return refusal
    reason = f"{refusal.reason}; Twilio error {code}, see https://www.twilio.com/docs/api/errors/{code}"
    if code == OPTED_OUT_CODE:
        return msgspec.structs.replace(refusal, reason=reason, suppresses=OPTED_OUT)
    if code in _GATEWAYS_OWN_CODES:
        return msgspec.structs.replace(refusal, reason=reason, permanent=False, fault=Fault.GATEWAY)
    return msgspec.structs.replace(refusal, reason=reason)
