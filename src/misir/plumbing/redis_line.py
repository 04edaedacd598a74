"""One pipelined connection to Redis that answers or gives up: questions asked meanwhile travel together."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

Command = tuple[str | int, ...]

PATIENCE_S = 0.25
N_LOOKS = 5
_SCRIPT: Command = ("script",)  # its name is known once there is a connection


class Lost(Exception):  # noqa: N818 - what happened, for the log
    """Redis cannot be reached, refuses, or is too slow."""


class Patience:
    """`with Patience():` raises TimeoutError in a body that takes longer than PATIENCE_S.

    Counted in short steps of the event loop: when the loop itself wakes late, that costs one step, so that a
    busy process is not taken for a slow Redis.
    """

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._looks_left = N_LOOKS
        self._wait()

    def _wait(self) -> None:
        self._timer = self._loop.call_later(PATIENCE_S / N_LOOKS, self._look)

    def _look(self) -> None:
        self._looks_left -= 1
        if self._looks_left > 0:
            self._wait()
        elif self._task is not None:
            self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.cancel()
        is_over = self._looks_left == 0 and kind is asyncio.CancelledError
        if is_over and self._task is not None and self._task.uncancel() == 0:
            raise TimeoutError("no answer in time")


class RedisLine:
    """`ask` sends a command and waits for its answer. Connects when first asked, again after a loss.

    `script` is loaded with every connection, for `ask_script`.
    """

    def __init__(self, url: str, script: str) -> None:
        # Only parses: connections are made by `connect`.
        self._pool = ConnectionPool.from_url(
            url, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=None, socket_connect_timeout=None
        )
        self._script = script
        self._script_sha = b""
        self._connection: AbstractConnection | None = None
        self._questions: list[tuple[Command, asyncio.Future[Any]]] = []
        self._talking: asyncio.Task[None] | None = None

    async def ask(self, *command: str | int) -> Any:
        """The answer, within about PATIENCE_S; Lost otherwise."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._questions.append((command, answer))
        if self._talking is None:
            self._talking = asyncio.create_task(self._talk(), name="ask redis")
        return await answer

    async def ask_script(self, *arguments: str | int) -> Any:
        return await self.ask(*_SCRIPT, *arguments)

    async def _talk(self) -> None:
        """Send what has gathered, again and again, until nothing is left to ask."""
        try:
            while self._questions:
                batch, self._questions = self._questions, []
                try:
                    with Patience():
                        answers = await self._exchange([command for command, _ in batch])
                except (RedisError, OSError) as error:  # TimeoutError is an OSError
                    await self._fail(batch, error)
                    return
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)
        finally:
            self._talking = None

    async def _exchange(self, commands: list[Command]) -> list[Any]:
        connection = self._connection or await self._connect()
        ready = [("EVALSHA", self._script_sha, 1, *c[1:]) if c[:1] == _SCRIPT else c for c in commands]
        await connection.send_packed_command(connection.pack_commands(ready), check_health=False)
        return [await connection.read_response() for _ in commands]

    async def _connect(self) -> AbstractConnection:
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        self._connection = connection
        await connection.connect()  # type: ignore[no-untyped-call]
        await connection.send_command("SCRIPT", "LOAD", self._script, check_health=False)
        self._script_sha = await connection.read_response()
        return connection

    async def _fail(self, batch: list[tuple[Command, asyncio.Future[Any]]], error: Exception) -> None:
        """Everybody who waits is told at once, those behind this batch included."""
        batch += self._questions
        self._questions = []
        for _, future in batch:
            if not future.done():
                future.set_exception(Lost(f"{type(error).__name__}: {error}"))
        await self._hang_up()

    async def _hang_up(self, *, nowait: bool = True) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=nowait)

    async def close(self) -> None:
        if self._talking is not None:
            await asyncio.wait((self._talking,))
        with suppress(OSError), Patience():  # a TLS farewell may be left unanswered
            await self._hang_up(nowait=False)
