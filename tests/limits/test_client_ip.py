from ipaddress import ip_network

import pytest

from misir.plumbing.client_ip import client_ip, is_loopback_peer, network_key

TRUSTED = [ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48")]


def scope(peer: str | None, *forwarded: str, name: bytes = b"x-forwarded-for") -> dict[str, object]:
    client = None if peer is None else (peer, 40000)
    return {"client": client, "headers": [(name, value.encode()) for value in forwarded]}


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["nonsense, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.7, 10.0.0.8"], "10.0.0.7"),
        ("10.0.0.1", ["198.51.100.1:5555"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::7]:443"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("2001:db8:ffff::1", ["2001:db8::7"], "2001:db8::7"),
        (None, ["198.51.100.1"], "198.51.100.1"),
        ("testclient", ["198.51.100.1"], "testclient"),
        # uvicorn, by default, has put the rightmost address in the place of a peer on 127.0.0.1
        ("198.51.100.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("198.51.100.1", ["198.51.100.1, 6.6.6.6"], "198.51.100.1"),
    ],
)
def test_the_first_address_from_the_right_that_is_no_trusted_proxy(
    peer: str | None, forwarded: list[str], expected: str
) -> None:
    assert client_ip(scope(peer, *forwarded), TRUSTED) == expected


@pytest.mark.parametrize("spoofed", ["6.6.6.6", "6.6.6.6:1234", "1.1.1.1, 6.6.6.6", "6.6.6.6, 127.0.0.1"])
def test_nobody_is_trusted_by_default_not_even_by_way_of_uvicorn(spoofed: str) -> None:
    assert client_ip(scope("127.0.0.1", spoofed)) == "127.0.0.1"
    assert client_ip(scope("6.6.6.6", spoofed)) == "127.0.0.1"
    assert client_ip(scope("203.0.113.9", spoofed)) == "203.0.113.9"


def test_an_ipv6_subscriber_is_one_caller() -> None:
    assert (
        network_key("2001:db8:1:2::1")
        == network_key("2001:db8:1:2:ffff::9")
        != network_key("2001:db8:1:3::1")
    )


@pytest.mark.parametrize("header", [b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-real-ip"])
def test_loopback_means_no_proxy_in_between(header: bytes) -> None:
    assert is_loopback_peer(scope("127.0.0.1"))
    assert is_loopback_peer(scope("::1"))
    assert is_loopback_peer(scope(None))
    assert not is_loopback_peer(scope("127.0.0.1", "127.0.0.1", name=header))
    assert not is_loopback_peer(scope("203.0.113.9"))
    assert not is_loopback_peer(scope("testclient"))
