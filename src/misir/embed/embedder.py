"""The room's door: `build_embedder(settings)`, then text → unit vector.

text → cache? → prefix and windows (backend.split) → runs (backend.plan, backend.run, on worker threads)
→ layer norm, truncation, L2 → mean over windows, L2 → float16 once
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from misir.embed.backends import Backend, open_backend
from misir.embed.cache import LruCache, cache_key
from misir.embed.calibration import Calibration, calibration_for
from misir.embed.models import ModelSpec, Task, model_unavailable, resolve_model
from misir.embed.text import MAX_WINDOWS, Vectors, finish, merge_windows
from misir.errors import MisirError
from misir.plumbing.metrics import count_cache, timed_embedding
from misir.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

RETRY_S = 5.0
"""How long a failed load is remembered: requests in between fail at once instead of loading each."""


@dataclass(frozen=True)
class Embedding:
    """What the engine knows of a text.

    vector: (D,) float32, of length 1 (to about 5e-4), every number exactly representable in float16;
        read-only, because equal texts share it.
    fraction: share of the text's tokens that were read, 0..1 (of its characters behind HTTP).
    """

    vector: NDArray[np.float32]
    fraction: float


@dataclass
class _Batch:
    """Texts on their way: the windows of those not in the cache, and what is known of the others."""

    keys: list[bytes]
    known: dict[bytes, Embedding]
    windows: list[Any] = field(default_factory=list)
    owners: list[tuple[bytes, slice, float]] = field(default_factory=list)
    runs: list[list[int]] = field(default_factory=list)
    pooled: dict[int, Vectors] = field(default_factory=dict)

    def add(self, key: bytes, windows: list[Any], fraction: float) -> None:
        start = len(self.windows)
        self.windows += windows
        self.owners.append((key, slice(start, start + len(windows)), fraction))


class Embedder:
    """One model, loaded once, at `load()` or first use, and computing on `threads` threads of its own.

    `load` opens the backend and may take seconds; it runs on a worker thread. Every method that needs
    the model raises MisirError 503 (`model-unavailable`) when there is none, ValueError for a text
    without a visible character.
    """

    def __init__(
        self,
        spec: ModelSpec,
        load: Callable[[], Backend[Any]],
        *,
        threads: int = 2,
        cache_limit: int = 4096,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec = spec
        self.own_calibration: Calibration | None = None
        self.cache: LruCache[Embedding] = LruCache(cache_limit)
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._backend: Backend[Any] | None = None
        self._problem: str | None = f"The embedding model {spec.id} has not been loaded yet."
        self._retry_at = float("-inf")
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="embed")

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
        return self._problem

    async def load(self) -> None:
        """Load the weights now rather than at the first text."""
        await self._on_thread(self._ready)

    async def embed_text(self, text: str, task: Task = "document") -> Embedding:
        (embedding,) = await self.embed_texts_batch([text], task)
        return embedding

    async def embed_texts_batch(
        self, texts: Sequence[str], task: Task = "document", *, max_windows: int = MAX_WINDOWS
    ) -> list[Embedding]:
        """One embedding per text, in order; equal texts are computed once, runs on all threads."""
        _require_visible(texts)
        with timed_embedding(len(texts)):
            batch = await self._on_thread(self._prepare, texts, task, max_windows)
            await asyncio.gather(*(self._on_thread(self._run, batch, run) for run in batch.runs))
            return await self._on_thread(self._complete, batch)

    def embed_texts(
        self, texts: Sequence[str], task: Task = "document", *, max_windows: int = MAX_WINDOWS
    ) -> list[Embedding]:
        """The same on the calling thread: for the CLI and for tests, never inside the event loop."""
        _require_visible(texts)
        batch = self._prepare(texts, task, max_windows)
        for run in batch.runs:
            self._run(batch, run)
        return self._complete(batch)

    async def aclose(self) -> None:
        """Finish what is running, then let the backend go."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._backend is not None:
            await asyncio.to_thread(self._backend.close)

    async def _on_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.wrap_future(self._threads.submit(function, *args, **kwargs))

    def _ready(self) -> Backend[Any]:
        """The backend; loads it under a lock, so once, and not again for 5 s after a failure."""
        with self._lock:
            if self._backend is None:
                if self._problem and self._clock() < self._retry_at:
                    raise model_unavailable(self._problem)
                with self._noting_problems():
                    self._backend = self._load()
            return self._backend

    @contextmanager
    def _noting_problems(self) -> Iterator[None]:
        """Keeps `problem` true to the last load or run."""
        try:
            yield
        except MisirError as error:
            self._problem = error.detail
            self._retry_at = self._clock() + RETRY_S
            raise
        self._problem = None

    def _prepare(self, texts: Sequence[str], task: Task, max_windows: int) -> _Batch:
        backend = self._ready()
        # The number of windows belongs to the key: a batch that reads two must not answer for eight.
        keys = [cache_key(self.fingerprint, task, str(max_windows), text) for text in texts]
        unique = dict(zip(keys, texts, strict=True))
        found = {key: self.cache.get(key) for key in unique}
        batch = _Batch(keys, {key: hit for key, hit in found.items() if hit is not None})
        count_cache(len(batch.known), len(unique) - len(batch.known))
        for key, text in unique.items():
            if key not in batch.known:
                batch.add(key, *backend.split(text, self.spec.prefix(task), max_windows))
        batch.runs = backend.plan(batch.windows)
        return batch

    def _run(self, batch: _Batch, run: list[int]) -> None:
        backend = self._ready()
        with self._noting_problems():
            vectors = backend.run([batch.windows[index] for index in run])
        batch.pooled.update(zip(run, vectors, strict=True))

    def _complete(self, batch: _Batch) -> list[Embedding]:
        for key, windows, fraction in batch.owners:
            pooled = np.stack([batch.pooled[index] for index in range(windows.start, windows.stop)])
            embedding = Embedding(self._to_vector(pooled), fraction)
            self.cache.put(key, embedding)
            batch.known[key] = embedding
        return [batch.known[key] for key in batch.keys]

    def _to_vector(self, pooled: Vectors) -> NDArray[np.float32]:
        spec = self.spec
        units = finish(pooled, dimension=spec.dimension, is_layer_normed=spec.layer_norm)
        vector = merge_windows(units)
        vector.flags.writeable = False
        return vector


def build_embedder(settings: Settings) -> Embedder:
    """The embedder of EMBEDDING_MODEL: cheap, opens nothing.

    Raises MisirError as `resolve_model` does: for a setting that is wrong, or names an unknown model
    that is not on this machine.
    """
    spec = resolve_model(settings)
    return Embedder(spec, lambda: open_backend(spec, api_key=settings.EMBEDDING_API_KEY))


def _require_visible(texts: Sequence[str]) -> None:
    if not all(text.strip() for text in texts):
        raise ValueError("there is nothing to embed in an empty text")
