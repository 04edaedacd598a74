"""The pure steps between a text and its vector: windows, runs, pooling. No I/O, no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Embedding:
    """What the engine knows of a text.

    vector: (D,) float32, of length 1 (to about 5e-4), every number exactly representable in float16;
        read-only, because equal texts share it.
    fraction: share of the text's tokens that were read, 0..1 (of its characters behind HTTP).
    """

    vector: Vectors
    fraction: float


MAX_WINDOWS = 8
"""Most windows read of one text (engine §1); part of every model's fingerprint."""

RUN_TOKENS = 256
"""Padded tokens of one run on a CPU: more only adds padding and memory (measured, stack.md)."""

MAX_PADDING = 0.25
"""Largest share of a run that may be padding: a 3-token text beside a 60-token one costs 20 times its own."""


def document_text(title: str | None, content: str | None) -> str:
    r"""What is embedded of a page: title, blank line, content; either may be missing.

    >>> document_text("Tea", "Leaves and hot water.")
    'Tea\n\nLeaves and hot water.'
    """
    return "\n\n".join(part for part in ((title or "").strip(), (content or "").strip()) if part)


def choose_windows(total: int, size: int, most: int = MAX_WINDOWS) -> tuple[list[tuple[int, int]], float]:
    """Bounds [start, stop) of up to `most` windows over `total` units, and the share of them read, 0..1.

    The whole text when it fits into one window of `size`; else the first window and the rest evenly
    spaced, the last one at the end. Windows overlap when together they are longer than the text.

    >>> choose_windows(100, 256)
    ([(0, 100)], 1.0)
    >>> choose_windows(100, 20, most=3)
    ([(0, 20), (40, 60), (80, 100)], 0.6)
    """
    if size < 1 or most < 1:
        raise ValueError("windows need at least one unit, and a text at least one window")
    if total <= size:
        return [(0, total)], 1.0
    n = min(most, -(-total // size))
    # Floor division, not round(): starts then lie `size` apart wherever the text is long enough.
    starts = [0] + [i * (total - size) // (n - 1) for i in range(1, n)]
    return [(start, start + size) for start in starts], min(1.0, n * size / total)


def plan_runs(lengths: Sequence[int], budget: int = RUN_TOKENS) -> list[list[int]]:
    """Indices of texts of similar length, grouped into runs of at most `budget` padded tokens.

    A run costs (number of texts) × (its longest). At most a quarter of it is padding, and it holds at
    least one text, so a text longer than the budget runs alone. Shortest first.

    >>> plan_runs([100, 5, 6, 120])
    [[1, 2], [0, 3]]
    """
    runs: list[list[int]] = []
    tokens = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        length = lengths[index]
        padded = (len(runs[-1]) + 1) * length if runs else 0
        if runs and padded <= budget and padded - tokens - length <= MAX_PADDING * padded:
            runs[-1].append(index)
            tokens += length
        else:
            runs.append([index])
            tokens = length
    return runs


def pool_mean(hidden: Vectors, mask: NDArray[np.int64]) -> Vectors:
    """Mean over real tokens. hidden (n, L, H), mask (n, L) of 0 and 1 → (n, H).

    >>> pool_mean(np.array([[[1.0], [3.0], [9.0]]], np.float32), np.array([[1, 1, 0]]))
    array([[2.]], dtype=float32)
    """
    weights = mask.astype(np.float32)
    # One matrix product per text: no copy of (n, L, H), and padding is multiplied by 0.
    total = np.matmul(weights[:, None, :], hidden)[:, 0, :]
    return np.asarray(total / np.maximum(weights.sum(axis=1, keepdims=True), 1.0), np.float32)


def layer_norm(vectors: Vectors, eps: float = 1e-5) -> Vectors:
    """(v − mean) / √(variance + eps) over the last axis, without learned scale (torch's F.layer_norm).

    A factor on v only changes the weight of eps, hence only the length of the result.
    """
    centred = vectors - vectors.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + eps), np.float32)


def to_unit(vectors: Vectors) -> Vectors:
    """Vectors (…, D) divided by their length. FloatingPointError where that is 0 or not finite."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not np.all(np.isfinite(norms) & (norms > 0)):
        raise FloatingPointError("a vector without a direction: its length is zero or not finite")
    return np.asarray(vectors / norms, np.float32)


def finish(pooled: Vectors, *, dimension: int, is_layer_normed: bool) -> Vectors:
    """Pooled (n, H) → unit (n, D), D ≤ H: layer norm over all of H if the model wants it, cut, L2.

    The order is the model's (Matryoshka training): a cut before the layer norm is another vector.
    Source: model card of nomic-ai/nomic-embed-text-v1.5.
    """
    full = layer_norm(pooled) if is_layer_normed else pooled
    return to_unit(full[:, :dimension])


def merge_windows(units: Vectors) -> Vectors:
    """Unit vectors (w, D) of one text's windows → the unit vector (D,) of their mean.

    Rounded once through float16, the precision it is stored in (engine §0), and kept as float32; its
    length is then 1 to about 5e-4.
    """
    vector = units[0] if len(units) == 1 else to_unit(units.mean(axis=0))
    return vector.astype(np.float16).astype(np.float32)
