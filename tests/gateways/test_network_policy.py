"""A customer chooses the URL: whatever it says, nothing connects to what the policy does not allow."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from duly.errors import ConfigurationError
from duly.gateways.http import HttpTransport
from duly.gateways.http_messages import HttpRequest
from duly.gateways.network_policy import NetworkPolicy, Refused, system_resolver
from duly.gateways.webhook import WebhookGateway
from duly.states.attempt import Accepted, Fault, NotSent
from tests.gateways.calls import send
from tests.gateways.http_server import answers, provider
from tests.gateways.loopback_tls import server_context
from tests.gateways.webhook_calls import PLACED, keeper, loopback_policy, webhooks, zone

# What a name may answer; {port} is where a listener counts.
NAMES = {
    "rebound.example": ["127.0.0.1"],
    "six.example": ["::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "any.example": ["0.0.0.0"],
    "other-loopback.example": ["127.8.8.8"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "metadata.example": ["169.254.169.254"],
    "zone.example": ["fe80::1%lo"],
    "public-first.example": ["93.184.216.34", "127.0.0.1"],
    "public-last.example": ["127.0.0.1", "93.184.216.34"],
    "public-and-six.example": ["93.184.216.34", "::1"],
    "nonsense.example": ["not an address"],
    "xn--lcalhost-v3a.example": ["127.0.0.1"],
}
HOSTS = [
    *NAMES,
    "lócalhost.example",
    # This machine, spelt as addresses.
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "2130706433",
    "2130706433.",
    "0x7f000001",
    "0X7F000001",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "127.0.0.0x1",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "127.0.0.01",
    "127.00.00.1",
    "127.0.0.1.1",
    "0",
    "0.0.0.0",
    "0x0",
    "%31%32%37.0.0.1",
    "127.0.0.1%2f",
    "127.0.0.1%00.example",
    "\uff11\uff12\uff17.0.0.1",
    "127。0。0。1",
    "①②⑦.0.0.1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[::127.0.0.1]",
    "[::1%25lo]",
    "[::1%lo]",
    "[fe80::1%25eth0]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::1]",
    "[::1",
    "[v1.127]",
    # This machine, by name.
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost.localdomain",
    "any.localhost",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "lo\u00adcalhost",
    "%6cocalhost",
    "printer.local",
    "ip6-localhost",
    "broadcasthost",
    # Not this machine, and nobody's business.
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "metadata.google.internal",
    "metadata",
    "255.255.255.255",
    "224.0.0.1",
    "[ff02::1]",
    # No host at all.
    "",
    ".",
    "..",
    "*.example",
    "a..example",
    "-a.example",
    "a b.example",
    "a\\b.example",
    "a" * 64 + ".example",
]
URLS = [
    *(f"https://{host}:{{port}}/hook" for host in HOSTS),
    "https://user:hush@127.0.0.1:{port}/",
    "https://public.example@127.0.0.1:{port}/",
    "https://public.example:443@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}@public.example/",
    "https://public.example\\@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}\\@public.example/",
    "https://127.0.0.1:{port}#@public.example/",
    "https://127.0.0.1:{port}?@public.example/",
    "https://@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}:443/",
    "https:127.0.0.1:{port}/",
    "https:/127.0.0.1:{port}/",
    "https:///127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
    "http://127.0.0.1:{port}/",
    "http://public.example:{port}/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_POST",
    "file:///etc/passwd",
    "https://public.example:22/",
    "https://public.example:0/",
    "https://public.example:65536/",
    "https://public.example:-1/",
    " https://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}\t/",
    "https://127.0.0.1\r\nHost: public.example:{port}/",
    "",
]


class Listener:
    """Counts who connects to this machine, at any of its addresses."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    it = Listener()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        it.connections += 1
        writer.transport.abort()

    with _sockets() as sockets:
        it.port = sockets[0].getsockname()[1]
        servers = [await asyncio.start_server(serve, sock=each) for each in sockets]
        try:
            yield it
        finally:
            for server in servers:
                server.close()


