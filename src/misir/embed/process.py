"""The embedder process: one model and one queue for all workers of a machine, on a unix socket.

    python -m misir.embed.process DATA_DIR [--owned]

With --owned it lives as long as its owner, the supervisor, holds its standard input open. Without, it
leaves 2 s after the last worker has. Only its lock makes it the only one: a second one ends at once.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misir.embed.models import resolve_model
from misir.embed.place import address
from misir.embed.wire import (
    Kind,
    pack,
    pack_embeddings,
    pack_json,
    pack_problem,
    read_frame,
    unpack_texts,
)
from misir.errors import MisirError
from misir.plumbing.data_dir import lock
from misir.settings import load_settings

if TYPE_CHECKING:
    from misir.embed.embedder import Embedder

LINGER_S = 2.0
FIRST_CLIENT_WITHIN_S = 15.0
TELL_EVERY_S = 1.0
GRACE_S = 30.0

log = logging.getLogger("misir.embedder")


class Tally:
    """What the batcher counts here, until one of the workers has been told: it counts for all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens = 0
        self._clear()

    def _clear(self) -> None:
        self._runs: list[tuple[int, float]] = []
        self._joined = 0
        self._dropped: list[str] = []

    def count_run(self, n_windows: int, seconds: float) -> None:
        with self._lock:
            self._runs.append((n_windows, round(seconds, 6)))

    def count_joined(self, n: int) -> None:
        with self._lock:
            self._joined += n

    def count_dropped(self, reason: str) -> None:
        with self._lock:
            self._dropped.append(reason)

    def set_queue_tokens(self, tokens: int) -> None:
        self._tokens = tokens

    def take(self) -> dict[str, Any]:
        with self._lock:
            told = {"runs": self._runs, "joined": self._joined, "dropped": self._dropped}
            self._clear()
        return {**told, "tokens": self._tokens}


class Server:
    """Answers workers until it is told to stop, or, if nobody owns it, until they have all left."""

    def __init__(self, embedder: Embedder, tally: Tally, *, is_owned: bool) -> None:
        self._embedder = embedder
        self._tally = tally
        self._is_owned = is_owned
        self._is_told = False
        self._clients: dict[asyncio.StreamWriter, None] = {}
        self._leaving: asyncio.TimerHandle | None = None
        self._stopping = asyncio.Event()

    async def run(self, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(signum, self._leave_soon)
        server = await asyncio.start_unix_server(self._serve, sock=listener)
        self._leave_in(FIRST_CLIENT_WITHIN_S)
        if self._is_owned:
            threading.Thread(target=self._outlive_nobody, daemon=True).start()
        telling = asyncio.create_task(self._tell())
        loading = asyncio.create_task(self._load())
        await self._stopping.wait()
        server.close()
        telling.cancel()
        for writer in list(self._clients):
            writer.close()
        await loading
        await self._embedder.aclose()

    def _outlive_nobody(self) -> None:
        sys.stdin.buffer.read()
        self._loop.call_soon_threadsafe(self._stopping.set)

    async def _load(self) -> None:
        try:
            await self._embedder.load()
        except MisirError as error:
            log.warning("%s", error.detail)
        for writer in self._clients:
            writer.write(self._state())

    async def _tell(self) -> None:
        """A word each second, so that workers know that we live; the first of them hears what was counted."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            for number, writer in enumerate(self._clients):
                writer.write(self._state(**({} if number else {"counted": self._tally.take()})))

    def _state(self, **more: Any) -> bytes:
        return pack_json(Kind.STATE, 0, {"problem": self._embedder.problem, **more})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls: dict[int, asyncio.Task[None]] = {}
        self._clients[writer] = None
        writer.write(self._state())
        try:
            while True:
                frame = await read_frame(reader)
                if frame.kind == Kind.EMBED:
                    answering = asyncio.create_task(self._answer(writer, frame.call, frame.body))
                    calls[frame.call] = answering
                    answering.add_done_callback(partial(_forget, calls, frame.call))
                elif frame.call in calls:
                    calls[frame.call].cancel()
        except ConnectionError:
            pass  # its end is how a worker says goodbye
        finally:
            for task in list(calls.values()):
                task.cancel()
            del self._clients[writer]
            writer.close()
            if not self._clients:
                self._leave_in(LINGER_S)

    async def _answer(self, writer: asyncio.StreamWriter, call: int, body: bytes) -> None:
        answer = None
        try:
            texts, task, max_windows = unpack_texts(body)
            made = await self._embedder.embed_texts_batch(texts, task, max_windows=max_windows)
            answer = pack(Kind.VECTORS, call, pack_embeddings(made))
        except MisirError as error:
            answer = pack_problem(call, error)
        finally:
            if answer is not None:
                writer.write(answer)
            elif not asyncio.current_task().cancelling():  # type: ignore[union-attr]
                writer.close()  # what we did not foresee: the worker must not wait for it

    def _leave_soon(self) -> None:
        """Told to stop, maybe with all of a service at once: workers still answer what they have begun."""
        self._is_told = True
        self._loop.call_later(GRACE_S, self._stopping.set)
        self._leave_if_alone()

    def _leave_in(self, delay_s: float) -> None:
        if self._leaving:
            self._leaving.cancel()
        if self._is_told:
            self._leave_if_alone()
        elif not self._is_owned:
            self._leaving = self._loop.call_later(delay_s, self._leave_if_alone)

    def _leave_if_alone(self) -> None:
        if not self._clients:
            self._stopping.set()


def _forget(calls: dict[int, asyncio.Task[None]], call: int, _: asyncio.Task[None]) -> None:
    del calls[call]


def _listen(listener: socket.socket, path: Path) -> None:
    mask = os.umask(0o177)
    listener.bind(str(path))
    os.umask(mask)
    listener.listen(128)


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m misir.embed.process")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--owned", action="store_true")
    arguments = parser.parse_args()
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = load_settings()
    path = address(arguments.data_dir, resolve_model(settings))
    holding = lock(path.with_suffix(".lock"))
    if holding is None:
        return 0
    with closing(holding), socket.socket(socket.AF_UNIX) as listener:
        path.unlink(missing_ok=True)
        _listen(listener, path)
        if not arguments.owned and os.fork():
            os._exit(0)  # it listens; and whoever launched it need not reap it
        # Only now, since what it imports must not be forked: it has threads.
        from misir.embed.embedder import build_embedder  # noqa: PLC0415

        tally = Tally()
        server = Server(build_embedder(settings, counts=tally), tally, is_owned=arguments.owned)
        asyncio.run(server.run(listener))
        with suppress(FileNotFoundError):
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(_main())
