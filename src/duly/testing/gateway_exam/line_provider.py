"""A fake provider over plain TCP: one line is a request, one line is an answer."""

from __future__ import annotations

import asyncio

from duly.testing.gateway_exam.answers import LineAnswers, Seen
from duly.testing.gateway_exam.moods import Mood
from duly.testing.gateway_exam.provider import FakeProvider, misbehave


class LineProvider(FakeProvider):
    """Takes a message per line."""

    def __init__(self, answers: LineAnswers, mood: Mood) -> None:
        super().__init__(mood)
        self._answers = answers

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve lines until the gateway hangs up or the mood does."""
        while first := await reader.read(1):
            self.tally.requests += 1
            line = first + await reader.readuntil(b"\n")
            seen = Seen(line=line.decode(errors="replace").strip(), body=line)
            self.tally.seen.append(seen)
            whole = self._answers.refused or b""
            if self.mood.takes:
                whole = self._answers.taken(self.take(seen) or 0)
            self.arrived.set()
            await self.gate.pass_through()
            if not await misbehave(self.mood.does, reader, writer, whole, 0):
                return
