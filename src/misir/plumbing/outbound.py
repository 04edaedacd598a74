"""Requests to addresses that somebody else chose (webhooks, pages): never to this machine or its network.

A name is resolved here, every address it has is judged, and the socket is opened to one that was judged: a
name that changes its mind in between (DNS rebinding) gains nothing. Each new connection is judged again,
those of a redirect included; redirects are not followed unless the caller asks.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore
import httpx

from misir.errors import invalid

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

CONNECT_WITHIN_S: Final = 5.0
ANSWER_WITHIN_S: Final = 10.0

DENIED_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carriers' NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; 169.254.169.254 is the metadata of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "168.63.129.16/32",  # the host of Azure's machines
    )
)
GLOBAL_V6: Final = IPv6Network("2000::/3")
"""Unicast that is routed; everything outside it is refused."""

DENIED_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
MAPPED: Final = IPv6Network("::ffff:0:0/96")
COMPATIBLE: Final = IPv6Network("::/96")
TRANSLATED: Final = IPv6Network("::ffff:0:0:0/96")
NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
SIX_TO_FOUR: Final = IPv6Network("2002::/16")
TEREDO: Final = IPv6Network("2001::/32")


class ForbiddenAddressError(httpcore.ConnectError):
    """The host is, or resolves to, an address that must not be reached from here."""


def unwrapped(address: Address) -> tuple[Address, ...]:
    """The address and every IPv4 address it carries inside: what packets to it may end up as.

    >>> unwrapped(ip_address("::ffff:10.0.0.1"))[-1], unwrapped(ip_address("2002:7f00:1::"))[-1]
    (IPv4Address('10.0.0.1'), IPv4Address('127.0.0.1'))
    >>> unwrapped(ip_address("64:ff9b::a9fe:a9fe"))[-1]
    IPv4Address('169.254.169.254')
    """
    if isinstance(address, IPv4Address):
        return (address,)
    number = int(address)
    low = IPv4Address(number & 0xFFFFFFFF)
    if any(address in network for network in (MAPPED, COMPATIBLE, TRANSLATED, *NAT64)):
        return (address, low)
    if address in SIX_TO_FOUR:
        return (address, IPv4Address((number >> 80) & 0xFFFFFFFF))
    if address in TEREDO:  # the server, and the client's address with every bit turned over
        return (address, IPv4Address((number >> 64) & 0xFFFFFFFF), IPv4Address(int(low) ^ 0xFFFFFFFF))
    if (number >> 32) & 0xFDFFFFFF == 0x5EFE:  # ISATAP
        return (address, low)
    return (address,)


def is_forbidden(address: Address, allowed: Iterable[Network] = ()) -> bool:
    """Must it not be reached? `allowed` are networks of the operator's own that may be, all the same.

    >>> is_forbidden(ip_address("93.184.216.34")), is_forbidden(ip_address("::ffff:127.0.0.1"))
    (False, True)
    >>> is_forbidden(ip_address("10.1.2.3"), [IPv4Network("10.0.0.0/8")])
    False
    """
    allowed = tuple(allowed)
    if isinstance(address, IPv6Address) and address in MAPPED:
        address = unwrapped(address)[-1]  # the same socket as the IPv4 address itself
    return any(_is_denied(one) and not _is_in(one, allowed) for one in unwrapped(address))


def _is_denied(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return _is_in(address, DENIED_V4)
    return address not in GLOBAL_V6 or _is_in(address, DENIED_V6)


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


async def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, in the system's order; also of the odd spellings of addresses it knows."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens sockets, to judged addresses only."""

    def __init__(
        self,
        allowed: Iterable[Network] = (),
        *,
        resolve: Resolve = resolve,
        sockets: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolve
        self._sockets = sockets or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, judge all, connect to the first that answers. One forbidden address refuses the name."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise httpcore.ConnectError("the name does not resolve") from None
        except TimeoutError:
            raise httpcore.ConnectTimeout("the name does not resolve in time") from None
        if not addresses or any(self._refuses(address) for address in addresses):
            raise ForbiddenAddressError("the address is not public")
        return await self._connect_first(addresses, port, timeout, local_address, socket_options)

    def _refuses(self, address: str) -> bool:
        try:
            return is_forbidden(ip_address(address), self._allowed)
        except ValueError:
            return True

    async def _connect_first(
        self,
        addresses: Sequence[str],
        port: int,
        within_s: float | None,
        *more: Any,
    ) -> httpcore.AsyncNetworkStream:
        problem: Exception = httpcore.ConnectError("there is no address")
        for address in addresses:
            try:
                return await self._sockets.connect_tcp(address, port, within_s, *more)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        raise problem

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise ForbiddenAddressError("sockets of this machine are not reached from here")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@cache
def tls() -> ssl.SSLContext:
    """Reading the system's certificates takes longer than most requests: once is enough."""
    return ssl.create_default_context()


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over the guarded sockets; no proxy, whatever the environment says."""

    def __init__(self, backend: GuardedBackend, *, n_connections: int = 20) -> None:
        super().__init__(verify=tls(), trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls(),
            max_connections=n_connections,
            max_keepalive_connections=n_connections,
            network_backend=backend,
        )


def outbound_client(
    allowed: Iterable[Network] = (), *, backend: GuardedBackend | None = None, follow_redirects: bool = False
) -> httpx.AsyncClient:
    """A client for foreign addresses. A redirect is an answer like any other, unless `follow_redirects`:
    then each hop is judged like the first, five at most.
    """
    return httpx.AsyncClient(
        transport=GuardedTransport(backend or GuardedBackend(allowed)),
        timeout=httpx.Timeout(ANSWER_WITHIN_S, connect=CONNECT_WITHIN_S),
        follow_redirects=follow_redirects,
        max_redirects=5,
        trust_env=False,
    )


def require_public_url(url: str, allowed: Iterable[Network] = ()) -> str:
    """A first look, for a person who types an address: http(s), a host, no password, no address of ours.

    What its name resolves to is judged when it is called. Raises MisirError 422.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise invalid("url: is not an address") from None
    if parts.scheme not in {"http", "https"} or not host or any(c.isspace() for c in url):
        raise invalid("url: must be an http(s) address")
    if parts.username is not None or parts.password is not None:
        raise invalid("url: must not carry a user or a password; receivers check the signature")
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        is_local = host.rstrip(".").endswith(("localhost", ".local", ".internal")) and not tuple(allowed)
    else:
        is_local = is_forbidden(address, allowed)
    if is_local:
        raise invalid("url: must be a public address; this one is of the server's own network")
    return url
