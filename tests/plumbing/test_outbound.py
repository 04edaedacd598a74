"""No socket to an address of our own: whatever it is called, wrapped in, or turns into."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import httpcore
import httpx
import pytest

from misir.errors import MisirError
from misir.plumbing.outbound import (
    ForbiddenAddressError,
    GuardedBackend,
    is_forbidden,
    outbound_client,
    require_public_url,
    resolve,
)

FORBIDDEN = [
    # the machine itself
    "127.0.0.1", "127.1.2.3", "127.255.255.255", "0.0.0.0", "0.1.2.3", "::1", "::",  # noqa: S104
    # private networks and their edges
    "10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255", "fc00::1",
    "fd12:3456::1", "fdff:ffff::1",
    # link-local, and the metadata of clouds
    "169.254.169.254", "169.254.0.1", "fe80::1", "fe80::a9fe:a9fe", "febf::1", "fec0::1", "fd00:ec2::254", "168.63.129.16",
    "100.100.100.200",
    # shared, documentation, benchmarks, protocols, multicast, reserved
    "100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1", "198.18.0.1", "198.19.255.255",
    "198.51.100.7", "203.0.113.9", "192.88.99.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "2001:db8::1", "3fff::1", "100::1", "ff02::1", "ff0e::1", "2001:2::1", "2001:10::1", "5f00::1", "4000::1",
    # IPv4 inside IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo (server; client, inverted), ISATAP
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0", "::127.0.0.1", "::10.0.0.1",
    "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::1",
    "2002:a9fe:a9fe::1", "2002:c0a8:101::1", "2001:0:7f00:1::", "2001:0:5db8:d822:0:0:80ff:fffe",
    "2a00:1450::5efe:a00:1", "2a00:1450::200:5efe:7f00:1",
]  # fmt: skip
ALLOWED = [
    "93.184.216.34", "1.1.1.1", "9.255.255.255", "11.0.0.0", "126.255.255.255", "128.0.0.1", "172.15.255.255",
    "172.32.0.0", "192.167.255.255", "192.169.0.0", "100.63.255.255", "100.128.0.0", "169.253.255.255", "223.255.255.255",
    "2606:4700::1111", "2a00:1450:4001::200e", "2002:5db8:d822::1", "::ffff:93.184.216.34",
]  # fmt: skip


class Sockets(httpcore.AsyncNetworkBackend):
    """Notes where sockets would go, and answers each request with what is next in `answers`."""

    def __init__(self, *answers: bytes) -> None:
        self.opened: list[str] = []
        self._answers = list(answers)

    async def connect_tcp(self, host: str, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        self.opened.append(host)
        if not self._answers:
            raise httpcore.ConnectError("nobody there")
        return httpcore.AsyncMockStream([self._answers.pop(0)])


def names(*answers: Sequence[str]) -> Callable[[str, int], Any]:
    """A resolver that gives each of these in turn, then the last one again."""
    waiting = list(answers)

    async def answer(_: str, __: int) -> Sequence[str]:
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return answer


def fetch(url: str, backend: GuardedBackend, **how: Any) -> httpx.Response:
    async def get() -> httpx.Response:
        async with outbound_client(backend=backend, **how) as client:
            return await client.get(url)

    return asyncio.run(get())


def refused(url: str, backend: GuardedBackend, **how: Any) -> bool:
    with pytest.raises(httpx.ConnectError) as raised:
        fetch(url, backend, **how)
    return isinstance(raised.value.__cause__, ForbiddenAddressError)


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_name_of_a_forbidden_address_opens_no_socket(address: str) -> None:
    sockets = Sockets()
    backend = GuardedBackend(resolve=names([address]), sockets=sockets)
    assert is_forbidden(ip_address(address))
    assert refused("http://innocent.example/", backend)
    assert refused(
        "https://innocent.example:8443/", GuardedBackend(resolve=names(["1.1.1.1", address]), sockets=sockets)
    )
    assert sockets.opened == []


@pytest.mark.parametrize("address", ALLOWED)
def test_what_is_public_is_reached_at_the_address_that_was_judged(address: str) -> None:
    sockets = Sockets()
    backend = GuardedBackend(resolve=names([address], ["127.0.0.1"]), sockets=sockets)
    assert not is_forbidden(ip_address(address))
    with pytest.raises(httpx.ConnectError):
        fetch("http://innocent.example/", backend)
    assert sockets.opened == [address]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1", "0", "0.0.0.0",  # noqa: S104
        "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "localhost", "[64:ff9b::7f00:1]", "10.1", "192.168.257",
    ],
)  # fmt: skip
def test_an_address_however_it_is_spelt_opens_no_socket(host: str) -> None:
    """By the system's own resolver, which reads all of these."""
    sockets = Sockets()
    with pytest.raises((httpx.ConnectError, httpx.InvalidURL)) as raised:
        fetch(f"http://{host}/", GuardedBackend(resolve=resolve, sockets=sockets))
    assert sockets.opened == []
    assert isinstance(raised.value.__cause__, ForbiddenAddressError | None)


