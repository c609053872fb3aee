"""The receipt routes, served by uvicorn and mounted in Starlette, as a provider meets them."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64decode
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from duly import Duly, Email, Sending, Sms
from duly.gateways.effect_token import EffectTokens
from duly.gateways.resend import ResendMail
from duly.gateways.twilio import TwilioSms
from duly.gateways.twilio_receipts import signature_of
from duly.ports.gateway import Gateway, Receipt
from duly.states.delivery import Delivery
from duly.states.effect import Dispatch
from duly.testing.store_exam import change, claim, end_attempts, ended, intent
from duly.web.receipts import ReceiptsApp, receipts_app
from tests.gateways.incoming import WEBHOOK_SECRET, standard_webhook
from tests.scenarios.desk import desk, until
from tests.scenarios.reports import SECRET, report, reporting
from tests.web.serving import served, spoken

TWILIO_TOKEN: Final = "the auth token that Twilio and we know"
OUR_SECRET: Final = "our own secret, for tokens"
PUBLIC_URL: Final = "https://shop.example/receipts/twilio"
TOKENS: Final = EffectTokens("twilio", "twilio", [OUR_SECRET])
FORM: Final = {"MessageSid": "SM1", "MessageStatus": "delivered", "AccountSid": "AC1", "To": "+491"}


def gateways() -> list[Gateway]:
    """One gateway of each way to sign, and one that hears nothing."""
    return [
        reporting(),
        TwilioSms(
            "AC1", TWILIO_TOKEN, from_number="+15005550006", receipts_url=PUBLIC_URL, receipt_secrets=[OUR_SECRET]
        ),
        ResendMail("re_1", sender="me@shop.example", webhook_secrets=[WEBHOOK_SECRET]),
        TwilioSms("AC2", TWILIO_TOKEN, from_number="+15005550006", name="deaf"),
    ]


@asynccontextmanager
async def shop(**parts: Any) -> AsyncIterator[Duly]:
    """An application without a worker, that only takes receipts."""
    sending = [Sending(effect=Sms, gateway="sms"), Sending(effect=Email, gateway="resend")]
    async with Duly(
        modules=[desk], store="memory:", gateways=gateways(), sending=sending, worker=False, **parts
    ) as app:
        yield app


@asynccontextmanager
async def mounted(app: Duly, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The routes under ``/receipts``, in a server on loopback; a client of it."""
    starlette = Starlette(routes=[Mount("/receipts", app=receipts_app(app))])
    async with (
        served(starlette, **options) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


async def unknown(app: Duly, gateway: str, **parts: Any) -> str:
    """An effect at *gateway* of which nobody knows whether it went through."""
    store: Any = app._store
    one = intent(gateway=gateway)
    await store.commit(change(intents=(one,)))
    (claimed,) = await claim(store, gateway=gateway)
    await end_attempts(store, [ended(claimed, Dispatch.UNKNOWN, **parts)])
    return one.id


async def seen(app: Duly, effect_id: str) -> tuple[str, str | None]:
    """State and delivery of an effect."""
    store: Any = app._store
    (row,) = await store.select("SELECT state, delivery FROM duly_effect WHERE id = :id", {"id": effect_id})
    return row["state"], row["delivery"]


def told(effect_id: str) -> tuple[bytes, dict[str, str]]:
    """A signed report that an effect was delivered."""
    body, headers = report(Receipt(dedupe="r-1", effect_id=effect_id, delivery=Delivery.DELIVERED))
    return body, dict(headers)


# Routes.


async def test_a_signed_report_is_taken_and_settles_its_effect() -> None:
    async with shop() as app, mounted(app) as client:
        effect_id = await unknown(app, "sms")
        body, headers = told(effect_id)
        answer = await client.post("/receipts/sms", content=body, headers=headers)
        assert (answer.status_code, answer.content) == (204, b"")
        assert await seen(app, effect_id) == ("accepted", "delivered")
        # It comes again, and further down, where the gateway's own route may go on.
        again = await client.post("/receipts/sms/status?x=1", content=body, headers=headers)
        assert again.status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/receipts/nobody", 404),
        ("POST", "/receipts/deaf", 404),
        ("POST", "/receipts/", 404),
        ("POST", "/receipts/smsx", 404),
        ("GET", "/receipts/nobody", 404),
        ("GET", "/receipts/sms", 405),
        ("PUT", "/receipts/sms", 405),
        ("POST", "/receipts/sms", 400),
    ],
)
async def test_what_is_no_report_gets_a_status_and_nothing_else(method: str, path: str, status: int) -> None:
    async with shop() as app, mounted(app) as client:
        answer = await client.request(method, path, content=b"[]", headers={"x-signature": "00"})
        assert (answer.status_code, answer.content) == (status, b"")
        assert answer.headers.get("allow") == ("POST" if status == 405 else None)


