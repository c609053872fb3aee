"""A fake provider that speaks HTTP/1.1, byte by byte where a mood asks for it."""

from __future__ import annotations

import asyncio
import json
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import Final

from duly.testing.gateway_exam.answers import HttpAnswers, HttpReply, Seen
from duly.testing.gateway_exam.moods import Does, Mood
from duly.testing.gateway_exam.provider import FakeProvider, misbehave

ELSEWHERE: Final = "/duly-exam-elsewhere"
FLOOD_BYTES: Final = 24_000_000
ENDLESS_BODY_BYTES: Final = 1_000_000_000
_REQUEST_BYTES_MAX: Final = 64_000_000


class HttpProvider(FakeProvider):
    """Takes a message per request, unless its key is known. Questions (look-ups) have a mood of their own."""

    scheme = "http"

    def __init__(
        self,
        answers: HttpAnswers,
        mood: Mood,
        *,
        tls: ssl.SSLContext | None = None,
        key_lifetime: timedelta | None = None,
    ) -> None:
        super().__init__(mood, tls=tls, key_lifetime=key_lifetime)
        self.look_up_mood: Mood | None = None
        """How it behaves when it is asked; None: it answers."""
        self._answers = answers

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve requests until the gateway hangs up or the mood does."""
        while first := await reader.read(1):
            self.tally.requests += 1
            seen = await read_request(reader, first, self._answers.key_header)
            if self._is_look_up(seen):
                self.tally.requests -= 1
                self.tally.look_ups += 1
                mood, reply = self.look_up_mood, self._answer(seen)
            elif ELSEWHERE in seen.line:
                self.tally.requests -= 1
                self.tally.target_hits += 1
                mood, reply = None, HttpReply(status=503)
            else:
                mood = self.mood
                self.tally.seen.append(seen)
                reply = self._reply(mood, seen)
                self.arrived.set()
                await self.gate.pass_through()
            # A body that trickles never comes to its end.
            longer = ENDLESS_BODY_BYTES if mood is not None and mood.does is Does.TRICKLE_BODY else 0
            head, body = _rendered(reply, longer)
            if mood is not None and mood.does is Does.FLOOD:
                await self._flood(writer, body)
                return
            does = Does.ANSWER if mood is None else mood.does
            if not await misbehave(does, reader, writer, head + body, len(head)):
                return

    def _is_look_up(self, seen: Seen) -> bool:
        return self._answers.look_up is not None and self._answers.is_look_up(seen)

    def _answer(self, seen: Seen) -> HttpReply:
        mood, look_up = self.look_up_mood, self._answers.look_up
        if (mood is not None and mood.status) or look_up is None:
            return HttpReply(status=mood.status if mood is not None else 404)
        return look_up(seen, self.tally.taken)

    def _reply(self, mood: Mood, seen: Seen) -> HttpReply:
        answers = self._answers
        status = mood.status or answers.taken_status
        body = mood.body
        if mood.takes:
            number = self.take(seen)
            if number is None:
                return answers.key_reused
            if body is None and not mood.status:
                body = answers.taken(number)
        if mood.echoes:
            body = _echo(seen)
        if body is None:
            body = answers.refusals.get(status, b"")
        headers = mood.headers
        if mood.is_redirect:
            headers = (*headers, ("Location", self.url + ELSEWHERE))
        if mood.retry_date is not None:
            now = datetime.now(UTC)
            dates = (("Date", now), ("Retry-After", now + mood.retry_date))
            headers = (*headers, *((name, format_datetime(date, usegmt=True)) for name, date in dates))
        return HttpReply(status=status, body=body, headers=headers)

    async def _flood(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {FLOOD_BYTES}\r\n\r\n"
        writer.write(head.encode() + body)
        blank, left = b" " * 65_536, FLOOD_BYTES - len(body)
        while left > 0:
            writer.write(blank[:left])
            left -= len(blank)
            await writer.drain()
        self.tally.flooded = True


async def read_request(reader: asyncio.StreamReader, first: bytes, key_header: str | None) -> Seen:
    """One request to its end, its *first* byte read before. Raises `ValueError` or `EOFError` when there is none."""
    head = first + await reader.readuntil(b"\r\n\r\n")
    line, *rest = head.decode("latin-1").strip().split("\r\n")
    headers = tuple(
        (name.strip().lower(), value.strip()) for name, _, value in (entry.partition(":") for entry in rest)
    )
    found = dict(headers)
    if found.get("transfer-encoding", "").lower() == "chunked":
        body = await _chunks(reader)
    else:
        length = int(found.get("content-length", "0"))
        if length > _REQUEST_BYTES_MAX:
            raise ValueError("too large")
        body = await reader.readexactly(length)
    return Seen(line=line, headers=headers, body=body, key=found.get(key_header) if key_header else None)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
        if len(body) > _REQUEST_BYTES_MAX:
            raise ValueError("too large")
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return bytes(body)


def _rendered(reply: HttpReply, longer: int) -> tuple[bytes, bytes]:
    reason = HTTPStatus(reply.status).phrase
    lines = [f"HTTP/1.1 {reply.status} {reason}", f"Content-Length: {len(reply.body) + longer}"]
    lines += [f"Content-Type: {reply.content_type}", *(f"{name}: {value}" for name, value in reply.headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), reply.body


def _echo(seen: Seen) -> bytes:
    """All that was read, in the places where providers say what was wrong."""
    said = f"{seen.line} {seen.headers} {seen.body.decode(errors='replace')}"
    inner = {"message": said, "type": said, "detail": said}
    return json.dumps({"error": inner, "errors": [inner], "message": said, "detail": said, "name": said}).encode()
