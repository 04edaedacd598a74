"""The wire to Redis against a server that says what a test wants, and what a URL may ask for against a real one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hiredis import Reader

from misir.plumbing.limiter import Limiter, Policy
from misir.plumbing.redis_line import Lost, RedisLine

SCRIPT = "return ARGV[1]"
OK = b"+OK\r\n"


class Fake(asyncio.Protocol):
    """A connection to a Redis that answers what `answer` says; None is silence."""

    def __init__(self, server: FakeRedis) -> None:
        self.server = server
        self.reader = Reader()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.server.connections.append(self)

    def data_received(self, data: bytes) -> None:
        self.reader.feed(data)
        commands = []
        while (command := self.reader.gets()) is not False:
            commands.append(b" ".join(command).decode())
        self.server.heard.append(commands)
        for command in commands:
            self.say(self.server.answer(command))

    def say(self, answer: bytes | None) -> None:
        if answer is not None:
            self.transport.write(answer)


class FakeRedis:
    def __init__(self, answer: Callable[[str], bytes | None] = lambda _: OK) -> None:
        self.answer = answer
        self.connections: list[Fake] = []
        self.heard: list[list[str]] = []
        """What came together, in lists."""

    @asynccontextmanager
    async def line(self, login: str = "", rest: str = "") -> AsyncIterator[RedisLine]:
        server = await asyncio.get_running_loop().create_server(lambda: Fake(self), "127.0.0.1", 0)
        line = RedisLine(f"redis://{login}127.0.0.1:{server.sockets[0].getsockname()[1]}{rest}", SCRIPT)
        yield line
        await line.close()
        for one in self.connections:
            one.transport.abort()
        server.close()

    def greetings(self) -> list[str]:
        return [command for commands in self.heard for command in commands][:-1]


async def settled(condition: Callable[[], bool]) -> None:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < 5
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("run_loop", [asyncio.run, uvloop.run])
def test_the_first_question_goes_at_once_and_others_of_its_moment_together(
    run_loop: Callable[[Awaitable[Any]], Any],
) -> None:
    async def run() -> list[list[str]]:
        redis = FakeRedis()
        async with redis.line() as line:
            await line.ask("PING", 0)
            redis.heard.clear()
            await asyncio.gather(*(line.ask("PING", i) for i in range(1, 17)))
        return redis.heard

    heard = run_loop(run())
    assert [command for together in heard for command in together] == [f"PING {i}" for i in range(1, 17)]
    assert len(heard) <= 2  # two that follow at once may arrive as one


@pytest.mark.parametrize("run_loop", [asyncio.run, uvloop.run])
def test_nobody_waits_for_the_answers_of_others(run_loop: Callable[[Awaitable[Any]], Any]) -> None:
    async def run() -> tuple[list[list[str]], list[Any]]:
        redis = FakeRedis(lambda command: None if command.startswith("PING") else OK)
        async with redis.line() as line:
            await line.ask("HELLO")
            redis.heard.clear()
            first = asyncio.create_task(line.ask("PING", 1))
            await settled(lambda: len(redis.heard) == 1)
            second = asyncio.create_task(line.ask("PING", 2))
            await settled(lambda: len(redis.heard) == 2)
            redis.connections[0].say(b":1\r\n:2\r\n")
            return redis.heard, [await first, await second]

    assert run_loop(run()) == ([["PING 1"], ["PING 2"]], [1, 2])


def test_an_answer_in_pieces_is_one_answer() -> None:
    async def run() -> Any:
        redis = FakeRedis(lambda command: None if command == "PING" else OK)
        async with redis.line() as line:
            await line.ask("HELLO")
            question = asyncio.create_task(line.ask("PING"))
            await settled(lambda: ["PING"] in redis.heard)
            for piece in (b"*2\r\n:1", b"2\r\n$3\r\nab", b"c\r\n"):
                redis.connections[0].say(piece)
                await asyncio.sleep(0.01)
            return await question

    assert asyncio.run(run()) == [12, b"abc"]


def test_an_answer_that_comes_too_late_finds_nobody() -> None:
    async def run() -> tuple[float, list[Any]]:
        redis = FakeRedis(lambda command: {"PING late": None, "PING new": b":2\r\n"}.get(command, OK))
        async with redis.line() as line:
            await line.ask("HELLO")
            started = time.monotonic()
            lost = await asyncio.gather(*(line.ask("PING", "late") for _ in range(3)), return_exceptions=True)
            waited_s = time.monotonic() - started
            assert [type(one) for one in lost] == [Lost] * 3
            redis.connections[0].say(b":1\r\n" * 3)
            answers = await asyncio.gather(*(line.ask("PING", "new") for _ in range(3)))
            assert len(redis.connections) == 2
            return waited_s, answers

    waited_s, answers = asyncio.run(run())
    assert answers == [2, 2, 2]
    assert 0.15 < waited_s < 0.6


def test_a_silent_greeting_is_lost_in_time_as_well() -> None:
    async def run() -> float:
        async with FakeRedis(lambda _: None).line() as line:
            started = time.monotonic()
            with pytest.raises(Lost, match="TimeoutError"):
                await line.ask("PING")
            return time.monotonic() - started

    assert 0.15 < asyncio.run(run()) < 0.6


@pytest.mark.parametrize("noise", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n+OK\r\n"])
def test_what_is_not_redis_is_told_at_once(noise: bytes) -> None:
    async def run() -> None:
        async with FakeRedis(lambda _: noise).line() as line:
            with pytest.raises(Lost):
                await asyncio.gather(line.ask("PING"), line.ask("PING"))

    asyncio.run(run())


def test_closing_waits_for_answers_and_asking_again_connects_again() -> None:
    async def run() -> tuple[Any, Any]:
        redis = FakeRedis(lambda command: None if command == "PING" else OK)
        async with redis.line() as line:
            await line.ask("HELLO")
            question = asyncio.create_task(line.ask("PING"))
            await settled(lambda: ["PING"] in redis.heard)
            asyncio.get_running_loop().call_later(0.05, redis.connections[0].say, b":7\r\n")
            await line.close()
            await line.close()
            return await question, await line.ask("HELLO")

    assert asyncio.run(run()) == (7, b"OK")


@pytest.mark.parametrize(
    ("login", "rest", "greetings"),
    [
        ("", "", []),
        ("", "/3", ["SELECT 3"]),
        (":s3cret%2Fx@", "", ["AUTH s3cret/x"]),
        ("misir:pw%3A1@", "/2", ["AUTH misir pw:1", "SELECT 2"]),
        ("", "?db=5&client_name=misir&password=x&health_check_interval=9", ["AUTH x", "CLIENT SETNAME misir", "SELECT 5"]),
    ],
)  # fmt: skip
def test_every_form_of_the_url_is_greeted_as_it_says(login: str, rest: str, greetings: list[str]) -> None:
    async def run() -> list[str]:
        redis = FakeRedis()
        async with redis.line(login, rest) as line:
            await line.ask("PING")
        return redis.greetings()

    assert asyncio.run(run()) == [*greetings, f"SCRIPT LOAD {SCRIPT}"]


def test_a_redis_without_users_is_given_the_password_alone() -> None:
    old = b"-ERR wrong number of arguments for 'auth' command\r\n"

    async def run() -> list[str]:
        redis = FakeRedis(lambda command: old if command == "AUTH misir pw" else OK)
        async with redis.line("misir:pw@") as line:
            await line.ask("PING")
        return redis.greetings()

    assert asyncio.run(run())[:2] == ["AUTH misir pw", "AUTH pw"]


def test_flushed_scripts_go_unnoticed(valkey: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> list[bool]:
        limiter = Limiter(redis_url=valkey.url, workers=4)
        await limiter.open()
        admitted = []
        for i in range(8):
            if i % 2:
                valkey.client().script_flush()
            admitted.append((await limiter.hit(Policy("capture", 6), "user:1")).allowed)
            assert limiter.storage == "redis"
        await limiter.close()
        return admitted

    assert asyncio.run(run()) == [True] * 6 + [False] * 2
    assert not caplog.records


@pytest.mark.parametrize("run_loop", [asyncio.run, uvloop.run])
@pytest.mark.parametrize(
    ("query", "reached"),
    [
        ("ssl_ca_certs={trusted}", True),
        ("ssl_cert_reqs=none", True),
        ("ssl_cert_reqs=required", False),
        ("ssl_ca_certs={trusted}&ssl_min_version=772", True),
        ("ssl_ca_certs=/nowhere.pem", False),
        ("ssl_ca_certs={trusted}&ssl_min_version=1", False),
    ],
)
def test_tls_as_the_query_says(
    valkey: Any,
    relay: Callable[..., Any],
    certificate: tuple[Any, Path],
    query: str,
    reached: bool,
    run_loop: Callable[[Awaitable[Any]], Any],
) -> None:
    context, trusted = certificate

    async def run() -> bool:
        async with relay(valkey.port, tls=context).running() as port:
            line = RedisLine(f"rediss://127.0.0.1:{port}/1?{query.format(trusted=trusted)}", SCRIPT)
            try:
                answer: bytes = await line.ask_script("key", 7)
            except Lost:
                return False
            finally:
                await line.close()
            return answer == b"7"

    assert run_loop(run()) is reached


def test_a_unix_socket_takes_a_database_and_a_missing_one_is_lost(valkey: Any) -> None:
    async def run() -> None:
        line = RedisLine(valkey.socket_url + "?db=4", SCRIPT)
        await line.ask("SET", "here", 1)
        await line.close()
        with pytest.raises(Lost, match="FileNotFoundError"):
            await RedisLine("unix:///nowhere.sock", SCRIPT).ask("PING")

    asyncio.run(run())
    client = valkey.client()
    client.select(4)
    assert client.get("here") == b"1"
