"""Text messages through Twilio's Programmable Messaging.

Twilio has no idempotency key on *Messages* and no look-up by a reference of ours: an unknown stays unknown until a
status callback or a person settles it. Source: https://www.twilio.com/docs/messaging/api/message-resource
"""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

import msgspec

from duly.errors import ConfigurationError, InvalidField
from duly.gateways.addresses import check_region, phone_number
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
from duly.gateways.settings import NOT_LIVE, check_settings, one_line, wrong_effect
from duly.messages.message import Effect
from duly.messages.standard_effects import Sms
from duly.ports.gateway import Call, Prepared
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.policy import Keeps
from duly.states.retry import EFFECT_RETRY, RetrySchedule

TEXT_CHARACTERS_MAX: Final = 1_600

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
        auth_token: str,
        *,
        from_number: str,
        live: bool = False,
        base_url: str = "https://api.twilio.com",
        name: str = "twilio",
        status_callback: str | Callable[[str], str] | None = None,
        region: str | None = None,
        slots: int = HTTP_SLOTS,
        call_timeout: timedelta = HTTP_CALL_TIMEOUT,
        connect_timeout: timedelta = HTTP_CONNECT_TIMEOUT,
        read_timeout: timedelta = HTTP_READ_TIMEOUT,
        retry: RetrySchedule = EFFECT_RETRY,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """*from_number* is a number, a short code, a sender name or the SID of a messaging service (``MG…``).

        *status_callback* is the URL for receipts, or makes it from the effect's id (always the same from the same id);
        the latter lets a receipt settle an unknown. *region* is the country of numbers without ``+``.
        """
        check_settings(
            "TwilioSms",
            name,
            slots,
            call_timeout=call_timeout,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )
        if not _SID.fullmatch(account_sid) or not auth_token:
            raise ConfigurationError(["TwilioSms: account_sid or auth_token is empty or malformed. Copy them anew."])
        if not _SENDER.fullmatch(from_number):
            raise ConfigurationError(
                [f"TwilioSms: from_number={from_number!r} can send nothing. Use +E.164, a sender name or MG….."]
            )
        check_region(region)
        self.name: Final = name
        self.channel: Final = "sms"
        self.effects: Final[tuple[type[Effect], ...]] = (Sms,)
        self.live: Final = live
        self.slots: Final = slots
        self.call_timeout: Final = call_timeout
        self.retry: Final = retry
        self.keeps: Final = Keeps()
        base = checked_url("TwilioSms", base_url).rstrip("/")
        self._url = f"{base}/2010-04-01/Accounts/{account_sid}/Messages.json"
        self._authorization = "Basic " + b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        self._sender = ("MessagingServiceSid" if len(from_number) == 34 else "From", from_number)
        self._status_callback = status_callback
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
        callback = self._status_callback
        if callback is not None:
            form.append(("StatusCallback", callback if isinstance(callback, str) else callback(effect_id)))
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
                body=call.prepared.body,
                headers=(("Authorization", self._authorization),),
            )
        )
        return _outcome(answer) if isinstance(answer, HttpResponse) else answer

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()


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
    if code in _GATEWAYS_OWN_CODES:
        return msgspec.structs.replace(refusal, reason=reason, permanent=False, fault=Fault.GATEWAY)
    return msgspec.structs.replace(refusal, reason=reason)
