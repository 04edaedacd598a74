"""An embedder whose meanings a test chooses, behind the real Embedder: only the network is replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from misir.embed.embedder import Embedder
from misir.embed.models import MINILM
from misir.errors import MisirError

DIMENSION = 384


def direction(*shares: float) -> np.ndarray:
    """A unit vector along the first axes: direction(1) is topic one, direction(1, 1) lies between two."""
    vector = np.zeros(DIMENSION, dtype=np.float32)
    vector[: len(shares)] = shares
    return vector / np.linalg.norm(vector)


class MeaningByWord:
    """A backend: the vector of a text is the sum of its known words' vectors, or one of its own."""

    def __init__(self, meanings: Mapping[str, np.ndarray]) -> None:
        self.meanings = meanings

    def split(self, text: str, prefix: str, most: int) -> tuple[list[str], float]:  # noqa: ARG002
        return [text], 1.0

    def plan(self, windows: Sequence[str]) -> list[list[int]]:
        return [[index] for index in range(len(windows))]

    def run(self, windows: Sequence[str]) -> np.ndarray:
        return np.stack([self._vector(window) for window in windows])

    def close(self) -> None:
        pass

    def _vector(self, text: str) -> np.ndarray:
        known = [self.meanings[word] for word in text.lower().split() if word in self.meanings]
        if known:
            return np.sum(known, axis=0)
        own = np.random.default_rng(abs(hash(text)) % 2**32).normal(size=DIMENSION)
        own[:32] = 0  # far from every chosen meaning
        return np.asarray(own, dtype=np.float32)


def embedder_of(**meanings: np.ndarray) -> Embedder:
    """`embedder_of(sea=direction(1), wood=direction(0, 1))`"""
    backend = MeaningByWord(meanings)
    return Embedder(MINILM, lambda: backend)


def absent_embedder() -> Embedder:
    """A model that is configured and not there."""

    def fail() -> MeaningByWord:
        raise MisirError(
            503, "model-unavailable", "The embedding model is on holiday.", headers={"Retry-After": "5"}
        )

    return Embedder(replace(MINILM), fail)
