"""Vectors of texts seen lately."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


def cache_key(*parts: str) -> bytes:
    """SHA-256 over parts of which only the last (the text) may hold a NUL, so that none run together."""
    return hashlib.sha256("\0".join(parts).encode()).digest()


class LruCache(Generic[V]):
    """At most `limit` values, the least recently used dropped first. Safe between threads.

    `hits` and `misses` count look-ups since the start.
    """

    def __init__(self, limit: int = 4096) -> None:
        self.hits = 0
        self.misses = 0
        self._limit = limit
        self._values: OrderedDict[bytes, V] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> V | None:
        with self._lock:
            value = self._values.get(key)
            if value is None:
                self.misses += 1
                return None
            self.hits += 1
            self._values.move_to_end(key)
            return value

    def put(self, key: bytes, value: V) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._limit:
                self._values.popitem(last=False)
