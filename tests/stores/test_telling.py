"""What is told to other processes, on a connection that does what a test says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from duly.errors import StoreUnavailable
from duly.ports.wake_ups import EVERYTHING, NOTHING, News
from duly.stores.postgres import telling
from duly.stores.postgres.address import Connection
from duly.stores.postgres.telling import Teller, heard_in, payload_of


class Server:
    """Takes statements, one at a time, when a test lets it."""

    def __init__(self) -> None:
        self.heard: list[News] = []
        self.failures = 0
        self.lets = asyncio.Event()
        self.lets.set()
        self.under_way = 0
        self.under_way_max = 0
        self.connections = 0
        self.ended = 0

    async def connect(self) -> Connection:
        self.connections += 1
        return cast("Connection", _Session(self))


class _Session:
    def __init__(self, server: Server) -> None:
        self._server = server

    async def execute(self, statement: str, *, timeout: float) -> None:
        server = self._server
        server.under_way += 1
        server.under_way_max = max(server.under_way_max, server.under_way)
        try:
            await server.lets.wait()
            if server.failures:
                server.failures -= 1
                raise ConnectionResetError("cut")
        finally:
            server.under_way -= 1
        assert statement.startswith("NOTIFY duly, '")
        server.heard.append(heard_in(statement.split("'")[1])[1])

    def is_closed(self) -> bool:
        return False

    def terminate(self) -> None:
        self._server.ended += 1

    async def close(self, timeout: float) -> None:
        self._server.ended += 1


@asynccontextmanager
async def telling_to(connect: Callable[[], Awaitable[Any]]) -> AsyncIterator[Teller]:
    teller = Teller(connect)
    teller.open()
    try:
        yield teller
    finally:
        await teller.close()


async def until(true: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + 20
    while not true():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.001)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "NOTIFY_RETRY_SECONDS", 0.001)


async def test_what_is_told_while_a_notify_is_under_way_goes_with_the_next_one() -> None:
    server = Server()
    server.lets.clear()
    async with telling_to(server.connect) as teller:
        teller.tell(News.DELIVERIES)
        await until(lambda: server.under_way == 1)
        for _ in range(100):
            teller.tell(News.EFFECTS)
            teller.tell(News.COMMITS | News.DELIVERIES)
        server.lets.set()
        await until(lambda: len(server.heard) == 2)
    assert server.heard == [News.DELIVERIES, News.EFFECTS | News.COMMITS | News.DELIVERIES]
    assert (server.under_way_max, server.connections, server.ended) == (1, 1, 1)


async def test_what_was_told_last_is_sent_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "NOTIFY_REST_SECONDS", 3600)
    monkeypatch.setattr(telling, "NOTIFY_REST_SECONDS_MAX", 3600)
    server = Server()
    async with telling_to(server.connect) as teller:
        teller.tell(News.DELIVERIES)
        await until(lambda: server.heard == [News.DELIVERIES])
        teller.tell(News.EFFECTS)
    assert server.heard == [News.DELIVERIES, News.EFFECTS]


async def test_an_end_waits_for_nobody_who_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "LAST_WORD_SECONDS_MAX", 0.01)
    server = Server()
    server.lets.clear()
    async with telling_to(server.connect) as teller:
        teller.tell(News.DELIVERIES)
        await until(lambda: server.under_way == 1)
    assert (server.heard, server.under_way, server.ended) == ([], 0, 1)


@pytest.mark.usefixtures("quick")
async def test_a_notify_that_fails_is_logged_once_and_a_new_connection_tried(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.failures = 3
    async with telling_to(server.connect) as teller:
        teller.tell(News.DELIVERIES)
        for _ in range(3):
            left = server.failures
            await until(lambda left=left: server.failures < left)  # type: ignore[misc]
            teller.tell(News.EFFECTS)
        await until(lambda: server.heard == [News.EFFECTS])
        assert server.connections == 4
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "by polling" in caplog.text


@pytest.mark.usefixtures("quick")
async def test_a_database_that_lets_nobody_in_is_no_failure_of_whoever_tells(caplog: pytest.LogCaptureFixture) -> None:
    refused = 0

    async def connect() -> Connection:
        nonlocal refused
        refused += 1
        raise StoreUnavailable("sorry, too many clients already")

    async with telling_to(connect) as teller:
        teller.tell(News.DELIVERIES)
        await until(lambda: refused == 1)
        teller.tell(News.DELIVERIES)
        await until(lambda: refused == 2)
    assert len(caplog.records) == 1


async def test_nothing_is_sent_after_the_end() -> None:
    server = Server()
    async with telling_to(server.connect) as teller:
        pass
    teller.tell(News.DELIVERIES)
    await asyncio.sleep(0)
    assert server.connections == 0


@pytest.mark.parametrize("news", [NOTHING, News.DELIVERIES, News.EFFECTS | News.POSITIONS, EVERYTHING])
def test_what_is_sent_is_what_is_heard(news: News) -> None:
    assert heard_in(payload_of("4f2a", news)) == ("4f2a", news)


def test_letters_of_later_versions_are_passed_over() -> None:
    assert heard_in("4f2a dxz") == ("4f2a", News.DELIVERIES)


@pytest.mark.parametrize("payload", ["", "wake"])
def test_a_notify_by_hand_wakes_everybody(payload: str) -> None:
    assert heard_in(payload) == ("", EVERYTHING)
