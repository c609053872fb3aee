"""The mail server: takes mail for anyone and delivers it nowhere.

"refuse", "unavailable", "rate_limit" and "unauthorized" answer the recipient's RCPT; "hang", "accept_and_drop" and
"accept_and_hang" show after the final dot, where a silence leaves the sender not knowing whether the mail was taken.
"""

import asyncio
import email
import secrets
from email.message import EmailMessage
from email.policy import default as default_policy

from aiosmtpd.smtp import SMTP, Envelope, Session

from examples.shop.sandbox.behaviours import Behaviour, BehaviourName, Behaviours, stay_silent
from examples.shop.sandbox.loopback import free_socket
from examples.shop.sandbox.record import Accepted, Outcome, Record

REFUSALS: dict[BehaviourName, tuple[Outcome, str]] = {
    "refuse": ("refused", "550 5.1.1 The email account that you tried to reach does not exist"),
    "unavailable": ("unavailable", "451 4.3.0 Mail server temporarily rejected message"),
    "rate_limit": ("rate_limited", "450 4.2.1 The user is receiving mail at a rate that is too high"),
    "unauthorized": ("unauthorized", "530 5.7.0 Authentication required"),
}
DATA_STEP: tuple[BehaviourName, ...] = ("ok", "hang", "accept_and_drop", "accept_and_hang")
NOT_TAKEN = "451 4.4.2 Timeout, mail not taken"


class MailHandler:
    """aiosmtpd's hooks: one decision at each RCPT, one after the final dot."""

    def __init__(self, record: Record, behaviours: Behaviours, stopping: asyncio.Event) -> None:
        self._record = record
        self._behaviours = behaviours
        self._stopping = stopping

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd finds its hooks by these names
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        behaviour = self._behaviours.take("email", address, among=REFUSALS)
        if behaviour.behaviour in REFUSALS:
            outcome, reply = REFUSALS[behaviour.behaviour]
            self._record.request("email", address, outcome)
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        found = {address: self._behaviours.take("email", address, among=DATA_STEP) for address in envelope.rcpt_tos}
        # One reply is for all recipients of a mail, so one of them with a behaviour decides for the rest.
        hanging = _first(found, "hang")
        if hanging is not None:
            for address in found:
                self._record.request("email", address, "hung")
            await stay_silent(hanging.hang_seconds, self._stopping)
            return NOT_TAKEN
        dropping = _first(found, "accept_and_drop")
        silent = _first(found, "accept_and_hang")
        queue_id = secrets.token_hex(8).upper()
        for address in found:
            self._record.accept("email", _accepted(queue_id, address, content, dropping or silent))
            self._record.request("email", address, "dropped" if dropping else "silent" if silent else "accepted")
        if dropping is not None and isinstance(server.transport, asyncio.Transport):
            server.transport.abort()
            # aiosmtpd cancels this call when it hears that the connection is lost: returning would write a reply.
            await asyncio.get_running_loop().create_future()
        if silent is not None:
            await stay_silent(silent.hang_seconds, self._stopping)
        return f"250 2.0.0 OK queued as {queue_id}"


async def listen(handler: MailHandler) -> tuple[asyncio.Server, int]:
    """Start the mail server on a free loopback port; returns it and its port."""
    loop = asyncio.get_running_loop()

    def connection() -> SMTP:
        # A hostname of its own: by default aiosmtpd asks the DNS for one, for each connection. The limit for a
        # silent connection is longer than any "hang", whose end belongs to the behaviour.
        return SMTP(handler, hostname="mail.sandbox.test", enable_SMTPUTF8=True, timeout=3600, loop=loop)

    bound = free_socket()
    server = await loop.create_server(connection, sock=bound)
    return server, int(bound.getsockname()[1])


def _first(found: dict[str, Behaviour], name: BehaviourName) -> Behaviour | None:
    return next((behaviour for behaviour in found.values() if behaviour.behaviour == name), None)


def _accepted(queue_id: str, address: str, content: bytes, applied: Behaviour | None) -> Accepted:
    mail = email.message_from_bytes(content, policy=default_policy)
    return Accepted(
        provider_id=queue_id,
        recipient=address,
        reference=_header(mail, "Message-ID"),
        body=f"{_header(mail, 'Subject') or ''}\n\n{_text(mail)}",
        behaviour=applied.behaviour if applied else None,
        effect=_header(mail, "X-Duly-Effect"),
    )


def _header(mail: EmailMessage, name: str) -> str | None:
    value = mail[name]
    return None if value is None else str(value).strip()


def _text(mail: EmailMessage) -> str:
    part = mail.get_body(preferencelist=("plain", "html"))
    if part is None:
        return ""
    try:
        return str(part.get_content()).replace("\r\n", "\n")
    except LookupError:
        # A charset that Python does not know is the sender's mistake; the mail is taken all the same.
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(payload)
