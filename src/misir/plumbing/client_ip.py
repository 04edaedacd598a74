"""Whose address counts: the socket's peer, or what a proxy we were told to trust says of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOPBACK = IPv4Address("127.0.0.1")
_FORWARDED = (b"forwarded", b"x-real-ip")
_PREFIX = b"x-forwarded-"


def client_ip(scope: Scope, trusted: Sequence[Network] = ()) -> str:
    """The caller's address. X-Forwarded-For counts only from a trusted peer, read from the right: the first
    address that is not a trusted proxy's. Whatever a caller writes to its left has no effect.
    """
    chain = _chain(scope)
    peer = _peer(scope, chain)
    if isinstance(peer, str) or not _is_one_of(peer, trusted):
        return str(peer)
    for address in reversed(chain or [None]):
        if address is None:  # malformed: nothing to its left can be believed either
            return str(peer)
        if not _is_one_of(address, trusted):
            return str(address)
    return str(chain[0])


@lru_cache(4096)
def network_key(ip: str) -> str:
    """What one subscriber has: an IPv4 address, an IPv6 /64.

    >>> network_key("203.0.113.9"), network_key("2001:db8:1:2:3:4:5:6"), network_key("testclient")
    ('203.0.113.9', '2001:db8:1:2::/64', 'testclient')
    """
    address = _parse(ip)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return ip


def is_loopback_peer(scope: Scope) -> bool:
    """Is the caller on this machine, and not somebody behind a proxy on this machine?"""
    if any(name in _FORWARDED or name.startswith(_PREFIX) for name, _ in scope["headers"]):
        return False
    peer = _peer(scope, [])
    return not isinstance(peer, str) and peer.is_loopback


def _chain(scope: Scope) -> list[Address | None]:
    """X-Forwarded-For, client first; None where it is malformed."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [_parse(_without_port(entry.strip())) for entry in ",".join(values).split(",")] if values else []


def _peer(scope: Scope, chain: Sequence[Address | None]) -> Address | str:
    """The other end of the socket; a Unix socket's is this machine.

    uvicorn on its own believes proxies on 127.0.0.1 and puts the rightmost other address of X-Forwarded-For
    in the peer's place. Which proxies to believe is for TRUSTED_PROXIES alone, so that is undone.
    """
    client = scope.get("client")
    if not client or not client[0]:
        return LOOPBACK
    peer = _parse(client[0])
    if peer is None:
        return str(client[0])
    put_there = next((address for address in reversed(chain) if address != LOOPBACK), LOOPBACK)
    return LOOPBACK if chain and put_there == peer else peer


@lru_cache(4096)
def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _without_port(entry: str) -> str:
    """The address in an entry of X-Forwarded-For.

    >>> _without_port("[2001:db8::1]:443"), _without_port("192.0.2.1:443"), _without_port("2001:db8::1")
    ('2001:db8::1', '192.0.2.1', '2001:db8::1')
    """
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def _is_one_of(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
