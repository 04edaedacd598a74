"""Vectors: unit length, half precision, cosine.

Cosine is a similarity in [−1, 1]; a distance is always 1 − cosine. Sums are float64, what is kept is float32.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float32]

MIN_NORM = 1e-6
"""Below this length a vector has no direction (engine.md §3)."""


def norms(rows: npt.ArrayLike) -> Floats:
    """‖v‖₂ of one vector (D,) → () or of each row (n, D) → (n,), in float64, ≥ 0.

    >>> norms([[3.0, 4.0], [0.0, 0.0]]).tolist()
    [5.0, 0.0]
    """
    return np.asarray(np.linalg.norm(np.asarray(rows, dtype=np.float64), axis=-1))


def is_degenerate(rows: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Is ‖v‖ < 1e-6? One vector (D,) → () or each row (n, D) → (n,).

    >>> is_degenerate([[3.0, 4.0], [0.0, 1e-9]]).tolist()
    [False, True]
    """
    return np.asarray(norms(rows) < MIN_NORM)


def unit(rows: npt.ArrayLike) -> Vector:
    """Unit vectors v / ‖v‖, of one vector (D,) or of each row (n, D); same shape, float32, length 1.

    A vector without a direction (`is_degenerate`) is a ValueError.

    >>> [round(c, 6) for c in unit([3.0, 4.0]).tolist()]
    [0.6, 0.8]
    """
    if is_degenerate(rows).any():
        raise ValueError("A vector of length zero has no direction.")
    return np.asarray(np.asarray(rows, dtype=np.float64) / norms(rows)[..., None], dtype=np.float32)


def to_half(x: npt.ArrayLike) -> Vector:
    """Vectors rounded once to float16, given back as float32; same shape (engine.md §0).

    What is stored (pgvector halfvec) is then exactly what every decision used. Half precision keeps 11
    significant bits: the relative error of a component is at most 2⁻¹¹ (IEEE 754 binary16).

    >>> to_half([1 / 3]).tolist()
    [0.333251953125]
    """
    return np.asarray(x, dtype=np.float32).astype(np.float16).astype(np.float32)


def cosines(x: npt.ArrayLike, rows: npt.ArrayLike) -> Floats:
    """x·r / (‖x‖·‖r‖) of one vector x (D,) with each row of (n, D): (n,) float64 in [−1, 1].

    Lengths do not matter, so a topic's m serves as well as its centroid unit(m). A vector without a
    direction has cosine 0 with everything, never NaN.

    >>> cosines([1.0, 0.0], [[2.0, 0.0], [3.0, 4.0], [-1.0, 0.0], [0.0, 0.0]]).round(6).tolist()
    [1.0, 0.6, -1.0, 0.0]
    """
    x, rows = np.asarray(x, dtype=np.float64), np.asarray(rows, dtype=np.float64)
    has_direction = ~is_degenerate(rows) & ~is_degenerate(x)
    lengths = np.where(has_direction, norms(rows) * norms(x), 1.0)
    return np.clip(np.where(has_direction, rows @ x, 0.0) / lengths, -1.0, 1.0)