@pytest.mark.parametrize(
    ("path", "root_path", "status"),
    [
        ("/sms", "", 204),
        ("/sms/", "", 204),
        ("//sms", "", 204),
        ("/receipts/sms", "/receipts", 204),  # ASGI: path includes root_path
        ("/sms", "/receipts", 204),  # servers that came before that was said
        ("/sms/sms", "/sms", 204),
        ("/receiptsx/sms", "/receipts", 404),
        ("/receipts", "/receipts", 404),
        ("/a/b/c", "", 204),  # a gateway may have a slash in its name
        ("/a/bc", "", 404),
    ],
)
async def test_a_route_is_found_under_any_prefix(path: str, root_path: str, status: int) -> None:
    routes = [reporting(), reporting(name="a/b")]
    sending = [Sending(effect=Sms, gateway="sms")]
    async with Duly(modules=[desk], store="memory:", gateways=routes, sending=sending, worker=False) as app:
        body, headers = told("e-none")
        assert await asked(receipts_app(app), path, body, headers, root_path=root_path) == status


async def test_a_server_may_serve_the_routes_alone_and_under_a_prefix_of_its_own() -> None:
    async with shop() as app, served(receipts_app(app), root_path="/behind/a/proxy", lifespan="on") as port:
        body, headers = told(await unknown(app, "sms"))
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"http://127.0.0.1:{port}/sms", content=body, headers=headers)
        assert answer.status_code == 204


# Limits.


async def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    async with shop() as app, mounted(app) as client:
        port = client.base_url.port or 0
        head = b"POST /receipts/sms HTTP/1.1\r\nHost: x\r\n"
        announced = await spoken(port, head + b"Content-Length: 1048577\r\n\r\n", read_all=False)
        assert announced.startswith(b"HTTP/1.1 413")
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        unannounced = await spoken(port, head + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 17)
        assert unannounced.startswith(b"HTTP/1.1 413")
        assert b"connection: close" in unannounced.lower()


async def test_a_body_that_does_not_come_to_its_end_is_given_up() -> None:
    async with shop() as app:
        slow = ReceiptsApp(app.receipts, body_time_max=timedelta(milliseconds=100))
        async with served(slow) as port:
            answer = await spoken(port, b"POST /sms HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx")
            assert answer.startswith(b"HTTP/1.1 408")
        assert slow._held_bytes == 0


async def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind() -> None:
    async with shop() as app:
        routes = receipts_app(app)
        events: list[Mapping[str, object]] = [
            {"type": "http.request", "body": b"x" * 100, "more_body": True},
            {"type": "http.disconnect"},
        ]
        sent = await exchanged(routes, "/sms", events)
        assert (sent, routes._held_bytes) == ([], 0)


async def test_a_process_holds_only_so_much_of_what_comes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duly.web.receipts.BODIES_BYTES_MAX", 1_000)
    async with shop() as app:
        routes = receipts_app(app)
        gate: asyncio.Queue[Mapping[str, object]] = asyncio.Queue()
        gate.put_nowait({"type": "http.request", "body": b"x" * 900, "more_body": True})
        waiting = asyncio.create_task(exchanged(routes, "/sms", gate))

        async def is_held() -> bool:
            return routes._held_bytes == 900

        await until(is_held, "the beginning of a request is held")
        assert await asked(routes, "/sms", b"x" * 101, {}) == 503
        gate.put_nowait({"type": "http.disconnect"})
        assert await waiting == []
        assert await asked(routes, "/sms", b"x" * 101, {}) == 400


# The store is away.


async def test_while_the_store_is_away_the_provider_is_asked_to_send_again() -> None:
    async with shop() as app:
        routes = receipts_app(app)
        effect_id = await unknown(app, "sms")
        body, headers = told(effect_id)
    # Stopped: the store is closed.
    sent = await exchanged(routes, "/sms", [{"type": "http.request", "body": body}], headers)
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"30") in sent[0]["headers"]  # type: ignore[operator]


# S11: signatures.


def from_twilio(effect_id: str, form: Mapping[str, str] = FORM) -> tuple[str, bytes, dict[str, str]]:
    """Path with query, body and headers of a report of Twilio's."""
    query = urlencode({"effect": TOKENS.token(effect_id)})
    signature = signature_of(f"{PUBLIC_URL}?{query}", form.items(), TWILIO_TOKEN)
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    return f"/receipts/twilio?{query}", urlencode(form).encode(), headers


async def test_twilios_report_settles_the_effect_that_its_url_names() -> None:
    async with shop() as app, mounted(app) as client:
        effect_id = await unknown(app, "twilio")
        path, body, headers = from_twilio(effect_id)
        assert (await client.post(path, content=body, headers=headers)).status_code == 204
        assert await seen(app, effect_id) == ("accepted", "delivered")


async def test_no_mutation_of_twilios_report_is_accepted() -> None:
    async with shop() as app, mounted(app) as client:
        effect_id, another = await unknown(app, "twilio"), await unknown(app, "twilio")
        path, body, headers = from_twilio(effect_id)
        signature = headers["X-Twilio-Signature"]
        forged: list[tuple[str, bytes, Mapping[str, str]]] = [
            (path, body, {**headers, "X-Twilio-Signature": text}) for text in mutated(signature)
        ]
        forged += [(path, text.encode(), headers) for text in mutated(body.decode())]
        forged += [
            (path.replace(TOKENS.token(effect_id), TOKENS.token(another)), body, headers),
            (path + "&x=1", body, headers),
            (path.partition("?")[0], body, headers),
            (path, body + b"&ErrorCode=21610", headers),
            (path, body, {}),
        ]
        for form_path, form_body, form_headers in forged:
            answer = await client.post(form_path, content=form_body, headers=dict(form_headers))
            assert answer.status_code == 400, (form_path, form_body, form_headers)
        assert await seen(app, effect_id) == await seen(app, another) == ("unknown", None)


