"""Mail through one SMTP server, phase by phase: what counts is whether the final dot was written.

Up to the dot nothing was sent, whatever happens. After it the server may have taken the mail even if its answer is
lost (RFC 1047), so everything but a clear answer is unknown. aiosmtplib's ``send()`` and ``data()`` raise the same
exceptions on either side of the dot; therefore DATA, the body and the dot are written here one by one.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address
from typing import Final, Literal, TypeAlias, cast

from duly.errors import AttachmentLost, ConfigurationError
from duly.gateways.addresses import email_address
from duly.gateways.mime import dated, message_id, render, sender_address, transparent, with_files
from duly.gateways.settings import NOT_LIVE, check_settings, one_line, wrong_effect
from duly.gateways.smtp_replies import Phase, refused, reply_text
from duly.messages.message import Effect
from duly.messages.standard_effects import Email
from duly.ports.attachments import verified
from duly.ports.gateway import Call, Prepared
from duly.states.allowance import Rate
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.policy import Keeps
from duly.states.retry import EFFECT_RETRY, RetrySchedule

try:
    import aiosmtplib
except ImportError:
    raise ConfigurationError(
        ["SmtpGateway needs aiosmtplib, which is not installed: pip install 'duly[mail]'"]
    ) from None

Tls: TypeAlias = Literal["starttls", "implicit", "none"]

_FLUSH_POLL_S: Final = 0.005
_READY_FOR_BODY: Final = 354


class SmtpGateway:
    """Sends `Email` through one server, one connection per call. The Message-ID is the provider's id."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        sender: str,
        live: bool = False,
        username: str | None = None,
        password: str | None = None,
        tls: Tls = "starttls",
        name: str = "smtp",
        helo_name: str | None = None,
        slots: int = 4,
        command_timeout: timedelta = timedelta(seconds=30),
        session_timeout: timedelta = timedelta(minutes=2),
        dot_timeout: timedelta = timedelta(minutes=10),
        retry: RetrySchedule = EFFECT_RETRY,
        rate: Rate | None = None,
        tenant_rate: Rate | None = None,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """*sender* is ``me@shop.example`` or ``Shop <me@shop.example>``; *helo_name* is its domain by default.

        *session_timeout* bounds everything before the final dot. *dot_timeout* is the patience after it, where giving
        up costs an unknown: RFC 5321, 4.5.3.2.6 asks for ten minutes. `call_timeout` is the sum of both.
        """
        check_settings(
            "SmtpGateway",
            name,
            slots,
            command_timeout=command_timeout,
            session_timeout=session_timeout,
            dot_timeout=dot_timeout,
        )
        mistakes: list[str] = []
        if tls not in ("starttls", "implicit", "none"):
            mistakes.append(f'SmtpGateway {name!r}: tls={tls!r} is unknown. Use "starttls", "implicit" or "none".')
        if (username is None) != (password is None):
            mistakes.append(f"SmtpGateway {name!r}: username and password go together. Pass both, or neither.")
        if tls == "none" and password is not None and not _on_this_machine(host):
            mistakes.append(f'SmtpGateway {name!r}: tls="none" would show the password to the network. Use "starttls".')
        if mistakes:
            raise ConfigurationError(mistakes)
        self.name: Final = name
        self.channel: Final = "email"
        self.effects: Final[tuple[type[Effect], ...]] = (Email,)
        self.live: Final = live
        self.slots: Final = slots
        self.call_timeout: Final = session_timeout + dot_timeout
        self.retry: Final = retry
        self.keeps: Final = Keeps(rate=rate, tenant_rate=tenant_rate)
        self._host, self._port, self._tls = host, port, tls
        self._credentials = None if username is None or password is None else (username, password)
        self._sender = sender_address(f"SmtpGateway {name!r}", sender)
        self._helo_name = helo_name or self._sender.domain
        self._command_s = command_timeout.total_seconds()
        self._session_s = session_timeout.total_seconds()
        self._dot_s = dot_timeout.total_seconds()
        self._tls_context = tls_context

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        """The mail as MIME, without a Date and the bytes of attachments.

        Raises `InvalidField` for addresses, header values and names of files, `PayloadTooLarge` for attachments.
        """
        if not isinstance(effect, Email):
            raise wrong_effect(self.name, effect)
        to = email_address(effect.to, field="to")
        reply_to = None if effect.reply_to is None else email_address(effect.reply_to, field="reply_to")
        return Prepared(
            recipient=to,
            summary=one_line(effect.subject),
            content_type="message/rfc822",
            body=render(effect, effect_id, sender=self._sender, to=to, reply_to=reply_to),
            attachments=effect.attachments,
        )

    async def open(self) -> None:
        """Make ready to call: reads the trusted certificates, outside the event loop."""
        if self._tls != "none" and self._tls_context is None:
            self._tls_context = await asyncio.to_thread(ssl.create_default_context)

    async def call(self, call: Call) -> Outcome:
        """Send once, over a connection of its own."""
        if not self.live:
            return NOT_LIVE
        try:
            # Megabytes of base64 are not for the event loop.
            content = await asyncio.to_thread(_content, call) if call.prepared.attachments else _content(call)
        except AttachmentLost as error:
            return NotSent(reason=str(error), permanent=True)
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            local_hostname=self._helo_name,
            timeout=self._command_s,
            use_tls=self._tls == "implicit",
            start_tls=False,
            tls_context=self._tls_context,
        )
        try:
            outcome = await self._up_to_the_dot(client, call, content) or await self._dot(client, call)
            _take_leave(client)
            return outcome
        finally:
            _hang_up(client)

    async def close(self) -> None:
        """Nothing to do: no connection outlives its call."""

    async def _up_to_the_dot(self, client: aiosmtplib.SMTP, call: Call, content: bytes) -> NotSent | None:
        """Everything that cannot have sent the mail; None when only the final dot is missing."""
        recipient = call.prepared.recipient
        phase = Phase.CONNECT
        try:
            async with asyncio.timeout(self._session_s):
                await client.connect()
                phase = Phase.EHLO
                await client.ehlo()
                if self._tls == "starttls":
                    phase = Phase.STARTTLS
                    await client.starttls()
                    phase = Phase.EHLO
                    await client.ehlo()
                if self._credentials is not None:
                    phase = Phase.AUTH
                    await client.login(*self._credentials)
                phase = Phase.MAIL
                await client.mail(self._sender.addr_spec)
                phase = Phase.RCPT
                await client.rcpt(recipient)
                phase = Phase.DATA
                reply = await client.execute_command(b"DATA")
                if reply.code != _READY_FOR_BODY:
                    return refused(phase, reply.code, reply.message, recipient=recipient)
                phase = Phase.BODY
                await _write_flushed(client, content)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            if not isinstance(error, aiosmtplib.SMTPResponseException):
                _hang_up(client)
            return _before_the_dot(phase, error, recipient)
        return None

    async def _dot(self, client: aiosmtplib.SMTP, call: Call) -> Outcome:
        """Write the final dot and hear what the server makes of the mail."""
        recipient = call.prepared.recipient
        protocol = client.protocol
        try:
            if protocol is None:
                raise aiosmtplib.SMTPServerDisconnected("Connection lost")
            protocol.write(b".\r\n")
        except aiosmtplib.SMTPServerDisconnected as error:
            return _before_the_dot(Phase.BODY, error, recipient)
        try:
            reply = await protocol.read_response(timeout=self._dot_s)
        except (aiosmtplib.SMTPException, OSError) as error:
            _hang_up(client)
            return Unknown(evidence=f"no clear answer after the final dot: {type(error).__name__}")
        said = reply_text(reply.message, recipient=recipient)
        if 200 <= reply.code < 300:
            return Accepted(provider_id=message_id(call.prepared.body), evidence=f"SMTP {reply.code} {said}".rstrip())
        if 400 <= reply.code < 600:
            return refused(Phase.DOT, reply.code, reply.message, recipient=recipient)
        return Unknown(evidence=f"no clear answer after the final dot: SMTP {reply.code}")


