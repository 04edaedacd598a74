"""The room's door: `build_embedder(settings)`, then text → unit vector.

text → cache? → in line (batcher.py) → prefix and windows (backend.split) → runs (backend.plan, backend.run)
→ layer norm, truncation, L2 → mean over windows, L2 → float16 once
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from misir.embed.backends import Backend, open_backend
from misir.embed.batcher import Batcher, Counts
from misir.embed.cache import LruCache, cache_key
from misir.embed.calibration import Calibration, calibration_for
from misir.embed.loaded import LazyBackend
from misir.embed.models import ModelSpec, Task, resolve_model
from misir.embed.text import MAX_WINDOWS, Embedding
from misir.plumbing import metrics
from misir.plumbing.metrics import count_cache, timed_embedding
from misir.settings import Settings

Made = dict[bytes, Embedding]
"""Embeddings by the keys of their texts."""

WAIT_S = 30.0

CHARS_AT_ONCE = 100_000
"""More than this is hashed on a thread: the event loop has no millisecond to spare."""

__all__ = ["Embedder", "Embedding", "Engine", "build_embedder"]


class Engine(Protocol):
    """Who computes what the cache lacks: threads of this process, or the embedder process.

    `compute` and `compute_now` raise MisirError 503: `model-unavailable` when there is no model,
    `model-busy` when too much waits for it.
    """

    @property
    def problem(self) -> str | None: ...

    async def load(self) -> None: ...

    async def compute(self, wanted: Mapping[bytes, str], task: Task, max_windows: int) -> Made: ...

    def compute_now(self, wanted: Mapping[bytes, str], task: Task, max_windows: int) -> Made:
        """The same for a caller outside any event loop."""

    async def aclose(self) -> None: ...


class InProcess:
    """The model in this process, behind a queue of its own."""

    def __init__(self, backend: LazyBackend, batcher: Batcher) -> None:
        self._backend = backend
        self._batcher = batcher

    @property
    def problem(self) -> str | None:
        return self._backend.problem

    async def load(self) -> None:
        await asyncio.to_thread(self._backend.ready)

    async def compute(self, wanted: Mapping[bytes, str], task: Task, max_windows: int) -> Made:
        return await asyncio.wrap_future(self._batcher.submit(wanted, task, max_windows))

    def compute_now(self, wanted: Mapping[bytes, str], task: Task, max_windows: int) -> Made:
        return self._batcher.submit(wanted, task, max_windows).result()

    async def aclose(self) -> None:
        await asyncio.to_thread(self._batcher.close)


class Embedder:
    """One model, loaded once, at `load()` or first use, and computing on `threads` threads of its own.

    `load` opens the backend and may take seconds; it runs on a worker thread. With an `engine` the model
    is somewhere else, and `load` is not called. Every method that needs the model raises MisirError 503
    when there is none, or no time for one more text; ValueError for a text without a visible character.
    """

    def __init__(
        self,
        spec: ModelSpec,
        load: Callable[[], Backend[Any]],
        *,
        engine: Engine | None = None,
        threads: int = 2,
        wait_s: float = WAIT_S,
        cache_limit: int = 4096,
        counts: Counts = metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec = spec
        self.own_calibration: Calibration | None = None
        self.cache: LruCache[Embedding] = LruCache(cache_limit)
        if engine is None:
            backend = LazyBackend(spec, load, clock)
            keep = self.cache.put
            batcher = Batcher(spec, backend, threads=threads, wait_s=wait_s, keep=keep, counts=counts)
            engine = InProcess(backend, batcher)
        self._engine = engine

    @property
    def fingerprint(self) -> str:
        return self.spec.fingerprint

    @property
    def dimension(self) -> int:
        return self.spec.dimension

    @property
    def calibration(self) -> Calibration:
        """What its cosines mean: as this deployment measured it, else as it is shipped."""
        return self.own_calibration or calibration_for(self.spec)

    @property
    def problem(self) -> str | None:
        """Why the model is not usable, in one sentence; None when it is. For readiness: costs nothing."""
        return self._engine.problem

    async def load(self) -> None:
        """Load the weights now rather than at the first text."""
        await self._engine.load()

    async def embed_text(self, text: str, task: Task = "document") -> Embedding:
        (embedding,) = await self.embed_texts_batch([text], task)
        return embedding

    async def embed_texts_batch(
        self, texts: Sequence[str], task: Task = "document", *, max_windows: int = MAX_WINDOWS
    ) -> list[Embedding]:
        """One embedding per text, in order; equal texts are computed once, whoever asks for them."""
        with timed_embedding(len(texts)):
            if sum(map(len, texts)) < CHARS_AT_ONCE:
                keys, known, wanted = self._look_up(texts, task, max_windows)
            else:
                keys, known, wanted = await asyncio.to_thread(self._look_up, texts, task, max_windows)
            if wanted:
                known |= self._keep(await self._engine.compute(wanted, task, max_windows))
            return [known[key] for key in keys]

    def embed_texts(
        self, texts: Sequence[str], task: Task = "document", *, max_windows: int = MAX_WINDOWS
    ) -> list[Embedding]:
        """The same while the caller waits: for the CLI and for tests, never inside the event loop."""
        keys, known, wanted = self._look_up(texts, task, max_windows)
        if wanted:
            known |= self._keep(self._engine.compute_now(wanted, task, max_windows))
        return [known[key] for key in keys]

    async def aclose(self) -> None:
        """Finish what is running, then let the model go."""
        await self._engine.aclose()

    def _look_up(
        self, texts: Sequence[str], task: Task, max_windows: int
    ) -> tuple[list[bytes], dict[bytes, Embedding], dict[bytes, str]]:
        """Every text's key, what the cache has, and what it lacks."""
        if not all(text.strip() for text in texts):
            raise ValueError("there is nothing to embed in an empty text")
        # The number of windows belongs to the key: a batch that reads two must not answer for eight.
        keys = [cache_key(self.fingerprint, task, str(max_windows), text) for text in texts]
        unique = dict(zip(keys, texts, strict=True))
        found = {key: self.cache.get(key) for key in unique}
        known = {key: hit for key, hit in found.items() if hit is not None}
        count_cache(len(known), len(unique) - len(known))
        return keys, known, {key: text for key, text in unique.items() if key not in known}

    def _keep(self, made: Made) -> Made:
        for key, embedding in made.items():
            self.cache.put(key, embedding)
        return made


def build_embedder(settings: Settings, *, counts: Counts = metrics) -> Embedder:
    """The embedder of EMBEDDING_MODEL, in this process: cheap, opens nothing.

    Raises MisirError as `resolve_model` does: for a setting that is wrong, or names an unknown model
    that is not on this machine.
    """
    spec = resolve_model(settings)
    return Embedder(
        spec,
        lambda: open_backend(spec, settings),
        threads=settings.EMBEDDING_THREADS or default_threads(spec),
        wait_s=settings.EMBEDDING_WAIT_S,
        counts=counts,
    )


def default_threads(spec: ModelSpec) -> int:
    """Runs at a time: one for each core, two at least, so that one is soon free; 4 requests over HTTP."""
    if spec.provider == "http":
        return 4
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(2, min(8, n_cores))
