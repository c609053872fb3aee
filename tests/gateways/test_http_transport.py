"""What the one HTTP seam makes of a network that misbehaves. Each call reaches the provider at most once."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from duly.errors import ConfigurationError
from duly.gateways.http import HttpTransport, checked_headers, checked_url
from duly.gateways.http_messages import RESPONSE_BYTES_MAX, HttpRequest, HttpResponse
from duly.states.attempt import Fault, NotSent, Unknown
from tests.gateways.http_server import (
    Behaviour,
    answers,
    breaks_off,
    drop,
    hang,
    provider,
    reset,
    speak_nonsense,
    trickles,
)
from tests.gateways.loopback_tls import server_context, trusting_context


def transport(*, slots: int = 4, total_s: float = 10, read_s: float = 10) -> HttpTransport:
    return HttpTransport(
        slots=slots,
        call_timeout=timedelta(seconds=total_s),
        connect_timeout=timedelta(seconds=5),
        read_timeout=timedelta(seconds=read_s),
        tls_context=trusting_context(),
    )


@asynccontextmanager
async def opened(it: HttpTransport) -> AsyncIterator[HttpTransport]:
    await it.open()
    try:
        yield it
    finally:
        await it.close()


def post(url: str, body: bytes = b"{}", **headers: str) -> HttpRequest:
    return HttpRequest(url=url, content_type="application/json", body=body, headers=tuple(headers.items()))


def is_transient(outcome: object) -> bool:
    return isinstance(outcome, NotSent) and not outcome.permanent and outcome.fault is Fault.PROVIDER


async def test_an_answer_comes_back_whole_and_the_request_went_out_as_it_was() -> None:
    async with provider(answers(201, b'{"id": "x"}', Set_Cookie="session=secret")) as it, opened(transport()) as http:
        answer = await http.exchange(post(it.url + "/messages?a=b", b'{"n": 1}', Authorization="Bearer t"))
        assert isinstance(answer, HttpResponse)
        assert (answer.status, answer.whole, answer.json()) == (201, True, {"id": "x"})
        assert answer.headers == {}
        (request,) = it.requests
        assert request.line == "POST /messages?a=b HTTP/1.1"
        assert request.body == b'{"n": 1}'
        assert request.headers["authorization"] == "Bearer t"
        assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize("behaviour", [drop, reset, hang, speak_nonsense])
async def test_without_an_answer_to_a_written_request_the_outcome_is_unknown(behaviour: Behaviour) -> None:
    async with provider(behaviour) as it, opened(transport(read_s=0.2)) as http:
        assert isinstance(await http.exchange(post(it.url)), Unknown)
        assert (it.connections, len(it.requests)) == (1, 1)


async def test_the_total_deadline_leaves_the_outcome_unknown() -> None:
    async with provider(hang) as it, opened(transport(total_s=1.2)) as http:
        assert isinstance(await http.exchange(post(it.url)), Unknown)
        assert len(it.requests) == 1


async def test_a_request_that_cannot_be_written_to_its_end_is_unknown() -> None:
    async with provider(hang, reads=False) as it, opened(transport(read_s=0.2)) as http:
        outcome = await http.exchange(post(it.url, b"x" * 50_000_000))
        assert isinstance(outcome, Unknown)
        assert "WriteTimeout" in outcome.evidence
        assert it.connections == 1


async def test_a_refused_connection_is_not_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with opened(transport()) as http:
            outcome = await http.exchange(post(f"http://127.0.0.1:{unused.getsockname()[1]}"))
    assert is_transient(outcome)
    assert "ConnectError" in str(outcome)


async def test_a_name_that_does_not_resolve_is_not_sent() -> None:
    async with opened(transport()) as http:
        assert is_transient(await http.exchange(post("http://nobody.invalid/")))


async def test_a_server_that_does_not_speak_tls_is_not_sent() -> None:
    async with provider(speak_nonsense, reads=False) as it, opened(transport()) as http:
        assert is_transient(await http.exchange(post(it.url.replace("http:", "https:"))))
        assert it.connections == 1


async def test_a_handshake_that_never_ends_is_not_sent() -> None:
    async with provider(hang, reads=False) as it, opened(transport(total_s=0.8)) as http:
        outcome = await http.exchange(post(it.url.replace("http:", "https:")))
        assert is_transient(outcome)
        assert "ConnectTimeout" in str(outcome)


async def test_a_certificate_is_verified_and_a_stranger_gets_nothing(tmp_path: Path) -> None:
    strict = HttpTransport(
        slots=1,
        call_timeout=timedelta(seconds=10),
        connect_timeout=timedelta(seconds=5),
        read_timeout=timedelta(seconds=5),
    )
    async with provider(answers(200, b"{}"), tls=server_context(tmp_path)) as it:
        url = it.url.replace("http:", "https:")
        async with opened(strict) as http:
            assert is_transient(await http.exchange(post(url)))
            assert it.requests == []
        async with opened(transport()) as http:
            assert isinstance(await http.exchange(post(url)), HttpResponse)


async def test_a_full_pool_is_not_sent() -> None:
    async with provider(hang) as it, opened(transport(slots=1, total_s=4)) as http:
        first = asyncio.create_task(http.exchange(post(it.url)))
        await it.arrived.wait()
        outcome = await http.exchange(post(it.url))
        assert is_transient(outcome)
        assert "PoolTimeout" in str(outcome)
        assert len(it.requests) == 1
        first.cancel()
        await asyncio.wait([first])


@pytest.mark.parametrize("status", [301, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with provider(answers(200, b"{}")) as target:
        async with provider(answers(status, Location=target.url)) as it, opened(transport()) as http:
            answer = await http.exchange(post(it.url))
            assert isinstance(answer, HttpResponse)
            assert answer.status == status
        assert target.connections == 0


async def test_no_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider(answers(200, b"{}")) as proxy, provider(answers(200, b"{}")) as it:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with opened(transport()) as http:
            assert isinstance(await http.exchange(post(it.url)), HttpResponse)
        assert (proxy.connections, it.connections) == (0, 1)


async def test_no_connection_is_used_twice_and_no_cookie_is_kept() -> None:
    async with provider(answers(200, b"{}", Set_Cookie="a=b")) as it, opened(transport()) as http:
        for _ in range(3):
            await http.exchange(post(it.url))
        assert (it.connections, len(it.requests)) == (3, 3)
        assert all(request.headers["connection"] == "close" for request in it.requests)
        assert all("cookie" not in request.headers for request in it.requests)


@pytest.mark.parametrize("behaviour", [trickles(200), breaks_off(200), answers(200, b" " * (RESPONSE_BYTES_MAX + 1))])
async def test_a_body_that_does_not_end_in_time_or_within_the_limit_is_not_whole(behaviour: Behaviour) -> None:
    async with provider(behaviour) as it, opened(transport(total_s=1.2)) as http:
        answer = await http.exchange(post(it.url))
        assert isinstance(answer, HttpResponse)
        assert (answer.status, answer.whole, answer.json()) == (200, False, {})
        assert len(it.requests) == 1


async def test_a_body_at_the_limit_is_whole() -> None:
    async with provider(answers(200, b" " * RESPONSE_BYTES_MAX)) as it, opened(transport()) as http:
        answer = await http.exchange(post(it.url))
        assert isinstance(answer, HttpResponse)
        assert answer.whole


async def test_a_cancelled_call_lets_go_of_its_connection() -> None:
    async with provider(hang) as it, opened(transport(slots=1)) as http:
        call = asyncio.create_task(http.exchange(post(it.url)))
        await it.arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        it.behaviour = answers(200, b"{}")
        assert isinstance(await http.exchange(post(it.url)), HttpResponse)


async def test_a_transport_that_is_not_open_reaches_nobody() -> None:
    async with provider(answers(200, b"{}")) as it:
        closed = transport()
        outcome = await closed.exchange(post(it.url))
        assert isinstance(outcome, NotSent)
        assert outcome.fault is Fault.GATEWAY
        assert it.connections == 0


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "ä", "", " padded "])
async def test_a_header_value_that_cannot_be_sent_reaches_nobody(value: str) -> None:
    async with provider(answers(200, b"{}")) as it, opened(transport()) as http:
        assert isinstance(await http.exchange(post(it.url, Key=value)), NotSent)
        assert it.connections == 0


async def test_neither_logs_nor_reprs_show_urls_or_headers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with provider(answers(500)) as it, opened(transport()) as http:
        request = post(it.url + "/hook/secret-path", Authorization="Bearer secret-token")
        answer = await http.exchange(request)
        shown = f"{caplog.text} {request!r} {answer!r} {http!r}"
    assert "secret" not in shown


@pytest.mark.parametrize(
    "url", ["", "ftp://host/", "https://", "/path", "https://host/#part", "https://user:hush@host/", "https://[::1/"]
)
def test_a_url_that_cannot_be_posted_to_stops_the_start_and_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="its URL") as refusal:
        checked_url("Gateway 'x'", url)
    assert "hush" not in str(refusal.value)


@pytest.mark.parametrize("header", [("Host", "x"), ("content-length", "5"), ("Bad Name", "x"), ("X", "hush\r\nY: 1")])
def test_a_header_that_cannot_be_sent_stops_the_start_and_its_value_is_not_repeated(header: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        checked_headers("Gateway 'x'", dict([header]))
    assert header[0] in str(refusal.value)
    assert "hush" not in str(refusal.value)