@contextmanager
def _sockets() -> Iterator[list[socket.socket]]:
    """The same port on every IPv4 address, and on every IPv6 address where there are any."""
    sockets = [socket.create_server(("0.0.0.0", 0))]
    if socket.has_ipv6:
        try:
            port = sockets[0].getsockname()[1]
            sockets.append(socket.create_server(("::", port), family=socket.AF_INET6))
        except OSError:
            pass  # a machine without IPv6: nothing can connect there either
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


def to(url: str, network: NetworkPolicy, **settings: Any) -> WebhookGateway:
    names = {**NAMES, "public.example": ["93.184.216.34"]}
    return webhooks(url, network=network, resolver=settings.pop("resolver", zone(names)), **settings)


async def test_no_spelling_of_a_url_connects_to_a_blocked_range() -> None:
    assert len(URLS) == len(set(URLS)) >= 60
    async with listening() as it:
        network = NetworkPolicy(ports=(443, it.port))
        for url in URLS:
            outcome = await send(to(url.replace("{port}", str(it.port)), network), PLACED)
            assert isinstance(outcome, NotSent), url
            assert (outcome.permanent, outcome.fault) == (True, Fault.MESSAGE), (url, outcome)
            assert it.connections == 0, url


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "localhost", "0"])
async def test_without_the_policy_those_spellings_do_reach_this_machine(host: str) -> None:
    limit = timedelta(seconds=10)
    http = HttpTransport(slots=1, call_timeout=limit, connect_timeout=limit, read_timeout=limit)
    async with listening() as it:
        await http.open()
        await http.exchange(HttpRequest(url=f"https://{host}:{it.port}/", content_type="text/plain", body=b""))
        await http.close()
        assert it.connections > 0


@pytest.mark.parametrize("url", ["https://127.0.0.1:{port}/", "https://rebound.example:{port}/"])
async def test_the_listener_counts_those_whom_a_policy_lets_through(url: str) -> None:
    async with listening() as it:
        await send(to(url.replace("{port}", str(it.port)), loopback_policy(it.port)), PLACED)
        assert it.connections == 1


@pytest.mark.skipif(sys.platform == "darwin", reason="127.0.0.2 needs an alias there")
async def test_a_name_that_changes_its_mind_is_connected_to_where_it_was_checked(tmp_path: Path) -> None:
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    async with provider(answers(200), tls=server_context(tmp_path)) as inner:
        checked: list[str] = []

        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            checked.append(writer.get_extra_info("sockname")[0])
            writer.transport.abort()

        outer = await asyncio.start_server(serve, "127.0.0.2", inner.port)
        network = NetworkPolicy(allow_networks=("127.0.0.2/32",), ports=(inner.port,))
        gateway = to(f"https://rebinding.example:{inner.port}/", network, resolver=rebinding)
        await send(gateway, PLACED)
        assert (asked, checked, inner.connections) == (["rebinding.example"], ["127.0.0.2"], 0)
        second = await send(gateway, PLACED)
        assert second == NotSent(reason="the endpoint's URL is not allowed: a loopback address", permanent=True)
        assert (len(checked), inner.connections) == (1, 0)
        outer.close()


async def test_the_name_stays_what_the_certificate_must_hold_and_what_the_host_header_says(tmp_path: Path) -> None:
    names = zone({"localhost": ["127.0.0.1"], "customer.example": ["127.0.0.1"]})
    async with provider(answers(200), tls=server_context(tmp_path)) as it:
        network = loopback_policy(it.port)
        outcome = await send(to(f"https://localhost:{it.port}/h?a=b", network, resolver=names), PLACED)
        assert isinstance(outcome, Accepted)
        assert (it.requests[0].headers["host"], it.requests[0].line) == (f"localhost:{it.port}", "POST /h?a=b HTTP/1.1")
        stranger = await send(to(f"https://customer.example:{it.port}/h", network, resolver=names), PLACED)
        assert isinstance(stranger, NotSent)
        assert (stranger.permanent, stranger.fault) == (False, Fault.PROVIDER)
        assert "SSLCertVerificationError" in stranger.reason
        assert len(it.requests) == 1