def _content(call: Call) -> bytes:
    """What goes out between DATA and the final dot, the same at each attempt. Raises `AttachmentLost`."""
    mail, attachments = call.prepared.body, call.prepared.attachments
    if len(call.files) != len(attachments):
        raise AttachmentLost(
            f"The mail has {len(attachments)} attachments, and the bytes of {len(call.files)} of them came along. Give "
            "the application the keeper of attachments that has kept them."
        )
    if attachments:
        files = [verified(attachment, file) for attachment, file in zip(attachments, call.files, strict=True)]
        mail = with_files(mail, files)
    return transparent(dated(mail, call.requested_at))


async def _write_flushed(client: aiosmtplib.SMTP, content: bytes) -> None:
    """Write *content* and wait until the operating system has it: a loss meanwhile is a loss before the dot."""
    protocol, transport = client.protocol, cast(asyncio.WriteTransport, client.transport)
    if protocol is None:
        raise aiosmtplib.SMTPServerDisconnected("Connection lost")
    protocol.write(content)
    # Polled, since neither asyncio nor aiosmtplib has a public way to wait. Most mails fit the socket's buffer.
    while client.is_connected and transport.get_write_buffer_size():  # noqa: ASYNC110
        await asyncio.sleep(_FLUSH_POLL_S)


def _take_leave(client: aiosmtplib.SMTP) -> None:
    """Write QUIT if somebody listens. Its answer is not awaited: a cancellation meanwhile would lose the outcome."""
    if client.protocol is not None:
        with suppress(aiosmtplib.SMTPException):
            client.protocol.write(b"QUIT\r\n")


def _hang_up(client: aiosmtplib.SMTP) -> None:
    """Let go of the connection at once; close() alone would wait for the server to read what is left of a body."""
    if client.transport is not None:
        cast(asyncio.WriteTransport, client.transport).abort()
    client.close()


def _before_the_dot(phase: Phase, error: Exception, recipient: str) -> NotSent:
    """What an error says that came before the final dot. Only names of errors: their texts may quote addresses."""
    kind = type(error).__name__
    match error:
        case aiosmtplib.SMTPResponseException(code=code, message=text):
            return refused(phase, code, text, recipient=recipient)
        case TimeoutError():
            return NotSent(reason=f"timed out at {phase.value}", permanent=False, fault=Fault.PROVIDER)
        case OSError():
            return NotSent(reason=f"no connection, at {phase.value}: {kind}", permanent=False, fault=Fault.PROVIDER)
        case aiosmtplib.SMTPException():
            # STARTTLS or AUTH is not on offer: to go on without would show the mail, or the password, to anyone.
            return NotSent(reason=f"the server does not offer {phase.value}", permanent=False, fault=Fault.GATEWAY)
        case _:
            return NotSent(reason=f"malformed at {phase.value}: {kind}", permanent=True)


def _on_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
