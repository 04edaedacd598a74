"""One embedder process for several workers: a real one, with the real model, killed and stopped for real."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from misir.embed import shared
from misir.embed.embedder import Embedder
from misir.embed.place import address, is_shared
from misir.embed.shared import Launcher, shared_embedder
from misir.embed.wire import Kind, pack
from misir.errors import MisirError
from misir.settings import Settings

TEXTS = ["The cat sleeps on the warm windowsill.", "tea", "Rates rose again. " * 40, "Grüße aus Köln"]


def processes(root: Path) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "misir.embed.process" in words and str(root) in words:
            found.append(int(path.parent.name))
    return found


async def eventually(condition: Callable[[], object], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Of a data directory; the process that a test leaves behind serves the next, and ends by itself."""
    settings = Settings(_env_file=None, MISIR_DATA_DIR=tmp_path_factory.mktemp("data") / "dir")
    yield settings
    deadline = time.monotonic() + 30
    while processes(settings.data_dir) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes(settings.data_dir) == []


@asynccontextmanager
async def worker(settings: Settings, launch: Launcher | None = None) -> AsyncIterator[Embedder]:
    """What a web worker holds, connected and with the model loaded."""
    embedder = shared_embedder(settings, launch or Launcher(settings))
    try:
        await embedder.load()
        yield embedder
    finally:
        await embedder.aclose()


def test_workers_share_one_process_and_get_the_vectors_of_one_in_process(
    settings: Settings, minilm: Embedder
) -> None:
    async def scenario() -> list[list[np.ndarray]]:
        async with worker(settings) as one, worker(settings) as other:
            assert len(processes(settings.data_dir)) == 1
            return [[(await each.embed_text(text)).vector for text in TEXTS] for each in (one, other)] + [
                [one.vector for one in await other.embed_texts_batch(TEXTS[::-1])][::-1]
            ]

    answers = asyncio.run(scenario())
    assert stat.S_IMODE(address(settings.data_dir, minilm.spec).stat().st_mode) == 0o600
    for vectors in answers:
        for text, vector in zip(TEXTS, vectors, strict=True):
            (expected,) = minilm.embed_texts([text])
            assert vector.tobytes() == expected.vector.tobytes()
            assert not vector.flags.writeable


def test_another_workers_query_does_not_wait_for_a_batch(settings: Settings) -> None:
    async def scenario() -> list[str]:
        order = []
        async with worker(settings) as one, worker(settings) as other:

            async def bulk() -> None:
                await one.embed_texts_batch([f"Page {i} about tides and reefs. " * 25 for i in range(14)])
                order.append("bulk")

            async def query() -> None:
                await other.embed_text("tides", "query")
                order.append("query")

            await asyncio.gather(bulk(), query())
        return order

    assert asyncio.run(scenario()) == ["query", "bulk"]


def test_a_killed_process_is_503_at_once_and_then_back(settings: Settings) -> None:
    async def scenario() -> None:
        async with worker(settings) as embedder:
            (pid,) = processes(settings.data_dir)
            os.kill(pid, signal.SIGTERM)  # which waits for workers that still answer what they have begun
            assert (await embedder.embed_text("in flight")).fraction == 1.0
            running = asyncio.create_task(
                embedder.embed_texts_batch([f"{i} " + "w " * 250 for i in range(90)])
            )
            await asyncio.sleep(0.05)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(MisirError) as caught:
                await running
            assert (caught.value.status, caught.value.slug) == (503, "model-unavailable")
            assert int(caught.value.headers["Retry-After"]) >= 1
            assert embedder.problem is not None
            await eventually(lambda: embedder.problem is None)
            assert (await embedder.embed_text("back again")).fraction == 1.0
            assert len(processes(settings.data_dir)) == 1
            assert pid not in processes(settings.data_dir)

    asyncio.run(scenario())


def test_a_stuck_process_does_not_hang_its_callers(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "SILENT_S", 2.0)

    async def scenario() -> None:
        async with worker(settings) as embedder:
            (pid,) = processes(settings.data_dir)
            os.kill(pid, signal.SIGSTOP)
            try:
                with pytest.raises(MisirError) as caught:
                    await embedder.embed_text("is anybody there")
                assert caught.value.slug == "model-unavailable"
            finally:
                os.kill(pid, signal.SIGCONT)
            await eventually(lambda: embedder.problem is None)
            assert await embedder.embed_text("is anybody there")

    asyncio.run(scenario())


def test_a_caller_that_goes_away_and_one_that_talks_nonsense(settings: Settings) -> None:
    async def scenario() -> None:
        async with worker(settings) as embedder:
            gone = asyncio.create_task(embedder.embed_texts_batch([f"Gone {i}. " * 60 for i in range(60)]))
            await asyncio.sleep(0.05)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            reader, writer = await asyncio.open_unix_connection(
                str(address(settings.data_dir, embedder.spec))
            )
            writer.write(pack(Kind.EMBED, 1, b"\xff" * 5))
            while await reader.read(4096):  # hung up on, after a word about the model
                pass
            writer.close()
            # If the cancelled sixty were still computed, this would come after them.
            assert await asyncio.wait_for(embedder.embed_text("still here"), 30)
            assert len(processes(settings.data_dir)) == 1

    asyncio.run(scenario())


def test_a_command_may_use_it_too(settings: Settings, minilm: Embedder) -> None:
    embedder = shared_embedder(settings, Launcher(settings))
    (made,) = embedder.embed_texts(["from a command"])
    assert np.array_equal(made.vector, minilm.embed_texts(["from a command"])[0].vector)


def test_overload_crosses_the_socket_as_it_is(settings: Settings, tmp_path: Path) -> None:
    hasty = settings.model_copy(update={"MISIR_DATA_DIR": tmp_path / "hasty", "EMBEDDING_WAIT_S": 0.15})

    async def scenario() -> None:
        async with worker(hasty) as embedder:
            first = asyncio.create_task(embedder.embed_texts_batch([f"{i} " + "w " * 250 for i in range(14)]))
            await asyncio.sleep(0.05)
            with pytest.raises(MisirError) as caught:
                await embedder.embed_texts_batch([f"{i} " + "v " * 250 for i in range(14)])
            assert (caught.value.status, caught.value.slug) == (503, "model-busy")
            assert int(caught.value.headers["Retry-After"]) >= 1
            await first
        await eventually(lambda: not processes(hasty.data_dir))

    asyncio.run(scenario())


def test_where_the_model_is(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_shared(settings)  # a process without a parent that starts others like it
    monkeypatch.setenv("SERVER_SOFTWARE", "gunicorn/27.0.1")
    assert is_shared(settings)
    assert not is_shared(settings.model_copy(update={"MISIR_DATA_DIR": Path("/proc/nowhere")}))
    assert not is_shared(settings.model_copy(update={"EMBEDDER": "in-process"}))
    monkeypatch.delenv("SERVER_SOFTWARE")
    assert is_shared(settings.model_copy(update={"EMBEDDER": "shared"}))