async def test_where_one_family_of_addresses_does_not_answer_the_other_is_tried(tmp_path: Path) -> None:
    async with provider(answers(200), tls=server_context(tmp_path)) as it:
        names = zone({"localhost": ["::1", "127.0.0.1", "127.0.0.3"]})
        outcome = await send(to(f"https://localhost:{it.port}/", loopback_policy(it.port), resolver=names), PLACED)
        assert isinstance(outcome, Accepted)
        assert (it.connections, len(it.requests)) == (1, 1)


async def test_an_answer_of_one_address_is_never_asked_of_another(tmp_path: Path) -> None:
    async with provider(answers(500), tls=server_context(tmp_path)) as it:
        names = zone({"localhost": ["127.0.0.1", "::1"]})
        await send(to(f"https://localhost:{it.port}/", loopback_policy(it.port), resolver=names), PLACED)
        assert (it.connections, len(it.requests)) == (1, 1)


async def test_a_name_without_an_address_is_tried_again() -> None:
    async def silent(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async def empty(host: str, port: int) -> Sequence[str]:
        return []

    for resolver, kind in ((zone({}), "gaierror"), (silent, "TimeoutError"), (empty, "no address")):
        gateway = to(
            "https://nobody.example/", NetworkPolicy(), resolver=resolver, answer_timeout=timedelta(seconds=0.6)
        )
        assert await send(gateway, PLACED) == NotSent(
            reason=f"the endpoint's name could not be resolved: {kind}", permanent=False, fault=Fault.PROVIDER
        )


async def test_a_redirect_inside_is_not_followed_and_no_proxy_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(answers(200)) as inside, provider(answers(200)) as proxy:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        behaviour = answers(307, Location=inside.url)
        async with provider(behaviour, tls=server_context(tmp_path)) as it:
            url = it.url.replace("http:", "https:")
            outcome = await send(to(url, loopback_policy(it.port, allow_networks=("127.0.0.1/32",))), PLACED)
            assert isinstance(outcome, NotSent)
            assert outcome.permanent
            assert "redirect" in outcome.reason
            assert (it.connections, inside.connections, proxy.connections) == (1, 0, 0)


async def test_plain_http_reaches_allowed_networks_only() -> None:
    async with provider(answers(200)) as it:
        network = loopback_policy(it.port, plain_http=True)
        assert isinstance(await send(to(it.url, network), PLACED), Accepted)
        public = await send(to(f"http://public.example:{it.port}/", network), PLACED)
        assert public == NotSent(reason="the endpoint's URL is not allowed: a URL that is not https", permanent=True)
        assert it.connections == 1


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("0.0.0.0", "an unspecified address"),
        ("0.1.2.3", "an unspecified address"),
        ("::", "an unspecified address"),
        ("127.0.0.1", "a loopback address"),
        ("127.255.255.255", "a loopback address"),
        ("::1", "a loopback address"),
        ("10.255.255.255", "a private address"),
        ("172.31.255.255", "a private address"),
        ("192.168.1.1", "a private address"),
        ("100.127.255.255", "a private address"),
        ("100.100.100.200", "a private address"),
        ("fd00:ec2::254", "a private address"),
        ("fec0::1", "a private address"),
        ("169.254.169.254", "a link-local or metadata address"),
        ("168.63.129.16", "a link-local or metadata address"),
        ("fe80::1", "a link-local or metadata address"),
        ("224.0.0.1", "a multicast or broadcast address"),
        ("239.255.255.250", "a multicast or broadcast address"),
        ("255.255.255.255", "a multicast or broadcast address"),
        ("ff02::1", "a multicast or broadcast address"),
        ("ff0e::1", "a multicast or broadcast address"),
        ("192.0.2.1", "a documentation address"),
        ("198.51.100.1", "a documentation address"),
        ("203.0.113.1", "a documentation address"),
        ("2001:db8::1", "a documentation address"),
        ("3fff::1", "a documentation address"),
        ("::ffff:8.8.8.8", "an address with another one inside"),
        ("::ffff:127.0.0.1", "an address with another one inside"),
        ("::ffff:0:127.0.0.1", "an address with another one inside"),
        ("::127.0.0.1", "an address with another one inside"),
        ("64:ff9b::7f00:1", "an address with another one inside"),
        ("64:ff9b:1:ffff::1", "an address with another one inside"),
        ("2002:7f00:1::", "an address with another one inside"),
        ("2001:0:1::1", "an address with another one inside"),
        ("192.88.99.1", "an address with another one inside"),
        ("192.0.0.170", "a reserved address"),
        ("198.19.255.255", "a reserved address"),
        ("240.0.0.1", "a reserved address"),
        ("2001:2::1", "a reserved address"),
        ("2001:20::1", "a reserved address"),
        ("100::1", "a reserved address"),
        ("5f00::1", "a reserved address"),
        ("4000::1", "a reserved address"),
        ("fe80::1%eth0", "a malformed address"),
        ("0177.0.0.1", "a malformed address"),
        ("127.1", "a malformed address"),
    ],
)
def test_what_is_not_public_is_refused_by_its_kind(address: str, kind: str) -> None:
    assert NetworkPolicy().refusal_of_address(address) == Refused(kind=kind)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450::1"])
