"""Where a request may go whose URL somebody else has chosen. Without an HTTP driver.

Rules
 1. Only https, unless the policy says otherwise; never credentials in the URL; only the policy's ports.
 2. The host is a plain IPv4 address, an IPv6 address without a zone, or a name of plain labels. Other spellings of an
    address (``2130706433``, ``0x7f.1``, ``127.1``) are refused, and so are names that mean this machine or network.
 3. A name is looked up once, every address found is checked, and the connection goes to a checked address: a name that
    answers something else a moment later changes nothing.
 4. One address that is not allowed refuses the name.
 5. Denied networks go before allowed ones, and those before what is blocked for all.

Source: the IANA registries of special-purpose addresses (RFC 6890), RFC 6761 and 6762 for names. `ipaddress.is_global`
is not asked: it changes with Python's version, and is true for NAT64, 6to4 and multicast.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

import msgspec

from duly.errors import ConfigurationError

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a name and a port to the addresses of that name, best first. Raises OSError when there are none."""

_Address: TypeAlias = IPv4Address | IPv6Address
_Network: TypeAlias = IPv4Network | IPv6Network

_BLOCKED: Final[tuple[tuple[str, tuple[_Network, ...]], ...]] = tuple(
    (kind, tuple(ip_network(network) for network in networks.split()))
    for kind, networks in (
        ("an unspecified address", "0.0.0.0/8 ::/128"),
        ("a loopback address", "127.0.0.0/8 ::1/128"),
        ("a private address", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 fc00::/7 fec0::/10"),
        # Link-local is where clouds answer for metadata; 168.63.129.16 is Azure's own, in a public range.
        ("a link-local or metadata address", "169.254.0.0/16 fe80::/10 168.63.129.16/32"),
        ("a multicast or broadcast address", "224.0.0.0/4 255.255.255.255/32 ff00::/8"),
        ("a documentation address", "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20"),
        # Mapped, compatible and translated, NAT64, 6to4, Teredo: whoever forwards them unpacks an IPv4 address.
        (
            "an address with another one inside",
            "::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 2002::/16 2001::/32 192.88.99.0/24",
        ),
        ("a reserved address", "192.0.0.0/24 198.18.0.0/15 240.0.0.0/4 2001::/23"),
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")
"""All that IANA has given out as global unicast."""

_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOCAL_NAMES: Final = ("localhost", "localdomain", "local", "internal", "home.arpa", "onion")
_NAME_CHARACTERS: Final = 253


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is connected to, as the HTTP driver has read it from a URL. *host* is lower-case ASCII, without brackets."""

    scheme: str
    host: str
    port: int
    has_credentials: bool = False

    def __repr__(self) -> str:
        return "Target(…)"


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The policy does not allow it; *kind* says what it is, never which."""

    kind: str


class Unresolved(msgspec.Struct, frozen=True, kw_only=True):
    """The name has no address at present, or nobody answered; *kind* is the error's name."""

    kind: str


class NetworkPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What may be reached beyond the public Internet's https, and what of it may not. Raises `ConfigurationError`."""

    allow_networks: tuple[str, ...] = ()
    """Networks that may be reached although they are not public, such as ``("10.1.0.0/16",)``."""
    deny_networks: tuple[str, ...] = ()
    """Networks that may never be reached, such as your own public addresses."""
    allow_names: tuple[str, ...] = ()
    """Names that are looked up although they are local; ``".corp.internal"`` means all below. Addresses still count."""
    ports: tuple[int, ...] = (443,)
    plain_http: bool = False
    """Whether ``http://`` will do, within `allow_networks` only: for tests, and inside a network of your own."""

    def __post_init__(self) -> None:
        mistakes = [
            f"NetworkPolicy.{field}: {text!r} is no network. Write it like 10.1.0.0/16 or fd00::/8."
            for field, texts in (("allow_networks", self.allow_networks), ("deny_networks", self.deny_networks))
            for text in texts
            if not _is_network(text)
        ]
        mistakes += [
            f"NetworkPolicy.ports: {port} is no port. Use 1 to 65535." for port in self.ports if not 0 < port < 65_536
        ]
        if mistakes:
            raise ConfigurationError(mistakes)

    def refusal(self, target: Target) -> Refused | None:
        """Why *target* is refused before its name is looked up; None when it is not."""
        if target.scheme not in ("https", "http") or (target.scheme == "http" and not self.plain_http):
            return Refused(kind="a URL that is not https")
        if target.has_credentials:
            return Refused(kind="a URL with credentials")
        if target.port not in self.ports:
            return Refused(kind="a port that is not allowed")
        if _literal(target.host) is not None:
            return None
        if not _is_name(target.host):
            return Refused(kind="a malformed host")
        if _is_local(target.host) and not self._is_allowed_name(target.host):
            return Refused(kind="a local name")
        return None

    def refusal_of_address(self, text: str, *, scheme: str = "https") -> Refused | None:
        """Why the IP address *text* is refused; None when one may connect to it."""
        address = _literal(text)
        if address is None:
            return Refused(kind="a malformed address")
        if _is_in(address, self.deny_networks):
            return Refused(kind="a denied address")
        if _is_in(address, self.allow_networks):
            return None
        for kind, networks in _BLOCKED:
            if any(address in network for network in networks):
                return Refused(kind=kind)
        if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
            return Refused(kind="a reserved address")
        return None if scheme == "https" else Refused(kind="a URL that is not https")

    def _is_allowed_name(self, host: str) -> bool:
        return any(host == name or (name.startswith(".") and host.endswith(name)) for name in self.allow_names)


async def checked_addresses(
    policy: NetworkPolicy, target: Target, resolve: Resolver, within_s: float
) -> tuple[str, ...] | Refused | Unresolved:
    """The addresses to connect to: the best one of each family, in the resolver's order. Looks a name up once."""
    refused = policy.refusal(target)
    if refused is not None:
        return refused
    found: Sequence[str] = (target.host,)
    if _literal(target.host) is None:
        try:
            async with asyncio.timeout(within_s):
                found = await resolve(target.host, target.port)
        except (OSError, UnicodeError) as error:  # a TimeoutError is an OSError, too
            return Unresolved(kind=type(error).__name__)
    best: dict[bool, str] = {}
    for address in found:
        refused = policy.refusal_of_address(address, scheme=target.scheme)
        if refused is not None:
            return refused
        best.setdefault(":" in address, address)
    return tuple(best.values()) or Unresolved(kind="no address")


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """The addresses that this machine's resolver gives."""
    entries = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in entries]


def _literal(text: str) -> _Address | None:
    """An IP address in its usual spelling; None for a name, another spelling, or one with a zone."""
    if "%" in text:
        return None
    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_name(host: str) -> bool:
    labels = host.split(".")
    return (
        len(host) <= _NAME_CHARACTERS
        and all(_LABEL.fullmatch(label) for label in labels)
        # A last label that is a number makes an IPv4 address of it (https://url.spec.whatwg.org/#ends-in-a-number-checker).
        and not _NUMBER.fullmatch(labels[-1])
    )


def _is_local(host: str) -> bool:
    # A single label is completed with the machine's search domains.
    return "." not in host or any(host == name or host.endswith(f".{name}") for name in _LOCAL_NAMES)


def _is_in(address: _Address, networks: Sequence[str]) -> bool:
    return any(address in _network(text) for text in networks)


def _is_network(text: str) -> bool:
    try:
        _network(text)
    except ValueError:
        return False
    return True


@cache
def _network(text: str) -> _Network:
    return ip_network(text)