def test_a_name_that_changes_its_mind_is_judged_every_time() -> None:
    """Rebinding: public when it is looked at first, ours when it is called again."""
    sockets = Sockets(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
    backend = GuardedBackend(resolve=names(["93.184.216.34"], ["169.254.169.254"]), sockets=sockets)
    assert fetch("http://rebind.example/", backend).status_code == 204
    assert refused("http://rebind.example/", backend)
    assert sockets.opened == ["93.184.216.34"]


REDIRECT = b"HTTP/1.1 302 Found\r\nlocation: %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def test_a_redirect_is_an_answer_unless_it_is_asked_for() -> None:
    sockets = Sockets(REDIRECT % b"http://127.0.0.1/")
    answer = fetch("http://a.example/", GuardedBackend(resolve=names(["1.1.1.1"]), sockets=sockets))
    assert (answer.status_code, sockets.opened) == (302, ["1.1.1.1"])


@pytest.mark.parametrize("target", [b"http://10.0.0.1/", b"https://inner.example/", b"//[::1]/x"])
def test_a_redirect_that_is_followed_is_judged_like_any_other(target: bytes) -> None:
    sockets = Sockets(REDIRECT % target)

    async def look_up(host: str, _: int) -> Sequence[str]:
        return {"a.example": ["1.1.1.1"], "inner.example": ["192.168.1.1"]}.get(host, [host])

    backend = GuardedBackend(resolve=look_up, sockets=sockets)
    assert refused("http://a.example/", backend, follow_redirects=True)
    assert sockets.opened == ["1.1.1.1"]


def test_a_redirect_to_another_scheme_goes_nowhere() -> None:
    for target in (b"file:///etc/passwd", b"gopher://10.0.0.1/", b"ftp://1.1.1.1/"):
        sockets = Sockets(REDIRECT % target)
        with pytest.raises(httpx.UnsupportedProtocol):
            fetch(
                "http://a.example/",
                GuardedBackend(resolve=names(["1.1.1.1"]), sockets=sockets),
                follow_redirects=True,
            )
        assert sockets.opened == ["1.1.1.1"]


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    sockets = Sockets(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert (
        fetch("http://a.example/", GuardedBackend(resolve=names(["1.1.1.1"]), sockets=sockets)).status_code
        == 200
    )
    assert sockets.opened == ["1.1.1.1"]


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    sockets = Sockets()
    backend = GuardedBackend(resolve=names(["1.1.1.1", "2606:4700::1111"]), sockets=sockets)
    with pytest.raises(httpx.ConnectError):
        fetch("http://a.example/", backend)
    assert sockets.opened == ["1.1.1.1", "2606:4700::1111"]


def test_a_name_that_is_none_and_a_socket_of_this_machine() -> None:
    async def unknown(_: str, __: int) -> Sequence[str]:
        raise OSError("no such host")

    sockets = Sockets()
    for backend in (
        GuardedBackend(resolve=unknown, sockets=sockets),
        GuardedBackend(resolve=names([]), sockets=sockets),
    ):
        with pytest.raises(httpx.ConnectError):
            fetch("http://none.example/", backend)
    with pytest.raises(ForbiddenAddressError):
        asyncio.run(GuardedBackend(sockets=sockets).connect_unix_socket("/run/docker.sock"))
    assert sockets.opened == []


def test_an_operators_own_network_can_be_allowed() -> None:
    own = [ip_network("10.8.0.0/16")]
    assert not is_forbidden(ip_address("10.8.1.1"), own)
    assert not is_forbidden(ip_address("::ffff:10.8.1.1"), own)
    for other in ("10.9.0.1", "127.0.0.1", "2002:7f00:1::", "169.254.169.254"):
        assert is_forbidden(ip_address(other), own)
    sockets = Sockets()
    with pytest.raises(httpx.ConnectError):
        fetch("http://nas.example/", GuardedBackend(own, resolve=names(["10.8.0.5"]), sockets=sockets))
    assert sockets.opened == ["10.8.0.5"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/", "javascript:alert(1)", "http://", "http:///x", "https://user:pass@a.example/", "a.example",
        "http://127.0.0.1/", "http://[::1]:8000/", "http://[fe80::1%25eth0]/", "http://localhost:9/", "http://db.internal/",
        "http://LOCALHOST./", "http://printer.local/", "http://a.example:99999/", "http://a b.example/", "http://[::1/",
        "http://169.254.169.254/latest/meta-data/",
    ],
)  # fmt: skip
def test_a_person_is_told_at_once_what_cannot_be(url: str) -> None:
    with pytest.raises(MisirError) as refusal:
        require_public_url(url)
    assert refusal.value.status == 422


def test_a_public_address_passes() -> None:
    for url in (
        "https://hooks.example.org/x?y=1",
        "http://93.184.216.34:8080/",
        "https://xn--nxasmq6b.example/",
    ):
        assert require_public_url(url) == url