def test_what_is_public_is_allowed_until_it_is_denied(address: str) -> None:
    assert NetworkPolicy().refusal_of_address(address) is None
    denied = NetworkPolicy(deny_networks=("0.0.0.0/0", "::/0"), allow_networks=("0.0.0.0/0", "::/0"))
    assert denied.refusal_of_address(address) == Refused(kind="a denied address")


def test_an_allowed_network_allows_itself_and_no_more() -> None:
    network = NetworkPolicy(allow_networks=("10.1.0.0/16", "fd00::/8"))
    assert network.refusal_of_address("10.1.2.3") is None
    assert network.refusal_of_address("fd12::1") is None
    for address in ("10.2.0.1", "::ffff:10.1.2.3", "64:ff9b::a01:203", "2002:a01:203::", "127.0.0.1", "fd12::1%eth0"):
        assert network.refusal_of_address(address) is not None, address


async def test_an_allowed_name_is_looked_up_and_its_address_still_counts() -> None:
    names = zone({"hooks.corp.internal": ["10.1.2.3"], "db.corp.internal": ["10.2.0.1"]})
    network = NetworkPolicy(allow_networks=("10.1.0.0/16",), allow_names=(".corp.internal",))
    refused = await send(to("https://db.corp.internal/", network, resolver=names), PLACED)
    assert refused == NotSent(reason="the endpoint's URL is not allowed: a private address", permanent=True)
    other = await send(to("https://hooks.evil-corp.internal/", network, resolver=names), PLACED)
    assert other == NotSent(reason="the endpoint's URL is not allowed: a local name", permanent=True)


async def test_a_refusal_names_neither_host_nor_address() -> None:
    for url in ("https://rebound.example/token", "https://169.254.169.254/token", "https://hush.internal/token"):
        shown = str(await send(to(url, NetworkPolicy()), PLACED))
        assert not any(word in shown for word in ("rebound", "169.254", "127.0.0.1", "hush", "token")), shown


async def test_the_systems_resolver_gives_addresses() -> None:
    assert "127.0.0.1" in await system_resolver("127.0.0.1", 443)


@pytest.mark.parametrize(
    "settings",
    [{"allow_networks": ("10.1.0.1/16",)}, {"deny_networks": ("everything",)}, {"ports": (0,)}, {"ports": (65_536,)}],
)
def test_a_policy_that_makes_no_sense_stops_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="NetworkPolicy"):
        NetworkPolicy(**settings)


async def test_an_endpoint_of_the_default_policy_is_refused_on_this_machine() -> None:
    gateway = WebhookGateway(keeper("https://127.0.0.1/"), live=True)
    assert await send(gateway, PLACED) == NotSent(
        reason="the endpoint's URL is not allowed: a loopback address", permanent=True
    )
