"""A worker's side of the embedder process: connects, asks for one where there is none, never hangs."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from misir.embed.backends import open_backend
from misir.embed.embedder import CHARS_AT_ONCE, Embedder, Made
from misir.embed.models import Task, model_unavailable, resolve_model
from misir.embed.place import address
from misir.embed.text import Embedding
from misir.embed.wire import (
    Frame,
    Kind,
    pack,
    pack_texts,
    read_frame,
    unpack_embeddings,
    unpack_problem,
)
from misir.errors import MisirError
from misir.plumbing import metrics
from misir.plumbing.data_dir import lock, make_directory, open_log
from misir.settings import Settings

SILENT_S = 10.0
"""The process says something each second; silent for so long, it is stuck, and its callers are let go."""

LOAD_WITHIN_S = 20.0
ASK_AGAIN_S = 0.25

NOT_THERE = "The embedder process is not there: it is being started."

PASSED_ON = (
    "EMBEDDING_MODEL",
    "EMBEDDING_API_KEY",
    "EMBEDDING_BUILD",
    "EMBEDDING_THREADS",
    "EMBEDDING_WAIT_S",
    "MISIR_DATA_DIR",
)
"""Settings the process must see as its worker does."""

log = logging.getLogger("misir.embedder")


class SharedEngine:
    """Sends texts to the process at `path`. `ask` makes somebody start it: seconds, on a thread."""

    def __init__(self, path: Path, ask: Callable[[], None]) -> None:
        self.problem: str | None = NOT_THERE
        self._path = path
        self._ask = ask
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[list[Embedding]]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._has_news = asyncio.Event()

    async def load(self) -> None:
        """Returns when the model is loaded. Raises MisirError 503 when that takes too long."""
        self._begin()
        with suppress(TimeoutError):
            async with asyncio.timeout(LOAD_WITHIN_S):
                while self.problem is not None:
                    self._has_news.clear()
                    await self._has_news.wait()
        if self.problem is not None:
            raise model_unavailable(self.problem)

    async def compute(self, wanted: Mapping[bytes, str], task: Task, max_windows: int) -> Made:
        self._begin()
        texts = list(wanted.values())
        if sum(map(len, texts)) < CHARS_AT_ONCE:
            packed = pack_texts(texts, task, max_windows)
        else:
            packed = await asyncio.to_thread(pack_texts, texts, task, max_windows)
        return dict(zip(wanted, await self._call(packed), strict=True))

    def compute_now(self, wanted: Mapping[bytes, str], task: Task, max_windows: int) -> Made:
        """On a connection of its own, since ours belongs to the event loop."""

        async def once() -> Made:
            engine = SharedEngine(self._path, self._ask)
            try:
                await engine.load()
                return await engine.compute(wanted, task, max_windows)
            finally:
                await engine.aclose()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, once()).result()

    async def aclose(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping

    async def _call(self, body: bytes) -> list[Embedding]:
        writer, number = self._writer, next(self._numbers)
        if writer is None:
            raise model_unavailable(self.problem or NOT_THERE, 1)
        answer: asyncio.Future[list[Embedding]] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        writer.write(pack(Kind.EMBED, number, body))
        try:
            return await answer
        except asyncio.CancelledError:
            writer.write(pack(Kind.CANCEL, number))
            raise
        finally:
            del self._pending[number]

    def _begin(self) -> None:
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name="embedder")

    async def _keep(self) -> None:
        """Connected, or about to be again, until cancelled."""
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._path))
            except OSError:
                await self._ask_for_it()
                continue
            self._writer = writer
            try:
                await self._listen(reader)
            except (ConnectionError, TimeoutError):
                log.warning("the embedder process is gone: asking for another")
            finally:
                self._lose(writer)

    async def _ask_for_it(self) -> None:
        try:
            await asyncio.to_thread(self._ask)
        except (MisirError, OSError) as error:
            self._note(f"The embedder process cannot be started ({error}): see the data directory's logs.")
        await asyncio.sleep(ASK_AGAIN_S)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            async with asyncio.timeout(SILENT_S):
                frame = await read_frame(reader)
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.STATE:
            state = json.loads(frame.body)
            self._note(state["problem"])
            count(state.get("counted"))
            return
        answer = self._pending.get(frame.call)
        if answer is None or answer.done():
            return
        if frame.kind == Kind.VECTORS:
            self.problem = None
            answer.set_result(unpack_embeddings(frame.body))
        else:
            answer.set_exception(unpack_problem(frame.body))

    def _lose(self, writer: asyncio.StreamWriter) -> None:
        """Whoever waits is told to come back."""
        self._writer = None
        writer.close()
        self._note(NOT_THERE)
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(model_unavailable(NOT_THERE, 1))

    def _note(self, problem: str | None) -> None:
        self.problem = problem
        self._has_news.set()


def count(counted: dict[str, Any] | None) -> None:
    """What the process counted, added to this worker's metrics; nobody else is told it."""
    if counted is None:
        return
    for n_windows, seconds in counted["runs"]:
        metrics.count_run(n_windows, seconds)
    for reason in counted["dropped"]:
        metrics.count_dropped(reason)
    metrics.count_joined(counted["joined"])
    metrics.set_queue_tokens(counted["tokens"])


class Launcher:
    """Starts the process where no supervisor does. It outlives us while other workers use it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = settings.data_dir
        self._path = address(self._root, resolve_model(settings))

    def __call__(self) -> None:
        """Returns when it listens, or when somebody else is at it."""
        make_directory(self._root)
        holding = lock(self._path.with_suffix(".spawn.lock"))
        if holding is None:
            return
        with holding:
            if not is_listening(self._path):
                self._launch()

    def _launch(self) -> None:
        with open_log(self._root / "embedder.log") as output:
            subprocess.run(  # noqa: S603
                [sys.executable, "-m", "misir.embed.process", str(self._root)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=environment(self._settings),
                check=False,  # what went wrong is in its log, and we ask again
            )


def environment(settings: Settings) -> dict[str, str]:
    """Ours, with the settings as we read them: they may come from a file, or from a caller."""
    given = {name: getattr(settings, name) for name in PASSED_ON}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # our runs share the cores already
    return {**threads, **os.environ, **{name: str(v) for name, v in given.items() if v is not None}}


def is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def shared_embedder(settings: Settings, ask: Callable[[], None]) -> Embedder:
    """As `build_embedder`, with the model in the embedder process."""
    spec = resolve_model(settings)
    engine = SharedEngine(address(settings.data_dir, spec), ask)
    return Embedder(spec, lambda: open_backend(spec, settings), engine=engine)
