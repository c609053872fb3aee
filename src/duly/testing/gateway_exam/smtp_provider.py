"""A fake mail server that can refuse, hang or drop at every step. Without TLS: it is for loopback."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from contextlib import suppress
from typing import Final

from duly.testing.gateway_exam.answers import Seen, SmtpAnswers
from duly.testing.gateway_exam.moods import Does, Mood, Phase
from duly.testing.gateway_exam.provider import FakeProvider, misbehave

_READ_OF_A_BODY_BYTES: Final = 1_000
_POLITE: Final = {
    Phase.GREETING: "220 duly exam",
    Phase.AUTH: "235 2.7.0 welcome",
    Phase.MAIL: "250 2.1.0 OK",
    Phase.RCPT: "250 2.1.5 OK",
    Phase.DATA: "354 go on",
}
_VERBS: Final = {
    "EHLO": Phase.EHLO,
    "HELO": Phase.EHLO,
    "AUTH": Phase.AUTH,
    "MAIL": Phase.MAIL,
    "RCPT": Phase.RCPT,
    "DATA": Phase.DATA,
}


class SmtpProvider(FakeProvider):
    """Takes mails; the request of one is its MAIL command. A `Seen` has the recipient and the mail, dots and all."""

    scheme = "smtp"

    def __init__(self, answers: SmtpAnswers, mood: Mood) -> None:
        super().__init__(mood)
        self._answers = answers

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One session."""
        session = _Session()
        if not await self._reply(Phase.GREETING, session, reader, writer):
            return
        while line := await reader.readline():
            verb = line.split()[0].decode("latin-1").upper() if line.strip() else ""
            if verb in ("QUIT", "RSET", "NOOP"):
                writer.write(b"221 bye\r\n" if verb == "QUIT" else b"250 OK\r\n")
                if verb == "QUIT":
                    return
            elif (phase := _VERBS.get(verb)) is None:
                writer.write(b"502 5.5.1 what?\r\n")
            else:
                await session.hear(phase, line, reader, writer)
                if phase is Phase.MAIL:
                    self.tally.requests += 1
                if not await self._reply(phase, session, reader, writer):
                    return
                if phase is Phase.DATA and self._is_polite(phase) and not await self._mail(session, reader, writer):
                    return

    def _is_polite(self, phase: Phase) -> bool:
        mood = self.mood
        return mood.at is not phase or (mood.does is Does.ANSWER and not mood.reply)

    async def _reply(
        self, phase: Phase, session: _Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        self.tally.phases[phase.value] += 1
        mood = self.mood
        if self._is_polite(phase):
            polite = _POLITE.get(phase, "")
            if phase is Phase.EHLO:
                polite = "250-duly exam\r\n250 AUTH PLAIN" if self._answers.offers_login else "250 duly exam"
            return await misbehave(Does.ANSWER, reader, writer, polite.encode() + b"\r\n", 0)
        return await misbehave(mood.does, reader, writer, session.filled(mood.reply), 0)

    async def _mail(self, session: _Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        mood = self.mood
        if mood.at is Phase.BODY:
            await reader.readexactly(_READ_OF_A_BODY_BYTES)
            self.tally.phases[Phase.BODY.value] += 1
            if mood.does is Does.HANG:
                # Not a byte more is read, so that the rest of the body stays with the gateway.
                await asyncio.Event().wait()
            return False
        mail = bytearray()
        while (line := await reader.readline()) != b".\r\n":
            if not line:
                return False
            mail += line
        seen = Seen(line=session.recipient, headers=(("authorization", session.secret),), body=bytes(mail))
        self.tally.seen.append(seen)
        self.tally.phases[Phase.DOT.value] += 1
        number = self.take(seen) if mood.takes else None
        self.arrived.set()
        await self.gate.pass_through()
        reply = mood.reply or self._answers.taken.replace("{number}", str(number))
        return await misbehave(mood.does, reader, writer, session.filled(reply), 0)


class _Session:
    """What was said of whom and by whom."""

    def __init__(self) -> None:
        self.recipient = ""
        self.secret = ""

    async def hear(self, phase: Phase, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep the recipient and what a login says (RFC 4954: with the command, or on a line of its own)."""
        text = line.decode("latin-1").strip()
        if phase is Phase.RCPT:
            self.recipient = text.partition("<")[2].partition(">")[0]
        if phase is Phase.AUTH:
            words = text.split()
            if len(words) < 3:
                writer.write(b"334 \r\n")
                words.append((await reader.readline()).decode("latin-1").strip())
            with suppress(ValueError):
                self.secret = b64decode(words[-1]).decode(errors="replace").replace("\0", " ").strip()

    def filled(self, reply: str) -> bytes:
        """*reply* as a line, with what it repeats."""
        return reply.replace("{recipient}", self.recipient).replace("{secret}", self.secret).encode() + b"\r\n"
