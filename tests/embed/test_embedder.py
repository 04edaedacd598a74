"""Loading, remembering and caching, with a backend that counts."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from misir.embed.cache import LruCache, cache_key
from misir.embed.embedder import Embedder
from misir.embed.models import MINILM, model_unavailable
from misir.errors import MisirError


class CountingBackend:
    def __init__(self) -> None:
        self.texts = []
        self.failure = None

    def split(self, text: str, prefix: str, _most: int) -> tuple[list[str], float]:
        return [prefix + text], 1.0

    def plan(self, windows: list[str]) -> list[list[int]]:
        return [[index] for index in range(len(windows))]

    def run(self, windows: list[str]) -> np.ndarray:
        if self.failure:
            raise self.failure
        self.texts += windows
        return np.stack([np.random.default_rng(list(w.encode())).random(384, np.float32) for w in windows])

    def close(self) -> None:
        self.texts.append("closed")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_equal_texts_are_embedded_once_in_a_batch_and_once_over_time() -> None:
    backend = CountingBackend()
    embedder = Embedder(MINILM, lambda: backend, threads=1)
    first = embedder.embed_texts(["a", "b", "a"])
    second = embedder.embed_texts(["b", "c"])
    assert backend.texts == ["a", "b", "c"]
    assert first[0] is first[2]
    assert second[0] is first[1]
    assert (embedder.cache.hits, embedder.cache.misses) == (1, 3)


def test_task_and_windows_have_their_own_cache_entries() -> None:
    backend = CountingBackend()
    embedder = Embedder(MINILM, lambda: backend)
    embedder.embed_texts(["a"])
    embedder.embed_texts(["a"], "query")
    embedder.embed_texts(["a"], max_windows=2)
    assert backend.texts == ["a", "a", "a"]


def test_an_empty_batch_is_an_empty_answer() -> None:
    assert Embedder(MINILM, CountingBackend).embed_texts([]) == []


def test_concurrent_first_uses_load_once() -> None:
    loads = []

    def load() -> CountingBackend:
        loads.append(threading.get_ident())
        return CountingBackend()

    async def scenario() -> None:
        embedder = Embedder(MINILM, load)
        assert embedder.problem == f"The embedding model {MINILM.id} has not been loaded yet."
        await asyncio.gather(embedder.load(), *(embedder.embed_text(f"text {i}") for i in range(20)))
        assert embedder.problem is None
        await embedder.aclose()

    asyncio.run(scenario())
    assert len(loads) == 1
    assert loads[0] != threading.get_ident()


def test_a_failed_load_is_remembered_for_five_seconds() -> None:
    clock, loads, backend = Clock(), [], CountingBackend()

    def load() -> CountingBackend:
        loads.append(clock.now)
        if clock.now < 8:
            raise model_unavailable("The weights are gone: bring them back.")
        return backend

    embedder = Embedder(MINILM, load, clock=clock)
    for clock.now in (0.0, 1.0, 4.9, 5.0, 9.0):
        with pytest.raises(MisirError, match="weights are gone") as caught:
            embedder.embed_texts(["a"])
        assert caught.value.headers == {"Retry-After": "5"}
        assert embedder.problem == "The weights are gone: bring them back."
    clock.now = 10.0
    assert len(embedder.embed_texts(["a"])) == 1
    assert embedder.problem is None
    assert loads == [0.0, 5.0, 10.0]


def test_a_failing_run_is_a_problem_until_one_succeeds() -> None:
    backend = CountingBackend()
    embedder = Embedder(MINILM, lambda: backend)
    backend.failure = model_unavailable("The server is away.")
    with pytest.raises(MisirError, match="away"):
        embedder.embed_texts(["a"])
    assert embedder.problem == "The server is away."
    backend.failure = None
    embedder.embed_texts(["a"])
    assert embedder.problem is None


def test_closing_closes_the_backend() -> None:
    backend = CountingBackend()

    async def scenario() -> None:
        embedder = Embedder(MINILM, lambda: backend)
        await embedder.embed_text("a")
        await embedder.aclose()

    asyncio.run(scenario())
    assert backend.texts == ["a", "closed"]


def test_the_cache_drops_what_was_used_longest_ago() -> None:
    cache = LruCache(2)
    cache.put(b"a", 1)
    cache.put(b"b", 2)
    assert cache.get(b"a") == 1
    cache.put(b"c", 3)
    assert [cache.get(key) for key in (b"a", b"b", b"c")] == [1, None, 3]
    assert (len(cache), cache.hits, cache.misses) == (2, 3, 1)


def test_keys_do_not_run_together() -> None:
    assert cache_key("m", "document", "ab") != cache_key("m", "documenta", "b")


def test_the_cache_is_safe_between_threads() -> None:
    cache = LruCache(50)

    def work(seed: int) -> None:
        for i in range(2000):
            key = str((i * seed) % 97).encode()
            if cache.get(key) is None:
                cache.put(key, i)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (3, 5, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache) <= 50
    assert cache.hits + cache.misses == 8000
