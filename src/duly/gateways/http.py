"""The one seam through which HTTP gateways reach the network: one request, one answer, and never a second try."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from duly.errors import ConfigurationError
from duly.gateways.http_messages import RESPONSE_BYTES_MAX, HttpRequest, HttpResponse
from duly.gateways.http_status import HEADERS_KEPT
from duly.gateways.network_policy import Target
from duly.states.attempt import Fault, NotSent, Unknown
from duly.states.retry import schedule_of

try:
    import httpx
except ImportError:
    raise ConfigurationError(
        ["HTTP gateways need httpx, which is not installed: pip install 'duly[http]', 'duly[sms]' or 'duly[webhooks]'"]
    ) from None

HTTP_SLOTS: Final = 10
HTTP_CALL_TIMEOUT: Final = timedelta(seconds=30)
HTTP_CONNECT_TIMEOUT: Final = timedelta(seconds=5)
HTTP_READ_TIMEOUT: Final = timedelta(seconds=20)
KEYED_RETRY: Final = schedule_of([5, 300, 1_800, 7_200, 18_000])
"""How an effect is tried again at a provider that remembers a key for 24 hours: some eight hours of it, the rest is for
an operator who orders another attempt."""

_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # what limits the bytes of an answer is to limit its memory too
    "Connection": "close",
    "User-Agent": "duly",
}
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_OWN_HEADERS: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type", "expect", "host", "te", "transfer-encoding"}
)


class HttpTransport:
    """Makes requests under explicit time limits; without redirects, cookies, proxies, HTTP/2 or retries.

    Connections are not kept alive. A server may close an idle connection at the moment we write to it, and then nobody
    can tell whether the request was read: an *unknown* that a person settles costs more than a handshake per call.
    """

    def __init__(
        self,
        *,
        slots: int,
        call_timeout: timedelta,
        connect_timeout: timedelta,
        read_timeout: timedelta,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._slots = slots
        self._total_s = call_timeout.total_seconds()
        # A quarter each for the pool, for connecting and for TLS: the deadline falls after the first byte, always.
        connect_s = min(connect_timeout.total_seconds(), self._total_s / 4)
        read_s = min(read_timeout.total_seconds(), self._total_s)
        self._timeout = httpx.Timeout(connect=connect_s, pool=connect_s, read=read_s, write=read_s).as_dict()
        self._tls_context = tls_context
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def open(self) -> None:
        """Make ready; a second call changes nothing."""
        if self._transport is not None:
            return
        # Reading the certificates takes tens of milliseconds: not in the event loop.
        if self._tls_context is None:
            self._tls_context = await asyncio.to_thread(httpx.create_ssl_context, trust_env=False)
        # The transport, not httpx.AsyncClient: the client logs each URL, keeps cookies and knows how to redirect.
        self._transport = httpx.AsyncHTTPTransport(
            verify=self._tls_context,
            trust_env=False,
            http1=True,
            http2=False,
            retries=0,
            limits=httpx.Limits(max_connections=self._slots, max_keepalive_connections=0),
        )

    async def close(self) -> None:
        """Let go of connections; a second call changes nothing."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    async def exchange(self, request: HttpRequest, *, address: str | None = None) -> HttpResponse | NotSent | Unknown:
        """Make *request* once: the response, or what is known without one.

        With *address* the connection goes to this IP address, and nobody looks the host's name up; the name is still
        what the certificate must hold and what Host says. No reason then names either.
        """
        transport = self._transport
        if transport is None:
            return NotSent(reason="the gateway is not open", permanent=False, fault=Fault.GATEWAY)
        if not all(_HEADER_VALUE.fullmatch(value) for _, value in request.headers):
            return NotSent(reason="a header's value is not printable ASCII", permanent=False, fault=Fault.GATEWAY)
        headers = httpx.Headers(_HEADERS)
        content_type = [("Content-Type", request.content_type)] if request.content_type else []
        headers.update([*content_type, *request.headers])
        url, extensions = httpx.URL(request.url), dict[str, object](timeout=self._timeout)
        where = url.host if address is None else "the address"
        if address is not None:
            headers["Host"] = url.netloc.decode("ascii")
            extensions["sni_hostname"] = url.raw_host.decode("ascii")
            url = url.copy_with(host=address)
        outgoing = httpx.Request(request.method, url, headers=headers, content=request.body, extensions=extensions)
        answer = _Answer()
        try:
            async with asyncio.timeout(self._total_s):
                await answer.read(await transport.handle_async_request(outgoing))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return NotSent(reason=f"no connection to {where}: {_kind(error)}", permanent=False, fault=Fault.PROVIDER)
        except (httpx.HTTPError, OSError) as error:
            # The status line alone refuses a message; it takes a whole body to accept one.
            if answer.response is None:
                return Unknown(evidence=f"no answer, and the request may have been read: {_kind(error)}")
        return answer.response or Unknown(evidence="no answer")


class _Answer:
    """What has come in of a response so far."""

    def __init__(self) -> None:
        self.response: HttpResponse | None = None

    async def read(self, incoming: httpx.Response) -> None:
        kept = {name: incoming.headers[name] for name in HEADERS_KEPT if name in incoming.headers}
        self.response = HttpResponse(status=incoming.status_code, headers=kept, body=b"", whole=False)
        body = bytearray()
        try:
            async for part in incoming.aiter_raw():
                body += part
                if len(body) > RESPONSE_BYTES_MAX:
                    return
        finally:
            await incoming.aclose()
        self.response = HttpResponse(status=incoming.status_code, headers=kept, body=bytes(body), whole=True)


def checked_url(gateway: str, url: str) -> str:
    """*url* if one can post to it. Raises `ConfigurationError`, which does not repeat the URL: it may be secret."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise ConfigurationError([f"{gateway}: its URL cannot be read. Use https://host/path."]) from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.fragment:
        raise ConfigurationError(
            [f"{gateway}: its URL has no http(s) scheme, no host or a fragment. Use https://host/path."]
        )
    if parsed.userinfo:
        raise ConfigurationError([f"{gateway}: its URL holds credentials. Pass them as a setting or in headers={{…}}."])
    return url


def target_of(url: str) -> Target | None:
    """What the driver would connect to; None when it cannot read *url*, or the URL names no host."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        return None
    if not parsed.host:
        return None
    port = parsed.port if parsed.port is not None else {"http": 80, "https": 443}.get(parsed.scheme, 0)
    return Target(
        scheme=parsed.scheme,
        host=parsed.raw_host.decode("ascii"),
        port=port,
        has_credentials=bool(parsed.userinfo),
    )


def checked_headers(gateway: str, headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """*headers* if they can be sent. Raises `ConfigurationError`, which names headers but never their values."""
    mistakes = [
        f"{gateway}: the header {name!r} is set by duly itself. Leave it out."
        for name in headers
        if name.lower() in _OWN_HEADERS
    ]
    mistakes += [
        f"{gateway}: the header {name!r} is malformed. Use a token for the name and printable ASCII for the value."
        for name, value in headers.items()
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value)
    ]
    if mistakes:
        raise ConfigurationError(mistakes)
    return tuple(headers.items())


def _kind(error: BaseException) -> str:
    """The names of an error and of its first cause. Never its text, which may quote what was sent."""
    first: BaseException = error
    while (cause := first.__cause__ or first.__context__) is not None:
        first = cause
    kind, cause_kind = type(error).__name__, type(first).__name__
    return kind if kind == cause_kind else f"{kind} ({cause_kind})"