async def test_no_mutation_or_replay_of_a_standard_webhook_is_accepted() -> None:
    async with shop() as app, mounted(app) as client:
        effect_id = await unknown(app, "resend", provider_id="m-1")
        body = msgspec.json.encode({"type": "email.delivered", "data": {"email_id": "m-1"}})
        good = standard_webhook(body, prefix="svix")
        headers = dict(good.headers)
        forged = [(text.encode(), headers) for text in mutated(body.decode())]
        for name in headers:
            texts = [text for text in mutated(headers[name]) if not is_the_same_signature(text, headers[name])]
            forged += [(body, {**headers, name: text}) for text in texts]
            forged += [(body, {other: value for other, value in headers.items() if other != name})]
        for age in (timedelta(hours=2), timedelta(minutes=6), -timedelta(minutes=6)):
            old = standard_webhook(body, prefix="svix", at=datetime.now(UTC) - age)
            forged.append((body, dict(old.headers)))
        for mutated_body, mutated_headers in forged:
            answer = await client.post("/receipts/resend", content=mutated_body, headers=mutated_headers)
            assert answer.status_code == 400, (mutated_body, mutated_headers)
        assert await seen(app, effect_id) == ("unknown", None)
        # The genuine one, and the same again.
        for _ in range(3):
            assert (await client.post("/receipts/resend", content=body, headers=headers)).status_code == 204
        assert await seen(app, effect_id) == ("accepted", "delivered")
        assert [row["dedupe"] for row in await app._store.select("SELECT dedupe FROM duly_receipt", {})] == ["msg_1"]


async def test_what_came_in_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="duly")
    async with shop() as app:
        routes = receipts_app(app)
        secrets = ("+4915112345678", "s3cr3t-cookie", "t0ken")
        for path in ("/sms", "/twilio", "/resend"):
            headers = {"cookie": secrets[1], "x-signature": secrets[1], "x-twilio-signature": secrets[1]}
            assert await asked(routes, path, secrets[0].encode(), headers, query=f"effect={secrets[2]}") == 400
    records = [record for record in caplog.records if record.name == "duly"]
    assert len(records) >= 3
    said = str([(record.getMessage(), record.__dict__) for record in records])
    assert [secret for secret in (*secrets, SECRET.decode()) if secret in said] == []


# Other connections.


async def test_a_websocket_is_closed_and_anything_else_refused() -> None:
    async with shop() as app:
        routes = receipts_app(app)
        sent: list[Any] = []

        async def receive() -> dict[str, object]:
            return {"type": "websocket.connect"}

        async def send(event: Any) -> None:
            sent.append(event)

        await routes({"type": "websocket"}, receive, send)
        assert sent == [{"type": "websocket.close", "code": 1000}]
        with pytest.raises(RuntimeError, match="not over 'carrier pigeon'"):
            await routes({"type": "carrier pigeon"}, receive, send)


# What the tests do.


def mutated(text: str) -> Iterable[str]:
    """*text* with one character changed, at every place, or cut off."""
    for place, character in enumerate(text):
        other = "1" if character != "1" else "2"
        yield text[:place] + other + text[place + 1 :]
    yield text[:-1]


def is_the_same_signature(text: str, other: str) -> bool:
    """Whether two headers differ in bits of Base64 only that stand for nothing: RFC 4648, section 3.5."""
    try:
        return text.startswith("v1,") and b64decode(text[3:], validate=True) == b64decode(other[3:], validate=True)
    except ValueError:
        return False


async def exchanged(
    app: ReceiptsApp,
    path: str,
    events: Iterable[Mapping[str, object]] | asyncio.Queue[Mapping[str, object]],
    headers: Mapping[str, str] = {},
    *,
    root_path: str = "",
    query: str = "",
) -> list[Mapping[str, object]]:
    """What the application sends when it is called as a server would."""
    queue: asyncio.Queue[Mapping[str, object]] = asyncio.Queue()
    if isinstance(events, asyncio.Queue):
        queue = events
    else:
        for event in events:
            queue.put_nowait(event)
    sent: list[Mapping[str, object]] = []

    async def receive() -> Any:
        return await queue.get()

    async def send(event: Any) -> None:
        sent.append(event)

    scope: dict[str, object] = {
        "type": "http",
        "method": "POST",
        "path": path,
        "root_path": root_path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await app(scope, receive, send)
    return sent


async def asked(app: ReceiptsApp, path: str, body: bytes, headers: Mapping[str, str], **parts: str) -> int:
    """The status of the answer to one whole request."""
    sent = await exchanged(app, path, [{"type": "http.request", "body": body}], headers, **parts)
    status = sent[0]["status"]
    assert isinstance(status, int)
    return status
