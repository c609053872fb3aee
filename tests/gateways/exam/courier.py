"""A gateway as a user would write it on httpx: small and right. Its subclasses elsewhere have one fault each."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import httpx

from duly.errors import ReceiptRefused
from duly.messages.message import Effect
from duly.ports.gateway import Call, Found, Incoming, LookUpAnswer, NotThere, Prepared, Receipt, Unclear
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.delivery import Delivery
from duly.states.policy import IdempotencyKey, Keeps, LookUp, ReceiptWindow
from duly.states.retry import EFFECT_RETRY
from duly.testing.gateway_exam import GatewayCandidate, HttpAnswers, HttpReply, ReceiptSender, Report, Seat, Seen

ANSWER_BYTES_MAX = 64_000


class Parcel(Effect, name="tests.exam.parcel"):
    """Something to bring to somebody."""

    to: str
    text: str


class Courier:
    """Brings parcels, with keys, a look-up and receipts."""

    follows = False

    def __init__(self, seat: Seat) -> None:
        self.name = "courier"
        self.channel = "parcels"
        self.effects: tuple[type[Effect], ...] = (Parcel,)
        self.live = seat.live
        self.slots = 4
        self.call_timeout = seat.patience
        self.retry = EFFECT_RETRY
        self.keeps = Keeps(key=IdempotencyKey(lifetime=timedelta(hours=24)), look_up=LookUp(), receipts=ReceiptWindow())
        self._url, self._secret = seat.url, seat.secret
        self._client: httpx.AsyncClient | None = None

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        assert isinstance(effect, Parcel)
        body = json.dumps({"ref": effect_id, "to": effect.to, "text": effect.text}).encode()
        return Prepared(recipient=effect.to, summary=effect.text, content_type="application/json", body=body)

    async def open(self) -> None:
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=self.limit(), follow_redirects=self.follows, trust_env=False, event_hooks={}
            )

    def limit(self) -> float | None:
        return self.call_timeout.total_seconds()

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def call(self, call: Call) -> Outcome:
        if not self.live:
            return NotSent(reason="not live", permanent=True)
        try:
            async with asyncio.timeout(self.limit()):
                status, headers, body = await self.post(call)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return NotSent(reason=type(error).__name__, permanent=False, fault=Fault.PROVIDER)
        except (httpx.HTTPError, TimeoutError) as error:
            return self.lost(error)
        return self.outcome(status, headers, body)

    def lost(self, error: Exception) -> Outcome:
        return Unknown(evidence=type(error).__name__)

    def key(self, call: Call) -> str:
        return call.key

    async def post(self, call: Call) -> tuple[int, httpx.Headers, bytes]:
        assert self._client is not None
        headers = {"Authorization": f"Bearer {self._secret}", "Idempotency-Key": self.key(call)}
        request = self._client.build_request("POST", self._url, content=call.prepared.body, headers=headers)
        response = await self._client.send(request, stream=True)
        try:
            return response.status_code, response.headers, await self.read(response)
        finally:
            await response.aclose()

    async def read(self, response: httpx.Response) -> bytes:
        body = b""
        async for part in response.aiter_raw():
            body += part
            if len(body) > ANSWER_BYTES_MAX:
                return b""
        return body

    def outcome(self, status: int, headers: httpx.Headers, body: bytes) -> Outcome:
        if 200 <= status < 300:
            return self.taken(body)
        if status == 429:
            return NotSent(
                reason="429", permanent=False, fault=Fault.PROVIDER, retry_after=self.wait(headers.get("retry-after"))
            )
        if status in (401, 402, 403) or 300 <= status < 400:
            return self.refuses_us(status, body)
        if status in (408, 409) or status >= 500:
            return Unknown(evidence=str(status))
        return NotSent(reason=str(status), permanent=True)

    def refuses_us(self, status: int, body: bytes) -> Outcome:
        return NotSent(reason=str(status), permanent=False, fault=Fault.GATEWAY)

    def taken(self, body: bytes) -> Outcome:
        try:
            found = json.loads(body)["id"]
        except (ValueError, KeyError, RecursionError):
            return Unknown(evidence="no id")
        return Accepted(provider_id=found)

    def wait(self, text: str | None) -> timedelta | None:
        if text is None:
            return None
        if text.isdigit():
            return timedelta(seconds=min(int(text[:9]), 86_400))
        try:
            until = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
        except ValueError:
            return None
        return max(timedelta(), min(until - datetime.now(UTC), timedelta(days=1)))

    async def look_up(self, call: Call, *, confirming: bool) -> LookUpAnswer:
        assert self._client is not None
        async with asyncio.timeout(self.limit()):
            response = await self._client.get(f"{self._url}/{call.effect_id}")
        return self.found(response)

    def found(self, response: httpx.Response) -> LookUpAnswer:
        if response.status_code == 404:
            return NotThere()
        if response.status_code != 200:
            return Unclear(evidence=str(response.status_code))
        return Found(provider_id=response.json()["id"])

    def receipts(self, incoming: Incoming) -> Sequence[Receipt]:
        self.verify(incoming)
        try:
            report = json.loads(incoming.body)
            kind, number, parcel = report["kind"], report["number"], report["parcel"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ReceiptRefused("It cannot be read.") from None
        return self.receipt(kind, number, parcel)

    def receipt(self, kind: str, number: int, parcel: str) -> Sequence[Receipt]:
        delivery = {"brought": Delivery.DELIVERED, "refused": Delivery.UNDELIVERED}.get(kind)
        return () if delivery is None else (Receipt(dedupe=self.dedupe(number), provider_id=parcel, delivery=delivery),)

    def dedupe(self, number: int) -> str:
        return f"report-{number}"

    def verify(self, incoming: Incoming) -> None:
        time = incoming.header("x-time") or ""
        given = incoming.header("x-signature") or ""
        if not hmac.compare_digest(given.encode(), self.expected(time, incoming.body).encode()):
            raise ReceiptRefused("It is not signed by the couriers.")
        self.check_age(abs(incoming.received_at.timestamp() - float(time)))

    def expected(self, time: str, body: bytes) -> str:
        return hmac.digest(self._secret.encode(), time.encode() + body, sha256).hex()

    def check_age(self, seconds: float) -> None:
        if seconds > 300:
            raise ReceiptRefused("It is too old.")


def find(seen: Seen, taken: Sequence[Seen]) -> HttpReply:
    """The answer of the couriers to a question."""
    for number, one in enumerate(taken, start=1):
        if json.loads(one.body)["ref"] in seen.line:
            return HttpReply(status=200, body=b'{"id": "parcel-%d"}' % number)
    return HttpReply(status=404)


def sign(report: Report, body: bytes, at: datetime) -> Incoming:
    """How the couriers sign."""
    time = str(at.timestamp())
    signature = hmac.digest(SECRET.encode(), time.encode() + body, sha256).hex()
    headers = (("content-type", "application/json"), ("x-time", time), ("x-signature", signature))
    return Incoming(method="POST", path="/", query="", headers=headers, body=body, received_at=at)


def report(it: Report) -> bytes:
    """What the couriers report."""
    return json.dumps({"kind": it.kind, "number": it.number, "parcel": it.provider_id}).encode()


SECRET = "hush-couriers"


def courier_candidate(make: type[Courier] = Courier) -> GatewayCandidate:
    """The couriers, with *make* as their gateway."""
    return GatewayCandidate(
        name=make.__name__,
        make=make,
        effect=Parcel(to="canary-ann", text="Canary of a text"),
        private=("Canary of a text",),
        secret=SECRET,
        answers=HttpAnswers(taken=lambda number: b'{"id": "parcel-%d"}' % number, look_up=find),
        key_lifetime=timedelta(hours=24),
        receipts=ReceiptSender(
            body=report, sign=sign, kinds=(("brought", Delivery.DELIVERED), ("refused", Delivery.UNDELIVERED))
        ),
        patience=timedelta(seconds=0.5),
        importable=f"{make.__module__}:{make.__name__.upper()}" if make.__name__ == "Shuffles" else "",
    )
