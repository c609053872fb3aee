"""Carries receipts to their receivers over HTTP, later or at once, and writes down how that went."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import httpx

from examples.shop.sandbox.receipt_plan import Flaw, Step
from examples.shop.sandbox.receipt_rules import Mood
from examples.shop.sandbox.record import Channel, Receipt, Record

RECEIVER_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One receipt, ready to be posted, and what the record says of it."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    channel: Channel
    provider_id: str
    recipient: str
    status: str
    mood: Mood
    flaw: Flaw | None

    def receipt(self, answer: int | None, error: str | None) -> Receipt:
        """The line of the record: the receiver's HTTP status, or why there was none."""
        return Receipt(
            channel=self.channel,
            provider_id=self.provider_id,
            recipient=self.recipient,
            status=self.status,
            mood=self.mood,
            flaw=self.flaw,
            url=self.url,
            answer=answer,
            error=error,
        )


class Courier:
    """Posts each receipt once, as Twilio does with a callback that was not answered well.

    The receipts of one thing go one after the other: the next one when the one before has its answer.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._errands: dict[asyncio.Task[None], list[Step]] = {}
        # A new connection for each receipt: one that was kept open would fail after the receiver's restart.
        # Ambient proxies must not see what goes to loopback, and a redirect could lead away from it.
        self._http = httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            timeout=RECEIVER_SECONDS,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def send_later(self, steps: Sequence[Step], prepare: Callable[[Step], Post]) -> asyncio.Task[None]:
        """Send each step when it is due, counted from now; `prepare` is called at that moment."""
        remaining = list(steps)
        errand = asyncio.create_task(self._send(remaining, prepare))
        self._errands[errand] = remaining
        errand.add_done_callback(self._errands.pop)
        return errand

    async def send(self, steps: Sequence[Step], prepare: Callable[[Step], Post]) -> None:
        """The same, and wait for the last answer, or until the courier forgets it."""
        await asyncio.wait([self.send_later(steps, prepare)])

    @property
    def pending(self) -> int:
        """How many receipts are still to be sent."""
        return sum(map(len, self._errands.values()))

    async def forget(self) -> None:
        """Send nothing of what is still to be sent; who waits for it goes on."""
        for errand in self._errands:
            errand.cancel()
        await asyncio.gather(*self._errands, return_exceptions=True)

    async def close(self) -> None:
        """Forget, and let go of connections."""
        await self.forget()
        await self._http.aclose()

    async def _send(self, remaining: list[Step], prepare: Callable[[Step], Post]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while remaining:
            await asyncio.sleep(began + remaining[0].at_seconds - loop.time())
            await self._post(prepare(remaining[0]))
            del remaining[0]

    async def _post(self, post: Post) -> None:
        try:
            answer = await self._http.post(post.url, content=post.body, headers=post.headers)
        except httpx.HTTPError as error:
            receipt = post.receipt(None, f"{type(error).__name__}: {error}")
        else:
            receipt = post.receipt(answer.status_code, None)
        self._record.receipt(receipt)


def check_loopback(url: str) -> None:
    """Raise ValueError for a URL that does not lead to this machine over plain HTTP.

    It is read by the library that will post to it: two readers may take different parts of a URL for its host.
    """
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is no URL: {error}") from None
    try:
        is_loopback = parts.host == "localhost" or ip_address(parts.host).is_loopback
    except ValueError:  # a name, which could lead anywhere
        is_loopback = False
    if parts.scheme != "http" or not is_loopback:
        raise ValueError(f"{url!r} leads away: the sandbox sends to http:// on localhost, 127.0.0.0/8 or [::1] only")
