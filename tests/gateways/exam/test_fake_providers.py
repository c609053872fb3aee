"""The fake providers count what they took, by call and by key, and keep what they saw."""

from __future__ import annotations

import asyncio
import socket
import time
from datetime import timedelta

import pytest

from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.testing.gateway_exam import (
    HTTP_MOODS,
    SMTP_MOODS,
    Does,
    FakeProvider,
    HttpAnswers,
    HttpProvider,
    HttpReply,
    LineAnswers,
    LineProvider,
    Mood,
    Rule,
    SmtpAnswers,
    SmtpProvider,
    Verdict,
    verdict,
)
from duly.testing.gateway_exam.moods import REFUSES_CONNECTIONS, TAKES, TAKES_AND_DROPS

ANSWERS = HttpAnswers(taken=lambda number: b'{"id": %d}' % number, key_reused=HttpReply(status=409))


async def post(provider: FakeProvider, body: bytes = b"{}", *, key: str | None = None) -> tuple[int, bytes]:
    """Status and body of the answer; 0 without one."""
    reader, writer = await asyncio.open_connection(provider.host, provider.port)
    extra = f"Idempotency-Key: {key}\r\n" if key else ""
    writer.write(f"POST / HTTP/1.1\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    head, _, rest = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else 0), rest


async def test_what_comes_without_a_key_is_taken_each_time() -> None:
    async with HttpProvider(ANSWERS, TAKES) as provider:
        assert [await post(provider) for _ in range(2)] == [(200, b'{"id": 1}'), (200, b'{"id": 2}')]
    assert (provider.tally.requests, len(provider.tally.taken)) == (2, 2)
    assert [seen.line for seen in provider.tally.seen] == ["POST / HTTP/1.1"] * 2


async def test_a_key_that_is_known_is_taken_once_and_answered_as_at_first() -> None:
    async with HttpProvider(ANSWERS, TAKES_AND_DROPS) as provider:
        assert await post(provider, key="a") == (0, b"")
        provider.mood = TAKES
        assert await post(provider, key="a") == (200, b'{"id": 1}')
        assert await post(provider, key="b") == (200, b'{"id": 2}')
        assert await post(provider, b'{"other": 1}', key="a") == (409, b"")
    assert (provider.tally.taken_under("a"), provider.tally.taken_under("b")) == (1, 1)


async def test_a_key_that_was_forgotten_is_taken_again() -> None:
    async with HttpProvider(ANSWERS, TAKES) as provider:
        await post(provider, key="a")
        provider.forget_keys()
        assert await post(provider, key="a") == (200, b'{"id": 2}')
    assert provider.tally.taken_under("a") == 2


async def test_keys_are_forgotten_after_their_time() -> None:
    async with HttpProvider(ANSWERS, TAKES, key_lifetime=timedelta(milliseconds=1)) as provider:
        began = time.monotonic()
        while (await post(provider, key="a"))[1] == b'{"id": 1}':
            assert time.monotonic() - began < 10
    assert provider.tally.taken_under("a") == 2


async def test_a_chunked_request_is_read_to_its_end() -> None:
    async with HttpProvider(ANSWERS, TAKES) as provider:
        reader, writer = await asyncio.open_connection(provider.host, provider.port)
        writer.write(
            b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n": 1\r\n1\r\n}\r\n0\r\n\r\n'
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
    assert provider.tally.taken[0].body == b'{"a": 1}'


async def test_a_provider_that_refuses_connections_refuses_them() -> None:
    async with HttpProvider(ANSWERS, REFUSES_CONNECTIONS) as provider:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(provider.host, provider.port)
    assert provider.tally.connections == 0


@pytest.mark.parametrize("mood", [mood for mood in HTTP_MOODS if not mood.is_endless], ids=lambda mood: mood.name)
async def test_what_a_mood_says_is_taken_is_counted(mood: Mood) -> None:
    async with HttpProvider(ANSWERS, mood) as provider:
        try:
            await post(provider)
        except (OSError, ValueError, IndexError):
            assert mood.does is not Does.ANSWER
        assert len(provider.tally.taken) == mood.takes


async def test_a_line_is_a_message() -> None:
    async with LineProvider(LineAnswers(taken=lambda number: b"OK %d\n" % number), TAKES) as provider:
        reader, writer = await asyncio.open_connection(provider.host, provider.port)
        writer.write(b"PAGE ann wet\n")
        assert await reader.readline() == b"OK 1\n"
        writer.close()
    assert [seen.line for seen in provider.tally.taken] == ["PAGE ann wet"]


SESSION = (
    b"EHLO shop.example\r\nAUTH PLAIN AHNob3AAaHVzaA==\r\nMAIL FROM:<a@shop.example>\r\n"
    b"RCPT TO:<ann@example.com>\r\nDATA\r\nHello\r\n..\r\n.\r\nQUIT\r\n"
)


def talk(port: int) -> bytes:
    """All that a mail server says to one session."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(SESSION)
        said = b""
        try:
            while part := connection.recv(4_096):
                said += part
        except ConnectionResetError:
            pass
        return said


async def test_a_mail_is_taken_whole_with_its_recipient_and_its_login() -> None:
    async with SmtpProvider(SmtpAnswers(), TAKES) as provider:
        said = await asyncio.to_thread(talk, provider.port)
        (seen,) = provider.tally.taken
    assert b"250 2.0.0 OK queued as Q1 for ann@example.com" in said
    assert (seen.line, seen.header("authorization"), seen.body) == ("ann@example.com", "shop hush", b"Hello\r\n..\r\n")
    assert provider.tally.requests == 1


@pytest.mark.parametrize("mood", [mood for mood in SMTP_MOODS if mood.reply], ids=lambda mood: mood.name)
async def test_a_mail_server_answers_at_the_step_that_the_mood_says(mood: Mood) -> None:
    async with SmtpProvider(SmtpAnswers(), mood) as provider:
        said = await asyncio.to_thread(talk, provider.port)
    assert mood.reply[:9].encode() in said
    assert provider.tally.phases[mood.at.value] == 1


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Accepted(provider_id="x"), Verdict.ACCEPTED),
        (Unknown(evidence="x"), Verdict.UNKNOWN),
        (NotSent(reason="x", permanent=True, fault=Fault.GATEWAY), Verdict.PERMANENT),
        (NotSent(reason="x", permanent=False, fault=Fault.GATEWAY), Verdict.GATEWAYS_FAULT),
        (NotSent(reason="x", permanent=False, fault=Fault.PROVIDER), Verdict.TRANSIENT),
    ],
)
def test_an_outcome_amounts_to_one_verdict(outcome: Outcome, expected: Verdict) -> None:
    assert verdict(outcome) is expected


def test_moods_have_names_of_their_own_and_each_rule_has_a_mood() -> None:
    for moods in (HTTP_MOODS, SMTP_MOODS):
        names = [mood.name for mood in moods]
        assert len(set(names)) == len(names)
    used = {mood.rule for mood in (*HTTP_MOODS, *SMTP_MOODS)}
    assert set(Rule) - used == {Rule.IN_PROGRESS, Rule.DOCUMENTED}  # of gateways with keys; of single providers
