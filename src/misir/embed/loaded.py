"""A backend that is opened once, at first use, and why it is not there when it is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from misir.embed.backends import Backend
from misir.embed.models import ModelSpec, model_unavailable
from misir.errors import MisirError

RETRY_S = 5.0
"""How long a failed load is remembered: requests in between fail at once instead of loading each."""


class LazyBackend:
    """`ready` may take seconds the first time. `problem` is one sentence, None when the model is usable."""

    def __init__(
        self,
        spec: ModelSpec,
        load: Callable[[], Backend[Any]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.problem: str | None = f"The embedding model {spec.id} has not been loaded yet."
        self.opened: Backend[Any] | None = None
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._retry_at = float("-inf")

    def ready(self) -> Backend[Any]:
        """The backend; loads it under a lock, so once, and not again for 5 s after a failure."""
        with self._lock:
            if self.opened is None:
                if self.problem and self._clock() < self._retry_at:
                    raise model_unavailable(self.problem)
                with self.noting_problems():
                    self.opened = self._load()
            return self.opened

    @contextmanager
    def noting_problems(self) -> Iterator[None]:
        """Keeps `problem` true to the last load or run."""
        try:
            yield
        except MisirError as error:
            self.problem = error.detail
            self._retry_at = self._clock() + RETRY_S
            raise
        self.problem = None

    def close(self) -> None:
        if self.opened is not None:
            self.opened.close()
