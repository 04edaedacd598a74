"""One connection to Redis that answers or gives up. A question waits for its own answer only: it is sent at
once or, while others wait for theirs, with all others of this turn of the event loop. Redis answers in order.

    RedisLine.ask ─ Wire.ask ─ bytes out → Redis → bytes in ─ the oldest question has its answer

After any failure everybody who waits is told, and the wire is thrown away together with its questions:
an answer that comes too late finds nobody. The next question makes a new wire.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, cast

from hiredis import HiredisError, ProtocolError, Reader, ReplyError, pack_command

Address = Mapping[str, Any]
"""What redis-py reads from a URL: host, port, path, username, password, db, ssl_…"""

Command = tuple[str | int, ...]
pack = cast("Callable[[Command], bytes]", pack_command)  # its own type takes commands of one word only
Question = tuple[asyncio.Future[Any], int]
"""Who waits, and at which look they began to."""

PATIENCE_S = 0.25
N_LOOKS = 5


class Lost(Exception):  # noqa: N818 - what happened, for the log
    """Redis cannot be reached, refuses, or is too slow."""


class RedisLine:
    """`ask` sends a command and waits for its answer. Connects when first asked, again after a loss.

    `script` is loaded with every connection, for `ask_script`.
    """

    def __init__(self, url: str, script: str) -> None:
        # redis-py takes 0.2 s to import, and most servers count in memory.
        from redis.asyncio.connection import parse_url  # noqa: PLC0415

        self._address: Address = parse_url(url)
        self._script = script
        self._script_sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._wire: Wire | None = None

    async def ask(self, *command: str | int) -> Any:
        """The answer, within about PATIENCE_S; Lost otherwise."""
        wire = self._wire_now()
        return wire.checked(await wire.ask(command))

    async def ask_script(self, key: str, *arguments: int) -> Any:
        wire = self._wire_now()
        answer = await wire.ask(("EVALSHA", self._script_sha, 1, key, *arguments))
        if isinstance(answer, ReplyError) and str(answer).startswith("NOSCRIPT"):  # somebody flushed it
            answer = await wire.ask(("EVAL", self._script, 1, key, *arguments))
        return wire.checked(answer)

    def _wire_now(self) -> Wire:
        if self._wire is None or self._wire.is_lost:
            self._wire = Wire(self._address, self._script)
        return self._wire

    async def close(self) -> None:
        if self._wire is not None:
            await self._wire.close()


class Wire(asyncio.Protocol):
    """One connection, from dialling to its first failure; questions before it stands are kept until it does.

    While anybody waits, it looks N_LOOKS times in PATIENCE_S for who has waited too long. When the event
    loop itself wakes late, that costs one look, so that a busy process is not taken for a slow Redis.
    """

    def __init__(self, address: Address, script: str) -> None:
        self.is_lost = False
        self._stands = False
        self._loop = asyncio.get_running_loop()
        self._reader = Reader()
        self._transport: asyncio.WriteTransport | None = None
        self._gone = self._loop.create_future()
        self._unsent: list[bytes] = []
        self._questions: deque[Question] = deque()
        self._n_looks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._dialling = self._loop.create_task(self._dial(address, script), name="connect to redis")

    # ---- asking and answering ------------------------------------------------------------------------

    def ask(self, command: Command) -> asyncio.Future[Any]:
        """The answer to come. A refusal is a result, too, of type ReplyError: see `checked`."""
        answer = self._loop.create_future()
        if self.is_lost:
            answer.set_exception(Lost("the connection is gone"))
            return answer
        self._unsent.append(pack(command))
        if self._stands and not self._questions:  # nobody to share the way with
            self._send()
        elif self._stands and len(self._unsent) == 1:
            self._loop.call_soon(self._send)
        self._questions.append((answer, self._n_looks))
        if self._timer is None:
            self._look_later()
        return answer

    def _send(self) -> None:
        if self._stands and self._transport is not None:
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                if len(self._questions) <= len(self._unsent):
                    raise ProtocolError("an answer that nobody asked for")
                question = self._questions.popleft()[0]
                if not question.done():  # who asked may have gone away
                    question.set_result(answer)
        except HiredisError as error:  # this is not Redis
            self.fail(error)

    def checked(self, answer: Any) -> Any:
        """A refusal, as of a full Redis or of one that became a replica, ends the connection."""
        if isinstance(answer, ReplyError):
            self.fail(answer)
            raise Lost(str(answer)) from answer
        return answer

    # ---- connecting ----------------------------------------------------------------------------------

    async def _dial(self, address: Address, script: str) -> None:
        from redis.exceptions import RedisError  # noqa: PLC0415 - imported already, by RedisLine

        try:
            await self._connect(address)
            await self._sign_in(address.get("username"), address.get("password", ""))
            if name := address.get("client_name"):
                await self._greet("CLIENT", "SETNAME", name)
            if number := address.get("db"):
                await self._greet("SELECT", number)
            await self._greet("SCRIPT", "LOAD", script)
        except (OSError, ValueError, HiredisError, RedisError) as error:
            self.fail(error)
            return
        self._stands = True
        self._send()

    async def _connect(self, address: Address) -> None:
        from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection  # noqa: PLC0415

        kind = address.get("connection_class")
        if kind is UnixDomainSocketConnection:
            await self._loop.create_unix_connection(lambda: self, address.get("path", ""))
        else:
            tls = None
            if kind is SSLConnection:  # redis-py knows what its ssl_… options mean
                options = {name: value for name, value in address.items() if name.startswith("ssl_")}
                tls = SSLConnection(**options).ssl_context.get()
            host, port = address.get("host", "localhost"), int(address.get("port", 6379))
            await self._loop.create_connection(lambda: self, host, port, ssl=tls)

    async def _sign_in(self, user: str | None, password: str) -> None:
        try:
            if user:
                await self._greet("AUTH", user, password)
            elif password:
                await self._greet("AUTH", password)
        except ReplyError as error:
            if not user or "wrong number of arguments" not in str(error):
                raise
            await self._greet("AUTH", password)  # before version 6 there were no users

    async def _greet(self, *command: str | int) -> None:
        answer = self._loop.create_future()
        self._questions.appendleft((answer, 0))  # whatever else was asked is not sent yet
        cast("asyncio.WriteTransport", self._transport).write(pack(command))
        reply = await answer
        if isinstance(reply, ReplyError):
            raise reply

    # ---- losing and closing --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set_result(None)
        self.fail(exc or ConnectionResetError("Redis closed the connection"))

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(PATIENCE_S / N_LOOKS, self._look)

    def _look(self) -> None:
        self._timer = None
        self._n_looks += 1
        if self._questions:
            if self._n_looks - self._questions[0][1] >= N_LOOKS:
                self.fail(TimeoutError("no answer in time"))
            else:
                self._look_later()

    def fail(self, error: Exception) -> None:
        """Everybody who waits is told at once. What the other end still says is not heard."""
        if self.is_lost:
            return
        self.is_lost, self._stands = True, False
        self._dialling.cancel()
        if self._transport is not None:
            self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        for question, _ in self._questions:
            if not question.done():
                question.set_exception(Lost(f"{type(error).__name__}: {error}"))

    async def close(self) -> None:
        """When those who wait have their answers, or were told. A TLS farewell may be left unanswered."""
        if waiting := [question for question, _ in self._questions if not question.done()]:
            await asyncio.wait(waiting)
        if self._transport is not None:
            self._transport.close()
            await asyncio.wait((self._gone,), timeout=PATIENCE_S)
        self.fail(ConnectionAbortedError("closed here"))
        await asyncio.wait((self._dialling,))
